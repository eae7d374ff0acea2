package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/edge/p2p"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/obs"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/internal/run"
	"github.com/relaymesh/relaymesh/internal/run/peers"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

type syncCmd struct {
	A             string   `arg:"" name:"relay-a" help:"URL of a relay (ws:// or wss://), multiaddr of a libp2p peer (/ip4/…/p2p/ID), or - for events as JSON lines: standard input where they are read, standard output where they are written."`
	B             string   `arg:"" name:"relay-b" help:"The other one."`
	More          []string `arg:"" optional:"" name:"relay" help:"Further relays: all are made equal, by way of the first that can be reached. No -, and no --dir down or up."`
	Filter        string   `default:"{}" placeholder:"JSON" help:"Which events, as a NIP-01 filter without a limit."`
	Dir           string   `enum:"down,up,both,none" default:"both" help:"down writes to RELAY_A what it lacks, up to RELAY_B, none only counts."`
	Since         string   `placeholder:"WHEN" help:"Only events from then on: Unix seconds, a date, a time, or how long ago (72h)."`
	Until         string   `placeholder:"WHEN" help:"Only events until then."`
	UploadPrivate bool     `help:"Write direct messages and gift wraps to RELAY_B, too."`
	Deny          []string `env:"RELAYMESH_DENY" placeholder:"FILE" help:"Files of what is denied; it goes neither way. See relaymesh deny."`
	NsecFile      string   `env:"RELAYMESH_NSEC_FILE" placeholder:"FILE" help:"File with the Nostr secret key (nsec or hex) that answers relays which ask who we are (NIP-42)."`
	JSON          bool     `help:"Print one JSON object a second to standard output, one for each event that is refused, and one at the end."`
}

// Help is the long help text.
func (*syncCmd) Help() string {
	return "With more than two relays, all come to hold the same: what the others have goes to the first that can be reached, and from " +
		"there to each what it lacks. An event is read once, and each relay is proved equal to the one in the middle. One that cannot be " +
		"reached is left out, and the exit code is 3.\n\n" +
		"Events travel with their OK awaited, and a last comparison proves that nothing is missing. Relays without " +
		"NIP-77 are listed instead. How it goes is shown on standard error: a bar on a terminal, else a JSON object a second. " +
		"With - the figures at the end go there, too.\n\n" +
		"Some of what was compared is asked for by REQ, too, and some of what was written is asked back. A relay whose sessions list what it " +
		"does not deliver, or hide what it delivers, is listed instead; one that does not keep what it says OK to is not written to any " +
		"more. The report says so, and the exit code is 3.\n\n" +
		"Some events are kept back by rules of ours: what is protected (NIP-70), expired (NIP-40), ephemeral or from the future, and direct " +
		"messages on their way to RELAY_B unless --upload-private is given. The report counts them, and they are no failure: the exit code " +
		"stays 0. Direct messages that a relay lists but shows to their parties only need the key of one of these (--nsec-file).\n\n" +
		"Exit codes: 0 ok, 1 failed, 2 usage, 3 some events were refused or could not be compared, or a relay contradicts itself, " +
		"130 interrupted."
}

// errPartly marks a command that did what could be done.
var errPartly = errors.New("not everything could be done")

// relays returns the relays of the arguments, normalised.
func (c *syncCmd) relays() (list []string, err error) {
	for _, url := range append([]string{c.A, c.B}, c.More...) {
		switch {
		case url == run.Lines && len(c.More) > 0:
			return nil, usage("- is one of two sides, not one of a group of relays")
		case url == run.Lines:
		case run.IsPeer(url):
			_, err = p2p.ParseAddress(url)
		default:
			url, err = nostr.NormalizeRelayURL(url, true)
		}
		switch {
		case err != nil:
			return nil, usage("%v", err)
		case nostr.HasRelay(list, url) && len(c.More) > 0:
			return nil, usage("%s is given twice", url)
		case nostr.HasRelay(list, url):
			return nil, usage("both sides are %s", url)
		}
		list = append(list, url)
	}
	if len(c.More) > 0 && c.Dir != "both" && c.Dir != "none" {
		return nil, usage("--dir %s: more than two relays are made equal, which is --dir both, or counted (none)", c.Dir)
	}
	return list, nil
}

// job makes the sync of the arguments.
func (c *syncCmd) job(o *output) (job run.Sync, err error) {
	job = run.Sync{
		Down: c.Dir == "down" || c.Dir == "both", Up: c.Dir == "up" || c.Dir == "both",
		UploadPrivate: c.UploadPrivate, Libp2p: peers.Start, In: os.Stdin, Out: o.data(), Log: obs.NewLogger(o.err, "error"),
	}
	if job.Filter, err = schnorr.ReadFilter(c.Filter); err != nil {
		return job, usage("--filter: %v", err)
	}
	if job.Filter.Limit != 0 {
		return job, usage("--filter: a limit has no meaning in a sync, which compares all that matches; bound it by --since and --until")
	}
	for flag, when := range map[string]struct {
		text string
		into *int64
	}{"--since": {c.Since, &job.Filter.Since}, "--until": {c.Until, &job.Filter.Until}} {
		if when.text == "" {
			continue
		}
		if *when.into != 0 {
			return job, usage("%s: stands in the filter, too: which is meant?", flag)
		}
		if *when.into, err = config.ParseWhen(when.text, time.Now()); err != nil {
			return job, usage("%s: %v", flag, err)
		}
	}
	if c.Until != "" && job.Filter.Until == 0 {
		job.Filter.Until = -1 // the first second of time, see nostr.Filter
	}
	if err := job.Filter.CheckPeriod(); err != nil {
		return job, usage("--since, --until: %v", err)
	}
	denied, err := run.OpenDeny(c.Deny, job.Log)
	if err != nil {
		return job, usage("%v", err)
	}
	job.Denied = denied.Lists()
	if c.NsecFile != "" {
		if job.Key, err = schnorr.ReadSecretFile(c.NsecFile); err != nil {
			return job, usage("--nsec-file: %v", err)
		}
	}
	return job, nil
}

// Run syncs, and prints how it goes.
func (c *syncCmd) Run(ctx context.Context, o *output) error {
	relays, err := c.relays()
	if err != nil {
		return err
	}
	job, err := c.job(o)
	if err != nil {
		return err
	}
	p := &progress{to: o.out, steps: o.err, json: c.JSON, begun: time.Now(), last: time.Now()}
	if c.A == run.Lines || c.B == run.Lines {
		p.to = o.err
	}
	if c.JSON {
		p.steps = p.to
	} else {
		p.bar = newSyncBar(o.err, job.Up, job.Down)
	}
	job.Progress, job.Unreadable = p.step, p.unreadable
	if len(relays) > 2 {
		members, err := run.SyncGroup{Sync: job, Relays: relays}.Run(ctx)
		for i := range members {
			members[i].Err = c.wayIn(members[i].Err)
		}
		return p.group(members, c.wayIn(err))
	}
	job.A, job.B = relays[0], relays[1]
	result, err := job.Run(ctx)
	if err := errors.Join(c.wayIn(err), p.end(result, err == nil)); err != nil {
		return err
	}
	if result.NotOurs > 0 || !result.Complete || result.Unreadable > 0 || len(result.Doubts) > 0 {
		return fmt.Errorf("%w: %s", errPartly, cmp.Or(result.Why, strings.Join(result.Doubts, "; "), "see above"))
	}
	return nil
}

// wayIn adds to a refusal until we say who we are how that is done.
func (c *syncCmd) wayIn(err error) error {
	if c.NsecFile != "" || !reconcile.WantsAuth(err) {
		return err
	}
	return fmt.Errorf("%w; %s", err, giveKey)
}

// giveKey is what to do about a relay that asks who we are (NIP-42).
const giveKey = "it wants to know who we are: --nsec-file gives the key of one of its users"

// progress shows how a sync goes.
type progress struct {
	to    io.Writer // what it has come to
	steps io.Writer // how it goes, as JSON, if there is no bar
	bar   *syncBar  // on a terminal
	json  bool
	begun time.Time
	lines int // of standard input that are no events, which are read before anything else

	mu   sync.Mutex
	last time.Time
}

// report is what is printed as JSON; its fields are stable.
type report struct {
	Type    string  `json:"message_type"` // progress, refused, relay or summary
	Seconds float64 `json:"seconds"`
	// Of a relay of a group: which it is, and which is in the middle, A of the figures.
	Relay  string `json:"relay,omitempty"`
	Middle string `json:"middle,omitempty"`
	run.SyncFigures

	// Of a relay of a group and of the summary:
	Complete   *bool  `json:"complete,omitempty"`
	Why        string `json:"why,omitempty"`
	Left       int    `json:"left,omitempty"`       // events that still differ, since they were refused
	Unreadable int    `json:"unreadable,omitempty"` // lines of standard input that are no events
	// Doubts say in what a relay has contradicted itself, a sentence each.
	Doubts []string `json:"doubts,omitempty"`
}

// step takes new figures, and shows them now and then.
func (p *progress) step(f run.SyncFigures) {
	every := time.Second
	if p.bar != nil {
		every /= 5
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.last) < every {
		return
	}
	p.last = time.Now()
	if p.bar != nil {
		p.bar.draw(f)
		return
	}
	// The end tells, if it cannot be written.
	_ = json.NewEncoder(p.steps).Encode(report{Type: "progress", Seconds: p.seconds(), SyncFigures: f})
}

// maxUnreadable is how many lines that are no events are told one by one.
const maxUnreadable = 20

// unreadable tells of a line of standard input that is no event.
func (p *progress) unreadable(line int, why error) {
	if p.lines++; p.lines > maxUnreadable {
		return
	}
	if p.json {
		// The end tells, if it cannot be written.
		_ = p.print(struct {
			Type string `json:"message_type"`
			Line int    `json:"line"`
			Why  string `json:"why"`
		}{"unreadable", line, printable(why.Error())})
		return
	}
	fmt.Fprintf(p.to, "standard input, line %d: no event: %s\n", line, printable(why.Error()))
}

func (p *progress) seconds() float64 { return float64(time.Since(p.begun).Milliseconds()) / 1000 }

func (p *progress) print(v any) error { return json.NewEncoder(p.to).Encode(v) }

func text(f run.SyncFigures) string {
	return fmt.Sprintf("found %d only in A, %d only in B; written %d to A, %d to B; %d messages, %d KiB",
		f.OnlyA, f.OnlyB, f.ToA, f.ToB, f.Messages, (f.NegBytes+f.EventBytes)>>10)
}

// end shows the last figures and what was refused.
func (p *progress) end(r run.SyncResult, ok bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		p.bar.clear()
	}
	if p.json {
		complete := ok && r.Complete
		return errors.Join(p.refused(r.Refusals), p.print(report{
			Type: "summary", Seconds: p.seconds(), SyncFigures: r.SyncFigures,
			Complete: &complete, Why: r.Why, Left: r.Left, Unreadable: r.Unreadable, Doubts: r.Doubts,
		}))
	}
	explain(p.to, r.Refusals)
	if r.Unreadable > 0 {
		fmt.Fprintf(p.to, "%6d lines of standard input are no events\n", r.Unreadable)
	}
	p.doubts(r.Doubts)
	_, err := fmt.Fprintf(p.to, "%s; %.1f s; %s\n", text(r.SyncFigures), p.seconds(), state(r, ok))
	return err
}

// refused prints events that stay behind, as JSON.
func (p *progress) refused(list []run.SyncRefusal) (err error) {
	for _, x := range list {
		err = errors.Join(err, p.print(struct {
			Type string `json:"message_type"`
			run.SyncRefusal
		}{"refused", x}))
	}
	return err
}

func (p *progress) doubts(list []string) {
	for _, doubt := range list {
		fmt.Fprintf(p.to, "%6s %s\n", "!", printable(doubt))
	}
}

// state says in words what a sync has come to; ok is that it ended without an error.
func state(r run.SyncResult, ok bool) string {
	state := "complete and proved"
	if len(r.Doubts) > 0 {
		state = "complete by what is delivered, not by what is listed"
	}
	switch {
	case !ok:
		state = "not complete"
	case !r.Complete:
		state = "not complete: " + printable(r.Why)
	case r.Left > 0:
		state += fmt.Sprintf(", but for %d events", r.Left)
	}
	return state
}
