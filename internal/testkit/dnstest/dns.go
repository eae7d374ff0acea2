package dnstest

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// DNS is a name server on loopback that all lookups of the process go to.
type DNS struct {
	conn *net.UDPConn

	mu      sync.Mutex
	answers map[string][][]netip.Addr
	asked   map[string]int
}

// StartDNS starts a name server and makes it that of [net.DefaultResolver]
// until the test ends. The resolver belongs to the whole process, so no other
// test may run meanwhile: a test that is parallel ends with a panic here.
func StartDNS(tb testing.TB) *DNS {
	tb.Helper()
	tb.Setenv("RELAYMESH_DNSTEST", "on") // nobody reads it: Setenv is what refuses parallel tests
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		tb.Fatal(err)
	}
	d := &DNS{conn: conn, answers: map[string][][]netip.Addr{}, asked: map[string]int{}}
	var serving sync.WaitGroup
	serving.Go(d.serve)
	r := net.DefaultResolver // others hold the pointer
	goBefore, dialBefore := r.PreferGo, r.Dial
	r.PreferGo = true
	r.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", conn.LocalAddr().String())
	}
	tb.Cleanup(func() {
		r.PreferGo, r.Dial = goBefore, dialBefore
		conn.Close()
		serving.Wait()
	})
	return d
}

// Set makes a name resolve to each of the answers in turn, one per lookup and
// family, and to the last one from then on.
func (d *DNS) Set(name string, answers ...[]netip.Addr) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.answers[name+"."], d.asked[name+"."] = answers, 0
}

// Asked returns how many addresses of a name were asked for.
func (d *DNS) Asked(name string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.asked[name+"."]
}

func (d *DNS) serve() {
	buf := make([]byte, 4096)
	for {
		n, from, err := d.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		var query dnsmessage.Message
		if query.Unpack(buf[:n]) != nil || len(query.Questions) != 1 {
			continue
		}
		reply, err := d.answer(query).Pack()
		if err == nil {
			_, _ = d.conn.WriteToUDPAddrPort(reply, from)
		}
	}
}

func (d *DNS) answer(query dnsmessage.Message) *dnsmessage.Message {
	q := query.Questions[0]
	reply := &dnsmessage.Message{
		Header:    dnsmessage.Header{ID: query.ID, Response: true, Authoritative: true, RecursionAvailable: true},
		Questions: query.Questions,
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	answers := d.answers[q.Name.String()]
	if len(answers) == 0 {
		reply.RCode = dnsmessage.RCodeNameError
		return reply
	}
	// A lookup asks for both families.
	turn := min(d.asked[q.Name.String()]/2, len(answers)-1)
	d.asked[q.Name.String()]++
	for _, addr := range answers[turn] {
		header := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class}
		switch {
		case q.Type == dnsmessage.TypeA && addr.Is4():
			reply.Answers = append(reply.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AResource{A: addr.As4()}})
		case q.Type == dnsmessage.TypeAAAA && addr.Is6():
			reply.Answers = append(reply.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AAAAResource{AAAA: addr.As16()}})
		}
	}
	return reply
}
