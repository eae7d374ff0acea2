package stage

import (
	"slices"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
)

const (
	evidenceNow = 1_700_000_000
	aDay        = 24 * 3600
)

// link is one with the evidence of a source, and n deliveries.
func link(n int, via ...any) contract.Link {
	l := contract.Link{URL: "wss://a.example.com", Delivered: n, Via: map[string]int64{}}
	for i := 0; i < len(via); i += 2 {
		l.Via[via[i].(string)] = int64(via[i+1].(int))
	}
	return l
}

func TestEvidenceIsWeighedByItsSourceAndItsAge(t *testing.T) {
	falling := []contract.Link{
		link(100, contract.ViaDelivered, evidenceNow, contract.ViaNIP65, evidenceNow-aDay),
		link(100, contract.ViaDelivered, evidenceNow),
		link(100, contract.ViaDelivered, evidenceNow-10*aDay),
		link(1, contract.ViaDelivered, evidenceNow-aDay),
		link(0, contract.ViaNIP65, evidenceNow-aDay),
		link(0, contract.ViaDHT, 7),
		link(0, contract.ViaNIP65, evidenceNow-10_000*aDay),
		link(0, contract.ViaHint, 0),
		link(0, contract.ViaClaim, 0),
		link(1, contract.ViaDelivered, evidenceNow-100*aDay),
		link(0),
	}
	for i := range len(falling) - 1 {
		if a, b := Weigh(falling[i], evidenceNow), Weigh(falling[i+1], evidenceNow); a <= b {
			t.Errorf("%v weighs %.3f, and %v %.3f", falling[i], a, falling[i+1], b)
		}
	}
	if w := Weigh(link(0), evidenceNow); w != 0 {
		t.Errorf("no evidence weighs %f", w)
	}
	for _, odd := range []contract.Link{
		link(-5, contract.ViaDelivered, evidenceNow+1000*aDay), link(0, "unheard of", evidenceNow), link(1<<62, contract.ViaDelivered, 0),
	} {
		if w := Weigh(odd, evidenceNow); !(w >= 0 && w < 100) {
			t.Errorf("%v weighs %f", odd, w)
		}
	}
}

func TestDeliveriesAddUpAndFade(t *testing.T) {
	l := Delivered(contract.Link{}, "wss://a.example.com", 40, evidenceNow)
	if l.URL != "wss://a.example.com" || l.Delivered != 40 || l.Via[contract.ViaDelivered] != evidenceNow || !OnlySeen(l) {
		t.Fatalf("%+v", l)
	}
	next := Delivered(l, "another spelling", 3, evidenceNow+30*aDay)
	if next.Delivered != 23 || next.URL != l.URL || l.Via[contract.ViaDelivered] != evidenceNow {
		t.Errorf("%+v after %+v", next, l)
	}
	if most := Delivered(link(1<<40, contract.ViaDelivered, evidenceNow), "", 1<<40, evidenceNow); most.Delivered != maxDelivered {
		t.Errorf("%d deliveries count", most.Delivered)
	}
	forgetAt := int64(evidenceNow) + int64(contract.ForgetAfter/time.Second)
	if Forgotten(l, forgetAt-1) || !Forgotten(l, forgetAt) {
		t.Error("a link of deliveries alone goes after another time than 30 days")
	}
	if said := link(1, contract.ViaDelivered, evidenceNow, contract.ViaHint, 0); OnlySeen(said) || Forgotten(said, forgetAt) {
		t.Error("a relay that somebody names is taken for one that nobody does")
	}
}

func TestRelaysOfAnAuthorAreRankedByEvidence(t *testing.T) {
	at := func(url string, l contract.Link) contract.Link { l.URL = url; return l }
	strong, weak := Ranked([]string{"said", "said too"}, []contract.Link{
		at("z hint", link(0, contract.ViaHint, 0)),
		at("a hint", link(0, contract.ViaHint, 0)),
		at("delivers", link(50, contract.ViaDelivered, evidenceNow-aDay)),
		at("said too", link(50, contract.ViaDelivered, evidenceNow, contract.ViaNIP65, evidenceNow)),
		at("delivered", link(1, contract.ViaDelivered, evidenceNow-90*aDay)),
	}, evidenceNow)
	if !slices.Equal(strong, []string{"said too", "delivers", "said"}) || !slices.Equal(weak, []string{"a hint", "z hint", "delivered"}) {
		t.Errorf("strong %q, weak %q", strong, weak)
	}
}

// A relay that the author has left loses what it delivered with the list that named
// it; one that no list named is still seen.
func TestWhatALeftRelayDeliveredGoesWithItsList(t *testing.T) {
	left := evidence{via: contract.ViaNIP65, version: 9, urls: []string{"wss://b.example.com"}, over: []string{contract.ViaHint}}
	for name, c := range map[string]struct {
		link contract.Link
		want []string
	}{
		"left":                  {link(3, contract.ViaNIP65, 5, contract.ViaDelivered, 7), []string{contract.ViaDelivered, contract.ViaNIP65}},
		"left, another names":   {link(3, contract.ViaNIP65, 5, contract.ViaDHT, 1, contract.ViaDelivered, 7), []string{contract.ViaNIP65}},
		"seen":                  {link(3, contract.ViaDelivered, 7), nil},
		"hinted and seen":       {link(3, contract.ViaHint, 0, contract.ViaDelivered, 7), []string{contract.ViaHint}},
		"of a later list, seen": {link(3, contract.ViaNIP65, 10, contract.ViaDelivered, 7), nil},
	} {
		if got := slices.Sorted(slices.Values(left.outdated(c.link))); !slices.Equal(got, c.want) {
			t.Errorf("%s: loses %q, want %q", name, got, c.want)
		}
	}
}

// Equal evidence weighs the same, to the last bit, or the order of relays were drawn by lot.
func TestEqualEvidenceWeighsTheSame(t *testing.T) {
	link := contract.Link{Via: map[string]int64{}, Delivered: 7}
	for i, w := range weights {
		link.Via[w.via] = int64(1_600_000_000 + 1_234_567*i)
	}
	const now = 1_700_000_000
	want := Weigh(link, now)
	for range 1000 {
		if got := Weigh(link, now); got != want {
			t.Fatalf("%v, and then %v", want, got)
		}
	}
}
