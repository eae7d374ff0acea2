package bus

import (
	"context"
	"fmt"
	"maps"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/contract"
)

// prefixed is the JetStream of a pipeline whose names have a prefix: it is asked for
// streams, consumers and buckets, and published to, by names without it. What else there
// is goes by the names that NATS has: filters, raw requests, and what makes or changes a
// stream, a consumer or a bucket. For those there is [PrefixOf].
type prefixed struct {
	jetstream.JetStream

	prefix contract.Prefix
}

// PrefixOf is the prefix of the pipeline behind a JetStream of [JetStream].
func PrefixOf(js jetstream.JetStream) contract.Prefix {
	p, _ := js.(prefixed)
	return p.prefix
}

// withoutPrefix is the same JetStream by the names that NATS has.
func withoutPrefix(js jetstream.JetStream) jetstream.JetStream {
	if p, is := js.(prefixed); is {
		return p.JetStream
	}
	return js
}

// Stream looks a stream up.
func (p prefixed) Stream(ctx context.Context, name string) (jetstream.Stream, error) {
	stream, err := p.JetStream.Stream(ctx, p.prefix.Name(name))
	return stream, p.explain(err)
}

// Consumer looks a consumer up.
func (p prefixed) Consumer(ctx context.Context, stream, name string) (jetstream.Consumer, error) {
	consumer, err := p.JetStream.Consumer(ctx, p.prefix.Name(stream), name)
	return consumer, p.explain(err)
}

// KeyValue looks a bucket up.
func (p prefixed) KeyValue(ctx context.Context, bucket string) (jetstream.KeyValue, error) {
	kv, err := p.JetStream.KeyValue(ctx, p.prefix.Name(bucket))
	return kv, p.explain(err)
}

// explain names the prefix: it may be the wrong one.
func (p prefixed) explain(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w (--nats-prefix %s)", err, p.prefix)
}

// Publish publishes on a subject.
func (p prefixed) Publish(ctx context.Context, subject string, data []byte, opts ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	return p.JetStream.Publish(ctx, p.prefix.Subject(subject), data, opts...)
}

// PublishMsg publishes a message, which may be a schedule. It does not change it.
func (p prefixed) PublishMsg(ctx context.Context, m *nats.Msg, opts ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	out := *m
	out.Subject = p.prefix.Subject(m.Subject)
	if target := m.Header.Get(headerTarget); target != "" {
		out.Header = maps.Clone(m.Header)
		out.Header.Set(headerTarget, p.prefix.Subject(target))
	}
	return p.JetStream.PublishMsg(ctx, &out, opts...)
}
