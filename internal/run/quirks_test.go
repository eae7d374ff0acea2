package run

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/sync/errgroup"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/testkit/hometest"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// What relays were seen to do, and the tests with a peer that does so:
//
//	NEG-ERROR for NEG-ERR, reasons that are no JSON   relay.TestNegentropyRefusals, TestSyncWithRelaysThatRefuseSessions
//	messages of 1 MiB, 2 MiB in hex                   relay.TestNegentropyMessages
//	hang up on more than 131,072 or 512,000 bytes     relay.TestNegentropyFrame, pair.TestMessagesLeaveRoomForTheFilter,
//	                                                  negentropy.TestBridgeFindsEveryDifference, TestFiltersAreWithinWhatRelaysTake,
//	                                                  TestRelaysSayWhatTheyTake
//	drop a session after 7 s, or before it is noted   pair.TestSessionsAreOpenedAgainAfterAPause, relay.TestNegentropySessionNotNoted
//	refuse by NOTICE or CLOSED                        relay.TestNegentropyRefusals, TestSyncWithRelaysThatRefuseSessions
//	too many results, blocked for other reasons       the same, relay.TestNegentropyOtherRefusals,
//	                                                  pair.TestSyncInEveryDirectionWithEveryKindOfRelay, pair.TestSplitCoversTheWindow
//	200 sessions or REQs per connection               relay.TestNegentropySlots
//	want AUTH for some kinds                          relay.TestAuth, relay.TestABareChallengeIsAnsweredOnce
//	ask for it in the midst of an answer              relay.TestAChallengeInTheMidstOfAnAnswer
//	show nothing in sessions after AUTH               relay.TestSessionsThatShowNothingAfterAuth
//	refuse a REQ or a connection for the moment       pair.TestRefusalsForTheMoment, relay.TestRetryAfter
//	have events that we cannot read                   pair.TestUnreadableEventsAreTold, relay.TestUnreadableEventsAreTold
//	lists of 2,047, limits in sessions, 100 ids       TestFiltersAreWithinWhatRelaysTake, TestSyncDividesALargeFilter,
//	                                                  syncing.TestChunksCoverEveryAuthorOnce
//	unsolicited EVENTs, sets larger than the filter   relay.TestNegentropyNoise, pair.TestListedButNotMatching
//	show only the newest N in sessions                pair.TestSyncInEveryDirectionWithEveryKindOfRelay
//	OPEN with arrays of filters, or five elements     homerelay.TestSessionForms
//	hang up on the idle                               relay.TestAnIdleConnectionIsKept
//	100 EVENTs in flight                              relay.TestEventsInFlightAreBounded
//	answer REQs from memory                           pair.TestARelayThatAnswersFromMemory, TestSyncWithPlainRelay

// startQuirk passes messages on to a real relay, but for sessions that refuse
// answers: then the reply, if there is one, goes back instead.
func startQuirk(t *testing.T, url string, refuse func(id string, filter nostr.Filter) (reply string, refused bool)) string {
	t.Helper()
	return startBetween(t, url, func(label, id string, filter nostr.Filter) (string, bool) {
		if label != "NEG-OPEN" {
			return "", false
		}
		return refuse(id, filter)
	})
}

// startBetween is the same for every message that has a filter. It takes
// messages of at most 128 KiB.
func startBetween(t *testing.T, url string, refuse func(label, id string, filter nostr.Filter) (reply string, refused bool)) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		client, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer client.CloseNow()
		relay, _, err := websocket.Dial(r.Context(), url, nil) //nolint:bodyclose // the library closes it
		if err != nil {
			return
		}
		defer relay.CloseNow()
		client.SetReadLimit(128 << 10)
		relay.SetReadLimit(4 << 20)
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		go func() {
			defer cancel()
			for {
				_, data, err := relay.Read(ctx)
				if err != nil || client.Write(ctx, websocket.MessageText, data) != nil {
					return
				}
			}
		}()
		for {
			_, data, err := client.Read(ctx)
			if err != nil {
				return
			}
			var msg []json.RawMessage
			var label, id string
			var filter nostr.Filter
			if json.Unmarshal(data, &msg) == nil && len(msg) > 2 && json.Unmarshal(msg[0], &label) == nil &&
				json.Unmarshal(msg[1], &id) == nil && json.Unmarshal(msg[2], &filter) == nil {
				if reply, refused := refuse(label, id, filter); refused {
					_ = client.Write(ctx, websocket.MessageText, []byte(reply))
					continue
				}
			}
			if relay.Write(ctx, websocket.MessageText, data) != nil {
				return
			}
		}
	}))
	t.Cleanup(server.Close)
	return "ws" + strings.TrimPrefix(server.URL, "http")
}

// The ways in which relays refuse sessions: what they have is synced all the same.
func TestSyncWithRelaysThatRefuseSessions(t *testing.T) {
	t.Parallel()
	always := func(reply string) func(string, nostr.Filter) (string, bool) {
		return func(id string, _ nostr.Filter) (string, bool) { return strings.ReplaceAll(reply, "ID", id), true }
	}
	for name, refuse := range map[string]func(string, nostr.Filter) (string, bool){
		"strfry, disabled":   always(`["NOTICE","ERROR: bad msg: negentropy disabled"]`),
		"unknown command":    always(`["NOTICE","ERROR: bad msg: unknown cmd"]`),
		"closed":             always(`["CLOSED","ID","error: unsupported message"]`),
		"by policy":          always(`["NEG-ERR","ID","blocked: sync is for friends"]`),
		"for the connection": always(`["NEG-ERR","","disabled"]`),
		"khatru's label":     always(`["NEG-ERROR","ID","no "negentropy" here"]`),
		"too many events, but in a short time": func(id string, f nostr.Filter) (string, bool) {
			return fmt.Sprintf(`["NEG-ERR",%q,"blocked: too many query results",1000]`, id), f.Until == 0 || f.Until-f.Since > 100
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all := signed()
			a, b := hometest.Start(t, all[:150]...), hometest.Start(t, all[100:300]...)
			result, err := Sync{A: a, B: startQuirk(t, b, refuse), Down: true, Up: true}.Run(t.Context())
			if err != nil || !result.Complete || result.ToA != 150 || result.ToB != 100 {
				t.Errorf("%v; %+v", err, result)
			}
			want := hometest.IDsOf(all[:300]...)
			if !slices.Equal(hometest.IDsAt(t, a), want) || !slices.Equal(hometest.IDsAt(t, b), want) {
				t.Error("they differ")
			}
		})
	}
}

// A relay that takes lists of at most 2,047 in a filter, of which messages have
// little more than half, and no limit in a session: 2,100 authors who write there
// are asked for in parts, and events by at most 100 ids.
func TestFiltersAreWithinWhatRelaysTake(t *testing.T) {
	t.Parallel()
	all := signed()[:300]
	local, remote := hometest.Start(t), hometest.Start(t, all...)
	var mu sync.Mutex
	opened, asked := 0, 0
	strict := startBetween(t, remote, func(label, id string, f nostr.Filter) (string, bool) {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case max(len(f.Authors), len(f.IDs)) > 2047:
			return `["NOTICE","ERROR: bad req: filter item too large"]`, true
		case len(f.Authors) > 500 || len(f.IDs) > 500 || label == "REQ" && len(f.IDs) > 100 || f.Limit > 500:
			t.Errorf("%s: %d authors, %d ids, limit %d", label, len(f.Authors), len(f.IDs), f.Limit)
		case label == "NEG-OPEN" && f.Limit != 0:
			t.Errorf("NEG-OPEN with limit %d", f.Limit)
		}
		if label == "NEG-OPEN" {
			opened++
		} else if len(f.IDs) > 0 {
			asked++
		}
		return "", false
	})
	w := startSyncworker(t, config.Config{Relay: local, AllowPrivate: true, SyncEvery: 15 * time.Minute, Drain: 5 * time.Second})
	w.link(strict, all[0].PubKey)
	s, err := OpenStore[contract.Link](t.Context(), w.js, contract.BucketLinks, nil)
	if err != nil {
		t.Fatal(err)
	}
	group, ctx := errgroup.WithContext(t.Context())
	group.SetLimit(32)
	for i := range 2099 {
		group.Go(func() error {
			_, err := s.Update(ctx, contract.LinkKey(nostr.RelayKey(strict), fmt.Sprintf("%064x", i)),
				func(contract.Link, bool) (contract.Link, bool) {
					return contract.Link{URL: strict, Via: map[string]int64{contract.ViaManual: 1}}, true
				})
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	if got := w.sync(strict, "1"); !got.OK || got.Stored != len(all) || got.Authors != 2100 {
		t.Errorf("%+v", got)
	}
	if !slices.Equal(hometest.IDsAt(t, local), hometest.IDsOf(all...)) {
		t.Error("the local relay has other events")
	}
	mu.Lock()
	defer mu.Unlock()
	if opened < 5 || asked < 3 {
		t.Errorf("%d sessions, %d REQs of ids", opened, asked)
	}
}

// A filter of 2,100 authors is asked for in parts in a single sync, too, and what
// these come to is told as one.
func TestSyncDividesALargeFilter(t *testing.T) {
	t.Parallel()
	all := signed()[:300]
	a, b := hometest.Start(t, all[:100]...), hometest.Start(t, all...)
	strict := startBetween(t, b, func(label, _ string, f nostr.Filter) (string, bool) {
		if len(f.Authors) > 500 {
			t.Errorf("%s: %d authors", label, len(f.Authors))
		}
		return "", false
	})
	var filter nostr.Filter
	for _, e := range all {
		filter.Authors = append(filter.Authors, e.PubKey)
	}
	for i := range 2100 {
		filter.Authors = append(filter.Authors, fmt.Sprintf("%064x", i))
	}
	last := SyncFigures{}
	result, err := Sync{A: a, B: strict, Filter: filter, Down: true, Up: true, Progress: func(f SyncFigures) {
		if f.ToA < last.ToA || f.Passes < last.Passes {
			t.Errorf("%+v comes after %+v", f, last)
		}
		last = f
	}}.Run(t.Context())
	if err != nil || !result.Complete || result.ToA != 200 || result.OnlyB != 200 || result.Windows < 5 || last.ToA != 200 {
		t.Errorf("%v; %+v", err, result)
	}
	if !slices.Equal(hometest.IDsAt(t, a), hometest.IDsOf(all...)) {
		t.Error("they differ")
	}
}
