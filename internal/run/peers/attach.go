package peers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/edge/p2p"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/internal/run"
	"github.com/relaymesh/relaymesh/internal/stage/syncing"
)

// Attach is the [run.AttachLibp2p] of processes that sync.
func Attach(e *run.Env, s *syncing.Stage) (io.Closer, error) {
	key, err := readKey(e.Config.P2P)
	if err != nil {
		return nil, err
	}
	options := p2p.Options{
		Key: key, Listen: e.Config.P2P.Listen, AllowPrivate: e.Config.AllowPrivate, Log: s.Log,
	}
	if options.Listen != "" {
		options.Serve = func(_ context.Context, from string) (p2p.Responder, error) {
			net, shut := e.Home()
			return incoming{s.Respond(net, from), from, shut, s}, nil
		}
	}
	host, err := p2p.Start(options)
	if err != nil {
		return nil, fmt.Errorf("--p2p-listen: %w", err)
	}
	if options.Listen != "" {
		s.Log.Info("libp2p peers may sync with us", "addrs", host.Addrs())
	}
	s.Net = &relays{Relays: s.Net, host: host, known: s.Relays, allowed: e.Allowed, log: s.Log, peers: map[string]*entry{}}
	return host, nil
}

// readKey returns the secret key of our identity, which is made if the file is
// missing; "" is none.
func readKey(c config.P2P) (string, error) {
	switch {
	case c.KeyFile == "" && c.Listen != "":
		return "", errors.New("--p2p-key-file: missing; peers know us by that key, so it must outlive the process")
	case c.KeyFile == "":
		return "", nil
	}
	key, err := schnorr.ReadSecretFile(c.KeyFile)
	if errors.Is(err, fs.ErrNotExist) {
		key, err = makeKey(c.KeyFile)
	}
	if err != nil {
		return "", fmt.Errorf("--p2p-key-file: %w", err)
	}
	return key.Hex(), nil
}

// makeKey makes a key and writes it to a file that does not exist.
func makeKey(path string) (*schnorr.SecretKey, error) {
	key, err := schnorr.NewSecret()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	_, err = fmt.Fprintln(file, key.Hex())
	return key, errors.Join(err, file.Close())
}

// incoming answers one session of a peer.
type incoming struct {
	*reconcile.Responder

	from  string
	shut  func()
	stage *syncing.Stage
}

// Answer answers a message; that the set is too large is told the peer.
func (i incoming) Answer(ctx context.Context, msg []byte) ([]byte, error) {
	answer, err := i.Responder.Answer(ctx, msg)
	if errors.Is(err, reconcile.ErrTooLarge) {
		return nil, &p2p.ToldError{Words: "blocked: too many events; ask for less time at once", Err: err}
	}
	return answer, err
}

// Close ends the session, and says what it came to.
func (i incoming) Close() {
	i.Responder.Close()
	i.shut()
	if f := i.Figures(); f.ToA+f.Refused+f.HeldBack > 0 {
		i.stage.Log.Info("a libp2p peer wrote to the relay", "peer", i.from, "stored", f.ToA, "refused", f.Refused, "held_back", f.HeldBack)
	}
}
