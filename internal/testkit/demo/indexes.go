package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/run"
	"github.com/relaymesh/relaymesh/internal/testkit/process"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// anyNpub: two machines that share nothing but DHT bootstrap nodes. A user's list is published at the relay of one, which has a
// list index; the other finds it by npub. A third index takes it over, the first machine is killed, and it is still found.
func anyNpub(ctx context.Context, w *world, figures map[string]any) error {
	erin, err := schnorr.NewSecret()
	if err != nil {
		return err
	}
	npub, err := schnorr.EncodeNpub(erin.PublicKey())
	if err != nil {
		return err
	}
	list, err := run.SignList(erin, []string{"wss://erin.example.com"}, time.Now().Unix())
	if err != nil {
		return err
	}
	relayAddr, err := freeAddress("127.0.0.2")
	if err != nil {
		return err
	}
	first, _, err := w.startIndex("127.0.0.2", "--index-", "up", "--nats-listen=", "--relay-addr", relayAddr)
	defer first.Kill()
	if err != nil {
		return err
	}
	if err := w.until(ctx, func() error { return w.must(ctx, "ws://"+relayAddr, list.NIP65) }); err != nil {
		return err
	}
	begun := time.Now()
	if err := w.resolves(ctx, "second", npub, list, figures); err != nil {
		return err
	}
	figures["found_ms"] = time.Since(begun).Milliseconds()
	third, url, err := w.startIndex("127.0.0.3", "--", "index")
	defer third.Kill()
	if err != nil {
		return err
	}
	err = w.until(ctx, func() error {
		have, err := w.ids(ctx, url, nostr.Filter{IDs: []string{list.NIP65.ID}})
		if err == nil && !have[list.NIP65.ID] {
			err = errors.New("the third index has not taken the list over")
		}
		return err
	})
	if err != nil {
		return err
	}
	first.Kill()
	return w.resolves(ctx, "fourth", npub, list, figures) // a machine that knows nobody
}

// startIndex starts a process that serves an index at an address of a machine's own, and returns the index's URL. prefix is of
// the index's flags.
func (w *world) startIndex(host, prefix string, args ...string) (p *process.Process, url string, err error) {
	p = &process.Process{Program: w.program, Log: w.log}
	at, err := freeAddress(host)
	if err != nil {
		return p, "", err
	}
	listen := prefix + "listen"
	if args[0] == "up" {
		listen = "--index"
	}
	p.Args = slices.Concat(args, w.dhtFlags(host), []string{
		listen, at, prefix + "announce", "--data", filepath.Join(w.dir, host), "--log-level", "debug",
	})
	return p, "ws://" + at, p.Start()
}

// dhtFlags are those of a machine that knows bootstrap nodes.
func (w *world) dhtFlags(host string) []string {
	return []string{
		"--allow-private", "--dht-listen", host + ":0", "--dht-bootstrap", strings.Join(w.dht.Bootstrap(), ","),
		"--dht-rate=-1", "--dht-per-node=-1",
	}
}

// resolves waits until a machine without relay and pipeline finds exactly the list by npub.
func (w *world) resolves(ctx context.Context, machine, npub string, list run.SignedList, figures map[string]any) error {
	kept := filepath.Join(w.dir, machine, "known.json")
	args := append([]string{"resolve", npub, "--json", "--index-file", kept}, w.dhtFlags("127.0.0.4")...)
	return w.until(ctx, func() error {
		out, err := exec.CommandContext(ctx, w.program, args...).Output()
		var failed *exec.ExitError
		if errors.As(err, &failed) {
			return fmt.Errorf("the %s machine: %s", machine, failed.Stderr)
		}
		var answer struct {
			Event   nostr.Event `json:"event"`
			Indexes []string    `json:"indexes"`
		}
		if err == nil {
			err = json.Unmarshal(out, &answer)
		}
		if err == nil && answer.Event.ID != list.NIP65.ID {
			err = fmt.Errorf("the %s machine found another list: %s", machine, out)
		}
		figures["indexes_asked"] = len(answer.Indexes)
		return err
	})
}
