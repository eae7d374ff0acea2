package relaymesh

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// goFiles calls visit with every Go file of the project: not with those of a
// module cache in its tree, whose directories bear versions.
func goFiles(visit func(path string) error) error {
	return filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch name := d.Name(); {
		case err != nil:
			return err
		case d.IsDir() && name != "." && (strings.HasPrefix(name, ".") || strings.Contains(name, "@") || name == "node_modules"):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go"):
			return nil
		}
		return visit(path)
	})
}

// declared are the names that the Go files of each directory declare, by the
// last element of its path: functions and methods alike, types, constants,
// variables.
func declared(t *testing.T) map[string]map[string]bool {
	t.Helper()
	names := map[string]map[string]bool{}
	err := goFiles(func(path string) error {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		dir := filepath.Base(filepath.Dir(path))
		if names[dir] == nil {
			names[dir] = map[string]bool{}
		}
		for _, decl := range file.Decls {
			switch decl := decl.(type) {
			case *ast.FuncDecl:
				names[dir][decl.Name.Name] = true
			case *ast.GenDecl:
				for _, spec := range decl.Specs {
					switch spec := spec.(type) {
					case *ast.TypeSpec:
						names[dir][spec.Name.Name] = true
					case *ast.ValueSpec:
						for _, name := range spec.Names {
							names[dir][name.Name] = true
						}
					}
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

var (
	quoted = regexp.MustCompile("`([^`]+)`")
	// goName is package.Name, package.Type.Method or (*package.Type).Method.
	goName = regexp.MustCompile(`^(?:\(\*)?([a-z0-9]+)\.(\w+)\)?(?:\.(\w+))?$`)
)

// The table of what became of the names of HORNETS says nothing that is not so:
// every name has a row, and every Go name, test and make target exists.
func TestHornetsTableIsTrue(t *testing.T) {
	doc, err := os.ReadFile("docs/hornets.md")
	if err != nil {
		t.Fatal(err)
	}
	makefile, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	names := declared(t)
	has := map[string]bool{}
	for line := range strings.Lines(string(doc)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		if len(cells) != 4 {
			t.Errorf("a row of %d cells, want 4: %.80s", len(cells), line)
			continue
		}
		for _, name := range quoted.FindAllStringSubmatch(cells[0], -1) {
			if has[name[1]] {
				t.Errorf("%s has two rows", name[1])
			}
			has[name[1]] = true
		}
		for _, name := range quoted.FindAllStringSubmatch(cells[2], -1) {
			parts := goName.FindStringSubmatch(name[1])
			if parts == nil || names[parts[1]] == nil || strings.HasPrefix(name[1], "relaymesh.") {
				continue // a command, a subject, a bucket
			}
			if !names[parts[1]][parts[2]] || parts[3] != "" && !names[parts[1]][parts[3]] {
				t.Errorf("%s: %s does not exist", cells[0], name[1])
			}
		}
		tests := quoted.FindAllStringSubmatch(cells[3], -1)
		if len(tests) == 0 {
			t.Errorf("%s names no test", cells[0])
		}
		for _, test := range tests {
			if target, ok := strings.CutPrefix(test[1], "make "); ok {
				if !strings.Contains(string(makefile), "\n"+target+":") {
					t.Errorf("%s: there is no target %s", cells[0], test[1])
				}
				continue
			}
			dir, name, _ := strings.Cut(test[1], ".")
			if !strings.HasPrefix(name, "Test") || !names[dir][name] {
				t.Errorf("%s: test %s does not exist", cells[0], test[1])
			}
		}
	}
	list, err := os.ReadFile("testdata/hornets.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(list)) {
		if name := strings.TrimSpace(line); !strings.HasPrefix(name, "#") && !has[name] {
			t.Errorf("%s has no row", name)
		}
	}
	if len(has) < 40 {
		t.Errorf("the tables have %d names", len(has))
	}
}
