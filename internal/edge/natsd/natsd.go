package natsd

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/bus"
)

// MaxPayload is the largest message in bytes, headers included.
const MaxPayload = 1 << 20

const readyWithin = 30 * time.Second

// A connection within the process waits for the server's first words for greetWithin, and
// the server for those of any client for authWithin: less, since strangers may reach it and
// say nothing. The libraries' 2 s are not enough where many processes share a core: the
// pipeline of a process that has a server of its own would not start.
const (
	greetWithin = 20 * time.Second
	authWithin  = 5 * time.Second
)

// ownName is the user of this process where others need a key.
const ownName = "relaymesh"

// Config says where and how the server runs.
type Config struct {
	// Dir holds streams and buckets; it is made if it does not exist.
	Dir string
	// Listen is the TCP address, host:port (port 0 takes any free one). Empty
	// means that only this process can connect.
	Listen string
	// SyncInterval is how much of the last writes a crash of the machine may
	// cost; 0 means 2 s. A crash of the process costs nothing.
	SyncInterval time.Duration
	// SyncAlways writes through to the disk before every acknowledgement.
	SyncAlways bool
	// MaxStore bounds what all streams and buckets take, in bytes; 0 means three
	// quarters of the disk that is free at the start. See [SizeStore].
	MaxStore int64
	// Prefix is that of the pipeline whose subjects users of other accounts may reach.
	Prefix contract.Prefix
	// Users may connect, each with its permissions, in the account that
	// [AccountOf] says; without any, everyone may, and do everything.
	Users []*server.User
	// Nkeys may connect, too, each with its permissions; see [ReadUsers].
	Nkeys []*server.NkeyUser
	// Open permits to listen beyond loopback without Users and Nkeys.
	Open bool
	// Log takes the server's warnings and errors; nil discards them.
	Log *slog.Logger
}

// Server is a running NATS server.
type Server struct {
	nats *server.Server
	own  []nats.Option // who this process is to it
	log  *slog.Logger
	dir  string
	lock *os.File

	places *places // nil until it is ready

	lookEvery time.Duration // of Guard
	close     sync.Once
}

// Start runs a server and returns when it takes connections. It fails if
// another process has the data directory.
func Start(c Config) (*Server, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	opts, err := options(c)
	if err != nil {
		return nil, err
	}
	s := &Server{log: c.Log, dir: c.Dir, lookEvery: lookEvery}
	if len(c.Nkeys) > 0 {
		secret := rand.Text()
		opts.Users = append(opts.Users, &server.User{Username: ownName, Password: secret})
		s.own = []nats.Option{nats.UserInfo(ownName, secret)}
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make data directory: %w", err)
	}
	held, err := lock(c.Dir)
	if err != nil {
		return nil, err
	}
	if err := checkFree(c.Listen); err != nil {
		_ = held.Close()
		return nil, err
	}
	setAsideTorn(c.Dir, c.Log)
	ns, err := server.NewServer(opts)
	if err != nil {
		_ = held.Close()
		return nil, fmt.Errorf("make NATS server: %w", err)
	}
	ns.SetLogger(logger{c.Log}, false, false)
	s.nats, s.lock = ns, held
	ns.Start()
	if !ns.ReadyForConnections(readyWithin) || !ns.JetStreamEnabled() {
		s.Close()
		return nil, fmt.Errorf("NATS server is not ready: look for warnings in the log, whether %s is writable and whether %q is free", c.Dir,
			c.Listen)
	}
	if s.places, err = openPlaces(c.Dir); err != nil {
		s.Close()
		return nil, fmt.Errorf("NATS server: %w", err)
	}
	return s, nil
}

// checkFree fails if a server could not listen there: it ends its process itself.
func checkFree(addr string) error {
	if addr == "" {
		return nil
	}
	var listen net.ListenConfig
	l, err := listen.Listen(context.Background(), "tcp", addr)
	if err != nil {
		return fmt.Errorf("NATS server: %w", err)
	}
	return l.Close()
}

func options(c Config) (*server.Options, error) {
	if c.Dir == "" {
		return nil, errors.New("NATS server needs a data directory")
	}
	if err := c.checkListen(); err != nil {
		return nil, err
	}
	accounts, err := c.accounts()
	if err != nil {
		return nil, err
	}
	o := &server.Options{
		ServerName:        "relaymesh",
		JetStream:         true,
		StoreDir:          c.Dir,
		JetStreamMaxStore: c.MaxStore,
		SyncInterval:      c.SyncInterval,
		SyncAlways:        c.SyncAlways,
		MaxPayload:        MaxPayload,
		AuthTimeout:       authWithin.Seconds(),
		NoSigs:            true,
		DontListen:        c.Listen == "",
		Users:             c.Users,
		Nkeys:             c.Nkeys,
		Accounts:          accounts,

		DisableJetStreamBanner: true,
	}
	if o.SyncInterval == 0 {
		o.SyncInterval = 2 * time.Second
	}
	if c.Listen == "" {
		return o, nil
	}
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return nil, fmt.Errorf("NATS listen address: %w: write it as host:port", err)
	}
	if o.Port, err = strconv.Atoi(port); err != nil || o.Port < 0 || o.Port > 65535 {
		return nil, fmt.Errorf("NATS listen address %q: port must be a number from 0 to 65535", c.Listen)
	}
	o.Host = host
	if o.Port == 0 {
		o.Port = server.RANDOM_PORT
	}
	return o, nil
}

// Connect returns a connection of this process, without a socket, named for
// monitoring and for the error log. The caller closes it.
func (s *Server) Connect(name string, opts ...nats.Option) (*nats.Conn, error) {
	opts = slices.Concat(bus.ConnectOptions(name, s.log), s.own, []nats.Option{
		nats.InProcessServer(s), nats.Timeout(greetWithin), nats.PingInterval(0), // no network can cut it off
	}, opts)
	nc, err := nats.Connect("", opts...)
	if err != nil {
		return nil, fmt.Errorf("connect to NATS in process: %w", err)
	}
	return nc, nil
}

// InProcessConn makes the server a [nats.InProcessConnProvider].
func (s *Server) InProcessConn() (net.Conn, error) { return s.nats.InProcessConn() }

// URL is where other processes connect; empty if the server does not listen.
func (s *Server) URL() string {
	if s.nats.Addr() == nil {
		return ""
	}
	return s.nats.ClientURL()
}

// Close stops the server, waits until everything is on disk, and gives the
// directory free. It may be called twice.
func (s *Server) Close() {
	s.close.Do(func() {
		s.nats.Shutdown()
		s.nats.WaitForShutdown()
		_ = s.lock.Close()
		if s.places != nil {
			_ = s.places.close()
		}
	})
}
