package run

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"
	"go.opentelemetry.io/otel/trace"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/bus"
	"github.com/relaymesh/relaymesh/internal/edge/slots"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const (
	defaultWait = 3 * time.Second
	maxWait     = 30 * time.Second
)

// Serve answers a NATS service of the pipeline until ctx ends: JSON of Request in, JSON of
// what answer returns out, within the deadline that the caller gave. Errors go
// back as service errors: 400 for a request that cannot be read, 500 for what
// may work later, 503 where there are too many calls. All processes that serve a subject share its calls.
//
// Whoever may call is a stranger: an answer is a trace of its own, which links to
// the caller's. A call whose reply subject is no inbox is not answered; dropped
// is told the subject.
func Serve[Request, Response any](ctx context.Context, js jetstream.JetStream, traces trace.TracerProvider, dropped func(reply string),
	name, subject string, timeout func(Request) int64, answer func(context.Context, Request) (Response, error),
) error {
	nc, subject := js.Conn(), bus.PrefixOf(js).Subject(subject)
	service, err := micro.AddService(nc, micro.Config{Name: name, Version: "1.0.0"})
	if err != nil {
		return fmt.Errorf("couldn't offer the service %s: %w", subject, err)
	}
	var calls slots.Serving
	inside := queues{newQueue(maxPending, maxCalls)}
	outside := queues{newQueue(maxPending/4*3, maxCalls/4*3), inside[0]}
	err = service.AddEndpoint(name, micro.HandlerFunc(func(call micro.Request) {
		// The server lets us answer to any subject, with an error that has no body
		// even to one that deletes a stream.
		if !contract.IsInbox(call.Reply()) {
			dropped(call.Reply())
			return
		}
		request, err := nostr.Decode[Request](call.Data())
		if err != nil {
			_ = call.Error("400", err.Error(), nil)
			return
		}
		list := inside
		if contract.FromOutside(call.Reply()) {
			list = outside
		}
		if !list.join() {
			_ = call.Error(busyCode, errCalls.Error(), nil)
			return
		}
		served := calls.Go(func() {
			defer list.leave()
			wait := min(time.Duration(timeout(request))*time.Millisecond, maxWait)
			if wait <= 0 {
				wait = defaultWait
			}
			waiting, cancel := context.WithTimeout(ctx, wait)
			defer cancel()
			began := time.Now()
			err := list.work(waiting, func() {
				ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), wait-time.Since(began))
				defer cancel()
				ctx, span := bus.Begin(ctx, traces, bus.Job{
					Name: "serve " + subject, Kind: trace.SpanKindServer, Header: nats.Header(call.Headers()), Apart: true,
				})
				response, err := answer(ctx, request)
				bus.End(span, err)
				_ = nc.PublishMsg(lateAnswer(call.Reply(), response, err)) // the caller may be gone
			})
			if err != nil {
				_ = nc.PublishMsg(lateAnswer(call.Reply(), nil, err))
			}
		})
		if !served {
			list.leave()
			_ = call.Error(busyCode, "the process is stopping; ask again", nil)
		}
	}), micro.WithEndpointSubject(subject))
	if err != nil {
		return fmt.Errorf("couldn't offer the service %s: %w", subject, err)
	}
	<-ctx.Done()
	err = service.Stop()
	calls.Close()
	return err
}

// lateAnswer answers a call whose handler has returned. The call's own methods must not be
// used then: they note an error in it, which the library reads at that time without a lock.
func lateAnswer(reply string, response any, err error) *nats.Msg {
	m := nats.NewMsg(reply)
	if err == nil {
		m.Data, err = json.Marshal(response)
	}
	if err != nil {
		m.Header.Set(micro.ErrorHeader, err.Error())
		m.Header.Set(micro.ErrorCodeHeader, "500")
	}
	if errors.Is(err, errCalls) {
		m.Header.Set(micro.ErrorCodeHeader, busyCode)
	}
	return m
}

// droppedBy counts the requests that the service of a stage does not answer.
// Strangers decide how many there are: they must not fill the log.
func (e *Env) droppedBy(stageName string) func(reply string) {
	counter := e.dropped.WithLabelValues(stageName)
	return func(reply string) {
		counter.Inc()
		e.Log.Debug("dropped a request whose reply subject is no inbox", "stage", stageName, "subject", reply)
	}
}

// Request calls a NATS service of the pipeline within the context's deadline.
func Request[Response any](ctx context.Context, js jetstream.JetStream, subject string, body any) (response Response, err error) {
	subject = bus.PrefixOf(js).Subject(subject)
	ctx, span := span(ctx, "call "+subject)
	defer func() { bus.End(span, err) }()
	request := &nats.Msg{Subject: subject, Data: nostr.Encode(body), Header: nats.Header{}}
	bus.Inject(ctx, request.Header)
	msg, err := js.Conn().RequestMsgWithContext(ctx, request)
	if errors.Is(err, nats.ErrNoResponders) {
		return response, fmt.Errorf("service %s: nobody offers it: is the pipeline running?", subject)
	}
	if err != nil {
		return response, fmt.Errorf("service %s: %w", subject, err)
	}
	if why := msg.Header.Get(micro.ErrorHeader); why != "" {
		return response, fmt.Errorf("service %s: %s", subject, why)
	}
	if err := json.Unmarshal(msg.Data, &response); err != nil {
		return response, fmt.Errorf("service %s: answer cannot be read: %w", subject, err)
	}
	return response, nil
}
