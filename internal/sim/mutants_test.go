package sim_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

var mutants = flag.String("mutants", "", "plant the bugs of TestMutants whose names match, and see them caught: a regular expression")

// mutation is a bug that is planted for TestSeeds to catch.
type mutation struct {
	name     string
	file     string // from the module's root
	old, bug string // text of the file, which must be there once, and what takes its place
	caught   string // a regular expression for what the checker says
	first    uint64 // of the seeds, every thirty-second of which follows, that can catch it; 0 is of all
}

// watched is the first of the seeds that watch for longer than the DHT remembers.
const watched = 16

const (
	unfound   = `no survey has found`
	lacks     = `local relay lacks event|the last good sync of`
	goesBack  = `goes back: `
	unlinked  = `is linked to|is known by list`
	delayed   = `an honest event`
	notStored = `no node holds seq|nodes hold seq|messages wait in`
)

var mutations = []mutation{
	// bus
	{
		name: "ack although outputs could not be published", file: "internal/edge/bus/verdict.go",
		old: "verdict = contract.Retry(afterPublishFailure, d.failed.Error())", bug: "",
		caught: lacks + "|never asked for|" + unlinked + "|" + notStored,
	},
	{
		name: "no Nats-Msg-Id", file: "internal/edge/bus/publish.go",
		old: "msg.Header.Set(jetstream.MsgIDHeader, id)", bug: "_ = id", caught: "without a Nats-Msg-Id",
	},
	{
		name: "outputs of a second attempt are dropped", file: "internal/edge/bus/handler.go",
		old: "	return outputs\n", bug: "	if d.Attempt > 1 {\n\t\toutputs = nil\n\t}\n\treturn outputs\n",
		caught: lacks + "|never asked for|" + unlinked + "|" + notStored,
	},
	{
		name: "a message that must wait for long is dropped", file: "internal/edge/bus/verdict.go",
		old: "if err := b.scheduleRetry(ctx, d, wait, reason); err != nil {", bug: "if err := error(nil); err != nil {",
		caught: lacks + "|never asked for|" + unlinked + "|" + notStored,
	},
	{
		name: "what is rejected is not kept as a dead letter", file: "internal/edge/bus/verdict.go",
		old: "if err := b.deadLetter(ctx, d.Message, d.id, d.history, reason); err != nil {", bug: "if err := error(nil); err != nil {",
		caught: "dead letters say",
	},
	{
		name: "a retry is a dead letter", file: "internal/edge/bus/verdict.go",
		old: "case attempt >= contract.MaxAttempts:", bug: "case attempt >= 3:", caught: "dead letter without reason",
	},
	{
		name: "a retried message has no handler", file: "internal/edge/bus/handler.go",
		old: "return w.handler(ctx, m)", bug: "return nil, contract.Done()", caught: lacks + "|never asked for|" + unlinked + "|" + notStored,
	},
	{
		name: "a message that needed a second attempt is not acknowledged", file: "internal/edge/bus/verdict.go",
		old: "b.report(ctx, d, d.raw.Ack())", bug: "if d.Attempt == 1 {\n\t\t\tb.report(ctx, d, d.raw.Ack())\n\t\t}",
		caught: "messages (wait )?in|without an answer",
	},
	// KV
	{
		name: "writes without the revision", file: "internal/edge/kv/bucket.go",
		old: "_, err = b.kv.Update(ctx, key, data, revision)", bug: "_, err = b.kv.Put(ctx, key, data)", caught: goesBack + "|" + unlinked,
	},
	// ingest
	{
		name: "a lower seq is accepted", file: "internal/stage/ingest/decide_facts.go",
		old: "	case bep44.Older:\n		return false, ", bug: "	case bep44.Older:\n		return true, nil\n	case 99:\n		return false, ", caught: goesBack,
	},
	{
		name: "an older list is accepted", file: "internal/stage/decide_word.go",
		old: "if known && old.Key == l.Key && (old.Version > l.Version || old.Version == l.Version && !before(l, old) || endedBy(old, l)) {",
		bug: "if known && old.ID == l.ID {", caught: goesBack + "|" + unlinked,
	},
	// whose word counts
	{
		name: "a list of a key that its author has left is accepted", file: "internal/stage/decide_word.go",
		old: "if via == contract.ViaDHT && l.Key != a.DHTKey {", bug: `if via == "-" && l.Key != a.DHTKey {`, caught: goesBack,
	},
	{
		name: "the list of the key before stays", file: "internal/stage/decide_word.go",
		old: "if !found || OwnKey(pubkey, a) && (", bug: "if !found || list.Key != a.DHTKey || OwnKey(pubkey, a) && (", caught: goesBack,
	},
	{
		name: "the links of the key before stay", file: "internal/stage/links.go",
		old: "(version <= e.version || via == contract.ViaDHT && l.Key != e.key)", bug: "version <= e.version", caught: unlinked,
	},
	{
		name: "a list under a stranger's key is the author's", file: "internal/stage/dht/resolve.go",
		old: "if own && answer.DHTSig != \"\" {", bug: "if answer.Found {", caught: goesBack,
	},
	{
		name: "a third party's word stands beside the author's", file: "internal/stage/decide_word.go",
		old: "return []string{contract.ViaClaim, contract.ViaHint}", bug: "return nil", caught: unlinked,
	},
	{
		name: "what failed once counts as done", file: "internal/stage/ingest/ingest.go",
		old: "return seen && cause != m.Cause && m.Attempt <= 1", bug: `return seen && cause != ""`,
		caught: lacks + "|never asked for|" + unlinked + "|" + notStored,
	},
	{
		name: "a missing note is swallowed when the local relay does not answer", file: "internal/stage/ingest/learn.go",
		old: `return nil, fmt.Errorf("couldn't ask the local relay what it has: %w", err)`, bug: `_ = fmt.Errorf; return nil, nil`,
		caught: "never asked for",
	},
	{
		name: "links of an older list stay", file: "internal/stage/links.go",
		old: "if len(l.Via) > 0 && len(e.outdated(l)) == 0 {", bug: "if len(l.Via) > 0 {", caught: unlinked,
	},
	// dht
	{
		name: "a put that failed counts as done", file: "internal/stage/dht/publish.go",
		old: "	placed, err := s.place(ctx, m.Key(), record, Fresh, s.Now().Unix())\n" +
			"	if err != nil {\n		return nil, contract.Retry(retryAfter, err.Error())",
		bug: "	placed, err := s.place(ctx, m.Key(), record, Fresh, s.Now().Unix())\n" +
			"	if err != nil {\n		return nil, contract.Done()",
		caught: notStored,
	},
	{
		name: "a refresh puts another seq", file: "internal/stage/dht/publish.go",
		old: "found, err := s.Network.Put(", bug: "if how != Fresh {\n\t\t\titem.Seq++\n\t\t}\n\t\tfound, err := s.Network.Put(",
		caught: notStored, first: watched,
	},
	{
		name: "records are never refreshed", file: "internal/stage/dht/decide_record.go",
		old: "return r.NextDue <= now", bug: "return r.NextDue < 0 && r.NextDue <= now", caught: notStored, first: watched,
	},
	{
		name: "the newer record on the network is not adopted", file: "internal/stage/dht/decide_record.go",
		old: "stage.SetItem(&next, *p.Newer)", bug: "_ = stage.SetItem", caught: notStored, first: watched,
	},
	{
		name: "the look-up is not scheduled", file: "internal/stage/dht/resolve.go",
		old: "	out = append(out, s.again(m, pubkey, author)...)\n", bug: "", caught: unlinked,
	},
	// syncing
	{
		name: "the schedule of a relay is removed after its sync", file: "internal/stage/syncing/due.go",
		old: "		s.schedule(p.URL, true),\n", bug: "		s.schedule(p.URL, false),\n", caught: lacks,
	},
	{
		name: "expired events are copied (NIP-40)", file: "internal/reconcile/decide_copy.go",
		old: "case expired(e, now):", bug: "case e == nil && expired(e, now):", caught: "which is expired",
	},
	{
		name: "protected events are copied (NIP-70)", file: "internal/reconcile/decide_copy.go",
		old: `case e.Tag("-") != nil:`, bug: `case e.Tag("--") != nil:`, caught: "which is protected",
	},
	{
		name: "deleted events come back (NIP-09)", file: "internal/stage/gate.go",
		old: "case gone:", bug: "case gone && q.Event.Kind == 5:", caught: "which is deleted",
	},
	{
		name: "refused events are offered for ever", file: "internal/reconcile/transfer.go",
		old: "		r.opts.Remember(refusal)\n", bug: "", caught: "nothing to do",
	},
	{
		name: "a relay that failed is left alone for hours", file: "internal/health/times.go",
		old: "First: 10 * time.Minute, Most: 6 * time.Hour", bug: "First: 6 * time.Hour, Most: 6 * time.Hour", caught: lacks,
	},
	{
		name: "pages that end early are believed at once", file: "internal/stage/syncing/decide_paged.go",
		old: "		return 0\n	}\n	least", bug: "		return seconds(readAgain)\n	}\n	least", caught: lacks,
	},
	// the survey
	{
		name: "what a relay lists is a yield", file: "internal/stage/syncing/survey_look.go",
		old: "n: r.ToA, whole: !late", bug: "n: r.OnlyB, whole: !late", caught: "is said to have brought", first: surveyed,
	},
	{
		name: "authors without a list are not surveyed", file: "internal/stage/syncing/census.go",
		old: "if a.Known(now) {", bug: "if len(a.Lists) == 0 {\n\t\t} else if a.Known(now) {", caught: unfound, first: surveyed,
	},
	{
		name: "a survey is not scheduled", file: "internal/stage/syncing/survey.go",
		old: "return s.Publish(ctx, surveySchedule(contract.SurveyRoot, s.Survey.On != nil))",
		bug: "return s.Publish(ctx, surveySchedule(contract.SurveyRoot, false))", caught: unfound, first: surveyed,
	},
	{
		name: "a relay that fails once has no survey for a month", file: "internal/stage/syncing/survey_look.go",
		old: "event, why = health.Failed, reconcile.Clip(lookErr.Error())",
		bug: "event, use, jitter = health.Refused, health.Survey, (1+jitter)/2", caught: unfound, first: surveyed,
	},
	{
		name: "a relay that refuses the filter is not asked for fewer authors", file: "internal/stage/syncing/survey_look.go",
		old: "old.MostAuthors, news = fewer, true", bug: "news = true", caught: unfound, first: surveyed,
	},
	{
		name: "where nothing came nothing is looked for again", file: "internal/stage/syncing/decide_survey.go",
		old: "wait = min(soonest<<next.Dull, latest)", bug: "wait = latest", caught: unfound, first: surveyed,
	},
	{
		name: "a refusal is not remembered", file: "internal/stage/syncing/survey_look.go",
		old: "old.SurveyFailures, old.SurveyRetryAt, old.SurveyFault = is.Failures, is.Unix(), why",
		bug: "old.SurveyFailures, old.SurveyFault = is.Failures, why", caught: "was asked", first: surveyed,
	},
	// strangers
	{
		name: "a worker takes no more messages than it has slots", file: "internal/contract/streams.go",
		old: "const waiting = 192", bug: "const waiting = 16", caught: delayed,
	},
	{
		name: "syncs with all hosts share the slots of one", file: "internal/stage/syncing/due.go",
		old: "Acquire(ctx, hosts.Of(url), proven)", bug: `Acquire(ctx, hosts.Of("wss://one.test/"+url), proven)`, caught: delayed,
	},
	{
		name: "searches at all hosts share the slots of one", file: "internal/stage/fetch/slot.go",
		old: "hosts.Of(urls[0])", bug: `hosts.Of("wss://one.test/"+urls[0])`, caught: delayed,
	},
	{
		name: "a silent relay keeps its slot for half an hour", file: "internal/stage/syncing/due.go",
		old: "firstAnswer = time.Minute", bug: "firstAnswer = time.Hour", caught: delayed,
	},
	{
		name: "sessions of a relay are believed whatever its REQs show", file: "internal/stage/syncing/sync.go",
		old: "sample = sampled", bug: "sample = 0 * sampled", caught: delayed,
	},
	{
		name: "a relay that keeps nothing stays in the middle of its group", file: "internal/stage/syncing/mirror.go",
		old: "if !doubtOf(last, s.Now().Unix()).Unwritten {", bug: "if last.Doubt == last.Doubt {", caught: delayed + " has not come to a mirror",
	},
	{
		name: "a host may have any number of relays", file: "internal/stage/families.go",
		old: "if len(family) >= hosts.MaxURLs {", bug: "if len(family) >= 1000*hosts.MaxURLs {", caught: "relays of host",
	},
	// fetch
	{
		name: "an answer that nobody waits for blocks its goroutine", file: "internal/stage/fetch/search.go",
		old: "make(chan reply, maxRelays+3)", bug: "make(chan reply)", caught: "does not end",
	},
	{
		name: "a note that could not be written counts as found", file: "internal/stage/fetch/outcome.go",
		old: `return "", fmt.Errorf("couldn't write the note to the local relay: %w", err)`, bug: `return "", nil`, caught: "told to be found",
	},
	{
		name: "a lost note stays lost", file: "internal/stage/fetch/decide_lost.go",
		old: "Until: now + int64(hold.Seconds())", bug: "Until: now + 100*int64(hold.Seconds())", caught: lacks,
	},
}

// Each planted bug has the text that it replaces, once, in the product.
func TestMutationsFitTheProduct(t *testing.T) {
	for _, m := range mutations {
		if source, err := os.ReadFile(filepath.Join("../..", m.file)); err != nil || strings.Count(string(source), m.old) != 1 {
			t.Errorf("%s: want once in %s, %v: %s", m.name, m.file, err, m.old)
		}
	}
}

// Each planted bug is caught by what the checker is to say of it. The tree
// stays as it is: the mutated file is laid over it.
func TestMutants(t *testing.T) {
	if *mutants == "" {
		t.Skip("builds and runs one program for each planted bug, for minutes: make sim-mutants")
	}
	wanted := regexp.MustCompile(*mutants)
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	places := make(chan struct{}, 2)
	for _, m := range mutations {
		if !wanted.MatchString(m.name) {
			continue
		}
		dir := t.TempDir()
		wait.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			begun := time.Now()
			seeds, err := m.catch(t.Context(), root, dir)
			if err != nil {
				t.Errorf("%s: %v", m.name, err)
				return
			}
			t.Logf("caught after %d seeds, %s: %s", seeds, time.Since(begun).Round(time.Second), m.name)
		})
	}
	wait.Wait()
}

// most is how many seeds a planted bug may survive.
const most = 300

// catch plants the bug and runs seeds until one fails for the right reason. It
// returns how many that took.
func (m mutation) catch(ctx context.Context, root, dir string) (seeds int, err error) {
	source, err := os.ReadFile(filepath.Join(root, m.file))
	if err != nil {
		return 0, err
	}
	if n := strings.Count(string(source), m.old); n != 1 {
		return 0, fmt.Errorf("%s has %d times what the bug is to replace, want once: bring the mutation up to date", m.file, n)
	}
	mutated, overlay, program := filepath.Join(dir, "mutated.go"), filepath.Join(dir, "overlay.json"), filepath.Join(dir, "sim.test")
	plan, err := json.Marshal(map[string]map[string]string{"Replace": {filepath.Join(root, m.file): mutated}})
	err = errors.Join(
		err,
		os.WriteFile(mutated, []byte(strings.Replace(string(source), m.old, m.bug, 1)), 0o600),
		os.WriteFile(overlay, plan, 0o600),
	)
	if err != nil {
		return 0, err
	}
	build := exec.CommandContext(ctx, "go", "test", "-vet=off", "-ldflags=-s -w", "-c", "-overlay", overlay, "-o", program, "./internal/sim")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("doesn't build: %w: %s", err, out)
	}
	first, stride := uint64(1), uint64(1)
	if m.first != 0 {
		first, stride = m.first, surveySeeds
	}
	run := exec.CommandContext(ctx, program, "-test.run=TestSeeds$", "-test.v", "-test.failfast", "-test.timeout=30m",
		fmt.Sprint("-first=", first), fmt.Sprint("-stride=", stride), fmt.Sprint("-seeds=", most))
	run.Dir, run.Env = dir, append(os.Environ(), "GOMAXPROCS=1")
	out, err := run.CombinedOutput()
	seeds = strings.Count(string(out), "--- PASS: TestSeeds/") + 1
	switch {
	case err == nil:
		return 0, fmt.Errorf("survived %d seeds", most)
	case !regexp.MustCompile(m.caught).Match(out):
		return 0, fmt.Errorf("seed %d fails, but not with %q: %s", seeds, m.caught, complaints(string(out)))
	}
	return seeds, nil
}

// complaints are the lines of a test's output that the checker wrote.
func complaints(out string) string {
	var lines []string
	for line := range strings.Lines(out) {
		if strings.Contains(line, "_test.go") && !strings.Contains(line, " trace ") || strings.Contains(line, "panic") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines[:min(len(lines), 5)], "")
}
