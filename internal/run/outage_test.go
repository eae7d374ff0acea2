package run

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fiatjaf/khatru"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	gonostr "github.com/nbd-wtf/go-nostr"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/bus"
	"github.com/relaymesh/relaymesh/internal/edge/natsd"
	"github.com/relaymesh/relaymesh/internal/edge/relay"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/internal/testkit/loopback"
	"github.com/relaymesh/relaymesh/pkg/khatruhook"
	"github.com/relaymesh/relaymesh/pkg/nostr"
	"github.com/relaymesh/relaymesh/pkg/outbox"
)

// natsServer is a real server on a port of its own that can be away.
type natsServer struct {
	t      *testing.T
	config natsd.Config
	server *natsd.Server
}

func startNATS(t *testing.T) *natsServer {
	t.Helper()
	s := &natsServer{t: t, config: natsd.Config{Dir: t.TempDir(), MaxStore: 1 << 40, Listen: loopback.Addr(), SyncInterval: time.Hour}}
	s.start()
	js := s.js()
	if _, err := bus.Provision(t.Context(), js, bus.ProvisionOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.server.Close() })
	return s
}

func (s *natsServer) start() {
	s.t.Helper()
	var err error
	if s.server, err = natsd.Start(s.config); err != nil {
		s.t.Fatal(err)
	}
}

func (s *natsServer) js() jetstream.JetStream {
	s.t.Helper()
	nc, err := s.server.Connect("test")
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(nc.Close)
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute))
	if err != nil {
		s.t.Fatal(err)
	}
	return js
}

// stored waits until the intake stream holds n events.
func (s *natsServer) stored(n int) {
	s.t.Helper()
	js := s.js()
	deadline := time.Now().Add(time.Minute)
	for {
		stream, err := js.Stream(s.t.Context(), contract.StreamIntake)
		if err != nil {
			s.t.Fatal(err)
		}
		got := int(stream.CachedInfo().State.Msgs)
		if got == n {
			return
		}
		if got > n || time.Now().After(deadline) {
			s.t.Fatalf("%d events are stored, want %d", got, n)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (s *natsServer) flags() config.Config {
	return config.Config{NATS: "nats://" + s.config.Listen, Drain: time.Second, Policy: config.Policy{FollowDepth: 1}}
}

// NATS is away when strfry starts the plugin, and once more later: strfry is
// answered at once, and nothing is lost or stored twice.
func TestPluginSurvivesAnOutage(t *testing.T) {
	t.Parallel()
	s := startNATS(t)
	s.server.Close()

	requests, toPlugin := io.Pipe()
	fromPlugin, answers := io.Pipe()
	ended := make(chan error, 1)
	p := plugin{Source: source{Events: 1000, MiB: 16}}
	c := s.flags()
	go func() {
		ended <- p.serve(context.Background(), &c, slog.New(slog.DiscardHandler), requests, answers)
		answers.Close()
	}()
	lines := bufio.NewScanner(fromPlugin)
	strfry := func(all []nostr.Event) {
		t.Helper()
		for _, e := range all {
			request := fmt.Sprintf(`{"event":%s,"receivedAt":1700000000,"sourceInfo":"127.0.0.1","sourceType":"IP4","type":"new"}`, nostr.Encode(e))
			if _, err := io.WriteString(toPlugin, request+"\n"); err != nil {
				t.Fatal(err)
			}
			if !lines.Scan() || lines.Text() != `{"id":"`+e.ID+`","action":"accept"}` {
				t.Fatalf("answered %q", lines.Text())
			}
		}
	}
	all := signed()
	strfry(all[:100]) // before the plugin could ever connect
	s.start()
	s.stored(100)
	strfry(all[100:200])
	s.stored(200)
	s.server.Close()
	strfry(all[200:400])
	s.start()
	s.stored(400)
	toPlugin.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A khatru relay with the hook feeds the pipeline, NATS away or not, and the
// relay's clients do not notice.
func TestKhatruHookFeedsThePipelineOverAnOutage(t *testing.T) {
	t.Parallel()
	s := startNATS(t)
	nc, err := nats.Connect(s.server.URL(), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond), nats.ReconnectBufSize(-1))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	out := outbox.New(func(ctx context.Context, m outbox.Message) error {
		_, err := js.PublishMsg(ctx, &nats.Msg{Subject: m.Subject, Header: m.Header, Data: m.Data})
		return err
	}, outbox.Options{Sender: "ws://khatru"})
	server := khatru.NewRelay()
	server.Log.SetOutput(io.Discard)
	server.StoreEvent = append(server.StoreEvent, func(context.Context, *gonostr.Event) error { return nil })
	server.OnEventSaved = append(server.OnEventSaved, khatruhook.OnEventSaved[*gonostr.Event](out))
	web := httptest.NewServer(server)
	defer web.Close()

	ctx, stop := context.WithCancel(t.Context())
	var pipeline sync.WaitGroup
	log := slog.New(slog.DiscardHandler)
	c := s.flags()
	pipeline.Go(func() {
		js, err := Dial(ctx, c.NATS, c.NATSAuth, "ingest", log)
		if err != nil {
			t.Error(err)
			return
		}
		defer js.Conn().Close()
		if err := Run(ctx, c, js, log, []string{contract.StageIngest}, func() {}); err != nil {
			t.Error(err)
		}
	})

	client, err := relay.Dial(t.Context(), "ws"+strings.TrimPrefix(web.URL, "http"), relay.Options{AllowPrivate: true})
	if err != nil {
		t.Fatal(err)
	}
	post := func(n int) (authors []string) {
		t.Helper()
		for range n {
			key, err := schnorr.NewSecret()
			if err != nil {
				t.Fatal(err)
			}
			e := nostr.Event{Kind: 1, CreatedAt: time.Now().Unix(), Content: "hello \"<&>\" \U0001F40E\n"}
			if err := key.SignEvent(&e); err != nil {
				t.Fatal(err)
			}
			if err := reconcile.Write(t.Context(), client, e); err != nil {
				t.Fatalf("the relay's client noticed: %v", err)
			}
			authors = append(authors, e.PubKey)
		}
		return authors
	}
	arrive := func(authors []string) {
		t.Helper()
		kv, err := js.KeyValue(t.Context(), contract.BucketAuthors)
		for deadline := time.Now().Add(time.Minute); err != nil && time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
			kv, err = js.KeyValue(t.Context(), contract.BucketAuthors)
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, author := range authors {
			_, err := kv.Get(t.Context(), author)
			for deadline := time.Now().Add(time.Minute); err != nil && time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
				_, err = kv.Get(t.Context(), author)
			}
			if err != nil {
				t.Fatalf("author %s never arrived: %v", author, err)
			}
		}
	}
	authors := post(20)
	// A server that goes away while ingest binds its consumers ends the process,
	// rightly: it pulls from none before it has bound them all.
	arrive(authors)
	authors = append(authors, post(20)...)
	s.server.Close()
	authors = append(authors, post(50)...)
	s.start()
	arrive(append(authors, post(20)...))
	client.Close()
	if lost := out.Close(t.Context()); lost != 0 {
		t.Errorf("%d events lost", lost)
	}
	stop()
	pipeline.Wait()
}

func TestStdin(t *testing.T) {
	t.Parallel()
	s := startNATS(t)
	all := signed()[:300]
	var input bytes.Buffer
	for _, e := range all {
		input.Write(append(nostr.Encode(e), '\n'))
	}
	input.WriteString("no event\n\n")
	forged := all[0]
	forged.Content = "forged"
	input.Write(append(nostr.Encode(forged), '\n'))
	input.Write(append(nostr.Encode(all[3]), '\n'))
	input.Write(append(nostr.Encode(all[20]), '\n'))
	cmd := stdin{Source: source{Events: 100, MiB: 1}, JSON: true, Skip: 10}
	c := s.flags()
	var output bytes.Buffer
	if err := cmd.read(t.Context(), &c, slog.New(slog.DiscardHandler), &input, &output); !errors.Is(err, errBadLines) {
		t.Errorf("got %v", err)
	}
	var got map[string]int
	if err := json.Unmarshal(output.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	// Line 303 claims the id of a line that was skipped, 304 repeats another
	// of them, 305 one that was read.
	if want := map[string]int{"lines": 305, "events": 291, "duplicates": 1, "bad": 2}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("read %v, want %v", got, want)
	}
	s.stored(291)
}
