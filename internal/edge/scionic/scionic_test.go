package scionic

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"
)

// folder is a DAG that HORNETS's library made: a folder of three files.
func folder(t testing.TB) *DAG {
	t.Helper()
	text, err := os.ReadFile("testdata/folder.json")
	if err != nil {
		t.Fatal(err)
	}
	var d DAG
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	return &d
}

// file returns the leaf of a file.
func (d *DAG) file(name string) *Leaf {
	for _, l := range d.Leafs {
		if l.ItemName == name {
			return l
		}
	}
	return nil
}

func TestAWholeDAGVerifies(t *testing.T) {
	if err := folder(t).Verify(); err != nil {
		t.Error(err)
	}
}

func TestNothingOfADAGCanBeChanged(t *testing.T) {
	for name, change := range map[string]func(d *DAG, root, a *Leaf){
		"the content":                func(_ *DAG, _, a *Leaf) { a.Content = []byte("x") },
		"content and its hash":       func(d *DAG, _, a *Leaf) { *a = *d.file("b.txt"); a.ItemName = "a.txt" },
		"no content":                 func(_ *DAG, _, a *Leaf) { a.Content = nil },
		"content where there's none": func(_ *DAG, root, _ *Leaf) { root.Content = []byte("x") },
		"a name":                     func(_ *DAG, _, a *Leaf) { a.ItemName = "x" },
		"a type":                     func(_ *DAG, _, a *Leaf) { a.Type = "directory" },
		"further data":               func(_ *DAG, root, _ *Leaf) { root.AdditionalData["k"] = "x" },
		"more data":                  func(_ *DAG, _, a *Leaf) { a.AdditionalData = map[string]string{"x": ""} },
		"a size":                     func(_ *DAG, root, _ *Leaf) { root.ContentSize++ },
		"a link fewer":               func(_ *DAG, root, _ *Leaf) { root.Links = root.Links[1:] },
		"a link fewer, counted":      func(_ *DAG, root, _ *Leaf) { root.Links = root.Links[1:]; root.CurrentLinkCount-- },
		"a link twice":               func(_ *DAG, root, _ *Leaf) { root.Links[0] = root.Links[1] },
		"a link more":                func(_ *DAG, root, a *Leaf) { a.Links = []string{root.Hash} },
		"a leaf missing":             func(d *DAG, _, a *Leaf) { delete(d.Leafs, a.Hash) },
		"a leaf more":                func(d *DAG, _, _ *Leaf) { d.Leafs["x"] = &Leaf{Hash: "x"} },
		"a leaf for another":         func(d *DAG, _, a *Leaf) { d.Leafs[a.Hash] = d.file("b.txt") },
		"a stranger for a leaf":      func(d *DAG, _, a *Leaf) { delete(d.Leafs, a.Hash); d.Leafs["x"] = a },
		"another root":               func(d *DAG, _, a *Leaf) { d.Root = a.Hash },
		"no root":                    func(d *DAG, root, _ *Leaf) { delete(d.Leafs, root.Hash) },
		"nothing":                    func(d *DAG, _, _ *Leaf) { d.Leafs = nil },
	} {
		d := folder(t)
		change(d, d.Leafs[d.Root], d.file("a.txt"))
		if err := d.Verify(); err == nil {
			t.Errorf("%s: nobody notices", name)
		}
	}
}

// peer plays the other side of a download: it reads the request and answers
// what script sends.
func peer(t *testing.T, root string, script func(send func(kind string, payload any))) (*DAG, error) {
	t.Helper()
	here, there := net.Pipe()
	defer here.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer there.Close()
		in := cbor.NewDecoder(there)
		var e envelope
		var asked request
		if err := in.Decode(&e); err != nil || cbor.Unmarshal(e.Payload, &asked) != nil || asked.Root != root {
			t.Errorf("asked %+v, %v", asked, err)
		}
		script(func(kind string, payload any) {
			if send(there, kind, payload) == nil {
				_ = in.Decode(&e) // the answer, unless the client has left
			}
		})
	}()
	d, err := Download(here, root)
	here.Close()
	<-done
	return d, err
}

// packetOf is a packet with these leaves.
func packetOf(root string, final bool, leaves ...*Leaf) (p packet) {
	p.Root, p.IsFinalPacket, p.Packet.Leaves = root, final, leaves
	return p
}

func TestDownloadInPackets(t *testing.T) {
	want := folder(t)
	got, err := peer(t, want.Root, func(send func(string, any)) {
		left := len(want.Leafs)
		for _, l := range want.Leafs {
			left--
			send("lib.UploadMessage", packetOf(want.Root, left == 0, l))
		}
	})
	if err != nil || len(got.Leafs) != len(want.Leafs) {
		t.Fatalf("%+v, %v", got, err)
	}
	dir := filepath.Join(t.TempDir(), "new", "folder")
	path, err := got.Write(dir)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var read DAG
	if err := cbor.Unmarshal(text, &read); err != nil || !reflect.DeepEqual(&read, got) || filepath.Base(path) != want.Root+".cbor" {
		t.Errorf("%s: %+v, %v", path, read, err)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("%v is left over, %v", files, err)
	}
}

func TestDownloadFromHostilePeers(t *testing.T) {
	d := folder(t)
	all := []*Leaf{}
	for _, l := range d.Leafs {
		all = append(all, l)
	}
	forged := *d.file("a.txt")
	forged.Content = []byte("x")
	for want, script := range map[string]func(send func(string, any)){
		"refused":            func(send func(string, any)) { send("error", failure{"no such DAG"}) },
		"EOF":                func(func(string, any)) {},
		"another DAG":        func(send func(string, any)) { send("", packetOf("x", true, all...)) },
		"a leaf that is non": func(send func(string, any)) { send("", packetOf(d.Root, true, nil)) },
		"root is missing":    func(send func(string, any)) { send("", packetOf(d.Root, true)) },
		"leaves":             func(send func(string, any)) { send("", packetOf(d.Root, true, d.Leafs[d.Root])) },
		"its content":        func(send func(string, any)) { send("", packetOf(d.Root, true, append(slices.Clone(all), &forged)...)) },
		"cannot unmarshal":   func(send func(string, any)) { send("", []string{"no packet"}) },
		"a message is larger than 8 MiB": func(send func(string, any)) {
			send("", packetOf(d.Root, false, &Leaf{Content: make([]byte, maxMessage)}))
		},
		"exceeded max number of elements 100000 for CBOR array": func(send func(string, any)) {
			send("", packetOf(d.Root, false, &Leaf{Links: make([]string, maxLeaves+1)}))
		},
		"more than 100000 links": func(send func(string, any)) {
			for i := range 3 {
				send("", packetOf(d.Root, false, &Leaf{Hash: strconv.Itoa(i), Links: make([]string, maxLeaves/2)}))
			}
		},
		"and further data": func(send func(string, any)) {
			data := map[string]string{}
			for i := range maxLeaves / 2 {
				data[strconv.Itoa(i)] = ""
			}
			for i := range 3 {
				send("", packetOf(d.Root, false, &Leaf{Hash: strconv.Itoa(i), AdditionalData: data}))
			}
		},
		"larger than 64 MiB": func(send func(string, any)) {
			for i := range 100 {
				send("", packetOf(d.Root, false, &Leaf{Hash: strconv.Itoa(i), Content: make([]byte, 1<<20)}))
			}
		},
	} {
		if got, err := peer(t, d.Root, script); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v", want, got != nil, err)
		}
	}
	for _, root := range []string{"", "../../etc/passwd", strings.Repeat("b", 60), "b" + strings.Repeat("/", 58), strings.ToUpper(d.Root)} {
		if _, err := Download(nil, root); err == nil {
			t.Errorf("root %q is accepted", root)
		}
	}
}

func FuzzDownload(f *testing.F) {
	d := folder(f)
	var b bytes.Buffer
	for _, l := range d.Leafs {
		if err := send(&b, "", packetOf(d.Root, true, l)); err != nil {
			f.Fatal(err)
		}
	}
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := Download(struct {
			io.Reader
			io.Writer
		}{bytes.NewReader(data), io.Discard}, d.Root)
		if err == nil && got.Verify() != nil {
			t.Error("not verified")
		}
	})
}
