package p2p

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const openLine = `["NEG-OPEN","N","{}","32","6100000200"]` + "\n"

// haveLine makes an upload of events as they stand.
func haveLine(t *testing.T, list ...any) string {
	t.Helper()
	text, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	line, err := json.Marshal([]string{"NEG-HAVE", "N", string(text)})
	if err != nil {
		t.Fatal(err)
	}
	return string(line) + "\n"
}

// forged are events of which something is wrong.
func forged(n int) (out []any) {
	for i := range n {
		e := signed()[i%len(signed())]
		switch i % 4 {
		case 0:
			e.Content = "not what was signed"
		case 1:
			e.ID = strings.Repeat("0", 64)
		case 2:
			e.Sig = strings.Repeat("0", 128)
		case 3:
			e.ID = e.ID[:12] // it crashes HORNETS at every later session
		}
		out = append(out, e)
	}
	return out
}

// What crashes a HORNETS relay, and worse, sent to us: each is refused with a
// reason, nothing of it is stored, and we go on serving others.
func TestHostileInitiators(t *testing.T) {
	endless := strings.Repeat("a", 8<<20)
	for name, c := range map[string]struct{ sends, want string }{
		"crash 1, an empty array":          {"[]\n", "is due"},
		"crash 1, short arrays":            {openLine + `["NEG-MSG","N"]` + "\n", "is due"},
		"crash 2, a message before open":   {`["NEG-MSG","N","6100000200"]` + "\n", "before NEG-OPEN"},
		"a request before open":            {`["NEG-NEED","N","[]"]` + "\n", "before NEG-OPEN"},
		"crash 3, null for an event":       {openLine + haveLine(t, nil) + "[]\n", "is due"},
		"crash 4, a negative length":       {`["NEG-OPEN","N","{}","32","6100ffffffffffffffffff7f00"]` + "\n", "malformed"},
		"crash 4, a huge length":           {openLine + `["NEG-MSG","N","6100ffffffffffffffffff7f00"]` + "\n", "malformed"},
		"crash 5, short ids":               {openLine + haveLine(t, forged(104)...) + "[]\n", "events were bad"},
		"a list of 2^63 ids":               {openLine + `["NEG-MSG","N","61000002ffffffffffffffff7f"]` + "\n", "malformed"},
		"not hex":                          {openLine + `["NEG-MSG","N","xyz"]` + "\n", "not hex"},
		"a filter that is none":            {`["NEG-OPEN","N","[1]","32","61"]` + "\n", "filter"},
		"an unknown message":               {openLine + `["REQ","N","x"]` + "\n", "unknown kind"},
		"an endless kind":                  {`["` + endless, "more than 16 bytes"},
		"an endless filter":                {`["NEG-OPEN","N","` + endless, "more than 65536 bytes"},
		"an endless message":               {openLine + `["NEG-MSG","N","` + endless, "more than 120000 bytes"},
		"an endless list of what is no id": {openLine + `["NEG-NEED","N","[` + strings.Repeat("1,", 1000), "not a list of ids"},
		"an endless list of ids": {
			openLine + `["NEG-NEED","N","[` + strings.Repeat(`\"`+strings.Repeat("0", 64)+`\",`, maxNeeded+1),
			"more than 100000 ids",
		},
		"one event again and again": {openLine + haveLine(t, slices.Repeat([]any{signed()[0]}, 103)...) + "[]\n", "it came before"},
		"one event, many uploads":   {openLine + strings.Repeat(haveLine(t, signed()[0]), 103), "it came before"},
		"comparisons without end":   {strings.Repeat(openLine, maxOpens+1), "more than 1000 times NEG-OPEN"},
		"forged ids and signatures": {openLine + haveLine(t, forged(102)...) + "[]\n", "events were bad"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ours := newMemoryRelay()
			h := serveMemoryRelay(t, ours, timing{})
			s := raw(t, newPeer(t, h.Addrs()[0], timing{}))
			go io.WriteString(s.raw, c.sends) // it is refused before all is sent
			got := refusal(t, s)
			// A refusal behind half an answer cannot be said; the stream is reset.
			if torn := strings.Contains(c.sends, "NEG-NEED") && strings.Contains(got, "reset"); !strings.Contains(got, c.want) && !torn {
				t.Errorf("refused: %s; want %s", got, c.want)
			}
			if stored := len(ours.ids()); stored > 0 && !strings.Contains(c.sends, signed()[0].Sig) {
				t.Errorf("stored %d events", stored)
			}
			ours.mu.Lock()
			clear(ours.have)
			ours.mu.Unlock()
			serves(t, h, ours)
		})
	}
}

// serves checks that a host still serves an honest peer.
func serves(t *testing.T, h *Host, ours *memoryRelay) {
	t.Helper()
	ours.mu.Lock()
	ours.have[signed()[9].ID] = signed()[9]
	ours.mu.Unlock()
	hornets := startHornets(t, signed()[:5]...)
	if err := hornets.Sync(t.Context(), h.Addrs()[0], nostr.Filter{}); err != nil {
		t.Errorf("an honest peer was not served: %v", err)
	}
	if len(ours.ids()) != 6 || len(hornets.IDs()) != 6 {
		t.Errorf("we hold %d events, the honest peer %d", len(ours.ids()), len(hornets.IDs()))
	}
}

// Who waits for too long, or lets us wait, is dropped, and told why unless the
// time of the session is over. Only the bound that is meant is short here.
func TestSlowInitiators(t *testing.T) {
	const brief = 300 * time.Millisecond
	for name, c := range map[string]struct {
		change      func(*timing)
		sends, want string
	}{
		"silence":              {func(l *timing) { l.idle = brief }, "", "no message"},
		"silence after a word": {func(l *timing) { l.idle = brief }, openLine, "no message"},
		"half an upload":       {func(l *timing) { l.grace = brief }, openLine + `["NEG-HAVE","N","[{\"id\"`, "drips"},
		"half an open":         {func(l *timing) { l.grace = brief }, openLine[:20], "drips"},
		"a session for ever":   {func(l *timing) { l.total = brief }, openLine, "reset"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			limits := defaultTiming
			c.change(&limits)
			s := raw(t, newPeer(t, serveMemoryRelay(t, newMemoryRelay(), limits).Addrs()[0], timing{}))
			if _, err := io.WriteString(s.raw, c.sends); err != nil {
				t.Log(err) // it has ended already
			}
			if got := refusal(t, s); !strings.Contains(got, c.want) {
				t.Errorf("refused: %s; want %s", got, c.want)
			}
		})
	}
}

// A drip of bytes, each in time, keeps no session.
func TestSlowLoris(t *testing.T) {
	t.Parallel()
	limits := defaultTiming
	limits.grace = 300 * time.Millisecond
	h := serveMemoryRelay(t, newMemoryRelay(), limits)
	s := raw(t, newPeer(t, h.Addrs()[0], timing{}))
	gone := make(chan string, 1)
	go func() { gone <- refusal(t, s) }()
	if _, err := io.WriteString(s.raw, openLine+`["NEG-HAVE","N","[`); err != nil {
		t.Fatal(err)
	}
	drip := time.NewTicker(limits.grace / 10)
	defer drip.Stop()
	for {
		select {
		case why := <-gone:
			if !strings.Contains(why, "drips") {
				t.Error(why)
			}
			return
		case <-drip.C:
			_, _ = s.raw.Write([]byte(" ")) // refused in the end
		}
	}
}

// Events that are no good do not spoil the good ones beside them.
func TestBadEventsArePassedOver(t *testing.T) {
	t.Parallel()
	ours := newMemoryRelay()
	h := serveMemoryRelay(t, ours, timing{})
	s := raw(t, newPeer(t, h.Addrs()[0], timing{}))
	good := signed()[0]
	big := good
	big.Content = strings.Repeat("x", 5<<20)
	upload := haveLine(t, nil, forged(4)[0], big, "text", 7, []int{1}, good, map[string]any{"id": nil}) +
		fmt.Sprintf(`["NEG-NEED","N","[\"%s\"]"]`, good.ID) + "\n"
	if _, err := io.WriteString(s.raw, openLine+upload); err != nil {
		t.Fatal(err)
	}
	if err := s.expect(kindMsg); err != nil {
		t.Fatal(err)
	}
	if _, err := s.hex(); err != nil {
		t.Fatal(err)
	}
	if err := s.expect(kindHave); err != nil {
		t.Fatal(err)
	}
	if got := ours.ids(); !slices.Equal(got, []string{good.ID}) {
		t.Errorf("stored %v", got)
	}
}

// That the local relay fails is told, and no good event is dropped in silence.
func TestRelayFailureEndsTheSession(t *testing.T) {
	t.Parallel()
	ours := newMemoryRelay()
	h := serveMemoryRelay(t, ours, timing{})
	p := newPeer(t, h.Addrs()[0], timing{})
	// Whatever the relay has done, the peer is not at fault, and learns no more
	// than it is meant to.
	for want, fault := range map[string]error{
		"error: the relay is gone":               &ToldError{"error: the relay is gone", errors.New("ws://192.0.2.1: EOF")},
		"error: the session could not be served": fmt.Errorf("%w: ws://192.0.2.1 sent junk", reconcile.ErrMisbehaving),
	} {
		ours.failAt(signed()[0].ID, fault)
		_, err := p.Publish(t.Context(), signed()[0])
		if refused := reconcile.RefusalOf(err); refused == nil || refused.Reason.Text != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	ours.failAt(signed()[0].ID, nil)
	serves(t, h, ours)
}

// A peer that opens streams by the hundred gets a few sessions, and others get
// theirs.
func TestManyStreams(t *testing.T) {
	t.Parallel()
	ours := newMemoryRelay()
	h := serveMemoryRelay(t, ours, timing{})
	p := newPeer(t, h.Addrs()[0], timing{})
	opened, refused := 0, 0
	for range 200 {
		s, err := p.host.open(t.Context(), p.addr)
		if err != nil {
			refused++
			continue
		}
		t.Cleanup(s.reset)
		if _, err := io.WriteString(s.raw, openLine); err != nil {
			refused++
			continue
		}
		if err := s.expect(kindMsg); err != nil {
			refused++
			continue
		}
		opened++
	}
	if opened != maxServedPeer {
		t.Errorf("%d sessions of one peer, %d refused", opened, refused)
	}
	serves(t, h, ours)
}

// What a hostile HORNETS relay may answer us with.
func TestHostileResponders(t *testing.T) {
	event := signed()[0]
	msgLine := `["NEG-MSG","N","61"]` + "\n"
	for name, c := range map[string]struct{ answers, want string }{
		"an empty array":         {"[]\n", "is due"},
		"an event for a message": {haveLine(t, event), "where a NEG-MSG is due"},
		"not hex":                {`["NEG-MSG","N","6g"]` + "\n", "not hex"},
		"an endless message":     {`["NEG-MSG","N","` + strings.Repeat("0", 1<<20), "more than 120000 bytes"},
		"an endless line":        {msgLine + `["NEG-HAVE","N","[` + strings.Repeat("[", maxSkipped+1), "more than 16777216 bytes"},
		"a message for an event": {msgLine + msgLine, "where a NEG-HAVE is due"},
		"forgeries":              {msgLine + haveLine(t, forged(102)...), "events were bad"},
		"events unasked for":     {msgLine + haveLine(t, unasked(102)...), "was not asked for"},
		"one event for ever":     {msgLine + haveLine(t, slices.Repeat([]any{event}, 200)...), "was not asked for"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := serveRaw(t, func(s *stream) { io.WriteString(s.raw, c.answers) })
			p := newPeer(t, h.Addrs()[0], timing{})
			var err error
			for _, failed := range p.Query(t.Context(), nostr.Filter{IDs: []string{event.ID}}) {
				err = failed
			}
			if !errors.Is(err, reconcile.ErrMisbehaving) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v; want %s", err, c.want)
			}
		})
	}
}

func unasked(n int) (out []any) {
	for i := range n {
		out = append(out, signed()[1+i])
	}
	return out
}

// A refusal is passed on in the peer's words, and understood where it says that
// the set is too large.
func TestRefusals(t *testing.T) {
	for text, large := range map[string]bool{
		"blocked: too many query results": true, "no such author": false, busy: false, strings.Repeat("long ", 100): false,
	} {
		h := serveRaw(t, func(s *stream) {
			if _, err := s.next(); err == nil {
				s.out.message(kindErr, text)
			}
		})
		p := newPeer(t, h.Addrs()[0], timing{})
		_, _, err := p.Open(t.Context(), nostr.Filter{}, []byte{0x61})
		if refused := reconcile.RefusalOf(err); refused == nil || refused.Reason.Text != reconcile.Clip(text) ||
			errors.Is(err, reconcile.ErrTooLarge) != large {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// A peer that takes an event and does not have it afterwards has refused it.
func TestPublishNotKept(t *testing.T) {
	h := serveRaw(t, func(s *stream) {
		io.WriteString(s.raw, `["NEG-MSG","N","61"]`+"\n"+`["NEG-HAVE","N","null"]`+"\n")
	})
	reply, err := newPeer(t, h.Addrs()[0], timing{}).Publish(t.Context(), signed()[0])
	if reply.Kept() || reply.Reason.Code != reconcile.NotKept || err != nil {
		t.Errorf("%v, %v", reply, err)
	}
}

// An upload ends even if the peer keeps every bound of its stream.
func TestUploadsEnd(t *testing.T) {
	t.Parallel()
	h := serveRaw(t, func(s *stream) { io.WriteString(s.raw, `["NEG-MSG","N","61"]`+"\n") })
	limits := defaultTiming
	limits.upload = time.Second
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	p := newPeer(t, h.Addrs()[0], limits)
	first, err := p.host.open(ctx, p.addr) // the handshake may take a busy machine longer than the upload may
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(first.reset)
	_, err = p.Publish(ctx, signed()[0])
	if !errors.Is(err, reconcile.ErrInterrupted) || !strings.Contains(err.Error(), "the upload takes longer") {
		t.Errorf("%v", err)
	}
}

// Breaking off costs the stream, not the peer.
func TestFetchBrokenOff(t *testing.T) {
	hornets := startHornets(t, signed()...)
	p := newPeer(t, hornets.Addr("udp"), timing{})
	for range 3 {
		n := 0
		for _, err := range p.Query(t.Context(), nostr.Filter{IDs: idsOf(signed())}) {
			if err != nil {
				t.Fatal(err)
			}
			if n++; n == 10 {
				break
			}
		}
	}
}

// The first message of a transfer is about nothing.
func TestTransfersAskNothing(t *testing.T) {
	asked := make(chan string, 1)
	h := serveRaw(t, func(s *stream) {
		if _, err := s.next(); err != nil {
			return
		}
		text, err := s.in.text(maxFilter)
		if err != nil {
			return
		}
		asked <- text
	})
	p := newPeer(t, h.Addrs()[0], timing{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for range p.Query(t.Context(), nostr.Filter{IDs: []string{signed()[0].ID}}) {
			continue
		}
	}()
	var filter nostr.Filter
	if err := json.Unmarshal([]byte(<-asked), &filter); err != nil ||
		!slices.Equal(filter.IDs, []string{hex.EncodeToString(make([]byte, len(negentropy.ID{})))}) {
		t.Errorf("%+v, %v", filter, err)
	}
	h.Close()
	<-ended
}
