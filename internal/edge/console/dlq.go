package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/bus"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// shownData is how many bytes of a message a page shows.
const shownData = 4 << 10

// DeadLetter is a dead letter without all of its message.
type DeadLetter struct {
	Seq uint64 `json:"seq"`
	contract.DeadLetter

	// Whole says that the message can be handed back as it was.
	Whole bool   `json:"retriable"`
	Bytes uint64 `json:"bytes"`
}

func newDeadLetter(seq uint64, dead contract.DeadLetter) DeadLetter {
	l := DeadLetter{Seq: seq, DeadLetter: dead, Whole: dead.Size == 0, Bytes: uint64(max(dead.Size, len(dead.Data)))}
	l.Data = slices.Clone(dead.Data[:min(shownData, len(dead.Data))]) // the rest may go
	return l
}

// Body is the beginning of the message.
func (l DeadLetter) Body() string { return string(l.Data) }

// Ends are the earlier ends of the message and this one, the newest first.
func (l DeadLetter) Ends() []contract.Failure {
	ends := slices.Concat(l.History, []contract.Failure{{Reason: l.Reason, Attempts: l.Attempts, Time: l.Time}})
	slices.Reverse(ends)
	return ends
}

type deadLettersView struct {
	pager

	DeadLetters []DeadLetter `json:"dead_letters"`
	Stage       string       `json:"stage,omitempty"`
	Stages      []string     `json:"-"`
	Done        *done        `json:"-"` // what was done just now
}

func (c *Console) deadLetters(r *http.Request) (any, error) {
	before, err := position(r)
	if err != nil {
		return nil, err
	}
	stage := r.URL.Query().Get("stage")
	if stage != "" && !slices.Contains(contract.Stages(), stage) {
		return nil, &pageError{http.StatusBadRequest, "stage: want " + strings.Join(contract.Stages(), ", ") + " or none"}
	}
	view := deadLettersView{Stage: stage, Stages: contract.Stages()}
	view.DeadLetters, view.pager, err = newest(r.Context(), c.js, stage, before, perPage)
	for _, name := range []string{"retried", "dropped"} {
		if seq, err := strconv.ParseUint(r.URL.Query().Get(name), 10, 63); err == nil {
			view.Done = &done{seq, name}
		}
	}
	return view, err
}

// newest reads dead letters from the newest on, or from before a number, see [backwards].
func newest(ctx context.Context, js jetstream.JetStream, stage string, before uint64, limit int) (list []DeadLetter, p pager, err error) {
	subject := contract.DLQSubject("*")
	if stage != "" {
		subject = contract.DLQSubject(stage)
	}
	messages, p, err := backwards(ctx, js, contract.StreamDLQ, subject, before, limit)
	list = []DeadLetter{}
	for _, m := range messages {
		dead, err := nostr.Decode[contract.DeadLetter](m.Data)
		if err != nil {
			p.Bad = append(p.Bad, fmt.Sprintf("dead letter %d: %v", m.Sequence, err))
			continue
		}
		list = append(list, newDeadLetter(m.Sequence, dead))
	}
	return list, p, err
}

// readDeadLetter reads the dead letter that a path names.
func (c *Console) readDeadLetter(r *http.Request) (*bus.DLQ, bus.DeadLetter, error) {
	seq, err := strconv.ParseUint(r.PathValue("seq"), 10, 63)
	if err != nil {
		return nil, bus.DeadLetter{}, errNoPage
	}
	dlq, err := bus.OpenDLQ(r.Context(), c.js)
	if err != nil {
		return nil, bus.DeadLetter{}, need(err)
	}
	for dead, err := range dlq.Each(r.Context(), bus.DeadLetterFilter{Seqs: []uint64{seq}}) {
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			break
		}
		return dlq, dead, err
	}
	return nil, bus.DeadLetter{}, &pageError{
		http.StatusNotFound,
		fmt.Sprintf("there is no dead letter %d: it was retried, dropped, or is older than 30 days", seq),
	}
}

func (c *Console) deadLetter(r *http.Request) (any, error) {
	_, dead, err := c.readDeadLetter(r)
	if err != nil {
		return nil, err
	}
	return newDeadLetter(dead.Seq, dead.DeadLetter), nil
}

// confirmView asks whether to do something with a dead letter.
type confirmView struct {
	DeadLetter

	Do string `json:"do"` // retry or drop
}

// confirm asks before anything is done.
func (c *Console) confirm(r *http.Request) (any, error) {
	if err := c.mayAct(r); err != nil {
		return nil, err
	}
	_, dead, err := c.readDeadLetter(r)
	if err != nil {
		return nil, err
	}
	return confirmView{newDeadLetter(dead.Seq, dead.DeadLetter), r.PathValue("do")}, nil
}

// done is what the JSON of an action says.
type done struct {
	Seq  uint64 `json:"seq"`
	Done string `json:"done"` // retried or dropped
}

// act retries or drops a dead letter. Once begun it ends, even if the browser
// leaves or the process is told to stop.
func (c *Console) act(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), c.within)
	defer cancel()
	d, err := c.doAct(r.WithContext(ctx))
	switch {
	case err != nil:
		c.fail(w, r, err)
	case wantsJSON(r):
		c.show(w, r, http.StatusOK, "", d)
	default:
		http.Redirect(w, r, fmt.Sprintf("%s/dlq?%s=%d", c.base, d.Done, d.Seq), http.StatusSeeOther)
	}
}

func (c *Console) doAct(r *http.Request) (d done, err error) {
	if err := c.mayAct(r); err != nil {
		return d, err
	}
	dlq, dead, err := c.readDeadLetter(r)
	if err != nil {
		return d, err
	}
	do, name := dlq.Drop, "dropped"
	if r.PathValue("do") == doRetry {
		do, name = dlq.Retry, "retried"
	}
	if err := do(r.Context(), dead); errors.Is(err, bus.ErrCut) {
		return d, &pageError{http.StatusConflict, err.Error()}
	} else if err != nil {
		return d, err
	}
	c.log.InfoContext(r.Context(), "console: a dead letter was settled", "path", r.URL.Path, "stage", dead.Stage, "subject", dead.Subject,
		"addr", r.RemoteAddr)
	return done{dead.Seq, name}, nil
}

// What may be done with a dead letter.
const (
	doRetry = "retry"
	doDrop  = "drop"
)

// mayAct refuses who has not given the token, and what cannot be done.
func (c *Console) mayAct(r *http.Request) error {
	switch do := r.PathValue("do"); {
	case do != doRetry && do != doDrop:
		return errNoPage
	case !c.session.possible():
		return errReadOnly
	case !c.session.may(r):
		return errLogin
	}
	return nil
}
