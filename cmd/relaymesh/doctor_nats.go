package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/mod/semver"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/bus"
	"github.com/relaymesh/relaymesh/internal/edge/kv"
	"github.com/relaymesh/relaymesh/internal/run"
)

const (
	// oldestNATS has the recurring message schedules (ADR-51).
	oldestNATS = "2.14.0"
	// clockSkew is what harms nothing: schedules have whole seconds, and
	// events may come from 15 minutes ahead.
	clockSkew = 5 * time.Second
)

func (c *doctorCmd) nats(ctx context.Context, _ *output, e examination) {
	urls := c.NATS
	if urls == "" {
		urls = "nats://" + c.NATSListen
	}
	js, err := run.Dial(ctx, urls, c.NATSAuth, cliName, slog.New(slog.DiscardHandler))
	if err != nil {
		e.fail("connection", err.Error(), "start it with relaymesh up, or name the right server with --nats (and --nats-creds)")
		return
	}
	nc := js.Conn()
	defer nc.Close()
	e.ok("connection", "%s", bus.Redact(urls))

	if v := nc.ConnectedServerVersion(); semver.Compare("v"+v, "v"+oldestNATS) < 0 {
		e.fail("version", v, "install nats-server "+oldestNATS+" or newer: older ones have no recurring schedules")
	} else {
		e.ok("version", "%s", v)
	}
	if info, err := js.AccountInfo(ctx); err != nil {
		e.fail("jetstream", err.Error(), `turn it on in the server's configuration (jetstream {}) and for this account, and grant "$JS.API.INFO"`)
	} else {
		e.ok("jetstream", "%d streams, %d consumers, %d MiB stored", info.Streams, info.Consumers, info.Store>>20)
	}
	c.user(ctx, nc, e)
	c.assets(ctx, js, e)
	c.gateways(ctx, js, e)
	c.stores(ctx, js, e)
}

// gateways says how those do that run without stages. Where their bucket is missing, assets has said so.
func (c *doctorCmd) gateways(ctx context.Context, js jetstream.JetStream, e examination) {
	const check = "gateways"
	bucket, err := kv.Open[contract.GatewayProcess](ctx, js, contract.BucketGateways)
	if err != nil {
		return
	}
	page, err := bucket.Page(ctx, "*", 0, contract.MaxGateways)
	if err != nil {
		e.fail(check, err.Error(), "look with a user that may read that bucket")
		return
	}
	sum, well := contract.Gateway{}, 0
	for _, g := range page.Entries {
		if wrong := g.Value.Condition(); wrong.Wrong != "" {
			e.fail(check, fmt.Sprintf("of %s, before %s: %s", g.Value.Host, g.Value.Relay, wrong.Wrong), wrong.Do)
			continue
		}
		sum = sum.Plus(g.Value.Gateway)
		well++
	}
	if well > 0 {
		e.ok(check, "%d reach their relay, with %d connections", well, sum.Connections)
	}
}

// storeConditions are those of processes that only these can look at, by how they begin: the rest is looked at from here.
var storeConditions = []string{"store of NATS", "embedded relay", contract.ConditionIndex, "streams of ", "writes of "}

// stores says what processes tell of where they store. Where their bucket is missing, assets has said so.
func (c *doctorCmd) stores(ctx context.Context, js jetstream.JetStream, e examination) {
	const check, most = "stores", 1000
	bucket, err := kv.Open[contract.Worker](ctx, js, contract.BucketWorkers)
	if err != nil {
		return
	}
	page, err := bucket.Page(ctx, ">", 0, most)
	if err != nil {
		e.fail(check, err.Error(), "look with a user that may read that bucket")
		return
	}
	for _, entry := range page.Entries {
		w := entry.Value
		who := fmt.Sprintf("%s on %s", strings.Join(w.Stages, ", "), w.Host)
		if silent := time.Since(time.Unix(w.At, 0)); silent > 2*contract.WorkerFor { // NATS forgets them sooner, if it can write
			e.fail(check, fmt.Sprintf("%s: its last word is %s old", who, silent.Round(time.Second)),
				"see /readyz and the clock of that process, and the log of NATS; start NATS again once its disk takes writes")
			continue
		}
		well := true
		for _, s := range w.Conditions {
			if s.Wrong != "" && slices.ContainsFunc(storeConditions, func(begin string) bool { return strings.HasPrefix(s.Name, begin) }) {
				well = false
				e.fail(check, fmt.Sprintf("%s of %s: %s", s.Name, who, s.Wrong), cmp.Or(s.Do, "see the log of that process"))
			}
		}
		if well {
			e.ok(check, "%s: streams and stores take writes", who)
		}
	}
}

// whoAmI is what a server tells a user about itself and the user.
type whoAmI struct {
	Server struct {
		Time time.Time `json:"time"`
	} `json:"server"`
	Data struct {
		User        string `json:"user"`
		Account     string `json:"account"`
		Permissions *struct {
			Publish   allowed `json:"publish"`
			Subscribe allowed `json:"subscribe"`
		} `json:"permissions"`
	} `json:"data"`
}

type allowed struct {
	Allow []string `json:"allow"`
}

const subjectWhoAmI = "$SYS.REQ.USER.INFO"

// user checks what we may do and whether our clocks agree.
func (c *doctorCmd) user(ctx context.Context, nc *nats.Conn, e examination) {
	var me whoAmI
	sent := time.Now()
	msg, err := nc.RequestWithContext(ctx, subjectWhoAmI, nil)
	took := time.Since(sent)
	if err == nil {
		err = json.Unmarshal(msg.Data, &me)
	}
	if err != nil {
		e.fail("permissions", err.Error(), fmt.Sprintf("grant this user %q, or check with another one", subjectWhoAmI))
		return
	}
	p := me.Data.Permissions
	who := fmt.Sprintf("user %q of account %s", me.Data.User, me.Data.Account)
	switch {
	case p == nil || slices.Contains(p.Publish.Allow, ">"):
		e.advise("permissions", who+" may do everything", "for a cluster, give each stage a user of its own: relaymesh nats-permissions")
	default:
		may := slices.DeleteFunc(contract.Stages(), func(stage string) bool {
			need, _ := c.NATSPrefix.PermissionsOf(stage)
			return slices.ContainsFunc(need.Publish, func(subject string) bool { return !slices.Contains(p.Publish.Allow, subject) }) ||
				slices.ContainsFunc(need.Subscribe, func(subject string) bool { return !slices.Contains(p.Subscribe.Allow, subject) })
		})
		if len(may) == 0 {
			e.fail("permissions", who+" may run no stage", "grant what relaymesh nats-permissions prints, or use the operator's user")
		} else {
			e.ok("permissions", "%s may run %s", who, strings.Join(may, ", "))
		}
	}
	// The server read its clock somewhere between question and answer.
	skew := me.Server.Time.Sub(sent.Add(took / 2))
	if skew.Abs() > clockSkew+took {
		e.fail("clock", fmt.Sprintf("the server's is %s from ours", skew.Round(time.Second)),
			"synchronise both by NTP: schedules and deduplication go by the server's")
		return
	}
	e.ok("clock", "%s from ours", skew.Round(time.Millisecond))
}

// assets checks streams, consumers and buckets.
func (c *doctorCmd) assets(ctx context.Context, js jetstream.JetStream, e examination) {
	changes, err := bus.Plan(ctx, js, bus.ProvisionOptions{}) // schedules aside: their interval is not known here
	switch {
	case err != nil:
		e.fail("streams", err.Error(), "look with a user that may read the streams' configuration")
	case len(changes) > 0:
		const show = 3
		var first []string
		for _, change := range changes[:min(show, len(changes))] {
			first = append(first, change.What)
		}
		e.fail("streams", fmt.Sprintf("%d missing or different: %s …", len(changes), strings.Join(first, ", ")),
			"run relaymesh provision, with --dry-run to see what it will change")
	default:
		e.ok("streams", "streams, consumers and buckets are as they should be")
	}
}
