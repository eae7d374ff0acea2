package console

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// well is a pipeline in which nothing is wrong: one process of each stage.
func well() *Pipeline {
	p := &Pipeline{At: time.Now()}
	for _, stage := range contract.Stages() {
		p.Stages = append(p.Stages, Stage{Name: stage})
		p.Workers = append(p.Workers, Worker{Worker: contract.Worker{
			Stages: []string{stage}, Version: "1.2.3", Host: "host-of-" + stage, Started: time.Now().Unix() - 3600,
			Conditions: []contract.Condition{{Name: "writes of " + stage}},
		}})
	}
	return p
}

// Each kind of trouble is told, alone, with what to do; and none where there is none.
func TestEachTroubleIsToldAndNoneWhereThereIsNone(t *testing.T) {
	condition := func(name, wrong string) func(*Pipeline, *Summary) error {
		return func(p *Pipeline, _ *Summary) error {
			p.Workers[1].Conditions = append(p.Workers[1].Conditions, contract.Condition{Name: name, Wrong: wrong, Do: "mend it"})
			return nil
		}
	}
	counts := func(change func(*Summary)) func(*Pipeline, *Summary) error {
		return func(_ *Pipeline, s *Summary) error { change(s); return nil }
	}
	pipeline := func(change func(*Pipeline)) func(*Pipeline, *Summary) error {
		return func(p *Pipeline, _ *Summary) error { change(p); return nil }
	}
	for name, trouble := range map[string]struct {
		make  func(*Pipeline, *Summary) error
		found string // "" where all is well
	}{
		"none":                 {pipeline(func(*Pipeline) {}), ""},
		"few fail":             {counts(func(s *Summary) { s.Proved = Proved{Live: 8, Complete: 6, Failing: 2} }), ""},
		"NATS":                 {func(*Pipeline, *Summary) error { return errors.New("no servers") }, "no servers"},
		"store of NATS":        {condition("store of NATS", "disk full"), "disk full (says dhtworker on host-of-dhtworker)"},
		"DHT":                  {condition("DHT", "no node answers"), "no node answers"},
		"tail of ws://x":       {condition("tail of ws://x", "connection refused"), "refused"},
		"process of dhtworker": {pipeline(func(p *Pipeline) { p.Workers = append(p.Workers[:1], p.Workers[2:]...) }), "none has told"},
		"versions":             {pipeline(func(p *Pipeline) { p.Workers[2].Version = "1.1.0" }), "1.1.0; 1.2.3"},
		"clocks":               {pipeline(func(p *Pipeline) { p.Workers[3].Ahead = -90 }), "90 s"},
		"streams":              {pipeline(func(p *Pipeline) { p.Fullest = Fill{"NOTE", 0.93} }), "NOTE is 93 % full"},
		"queues":               {pipeline(func(p *Pipeline) { p.Stages[0].Lag, p.Stages[0].Oldest = 1, 700 }), "ingest has not done"},
		"dead letters":         {pipeline(func(p *Pipeline) { p.Stages[2].DeadLetters = 7 }), "7 messages"},
		"survey": {func(p *Pipeline, s *Summary) error {
			p.Stages[2].Queues = []Queue{{Consumer: "SURVEY_DUE/survey", Subjects: []string{"survey.due.*"}, Waiting: 1}}
			s.Survey = Surveyed{Slices: 3, Behind: 2}
			return nil
		}, "2 of 3 slices"},
		"survey, switched off": {counts(func(s *Summary) { s.Survey = Surveyed{Slices: 3, Behind: 2} }), ""},
		"a sync that takes long": {pipeline(func(p *Pipeline) {
			p.Stages[2].Oldest = 1700
			p.Stages[2].Queues = []Queue{{Consumer: "SYNC_DUE/sync", Oldest: 1700}, {Consumer: "SURVEY_DUE/survey", Oldest: 5000}}
		}), ""},
		"records": {counts(func(s *Summary) { s.Records = map[string]int{recordLost: 3} }), "3 are held by no node"},
		"syncs":   {counts(func(s *Summary) { s.Proved = Proved{Live: 7, Failing: 2} }), "2 of 7 live"},
	} {
		t.Run(name, func(t *testing.T) {
			p, s := well(), Summary{}
			failed := trouble.make(p, &s)
			list := diagnose(p, s, failed)
			if trouble.found == "" {
				if !list[0].OK {
					t.Errorf("all is well, and %+v is told", list[0])
				}
				return
			}
			first := list[0]
			if first.OK || first.Name != name || !strings.Contains(first.Found, trouble.found) || first.Do == "" {
				t.Errorf("first is %+v", first)
			}
			if !list[1].OK {
				t.Errorf("%+v is told, too", list[1])
			}
		})
	}
}

// The conditions that processes write are shown, and gone with them; a stranger to the bucket
// harms nothing.
func TestThePageSaysWhatProcessesLack(t *testing.T) {
	w := newWorld(t)
	for _, stage := range contract.Stages() {
		w.put(contract.BucketWorkers, stage+".1", contract.Worker{
			Stages: []string{stage}, Version: "1.2.3", Started: time.Now().Unix() - 7200, At: time.Now().Unix(),
			Conditions: []contract.Condition{{Name: "DHT"}},
		})
	}
	w.put(contract.BucketWorkers, "rubbish", "rubbish")
	if page := w.page("/"); !strings.Contains(page, "All is well") || !strings.Contains(page, "1.2.3") || !strings.Contains(page, "2 h 00") {
		t.Errorf("the page is %s", page)
	}
	w.put(contract.BucketWorkers, "dhtworker.1", contract.Worker{
		Stages: []string{"dhtworker"}, Version: "1.2.3", At: time.Now().Unix() + 100,
		Conditions: []contract.Condition{{Name: "DHT", Wrong: hostile, Do: "let UDP out"}},
	})
	w.console.feed.readings = nil // or it is a second old
	page := w.page("/")
	for _, want := range []string{"2 things are wrong", "let UDP out", "&lt;script&gt;", "differ by 100 s"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	v := ask[struct{ Health []Finding }](w, "/")
	if v.Health[0].OK || v.Health[1].OK || !v.Health[2].OK {
		t.Errorf("health is %+v", v.Health)
	}
}

// A server that cannot write keeps words that it should have forgotten: they tell of no process.
func TestOldWordsTellOfNoProcess(t *testing.T) {
	t.Parallel()
	now := time.Now()
	word := func(host string, before time.Duration) *jetstream.RawStreamMsg {
		at := now.Add(-before)
		return &jetstream.RawStreamMsg{Data: nostr.Encode(contract.Worker{Host: host, At: at.Unix()}), Time: at}
	}
	list := lately([]*jetstream.RawStreamMsg{word("stuck", time.Hour), word("well", contract.WorkerEvery), word("ahead", -time.Hour)}, now)
	if len(list) != 2 || list[0].Host != "well" || list[1].Host != "ahead" {
		t.Errorf("those that told are %+v", list)
	}
}

// Without NATS the first page stands, and says that, beside what was known last.
func TestWithoutNATSTheFirstPageSaysSo(t *testing.T) {
	w := newWorld(t)
	w.send("event.received", "{}")
	w.page("/")
	w.Server.Close()
	w.console.feed.mu.Lock()
	w.console.feed.readings[0].At = time.Now().Add(-time.Minute)
	w.console.feed.mu.Unlock()
	w.console.within = time.Second
	page := w.page("/")
	for _, want := range []string{"does not answer", "start the server", `data-lag="1"`} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	w.console.feed = newFeed(w.console.feed.read)
	if page := w.page("/"); !strings.Contains(page, "does not answer") {
		t.Errorf("a console that never had NATS says %s", page)
	}
	if rec := w.do(http.MethodGet, "/", "", header("Accept", "application/json")); rec.Code != http.StatusBadGateway {
		t.Errorf("programs are answered %d", rec.Code)
	}
}
