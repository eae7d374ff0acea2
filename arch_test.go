// Package relaymesh holds the tests that keep the structure of the project:
// which package may import which. See docs/architecture.md.
package relaymesh

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/relaymesh/relaymesh/"

type pkg struct {
	ImportPath string
	Doc        string
	Imports    []string
	Standard   bool
	Module     struct{ Main bool }
}

func list(t *testing.T, args ...string) []pkg {
	t.Helper()
	out, err := exec.Command("go", append([]string{"list", "-json=ImportPath,Doc,Imports,Standard,Module"}, args...)...).Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var pkgs []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
}

// layer is where a package stands: the first two elements of its path. The
// demo's binary is none of the product's.
func layer(path string) string {
	path = strings.TrimPrefix(path, module)
	if path == "cmd/relaymesh-demo" || path == "bench/recall" {
		return path
	}
	parts := strings.SplitN(path, "/", 3)
	if parts[0] == "internal" && len(parts) > 1 {
		return "internal/" + parts[1]
	}
	return parts[0]
}

// shared are the layers without I/O that stages and edges have in common.
var shared = []string{
	"pkg", "internal/backoff", "internal/contract", "internal/deny", "internal/health", "internal/hosts",
	"internal/lines", "internal/ownfile", "internal/pager", "internal/recent", "internal/reconcile", "internal/trouble",
}

// mayImport says which layers, or single packages of them, a layer may use, besides
// itself.
var mayImport = map[string][]string{
	"pkg":                {},
	"internal/backoff":   {},
	"internal/contract":  {"pkg"},
	"internal/deny":      {"pkg", "internal/lines"},
	"internal/health":    {"internal/backoff"},
	"internal/hosts":     {"pkg", "internal/recent"},
	"internal/pager":     {"pkg"},
	"internal/lines":     {},
	"internal/ownfile":   {},
	"internal/trouble":   {},
	"internal/recent":    {},
	"internal/reconcile": {"pkg", "internal/backoff", "internal/pager"},
	"internal/stage":     shared,
	"internal/edge":      shared,
	"internal/config":    {"pkg", "internal/contract", "internal/deny", "internal/ownfile", "internal/edge/schnorr"},
	"internal/obs":       {"pkg", "internal/contract"},
	"internal/run":       slices.Concat(shared, []string{"internal/stage", "internal/edge", "internal/config", "internal/obs"}),
	"internal/sim":       slices.Concat(shared, []string{"internal/stage", "internal/edge", "internal/run", "internal/testkit"}),
	"internal/testkit":   {"pkg", "internal/contract", "internal/reconcile", "internal/edge", "internal/run"},
	"internal/docs":      {},
	"bench": {
		"pkg", "internal/contract", "internal/config", "internal/edge", "internal/run", "internal/testkit", "internal/stage/index",
	},
	"bench/recall": slices.Concat(shared, []string{"internal/stage", "internal/edge", "internal/run", "internal/testkit"}), // calls handlers
	"cmd": {
		"pkg", "internal/contract", "internal/deny", "internal/ownfile", "internal/reconcile", "internal/edge", "internal/config",
		"internal/obs", "internal/run",
	},
	"cmd/relaymesh-demo": {"internal/run", "internal/testkit"},
}

func TestLayersImportOnlyWhatTheyMay(t *testing.T) {
	t.Parallel()
	for _, p := range list(t, "./...") {
		from := layer(p.ImportPath)
		if p.ImportPath+"/" == module {
			continue
		}
		allowed, known := mayImport[from]
		if !known {
			t.Errorf("%s: a layer that the rules do not know; add it to mayImport and docs/architecture.md", p.ImportPath)
			continue
		}
		for _, imported := range p.Imports {
			to := layer(imported)
			if !strings.HasPrefix(imported, module) || to == from {
				continue
			}
			if !slices.Contains(allowed, to) && !slices.Contains(allowed, strings.TrimPrefix(imported, module)) {
				t.Errorf("%s imports %s: %s may use %v only", p.ImportPath, imported, from, allowed)
			}
		}
	}
}

func TestStagesDoNotKnowEachOther(t *testing.T) {
	t.Parallel()
	for _, p := range list(t, "./internal/stage/...") {
		for _, imported := range p.Imports {
			if strings.HasPrefix(imported, module+"internal/stage/") && !strings.HasPrefix(imported, p.ImportPath) {
				t.Errorf("%s imports %s", p.ImportPath, imported)
			}
		}
	}
}

// The public packages are for everyone: a dependency of theirs would become
// one of every user.
func TestPublicPackagesUseTheStandardLibraryOnly(t *testing.T) {
	t.Parallel()
	for _, p := range list(t, "-deps", "./pkg/...") {
		if !p.Standard && !p.Module.Main {
			t.Errorf("pkg depends on %s", p.ImportPath)
		}
	}
	for _, p := range list(t, "./pkg/...") {
		for _, imported := range p.Imports {
			switch imported {
			case "net", "net/http", "os", "log", "log/slog":
				t.Errorf("%s imports %s: no I/O and no logging there", p.ImportPath, imported)
			}
		}
	}
}

// pure are the rooms of which every file is a decision.
var pure = []string{"internal/backoff", "internal/deny", "internal/health", "internal/pager"}

// A decision is a function of state, input and time: its file may not reach
// the network, the disk or the clock.
func TestDecisionsArePure(t *testing.T) {
	t.Parallel()
	found := 0
	err := filepath.WalkDir("internal", func(path string, d fs.DirEntry, err error) error {
		name := filepath.Base(path)
		decides := strings.HasPrefix(name, "decide") || slices.Contains(pure, filepath.Dir(path))
		if err != nil || d.IsDir() || !decides || strings.HasSuffix(name, "_test.go") {
			return err
		}
		found++
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		for _, spec := range file.Imports {
			imported, _ := strconv.Unquote(spec.Path.Value)
			switch {
			case imported == "net", imported == "net/http", imported == "os", imported == "context", imported == "log/slog":
				t.Errorf("%s imports %s", path, imported)
			case strings.Contains(imported, ".") && imported != module+"internal/stage" && !slices.Contains(shared, layer(imported)):
				t.Errorf("%s imports %s", path, imported)
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok {
				if x, ok := sel.X.(*ast.Ident); ok && x.Name == "time" &&
					slices.Contains([]string{"Now", "Since", "Until", "After", "Sleep"}, sel.Sel.Name) {
					t.Errorf("%s calls time.%s: take the time as a parameter", path, sel.Sel.Name)
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if found == 0 {
		t.Error("found no decide*.go")
	}
}

// released are the binaries that users get.
var released = []string{"relaymesh", "ingest", "dhtworker", "syncworker", "fetcher", "gateway"}

// No binary that is released links a relay of others, or what is made for
// tests.
func TestReleasedBinariesLinkNoTestParts(t *testing.T) {
	t.Parallel()
	for _, name := range released {
		for _, p := range list(t, "-deps", "./cmd/"+name) {
			for _, prefix := range []string{"github.com/fiatjaf/khatru", "github.com/fiatjaf/eventstore", module + "internal/testkit"} {
				if strings.HasPrefix(p.ImportPath, prefix) {
					t.Errorf("cmd/%s links %s", name, p.ImportPath)
				}
			}
		}
	}
}

// The libraries that relaymesh is built on are parts of every binary: NIP-19 keys
// and NIP-11 documents are go-nostr's, the node on the DHT is anacrolix/dht, and
// the bus is watermill's. So nothing of them is written a second time.
func TestBinariesAreBuiltOnTheirLibraries(t *testing.T) {
	for _, name := range released {
		linked := map[string]bool{}
		for _, p := range list(t, "-deps", "./cmd/"+name) {
			linked[p.ImportPath] = true
		}
		for _, library := range []string{
			"github.com/nbd-wtf/go-nostr/nip11", "github.com/nbd-wtf/go-nostr/nip19",
			"github.com/anacrolix/dht/v2", "github.com/ThreeDotsLabs/watermill/message",
		} {
			if !linked[library] {
				t.Errorf("cmd/%s does not link %s", name, library)
			}
		}
	}
}

// Events and filters are those of pkg/nostr everywhere; go-nostr's are used only
// where its decoders are.
func TestProductHasOneModelOfAnEvent(t *testing.T) {
	for _, p := range list(t, "./pkg/...", "./internal/...", "./cmd/...") {
		if layer(p.ImportPath) == "internal/testkit" || p.ImportPath == module+"internal/edge/schnorr" {
			continue
		}
		for _, imported := range p.Imports {
			if imported == "github.com/nbd-wtf/go-nostr" || strings.HasPrefix(imported, "github.com/mailru/easyjson") {
				t.Errorf("%s imports %s", p.ImportPath, imported)
			}
		}
	}
}

// The workers are small: an embedded server or another negentropy does not
// belong into them.
func TestWorkersLinkOnlyWhatTheyNeed(t *testing.T) {
	t.Parallel()
	for _, worker := range []string{"ingest", "dhtworker", "syncworker", "fetcher", "gateway"} {
		for _, p := range list(t, "-deps", "./cmd/"+worker) {
			path := p.ImportPath
			switch {
			case strings.Contains(path, "negentropy") && !strings.HasPrefix(path, module+"pkg/negentropy"),
				strings.HasPrefix(path, "github.com/nats-io/nats-server/"),
				strings.HasPrefix(path, "github.com/libp2p/") && worker != "syncworker":
				t.Errorf("cmd/%s links %s", worker, path)
			}
		}
	}
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	t.Parallel()
	for _, p := range list(t, "./...") {
		if p.Doc == "" && p.ImportPath+"/" != module {
			t.Errorf("%s has no package documentation", p.ImportPath)
		}
	}
}

// A write to a relay passes one interface, the transports, and what decorates
// them: whoever adds a transport adds its type here, and a case in
// internal/run/relays.go. It is to pass internal/reconcile/relaytest.
func TestFewTypesWriteToARelay(t *testing.T) {
	want := []string{
		"internal/edge/jsonl Relay", "internal/edge/p2p Peer", "internal/edge/relay Conn",
		"internal/reconcile Relay", "internal/reconcile through", "internal/run countedTo",
	}
	var got []string
	err := goFiles(func(path string) error {
		if strings.HasSuffix(path, "_test.go") || !strings.HasPrefix(path, "internal/") && !strings.HasPrefix(path, "cmd/") ||
			strings.HasPrefix(path, "internal/testkit/") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		for _, name := range publishers(file) {
			got = append(got, filepath.Dir(path)+" "+name)
		}
		return nil
	})
	if slices.Sort(got); err != nil || !slices.Equal(got, want) {
		t.Errorf("Publish of an event is a method of %q, want %q; %v", got, want, err)
	}
}

// publishers are the types of a file, interfaces too, that have a method Publish
// of an event.
func publishers(file *ast.File) (names []string) {
	ofEvent := func(name string, f *ast.FuncType) bool {
		return name == "Publish" && slices.ContainsFunc(f.Params.List, func(p *ast.Field) bool {
			sel, ok := p.Type.(*ast.SelectorExpr)
			return ok && sel.Sel.Name == "Event"
		})
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			if n.Recv != nil && ofEvent(n.Name.Name, n.Type) {
				of := n.Recv.List[0].Type
				if star, ok := of.(*ast.StarExpr); ok {
					of = star.X
				}
				names = append(names, of.(*ast.Ident).Name)
			}
		case *ast.TypeSpec:
			if port, ok := n.Type.(*ast.InterfaceType); ok {
				for _, m := range port.Methods.List {
					if f, ok := m.Type.(*ast.FuncType); ok && len(m.Names) > 0 && ofEvent(m.Names[0].Name, f) {
						names = append(names, n.Name.Name)
					}
				}
			}
		}
		return true
	})
	return names
}
