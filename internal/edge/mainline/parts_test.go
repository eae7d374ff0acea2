package mainline

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/ownfile"
	"github.com/relaymesh/relaymesh/internal/testkit/loopback"
)

func TestAtMostThreeMessagesASecondToOneAddress(t *testing.T) {
	t.Parallel()
	c := newRateLimiter(3)
	a, b := netip.MustParseAddrPort("1.1.1.1:1"), netip.MustParseAddrPort("1.1.1.2:1")
	now := time.Now()
	sent := make([]int, 10)
	for tick := range 1000 { // 10 s in steps of 10 ms, asking as often as possible, at any port
		a := netip.AddrPortFrom(a.Addr(), uint16(1024+tick))
		for c.reserve(a, now.Add(time.Duration(tick)*10*time.Millisecond)) == 0 {
			sent[tick/100]++
		}
	}
	total := 0
	for _, n := range sent {
		total += n
	}
	if sent[0] > 3+3 || slices.Max(sent[1:]) > 4 || total > 33 || total < 30 {
		t.Errorf("sent %v", sent)
	}
	if c.reserve(b, now) != 0 {
		t.Error("one address uses up another's allowance")
	}
	later, wait := now.Add(time.Minute), time.Duration(0)
	for range allowance + 1 {
		wait = c.reserve(a, later)
	}
	if wait <= 0 || wait > time.Second/3 || c.reserve(a, later.Add(wait)) != 0 {
		t.Errorf("wait is %v", wait)
	}
	unlimited := newRateLimiter(-1)
	for range 100 {
		if unlimited.reserve(a, now) != 0 {
			t.Fatal("limited")
		}
	}
}

func TestSilentAddressesAreForgivenAfterAWhile(t *testing.T) {
	t.Parallel()
	c := newRateLimiter(3)
	a, now := netip.MustParseAddrPort("1.1.1.1:1"), time.Now()
	c.silent(a, false, now)
	if !c.isDead(a, now.Add(59*time.Second)) || c.isDead(a, now.Add(61*time.Second)) {
		t.Error("the first silence does not count for a minute")
	}
	c.silent(a, false, now)
	if !c.isDead(a, now.Add(9*time.Minute)) || c.isDead(a, now.Add(11*time.Minute)) {
		t.Error("the second silence does not count for ten minutes")
	}
	c.alive(a)
	if c.isDead(a, now) {
		t.Error("dead although it answered")
	}
	for i := range maxTracked + 10 {
		addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{2, byte(i >> 16), byte(i >> 8), byte(i)}), 1)
		c.silent(addr, false, now)
		c.reserve(addr, now)
	}
	if len(c.dead) > maxTracked {
		t.Errorf("remembers %d addresses", len(c.dead))
	}
}

func TestRoutingTableIsSpreadAndTheNearestComeFirst(t *testing.T) {
	t.Parallel()
	k := newRoutingTable(false)
	now := time.Now()
	w := newWorld(20_000, 0)
	for _, c := range w.nodes {
		k.add(c, now)
	}
	if k.size() != 256*nodesPerPrefix || k.good(now) != k.size() || k.good(now.Add(time.Hour)) != 0 {
		t.Errorf("knows %d, good %d", k.size(), k.good(now))
	}
	target := [20]byte{0x42, 0x10}
	got := k.nearest(target, 20)
	if len(got) != 20 || got[0].ID[0] != 0x42 ||
		!slices.IsSortedFunc(got, func(a, b Contact) int { return compareDistance(target, a.ID, b.ID) }) {
		t.Errorf("nearest are %x", got)
	}
	newcomer := contact(9, "9.9.9.9:9999")
	k.add(newcomer, now)
	if slices.Contains(k.nearest(newcomer.ID, 1), newcomer) {
		t.Error("a newcomer took the place of a good node")
	}
	k.add(newcomer, now.Add(time.Hour))
	if !slices.Contains(k.nearest(newcomer.ID, 1), newcomer) {
		t.Error("a good node did not take the place of a stale one")
	}
	k.remove(newcomer)
	if slices.Contains(k.nearest(newcomer.ID, 8), newcomer) || k.size() != 256*nodesPerPrefix-1 {
		t.Error("not removed")
	}
}

// Ids are free: who answers under ever other ones from an address, or from all
// its ports, is one node, where it was last.
func TestRoutingTableHasOneNodeOfAnAddress(t *testing.T) {
	t.Parallel()
	k, now := newRoutingTable(false), time.Now()
	honest := contact(0x42, "8.8.8.8:6881")
	k.add(honest, now)
	for i := range 2000 {
		liar := contact(byte(i), fmt.Sprintf("9.9.9.9:%d", 2000+i))
		k.add(liar, now.Add(time.Duration(i)))
		if k.size() != 2 || !slices.Contains(k.nearest(liar.ID, 2), liar) {
			t.Fatalf("after %d answers it is %d nodes", i+1, k.size()-1)
		}
	}
	k.add(contact(7, "9.9.9.9:1999"), time.Time{})
	if k.remove(contact(1, "9.9.9.9:1")); k.size() != 2 {
		t.Error("another port of it is silent, so it is forgotten")
	}
	last := contact(0, fmt.Sprint("9.9.9.9:", 2000+1999))
	if !k.remove(last) || k.size() != 1 || k.nearest(last.ID, 9)[0] != honest {
		t.Error("not removed, although it is silent under another id")
	}
	several := newRoutingTable(true)
	several.add(honest, now)
	several.add(contact(0x42, "8.8.8.8:6882"), now)
	if several.size() != 2 {
		t.Errorf("knows %d of two nodes of a test network", several.size())
	}
}

func TestCompactContacts(t *testing.T) {
	t.Parallel()
	want := newWorld(3, 0).nodes
	b := AppendCompact(nil, want)
	got, err := ParseCompact(b)
	if err != nil || len(b) != 78 || !slices.Equal(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := ParseCompact(b[:77]); err == nil {
		t.Error("77 bytes accepted")
	}
}

func TestRoundTripEstimate(t *testing.T) {
	t.Parallel()
	var r roundTrip
	if r.timeout() != maxPatience {
		t.Error("impatient before any answer")
	}
	for range 50 {
		r.observe(100 * time.Millisecond)
	}
	if r.timeout() != minPatience {
		t.Errorf("steady answers: %v", r.timeout())
	}
	for i := range 100 {
		r.observe(time.Duration(100+300*(i%2)) * time.Millisecond)
	}
	if r.timeout() < 600*time.Millisecond || r.timeout() > maxPatience {
		t.Errorf("unsteady answers: %v", r.timeout())
	}
}

func TestIDAndNodesOutliveARestart(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "nodes.json")
	config := Config{Addr: "127.0.0.1:0", AllowPrivate: true, NodesFile: path}
	first, err := Start(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	other, err := Start(t.Context(), Config{Addr: "127.0.0.1:0", AllowPrivate: true})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if first.Introduce(t.Context(), other.Addr()) != 1 {
		t.Fatal("the other node did not answer")
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := Start(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if again.ID() != first.ID() {
		t.Error("the id changed")
	}
	if seeds := again.seeds([20]byte{}, 8); len(seeds) != 1 || seeds[0].ID != other.ID() {
		t.Errorf("seeds are %v", seeds)
	}
}

// A damaged file costs the id, and not the start; it is kept to be looked at. The
// new id is on the disk at once.
func TestADamagedNodesFileIsSetAside(t *testing.T) {
	t.Parallel()
	half, _ := json.Marshal(nodesFile{ID: make([]byte, 20), Nodes: []byte("x")})
	for _, damaged := range []string{"", "{", `{"id":"AAAA"}`, string(half), strings.Repeat("\x00", 4096)} {
		path := filepath.Join(t.TempDir(), "dht", "nodes")
		if err := ownfile.Write(path, []byte(damaged), 0o600); err != nil {
			t.Fatal(err)
		}
		told := make(logged, 9)
		config := Config{Addr: "127.0.0.1:0", AllowPrivate: true, NodesFile: path, Log: slog.New(slog.NewTextHandler(told, nil))}
		n, err := Start(t.Context(), config)
		if err != nil {
			t.Fatalf("from %q: %v", damaged, err)
		}
		if line := <-told; !strings.Contains(line, "is damaged") || !strings.Contains(line, path) {
			t.Errorf("from %q: logged %s", damaged, line)
		}
		if aside, err := os.ReadFile(path + ".damaged"); err != nil || string(aside) != damaged {
			t.Errorf("aside %q, %v, want %q", aside, err, damaged)
		}
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
		if saved := loadNodes(path, config.Log); saved.ID != n.ID() {
			t.Errorf("saved the id %x, want %x", saved.ID, n.ID())
		}
	}
}

// A folder that is missing is made; one that cannot be is told of, at the start.
func TestWhatCannotBeSavedIsToldOf(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "made", "nodes")
	for _, file := range []string{path, filepath.Join(path, "below a file")} {
		told := make(logged, 9)
		n, err := Start(t.Context(), Config{
			Addr: "127.0.0.1:0", AllowPrivate: true, NodesFile: file, Log: slog.New(slog.NewTextHandler(told, nil)),
		})
		if err != nil {
			t.Fatal(err)
		}
		if file != path {
			for line := range told {
				if strings.Contains(line, "cannot be saved") {
					break
				}
			}
		}
		if err := n.Close(); (err == nil) != (file == path) {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// A node that starts before anybody can be reached knows others seconds after they can.
func TestBootstrapIsTriedAgainWithinSeconds(t *testing.T) {
	t.Parallel()
	at := loopback.Addr()
	told := make(logged, 9)
	n, err := Start(t.Context(), Config{
		Addr: "127.0.0.1:0", Bootstrap: []string{at}, AllowPrivate: true, Log: slog.New(slog.NewTextHandler(told, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if line := <-told; !strings.Contains(line, "level=WARN") || !strings.Contains(line, "is alone") {
		t.Errorf("logged %s", line)
	}
	other, err := Start(t.Context(), Config{Addr: at, AllowPrivate: true})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	for end := time.Now().Add(30 * time.Second); n.Stats().GoodNodes == 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("still alone")
		}
	}
}

// logged are the lines of a log.
type logged chan string

func (l logged) Write(p []byte) (int, error) { l <- string(p); return len(p), nil }

func TestConfigNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"router.example", "router.example:x", "router.example:0", "router.example:70000"} {
		if n, err := Start(t.Context(), Config{Addr: "127.0.0.1:0", Bootstrap: []string{host}}); err == nil {
			n.Close()
			t.Errorf("accepted %q", host)
		}
	}
	if n, err := Start(t.Context(), Config{Addr: "127.0.0.1:-1"}); err == nil {
		n.Close()
		t.Error("accepted port -1")
	}
}
