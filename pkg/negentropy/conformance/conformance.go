// Package conformance speaks the line protocol of the public negentropy test
// suite (hoytech/negentropy, test/), so that the suite and other implementations
// can be run against package negentropy:
//
//	in:  item,<timestamp>,<id>   adds an item
//	     seal                    ends the set
//	     initiate                makes this side the initiator
//	     msg,<hex>               a message from the peer
//	out: msg,<hex>               a message for the peer
//	     have,<id>  need,<id>    differences, from the initiator
//	     done                    nothing is left to say
package conformance

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/relaymesh/relaymesh/pkg/negentropy"
)

// Options configure one process of the suite.
type Options struct {
	// FrameLimit is the frame size limit in bytes; 0 means none.
	FrameLimit int

	// ReferenceOverflow is that of [negentropy.Options]: with it the suite's byte
	// comparison passes.
	ReferenceOverflow bool
}

// Run answers lines until in ends. It fails on a line that it does not
// understand, on a malformed message, and on a message of its own beyond the
// frame limit.
func Run(in io.Reader, out io.Writer, opts Options) error {
	h := harness{opts: opts, out: bufio.NewWriter(out)}
	lines := bufio.NewReader(in) // a message of an unlimited session is megabytes long
	for n := 1; ; n++ {
		line, err := lines.ReadString('\n')
		if line = strings.TrimRight(line, "\r\n"); line != "" {
			if err := h.line(line); err != nil {
				return fmt.Errorf("line %d: %w", n, err)
			}
			if err := h.out.Flush(); err != nil {
				return fmt.Errorf("couldn't answer line %d: %w", n, err)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("couldn't read line %d: %w", n, err)
		}
	}
}

type harness struct {
	opts       Options
	items      []negentropy.Item
	reconciler *negentropy.Reconciler // after seal
	initiator  bool
	out        *bufio.Writer
}

func (h *harness) line(line string) error {
	command, rest, _ := strings.Cut(line, ",")
	switch {
	case command == "item" && h.reconciler == nil:
		return h.item(rest)
	case command == "seal" && h.reconciler == nil:
		h.reconciler = negentropy.NewReconciler(negentropy.NewVector(h.items), negentropy.Options{
			FrameLimit:        h.opts.FrameLimit,
			Have:              func(id negentropy.ID) { fmt.Fprintf(h.out, "have,%s\n", id) },
			Need:              func(id negentropy.ID) { fmt.Fprintf(h.out, "need,%s\n", id) },
			ReferenceOverflow: h.opts.ReferenceOverflow,
		})
		return nil
	case command == "initiate" && h.reconciler != nil:
		h.initiator = true
		return h.send(h.reconciler.Initiate())
	case command == "msg" && h.reconciler != nil:
		return h.message(rest)
	default:
		return fmt.Errorf("unexpected command %q", command)
	}
}

func (h *harness) item(rest string) error {
	timestamp, id, _ := strings.Cut(rest, ",")
	var it negentropy.Item
	var err error
	if it.Timestamp, err = strconv.ParseUint(timestamp, 10, 64); err != nil {
		return fmt.Errorf("timestamp: %w", err)
	}
	if it.ID, err = negentropy.ParseID(id); err != nil {
		return err
	}
	h.items = append(h.items, it)
	return nil
}

func (h *harness) message(text string) error {
	msg, err := hex.DecodeString(text)
	if err != nil {
		return fmt.Errorf("message: %w", err)
	}
	if !h.initiator {
		answer, err := h.reconciler.Respond(msg)
		if err != nil {
			return err
		}
		return h.send(answer)
	}
	next, done, err := h.reconciler.Reconcile(msg)
	if err != nil {
		return err
	}
	if done {
		fmt.Fprintln(h.out, "done")
		return nil
	}
	return h.send(next)
}

func (h *harness) send(msg []byte) error {
	if h.opts.FrameLimit > 0 && len(msg) > h.opts.FrameLimit {
		return fmt.Errorf("own message of %d bytes is beyond the frame limit of %d", len(msg), h.opts.FrameLimit)
	}
	fmt.Fprintf(h.out, "msg,%x\n", msg)
	return nil
}
