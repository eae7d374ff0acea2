package run

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/gateway"
	"github.com/relaymesh/relaymesh/internal/edge/kv"
	"github.com/relaymesh/relaymesh/internal/testkit/hometest"
	"github.com/relaymesh/relaymesh/internal/testkit/natstest"
)

// A gateway of its own tells from the feeders' account what it does, under one key, and that its relay is away.
func TestAGatewayTellsHowItDoes(t *testing.T) {
	t.Parallel()
	p, _ := contract.PermissionsOf(contract.RoleGateway)
	w := natstest.NewWorld(t, natstest.User(contract.RoleGateway, p))
	js := natstest.ConnectAs(t, w.Server, contract.RoleGateway, contract.RoleGateway)
	bucket, err := kv.Open[contract.GatewayProcess](t.Context(), w.JS, contract.BucketGateways)
	if err != nil {
		t.Fatal(err)
	}
	home := hometest.Start(t)
	tell := func(relay string, clients int) contract.GatewayProcess {
		t.Helper()
		log := slog.New(slog.NewTextHandler(t.Output(), nil))
		g, err := gateway.Start(t.Context(), gateway.Config{Relay: relay, Log: log})
		if err != nil {
			t.Fatal(err)
		}
		defer g.Close()
		for range clients {
			c := dialPlain(t, g.URL())
			c.send(`["REQ","x",{"kinds":[1]}]`)
			c.expect(`["EOSE","x"]`)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); tellGateway(ctx, js, relay, g, log) }()
		told := oneTold(t, bucket, relay)
		stop()
		<-ended
		return told
	}
	up := tell(home, 2)
	if up.Connections != 2 || up.Messages < 4 || up.Wrong != "" || up.Version == "" || up.Started == 0 || up.At == 0 {
		t.Errorf("it tells %+v", up)
	}
	if down := tell("ws://127.0.0.1:1", 0); down.Wrong == "" {
		t.Errorf("without its relay it tells %+v", down)
	}
}

func oneTold(t *testing.T, bucket *kv.Bucket[contract.GatewayProcess], relay string) contract.GatewayProcess {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		page, err := bucket.Page(t.Context(), "*", 0, contract.MaxGateways)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Entries {
			if e.Value.Relay == relay {
				return e.Value
			}
		}
	}
	t.Fatalf("the gateway before %s tells nothing", relay)
	return contract.GatewayProcess{}
}

// Who has the key of a gateway fills its bucket and no more: values have a size, all of them together too, none outlives
// the bucket's time, and a gateway that is told of already goes on being so.
func TestWhatAGatewaysKeyMayWriteIsBounded(t *testing.T) {
	t.Parallel()
	p, _ := contract.PermissionsOf(contract.RoleGateway)
	w := natstest.NewWorld(t, natstest.User(contract.RoleGateway, p))
	js := natstest.ConnectAs(t, w.Server, contract.RoleGateway, contract.RoleGateway,
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	put := func(key string, size int, header ...string) error {
		msg := &nats.Msg{Subject: "$KV." + contract.BucketGateways + "." + key, Data: []byte(strings.Repeat(" ", size)), Header: nats.Header{}}
		for i := 0; i < len(header); i += 2 {
			msg.Header.Set(header[i], header[i+1])
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := js.PublishMsg(ctx, msg)
		return err
	}
	var api *jetstream.APIError
	if err := put("honest", 400); err != nil {
		t.Fatal(err)
	}
	if err := put("large", 5<<10); !errors.As(err, &api) {
		t.Errorf("a large value: %v", err)
	}
	for _, lives := range []string{"never", "100h"} {
		if err := put("long", 10, "Nats-TTL", lives); !errors.As(err, &api) {
			t.Errorf("a value that lives %s: %v", lives, err)
		}
	}
	most, full := 256<<10, false
	for i := 0; i < most/400 && !full; i++ {
		full = put(strings.Repeat("x", i+1), 400) != nil
	}
	if state := w.State("KV_" + contract.BucketGateways); !full || state.Bytes > uint64(most) {
		t.Errorf("the bucket takes %d bytes in %d values", state.Bytes, state.Msgs)
	}
	if err := put("honest", 400); err != nil {
		t.Errorf("a gateway that was told of before: %v", err)
	}
}
