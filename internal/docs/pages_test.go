//go:build docs

package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// command is one that a page shows.
type command struct {
	page, text string
	// whole is one that stands in a block to be copied; the others are named
	// in a sentence, and may lack arguments.
	whole bool
}

// root is the repository.
const root = "../.."

// history tells of commands as they were.
const history = "CHANGELOG.md"

var (
	shell   = regexp.MustCompile("(?ms)^[ \t]*```(?:sh|bash|shell|console)\n(.*?)^[ \t]*```")
	fenced  = regexp.MustCompile("(?ms)^[ \t]*```.*?^[ \t]*```")
	prompt  = regexp.MustCompile(`(?m)^[ \t]+\$ (.*)$`)
	plugin  = regexp.MustCompile(`plugin = "([^"]+)"`)
	inline  = regexp.MustCompile("`([^`]+)`")
	comment = regexp.MustCompile(`\s+#.*$`)
)

// programs are those whose names begin a command in a sentence. Of the first,
// which are ours, two words are enough: "go build" names a tool.
var programs = []string{
	"relaymesh", "ingest", "dhtworker", "syncworker", "fetcher", "bin/relaymesh", "make",
	"go", "git", "kubectl", "kustomize", "systemctl", "journalctl", "apt", "apt-get", "dpkg", "nats", "nk", "nft", "sysctl", "strfry", "curl",
}

const ours = 7

// pages are the Markdown files of the repository.
func pages(t *testing.T) (list []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch name := d.Name(); {
		case err != nil:
			return err
		case d.IsDir() && name != ".." &&
			(strings.HasPrefix(name, ".") || slices.Contains([]string{"node_modules", "testdata", "bin", "dist"}, name)):
			return filepath.SkipDir
		case strings.HasSuffix(name, ".md") && name != history:
			list = append(list, path)
		}
		return nil
	})
	if err != nil || len(list) < 10 {
		t.Fatalf("found %d pages: %v", len(list), err)
	}
	return list
}

// shown are the commands of all pages.
func shown(t *testing.T) (list []command) {
	t.Helper()
	for _, path := range pages(t) {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		page, text := strings.TrimPrefix(path, root+"/"), string(raw)
		add := func(line string, whole bool) {
			line = strings.Join(strings.Fields(comment.ReplaceAllString(line, "")), " ")
			if line != "" && !strings.HasPrefix(line, "#") {
				list = append(list, command{page, line, whole})
			}
		}
		for _, block := range shell.FindAllStringSubmatch(text, -1) {
			for line := range strings.Lines(strings.ReplaceAll(block[1], "\\\n", " ")) {
				add(strings.TrimPrefix(strings.TrimSpace(line), "$ "), true)
			}
		}
		for _, found := range plugin.FindAllStringSubmatch(text, -1) {
			add(found[1], true)
		}
		prose := fenced.ReplaceAllString(text, "")
		for _, found := range prompt.FindAllStringSubmatch(prose, -1) {
			add(found[1], true)
		}
		for _, found := range inline.FindAllStringSubmatch(prose, -1) {
			words := strings.Fields(found[1])
			if at := slices.Index(programs, words[0]); at >= 0 && (len(words) > 2 || len(words) == 2 && at < ours) {
				add(found[1], false)
			}
		}
	}
	return list
}

// block returns the fenced block of a page that has a text in it.
func block(t interface{ Fatalf(string, ...any) }, page, has string) string {
	raw, err := os.ReadFile(filepath.Join(root, page))
	if err != nil {
		t.Fatalf("%v", err)
	}
	for _, b := range fenced.FindAllString(string(raw), -1) {
		if lines := strings.Split(b, "\n"); strings.Contains(b, has) {
			return strings.Join(lines[1:len(lines)-1], "\n") + "\n"
		}
	}
	t.Fatalf("%s has no block with %q", page, has)
	return ""
}
