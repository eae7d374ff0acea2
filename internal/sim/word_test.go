package sim_test

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/run"
	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/internal/stage/dht"
	"github.com/relaymesh/relaymesh/pkg/bep44"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// onDHT puts a list on the network, as its owner does.
func (w *world) onDHT(l run.SignedList) {
	w.dht.set(func(n *network) { n.items[stage.TargetHex(l.Item)] = l.Item })
}

// claims has somebody say, in a reply to an author, under which key of the DHT
// the author's list is.
func (w *world) claims(who, author *schnorr.SecretKey, dhtKey string) {
	w.Helper()
	w.sendEvent(note(w.T, who, "reply at "+time.Now().String(),
		nostr.Tag{"e", strings.Repeat("0", 64)}, nostr.Tag{"p", author.PublicKey()}, nostr.Tag{"dht_key", dhtKey}))
}

// stands checks where an author's lists, links and the service say that they
// write: at the relay own by a list of that version for the DHT, or nowhere if
// it is "". Links may also lead to others.
func (w *world) stands(what string, author *schnorr.SecretKey, version int64, own string, others ...string) {
	w.Helper()
	time.Sleep(time.Minute)
	pubkey, want := author.PublicKey(), []string(nil)
	if own != "" {
		want = []string{own}
	}
	if list := get[contract.Author](w, contract.BucketAuthors, pubkey).Lists[contract.ViaDHT]; list.Version != version ||
		!slices.Equal(list.Write, want) {
		w.Errorf("%s: list %+v, want version %d of %v", what, list, version, want)
	}
	linked := append(slices.Clone(want), others...)
	if slices.Sort(linked); !slices.Equal(w.links(pubkey), linked) {
		w.Errorf("%s: links to %v, want %v", what, w.links(pubkey), linked)
	}
	answer, err := w.service().Resolve(w.Context(), events.ResolveRequest{PubKey: pubkey})
	if err != nil || answer.PubKey != pubkey || answer.Found != (own != "") || !slices.Equal(answer.Relays, want) {
		w.Errorf("%s: resolved %+v, %v, want %v", what, answer, err, want)
	}
}

func (w *world) service() *dht.Stage {
	return &dht.Stage{
		Network: w.dht, Probe: w.relays.probe, ResolveEvery: resolveEvery, Now: time.Now, Log: slog.New(slog.DiscardHandler),
		Denied:  w.denied,
		Authors: store[contract.Author](w, contract.BucketAuthors), Links: store[contract.Link](w, contract.BucketLinks),
		Relays: store[contract.Relay](w, contract.BucketRelays),
	}
}

func TestAStrangersListNeverStandsUnderAnAuthorsName(t *testing.T) {
	inWorld(t, func(w *world) {
		w.ingest(nil)
		w.dhtworker(nil)
		alice, bob, mallory := user(w.T, "alice"), user(w.T, "bob"), user(w.T, "mallory")
		his := list(w.T, mallory, bep44.MaxSeq, strangersRelay)
		key := hexOf(his.Item.Key[:])
		w.onDHT(his)

		w.claims(mallory, alice, key)
		w.stands("a stranger's word alone", alice, 0, "", strangersRelay) // it makes us look
		if l := get[contract.Link](w, contract.BucketLinks,
			contract.LinkKey(nostr.RelayKey(strangersRelay), alice.PublicKey())); len(l.Via) != 1 || l.Via[contract.ViaClaim] == 0 {
			w.Errorf("the stranger's relay is linked by %v", l.Via)
		}
		answer, err := w.service().Resolve(w.Context(), events.ResolveRequest{PubKey: alice.PublicKey(), DHTKey: key})
		if err != nil || !answer.Found || answer.PubKey != "" {
			w.Errorf("asked for the stranger's key: %+v, %v", answer, err)
		}

		w.sendEvent(list(w.T, alice, 100, relayURL(1)).DHT)
		w.stands("a list of her own", alice, 100, relayURL(1))
		w.claims(mallory, alice, key)
		w.discover(strangersRelay, alice)
		w.Publish(events.SubjectAuthorSeen,
			nostr.Encode(events.AuthorSeen{PubKey: alice.PublicKey(), DHTKey: key, Relays: []string{strangersRelay}}))
		w.stands("claims and hints beside it", alice, 100, relayURL(1))
		time.Sleep(2 * resolveEvery)
		w.stands("two look-ups later", alice, 100, relayURL(1))

		// The same against a list of another kind, in either order.
		carol := user(w.T, "carol")
		for i, first := range []*schnorr.SecretKey{bob, carol} {
			if i == 0 {
				w.claims(mallory, first, key)
				w.discover(strangersRelay, first)
				time.Sleep(time.Minute)
			}
			w.sendEvent(nip65(w.T, first, time.Now().Unix(), relayURL(2)))
			time.Sleep(time.Minute)
			w.claims(mallory, first, key)
			w.discover(strangersRelay, first)
			w.stands("beside NIP-65", first, 0, "", relayURL(2))
		}
		w.noDeadLetters()
	})
}

// The DHT keeps what an author deletes; we do not go by it, also when a look-up has
// read the same list there before.
func TestAListThatItsAuthorHasDeletedIsAnsweredNoMore(t *testing.T) {
	inWorld(t, func(w *world) {
		w.ingest(nil)
		w.dhtworker(nil)
		alice := user(w.T, "alice")
		l := list(w.T, alice, 100, relayURL(1))
		w.sendEvent(l.DHT)
		time.Sleep(2 * resolveEvery)
		w.stands("a list that was looked up", alice, 100, relayURL(1))
		w.sendEvent(sign(w.T, alice, nostr.Event{Kind: nostr.KindDeletion, CreatedAt: time.Now().Unix(), Tags: []nostr.Tag{{"e", l.DHT.ID}}}))
		w.stands("deleted", alice, 100, "")
		time.Sleep(2 * resolveEvery)
		w.stands("looked up again", alice, 100, "")
		told := outcomes[events.RecordResolved](w, events.SubjectRecordResolved)
		if last := told[len(told)-1]; last.Found || len(last.Relays) > 0 || last.Why == "" {
			w.Errorf("told of the last look-up: %+v", last)
		}
		w.noDeadLetters()
	})
}

// What an author has signed for the DHT is public: whoever puts it into an event of their
// own has it kept, and does not make it theirs before an author who was here earlier,
// be it with a later item, or before the author's own event.
func TestARecordIsOfWhoWasHereEarlier(t *testing.T) {
	inWorld(t, func(w *world) {
		w.ingest(nil)
		alice, bob, mallory := user(w.T, "alice"), user(w.T, "bob"), user(w.T, "mallory")
		is := func(what string, l run.SignedList, of *schnorr.SecretKey, seq int64) {
			w.Helper()
			time.Sleep(time.Hour)
			r := get[contract.Record](w, contract.BucketRecords, contract.RecordKey(stage.TargetHex(l.Item)))
			if r.PubKey != of.PublicKey() || r.Seq != seq {
				w.Errorf("%s: seq %d of %.8s is kept, want %d of %.8s", what, r.Seq, r.PubKey, seq, of.PublicKey())
			}
		}
		now := time.Now().Unix()
		first := list(w.T, alice, 100, relayURL(1))
		w.sendEvent(first.DHT)
		is("her own", first, alice, 100)
		later := listOf(w.T, mallory, alice, now, 200, relayURL(2))
		w.sendEvent(later.DHT)
		is("a later one by a stranger", later, alice, 200)

		w.sendEvent(note(w.T, bob, "hello"))
		time.Sleep(time.Hour)
		carol := user(w.T, "carol")
		copied := listOf(w.T, carol, bob, now, 100, relayURL(1))
		w.sendEvent(copied.DHT)
		is("by a stranger first", copied, carol, 100)
		w.sendEvent(listOf(w.T, bob, bob, now, 100, relayURL(1)).DHT)
		is("by its author", copied, bob, 100)
		if known := get[contract.Author](w, contract.BucketAuthors, bob.PublicKey()); len(known.Records) != 1 {
			w.Errorf("the author has %d records", len(known.Records))
		}
		w.noDeadLetters()
	})
}

func TestAnAuthorWhoNamesAnotherKeyIsFollowedThereWhateverItsSeq(t *testing.T) {
	inWorld(t, func(w *world) {
		w.ingest(nil)
		w.dhtworker(nil)
		alice, former := user(w.T, "alice"), user(w.T, "alice's former key")
		now := time.Now().Unix()
		before := listOf(w.T, alice, former, now, 9000, relayURL(1))
		w.sendEvent(before.DHT)
		w.stands("the first key", alice, 9000, relayURL(1))
		w.sendEvent(listOf(w.T, alice, alice, now+1, 7, relayURL(2)).DHT)
		w.stands("another key", alice, 7, relayURL(2))
		w.sendEvent(listOf(w.T, alice, former, now-1, 9001, relayURL(3)).DHT)
		w.stands("an older event of the first key", alice, 7, relayURL(2))

		// The list is not in the event.
		w.onDHT(list(w.T, former, 9002, relayURL(4)))
		w.sendEvent(sign(w.T, alice, nostr.Event{Kind: 1, CreatedAt: now + 2, Tags: []nostr.Tag{{"dht_key", hexOf(before.Item.Key[:])}}}))
		w.stands("the first key again, by a tag", alice, 9002, relayURL(4))
		empty := strings.Repeat("11", 32)
		w.sendEvent(sign(w.T, alice, nostr.Event{Kind: 1, CreatedAt: now + 3, Tags: []nostr.Tag{{"dht_key", empty}}}))
		w.stands("a key without a list", alice, 0, "")
		w.noDeadLetters()
	})
}

// movingNetwork has something happen while a list is looked up.
type movingNetwork struct {
	dht.Network

	meanwhile func()
}

func (n movingNetwork) Get(ctx context.Context, key [32]byte, salt []byte) (bep44.Item, int, bool, error) {
	item, holders, found, err := n.Network.Get(ctx, key, salt)
	n.meanwhile()
	return item, holders, found, err
}

func TestALookUpThatEndsAfterItsKeyWasLeftChangesNothing(t *testing.T) {
	inWorld(t, func(w *world) {
		ingest := w.ingest(nil)
		alice, former, mallory := user(w.T, "alice"), user(w.T, "alice's former key"), user(w.T, "mallory")
		for _, who := range []*schnorr.SecretKey{former, mallory} {
			author := alice
			before := listOf(w.T, author, who, time.Now().Unix(), bep44.MaxSeq, strangersRelay)
			if who == mallory {
				author = user(w.T, "bob")
				w.claims(mallory, author, hexOf(before.Item.Key[:]))
			} else {
				w.sendEvent(note(w.T, author, "hello", nostr.Tag{"dht_key", hexOf(before.Item.Key[:])}))
			}
			w.onDHT(before)
			time.Sleep(2 * time.Second)
			s := w.service()
			s.Network = movingNetwork{w.dht, func() {
				l := listOf(w.T, author, author, time.Now().Unix(), 1, relayURL(1))
				w.onDHT(l)
				w.sendEvent(l.DHT)
				time.Sleep(time.Second)
			}}
			out, verdict := s.HandleResolve(w.Context(),
				contract.Message{Subject: contract.AuthorSeenSubject(author.PublicKey()), Data: []byte("{}"), Attempt: 1})
			if len(out) > 0 || verdict.IsDone() { // it comes again, for the key that was named meanwhile
				w.Errorf("the look-up ends with %v and %+v", verdict, out)
			}
			w.stands("the key that was named meanwhile", author, 1, relayURL(1))
			if a := get[contract.Author](w, contract.BucketAuthors, author.PublicKey()); a.NextResolve != 0 {
				w.Errorf("the new key counts as looked up: %+v", a)
			}
		}
		ingest.end(w.T)
	})
}

// What earlier versions stored does not say who signed a list.
func TestAListThatAnEarlierVersionTookForTheAuthorsGoes(t *testing.T) {
	inWorld(t, func(w *world) {
		w.ingest(nil)
		w.dhtworker(nil)
		mallory := user(w.T, "mallory")
		his := list(w.T, mallory, bep44.MaxSeq, strangersRelay)
		w.onDHT(his)
		poisoned := func(name, by, key string) *schnorr.SecretKey {
			author := user(w.T, name)
			put(w, contract.BucketAuthors, author.PublicKey(), contract.Author{
				DHTKey: key, DHTKeyBy: by, DHTKeyAt: 1, FirstSeen: 1, LastSeen: time.Now().Unix(),
				Lists: map[string]contract.List{contract.ViaDHT: {Version: bep44.MaxSeq, ID: hexOf(his.Item.Sig[:]), Write: []string{strangersRelay}}},
			})
			put(w, contract.BucketLinks, contract.LinkKey(nostr.RelayKey(strangersRelay), author.PublicKey()),
				contract.Link{URL: strangersRelay, Via: map[string]int64{contract.ViaDHT: bep44.MaxSeq}})
			return author
		}
		lookUp := func(author *schnorr.SecretKey) {
			w.Publish(contract.AuthorSeenSubject(author.PublicKey()), []byte("{}"))
		}

		only := poisoned("only claimed", mallory.PublicKey(), hexOf(his.Item.Key[:]))
		lookUp(only)
		w.stands("nobody but a stranger spoke", only, 0, "", strangersRelay)

		alice := user(w.T, "alice")
		hers := list(w.T, alice, 100, relayURL(1))
		poisoned("alice", alice.PublicKey(), hexOf(hers.Item.Key[:]))
		lookUp(alice)
		w.stands("nothing under her key", alice, 0, "")
		poisoned("alice", alice.PublicKey(), hexOf(hers.Item.Key[:]))
		w.onDHT(hers)
		lookUp(alice)
		w.stands("a list under her key", alice, 100, relayURL(1))

		bob := poisoned("bob", mallory.PublicKey(), hexOf(his.Item.Key[:]))
		w.sendEvent(list(w.T, bob, 5, relayURL(2)).DHT)
		w.stands("his own list", bob, 5, relayURL(2))
		w.noDeadLetters()
	})
}
