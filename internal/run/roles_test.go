package run

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/testkit/natstest"
	"github.com/relaymesh/relaymesh/pkg/events"
)

// The kinds of change that a user can make to a stream.
const (
	stored   = "stored"   // a message was added, or took the place of another
	removed  = "removed"  // a message is gone
	acked    = "acked"    // a consumer counts a message as done
	consumed = "consumer" // a consumer was made, changed or deleted
	remade   = "remade"   // the stream was changed or deleted
)

// may says which streams a role may change, and how; a bucket is a stream, too,
// and loses the value that another replaces.
var may = map[string]map[string][]string{
	contract.RoleRelay:   {"INTAKE": {stored}},
	contract.RoleGateway: {"INTAKE": {stored}, "KV_gateways": {stored, removed}},
	contract.RoleConsole: {"DLQ": {removed}, "RETRY": {stored}, "KV_history": {stored, removed}},
	contract.StageIngest: {
		"INTAKE": {stored, removed, acked}, "AUTHOR": {stored}, "RELAYLIST": {stored}, "RELAY": {stored}, "NOTE": {stored},
		"RETRY": {stored, removed, acked}, "DLQ": {stored}, "ADVISORIES": {acked}, "OUTCOME": {stored},
		"KV_authors": {stored, removed}, "KV_records": {stored, removed}, "KV_links": {stored, removed, consumed},
		"KV_cursors": {stored, removed}, "KV_heard": {stored, removed, consumed}, "KV_workers": {stored, removed},
	},
	contract.StageDHTWorker: {
		"INTAKE": {stored}, "AUTHOR": {stored, removed, acked}, "RELAYLIST": {removed, acked}, "RELAY": {stored}, "RECORD_DUE": {removed, acked},
		"RETRY": {stored, removed, acked}, "DLQ": {stored}, "ADVISORIES": {acked}, "OUTCOME": {stored},
		"KV_authors": {stored, removed}, "KV_records": {stored, removed, consumed}, "KV_links": {stored, removed, consumed},
		"KV_relays": {stored, removed, consumed}, "KV_workers": {stored, removed},
	},
	contract.StageSyncWorker: {
		"INTAKE": {stored}, "RELAY": {removed, acked}, "SYNC_DUE": {stored, removed, acked}, "LIVE": {stored, removed, acked},
		"RETRY": {stored, removed, acked}, "DLQ": {stored}, "ADVISORIES": {acked}, "OUTCOME": {stored}, "SURVEY_DUE": {stored, removed, acked},
		"KV_links": {stored, removed, consumed}, "KV_relays": {stored, removed, consumed}, "KV_syncs": {stored, removed},
		"KV_refused": {stored, removed, consumed}, "KV_authors": {consumed}, "KV_surveys": {stored, removed},
		"KV_workers": {stored, removed},
	},
	contract.StageFetcher: {
		"INTAKE": {stored}, "NOTE": {removed, acked}, "RETRY": {stored, removed, acked}, "DLQ": {stored}, "ADVISORIES": {acked},
		"OUTCOME":  {stored},
		"KV_links": {consumed}, "KV_lost": {stored, removed}, "KV_workers": {stored, removed},
	},
}

// Every role sends to every subject of every stream, bucket and consumer and of
// the JetStream API, and asks the services, and a feeder all else that it may
// publish, to answer there.
func TestRolesChangeNothingBeyondTheirOwn(t *testing.T) {
	for _, role := range slices.Sorted(maps.Keys(may)) {
		t.Run(role, func(t *testing.T) {
			w := newRolesWorld(t)
			w.attack(w.as(role), role == contract.RoleRelay || role == contract.RoleGateway)
			w.check(may[role])
		})
	}
	t.Run("relay in the pipeline's account", func(t *testing.T) { // as before there was one of its own
		w := newRolesWorld(t)
		w.attack(w.as("shared"), false)
		w.check(may[contract.RoleRelay])
	})
	t.Run("operator", func(t *testing.T) { // to show that the attacks are some
		w := newRolesWorld(t)
		w.attack(w.js.Conn(), false)
		for _, v := range w.victims {
			for end := time.Now().Add(time.Minute); ; { // two requests at a time are worked on
				_, err := w.js.Stream(t.Context(), v.stream)
				if errors.Is(err, jetstream.ErrStreamNotFound) {
					break
				}
				if time.Now().After(end) {
					t.Fatalf("%s survives the operator: %v", v.stream, err)
				}
			}
		}
	})
}

// questions are, by role, what each may ask of JetStream that has an answer without a
// body: that there is no such message. "shared" is a feeder in the pipeline's account.
func questions() map[string][2]string {
	list := map[string][2]string{
		contract.RoleConsole: {"$JS.API.DIRECT.GET.DLQ", `{"seq":999}`},
		"shared":             {events.SubjectEventReceived, "{}"},
	}
	for _, c := range contract.Consumers() {
		if c.Stream != contract.StreamAdvisories {
			list[c.Stage] = [2]string{"$JS.API.CONSUMER.MSG.NEXT." + c.Stream + "." + c.Name, `{"batch":1,"no_wait":true}`}
		}
	}
	return list
}

// Not defended, and said so in docs/security.md: inside an account JetStream sends
// what it has to say to any reply subject but its own ($JS.…), whatever the role may
// publish to. Those the server refuses, so that no role, however it asks, has it
// delete a stream or a message.
func TestJetStreamAsksNobodyAboutReplies(t *testing.T) {
	w := newRolesWorld(t)
	records, err := w.js.Stream(t.Context(), "KV_records")
	if err != nil {
		t.Fatal(err)
	}
	for user, question := range questions() {
		nc, key := w.as(user), "$KV.records.by-"+user
		for _, reply := range []string{
			"$JS.API.STREAM.DELETE.KV_authors", "$JS.API.STREAM.PURGE.KV_links", "$JS.hub.API.STREAM.DELETE.KV_links", key,
		} {
			if err := nc.PublishRequest(question[0], reply, []byte(question[1])); err != nil {
				t.Fatal(err)
			}
		}
		w.fence(nc)
		_, err := records.GetLastMsgForSubject(t.Context(), key)
		for end := time.Now().Add(time.Minute); err != nil; _, err = records.GetLastMsgForSubject(t.Context(), key) {
			if time.Now().After(end) {
				t.Fatalf("%s: it is defended now: say so in docs/security.md: %v", user, err)
			}
		}
	}
	w.stop()
	for _, bucket := range []string{"KV_authors", "KV_links"} {
		if changes := w.changes(w.victim(bucket)); len(changes) > 0 {
			t.Errorf("%s: %v", bucket, changes)
		}
	}
}

// Requests that are not answered are counted.
func TestDroppedRequestsAreCounted(t *testing.T) {
	env, err := NewEnv(config.Config{}, natstest.Start(t), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(env.Close)
	nc := env.JS.Conn()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- Serve(ctx, env.JS, nil, env.droppedBy(contract.StageFetcher), "test", "test.service", func(struct{}) int64 { return 1000 },
			func(context.Context, struct{}) (struct{}, error) { return struct{}{}, nil })
	}()
	ask(t, nc, "test.service")
	for _, reply := range []string{"", "$KV.records.x", "author.seen.x", "_INBOX", "_R_", "x._INBOX.y"} {
		if err := nc.PublishMsg(&nats.Msg{Subject: "test.service", Reply: reply, Data: []byte("{}")}); err != nil {
			t.Fatal(err)
		}
	}
	ask(t, nc, "test.service")
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if n := testutil.ToFloat64(env.dropped.WithLabelValues(contract.StageFetcher)); n != 6 {
		t.Errorf("%v requests were dropped, want 6", n)
	}
}
