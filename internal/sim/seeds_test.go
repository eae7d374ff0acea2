package sim_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

var (
	oneSeed   = flag.Uint64("seed", 0, "run this seed of TestSeeds alone, and print its trace")
	seeds     = flag.Int("seeds", 8, "how many seeds TestSeeds runs")
	firstSeed = flag.Uint64("first", 1, "the first of them")
	stride    = flag.Uint64("stride", 1, "from one seed to the next")
)

// Random worlds with random faults: see the package documentation.
func TestSeeds(t *testing.T) {
	first, count := *firstSeed, *seeds
	if *oneSeed != 0 {
		first, count = *oneSeed, 1
	} else if testing.Short() {
		count = min(count, 2)
	}
	for i := range uint64(count) {
		seed := first + i**stride
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { runSeed(t, seed) })
		})
	}
}

func runSeed(t *testing.T, seed uint64) {
	y := newCluster(t, seed)
	p := newScenario(y, seed)
	c := &checker{scenario: p}
	defer func() {
		story, hash := y.injector.report()
		t.Logf("trace %016x, %d effects and faults, faults %v", hash, len(y.injector.trace), y.injector.count)
		if t.Failed() || *oneSeed != 0 {
			fmt.Fprintf(os.Stderr, "%s\n", story)
		}
		if t.Failed() {
			t.Logf("again: go test ./internal/sim -run TestSeeds -seed=%d", seed)
		}
	}()
	start := time.Now()
	y.injector.endAt(start.Add(faultyTime))
	y.scheduleOnly(p.targets...)
	for _, name := range contract.Stages() {
		for i := range p.one(1, 1, 1, 2) {
			y.start(name, fmt.Sprint(name, " ", i+1))
		}
	}
	p.later(faultyTime+c.soon(), "look", c.early)
	for _, a := range p.acts {
		time.Sleep(time.Until(start.Add(a.at)))
		y.injector.did("act", a.name)
		a.do()
	}
	if left := time.Until(start.Add(faultyTime)); left > 0 {
		time.Sleep(left)
	}
	c.settle()
	c.found()
	c.rest()
	if seed%16 == 0 {
		c.keeps()
	}
	y.end()
	c.always()
}

// checker holds what is promised against the world.
type checker struct {
	*scenario
}

// within is how long after the faults everything must hold, by what waits
// there are: a message that failed all the time waits as long again as it has
// failed, and a half more for growth and jitter; a relay that failed is left
// alone for up to 25 minutes and then waits for its schedule; a note is given up
// for a while; a list is looked up again after resolveEvery.
func (c *checker) within() time.Duration {
	return 3*faultyTime + 25*time.Minute + c.syncEvery + c.lostFor + c.resolveEvery
}

// soon is the same for what waits for nothing but its message, before another
// event refers to what is missing.
func (c *checker) soon() time.Duration { return c.lostFor + clockError + 30*time.Second }

// early checks what must hold soon after the faults: lists are on the DHT,
// and notes have been asked for.
func (c *checker) early() {
	c.Helper()
	for target, item := range c.kept {
		if c.mesh.holders(item, freshK) == 0 {
			c.Errorf("no node holds seq %d of %s soon after the faults have ended", item.Seq, target)
		}
	}
	for _, why := range c.mistold() {
		c.Error(why)
	}
	have := c.relays.ids(home)
	for id := range c.asked {
		if _, there := slices.BinarySearch(have, id); !there && c.ledger.published(contract.NoteMissingSubject(id)) == 0 {
			c.Errorf("note %s is referred to and was never asked for", id)
		}
	}
}

// mistold lists the notes that were told to be found, and are not at the local
// relay.
func (c *checker) mistold() (list []string) {
	have := c.relays.ids(home)
	for id := range c.told() {
		if _, there := slices.BinarySearch(have, id); !there {
			list = append(list, fmt.Sprintf("note %s was told to be found, and is not at the local relay", id))
		}
	}
	return list
}

// told returns when notes were told to be found.
func (c *checker) told() map[string][]time.Time {
	s, err := c.JS.Stream(context.Background(), contract.StreamOutcome)
	if err != nil {
		c.Fatal(err)
	}
	state, told := s.CachedInfo().State, map[string][]time.Time{}
	for seq := state.FirstSeq; state.Msgs > 0 && seq <= state.LastSeq; seq++ {
		m, err := s.GetMsg(context.Background(), seq)
		if err != nil {
			continue // too old to be kept
		}
		if m.Header.Get(jetstream.MsgIDHeader) == "" {
			c.Errorf("an outcome without a Nats-Msg-Id: %s", m.Subject)
		}
		if m.Subject == events.SubjectNoteFound {
			r, _ := nostr.Decode[events.MissingNoteResponse](m.Data)
			told[r.EventID] = append(told[r.EventID], m.Time)
		}
	}
	return told
}

// settle waits until all that is promised holds, as long as it may take.
func (c *checker) settle() {
	c.Helper()
	begun := time.Now()
	for {
		problems := c.problems()
		if len(problems) == 0 {
			c.injector.did("settled", "")
			return
		}
		if time.Since(begun) > c.within() {
			for _, p := range problems {
				c.Errorf("%s after the faults have ended: %s", time.Since(begun), p)
			}
			return
		}
		time.Sleep(time.Minute)
	}
}

// problems lists what does not hold yet.
func (c *checker) problems() (list []string) {
	c.Helper()
	have := c.relays.ids(home)
	for id, why := range c.here {
		if _, ok := slices.BinarySearch(have, id); !ok {
			list = append(list, fmt.Sprintf("the local relay lacks event %s (%s)", id, why))
		}
	}
	list = append(list, c.forgottenLists()...)
	list = append(list, c.unsynced()...)
	if list = append(list, c.lostRecords()...); len(list) > 0 {
		return list
	}
	if c.attacked { // silent relays are asked again for hours
		return nil
	}
	for name, waiting := range c.waiting() {
		if waiting > 0 {
			list = append(list, fmt.Sprintf("%d messages wait in %s", waiting, name))
		}
	}
	return list
}

// forgottenLists lists the authors who are not linked to the relays of their
// last list, and to no others.
func (c *checker) forgottenLists() (list []string) {
	for _, a := range c.authors {
		pubkey := a.key.PublicKey()
		if got := c.links(pubkey); !slices.Equal(got, a.urls) {
			list = append(list, fmt.Sprintf("author %.8s is linked to %v, want %v", pubkey, got, a.urls))
		}
		via := map[string]string{"dht": contract.ViaDHT, "tag": contract.ViaDHT, "nip65": contract.ViaNIP65}[a.says]
		if via == "" {
			continue
		}
		known, _, err := store[contract.Author](c.world, contract.BucketAuthors).Get(context.Background(), pubkey)
		have := known.Lists[via]
		if err != nil || have.Version < a.last || !slices.Equal(slices.Sorted(slices.Values(have.Write)), a.urls) {
			list = append(list,
				fmt.Sprintf("author %.8s is known by list %d of %v, want %d of %v (%v)", pubkey, have.Version, have.Write, a.last, a.urls, err))
		}
		if a.dht != "" && known.DHTKey != a.dht {
			list = append(list, fmt.Sprintf("author %.8s is known by the DHT key %.8s, want %.8s", pubkey, known.DHTKey, a.dht))
		}
	}
	return list
}

// unsynced lists the relays whose last good sync was during the faults, when it
// may have failed to write down what it learned.
func (c *checker) unsynced() (list []string) {
	for _, a := range c.authors {
		for _, url := range a.urls {
			s, _, err := store[contract.Sync](c.world, contract.BucketSyncs).Get(context.Background(), nostr.RelayKey(url))
			if cleared := c.injector.until; err != nil || s.LastOK <= cleared.Unix() {
				list = append(list,
					fmt.Sprintf("the last good sync of %s was at %s, before the faults ended (%v)", url,
						time.Unix(s.LastOK, 0).UTC().Format(time.TimeOnly), err))
			}
		}
	}
	return list
}

// minHolders is how many of the nodes that a record is put on must hold it, see
// stage dht; and one of those that a look-up asks.
const minHolders = 4

func (c *checker) lostRecords() (list []string) {
	for target, item := range c.kept {
		if put, found := c.mesh.holders(item, freshK), c.mesh.holders(item, keptK); put < minHolders || found == 0 {
			list = append(list,
				fmt.Sprintf("%d nodes hold seq %d of %s, want %d; a look-up asks %d of them", put, item.Seq, target, minHolders, found))
		}
	}
	return list
}

// keeps checks that records stay on the DHT, whose nodes forget them.
func (c *checker) keeps() {
	c.Helper()
	for end := time.Now().Add(forgets + 30*time.Minute); time.Now().Before(end) && !c.Failed(); time.Sleep(10 * time.Minute) {
		for _, p := range c.lostRecords() {
			c.Error(p)
		}
	}
}

// waiting counts the messages that a stage is yet to handle, by stream.
func (c *checker) waiting() map[string]int {
	c.Helper()
	n := map[string]int{}
	for _, s := range contract.Streams() {
		if !s.Queue || s.Name == contract.StreamLive {
			continue
		}
		if n[s.Name] = c.Stored(s.Name); n[s.Name] > 0 && s.Schedules && s.Name != contract.StreamRetry {
			n[s.Name] -= len(c.schedules(s.Name))
		}
	}
	return n
}

// rest checks that nothing goes on when there is nothing to do, for as long as
// it takes every relay to have its scheduled sync.
func (c *checker) rest() {
	c.Helper()
	if c.Failed() || c.attacked {
		return
	}
	time.Sleep(time.Minute) // for what the last of it has woken up
	rest := c.syncEvery + time.Minute
	streams, buckets, begun := c.streams(), c.buckets(), time.Now()
	time.Sleep(rest)
	again, young := c.ledger.offeredAgain(begun)
	for _, at := range again {
		c.Errorf("written to a relay while there is nothing to do: %s", at)
	}
	for name, before := range streams {
		n := c.streams()[name] - before
		if name == contract.StreamIntake {
			n -= young // which ingest is given first
		}
		if n > c.periodic(name, rest) {
			c.Errorf("%d messages in stream %s while there is nothing to do", n, name)
		}
	}
	for name, before := range buckets {
		if n := c.buckets()[name] - before; n > c.periodic(name, rest) {
			c.Errorf("%d writes to bucket %s while there is nothing to do", n, name)
		}
	}
	problems := c.problems()
	for range 10 { // a relay may be synced just now
		if len(problems) > 0 {
			time.Sleep(7 * time.Second)
			problems = c.problems()
		}
	}
	for _, p := range problems {
		c.Errorf("after a time of rest: %s", p)
	}
}

// periodic is how many messages a stream takes, or writes a bucket, in a time
// in which there is nothing to do but what is done at regular times.
func (c *checker) periodic(name string, rest time.Duration) int {
	fires := func(every time.Duration) int { return int(rest/every) + 1 }
	syncs := len(c.urls) * fires(c.syncEvery)
	lookups := len(c.authors) * fires(c.resolveEvery)
	surveys := 0
	if c.survey != nil {
		surveys = fires(surveyEvery)
	}
	switch name {
	case contract.StreamSyncDue:
		return syncs + lookups*len(c.urls)
	case contract.StreamOutcome:
		return syncs + lookups*(1+len(c.urls)) + len(c.kept)*fires(c.refreshEvery)
	case contract.StreamLive:
		return syncs + lookups*len(c.urls) // turned away, since one is held
	case contract.BucketSyncs:
		return 2*syncs + lookups*len(c.urls) + len(c.urls)*fires(5*time.Minute)
	case contract.StreamAuthor, contract.BucketAuthors:
		return lookups
	case contract.BucketRelays: // probes, how fast they are, and looks
		return lookups*len(c.urls) + syncs + 2*surveys*(len(c.urls)+len(c.odd))
	case contract.StreamSurveyDue, contract.BucketSurveys:
		return surveys
	case contract.BucketRefused: // by a look at a relay that no longer gives what it lists
		noted := 0
		for _, url := range c.odd {
			noted += len(c.relays.ids(url))
		}
		return noted
	case contract.StreamRelay, contract.BucketLinks: // a list of a later version that names the same relays
		return lookups * len(c.urls)
	case contract.StreamRecordDue, contract.BucketRecords:
		return len(c.targets) * fires(c.refreshEvery)
	}
	return 0
}

func (c *checker) streams() map[string]int {
	n := map[string]int{}
	for _, s := range contract.Streams() {
		n[s.Name] = c.ever(s.Name)
	}
	return n
}

func (c *checker) buckets() map[string]int {
	n := map[string]int{}
	for _, b := range contract.Buckets() {
		n[b.Name] = c.ever("KV_" + b.Name)
	}
	return n
}

// always checks what must hold at any time.
func (c *checker) always() {
	c.Helper()
	have := c.relays.ids(home)
	for id, why := range c.never {
		if _, ok := slices.BinarySearch(have, id); ok {
			c.Errorf("the local relay holds event %s, which is %s", id, why)
		}
	}
	for _, why := range c.ledger.wentBack() {
		c.Error(why)
	}
	for at, seqs := range c.mesh.stored {
		if !slices.IsSorted(seqs) {
			c.Errorf("node and target %s were put seqs %v", at, seqs)
		}
	}
	for _, why := range c.unexplained() {
		c.Error(why)
	}
	for _, why := range slices.Concat(c.mistold(), c.repeated()) {
		c.Error(why)
	}
}

// unexplained lists the dead letters for which there is no reason, and those
// that must be and are not.
func (c *checker) unexplained() (list []string) {
	count := map[string]int{}
	for _, l := range c.DeadLetters() {
		explained := false
		for why := range c.reasons {
			if strings.Contains(l.Reason, why) {
				explained = true
				count[why]++
			}
		}
		if !explained {
			list = append(list, fmt.Sprintf("dead letter without reason: %s after %d attempts: %s: %s", l.Subject, l.Attempts, l.Reason, l.Data))
		}
	}
	for why, n := range c.reasons {
		if count[why] < n {
			list = append(list, fmt.Sprintf("%d dead letters say %q, want %d", count[why], why, n))
		}
	}
	return list
}

// repeated lists the notes that were told to be found more often than they
// were asked for.
func (c *checker) repeated() (list []string) {
	for id, times := range c.told() {
		n, asked := len(times), c.ledger.mostly(contract.NoteMissingSubject(id))
		if n > asked && times[n-1].Sub(times[0]) < dedupeWindow {
			list = append(list, fmt.Sprintf("note %s was found %d times, and asked for %d times", id, n, asked))
		}
	}
	return list
}

// dedupeWindow is that of the streams.
const dedupeWindow = 10 * time.Minute
