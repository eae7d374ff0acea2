//go:build scionic

package run

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/sync/errgroup"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/bus"
	"github.com/relaymesh/relaymesh/internal/edge/p2p"
	"github.com/relaymesh/relaymesh/internal/edge/scionic"
	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/internal/stage/fetch"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// withDAGs says whether this build can fetch DAGs.
const withDAGs = true

const (
	// dagTimeout bounds one download, and dagsAtOnce how many run.
	dagTimeout = 5 * time.Minute
	dagsAtOnce = 2
)

// fetchDAGs downloads the DAGs that events name to --dag-dir, until ctx ends.
// It is done as well as it can be: what comes while no fetcher listens, or
// cannot be had, is passed over. The fetchers of a pipeline share the work.
func (e *Env) fetchDAGs(ctx context.Context, authors stage.Store[contract.Author]) error {
	if e.Config.DAGDir == "" {
		return nil
	}
	host, err := p2p.Start(p2p.Options{AllowPrivate: e.Config.AllowPrivate, Log: e.Log})
	if err != nil {
		return err
	}
	defer host.Close()
	wanted := make(chan *nats.Msg, 1024)
	sub, err := e.JS.Conn().ChanQueueSubscribe(bus.PrefixOf(e.JS).Subject(events.SubjectDAGWanted), contract.StageFetcher, wanted)
	if err != nil {
		return fmt.Errorf("couldn't listen for %s: %w", events.SubjectDAGWanted, err)
	}
	defer sub.Unsubscribe() //nolint:errcheck // the connection ends, too
	var group errgroup.Group
	for range dagsAtOnce {
		group.Go(func() error {
			for {
				select {
				case m := <-wanted:
					if err := e.fetchDAG(ctx, host, authors, m.Data); err != nil {
						e.Log.WarnContext(ctx, "a DAG was not fetched", "err", err)
					}
				case <-ctx.Done():
					return nil
				}
			}
		})
	}
	return group.Wait()
}

// fetchDAG gets one DAG from the first relay of its author that has it.
func (e *Env) fetchDAG(ctx context.Context, host *p2p.Host, authors stage.Store[contract.Author], data []byte) error {
	w, err := nostr.Decode[events.DAGWanted](data)
	if err != nil {
		return err
	}
	if e.deny.Lists().Key(w.PubKey) || e.deny.Lists().ID(w.Event) {
		return nil
	}
	if !contract.IsDAGRoot(w.Root) {
		return fmt.Errorf("root %.64q: is no CID of a DAG", w.Root)
	}
	if _, err := os.Stat(filepath.Join(e.Config.DAGDir, scionic.FileName(w.Root))); err == nil {
		return nil
	}
	author, _, err := authors.Get(ctx, w.PubKey)
	if err != nil {
		return err
	}
	urls := fetch.DAGRelays(stage.OwnLists(w.PubKey, author))
	errs := []error{fmt.Errorf("%s: none of the %d relays of %s gave it", w.Root, len(urls), w.PubKey)}
	for _, url := range urls {
		path, err := e.downloadDAG(ctx, host, url, w.Root)
		if err == nil {
			e.Log.InfoContext(ctx, "fetched a DAG", "root", w.Root, "relay", url, "path", path)
			return nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", url, err))
	}
	return errors.Join(errs...)
}

// downloadDAG gets a DAG from the libp2p peer that a relay says it is.
func (e *Env) downloadDAG(ctx context.Context, host *p2p.Host, url, root string) (path string, err error) {
	ctx, cancel := context.WithTimeout(ctx, dagTimeout)
	defer cancel()
	pool, err := e.relays.pool(ctx, url)
	if err != nil {
		return "", err
	}
	info, err := pool.FetchInfo(ctx, url)
	if err != nil {
		return "", err
	}
	said, err := info.Hornets()
	if err != nil {
		return "", err
	}
	peer, err := p2p.Locate(ctx, url, said.PubKey, said.PeerID, said.Addrs)
	if err != nil {
		return "", err
	}
	defer host.Peer(peer).Close() // even if only the protocol was refused
	stream, err := host.OpenStream(ctx, peer, scionic.Protocol)
	if err != nil {
		return "", err
	}
	defer stream.Reset() //nolint:errcheck // it ends in any case
	defer context.AfterFunc(ctx, func() { _ = stream.Reset() })()
	dag, err := scionic.Download(stream, root)
	if err != nil {
		return "", err
	}
	return dag.Write(e.Config.DAGDir)
}
