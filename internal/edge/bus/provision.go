package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/contract"
)

// ProvisionOptions are what the contract leaves to the installation.
type ProvisionOptions struct {
	// Replicas of every stream and bucket; 0 means as many as there are, and 1
	// where nothing is yet.
	Replicas int
	// Store is how many bytes all streams and buckets may take, at least
	// [contract.MinStore]; below [contract.FullStore] their bounds shrink in
	// proportion. 0 leaves it as it is, and where nothing is yet means FullStore, or
	// less where NATS has less room.
	Store int64
	// RefreshEvery is the interval in which each DHT record is refreshed; 0
	// leaves the schedules as they are. See [contract.Cron] for what it may be.
	RefreshEvery time.Duration
}

// Change is one thing that [Provision] does.
type Change struct {
	Verb string // create, update, set or shrink
	What string // such as "stream INTAKE"
	How  string // each setting that differs, from what to what; "" for what is new
	// Refused is why NATS does not allow it in place, and what to do; "" if it
	// does.
	Refused string

	apply func(context.Context) error
}

// String says what the change is: "update stream INTAKE: max_bytes 1 → 2".
func (c Change) String() string { return c.say(c.Verb) }

// Done says the same of one that was made.
func (c Change) Done() string {
	return c.say(map[string]string{"create": "created", "update": "updated", "set": "set", "shrink": "shrunk"}[c.Verb])
}

func (c Change) say(verb string) string {
	text := verb + " " + c.What
	if c.How != "" {
		text += ": " + c.How
	}
	return text
}

// Provision makes or migrates the streams, consumers, buckets and schedules of
// package contract, and returns what it changed: nothing on the second run. It
// keeps settings that the contract does not name, such as placement, and never
// deletes anything. Where nothing is yet and the store is left open, the bounds
// shrink to the room that NATS has. If one change is not allowed in place it makes
// none. After another error those that it returns were made, and it may be run again.
func Provision(ctx context.Context, js jetstream.JetStream, o ProvisionOptions) (made []Change, err error) {
	for atMost := int64(contract.FullStore); ; {
		changes, size, err := plan(ctx, js, o, atMost)
		if err == nil {
			err = Refusals(changes)
		}
		if err != nil {
			return made, err
		}
		made, err = applyAll(ctx, changes, made)
		switch {
		case outOfResources(err) && size.open && size.bytes > contract.MinStore:
			atMost = size.smaller()
			continue
		case outOfResources(err):
			return made, size.noRoom(err)
		case err != nil:
			return made, err
		case len(made) == 0:
			return nil, nil
		}
		return append(size.shrinkage(), made...), nil
	}
}

// applyAll makes changes, and returns made with those that were made, each thing once.
func applyAll(ctx context.Context, changes, made []Change) ([]Change, error) {
	for _, c := range changes {
		if err := c.apply(ctx); err != nil {
			return made, fmt.Errorf("%s: %w", c, err)
		}
		if !slices.ContainsFunc(made, func(m Change) bool { return m.What == c.What }) {
			made = append(made, c)
		}
	}
	return made, nil
}

// Plan returns what [Provision] would do, in its order, and changes nothing. The room
// that a server has can only be tried: bounds may shrink further than planned.
func Plan(ctx context.Context, js jetstream.JetStream, o ProvisionOptions) ([]Change, error) {
	changes, size, err := plan(ctx, js, o, contract.FullStore)
	if err != nil || len(changes) == 0 {
		return nil, err
	}
	return append(size.shrinkage(), changes...), nil
}

func plan(ctx context.Context, js jetstream.JetStream, o ProvisionOptions, atMost int64) (changes []Change, size storeSize, err error) {
	if o.Replicas > 1 && js.Conn().ConnectedClusterName() == "" {
		return nil, size, fmt.Errorf("%d replicas: this NATS server is alone; they need a cluster", o.Replicas)
	}
	if err := checkServer(ctx, js); err != nil {
		return nil, size, err
	}
	intake, err := intakeOf(ctx, js)
	if err != nil {
		return nil, size, err
	}
	if o.Replicas == 0 {
		o.Replicas = 1
		if intake != nil {
			o.Replicas = max(intake.CachedInfo().Config.Replicas, 1)
		}
	}
	if size, err = sizeFor(ctx, js, o, intake, atMost); err != nil {
		return nil, size, err
	}
	o.Store = size.bytes
	note := func(c *Change, err error) error {
		if c != nil {
			changes = append(changes, *c)
		}
		return err
	}
	prefix, plain := PrefixOf(js), withoutPrefix(js)
	for _, s := range prefix.Streams() {
		if err := note(planStream(ctx, plain, s, o)); err != nil {
			return nil, size, fmt.Errorf("provision stream %s: %w", s.Name, err)
		}
	}
	for _, c := range prefix.Consumers() {
		if err := note(planConsumer(ctx, plain, c, o)); err != nil {
			return nil, size, fmt.Errorf("provision consumer %s of %s: %w", c.Name, c.Stream, err)
		}
	}
	for _, b := range prefix.Buckets() {
		if err := note(planBucket(ctx, plain, b, o)); err != nil {
			return nil, size, fmt.Errorf("provision bucket %s: %w", b.Name, err)
		}
	}
	if err := note(planSchedules(ctx, js, o.RefreshEvery)); err != nil {
		return nil, size, fmt.Errorf("provision schedules: %w", err)
	}
	return changes, size, nil
}

// Refusals joins what is not allowed in place into one error, nil if there is
// nothing.
func Refusals(changes []Change) error {
	var why []string
	for _, c := range changes {
		if c.Refused != "" {
			why = append(why, c.What+": "+c.Refused)
		}
	}
	if why == nil {
		return nil
	}
	return errors.New("cannot be changed in place, so nothing was changed: " + strings.Join(why, "; "))
}

// planSchedules compares the schedules that make the slices of the DHT's
// keyspace due.
func planSchedules(ctx context.Context, js jetstream.JetStream, every time.Duration) (*Change, error) {
	if every == 0 {
		return nil, nil
	}
	all, err := contract.RecordSchedules(every)
	if err != nil {
		return nil, err
	}
	var differ []contract.Output
	for _, s := range all {
		same, err := scheduled(ctx, js, s)
		if err != nil {
			return nil, err
		}
		if !same {
			differ = append(differ, s)
		}
	}
	if len(differ) == 0 {
		return nil, nil
	}
	return &Change{
		Verb: "set", What: fmt.Sprintf("%d of %d refresh schedules to every %s", len(differ), len(all), every),
		apply: func(ctx context.Context) error {
			for _, s := range differ {
				if err := schedule(ctx, js, js.Stream, s); err != nil {
					return err
				}
			}
			return nil
		},
	}, nil
}
