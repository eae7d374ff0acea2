package demo

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	gonostr "github.com/nbd-wtf/go-nostr"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/kv"
	"github.com/relaymesh/relaymesh/internal/edge/mainline"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/run"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// step shows one thing; it fills in figures as it goes.
type step struct {
	name string
	run  func(ctx context.Context, w *world, figures map[string]any) error
}

var steps = []step{
	{"a list published at the home relay is on the DHT", findable},
	{"a list on the DHT leads to a relay not known before", discovers},
	{"a reply brings its missing parent", parent},
	{"a plain client asks home for a note that lies elsewhere, and has it before EOSE", answered},
	{"the home relay is complete, although everything is killed in the middle", complete},
	{"an author without a list is found where no list leads, and is complete", unlisted},
	{"any npub is found by the DHT alone, also when the machine that saw its list is gone", anyNpub},
	{"nothing went back, nothing was given up", tidy},
}

// findable: a user's list goes in at the home relay and comes out of another
// DHT node, bit for bit.
func findable(ctx context.Context, w *world, figures map[string]any) error {
	alice, err := schnorr.NewSecret()
	if err != nil {
		return err
	}
	w.alice = alice
	list, err := w.aliceSigns(ctx, time.Now().Unix(), w.relays[0].URL())
	if err != nil {
		return err
	}
	return w.onDHT(ctx, list, figures)
}

// aliceSigns publishes a list of alice's at the home relay.
func (w *world) aliceSigns(ctx context.Context, at int64, relays ...string) (run.SignedList, error) {
	list, err := run.SignList(w.alice, relays, at)
	if err != nil {
		return list, err
	}
	w.list = list
	return list, w.must(ctx, w.home, list.DHT)
}

// onDHT waits until another node reads exactly the item of the list.
func (w *world) onDHT(ctx context.Context, list run.SignedList, figures map[string]any) error {
	target := list.Item.Target()
	figures["target"] = hex.EncodeToString(target[:])
	return w.until(ctx, func() error {
		got, err := w.reader.Get(ctx, target, nil, mainline.GetOptions{})
		switch {
		case err != nil:
			return err
		case got.Item == nil:
			return errors.New("no node of the DHT has the list")
		case !got.Item.Equal(&list.Item):
			return fmt.Errorf("the DHT has seq %d, which is not the list that was signed with seq %d", got.Item.Seq, list.Item.Seq)
		}
		figures["holders"], figures["seq"] = len(got.Holders), got.Item.Seq
		return nil
	})
}

// must sends an event to a relay that has no reason to refuse it.
func (w *world) must(ctx context.Context, url string, e nostr.Event) error {
	refused, err := w.send(ctx, url, e)
	if refused != "" {
		return fmt.Errorf("%s refused an event of kind %d: %s", url, e.Kind, refused)
	}
	return err
}

// discovers: somebody else's list is put on the DHT; a note at the home relay
// names its key; the relay on the list becomes known, and what its author
// wrote there comes home.
func discovers(ctx context.Context, w *world, figures map[string]any) error {
	bob, err := schnorr.NewSecret()
	if err != nil {
		return err
	}
	now, far := time.Now().Unix(), w.relays[2].URL()
	relays, err := kv.Open[contract.Relay](ctx, w.js, contract.BucketRelays)
	if err != nil {
		return err
	}
	if _, known, err := relays.Get(ctx, nostr.RelayKey(far)); err != nil || known {
		return errors.Join(err, fmt.Errorf("%s is known already: %t", far, known))
	}
	list, err := run.SignList(bob, []string{far}, now)
	if err != nil {
		return err
	}
	if _, err := w.dht.Nodes[7].Put(ctx, list.Item, mainline.PutOptions{}); err != nil {
		return err
	}
	there := nostr.Event{CreatedAt: now, Kind: 1, Content: "written far away", Tags: []nostr.Tag{}}
	here := nostr.Event{
		CreatedAt: now, Kind: 1, Content: "written at home",
		Tags: []nostr.Tag{{"dht_key", hex.EncodeToString(list.Item.Key[:])}},
	}
	if err := errors.Join(bob.SignEvent(&there), bob.SignEvent(&here)); err != nil {
		return err
	}
	if err := errors.Join(w.must(ctx, far, there), w.must(ctx, w.home, here)); err != nil {
		return err
	}
	err = w.until(ctx, func() error {
		r, known, err := relays.Get(ctx, nostr.RelayKey(far))
		if err == nil && !known {
			err = errors.New("the relay on the list did not become known")
		}
		figures["relay"], figures["via"] = r.URL, r.Via
		return err
	})
	if err != nil {
		return err
	}
	return w.cameHome(ctx, there.ID)
}

// cameHome waits until the home relay has an event.
func (w *world) cameHome(ctx context.Context, id string) error {
	return w.until(ctx, func() error {
		have, err := w.ids(ctx, w.home, nostr.Filter{IDs: []string{id}})
		if err == nil && !have[id] {
			err = fmt.Errorf("%s did not come home", id)
		}
		return err
	})
}

// complete: the home relay is told which authors write where, and ends up with
// every event of theirs. In the middle, just after alice has signed a new
// list, the whole pipeline is killed and started again.
func complete(ctx context.Context, w *world, figures map[string]any) error {
	var all []nostr.Event
	tracked := map[string]bool{}
	for _, url := range w.urls() {
		authors := map[string]bool{}
		for e, err := range w.pool.At(url).Query(ctx, nostr.Filter{}) {
			if err != nil {
				return err
			}
			all = append(all, e)
			authors[e.PubKey] = true
		}
		for chunk := range slices.Chunk(slices.Sorted(maps.Keys(authors)), 500) {
			_, err := w.js.Publish(ctx, events.SubjectRelayDiscovered,
				nostr.Encode(events.RelayDiscovered{URL: url, Authors: chunk, Via: contract.ViaManual}))
			if err != nil {
				return err
			}
			for _, author := range chunk {
				tracked[author] = true
			}
		}
	}
	want := expected(all, time.Now().Unix())
	figures["authors"], figures["expected"] = len(tracked), len(want)

	if err := w.until(ctx, func() error { return w.synced(ctx, want, len(want)/10) }); err != nil {
		return err
	}
	list, err := w.aliceSigns(ctx, w.list.Item.Seq+1, w.relays[1].URL())
	if err != nil {
		return err
	}
	if err := w.pipe.restart(); err != nil {
		return err
	}
	if err := w.until(ctx, func() error { return w.synced(ctx, want, len(want)) }); err != nil {
		return err
	}
	return w.onDHT(ctx, list, figures)
}

// synced says how much of want the home relay lacks, if it has less than least.
func (w *world) synced(ctx context.Context, want map[string]bool, least int) error {
	have, err := w.ids(ctx, w.home, nostr.Filter{})
	if err != nil {
		return err
	}
	var got int
	for id := range want {
		if have[id] {
			got++
		}
	}
	if got < least {
		return fmt.Errorf("the home relay has %d of %d events", got, len(want))
	}
	return nil
}

// ids returns the ids of a relay's events that match.
func (w *world) ids(ctx context.Context, url string, f nostr.Filter) (map[string]bool, error) {
	out := map[string]bool{}
	for e, err := range w.pool.At(url).Query(ctx, f) {
		if err != nil {
			return nil, err
		}
		out[e.ID] = true
	}
	return out, nil
}

// parent: the parent of a reply lies on a relay that the reply names.
func parent(ctx context.Context, w *world, figures map[string]any) error {
	carol, err := schnorr.NewSecret()
	if err != nil {
		return err
	}
	dave, err := schnorr.NewSecret()
	if err != nil {
		return err
	}
	now, far := time.Now().Unix(), w.relays[1].URL()
	note := nostr.Event{CreatedAt: now - 60, Kind: 1, Content: "a note that home has never seen", Tags: []nostr.Tag{}}
	if err := dave.SignEvent(&note); err != nil {
		return err
	}
	reply := nostr.Event{
		CreatedAt: now, Kind: 1, Content: "a reply to it",
		Tags: []nostr.Tag{{"e", note.ID, far, "root", note.PubKey}, {"p", note.PubKey}},
	}
	if err := carol.SignEvent(&reply); err != nil {
		return err
	}
	if err := w.must(ctx, far, note); err != nil {
		return err
	}
	if have, err := w.ids(ctx, w.home, nostr.Filter{IDs: []string{note.ID}}); err != nil || have[note.ID] {
		return errors.Join(err, fmt.Errorf("the home relay has the parent already: %t", have[note.ID]))
	}
	if err := w.must(ctx, w.home, reply); err != nil {
		return err
	}
	figures["parent"] = note.ID
	return w.cameHome(ctx, note.ID)
}

// answered: a client that knows nothing of relaymesh asks the home relay, through
// the gateway, for a note by its id.
func answered(ctx context.Context, w *world, figures map[string]any) error {
	erin, err := schnorr.NewSecret()
	if err != nil {
		return err
	}
	note := nostr.Event{CreatedAt: time.Now().Unix(), Kind: 1, Content: "a note that nobody refers to", Tags: []nostr.Tag{}}
	if err := erin.SignEvent(&note); err != nil {
		return err
	}
	if err := w.must(ctx, w.relays[2].URL(), note); err != nil {
		return err
	}
	client, err := gonostr.RelayConnect(ctx, w.pipe.gateway())
	if err != nil {
		return err
	}
	defer client.Close()
	begun := time.Now()
	got, err := client.QuerySync(ctx, gonostr.Filter{IDs: []string{note.ID}})
	if err != nil {
		return err
	}
	if len(got) != 1 || got[0].ID != note.ID {
		return fmt.Errorf("the client got %d events before EOSE", len(got))
	}
	figures["note"], figures["waited_ms"] = note.ID, time.Since(begun).Milliseconds()
	return w.cameHome(ctx, note.ID)
}

// tidy: the record that is kept is the last one signed, and no message became
// a dead letter.
func tidy(ctx context.Context, w *world, figures map[string]any) error {
	records, err := kv.Open[contract.Record](ctx, w.js, contract.BucketRecords)
	if err != nil {
		return err
	}
	target := w.list.Item.Target()
	record, _, err := records.Get(ctx, contract.RecordKey(hex.EncodeToString(target[:])))
	if err != nil {
		return err
	}
	if record.Seq != w.list.Item.Seq || record.Superseded {
		return fmt.Errorf("the record that is kept has seq %d, signed was %d", record.Seq, w.list.Item.Seq)
	}
	figures["seq"] = record.Seq
	dead, err := w.js.Stream(ctx, contract.StreamDLQ)
	if err != nil {
		return err
	}
	count := dead.CachedInfo().State.Msgs
	figures["dead_letters"] = count
	if count > 0 {
		letter, err := dead.GetMsg(ctx, dead.CachedInfo().State.FirstSeq)
		if err != nil {
			return err
		}
		return fmt.Errorf("%d dead letters, the first is %s", count, letter.Data)
	}
	return nil
}
