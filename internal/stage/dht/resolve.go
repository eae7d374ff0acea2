package dht

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/health"
	"github.com/relaymesh/relaymesh/internal/hosts"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/pkg/bep44"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// probing is how many relays of one list are probed at a time, and
// probeAttempts how often a list is come back to for relays that gave no answer.
const (
	probing       = 4
	probeAttempts = 3
)

// HandleResolve takes author.seen.<pubkey>: look the author's list up, probe
// the relays on it, and announce those that answer. From then on a schedule
// looks it up: whoever has moved to relays that we do not know is not seen here
// any more, and is found on the DHT only.
func (s *Stage) HandleResolve(ctx context.Context, m contract.Message) ([]contract.Output, contract.Verdict) {
	pubkey := m.Key()
	if s.Denied.Key(pubkey) {
		return []contract.Output{{Subject: m.Subject, Data: m.Data, Cron: contract.CronNever}}, contract.Done()
	}
	author, found, err := s.Authors.Get(ctx, pubkey)
	if err != nil {
		return nil, contract.Retry(retryAfter, err.Error())
	}
	wake, _ := nostr.Decode[events.AuthorSeen](m.Data) // one without a key is any
	switch behind := !found || wake.DHTKey != "" && wake.DHTKey != author.DHTKey; {
	case behind && m.Attempt < stage.StaleAttempts:
		return nil, contract.Retry(stage.StaleAfter, "KV does not show the author yet, or the key, that the message is about")
	case !found:
		return nil, contract.Reject("pubkey: no such author is known")
	}
	if gone, err := s.gone(ctx, author); err != nil {
		return nil, contract.Retry(retryAfter, err.Error())
	} else if gone {
		return []contract.Output{{Subject: m.Subject, Cron: contract.CronNever}}, contract.Done()
	}
	key := author.DHTKey
	if !stage.OwnKey(pubkey, author) && len(stage.OwnLists(pubkey, author).Lists) > 0 {
		key = "" // what others say of the author is nothing beside it
	}
	answer, err := s.lookUpFor(ctx, pubkey, key)
	switch {
	case errors.Is(err, hosts.ErrBusy) && m.Attempt >= busyAttempts:
		return s.again(m, pubkey, author), contract.Done()
	case err != nil:
		return nil, contract.Retry(retryAfter, err.Error())
	}
	out, silent, err := s.follow(ctx, pubkey, author, answer)
	if err != nil {
		return nil, ended(err)
	}
	if silent > 0 && m.Attempt < probeAttempts {
		return out, contract.Retry(retryAfter, fmt.Sprintf("%d of %d relays gave no answer", silent, len(answer.Relays)))
	}
	if !answer.Found {
		out = append(out, s.learnList(ctx, pubkey, author)...)
	}
	now := s.Now().Unix()
	stored, err := s.update(ctx, pubkey, author, func(a contract.Author) (contract.Author, bool) {
		a.NextResolve = now + int64(s.ResolveEvery.Seconds())
		return a, true
	})
	if err != nil {
		return nil, ended(err)
	}
	out = append(out, s.again(m, pubkey, author)...)
	answer = standing(answer, stage.OwnLists(pubkey, stored).Lists[contract.ViaDHT])
	return append(out, contract.Output{Subject: events.SubjectRecordResolved, Data: nostr.Encode(events.RecordResolved{
		PubKey: pubkey, DHTKey: key, Seq: answer.Seq, Relays: answer.Relays, Found: answer.Found, Why: answer.Why,
	})}), contract.Done()
}

// again has an author looked up on a schedule, if there is a key to look under.
func (s *Stage) again(m contract.Message, pubkey string, author contract.Author) []contract.Output {
	if author.DHTKey == "" {
		return nil
	}
	cron, _ := contract.Cron("author:"+pubkey, s.ResolveEvery) // checked with the configuration
	return []contract.Output{{
		Subject: m.Subject, Data: nostr.Encode(events.AuthorSeen{PubKey: pubkey, DHTKey: author.DHTKey}), Cron: cron,
	}}
}

// errMoved says that an author has got another DHT key while the one before was
// looked up, or says now what only others had said.
var errMoved = errors.New("the author has named another DHT key meanwhile")

// ended is how a look-up ends that could not be written down. That of a key which
// its author has left comes again, for the new one: a message of its own that one may have had
// was replaced by this, if ingest read a copy that lags and woke us for the old key last. Where
// it was not, it has replaced this, which does not come again.
func ended(err error) contract.Verdict {
	if errors.Is(err, errMoved) {
		return contract.Retry(stage.StaleAfter, err.Error())
	}
	return contract.Retry(retryAfter, err.Error())
}

// update changes an author whose DHT key is still the one that was looked up.
func (s *Stage) update(
	ctx context.Context, pubkey string, looked contract.Author, change func(contract.Author) (contract.Author, bool),
) (contract.Author, error) {
	same := func(a contract.Author) bool { return a.DHTKey == looked.DHTKey && a.DHTKeyBy == looked.DHTKeyBy }
	stored, err := s.Authors.Update(ctx, pubkey, func(old contract.Author, found bool) (contract.Author, bool) {
		if !found || !same(old) {
			return old, false
		}
		return change(old)
	})
	switch {
	case err != nil:
		return stored, fmt.Errorf("couldn't write author %s: %w", pubkey, err)
	case same(stored):
		return stored, nil
	case stage.LaterKey(pubkey, looked, stored):
		return stored, errMoved
	}
	return stored, fmt.Errorf("KV does not show the DHT key of author %s any more: a copy lags", pubkey)
}

// Resolve answers the service relaymesh.list.resolve. Where the network gives
// an older list of an author than the newest that was seen, as nodes do that
// missed the last put, it answers with that one, and with none where the author has
// ended it. An author has no list but under
// the DHT key that they named themselves; whoever asks for a list under another
// key is told that key's, and not that it is the author's. Where the DHT has none,
// list indexes are asked. Beside the list stands where the author was seen.
func (s *Stage) Resolve(ctx context.Context, r events.ResolveRequest) (events.ResolveResponse, error) {
	from := ""
	if s.From != nil {
		from = s.From()
	}
	if from != "" && from == r.Except {
		return events.ResolveResponse{From: from, Why: "not looked up from this address"}, nil
	}
	if s.Denied.Key(r.PubKey) {
		return events.ResolveResponse{PubKey: r.PubKey, Why: "the author is " + string(reconcile.Denied)}, nil
	}
	var author contract.Author
	if r.PubKey != "" && s.Authors != nil {
		var err error
		if author, _, err = s.Authors.Get(ctx, r.PubKey); err != nil {
			return events.ResolveResponse{}, err
		}
		own := stage.OwnKey(r.PubKey, author)
		if !own && author.DHTKey != "" && r.DHTKey == "" {
			return s.withSeen(ctx, s.byIndexes(ctx, events.ResolveResponse{
				PubKey: r.PubKey, Why: "only others name a DHT key of the author, " + author.DHTKey,
			}))
		}
		if r.DHTKey != "" && (!own || r.DHTKey != author.DHTKey) {
			r.PubKey, author = "", contract.Author{}
		}
		r.DHTKey = cmp.Or(r.DHTKey, author.DHTKey)
	}
	answer, err := s.lookUp(ctx, r.DHTKey)
	answer.PubKey, answer.From = r.PubKey, from
	if answer = standing(answer, author.Lists[contract.ViaDHT]); err != nil || r.Except != "" {
		return answer, err // what the DHT shows is the question
	}
	return s.withSeen(ctx, s.byIndexes(ctx, answer))
}

// lookUp reads the list under a DHT key, which may be empty: not known.
func (s *Stage) lookUp(ctx context.Context, dhtKey string) (events.ResolveResponse, error) {
	answer := events.ResolveResponse{DHTKey: dhtKey}
	if dhtKey == "" {
		answer.Why = "no DHT key of the author is known by their own word"
		return answer, nil
	}
	if !nostr.IsHex(dhtKey, 32) {
		answer.Why = "dht_key: want 64 lower-case hex digits"
		return answer, nil
	}
	if s.Denied.Key(dhtKey) {
		answer.Why = "the DHT key is " + string(reconcile.Denied)
		return answer, nil
	}
	var key [32]byte
	_, _ = hex.Decode(key[:], []byte(dhtKey)) // checked above
	item, holders, found, err := s.Network.Get(ctx, key, nil)
	if err != nil {
		return answer, fmt.Errorf("couldn't look up %s: %w", dhtKey, err)
	}
	if !found {
		answer.Why = "no node has a record under the key"
		return answer, nil
	}
	return s.Answer(item, holders), nil
}

// Answer reads the list in a verified item that so many nodes gave.
func (s *Stage) Answer(item bep44.Item, holders int) events.ResolveResponse {
	answer := events.ResolveResponse{
		DHTKey: hex.EncodeToString(item.Key[:]), Target: stage.TargetHex(item), Seq: item.Seq, Value: item.Value,
		DHTSig: hex.EncodeToString(item.Sig[:]), Holders: holders,
	}
	urls, err := bep44.DecodeRelayList(item.Value)
	if err != nil {
		answer.Why = "the record is no relay list: " + err.Error()
		return answer
	}
	for _, raw := range urls {
		if url, err := nostr.NormalizeRelayURL(raw, s.AllowPrivate); err == nil && !s.Denied.Relay(url) {
			answer.Relays = append(answer.Relays, url)
		}
	}
	answer.Found = len(answer.Relays) > 0
	if !answer.Found {
		answer.Why = "the list names no relay that may be dialled"
	}
	return answer
}

// follow writes down what a look-up under an author's key has found, probes its
// relays and announces those that answer. silent is how many did not.
func (s *Stage) follow(
	ctx context.Context, pubkey string, author contract.Author, answer events.ResolveResponse,
) (out []contract.Output, silent int, err error) {
	if author.DHTKey == "" {
		return nil, 0, nil
	}
	own := stage.OwnKey(pubkey, author)
	list := contract.List{Version: answer.Seq, Key: answer.DHTKey, ID: answer.DHTSig, Write: answer.Relays}
	stored, err := s.update(ctx, pubkey, author, func(a contract.Author) (contract.Author, bool) {
		next, newer := stage.OwnLists(pubkey, a), false
		if own && answer.DHTSig != "" { // a record of no usable relay has replaced the list before, too
			next, newer = stage.LearnList(next, contract.ViaDHT, list)
		}
		return next, newer || len(next.Lists) < len(a.Lists)
	})
	if err != nil {
		return nil, 0, err
	}
	if !own {
		counts, err := stage.FollowClaim(ctx, s.Authors, s.Links, pubkey, stored, list.Version, list.Write)
		if err != nil || !counts {
			return nil, 0, err
		}
		return s.announce(ctx, pubkey, contract.ViaClaim, list)
	}
	followed, err := stage.FollowList(ctx, s.Authors, s.Links, pubkey, contract.ViaDHT, stored)
	// If a newer one came in an event, or a newer key did, ingest announces it.
	if err != nil || !answer.Found || followed.Key != list.Key || followed.Version > list.Version {
		return nil, 0, err
	}
	return s.announce(ctx, pubkey, contract.ViaDHT, followed)
}

// announce probes the relays of a list and returns wake-ups for those that
// answer. silent is how many did not.
func (s *Stage) announce(ctx context.Context, pubkey, via string, list contract.List) (out []contract.Output, silent int, err error) {
	var mu sync.Mutex
	var group errgroup.Group
	group.SetLimit(probing)
	for _, url := range s.Denied.Relays(list.Write) {
		group.Go(func() error {
			answered, err := s.probe(ctx, url, via)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			if !answered {
				silent++
				return nil
			}
			out = append(out, contract.Output{
				Subject: contract.RelayDiscoveredSubject(nostr.RelayKey(url)),
				Data: nostr.Encode(events.RelayDiscovered{
					URL: url, Authors: []string{pubkey}, Via: via, Cause: list.ID,
				}),
			})
			return nil
		})
	}
	return out, silent, group.Wait()
}

// probe asks a relay for its NIP-11 document and writes the answer, or that
// there was none, to KV. A relay that answered within ResolveEvery is not asked
// again, and one that did not is left alone for a while, which grows: thousands
// of lists may name one host.
func (s *Stage) probe(ctx context.Context, url, via string) (answered bool, err error) {
	key, at := nostr.RelayKey(url), s.Now()
	now := at.Unix()
	known, found, err := s.Relays.Get(ctx, key)
	if err != nil {
		return false, err
	}
	if !found {
		buckets := stage.Buckets{Relays: s.Relays, Links: s.Links, Authors: s.Authors}
		if kept, err := s.families.Admit(ctx, buckets, url, now); err != nil || !kept {
			return false, err
		}
	}
	if known.ProbedAt > now-int64(s.ResolveEvery.Seconds()) {
		return true, nil
	}
	if health.Stored(known.ProbeFailures, known.NextProbe).LeftAlone(at) {
		return false, nil
	}
	release, err := s.probes.Acquire(ctx, hosts.Of(url), known.Proven(now) && known.ProbeFailures == 0)
	if errors.Is(err, hosts.ErrBusy) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	doc, probeErr := func() (contract.Relay, error) {
		defer release() // also if it panics
		return s.Probe(ctx, url)
	}()
	if errors.Is(probeErr, hosts.ErrBusy) {
		return false, nil
	}
	event, jitter := health.Answered, rand.Float64()
	if probeErr != nil {
		event = health.Failed
	}
	_, err = s.Relays.Update(ctx, key, func(old contract.Relay, found bool) (contract.Relay, bool) {
		if !found {
			old = contract.Relay{URL: url, Via: via, FirstSeen: now}
		}
		next := health.Probe.Within(s.ResolveEvery).Next(health.Stored(old.ProbeFailures, old.NextProbe), event, at, jitter)
		old.ProbeFailures, old.NextProbe = next.Failures, next.Unix()
		if probeErr != nil {
			old.Error = probeErr.Error()
			return old, true
		}
		old.ProbedAt, old.Name, old.Software, old.NIPs, old.Hornets, old.Error = now, doc.Name, doc.Software, doc.NIPs, doc.Hornets, ""
		old.AuthRequired = doc.AuthRequired
		return old, true
	})
	return probeErr == nil, err
}
