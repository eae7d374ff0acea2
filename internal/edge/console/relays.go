package console

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/kv"
)

// perPage is how many relays, records or dead letters a page shows.
const perPage = 100

// pager is where a page of a list is, and the next one.
type pager struct {
	Next uint64   `json:"next,omitempty"` // ?from= of the next page
	Left uint64   `json:"left"`           // how many follow, about
	Bad  []string `json:"bad,omitempty"`  // values that cannot be read
}

func pagerOf[T any](p kv.Page[T]) pager {
	out := pager{Next: p.Next, Left: p.Left}
	for _, err := range p.Bad {
		out.Bad = append(out.Bad, err.Error())
	}
	return out
}

// position reads ?from=, 0 if there is none.
func position(r *http.Request) (uint64, error) {
	from := r.URL.Query().Get("from")
	if from == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(from, 10, 63)
	if err != nil {
		return 0, &pageError{http.StatusBadRequest, "from: want the number that the page before gave as next"}
	}
	return n, nil
}

// Health of a relay, in the order in which operators want to see them.
const (
	healthFailing = "failing" // its last sync failed by its fault
	healthResting = "resting" // and it is left alone for now
	healthSilent  = "silent"  // it does not answer probes
	healthNew     = "new"     // never asked yet
	healthOK      = "ok"
)

var healthOrder = []string{healthFailing, healthResting, healthSilent, healthNew, healthOK}

// Relay is what is known of a relay.
type Relay struct {
	Key    string `json:"key"`
	Health string `json:"health"`
	// Why says what is wrong, if anything is.
	Why string `json:"why,omitempty"`
	// Next is when it is synced next, 0 if that is not known.
	Next int64          `json:"next,omitempty"`
	Is   contract.Relay `json:"relay"`
	Sync *contract.Sync `json:"sync"`
}

// Speaks lists what the relay can do that matters here.
func (r Relay) Speaks() []string {
	var out []string
	for _, nip := range []struct {
		number int
		name   string
	}{{77, "negentropy"}, {42, "auth"}, {50, "search"}, {70, "protected"}} {
		if slices.Contains(r.Is.NIPs, nip.number) {
			out = append(out, nip.name)
		}
	}
	if r.Is.Hornets != nil {
		out = append(out, "libp2p")
	}
	return out
}

// Missing is how many events it has shown in its last sync that the local relay lacks.
func (r Relay) Missing() int {
	if r.Sync == nil {
		return 0
	}
	return factsOfSync(*r.Sync).missing
}

// Did says what its last sync did; what went wrong stands in Why.
func (r Relay) Did() string {
	last := r.Sync.Last
	if last.Why = withoutName(last.Why, r.Is.URL); r.Why != "" {
		last.Why = ""
	}
	return tellSync(last)
}

// withoutName leaves the relay's name out of an error that stands beside it.
func withoutName(why, url string) string {
	return strings.NewReplacer("relay "+url+": ", "", url+": ", "").Replace(why)
}

func health(r contract.Relay, s *contract.Sync, now int64) (state, why string) {
	switch {
	case r.RetryAt > now:
		return healthResting, cmp.Or(r.Fault, "its syncs failed")
	case r.Failures > 0:
		return healthFailing, cmp.Or(r.Fault, "its last sync failed")
	case s != nil && s.Failures > 0:
		return healthFailing, cmp.Or(s.Last.Why, "its last sync failed")
	case r.ProbeFailures > 0:
		return healthSilent, r.Error
	case r.ProbedAt == 0 && (s == nil || s.LastOK == 0):
		return healthNew, r.Error
	}
	return healthOK, ""
}

type relaysView struct {
	pager
	sorting

	Relays []Relay `json:"relays"`
	// Health is what the list is filtered by, "" for nothing; Healths are counted
	// over all relays.
	Health  string   `json:"health,omitempty"`
	Healths []Choice `json:"healths"`
	// Proof and Proofs are the same for how the local relay was compared with them.
	Proof  string   `json:"proof,omitempty"`
	Proofs []Choice `json:"proofs"`
}

func (c *Console) relays(r *http.Request) (any, error) {
	from, err := position(r)
	if err != nil {
		return nil, err
	}
	bucket, err := kv.Open[contract.Relay](r.Context(), c.js, contract.BucketRelays)
	if err != nil {
		return nil, need(err)
	}
	only, err := chosen(r, "health", healthOrder)
	if err != nil {
		return nil, err
	}
	proof, err := chosen(r, "proof", proofOrder)
	if err != nil {
		return nil, err
	}
	by, err := sortingOf(r, c.base+"/relays", []string{"health", "proof"}, relayColumns)
	if err != nil {
		return nil, err
	}
	whole := c.counter.summary().Whole
	if by.Sort == "" && whole {
		by.Sort = "health" // over all, those in trouble first
	}
	var page kv.Page[contract.Relay]
	if only == "" && proof == "" && !whole {
		page, err = bucket.Page(r.Context(), ">", from, perPage)
	} else {
		page, err = pageOf(r.Context(), bucket, c.counter.relaysIn(only, proof, by), from)
	}
	if err != nil {
		return nil, err
	}
	rows, err := c.describe(r.Context(), page.Entries)
	if err != nil {
		return nil, err
	}
	if !whole {
		slices.SortStableFunc(rows, func(a, b Relay) int {
			return cmp.Or(cmp.Compare(slices.Index(healthOrder, a.Health), slices.Index(healthOrder, b.Health)), cmp.Compare(a.Is.URL, b.Is.URL))
		})
	}
	s := c.counter.summary()
	return relaysView{pagerOf(page), by, rows, only, choices(healthOrder, s.Relays), proof, proofs(s)}, nil
}

// describe joins relays with their last syncs and their next ones.
func (c *Console) describe(ctx context.Context, entries []kv.Entry[contract.Relay]) ([]Relay, error) {
	bucket, err := kv.Open[contract.Sync](ctx, c.js, contract.BucketSyncs)
	if err != nil {
		return nil, need(err)
	}
	keys, due := make([]string, len(entries)), make([]string, len(entries))
	for i, e := range entries {
		keys[i], due[i] = e.Key, contract.SyncDueSubject(e.Key)
	}
	syncs, err := bucket.GetAll(ctx, keys)
	if err != nil {
		return nil, err
	}
	next, err := cronSpecs(ctx, c.js, contract.StreamSyncDue, due)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	rows := make([]Relay, len(entries))
	for i, e := range entries {
		rows[i] = Relay{Key: e.Key, Is: e.Value}
		if s, synced := syncs[e.Key]; synced {
			rows[i].Sync = &s
		}
		rows[i].Health, rows[i].Why = health(e.Value, rows[i].Sync, now.Unix())
		rows[i].Why = withoutName(rows[i].Why, e.Value.URL)
		if t, scheduled := next[due[i]]; scheduled {
			rows[i].Next = t.after(later(now, e.Value.RetryAt))
		}
	}
	return rows, nil
}

func later(now time.Time, unix int64) time.Time {
	if at := time.Unix(unix, 0); at.After(now) {
		return at
	}
	return now
}
