package ingest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// learn writes what was found to KV and then says whom to wake: the order
// matters, see the package documentation. With an error it says whom to wake for
// what has been written.
func (s *Stage) learn(ctx context.Context, pubkey string, f finding, from source) ([]contract.Output, error) {
	var out []contract.Output
	var refused error
	if f.record != nil {
		switch err := s.keep(ctx, f.target, *f.record); {
		case err == nil:
			out = append(out, contract.Output{
				Subject: contract.RelayListSignedSubject(f.target),
				Data:    nostr.Encode(signedPayload(*f.record, f.list)),
			})
		case from.again && errors.As(err, new(inputError)):
			// The attempt before may have kept it and failed over the rest, and a
			// newer one of the DHT has taken its place since.
			refused = err
		default:
			return nil, err
		}
	}
	for _, owner := range slices.Sorted(maps.Keys(f.keys)) {
		if owner != pubkey && s.ours(owner) {
			wake, err := s.see(ctx, owner, nil, keyClaim{f.keys[owner], from})
			if err != nil {
				return out, err
			}
			out = append(out, wake...)
		}
	}
	wake, err := s.see(ctx, pubkey, &f, keyClaim{f.keys[pubkey], from})
	if err != nil {
		return out, err
	}
	out = append(out, wake...)
	missing, err := s.wanted(ctx, pubkey, f.refs, f.keys)
	if err == nil {
		err = refused
	}
	return append(out, missing...), err
}

// keep puts a record into KV unless it would go back, or the author has too
// many.
func (s *Stage) keep(ctx context.Context, target string, put contract.Record) error {
	have, kept, err := s.Records.Get(ctx, contract.RecordKey(target))
	if err != nil {
		return fmt.Errorf("couldn't read record %s: %w", target, err)
	}
	stays := false
	if kept {
		if stays, err = s.elder(ctx, have.PubKey, put.PubKey); err != nil {
			return err
		}
	}
	if !stays {
		err := s.claimSlot(ctx, put, target)
		if stays = kept && errors.As(err, new(inputError)); err != nil && !stays {
			return err
		}
	}
	var refused error
	_, err = s.Records.Update(ctx, contract.RecordKey(target), func(old contract.Record, found bool) (contract.Record, bool) {
		refused = nil
		if !found {
			return put, true
		}
		of := put.PubKey
		if stays && old.PubKey == have.PubKey {
			of = old.PubKey
		}
		write, err := replaceRecord(old, put)
		if !write {
			refused = err
			again := err == nil && old.PubKey != of
			old.PubKey = of
			return old, again
		}
		next := put
		next.PubKey, next.Nodes = of, old.Nodes // the same target, so the same neighbourhood
		return next, true
	})
	if err != nil {
		return fmt.Errorf("couldn't keep record %s: %w", target, err)
	}
	if refused != nil {
		return bad(refused)
	}
	return nil
}

// elder reports whether a record stays an author's although another brings it: whose it
// is nobody can prove, and anybody can put what another has signed for the DHT into an
// event of their own. So it is that of the two who has been here for longer.
func (s *Stage) elder(ctx context.Context, has, brings string) (bool, error) {
	if has == "" || has == brings || !s.ours(has) {
		return has == brings, nil
	}
	one, _, err := s.Authors.Get(ctx, has)
	if err != nil {
		return false, fmt.Errorf("couldn't read author %s: %w", has, err)
	}
	other, _, err := s.Authors.Get(ctx, brings)
	if err != nil {
		return false, fmt.Errorf("couldn't read author %s: %w", brings, err)
	}
	return one.FirstSeen != 0 && (other.FirstSeen == 0 || one.FirstSeen <= other.FirstSeen), nil
}

// see writes what is known of an author and returns the wake-ups that follow.
func (s *Stage) see(ctx context.Context, pubkey string, f *finding, claim keyClaim) ([]contract.Output, error) {
	now := s.Now().Unix()
	lists := f != nil && (f.list != nil || f.over != nil)
	if k, found := s.cached.Get(pubkey); found && !lists && !claim.again && k.covers(pubkey, claim, now) {
		return nil, nil
	}
	var before contract.List
	author, err := s.Authors.Update(ctx, pubkey, func(old contract.Author, found bool) (contract.Author, bool) {
		next := learnKey(pubkey, old, claim)
		changed := !found || !sameKey(old, next)
		if f != nil && f.list != nil {
			var newer bool
			before = old.Lists[f.via]
			next, newer = stage.LearnList(next, f.via, *f.list)
			changed = changed || newer
		}
		if f != nil && f.over != nil {
			var ended bool
			next, ended = stage.EndLists(pubkey, next, *f.over)
			changed = changed || ended
		}
		if !changed && now-old.LastSeen < writeSeenEvery {
			return old, false
		}
		return seeAuthor(next, now), true
	})
	if err != nil {
		return nil, fmt.Errorf("couldn't write author %s: %w", pubkey, err)
	}
	var out []contract.Output
	if f != nil && f.list != nil {
		if out, err = s.follow(ctx, pubkey, f, before, author, claim.again); err != nil {
			return nil, err
		}
	}
	if f != nil && f.over != nil {
		if err := s.unlink(ctx, pubkey, author); err != nil {
			return nil, err
		}
	}
	if author.NextResolve <= now {
		out = append(out, contract.Output{
			Subject: contract.AuthorSeenSubject(pubkey),
			Data:    nostr.Encode(events.AuthorSeen{PubKey: pubkey, DHTKey: author.DHTKey}),
			// One for each look-up that is due: an author who goes back to a
			// key within minutes is looked up there again, and so is one who
			// says what a stranger has said.
			ID: fmt.Sprintf("seen:%s:%s:%s:%d:%d", pubkey, author.DHTKey, author.DHTKeyBy, author.DHTKeyAt, author.NextResolve),
		})
	}
	s.cached.Put(pubkey, remember(author, now, int64(s.ResolveEvery/time.Second)))
	return out, nil
}

// follow makes the links of an author, as stored now, those of their list, and
// says which relays are to be looked at. before is the list that was stored
// when the author was read: if that is one that this stage has followed and it
// names the same relays, there is nothing to do, which is what most new lists
// are like.
func (s *Stage) follow(
	ctx context.Context, pubkey string, f *finding, before contract.List, author contract.Author, again bool,
) (out []contract.Output, err error) {
	key, list := f.via+"."+pubkey, author.Lists[f.via]
	if id, found := s.followed.Get(key); found && id == before.ID && !again && slices.Equal(before.Write, list.Write) &&
		slices.Equal(before.Read, list.Read) {
		s.followed.Put(key, list.ID)
		return nil, nil
	}
	// Also for an older list: a worker may have died over it halfway.
	list, err = stage.FollowList(ctx, s.Authors, s.Links, pubkey, f.via, author)
	if err != nil {
		return nil, err
	}
	// On a further attempt also where a later list has taken the place of the event's: the
	// attempt before may have failed over what it was to say, while who brought the later
	// one found the links made, and said nothing.
	told := list.ID == f.list.ID || again
	if told {
		out = discovered(s.Denied.Relays(list.Write), pubkey, f.via, list.ID)
	}
	if s.Mentions {
		if err := stage.FollowReaders(ctx, s.Links, pubkey, f.via, list); err != nil {
			return nil, err
		}
		if told {
			only := slices.DeleteFunc(slices.Clone(list.Read), func(url string) bool { return nostr.HasRelay(list.Write, url) })
			out = append(out, discovered(s.Denied.Relays(only), pubkey, f.via, list.ID)...)
		}
	}
	if told { // else who brought it may yet fail to say so
		s.followed.Put(key, list.ID)
	}
	return out, nil
}

// unlink takes the links of an author back that are of lists which have ended. It
// does so for those that ended before, too: a worker may have died over them.
func (s *Stage) unlink(ctx context.Context, pubkey string, author contract.Author) error {
	for via, list := range author.Lists {
		if !list.Ended() {
			continue
		}
		list, err := stage.FollowList(ctx, s.Authors, s.Links, pubkey, via, author)
		if err != nil {
			return err
		}
		if s.Mentions {
			if err := stage.FollowReaders(ctx, s.Links, pubkey, via, list); err != nil {
				return err
			}
		}
		if list.Ended() { // and not a later one
			s.followed.Put(via+"."+pubkey, list.ID)
		}
	}
	return nil
}

// wanted returns a wake-up for each reference of pubkey's that the local relay
// lacks, up to the author's rate limit.
func (s *Stage) wanted(ctx context.Context, pubkey string, refs []events.NoteMissing, keys map[string]string) ([]contract.Output, error) {
	refs = slices.DeleteFunc(refs, func(ref events.NoteMissing) bool {
		return s.Denied.ID(ref.EventID) || s.Denied.Key(ref.AuthorPubkey)
	})
	if len(refs) == 0 {
		return nil, nil
	}
	contract.Waits(ctx)
	missing, err := s.Missing(ctx, refs)
	if err != nil {
		return nil, fmt.Errorf("couldn't ask the local relay what it has: %w", err)
	}
	var out []contract.Output
	for _, ref := range missing[:s.missingLimit.allow(pubkey, len(missing), s.Now().Unix()/60)] {
		if ref.DHTKey == "" {
			ref.DHTKey = keys[ref.AuthorPubkey]
		}
		out = append(out, contract.Output{Subject: contract.NoteMissingSubject(ref.Key()), Data: nostr.Encode(ref)})
	}
	return out, nil
}

func discovered(relays []string, pubkey, via, cause string) []contract.Output {
	var out []contract.Output
	for _, url := range relays {
		out = append(out, contract.Output{
			Subject: contract.RelayDiscoveredSubject(nostr.RelayKey(url)),
			Data:    nostr.Encode(events.RelayDiscovered{URL: url, Authors: []string{pubkey}, Via: via, Cause: cause}),
		})
	}
	return out
}

func signedPayload(r contract.Record, l *contract.List) events.RelayListSigned {
	p := events.RelayListSigned{PubKey: r.PubKey, DHTKey: r.DHTKey, Salt: r.Salt, Seq: r.Seq, Value: r.Value, DHTSig: r.Sig}
	if l != nil {
		p.Relays = l.Write
	}
	return p
}
