package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

type doctorCmd struct {
	upFlags
	Timeout time.Duration `default:"15s" help:"How long each of NATS, relay and DHT may take."`
	Skip    []string      `enum:"nats,relay,dht," placeholder:"AREA" help:"What not to check: nats, relay or dht."`
	JSON    bool          `help:"Print one JSON object."`
	Repair  bool          `help:"Instead: look at the store of the embedded relay, which must not run. If it is damaged, set it aside and save what can be read."`
}

// Help is the long help text.
func (*doctorCmd) Help() string {
	return "Give it the configuration of what you want to check: that of up, or that of a worker. Without --nats it looks " +
		"for the server of a running up. To see whether events may be written to the relay, it sends one that is " +
		"not to be stored (kind 20000) and signed by a key made for it, or by that of --nsec-file.\n\n" +
		"With --repair it looks at the file of the embedded relay under --data instead. Nothing is deleted: a damaged file " +
		"stays beside the new one.\n\n" +
		"Exit codes: 0 all is well, 1 something is not, 2 usage or configuration, 130 interrupted."
}

// finding is one line of what the command prints; its fields are stable.
type finding struct {
	Area  string `json:"area"` // nats, relay or dht
	Check string `json:"check"`
	OK    bool   `json:"ok"`
	Found string `json:"found"`
	Do    string `json:"do,omitempty"` // what to do about it, or what may be done
}

// examination takes the findings of one area.
type examination struct {
	area   string
	report func(finding)
}

func (e examination) ok(check, format string, args ...any) {
	e.report(finding{Area: e.area, Check: check, OK: true, Found: fmt.Sprintf(format, args...)})
}

// advise is for what works but could be better.
func (e examination) advise(check, found, do string) {
	e.report(finding{Area: e.area, Check: check, OK: true, Found: found, Do: do})
}

func (e examination) fail(check, found, do string) {
	e.report(finding{Area: e.area, Check: check, Found: found, Do: do})
}

var errUnwell = errors.New("not everything is well, see above")

// Run checks one area after the other, and prints as it goes.
func (c *doctorCmd) Run(ctx context.Context, o *output) error {
	if c.Repair {
		return c.repair(ctx, o)
	}
	var findings []finding
	well := true
	take := func(f finding) {
		f.Found = printable(f.Found) // relays and servers speak in it
		findings = append(findings, f)
		well = well && f.OK
		if !c.JSON {
			f.print(o)
		}
	}
	skip := map[string]bool{}
	for _, area := range c.Skip {
		skip[area] = true
	}
	for _, area := range []struct {
		name    string
		examine func(context.Context, *output, examination)
	}{{"nats", c.nats}, {"relay", c.relay}, {"dht", c.dht}} {
		if skip[area.name] {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, c.Timeout)
		area.examine(ctx, o, examination{area.name, take})
		cancel()
	}
	if c.JSON {
		err := o.json(struct {
			OK       bool      `json:"ok"`
			Findings []finding `json:"findings"`
		}{well, findings})
		if err != nil {
			return err
		}
	}
	if !well {
		return errUnwell
	}
	return ctx.Err()
}

func (f finding) print(o *output) {
	mark := "ok    "
	if !f.OK {
		mark = "FAILED"
	}
	fmt.Fprintf(o.out, "%s  %-5s  %-12s %s\n", mark, f.Area, f.Check, f.Found)
	if f.Do != "" {
		fmt.Fprintf(o.out, "%29s%s\n", "", "→ "+f.Do)
	}
}
