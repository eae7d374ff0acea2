package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/relaymesh/relaymesh/internal/run"
)

// group prints what became of a group of relays, each with what stays behind there.
// The error is as [syncCmd.Run] returns it.
func (p *progress) group(members []run.SyncMember, err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		p.bar.clear()
	}
	var sum run.SyncResult
	var why []string
	told := map[string]bool{} // doubts; each member names those of the middle, too
	for _, m := range members {
		sum.SyncFigures = sum.Plus(m.SyncFigures)
		sum.Left += m.Left
		m.Doubts = slices.DeleteFunc(m.Doubts, func(doubt string) bool {
			defer func() { told[doubt] = true }()
			return told[doubt]
		})
		sum.Doubts = append(sum.Doubts, m.Doubts...)
		switch {
		case m.Err != nil:
			why = append(why, m.Err.Error())
		case m.Middle != "" && (!m.Complete || m.NotOurs > 0):
			why = append(why, m.Relay+": "+cmp.Or(m.Why, "some events were refused or could not be read"))
		}
		err = errors.Join(err, p.member(m))
	}
	sum.Complete, sum.Why = err == nil && len(why) == 0, strings.Join(why, "; ")
	if p.json {
		err = errors.Join(err, p.print(report{
			Type: "summary", Seconds: p.seconds(), SyncFigures: sum.SyncFigures,
			Complete: &sum.Complete, Why: sum.Why, Left: sum.Left, Doubts: sum.Doubts,
		}))
	} else {
		_, printed := fmt.Fprintf(p.to, "%d relays: written %d; %d messages, %d KiB; %.1f s; %s\n", len(members), sum.ToA+sum.ToB,
			sum.Messages, (sum.NegBytes+sum.EventBytes)>>10, p.seconds(), state(sum, err == nil))
		err = errors.Join(err, printed)
	}
	if err == nil && (len(why) > 0 || len(sum.Doubts) > 0) {
		err = fmt.Errorf("%w: %s", errPartly, cmp.Or(sum.Why, strings.Join(sum.Doubts, "; ")))
	}
	return err
}

// member prints what became of a relay; nothing for the one in the middle.
func (p *progress) member(m run.SyncMember) error {
	ok := m.Err == nil && m.Middle != ""
	complete := ok && m.Complete
	switch {
	case m.Err != nil:
		m.Why = m.Err.Error()
	case m.Middle == "":
		return nil
	}
	if p.json {
		return errors.Join(p.refused(m.Refusals), p.print(report{
			Type: "relay", Seconds: p.seconds(), Relay: m.Relay, Middle: m.Middle, SyncFigures: m.SyncFigures,
			Complete: &complete, Why: m.Why, Left: m.Left, Doubts: m.Doubts,
		}))
	}
	explain(p.to, m.Refusals)
	p.doubts(m.Doubts)
	line := printable(m.Why) // which names it
	if ok {
		line = fmt.Sprintf("%s: %d written to it, %d read from it; %s with %s", m.Relay, m.ToB, m.ToA, state(m.SyncResult, ok), m.Middle)
	}
	_, err := fmt.Fprintln(p.to, line)
	return err
}
