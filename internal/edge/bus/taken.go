package bus

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/contract"
)

// A server passes over settings that it does not know, and all seems well: on 2.11
// no schedule ever fires. So the contract is laid over what the server says that it
// has made, which must change nothing.

func streamTaken(made jetstream.Stream, err error, s contract.Stream, o ProvisionOptions) error {
	if err != nil {
		return err
	}
	have := made.CachedInfo().Config
	return taken(differing(have, streamConfig(have, s, o)))
}

func consumerTaken(made jetstream.Consumer, err error, c contract.Consumer, o ProvisionOptions) error {
	if err != nil {
		return err
	}
	have := made.CachedInfo().Config
	return taken(differing(have, consumerConfig(have, c, o.Store)))
}

func bucketTaken(ctx context.Context, made jetstream.KeyValue, err error, b contract.Bucket, o ProvisionOptions) error {
	if err != nil {
		return err
	}
	status, err := made.Status(ctx)
	if err != nil {
		return err
	}
	have := status.Config()
	return taken(differing(have, bucketConfig(have, b, o)))
}

func taken(differ string) error {
	if differ == "" {
		return nil
	}
	return fmt.Errorf("the server did not set what it was asked to (%s): is it as old as that? %s is needed", differ, leastVersion)
}
