package main

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
)

// The parts of SPDX 2.3 that say what is in a Go binary.
type (
	document struct {
		SPDXVersion       string         `json:"spdxVersion"`
		DataLicense       string         `json:"dataLicense"`
		ID                string         `json:"SPDXID"`
		Name              string         `json:"name"`
		DocumentNamespace string         `json:"documentNamespace"`
		CreationInfo      creation       `json:"creationInfo"`
		Packages          []spdxPackage  `json:"packages"`
		Relationships     []relationship `json:"relationships"`
	}
	creation struct {
		Created  string   `json:"created"`
		Creators []string `json:"creators"`
	}
	spdxPackage struct {
		ID               string      `json:"SPDXID"`
		Name             string      `json:"name"`
		VersionInfo      string      `json:"versionInfo"`
		DownloadLocation string      `json:"downloadLocation"`
		FilesAnalyzed    bool        `json:"filesAnalyzed"`
		ExternalRefs     []reference `json:"externalRefs,omitempty"`
	}
	reference struct {
		Category string `json:"referenceCategory"`
		Type     string `json:"referenceType"`
		Locator  string `json:"referenceLocator"`
	}
	relationship struct {
		Element string `json:"spdxElementId"`
		Type    string `json:"relationshipType"`
		Related string `json:"relatedSpdxElement"`
	}
)

var notInID = regexp.MustCompile(`[^A-Za-z0-9.-]+`)

// sbom lists the modules that the Go linker noted in a binary.
func sbom(w io.Writer, path string) error {
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(data)
	built := "1970-01-01T00:00:00Z"
	for _, s := range info.Settings {
		if s.Key == "vcs.time" {
			built = s.Value // of the commit, so that the document is reproducible
		}
	}
	d := document{
		SPDXVersion: "SPDX-2.3", DataLicense: "CC0-1.0", ID: "SPDXRef-DOCUMENT", Name: filepath.Base(path),
		DocumentNamespace: "https://github.com/relaymesh/relaymesh/spdx/" + hex.EncodeToString(sum[:]),
		CreationInfo:      creation{built, []string{"Tool: relaymesh-dist", "Tool: " + info.GoVersion}},
	}
	add := func(m *debug.Module, of, kind string) string {
		if m.Replace != nil {
			m = m.Replace
		}
		id := "SPDXRef-" + notInID.ReplaceAllString(m.Path+"-"+m.Version, "-")
		d.Packages = append(d.Packages, spdxPackage{
			ID: id, Name: m.Path, VersionInfo: m.Version, DownloadLocation: "NOASSERTION",
			ExternalRefs: []reference{{"PACKAGE-MANAGER", "purl", fmt.Sprintf("pkg:golang/%s@%s", m.Path, m.Version)}},
		})
		d.Relationships = append(d.Relationships, relationship{of, kind, id})
		return id
	}
	main := add(&info.Main, d.ID, "DESCRIBES")
	add(&debug.Module{Path: "std", Version: info.GoVersion[len("go"):]}, main, "DEPENDS_ON")
	for _, m := range info.Deps {
		add(m, main, "DEPENDS_ON")
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", " ")
	return enc.Encode(d)
}
