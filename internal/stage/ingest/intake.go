package ingest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/pkg/bep44"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// maxAuthors bounds the authors that one relay.discovered message names.
const maxAuthors = 1000

// authorSeen takes the public author.seen.
func (s *Stage) authorSeen(ctx context.Context, m contract.Message) ([]contract.Output, error) {
	p, err := nostr.Decode[events.AuthorSeen](m.Data)
	if err != nil {
		return nil, bad(err)
	}
	if !nostr.IsHex(p.PubKey, 32) {
		return nil, bad(errors.New("pubkey: want 64 lower-case hex digits"))
	}
	if p.DHTKey != "" && !nostr.IsHex(p.DHTKey, 32) {
		return nil, bad(errors.New("dht_key: want 64 lower-case hex digits, or none"))
	}
	if len(p.Relays) > nostr.MaxListRelays {
		return nil, bad(fmt.Errorf("relays: %d, at most %d are accepted", len(p.Relays), nostr.MaxListRelays))
	}
	hints, err := normalizeAll(p.Relays, s.AllowPrivate)
	if err != nil {
		return nil, bad(err)
	}
	if !s.ours(p.PubKey) {
		return nil, nil
	}
	if s.Denied.Key(p.DHTKey) {
		p.DHTKey = ""
	}
	out, err := s.see(ctx, p.PubKey, nil, keyClaim{p.DHTKey, source{again: s.again(m)}})
	if err != nil {
		return nil, err
	}
	for _, url := range s.Denied.Relays(hints) {
		counts, err := s.hint(ctx, url, p.PubKey)
		if err != nil {
			return nil, err
		}
		if counts {
			out = append(out, discovered([]string{url}, p.PubKey, contract.ViaHint, p.Event)...)
		}
	}
	return out, nil
}

// relayListSigned takes the public relaylist.signed. An event proves that key
// and list are the author's. A bare signature proves the list: the record is
// kept alive, but the key counts as a hint only.
func (s *Stage) relayListSigned(ctx context.Context, m contract.Message) ([]contract.Output, error) {
	p, err := nostr.Decode[events.RelayListSigned](m.Data)
	if err != nil {
		return nil, bad(err)
	}
	if p.Event != nil {
		if err := p.Event.Check(); err != nil {
			return nil, bad(fmt.Errorf("event: %w", err))
		}
		if p.Event.Kind != nostr.KindDHTList {
			return nil, bad(fmt.Errorf("event: kind is %d, want %d", p.Event.Kind, nostr.KindDHTList))
		}
		c := s.screen(p.Event)
		s.verify(c, m.Sender)
		return s.accept(ctx, c, m)
	}
	if !nostr.IsHex(p.PubKey, 32) {
		return nil, bad(errors.New("pubkey: want 64 lower-case hex digits"))
	}
	if !s.ours(p.PubKey) || s.Denied.Key(p.DHTKey) {
		return nil, nil
	}
	if p.Signature == "" {
		return nil, bad(errors.New("signature: missing; sign the list or send the event that carries it"))
	}
	if err := s.VerifyList(p.Relays, p.Signature, p.PubKey); err != nil {
		return nil, bad(fmt.Errorf("signature: %w", err))
	}
	record := contract.Record{DHTKey: p.DHTKey, Salt: p.Salt, Seq: p.Seq, Value: p.Value, Sig: p.DHTSig, PubKey: p.PubKey}
	item, err := stage.Item(record)
	if err != nil {
		return nil, bad(err)
	}
	if err := checkItem(item); err != nil {
		return nil, bad(err)
	}
	if err := item.Verify(); err != nil {
		return nil, bad(fmt.Errorf("dht_sig: %w", err))
	}
	urls, err := bep44.DecodeRelayList(item.Value)
	if err != nil {
		return nil, bad(fmt.Errorf("value: %w", err))
	}
	if !slices.Equal(urls, p.Relays) {
		return nil, bad(errors.New("relays: differ from those in value"))
	}
	if _, err := normalizeAll(urls, s.AllowPrivate); err != nil {
		return nil, bad(err)
	}
	f := finding{record: &record, target: stage.TargetHex(item), keys: map[string]string{p.PubKey: p.DHTKey}}
	return s.learn(ctx, p.PubKey, f, source{at: p.CreatedAt, again: s.again(m)})
}

// relayDiscovered takes the public relay.discovered.
func (s *Stage) relayDiscovered(ctx context.Context, data []byte) ([]contract.Output, error) {
	p, err := nostr.Decode[events.RelayDiscovered](data)
	if err != nil {
		return nil, bad(err)
	}
	url, err := nostr.NormalizeRelayURL(p.URL, s.AllowPrivate)
	if err != nil {
		return nil, bad(fmt.Errorf("url: %w", err))
	}
	if s.Denied.Relay(url) {
		return nil, nil
	}
	if len(p.Authors) > maxAuthors {
		return nil, bad(fmt.Errorf("authors: %d, at most %d are accepted", len(p.Authors), maxAuthors))
	}
	for i, author := range p.Authors {
		if !nostr.IsHex(author, 32) {
			return nil, bad(fmt.Errorf("authors[%d]: want 64 lower-case hex digits", i))
		}
	}
	p.Authors = slices.DeleteFunc(p.Authors, func(author string) bool { return !s.ours(author) })
	for _, author := range p.Authors {
		if _, err := s.hint(ctx, url, author); err != nil {
			return nil, err
		}
	}
	if p.URL = url; p.Via != contract.ViaDirectory {
		p.Via = contract.ViaHint
	}
	return []contract.Output{{
		Subject: contract.RelayDiscoveredSubject(nostr.RelayKey(url)), Data: nostr.Encode(p),
	}}, nil
}

// hint writes bucket links by a producer's claim. It does not count beside an
// author's own list. Deliveries are nobody's word, so they do not stand in its way.
func (s *Stage) hint(ctx context.Context, url, pubkey string) (counts bool, err error) {
	author, _, err := s.Authors.Get(ctx, pubkey)
	if err != nil {
		return false, fmt.Errorf("couldn't read author %s: %w", pubkey, err)
	}
	if len(stage.OwnLists(pubkey, author).Lists) > 0 {
		return false, nil
	}
	_, err = s.Links.Update(ctx, contract.LinkKey(nostr.RelayKey(url), pubkey), func(old contract.Link, found bool) (contract.Link, bool) {
		if len(old.Via) > 0 && !stage.OnlySeen(old) {
			return old, false
		}
		old.URL, old.Via = url, maps.Clone(old.Via)
		if old.Via == nil {
			old.Via = map[string]int64{}
		}
		old.Via[contract.ViaHint] = 0
		return old, true
	})
	if err != nil {
		return false, fmt.Errorf("couldn't link %s to %s: %w", pubkey, url, err)
	}
	return true, nil
}

// noteMissing takes the public note.missing. The producer may be wrong, so the
// local relay is asked all the same.
func (s *Stage) noteMissing(ctx context.Context, data []byte) ([]contract.Output, error) {
	p, err := nostr.Decode[events.NoteMissing](data)
	if err != nil {
		return nil, bad(err)
	}
	if p, err = p.Validate(s.AllowPrivate); err != nil {
		return nil, bad(err)
	}
	return s.wanted(ctx, "", []events.NoteMissing{p}, nil)
}
