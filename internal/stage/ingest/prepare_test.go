package ingest

import (
	"strconv"
	"strings"
	"testing"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// What is prepared with others ends as it would alone, and costs one verification at most.
func TestPreparedTogetherEachEndsAsItWouldAlone(t *testing.T) {
	good, forged := textNote(alice, "good"), textNote(alice, "forged")
	forged.Sig = strings.Repeat("1", 128)
	late := textNote(alice, "late")
	late.CreatedAt = 4_000_000_000
	late.ID = late.Hash()
	refers := textNote(alice, "good", nostr.Tag{"e", strings.Repeat("a", 64)})
	encode := func(e nostr.Event) []byte { return nostr.Encode(e) }
	for name, prepare := range map[string]func(b *bench, ms []*contract.Message){
		"together": func(b *bench, ms []*contract.Message) { b.Prepare(ms) },
		"one by one": func(b *bench, ms []*contract.Message) {
			for _, m := range ms {
				b.Prepare([]*contract.Message{m})
			}
		},
		"not at all": func(*bench, []*contract.Message) {},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, Policy{Ours: func(pubkey string) bool { return pubkey != bob }})
			if _, v := b.handle(textNote(alice, "known"), 1); !v.IsDone() || b.verified != 1 {
				t.Fatal(v, b.verified)
			}
			cases := []struct {
				what, subject string
				data          []byte
				reject        bool
				outputs       int
			}{
				{"an event", events.SubjectEventReceived, encode(refers), false, 1},
				{"a forged one", events.SubjectEventReceived, encode(forged), true, 0},
				{"no event", events.SubjectEventReceived, []byte("{"), true, 0},
				{"one of the future", events.SubjectEventReceived, encode(late), true, 0},
				{"a stranger's", events.SubjectEventReceived, encode(textNote(bob, "b")), false, 0},
				{"one that was there before", events.SubjectEventReceived, encode(textNote(alice, "known")), false, 0},
				{"another event", events.SubjectEventReceived, encode(good), false, 0},
				{"the first once more", events.SubjectEventReceived, encode(refers), false, 0},
				{"no event at all", events.SubjectAuthorSeen, []byte("{}"), true, 0},
			}
			ms := make([]*contract.Message, len(cases))
			for i, c := range cases {
				ms[i] = &contract.Message{Subject: c.subject, Data: c.data, Attempt: 1, Cause: "INTAKE:" + strconv.Itoa(i)}
			}
			prepare(b, ms)
			for i, c := range cases {
				if out, v := b.deliver(*ms[i]); v.IsReject() != c.reject || v.IsDone() == c.reject || len(out) != c.outputs {
					t.Errorf("%s: %v (%s), %v", c.what, v, v.Reason(), out)
				}
			}
			// The known one, the good ones, the forged one, and the first once more if it was
			// not known yet when it was prepared.
			if b.verified != 4 && (name == "not at all" || b.verified != 5) {
				t.Errorf("verified %d times", b.verified)
			}
			// At another attempt all is done again.
			ms[0].Attempt, ms[0].Prepared = 2, nil
			prepare(b, ms[:1])
			if out, v := b.deliver(*ms[0]); !v.IsDone() || len(out) != 2 {
				t.Errorf("a second attempt: %v, %v", v, out)
			}
		})
	}
}
