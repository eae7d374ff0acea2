package run

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/testkit/natstest"
	"github.com/relaymesh/relaymesh/pkg/events"
)

// Feeders that call a service without end leave slots to the stages. Those beyond what
// may wait are told so at once.
func TestCallsOfFeedersLeaveSlotsToStages(t *testing.T) {
	relay, _ := contract.PermissionsOf(contract.RoleRelay)
	server := natstest.StartOn(t, natstest.Dir(t), natstest.User(contract.RoleRelay, relay))
	worker := natstest.ConnectAs(t, server, contract.StageDHTWorker, contract.StageDHTWorker)
	fetcher := natstest.ConnectAs(t, server, contract.StageFetcher, contract.StageFetcher)
	feeder := natstest.ConnectAs(t, server, contract.RoleRelay, contract.RoleRelay).Conn()
	const most, more, slots = maxPending / 4 * 3, 500, maxCalls / 4 * 3
	begun, proceed := make(chan struct{}, most), make(chan struct{})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- Serve(ctx, worker, nil, func(string) {}, contract.NameListResolve, events.ServiceListResolve,
			func(r events.ResolveRequest) int64 { return r.TimeoutMS },
			func(_ context.Context, r events.ResolveRequest) (events.ResolveResponse, error) {
				if r.DHTKey == "slow" {
					begun <- struct{}{}
					<-proceed
				}
				return events.ResolveResponse{Found: true}, nil
			})
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	ask := func() error {
		_, err := Request[events.ResolveResponse](ctx, fetcher, events.ServiceListResolve, events.ResolveRequest{TimeoutMS: 30_000})
		return err
	}
	for err := ask(); err != nil; err = ask() { // until it is offered
		if !strings.Contains(err.Error(), "nobody offers") {
			t.Fatal(err)
		}
	}
	inbox := contract.InboxPrefix(contract.RoleRelay) + ".calls"
	answers, err := feeder.SubscribeSync(inbox)
	if err != nil {
		t.Fatal(err)
	}
	for range most + more {
		if err := feeder.PublishRequest(events.ServiceListResolve, inbox, []byte(`{"dht_key":"slow","timeout_ms":30000}`)); err != nil {
			t.Fatal(err)
		}
	}
	next := func() *nats.Msg {
		m, err := answers.NextMsg(time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	for range more {
		if m := next(); m.Header.Get(micro.ErrorCodeHeader) != busyCode {
			t.Fatalf("beyond what may wait the answer is %v %s", m.Header, m.Data)
		}
	}
	for range slots {
		<-begun
	}
	if err := ask(); err != nil {
		t.Errorf("a stage has no answer: %v", err)
	}
	if n := len(begun); n > 0 {
		t.Errorf("%d calls more than %d are worked on at once", n, slots)
	}
	close(proceed)
	for range most {
		if m := next(); m.Header.Get(micro.ErrorCodeHeader) != "" {
			t.Fatalf("one that waited is answered %v", m.Header)
		}
	}
}

// A call that gets no slot within its time is told so, and works on nothing.
func TestACallWaitsWithinItsDeadline(t *testing.T) {
	list := queues{newQueue(2, 1)}
	for i, want := range []bool{true, true, false} {
		if got := list.join(); got != want {
			t.Fatalf("call %d is let in: %t", i, got)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	err := list.work(t.Context(), func() {
		if err := list.work(ended, func() { t.Error("it is worked on") }); !errors.Is(err, errCalls) {
			t.Error(err)
		}
	})
	if err != nil {
		t.Error(err)
	}
	list.leave()
	if !list.join() {
		t.Error("no room where one has left")
	}
}
