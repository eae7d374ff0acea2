package console

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/kv"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// Worker is a process that runs stages.
type Worker struct {
	contract.Worker

	// Ahead is by how many seconds its clock is ahead of that of NATS.
	Ahead int64 `json:"ahead_seconds"`
}

// Fill says how much of what it may take a stream has used.
type Fill struct {
	Stream string  `json:"stream"`
	Ratio  float64 `json:"ratio"` // 0 to 1
}

// Finding is one thing that must be so; its JSON is stable.
type Finding struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	// Found says in words how it is, Do what to do about it, and Link which page
	// tells more.
	Found string `json:"found,omitempty"`
	Do    string `json:"do,omitempty"`
	Link  string `json:"link,omitempty"`
}

const (
	mostWorkers = 1000
	// tooFull is from which share on a stream is told of, as the alert
	// RelaymeshStreamFilling does.
	tooFull = 0.8
	// clockOff is how many seconds a clock may be off.
	clockOff = 30
)

// running reads which processes run stages, and how they do.
func (r *reading) running(ctx context.Context) error {
	list, err := batch(ctx, r.js, "KV_"+contract.BucketWorkers, "$KV."+contract.BucketWorkers+".>", 1, mostWorkers)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.workers = lately(list, time.Now())
	return nil
}

// lately are the processes that have told of themselves. A server that can write no more forgets nothing either:
// words that it should have forgotten long ago say how things were.
func lately(list []*jetstream.RawStreamMsg, now time.Time) (workers []Worker) {
	for _, m := range list {
		w, err := nostr.Decode[contract.Worker](m.Data)
		if err == nil && !kv.Removed(m.Header) && now.Sub(m.Time) < 2*contract.WorkerFor {
			workers = append(workers, Worker{w, w.At - m.Time.Unix()})
		}
	}
	return workers
}

// beside reads which gateways run without stages, and how they do.
func (r *reading) beside(ctx context.Context) error {
	bucket, err := kv.Open[contract.GatewayProcess](ctx, r.js, contract.BucketGateways)
	if err != nil {
		return err
	}
	page, err := bucket.Page(ctx, "*", 0, contract.MaxGateways)
	if err != nil {
		return err
	}
	var gateways []Worker
	for _, e := range page.Entries {
		gateways = append(gateways, gatewayAlone(e.Value))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gateways = gateways
	return nil
}

// gatewayAlone is a process that is a gateway and no more.
func gatewayAlone(g contract.GatewayProcess) Worker {
	return Worker{Worker: contract.Worker{
		Stages: []string{}, Version: g.Version, Host: g.Host, Started: g.Started, At: g.At, Conditions: []contract.Condition{g.Condition()},
		Gateway: &g.Gateway,
	}}
}

// All are the processes of both kinds.
func (p *Pipeline) All() []Worker { return slices.Concat(p.Workers, p.Gateways) }

// fullest finds the stream that has used most of its bound.
func (r *reading) fullest() (most Fill) {
	for _, name := range slices.Sorted(maps.Keys(r.streams)) {
		if slices.Contains([]string{contract.StreamDLQ, contract.StreamOutcome}, name) {
			continue // the oldest go
		}
		bound, used := r.streams[name].Config.MaxBytes, r.streams[name].State.Bytes
		if ratio := float64(used) / float64(bound); bound > 0 && ratio > most.Ratio {
			most = Fill{name, ratio}
		}
	}
	return most
}

// Uptime is for how long the process that began last has run, in seconds; 0 if none runs.
func (p *Pipeline) Uptime() float64 {
	var last int64
	for _, w := range p.Workers {
		last = max(last, w.Started)
	}
	if last == 0 {
		return 0
	}
	return max(1, p.At.Sub(time.Unix(last, 0)).Seconds())
}

// versions lists those of the processes that run.
func (p *Pipeline) versions() []string {
	set := map[string]bool{}
	for _, w := range p.Workers {
		set[w.Version] = true
	}
	return slices.Sorted(maps.Keys(set))
}

// Version is that of the processes that run.
func (p *Pipeline) Version() string { return strings.Join(p.versions(), "; ") }

// diagnose says of all that must be so whether it is, what is wrong first. failed is
// why NATS could not be read.
func diagnose(p *Pipeline, s Summary, failed error) []Finding {
	list := []Finding{{Name: "NATS", OK: true, Found: "answers"}}
	if failed != nil {
		list[0] = Finding{
			Name: "NATS", Found: "does not answer: " + failed.Error(),
			Do: "start the server, or see its log; relaymesh doctor --skip relay,dht looks closer",
		}
	}
	list = append(list, p.conditions()...)
	if failed == nil {
		list = append(list, p.processes()...)
		list = append(list, p.queues()...)
		list = append(list, p.survey(s.Survey))
	}
	list = append(list, promises(s)...)
	slices.SortStableFunc(list, func(a, b Finding) int {
		switch {
		case a.OK == b.OK:
			return 0
		case a.OK:
			return 1
		}
		return -1
	})
	return list
}

// conditions are those that the processes tell, each once.
func (p *Pipeline) conditions() (list []Finding) {
	all := p.All()
	for _, w := range all {
		for _, c := range w.Conditions {
			i := slices.IndexFunc(list, func(f Finding) bool { return f.Name == c.Name })
			if i < 0 {
				i = len(list)
				list = append(list, Finding{Name: c.Name, OK: true})
			}
			if c.Wrong != "" && list[i].OK {
				list[i] = Finding{Name: c.Name, Found: c.Wrong, Do: c.Do}
				if len(all) > 1 {
					list[i].Found += fmt.Sprintf(" (says %s on %s)", strings.Join(w.runs(), ", "), w.Host)
				}
			}
		}
	}
	return list
}

// processes says whether each stage has one, of one version, with a clock that is right.
func (p *Pipeline) processes() (list []Finding) {
	for _, stage := range contract.Stages() {
		f := Finding{Name: "process of " + stage}
		for _, w := range p.Workers {
			f.OK = f.OK || slices.Contains(w.Stages, stage)
		}
		if !f.OK {
			f.Found = "none has told of itself for a minute"
			f.Do = "start it, or update it: it may be of an earlier version; if it runs, see in its log and that of NATS what is not stored"
		}
		list = append(list, f)
	}
	versions := Finding{Name: "versions", OK: true, Found: p.Version()}
	if len(p.versions()) > 1 {
		versions.OK, versions.Do = false, "finish the upgrade: start the older processes anew"
	}
	clocks := Finding{Name: "clocks", OK: true}
	for _, w := range p.Workers {
		if (w.Ahead > clockOff || w.Ahead < -clockOff) && clocks.OK {
			clocks = Finding{
				Name: "clocks", Do: "have both machines set their clocks by NTP",
				Found: fmt.Sprintf("that of %s on %s and that of NATS differ by %d s", strings.Join(w.Stages, ", "), w.Host, max(w.Ahead, -w.Ahead)),
			}
		}
	}
	return append(list, versions, clocks)
}

// queues says whether the stages keep up and give up on nothing.
func (p *Pipeline) queues() []Finding {
	full := Finding{Name: "streams", OK: p.Fullest.Ratio < tooFull}
	if !full.OK {
		full.Found = fmt.Sprintf("%s is %.0f %% full", p.Fullest.Stream, 100*p.Fullest.Ratio)
		full.Do = "start the stage that takes from it, or see why it stands still"
	}
	stuck := Finding{Name: "queues", OK: true}
	dead := Finding{Name: "dead letters", OK: true}
	var letters uint64
	for _, s := range p.Stages {
		if s.State() == "stuck" && stuck.OK {
			stuck = Finding{
				Name: "queues", Found: s.Name + " has not done what came " + age(s.Oldest) + " ago",
				Do: "see its log, and whether it has workers enough", Link: "#" + s.Name,
			}
		}
		letters += s.DeadLetters
	}
	if letters > 0 {
		dead = Finding{
			Name: "dead letters", Found: count(letters) + " messages were given up", Link: "/dlq",
			Do: "read why, mend the reason, and retry or drop them",
		}
	}
	return []Finding{full, stuck, dead}
}

// survey says whether its passes come in time. Where nothing of it waits or is in work it may
// be switched off.
func (p *Pipeline) survey(s Surveyed) Finding {
	for _, stage := range p.Stages {
		for _, q := range stage.Queues {
			if q.Consumer == contract.StreamSurveyDue+"/"+contract.ConsumerSurvey && q.Waiting+q.InFlight > 0 && s.Behind > 0 {
				return Finding{
					Name: "survey", Link: "/surveys", Do: "start more syncworkers, or see in their log what the looks wait for",
					Found: fmt.Sprintf("%d of %d slices of the authors have had no pass for %s", s.Behind, s.Slices, age(surveyWithin.Seconds())),
				}
			}
		}
	}
	return Finding{Name: "survey", OK: true}
}

// promises says whether records are held and relays synced.
func promises(s Summary) []Finding {
	records := Finding{Name: "records", OK: true}
	switch lost, late := s.Records[recordLost], s.Records[recordOverdue]; {
	case lost > 0:
		records = Finding{
			Name: "records", Found: fmt.Sprintf("%d are held by no node", lost), Link: "/records?state=" + recordLost,
			Do: "see whether the DHT answers; they are put again when their slice is due",
		}
	case late > 0:
		records = Finding{
			Name: "records", Found: fmt.Sprintf("%d were not refreshed in time", late), Link: "/records?state=" + recordOverdue,
			Do: "see why dhtworker does not refresh them, and whether the DHT answers",
		}
	}
	syncs := Finding{Name: "syncs", OK: true}
	if s.Proved.Failing*4 > s.Proved.Live {
		syncs = Finding{
			Name: "syncs", Found: fmt.Sprintf("those with %d of %d live relays failed", s.Proved.Failing, s.Proved.Live),
			Do: "read why: the local relay may refuse what they bring", Link: "/relays?health=" + healthFailing,
		}
	}
	return []Finding{records, syncs}
}
