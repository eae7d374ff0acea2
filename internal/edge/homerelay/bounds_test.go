package homerelay

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/relaymesh/relaymesh/internal/edge/clientaddr"
	"github.com/relaymesh/relaymesh/internal/edge/slots"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// dialFrom connects from an address of loopback, with further headers (name,
// value, …).
func dialFrom(t testing.TB, r *Relay, address string, headers ...string) (*rawClient, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	header := http.Header{}
	for i := 0; i < len(headers); i += 2 {
		header.Add(headers[i], headers[i+1])
	}
	client := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
			return d.DialContext(ctx, network, addr)
		},
	}}
	options := &websocket.DialOptions{HTTPClient: client, HTTPHeader: header}
	ws, _, err := websocket.Dial(ctx, r.URL(), options) //nolint:bodyclose // Dial has read it
	if err != nil {
		return nil, err
	}
	ws.SetReadLimit(4 << 20)
	t.Cleanup(func() { ws.CloseNow() })
	return &rawClient{t, ctx, ws}, nil
}

func mustDialFrom(t testing.TB, r *Relay, address string, headers ...string) *rawClient {
	t.Helper()
	c, err := dialFrom(t, r, address, headers...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// ended reports whether the relay has closed the connection; it waits for that.
func (c *rawClient) ended() bool {
	for {
		if _, _, err := c.ws.Read(c.ctx); err != nil {
			return c.ctx.Err() == nil
		}
	}
}

const stranger, honest = "127.9.9.9", "127.1.1.1"

// Idle connections of one address keep nobody out: not another address, not a
// newcomer of the same address, and not the pipeline.
func TestIdleConnectionsKeepNobodyOut(t *testing.T) {
	r := startRelay(t, "")
	own := mustDialFrom(t, r, stranger, "Authorization", "Bearer "+r.token)
	idle := make([]*rawClient, 0, 2*maxConnections)
	for range 2 * maxConnections {
		idle = append(idle, mustDialFrom(t, r, stranger))
	}
	if !idle[0].ended() {
		t.Error("the connection that was idle longest is still there")
	}
	mustDialFrom(t, r, stranger).alive()
	mustDialFrom(t, r, honest).alive()
	mustDialFrom(t, r, stranger, "Authorization", "Bearer "+r.token).alive()
	own.alive()
}

// Readiness says so when nobody else can get in, and only then.
func TestReadyUntilNobodyGetsIn(t *testing.T) {
	r := startRelay(t, "")
	r.ledger.shares[connections].all = 4
	open := make([]*rawClient, 4)
	for i := range open {
		if err := r.Ready(); err != nil {
			t.Errorf("with %d connections: %v", i, err)
		}
		open[i] = mustDialFrom(t, r, fmt.Sprintf("127.2.2.%d", 2*i/3))
		open[i].alive()
	}
	if err := r.Ready(); err != nil {
		t.Errorf("an address has two of four connections, of which one gives way: %v", err)
	}
	mustDialFrom(t, r, "127.4.4.4").alive()
	if err := r.Ready(); err == nil {
		t.Error("all connections are of addresses that have no other")
	}
	if _, err := dialFrom(t, r, honest); err == nil {
		t.Error("a fifth was admitted")
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if r.Ready() == nil {
		t.Error("ready when closed")
	}
}

// When all connections are in use, the address that has most of them gives way.
func TestTheFullestAddressGivesWay(t *testing.T) {
	r := startRelay(t, "")
	r.ledger.shares[connections].all = 8
	busy := make([]*rawClient, 7)
	for i := range busy {
		busy[i] = mustDialFrom(t, r, stranger)
		busy[i].alive() // with a subscription
	}
	for i := range 4 {
		mustDialFrom(t, r, fmt.Sprintf("127.2.2.%d", i)).alive()
	}
	for i, c := range busy[:3] {
		if !c.ended() {
			t.Errorf("connection %d of the fullest address is still there", i)
		}
	}
	busy[6].alive()
}

// A connection asks for as many values as it may, and events have as many tags
// as they may: nobody waits for that.
func TestLargeFiltersCostOthersNothing(t *testing.T) {
	r := startRelay(t, "")
	sink := mustDialFrom(t, r, stranger)
	values := make([]string, 73_000)
	for i := range values {
		values[i] = strconv.FormatInt(int64(i), 36)
	}
	sink.sendf(`["REQ","more",{"#t":["%s"]}]`, strings.Join(values, `","`))
	sink.expect("CLOSED", "more", "invalid: more than 10000 values…")
	open := 0
	for from := 0; from+maxValues <= len(values); from += maxValues {
		sink.sendf(`["REQ","large%d",{"#t":["%s"]}]`, from, strings.Join(values[from:from+maxValues], `","`))
		sink.expect("EOSE")
		open++
	}
	large := nostr.Event{Kind: 1, CreatedAt: 1}
	for i := range nostr.MaxTags {
		large.Tags = append(large.Tags, nostr.Tag{"t", "no" + strconv.Itoa(i)})
	}
	if took := cpuTime(t, func() {
		for range 4 {
			r.clients.publish(&large)
		}
	}); took > time.Second {
		t.Errorf("offering four events took %v of a core", took)
	}
	for i := range open {
		large.Tags = append(large.Tags, nostr.Tag{"t", values[i*maxValues]})
	}
	r.clients.publish(&large)
	for range open {
		sink.expect("EVENT")
	}
}

// cpuTime is how much of a core something takes, however busy the machine is.
func cpuTime(t *testing.T, f func()) time.Duration {
	t.Helper()
	used := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			t.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	before := used()
	f()
	return used() - before
}

// Sessions of pages are no sessions of others.
func TestSessionsAreSharedOut(t *testing.T) {
	r := startRelay(t, "")
	refused := 0
	for range 32 {
		page := mustDialFrom(t, r, stranger, "Origin", "https://page.example")
		for i := range maxSessions {
			page.sendf(`["NEG-OPEN","s%d",{},"61"]`, i)
			if m := page.next(); m[0] == "NEG-ERR" {
				refused++
			}
		}
	}
	if refused < 32*maxSessions*3/4 {
		t.Errorf("only %d of %d sessions of one page were refused", refused, 32*maxSessions)
	}
	for _, address := range []string{stranger, honest} {
		c := mustDialFrom(t, r, address)
		c.send(`["NEG-OPEN","s",{},"61"]`)
		c.expect("NEG-MSG", "s", "61")
	}
}

// Subscriptions of an address are bounded over its connections.
func TestSubscriptionsAreSharedOut(t *testing.T) {
	r := startRelay(t, "")
	open, most := 0, shares[subscriptions].party
	for open < most {
		c := mustDialFrom(t, r, stranger)
		for i := range min(maxSubscriptions, most-open) {
			c.sendf(`["REQ","s%d",{"ids":[]}]`, i)
			c.expect("EOSE")
			open++
		}
	}
	c := mustDialFrom(t, r, stranger)
	c.send(`["REQ","more",{"ids":[]}]`)
	c.expect("CLOSED", "more", "blocked: too many concurrent subscriptions from this address…")
	mustDialFrom(t, r, honest).alive()
}

// Clients that ask for everything and read nothing are cut where they hold too
// much; what they hold is given back.
func TestSlowReadersAreCut(t *testing.T) {
	r := startRelay(t, "")
	r.ledger.shares[heldBytes] = share{all: 8 << 20, network: 4 << 20, party: 2 << 20, connection: 1 << 20}
	author := newSigner(t)
	for i := range 8 {
		mustInsert(t, r.store, author.event(1, int64(1000+i), strings.Repeat("x", 400_000)))
	}
	slow := make([]*rawClient, 16)
	for i := range slow {
		slow[i] = mustDialFrom(t, r, fmt.Sprintf("127.3.3.%d", i/4))
		for j := range 8 {
			_ = slow[i].ws.Write(slow[i].ctx, websocket.MessageText, fmt.Appendf(nil, `["REQ","s%d",{}]`, j)) // it may be cut by now
		}
	}
	mustDialFrom(t, r, honest).alive()
	cut := 0
	for _, c := range slow {
		// What a client has not read yet is in buffers: it reads until its end.
		for {
			_, data, err := c.ws.Read(c.ctx)
			if err != nil {
				cut++
				break
			}
			if strings.HasPrefix(string(data), `["EOSE","s7"`) {
				break
			}
		}
	}
	if cut == 0 {
		t.Error("no slow reader was cut")
	}
	for _, c := range slow {
		c.ws.CloseNow()
	}
	for { // until the relay has noticed
		r.ledger.mu.Lock()
		left, networks := r.ledger.used, len(r.ledger.networks)
		r.ledger.mu.Unlock()
		if left[heldBytes] < 1<<16 && networks <= 1 {
			break
		}
		if t.Context().Err() != nil {
			t.Fatalf("the ledger still counts %v in %d networks", left, networks)
		}
		time.Sleep(time.Millisecond)
	}
}

// A message that never ends is memory, too.
func TestHalfMessagesAreCounted(t *testing.T) {
	r := startRelay(t, "")
	r.ledger.shares[heldBytes].party = 1 << 20
	half := make([]*rawClient, 8)
	for i := range half {
		half[i] = mustDialFrom(t, r, stranger)
		w, err := half[i].ws.Writer(half[i].ctx, websocket.MessageText)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = w.Write(make([]byte, 300_000)) // the relay may have cut it
	}
	ends := make(chan bool)
	for _, c := range half {
		go func() { ends <- c.ended() }()
	}
	if !<-ends {
		t.Error("2.4 MB of half messages were kept")
	}
	for _, c := range half {
		c.ws.CloseNow()
	}
	for range len(half) - 1 {
		<-ends
	}
}

// X-Forwarded-For counts from proxies that the operator named, from the right.
func TestPartyOf(t *testing.T) {
	proxies, err := clientaddr.Parse([]string{"10.0.0.0/8", "::1"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := clientaddr.Parse([]string{"proxy.example"}); err == nil {
		t.Error("a name was taken for an address")
	}
	r := &Relay{proxies: proxies, token: "secret"}
	for _, test := range []struct{ remote, forwarded, want, network string }{
		{"192.0.2.7:99", "", "192.0.2.7/32", "192.0.2.0/24"},
		{"192.0.2.7:99", "198.51.100.1", "192.0.2.7/32", "192.0.2.0/24"},
		{"10.1.1.1:99", "198.51.100.1", "198.51.100.1/32", "198.51.100.0/24"},
		{"10.1.1.1:99", "1.1.1.1, 198.51.100.1, 10.9.9.9", "198.51.100.1/32", "198.51.100.0/24"},
		{"10.1.1.1:99", "1.1.1.1, rubbish, 10.9.9.9", "10.9.9.9/32", "10.9.9.0/24"},
		{"10.1.1.1:99", "", "10.1.1.1/32", "10.1.1.0/24"},
		{"[::1]:99", "2001:db8:1:2:3::4", "2001:db8:1:2::/64", "2001:db8:1::/48"},
		{"[::1]:99", "[2001:db8:1:2:3::4]:443", "2001:db8:1:2::/64", "2001:db8:1::/48"},
		{"[::ffff:192.0.2.7]:99", "", "192.0.2.7/32", "192.0.2.0/24"},
		{"[fe80::1%eth0]:99", "", "fe80::/64", "fe80::/48"},
		{"127.5.6.7:99", "", "127.5.6.7/32", "127.5.6.7/32"},
	} {
		req := &http.Request{RemoteAddr: test.remote, Header: http.Header{}}
		if test.forwarded != "" {
			req.Header.Set("X-Forwarded-For", test.forwarded)
		}
		if p := r.partyOf(req); p.address.String() != test.want || p.network().String() != test.network || p.web || p.own {
			t.Errorf("%s for %q is %+v in %s", test.remote, test.forwarded, p, p.network())
		}
	}
	for token, own := range map[string]bool{"secret": true, "secrets": false, "": false} {
		req := &http.Request{RemoteAddr: "192.0.2.7:99", Header: http.Header{"Authorization": {"Bearer " + token}}}
		if p := r.partyOf(req); p.own != own {
			t.Errorf("token %q is %+v", token, p)
		}
	}
}

// A relay takes no more connections than leave files for the rest of the process, and says so; enough files need no word.
func TestConnectionsLeaveFiles(t *testing.T) {
	var log bytes.Buffer
	for files, want := range map[int]int{1024: 768, 15_996: 11_997, 16_000: 12_000, math.MaxInt: 12_000} {
		log.Reset()
		got := sharesWithin(files, slog.New(slog.NewTextHandler(&log, nil)))[connections].all
		if said := bytes.Count(log.Bytes(), []byte("\n")); got != want || said != min(1, 12_000-want) {
			t.Errorf("%d files: %d connections, want %d; said %d times", files, got, want, said)
		}
	}
	log.Reset()
	r, err := Start(t.Context(), Config{
		Path: filepath.Join(t.TempDir(), "relay.db"), Log: slog.New(slog.NewTextHandler(&log, nil)), maxFiles: 8,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got := r.ledger.shares[connections].all; got != 6 || !strings.Contains(log.String(), "6 clients of 8 open files") {
		t.Errorf("%d connections; the log says %s", got, log.String())
	}
	if n := slots.Files(); n < 64 {
		t.Errorf("this process may have %d files open", n)
	}
}
