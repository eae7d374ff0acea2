package syncing

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
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
	if err := s.note(t.Context(), "wss://a.example.com", errors.New("refused"), 0); err != nil || relay.Via != contract.ViaHint {
		t.Errorf("kept %+v, %v", relay, err)
	}
}
