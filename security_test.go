package relaymesh

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// docs/security.md promises only what a test shows: every test, fuzz target and
// constant that it names is there, and every fuzz target is named.
func TestSecurityNamesWhatExists(t *testing.T) {
	text, err := os.ReadFile("docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	function := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	err = goFiles(func(path string) error {
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		source, err := os.ReadFile(path)
		for _, m := range function.FindAllSubmatch(source, -1) {
			have[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	for _, m := range regexp.MustCompile("`((?:Test|Fuzz)\\w+)`").FindAllStringSubmatch(string(text), -1) {
		if named[m[1]] = true; !have[m[1]] {
			t.Errorf("docs/security.md names %s, which does not exist", m[1])
		}
	}
	for name := range have {
		if strings.HasPrefix(name, "Fuzz") && !named[name] {
			t.Errorf("%s is missing in docs/security.md", name)
		}
	}
	for row := range strings.Lines(string(text)) { // of who can what, and of the bounds
		if cells := strings.Split(row, " | "); len(cells) >= 4 && !regexp.MustCompile("`Test|`Fuzz|^shown by").MatchString(cells[len(cells)-1]) {
			t.Errorf("docs/security.md: no test shows %s", row)
		}
	}
	constants := 0
	for _, m := range regexp.MustCompile("`([\\w/]+\\.go)` `(\\w+)`").FindAllStringSubmatch(string(text), -1) {
		source, err := os.ReadFile(m[1])
		if err != nil || !regexp.MustCompile(`\b`+m[2]+`\b`).Match(source) {
			t.Errorf("docs/security.md names %s in %s: %v", m[2], m[1], err)
		}
		constants++
	}
	if len(named) < 50 || constants < 25 {
		t.Errorf("found %d tests and %d constants: has the form changed?", len(named), constants)
	}
}
