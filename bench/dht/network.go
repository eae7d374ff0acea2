//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"

	"github.com/relaymesh/relaymesh/internal/testkit/dhtsim"
)

// firstPort is the usual port of DHT nodes, and the first of four that the network takes.
const firstPort = 6881

// staleEntries is the share of routing table entries on Mainline that do not answer.
const staleEntries = 0.25

// command drives the network process: one JSON object a line, one answer each.
type command struct {
	Advance float64    `json:"advance,omitempty"` // the share of nodes that leaves
	Reset   bool       `json:"reset,omitempty"`   // set the totals to zero
	Holders [][20]byte `json:"holders,omitempty"` // targets whose holders are counted
}

type report struct {
	Entrances []string     `json:"entrances"`
	Stats     dhtsim.Stats `json:"stats"`
	Holders   int          `json:"holders"`
}

func serveNetwork(ctx context.Context, size int, in io.Reader, out io.Writer) error {
	net, err := dhtsim.Start(ctx, size, firstPort, staleEntries)
	if err != nil {
		return err
	}
	defer net.Close()
	commands, reports := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var c command
		if err := commands.Decode(&c); err != nil {
			return nil // the parent is done
		}
		if c.Advance > 0 {
			net.Advance(c.Advance)
		}
		if c.Reset {
			net.Reset()
		}
		r := report{Stats: net.Stats(), Entrances: net.Entrances(64)}
		for _, target := range c.Holders {
			r.Holders += net.Holders(target, 8)
		}
		if err := reports.Encode(r); err != nil {
			return err
		}
	}
}

// network is the parent's end.
type network struct {
	cmd     *exec.Cmd
	stdin   io.WriteCloser
	reports *json.Decoder
}

func startNetwork(ctx context.Context, size int) (*network, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, "-serve", "-nodes", strconv.Itoa(size))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &network{cmd, stdin, json.NewDecoder(bufio.NewReader(stdout))}, nil
}

func (n *network) do(c command) (r report, err error) {
	if err = json.NewEncoder(n.stdin).Encode(c); err == nil {
		err = n.reports.Decode(&r)
	}
	if err != nil {
		return r, fmt.Errorf("simulated network: %w", err)
	}
	return r, nil
}

func (n *network) close() {
	n.stdin.Close()
	_ = n.cmd.Wait()
}
