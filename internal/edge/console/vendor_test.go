package console

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"path"
	"strings"
	"testing"
)

// The files of others are exactly those that assets/vendor/README.md names.
func TestVendoredFilesAreThoseOfTheREADME(t *testing.T) {
	readme, err := assetFiles.ReadFile("assets/vendor/README.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := fs.Glob(assetFiles, "assets/vendor/*")
	if err != nil || len(files) < 4 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		if path.Base(file) == "README.md" {
			continue
		}
		data, err := assetFiles.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(data)
		if !strings.Contains(string(readme), "| `"+path.Base(file)+"` |") || !strings.Contains(string(readme), hex.EncodeToString(sum[:])) {
			t.Errorf("%s has the SHA-256 %x, which the README does not name", file, sum)
		}
	}
}
