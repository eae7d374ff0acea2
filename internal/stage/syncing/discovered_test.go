package syncing

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// one is a bucket of relays that has one.
type one struct {
	stage.Store[contract.Relay]
	value *contract.Relay
}

func (o one) Update(
	_ context.Context, _ string, change func(contract.Relay, bool) (contract.Relay, bool),
) (contract.Relay, error) {
	if next, write := change(*o.value, o.value.URL != ""); write {
		*o.value = next
	}
	return *o.value, nil
}

// A stranger's spelling of a relay that works counts for nothing; one that an
// earlier version cut the slash off gets it back.
func TestARelayIsDialledByTheSpellingThatWorks(t *testing.T) {
	const cut, whole = "wss://a.example.com/nostr", "wss://a.example.com/nostr/"
	for name, tc := range map[string]struct {
		known     contract.Relay
		said, via string
		want      string
	}{
		"not known":                 {contract.Relay{}, whole, contract.ViaHint, whole},
		"known, and it answers":     {contract.Relay{URL: whole}, cut, contract.ViaHint, whole},
		"cut off, and it fails":     {contract.Relay{URL: cut, Failures: 1}, whole, contract.ViaNIP65, whole},
		"the operator's, and fails": {contract.Relay{URL: whole, Via: contract.ViaManual, Failures: 3}, cut, contract.ViaHint, whole},
		"the operator says another": {contract.Relay{URL: cut}, whole, contract.ViaManual, whole},
		"the operator's own":        {contract.Relay{URL: cut, Via: contract.ViaManual}, whole, contract.ViaManual, whole},
		"the operator's, and works": {contract.Relay{URL: whole, Via: contract.ViaManual}, cut, contract.ViaNIP65, whole},
	} {
		relay := tc.known
		s := &Stage{Relays: one{value: &relay}, Now: time.Now}
		url, err := s.addRelay(t.Context(), tc.said, tc.via)
		if err != nil || url != tc.want || relay.URL != tc.want || nostr.RelayKey(url) != nostr.RelayKey(tc.said) {
			t.Errorf("%s: dialled is %s, %v, kept %+v", name, url, err, relay)
		}
	}
}

// However a relay became known, from the time that the operator names it nobody
// else says how it is spelled.
func TestTheOperatorsSpellingOfARelayThatWasKnownStays(t *testing.T) {
	const cut, whole = "wss://a.example.com/nostr", "wss://a.example.com/nostr/"
	for _, known := range []contract.Relay{{}, {URL: cut, Via: contract.ViaHint}, {URL: whole, Via: contract.ViaNIP65, Failures: 5}} {
		relay := known
		s := &Stage{Relays: one{value: &relay}, Now: time.Now}
		if _, err := s.addRelay(t.Context(), whole, contract.ViaManual); err != nil {
			t.Fatal(err)
		}
		relay.Failures++
		url, err := s.addRelay(t.Context(), cut, contract.ViaHint)
		if err != nil || url != whole || relay.Via != contract.ViaManual {
			t.Errorf("%+v: dialled is %s, %v, kept %+v", known, url, err, relay)
		}
	}
}

// A sync of a relay that KV does not know makes it none of the operator's.
func TestARelayThatWasOnlySyncedIsNotTheOperators(t *testing.T) {
	var relay contract.Relay
	s := &Stage{Relays: one{value: &relay}, Now: time.Now}
	_, err := s.keep(t.Context(), "wss://a.example.com")
	if err != nil || relay.Via != contract.ViaHint {
		t.Errorf("kept %+v, %v", relay, err)
	}
}

// That a relay which the operator has named is left alone is told once, and once that
// it is not any more; of others, and of what its pool tells of, nothing is said.
func TestTheRestOfANamedRelayIsToldOnce(t *testing.T) {
	cut := errors.New("cut")
	away, both := &reconcile.AwayError{Err: cut}, []string{"is left alone", "is not left alone any more"}
	for name, c := range map[string]struct {
		named bool
		syncs []error
		want  []string
	}{
		"named":        {true, []error{cut, cut, nil, cut, cut, cut, cut, cut, nil, nil}, both},
		"a stranger":   {false, []error{cut, cut, cut, nil}, nil},
		"it was away":  {true, []error{away, away, away, away}, nil},
		"it says no":   {true, []error{reconcile.ErrRefused, reconcile.ErrRefused, nil}, both},
		"it goes well": {true, []error{nil, nil}, nil},
	} {
		var log bytes.Buffer
		relay, now := contract.Relay{URL: "wss://a.example.com"}, time.Unix(1_700_000_000, 0)
		s := &Stage{
			Relays: one{value: &relay}, Now: func() time.Time { return now }, Log: slog.New(slog.NewTextHandler(&log, nil)),
			Rules: func(string) []Rule { return []Rule{{Named: c.named}} },
		}
		for _, err := range c.syncs {
			if err := s.note(t.Context(), relay.URL, err, &latency{}, false); err != nil {
				t.Fatal(err)
			}
			now = now.Add(24 * time.Hour)
		}
		lines := strings.Count(log.String(), "level=WARN")
		for i, want := range c.want {
			if lines != len(c.want) || !strings.Contains(strings.Split(log.String(), "\n")[i], want) {
				t.Errorf("%s: want %q, logged:\n%s", name, c.want, log.String())
			}
		}
		if len(c.want) == 0 && lines > 0 {
			t.Errorf("%s: logged:\n%s", name, log.String())
		}
	}
}

// A relay that is back is synced at once, whatever it was left alone for; one that is
// not synced at all is not.
func TestARelayThatIsBackIsSynced(t *testing.T) {
	for name, known := range map[string]contract.Relay{
		"left alone": {URL: "wss://a.example.com", Failures: 5, RetryAt: 1 << 40, Fault: "refused"},
		"well":       {URL: "wss://a.example.com"},
		"not known":  {},
	} {
		relay, out := known, []contract.Output{}
		s := &Stage{Relays: one{value: &relay}, Now: time.Now, Publish: func(_ context.Context, o ...contract.Output) error {
			out = append(out, o...)
			return nil
		}}
		for range 2 {
			if err := s.Back(t.Context(), "wss://a.example.com"); err != nil {
				t.Fatal(err)
			}
		}
		want := 2
		if known.URL == "" {
			want = 0
		}
		if len(out) != want || relay.Failures != 0 || relay.RetryAt != 0 || relay.Fault != "" {
			t.Errorf("%s: %d messages; %+v", name, len(out), relay)
		}
		if want > 0 && (out[0].Subject != contract.SyncDueSubject(nostr.RelayKey(known.URL)) || bytes.Equal(out[0].Data, out[1].Data)) {
			t.Errorf("%s: %s, %s", out[0].Subject, out[0].Data, out[1].Data)
		}
	}
}
