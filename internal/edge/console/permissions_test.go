package console

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/testkit/natstest"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// All tests of this package run the console with no more permissions than
// [contract.PermissionsOf] gives it. Here it does all that it ever does, once
// with all of them, and then once without each: something must be denied.
func TestOnePermissionLessFails(t *testing.T) {
	if os.Getenv("RELAYMESH_PERMISSIONS") == "" {
		t.Skip("runs the console once per permission: make test-permissions")
	}
	full, _ := contract.PermissionsOf(contract.RoleConsole)
	users := []*server.User{natstest.User("without nothing", full)}
	for i, subject := range full.Publish {
		p := full
		p.Publish = slices.Delete(slices.Clone(p.Publish), i, i+1)
		users = append(users, natstest.User("without "+subject, p))
	}
	none := full
	none.Subscribe = nil
	users = append(users, natstest.User("without its inbox", none))
	server := natstest.NewWorld(t, users...)
	for i, user := range users {
		ctx, stop := context.WithCancel(t.Context())
		denied := make(chan string, 1000)
		as := natstest.ConnectAs(t, server.Server, contract.RoleConsole, user.Username,
			nats.CustomInboxPrefix(contract.InboxPrefix(contract.RoleConsole)),
			nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
				if errors.Is(err, nats.ErrPermissionViolation) {
					denied <- err.Error()
					stop()
				}
			}))
		w := &world{World: server, console: New(as, Options{Token: []byte(testToken)})}
		w.console.within = 3 * time.Second // a denied question has no answer
		w.everything(func(r *http.Request) { *r = *r.WithContext(ctx) })
		if err := as.Conn().Flush(); err != nil {
			t.Fatal(err)
		}
		as.Conn().Close()
		stop()
		if (len(denied) > 0) != (i > 0) {
			t.Errorf("%s: %d things were denied", user.Username, len(denied))
		}
	}
}

// everything asks for each page, with something on it.
func (w *world) everything(until func(*http.Request)) {
	pubkey, dhtKey, _ := w.known()
	wanted := strings.Repeat("ab", 32)
	w.put(contract.BucketLost, wanted, contract.Lost{Why: "nobody"})
	w.put(contract.BucketRefused, contract.RefusedKey(nostr.RelayKey(goodURL), wanted), contract.Refused{Why: "no"})
	for _, c := range consumers() {
		now := time.Now().UnixNano()
		w.send(strings.Replace(c.Filters[0], "*", strconv.FormatInt(now, 10), 1), now)
	}
	w.addDeadLetters(contract.StageIngest, contract.StageFetcher)
	stream, err := w.JS.Stream(w.Context(), contract.StreamDLQ)
	if err != nil {
		w.Fatal(err)
	}
	last := stream.CachedInfo().State.LastSeq
	r := httptest.NewRequestWithContext(w.Context(), http.MethodGet, "/", nil)
	until(r)
	if err := w.console.counter.catchUp(r.Context()); err == nil {
		at := time.Unix(time.Now().UnixMicro(), 0) // at which nobody before has
		_ = w.console.keep(r.Context(), at)        // it fails where something is denied
	}
	bearer := header("Authorization", "Bearer "+testToken)
	for _, path := range []string{
		"/", "/relays", "/records", "/history", "/mesh", "/users", "/notes", "/notes?state=lost", "/surveys",
		"/search?q=" + pubkey, "/search?q=" + dhtKey, "/search?q=" + goodURL, "/search?q=" + wanted, "/dlq",
	} {
		w.do(http.MethodGet, path, "", until)
	}
	w.do(http.MethodPost, "/dlq/"+strconv.FormatUint(last, 10)+"/retry", "", bearer, until)
	w.do(http.MethodPost, "/dlq/"+strconv.FormatUint(last-1, 10)+"/drop", "", bearer, until)
}
