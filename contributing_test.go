package relaymesh

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const contributing = "CONTRIBUTING.md"

// section returns the text of a page between a heading and the next.
func section(t *testing.T, page, heading string) string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "\n"+heading+"\n")
	if !found {
		t.Fatalf("%s has no heading %q", page, heading)
	}
	part, _, _ := strings.Cut(rest, "\n#")
	return part
}

// rows returns the cells of the tables in a text, without their heads.
func rows(text string) (list [][]string) {
	head := true
	for line := range strings.Lines(text) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		switch {
		case !strings.HasPrefix(line, "|"):
			head = true
		case strings.HasPrefix(line, "|---"):
			head = false
		case !head:
			for i := range cells {
				cells[i] = strings.TrimSpace(cells[i])
			}
			list = append(list, cells)
		}
	}
	return list
}

// What make says of a target, CONTRIBUTING.md says too, and the first page of
// make has ten targets at most.
func TestTheTableOfTargetsIsTheMakefiles(t *testing.T) {
	makefile, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	onFirstPage := 0
	for _, m := range regexp.MustCompile(`(?m)^([a-z0-9-]+):.*?(##?) (.*)$`).FindAllStringSubmatch(string(makefile), -1) {
		if want[m[1]] = m[3]; m[2] == "##" {
			onFirstPage++
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^([a-z0-9-]+):`).FindAllStringSubmatch(string(makefile), -1) {
		if _, ok := want[m[1]]; !ok && m[1] != "go-version" {
			t.Errorf("make %s does not say what it does", m[1])
		}
	}
	if onFirstPage > 10 {
		t.Errorf("the first page of make has %d targets", onFirstPage)
	}
	got := map[string]string{}
	for _, row := range rows(section(t, contributing, "### All targets")) {
		got[strings.Trim(row[0], "`")] = row[1]
	}
	for name, says := range want {
		if got[name] != says {
			t.Errorf("the table lacks: | `%s` | %s |", name, says)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("the table has make %s, which does not exist", name)
		}
	}
}

// What make check-slow runs is in its table, and nothing else.
func TestTheTableOfSlowChecksIsTheMakefiles(t *testing.T) {
	makefile, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^check-slow: (.*?) ##`).FindSubmatch(makefile)
	if found == nil {
		t.Fatal("there is no make check-slow")
	}
	want := strings.Fields(string(found[1]))
	var got []string
	for _, row := range rows(section(t, contributing, "### The slow checks")) {
		got = append(got, strings.Trim(row[0], "`"))
	}
	if !slices.Equal(got, want) {
		t.Errorf("the table has %v, make check-slow %v", got, want)
	}
}

// place is where something is declared: `file.go` `name`.
var place = regexp.MustCompile("`([\\w./-]+\\.go)` `(\\w+)`(?: and `(\\w+)`)?")

// Every file, identifier and link of CONTRIBUTING.md exists.
func TestContributingNamesWhatExists(t *testing.T) {
	text, err := os.ReadFile(contributing)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range place.FindAllStringSubmatch(string(text), -1) {
		for _, name := range m[2:] {
			if _, _, ok := declaration(t, m[1], name); name != "" && !ok {
				t.Errorf("%s does not declare %s", m[1], name)
			}
		}
	}
	paths := regexp.MustCompile("`((?:cmd|internal|pkg|bench|deploy|docs|tools)/[\\w./-]+)`|\\]\\(([\\w./-]+)")
	for _, m := range paths.FindAllStringSubmatch(string(text), -1) {
		if _, err := os.Stat(m[1] + m[2]); err != nil {
			t.Error(err)
		}
	}
	where := rows(section(t, contributing, "## Where do I change …"))
	if len(where) < 20 {
		t.Errorf("%d rows say where to change something, want 20", len(where))
	}
	for _, row := range where {
		if len(row) != 3 {
			t.Errorf("%d cells: %v", len(row), row)
		}
	}
}

// declaration returns the lines that declare a name in a Go file, its comment
// included; of a method the name is enough.
func declaration(t *testing.T, path, name string) (first, last int, ok bool) {
	t.Helper()
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, path, nil, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Error(err)
		return 0, 0, false
	}
	lines := func(doc *ast.CommentGroup, n ast.Node) (int, int, bool) {
		from := n.Pos()
		if doc != nil {
			from = doc.Pos()
		}
		return files.Position(from).Line, files.Position(n.End()).Line, true
	}
	for _, d := range file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Name.Name == name {
				return lines(d.Doc, d)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				if v, is := spec.(*ast.ValueSpec); is && slices.ContainsFunc(v.Names, func(n *ast.Ident) bool { return n.Name == name }) {
					return lines(v.Doc, v)
				}
				if v, is := spec.(*ast.TypeSpec); is && v.Name.Name == name {
					return lines(d.Doc, v)
				}
			}
		}
	}
	return 0, 0, false
}

// The ten questions are answered by one search: at most three files of the
// product have the word, and each answer has it at the identifier.
func TestTenQuestionsAreAnsweredByOneSearch(t *testing.T) {
	questions := rows(section(t, contributing, "## Ten questions"))
	if len(questions) != 10 {
		t.Errorf("%d questions: has the form changed?", len(questions))
	}
	sources := product(t)
	for _, row := range questions {
		question, word := row[0], strings.ToLower(strings.Trim(row[1], "`"))
		hits := map[string][]int{} // numbers of lines by file
		for path, source := range sources {
			number := 0
			for line := range strings.Lines(source) {
				if number++; strings.Contains(line, word) {
					hits[path] = append(hits[path], number)
				}
			}
		}
		if len(hits) > 3 {
			t.Errorf("%s %q is in %d files", question, word, len(hits))
		}
		answers := place.FindAllStringSubmatch(row[2], -1)
		if len(answers) == 0 {
			t.Errorf("%s has no answer", question)
		}
		for _, m := range answers {
			first, last, _ := declaration(t, m[1], m[2])
			if !slices.ContainsFunc(hits[m[1]], func(line int) bool { return first <= line && line <= last }) {
				t.Errorf("%s %q does not stand at %s in %s, but in %v", question, word, m[2], m[1], hits)
			}
		}
	}
}

// product returns the sources of what is shipped, in lower case, by path.
func product(t *testing.T) map[string]string {
	t.Helper()
	sources := map[string]string{}
	for _, root := range []string{"cmd", "internal", "pkg"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case path == "internal/testkit", path == "internal/sim":
				return filepath.SkipDir
			case d.IsDir(), !strings.HasSuffix(path, ".go"), strings.HasSuffix(path, "_test.go"):
				return nil
			}
			source, err := os.ReadFile(path)
			sources[path] = string(bytes.ToLower(source))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return sources
}

// Every public package has a README, whose snippet is the package's example:
// what go test runs.
func TestSnippetsOfPublicPackagesAreTheirExamples(t *testing.T) {
	files, err := filepath.Glob("pkg/*/*.go")
	if err != nil {
		t.Fatal(err)
	}
	dirs := map[string]bool{}
	for _, file := range files {
		dirs[filepath.Dir(file)] = true
	}
	if len(dirs) < 6 {
		t.Errorf("found %d public packages", len(dirs))
	}
	for dir := range dirs {
		readme, err := os.ReadFile(filepath.Join(dir, "README.md"))
		if err != nil {
			t.Error(err)
			continue
		}
		_, rest, _ := strings.Cut(string(readme), "```go\n")
		snippet, _, found := strings.Cut(rest, "\n```")
		if !found {
			t.Errorf("%s: README.md has no snippet", dir)
			continue
		}
		var examples strings.Builder
		tests, _ := filepath.Glob(filepath.Join(dir, "*_test.go"))
		for _, file := range tests {
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			examples.Write(source)
		}
		if !strings.Contains(strings.ReplaceAll(examples.String(), "\n\t", "\n"), "func Example() {\n"+snippet) {
			t.Errorf("%s: the snippet of README.md is not the package's Example", dir)
		}
	}
}

// The layout of docs/architecture.md has every layer.
func TestTheLayoutHasEveryLayer(t *testing.T) {
	layout := section(t, "docs/architecture.md", "## Layout")
	for layer := range mayImport {
		if !regexp.MustCompile(`(?m)(^|\s)` + filepath.Base(layer) + `[/ ]`).MatchString(layout) {
			t.Errorf("docs/architecture.md does not show %s", layer)
		}
	}
}

// Every planted bug of the simulation is in the table of docs/reliability.md,
// with the file that it is planted in.
func TestTheTableOfPlantedBugsIsTheSimulations(t *testing.T) {
	source, err := os.ReadFile("internal/sim/mutants_test.go")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]string{}
	for _, row := range rows(section(t, "docs/reliability.md", "### Planted bugs")) {
		documented[row[0]] = "internal/" + strings.Trim(row[1], "`")
	}
	planted := regexp.MustCompile(`name: "([^"]+)", file: "([^"]+)"`).FindAllStringSubmatch(string(source), -1)
	for _, m := range planted {
		if documented[m[1]] != m[2] {
			t.Errorf("the table lacks %q in %s", m[1], m[2])
		}
	}
	if len(planted) == 0 || len(planted) != len(documented) {
		t.Errorf("%d bugs are planted, %d documented", len(planted), len(documented))
	}
}
