package run

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/kv"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// addFigures has the process tell figures with its conditions; tell adds them.
func (e *Env) addFigures(tell func(*contract.Worker)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.tells = append(e.tells, tell)
}

// figures adds all figures to what the process tells of itself.
func (e *Env) figures(w contract.Worker) contract.Worker {
	e.mu.Lock()
	tells := slices.Clone(e.tells)
	e.mu.Unlock()
	for _, tell := range tells {
		tell(&w)
	}
	return w
}

// tellConditions writes to KV how the process does, for the console, until ctx ends. NATS
// that is away, or was set up by an earlier version, is no reason to stop.
func (e *Env) tellConditions(ctx context.Context, stages []string) {
	host, _ := os.Hostname()
	w := contract.Worker{Stages: stages, Version: Version(), Host: host, Started: time.Now().Unix()}
	key := strings.Join(stages, "-") + "." + rand.Text()
	tick := time.NewTicker(contract.WorkerEvery)
	defer tick.Stop()
	for {
		w.At, w.Conditions = time.Now().Unix(), e.conditions()
		if err := e.tellWorker(ctx, key, e.figures(w)); err != nil && ctx.Err() == nil {
			e.Log.DebugContext(ctx, "couldn't tell how this process does", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (e *Env) tellWorker(ctx context.Context, key string, w contract.Worker) error {
	bucket, err := kv.Open[contract.Worker](ctx, e.JS, contract.BucketWorkers)
	if err != nil {
		return err
	}
	_, err = bucket.Update(ctx, key, func(contract.Worker, bool) (contract.Worker, bool) { return w, true })
	return err
}

// conditions looks at all that the process needs, and at what it tells besides.
func (e *Env) conditions() []contract.Condition {
	var list []contract.Condition
	for _, c := range e.checked() {
		condition := contract.Condition{Name: c.name}
		if err := c.holds(); err != nil {
			condition.Wrong, condition.Do = err.Error(), remedy(c.name)
		}
		list = append(list, condition)
	}
	return list
}

// remedies say what to do where a condition does not hold, by how its name begins.
var remedies = map[string]string{
	contract.ConditionGateway: "see whether the relay behind it runs, and the log; relaymesh doctor --skip nats,dht looks closer",
	contract.ConditionIndex:   "see the log; its store is under index in --data",
	"DHT":                     "let UDP out and its answers in, to any address and port; relaymesh doctor --skip nats,relay looks closer",
	"store of NATS":           "make space on the disk of --data, bring its folder back if it is away, or see the log of NATS",
	"embedded relay":          "see the log; bring its file back if it is away; relaymesh doctor --repair looks at it while nothing runs",
	contract.ConditionTail:    "start the relay, or correct its URL; relaymesh doctor --skip nats,dht looks closer",
	"writes of ":              "see why NATS does not take what the stage publishes: relaymesh doctor --skip relay,dht",
	"streams of ":             "start the NATS server again once its disk takes writes; run relaymesh provision if something is gone",
	"buckets of ":             "look at the disk and the log of the NATS server, and start it again",
	"consumers of ":           "run relaymesh provision, and look at the log of the stage",
}

func remedy(name string) string {
	for begin, what := range remedies {
		if strings.HasPrefix(name, begin) {
			return what
		}
	}
	return ""
}

// following tells whether a tail follows its relay, or why not.
type following struct {
	mu  sync.Mutex
	err error
}

var errNotFollowed = errors.New("it is not followed yet")

func (f *following) note(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

func (f *following) holds() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// followFunc is how a tail follows a relay, see [relays.follow].
type followFunc = func(ctx context.Context, since int64, handle func(context.Context, nostr.Event) error,
	caughtUp func(context.Context, int64) error) error

// watched adds to the conditions of the process whether a relay is followed.
func (e *Env) watched(url string, follow followFunc) followFunc {
	state := &following{err: errNotFollowed}
	e.addCondition(contract.ConditionTail+url, state.holds)
	return func(ctx context.Context, since int64, handle func(context.Context, nostr.Event) error,
		caughtUp func(context.Context, int64) error,
	) error {
		err := follow(ctx, since, handle, func(ctx context.Context, through int64) error {
			state.note(nil)
			return caughtUp(ctx, through)
		})
		if err == nil {
			state.note(errNotFollowed)
		} else {
			state.note(err)
		}
		return err
	}
}
