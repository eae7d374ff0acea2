package natsd_test

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/bus"
	"github.com/relaymesh/relaymesh/internal/edge/natsd"
	"github.com/relaymesh/relaymesh/internal/testkit/natstest"
	"github.com/relaymesh/relaymesh/pkg/events"
)

// Nobody lets the world do everything by mistake.
func TestListeningBeyondLoopbackNeedsUsers(t *testing.T) {
	for _, listen := range []string{"0.0.0.0:0", "[::]:0", ":0", "192.0.2.1:0", "nats.example.com:0"} {
		s, err := natsd.Start(natsd.Config{Dir: t.TempDir(), MaxStore: 1 << 40, Listen: listen})
		if err == nil {
			s.Close()
			t.Errorf("listens on %s, open to everyone", listen)
		} else if !strings.Contains(err.Error(), "--nats-users") || !strings.Contains(err.Error(), listen) {
			t.Errorf("%s: %v", listen, err)
		}
	}
	for _, c := range []natsd.Config{{Listen: "127.0.0.1:0"}, {Listen: "localhost:0"}, {Listen: ""}, {Listen: "0.0.0.0:0", Open: true}} {
		c.Dir, c.MaxStore = t.TempDir(), 1<<40
		start(t, c)
	}
}

func TestUsersOfTheEmbeddedServer(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	newKey := func(name string) (public string) {
		key, err := nkeys.CreateUser()
		if err != nil {
			t.Fatal(err)
		}
		public, _ = key.PublicKey()
		seed, _ := key.Seed()
		write(name, string(seed))
		return public
	}
	users, err := natsd.ReadUsers(write("users", "# who\n"+newKey("op")+" operator # me\n\n"+newKey("relay")+"\trelay\n"), "")
	if err != nil {
		t.Fatal(err)
	}
	newKey("stranger")
	s := start(t, natsd.Config{Dir: t.TempDir(), MaxStore: 1 << 40, Listen: "0.0.0.0:0", Nkeys: users})
	url := "nats://127.0.0.1" + s.URL()[strings.LastIndex(s.URL(), ":"):]
	dial := func(creds string) (*nats.Conn, error) {
		auth := bus.Auth{}
		if creds != "" {
			auth.Creds = filepath.Join(dir, creds)
		}
		opts, err := auth.Options()
		if err != nil {
			t.Fatal(err)
		}
		nc, err := bus.Dial(t.Context(), url, "relay", slog.New(slog.DiscardHandler), opts...)
		if err == nil {
			t.Cleanup(nc.Close)
		}
		return nc, err
	}
	for _, creds := range []string{"", "stranger"} {
		if _, err := dial(creds); err == nil || !strings.Contains(err.Error(), "Authorization") {
			t.Errorf("with %q: %v", creds, err)
		}
	}
	inProcess := connect(t, s)
	heard, err := inProcess.SubscribeSync(">")
	if err != nil {
		t.Fatal(err)
	}
	if err := inProcess.Flush(); err != nil { // or the first message may be gone before
		t.Fatal(err)
	}
	// A relay may publish events, and not what stages do.
	for creds, subjects := range map[string][]string{"op": {"author.seen.x"}, "relay": {"author.seen.x", "event.received"}} {
		nc, err := dial(creds)
		if err != nil {
			t.Fatal(err)
		}
		for _, subject := range subjects {
			if err := nc.Publish(subject, []byte(creds)); err != nil {
				t.Fatal(err)
			}
		}
		if err := nc.Flush(); err != nil {
			t.Fatal(err)
		}
		msg, err := heard.NextMsgWithContext(t.Context())
		for err == nil && strings.HasPrefix(msg.Subject, "$SYS.") { // of those who were refused
			msg, err = heard.NextMsgWithContext(t.Context())
		}
		if want := subjects[len(subjects)-1]; err != nil || msg.Subject != want || string(msg.Data) != creds {
			t.Errorf("%s: heard %+v, %v, want %s", creds, msg, err, want)
		}
	}
}

// Feeders have an account of their own, beside that in which the streams were
// before there were users. What is public there is all that it has.
func TestFeedersHaveAnAccountOfTheirOwn(t *testing.T) {
	dir := t.TempDir()
	before := start(t, natsd.Config{Dir: dir, MaxStore: 1 << 40})
	js, err := jetstream.New(connect(t, before), jetstream.WithDefaultTimeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bus.Provision(t.Context(), js, bus.ProvisionOptions{}); err != nil {
		t.Fatal(err)
	}
	before.Close()

	p, _ := contract.PermissionsOf(contract.RoleRelay)
	s := start(t,
		natsd.Config{
			Dir: dir, MaxStore: 1 << 40,
			Users: []*server.User{{Username: "operator", Password: "operator"}, natstest.User(contract.RoleRelay, p)},
		})
	js = natstest.ConnectAs(t, s, "operator", "operator")
	feeder := natstest.ConnectAs(t, s, contract.RoleRelay, contract.RoleRelay)
	services, outcomes := contract.Prefix("").Exported()
	gateways := "$KV." + contract.BucketGateways + ".*"
	for _, subject := range services {
		if subject == gateways { // which is for gateways alone
			continue
		}
		if strings.HasPrefix(subject, "relaymesh.") {
			sub, err := js.Conn().Subscribe(subject, func(m *nats.Msg) { _ = m.Respond([]byte(m.Reply)) })
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(js.Conn().Flush(), sub.AutoUnsubscribe(1)); err != nil {
				t.Fatal(err)
			}
			answer, err := feeder.Conn().RequestWithContext(t.Context(), subject, nil)
			if err != nil || !contract.IsInbox(string(answer.Data)) || !strings.HasPrefix(string(answer.Data), "_R_.") {
				t.Errorf("%s: %v, asked with the reply subject of %+v", subject, err, answer)
			}
			continue
		}
		if ack, err := feeder.Publish(t.Context(), subject, []byte("{}")); err != nil || ack.Stream != contract.StreamIntake {
			t.Errorf("%s: acknowledged by %+v, %v", subject, ack, err)
		}
	}
	for _, subject := range outcomes {
		heard, err := feeder.Conn().SubscribeSync(subject)
		if err != nil {
			t.Fatal(err)
		}
		if err := feeder.Conn().Flush(); err != nil {
			t.Fatal(err)
		}
		if _, err := js.Publish(t.Context(), subject, []byte(subject)); err != nil {
			t.Fatal(err)
		}
		if msg, err := heard.NextMsgWithContext(t.Context()); err != nil || string(msg.Data) != subject {
			t.Errorf("%s: %v", subject, err)
		}
	}
}

// Those of a pipeline with a prefix reach that one.
func TestFeedersReachThePipelineOfTheirPrefix(t *testing.T) {
	const alice = contract.Prefix("alice")
	p, _ := alice.PermissionsOf(contract.RoleRelay)
	s := start(t, natsd.Config{
		Dir: t.TempDir(), MaxStore: 1 << 40, Prefix: alice,
		Users: []*server.User{{Username: "operator", Password: "operator"}, natstest.User(contract.RoleRelay, p)},
	})
	own := natstest.ConnectAs(t, s, "operator", "operator")
	js, err := bus.JetStream(own.Conn(), "", alice)
	if err != nil {
		t.Fatal(err)
	}
	for _, js := range []jetstream.JetStream{own, js} {
		if _, err := bus.Provision(t.Context(), js, bus.ProvisionOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	feeder := natstest.ConnectAs(t, s, contract.RoleRelay, contract.RoleRelay,
		nats.CustomInboxPrefix(contract.InboxPrefix(alice.Name(contract.RoleRelay))))
	for _, subject := range []string{events.SubjectEventReceived, events.SubjectNoteMissing} {
		if ack, err := feeder.Publish(t.Context(), alice.Subject(subject), []byte("{}")); err != nil || ack.Stream != "alice_INTAKE" {
			t.Errorf("%s: acknowledged by %+v, %v", subject, ack, err)
		}
	}
	if ack, err := feeder.Publish(t.Context(), events.SubjectEventReceived, []byte("{}")); err == nil {
		t.Errorf("the other pipeline is reached: %+v", ack)
	}
}

func TestUsersFilesThatAreWrong(t *testing.T) {
	key, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, _ := key.PublicKey()
	seed, _ := key.Seed()
	for text, want := range map[string]string{
		"": "names no user", "# none\n": "names no user", public: "line 1", public + " admin": "no role",
		string(seed) + " operator": "not its seed", "x y": "line 1", public + " relay x": "line 1",
	} {
		path := filepath.Join(t.TempDir(), "users")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := natsd.ReadUsers(path, "")
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), string(seed)) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	if _, err := natsd.ReadUsers(filepath.Join(t.TempDir(), "none"), ""); err == nil {
		t.Error("no file")
	}
}
