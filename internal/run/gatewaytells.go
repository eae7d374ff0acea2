package run

import (
	"context"
	"crypto/rand"
	"log/slog"
	"os"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/backoff"
	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/gateway"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// gatewayUntold is how long a gateway waits that could not tell how it does: the pipeline may be of an
// earlier version, or have given it no permission, which the log then has each time.
var gatewayUntold = backoff.Backoff{First: contract.WorkerEvery, Most: time.Hour}

func gatewayFigures(relay string, g *gateway.Gateway) contract.Gateway {
	f := g.Figures()
	return contract.Gateway{
		Relay: relay, Connections: int64(f.Connections), Messages: f.Messages, Watched: f.Watched, Completed: f.Completed, Vain: f.WaitedInVain,
		Waits: f.Waits, WaitMS: f.Waited.Milliseconds(),
	}
}

// tellGateway writes to KV how a gateway without stages does, for the console, until ctx ends. It
// needs no more than the permission to write the bucket: from the feeders' account nothing is read.
func tellGateway(ctx context.Context, js jetstream.JetStream, relay string, g *gateway.Gateway, log *slog.Logger) {
	host, _ := os.Hostname()
	told := contract.GatewayProcess{Version: Version(), Host: host, Started: time.Now().Unix()}
	subject := "$KV." + contract.BucketGateways + "." + rand.Text()
	failed := 0
	for {
		if js.Conn().IsConnected() {
			told.At, told.Wrong, told.Gateway = time.Now().Unix(), "", gatewayFigures(relay, g)
			if err := g.Ready(); err != nil {
				told.Wrong = err.Error()
			}
			err := writeGateway(ctx, js, subject, told)
			if failed++; err == nil {
				failed = 0
			} else {
				log.DebugContext(ctx, "couldn't tell how this gateway does", "err", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(gatewayUntold.After(failed)):
		}
	}
}

func writeGateway(ctx context.Context, js jetstream.JetStream, subject string, g contract.GatewayProcess) error {
	ctx, cancel := context.WithTimeout(ctx, contract.WorkerEvery)
	defer cancel()
	_, err := js.Publish(ctx, subject, nostr.Encode(g))
	return err
}
