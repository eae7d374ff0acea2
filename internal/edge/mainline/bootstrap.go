package mainline

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/relaymesh/relaymesh/internal/backoff"
	"github.com/relaymesh/relaymesh/internal/trouble"
)

// betweenBootstraps are the waits between attempts to bootstrap while no node answers. The library itself tries again after half
// an hour only, and a machine's network is often up seconds after its programs.
var betweenBootstraps = backoff.Backoff{First: 2 * time.Second, Most: 5 * time.Minute}

// lookAtNodes is how often a node that others answer looks whether they still do.
const lookAtNodes = time.Minute

var errNobodyAnswers = errors.New("no DHT node answers: check the firewall (UDP) and --dht-bootstrap")

// bootstrapAgain bootstraps again and again while no node answers, until the node is closed.
func (n *Node) bootstrapAgain() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	alone := trouble.Trouble{Log: n.log, Begins: "the DHT node is alone, and goes on trying", Ends: "DHT nodes answer again"}
	wait := betweenBootstraps.First
	for failures := 0; ; {
		select {
		case <-time.After(wait):
		case <-n.closing:
			return
		}
		if n.Stats().GoodNodes > 0 {
			alone.Note(ctx, nil)
			failures, wait = 0, lookAtNodes
			continue
		}
		alone.Note(ctx, errNobodyAnswers)
		n.bootstrap(ctx)
		failures++
		wait = betweenBootstraps.Wait(failures, rand.Float64())
	}
}

// bootstrap asks the bootstrap nodes once, and ends when the node is closed.
func (n *Node) bootstrap(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case <-n.closing:
			cancel()
		case <-ctx.Done():
		}
	}()
	_, _ = n.server.BootstrapContext(ctx) // what came of it shows in the routing table
	cancel()
	<-ended
}
