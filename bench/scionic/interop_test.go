package scionic_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/HORNET-Storage/Scionic-Merkle-Tree/v2/dag"
	"github.com/HORNET-Storage/go-hornet-storage-lib/lib"
	"github.com/HORNET-Storage/go-hornet-storage-lib/lib/connmgr"

	"github.com/relaymesh/relaymesh/internal/edge/scionic"
)

// stream is a net.Conn as the library wants it.
type stream struct{ net.Conn }

func (stream) Context() context.Context { return context.Background() }

// serve answers one download as a HORNETS relay does.
func serve(conn net.Conn, d *dag.Dag) error {
	asked, err := connmgr.WaitForDownloadMessage(stream{conn})
	if err != nil {
		return err
	}
	if asked.Root != d.Root {
		return connmgr.WriteErrorToStream(stream{conn}, "Node does not exist in storage", nil)
	}
	packets := d.GetBatchedLeafSequence()
	for i, p := range packets {
		err := connmgr.WriteMessageToStream(stream{conn},
			lib.UploadMessage{Root: d.Root, Packet: *p.ToSerializable(), IsFinalPacket: i == len(packets)-1})
		if err != nil {
			return err
		}
		if ok, err := connmgr.WaitForResponse(stream{conn}); err != nil || !ok.Ok {
			return fmt.Errorf("packet %d was answered by %+v, %w", i, ok, err)
		}
	}
	return nil
}

// folders are what is made into DAGs: file name → content.
var folders = map[string]map[string]string{
	"a file":          {"": "hello"},
	"an empty file":   {"": ""},
	"large file":      {"": string(bytes.Repeat([]byte("0123456789abcdef"), 400_000))},
	"folder":          {"a.txt": "a", "b.txt": "b", "c.txt": "c"},
	"folder of one":   {"only.txt": "x"},
	"deep":            {"a/b/c/d.txt": "d", "a/b/e.txt": "e", "f.txt": "f", "a/g.txt": "g", "a/h.txt": "h"},
	"equal contents":  {"a.txt": "same", "b.txt": "same", "c/a.txt": "same"},
	"unusual letters": {"ä ö.txt": "ü", "日本": "語"},
}

func build(t *testing.T, files map[string]string, data map[string]string) *dag.Dag {
	t.Helper()
	path := filepath.Join(t.TempDir(), "root")
	for name, content := range files {
		at := filepath.Join(path, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	d, err := dag.CreateDagAdvanced(path, data)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestTheirDAGsAreDownloadedVerifiedAndRead(t *testing.T) {
	for name, files := range folders {
		for _, data := range []map[string]string{nil, {"z": "1", "a": "2"}} {
			theirs := build(t, files, data)
			here, there := net.Pipe()
			served := start(func() error { return serve(there, theirs) })
			ours, err := scionic.Download(here, theirs.Root)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				here.Close()
			}
			if err := <-served; err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if ours == nil {
				continue
			}
			path, err := ours.Write(t.TempDir())
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			again, err := dag.FromCBOR(text)
			if err != nil {
				t.Errorf("%s: they cannot read it: %v", name, err)
				continue
			}
			if err := again.Verify(); err != nil || again.Root != theirs.Root || len(again.Leafs) != len(theirs.Leafs) {
				t.Errorf("%s: they read %d leaves of %d: %v", name, len(again.Leafs), len(theirs.Leafs), err)
			}
		}
	}
}

func start(f func() error) <-chan error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	return done
}

func TestTheirRefusalIsToldOfInTheirWords(t *testing.T) {
	here, there := net.Pipe()
	served := start(func() error { return serve(there, build(t, folders["a file"], nil)) })
	other := build(t, folders["folder"], nil)
	_, err := scionic.Download(here, other.Root)
	if err == nil || !bytes.Contains([]byte(err.Error()), []byte("does not exist")) {
		t.Errorf("got %v", err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// The golden DAG of internal/edge/scionic is theirs.
func TestGolden(t *testing.T) {
	text, err := os.ReadFile("../../internal/edge/scionic/testdata/folder.json")
	if err != nil {
		t.Fatal(err)
	}
	golden, err := dag.FromJSON(text)
	if err != nil {
		t.Fatal(err)
	}
	if d := build(t, folders["folder"], map[string]string{"k": "v"}); golden.Root != d.Root || golden.Verify() != nil {
		t.Errorf("the golden DAG is %s, they make %s", golden.Root, d.Root)
	}
}
