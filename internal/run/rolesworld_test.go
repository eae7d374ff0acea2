package run

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/natsd"
	"github.com/relaymesh/relaymesh/internal/testkit/natstest"
	"github.com/relaymesh/relaymesh/pkg/events"
)

// rolesWorld is a server where every stream and bucket holds a message, every
// consumer has delivered one, and the services run.
type rolesWorld struct {
	*testing.T
	server  *natsd.Server
	js      jetstream.JetStream // the operator's
	victims []*victim
	stop    func() // ends the services
}

// victim is a stream as it was before the attack.
type victim struct {
	stream    string
	subjects  []string // of its messages
	info      *jetstream.StreamInfo
	consumers map[string]*jetstream.ConsumerInfo
	acks      map[string]string // the subject that acknowledges a consumer's message
}

func newRolesWorld(t *testing.T) *rolesWorld {
	w := &rolesWorld{T: t}
	relay, _ := contract.PermissionsOf(contract.RoleRelay)
	gateway, _ := contract.PermissionsOf(contract.RoleGateway)
	w.server = natstest.StartOn(t, natstest.Dir(t), natstest.User(contract.RoleRelay, relay), natstest.User(contract.RoleGateway, gateway),
		natstest.User("shared", relay))
	w.js = natstest.Provision(t, w.server)
	for _, s := range contract.Streams() {
		w.victims = append(w.victims, &victim{stream: s.Name, acks: map[string]string{}})
	}
	for _, b := range contract.Buckets() {
		w.victims = append(w.victims, &victim{stream: "KV_" + b.Name})
		w.put("$KV." + b.Name + ".victim")
	}
	for _, stageName := range contract.Stages() {
		w.put(contract.DLQSubject(stageName))
	}
	_, outcomes := contract.Prefix("").Exported()
	for _, subject := range outcomes {
		w.put(subject)
	}
	for _, c := range contract.Consumers() {
		for _, filter := range c.Filters {
			w.put(strings.ReplaceAll(filter, "*", "victim"))
		}
	}
	for _, c := range contract.Consumers() {
		w.deliver(c)
	}
	for _, v := range w.victims {
		w.look(v)
	}
	w.Serve()
	return w
}

func (w *rolesWorld) put(subject string) {
	ack, err := w.js.Publish(w.Context(), subject, []byte(`"the operator's"`))
	if err != nil {
		w.Fatalf("%s: %v", subject, err)
	}
	v := w.victim(ack.Stream)
	v.subjects = append(v.subjects, subject)
}

func (w *rolesWorld) victim(stream string) *victim {
	return w.victims[slices.IndexFunc(w.victims, func(v *victim) bool { return v.stream == stream })]
}

// deliver has a consumer deliver its message, which is not acknowledged.
func (w *rolesWorld) deliver(c contract.Consumer) {
	consumer, err := w.js.Consumer(w.Context(), c.Stream, c.Name)
	if err != nil {
		w.Fatal(err)
	}
	msg, err := consumer.Next()
	if err != nil {
		w.Fatalf("%s.%s: %v", c.Stream, c.Name, err)
	}
	w.victim(c.Stream).acks[c.Name] = msg.Reply()
}

// look remembers the stream and its consumers.
func (w *rolesWorld) look(v *victim) {
	stream, err := w.js.Stream(w.Context(), v.stream)
	if err != nil {
		w.Fatal(err)
	}
	v.info = stream.CachedInfo()
	if v.consumers, err = w.consumers(stream); err != nil {
		w.Fatal(err)
	}
}

func (w *rolesWorld) consumers(stream jetstream.Stream) (map[string]*jetstream.ConsumerInfo, error) {
	infos := map[string]*jetstream.ConsumerInfo{}
	list := stream.ListConsumers(w.Context())
	for info := range list.Info() {
		infos[info.Name] = info
	}
	return infos, list.Err()
}

// Serve runs both services as the users of their stages.
func (w *rolesWorld) Serve() {
	ctx, stop := context.WithCancel(w.Context())
	resolve := natstest.ConnectAs(w, w.server, contract.StageDHTWorker, contract.StageDHTWorker)
	fetch := natstest.ConnectAs(w, w.server, contract.StageFetcher, contract.StageFetcher)
	ended := make(chan error, 2)
	go func() {
		ended <- Serve(ctx, resolve, nil, func(string) {}, contract.NameListResolve, events.ServiceListResolve,
			func(events.ResolveRequest) int64 { return 1000 },
			func(context.Context, events.ResolveRequest) (events.ResolveResponse, error) {
				return events.ResolveResponse{Found: true}, nil
			})
	}()
	go func() {
		ended <- Serve(ctx, fetch, nil, func(string) {}, contract.NameNoteFetch, events.ServiceNoteFetch,
			func(events.MissingNoteRequest) int64 { return 1000 },
			func(context.Context, events.MissingNoteRequest) (events.MissingNoteResponse, error) {
				return events.MissingNoteResponse{}, errors.New("not found")
			})
	}()
	w.ask()
	w.stop = func() {
		stop()
		for range 2 {
			if err := <-ended; err != nil {
				w.Error(err)
			}
		}
		if err := errors.Join(resolve.Conn().Flush(), fetch.Conn().Flush()); err != nil {
			w.Error(err)
		}
	}
}

// ask calls both services, once they are there.
func (w *rolesWorld) ask() {
	for _, service := range []string{events.ServiceListResolve, events.ServiceNoteFetch} {
		ask(w.T, w.js.Conn(), service)
	}
}

func ask(t *testing.T, nc *nats.Conn, service string) {
	t.Helper()
	_, err := nc.Request(service, []byte("{}"), time.Minute)
	for errors.Is(err, nats.ErrNoResponders) {
		time.Sleep(time.Millisecond) // it may need the processor to come
		_, err = nc.Request(service, []byte("{}"), time.Minute)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (w *rolesWorld) as(user string) *nats.Conn {
	name := user
	if user == "shared" {
		name = contract.RoleRelay
	}
	return natstest.ConnectAs(w, w.server, name, user, nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})).Conn()
}

// attack sends all that a user can think of, and returns when it has taken effect.
func (w *rolesWorld) attack(nc *nats.Conn, everyReply bool) {
	send := func(subject, reply, body string, header ...string) {
		msg := &nats.Msg{Subject: subject, Reply: reply, Data: []byte(body), Header: nats.Header{}}
		for i := 0; i < len(header); i += 2 {
			msg.Header.Set(header[i], header[i+1])
		}
		if err := nc.PublishMsg(msg); err != nil {
			w.Fatal(err)
		}
	}
	targets := w.targets()
	through := []string{events.ServiceListResolve, events.ServiceNoteFetch}
	if everyReply {
		through, _ = contract.Prefix("").Exported()
		for i := range through {
			through[i] = strings.ReplaceAll(through[i], "*", "another")
		}
	}
	for _, body := range []string{"", "{}", "not JSON", "[]"} {
		for _, target := range targets {
			for _, subject := range through {
				send(subject, target.subject, body)
				send(subject, nc.NewRespInbox(), body, "Nats-Trace-Dest", target.subject) // where the server tells of a message's way
			}
		}
		w.fence(nc) // the server lets a service answer once to each subject
	}
	if everyReply {
		for _, subject := range through {
			for _, order := range orders {
				send(subject, nc.NewRespInbox(), `{}`, order...)
			}
		}
	}
	for _, target := range targets {
		send(target.subject, "", target.body)
		send(target.subject, nc.NewRespInbox(), target.body)
	}
	w.fence(nc)
	w.stop()
	// Whatever the server still works on comes before; what only asks, as for the
	// information on a stream, waits in another queue.
	if err := w.js.DeleteStream(w.Context(), "none"); !errors.Is(err, jetstream.ErrStreamNotFound) {
		w.Fatal(err)
	}
}

// orders are headers by which a message has JetStream do more than store it, where the
// stream allows that.
var orders = [][]string{
	{jetstream.MsgRollup, jetstream.MsgRollupAll},
	{jetstream.MsgRollup, jetstream.MsgRollupSubject},
	{"KV-Operation", "PURGE"},
	{"Nats-TTL", "1s", "Nats-Marker-Reason", "Purge"},
	{"Nats-Schedule", "@at 2000-01-01T00:00:00Z", "Nats-Schedule-Target", "author.seen.victim"},
	{"Nats-Schedule-Next", "purge", "Nats-Scheduler", "schedule.author.seen.victim"},
	{"Nats-Batch-Id", "victim", "Nats-Batch-Sequence", "1", "Nats-Batch-Commit", "1"},
	{"Nats-Incr", "1"},
	{"Nats-Stream-Source", "INTAKE 1 > >", "Nats-Sequence", "1"},
}

// fence returns when what the user has sent was handed to the services.
func (w *rolesWorld) fence(nc *nats.Conn) {
	if err := nc.Flush(); err != nil {
		w.Fatal(err)
	}
	w.ask()
}

type target struct{ subject, body string }

// targets are, with a body that works there, all subjects by which something
// can be stored, acknowledged, changed or deleted; what deletes most comes last.
func (w *rolesWorld) targets() (list []target) {
	add := func(body, form string, args ...any) { list = append(list, target{fmt.Sprintf(form, args...), body}) }
	for _, v := range w.victims {
		for _, subject := range v.subjects {
			// In the streams beside the message that waits there: one that was replaced
			// looks as if it had been acknowledged.
			another := subject
			if !strings.HasPrefix(v.stream, "KV_") {
				another = strings.ReplaceAll(subject, "victim", "another")
			}
			add(`{}`, "%s", another)
			add(`{}`, "%s", contract.PrefixSchedule+another)
			add(``, "$JS.API.DIRECT.GET.%s.%s", v.stream, subject)
			add(`{"stream_name":"`+v.stream+`","config":{"name":"new","filter_subject":"`+subject+`","ack_policy":"none"}}`,
				"$JS.API.CONSUMER.CREATE.%s.new.%s", v.stream, subject)
		}
		for name, ack := range v.acks {
			add(``, "%s", ack)
			add(`{"batch":1}`, "$JS.API.CONSUMER.MSG.NEXT.%s.%s", v.stream, name)
		}
	}
	for _, v := range w.victims {
		add(`{"last_by_subj":"`+v.subjects[0]+`"}`, "$JS.API.STREAM.MSG.GET.%s", v.stream)
		add(`{"seq":1}`, "$JS.API.DIRECT.GET.%s", v.stream)
		add(`{"seq":1}`, "$JS.API.STREAM.MSG.DELETE.%s", v.stream)
		add(``, "$JS.API.STREAM.INFO.%s", v.stream)
		add(`{}`, "$JS.API.STREAM.CREATE.%s", v.stream)
		add(`{"name":"`+v.stream+`","subjects":["`+v.subjects[0]+`"],"max_msgs":1}`, "$JS.API.STREAM.UPDATE.%s", v.stream)
		add(`{}`, "$JS.API.STREAM.SNAPSHOT.%s", v.stream)
		add(`{}`, "$JS.API.STREAM.RESTORE.%s", v.stream)
		add(``, "$JS.API.STREAM.LEADER.STEPDOWN.%s", v.stream)
		for name := range v.acks {
			for _, verb := range []string{"INFO", "LEADER.STEPDOWN", "UNPIN", "RESET"} {
				add(``, "$JS.API.CONSUMER.%s.%s.%s", verb, v.stream, name)
			}
			add(`{"pause_until":"2100-01-01T00:00:00Z"}`, "$JS.API.CONSUMER.PAUSE.%s.%s", v.stream, name)
			add(`{"stream_name":"`+v.stream+`","config":{"durable_name":"`+name+`"}}`, "$JS.API.CONSUMER.DURABLE.CREATE.%s.%s", v.stream, name)
			add(``, "$JS.API.CONSUMER.DELETE.%s.%s", v.stream, name)
		}
		add(``, "$JS.API.STREAM.PURGE.%s", v.stream)
	}
	for _, verb := range []string{"INFO", "STREAM.NAMES", "STREAM.LIST", "META.LEADER.STEPDOWN", "SERVER.REMOVE", "ACCOUNT.PURGE.$G"} {
		add(`{}`, "$JS.API.%s", verb)
	}
	for _, v := range w.victims {
		add(``, "$JS.API.STREAM.DELETE.%s", v.stream)
	}
	return list
}

// check compares every stream with what it was: exactly what is allowed has
// happened.
func (w *rolesWorld) check(allowed map[string][]string) {
	for _, v := range w.victims {
		got, want := w.changes(v), slices.Sorted(slices.Values(allowed[v.stream]))
		if slices.Sort(got); !slices.Equal(got, want) {
			w.Errorf("%s: %q, want %q", v.stream, got, want)
		}
	}
}

func (w *rolesWorld) changes(v *victim) (list []string) {
	stream, err := w.js.Stream(w.Context(), v.stream)
	if err != nil {
		return []string{remade}
	}
	is, was := stream.CachedInfo(), v.info
	if is.Created != was.Created || fmt.Sprint(is.Config) != fmt.Sprint(was.Config) {
		list = append(list, remade)
	}
	if is.State.LastSeq > was.State.LastSeq {
		list = append(list, stored)
	}
	for seq := was.State.FirstSeq; seq <= was.State.LastSeq; seq++ {
		if _, err := stream.GetMsg(w.Context(), seq); err != nil {
			list = append(list, removed)
			break
		}
	}
	consumers, err := w.consumers(stream)
	if err != nil {
		return []string{remade}
	}
	for name, before := range v.consumers {
		switch now := consumers[name]; {
		case now == nil, now.Created != before.Created, fmt.Sprint(now.Config) != fmt.Sprint(before.Config):
			list = append(list, consumed)
		case now.AckFloor.Consumer > before.AckFloor.Consumer:
			list = append(list, acked)
		}
	}
	if len(consumers) > len(v.consumers) {
		list = append(list, consumed)
	}
	slices.Sort(list)
	return slices.Compact(list)
}
