package run

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/edge/mainline"
	"github.com/relaymesh/relaymesh/internal/stage/dht"
	"github.com/relaymesh/relaymesh/pkg/events"
)

const (
	// witnessTries is how many calls are made until one is answered by a worker at
	// another address: all workers share them, this one among them, which answers at
	// once.
	witnessTries = 16
	witnessTime  = 10 * time.Second
)

// SeenFrom is the address under which DHT nodes see a node, or "".
func SeenFrom(node *mainline.Node) string {
	if addr := node.SeenFrom(); addr.IsValid() {
		return addr.String()
	}
	return ""
}

// witness has dhtworkers look up a key, until one answers that DHT nodes see at
// another address than this one.
func witness(js jetstream.JetStream, node *mainline.Node) func(context.Context, string) (dht.Witness, error) {
	return func(ctx context.Context, dhtKey string) (dht.Witness, error) {
		own := SeenFrom(node)
		if own == "" {
			return dht.Witness{}, nil
		}
		return Elsewhere(ctx, js, dhtKey, own)
	}
}

// Elsewhere has dhtworkers look up a key on the DHT, until one answers that DHT nodes
// see at another address than own. The zero Witness says that there is none.
func Elsewhere(ctx context.Context, js jetstream.JetStream, dhtKey, own string) (dht.Witness, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*witnessTime)
	defer cancel()
	for range witnessTries {
		answer, err := Request[events.ResolveResponse](ctx, js, events.ServiceListResolve, events.ResolveRequest{
			DHTKey: dhtKey, TimeoutMS: witnessTime.Milliseconds(), Except: own,
		})
		switch {
		case err != nil:
			return dht.Witness{}, err
		case answer.From != "" && answer.From != own:
			return dht.Witness{From: answer.From, Holders: answer.Holders, Seq: answer.Seq}, nil
		}
	}
	return dht.Witness{}, nil
}
