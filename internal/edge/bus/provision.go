package bus

import (
	"context"
	"errors"
	"fmt"
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
	// proportion. 0 leaves it as it is, and means FullStore where nothing is yet.
	Store int64
	// RefreshEvery is the interval in which each DHT record is refreshed; 0
	// leaves the schedules as they are. See [contract.Cron] for what it may be.
	RefreshEvery time.Duration
}

// Change is one thing that [Provision] does.
type Change struct {
	Verb string // create, update or set
	What string // such as "stream INTAKE"
	How  string // each setting that differs, from what to what; "" for what is new
	// Refused is why NATS does not allow it in place, and what to do; "" if it
	// does.
	Refused string

	apply func(context.Context) error
	store int64 // of the options
}

// String says what the change is: "update stream INTAKE: max_bytes 1 → 2".
func (c Change) String() string { return c.say(c.Verb) }

// Done says the same of one that was made.
func (c Change) Done() string {
	return c.say(map[string]string{"create": "created", "update": "updated", "set": "set"}[c.Verb])
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
// deletes anything. If one change is not allowed in place it makes none. After
// another error those that it returns were made, and it may be run again.
func Provision(ctx context.Context, js jetstream.JetStream, o ProvisionOptions) (made []Change, err error) {
	changes, err := Plan(ctx, js, o)
	if err != nil {
		return nil, err
	}
	if err := Refusals(changes); err != nil {
		return nil, err
	}
	for _, c := range changes {
		if err := c.apply(ctx); outOfResources(err) {
			return made,
				fmt.Errorf("%s: %w: the bounds of all streams come to %d MB: give NATS more disk (max_file_store, or the account's limit), "+
					"or say how much it may take (--nats-max-store, 1GB at least), and they shrink in proportion", c, err, contract.Bounds(c.store)/1e6)
		} else if err != nil {
			return made, fmt.Errorf("%s: %w", c, err)
		}
		made = append(made, c)
	}
	return made, nil
}

// Plan returns what [Provision] would do, in its order, and changes nothing.
func Plan(ctx context.Context, js jetstream.JetStream, o ProvisionOptions) (changes []Change, err error) {
	if o.Replicas > 1 && js.Conn().ConnectedClusterName() == "" {
		return nil, fmt.Errorf("%d replicas: this NATS server is alone; they need a cluster", o.Replicas)
	}
	if err := checkServer(ctx, js); err != nil {
		return nil, err
	}
	if o, err = o.complete(ctx, js); err != nil {
		return nil, err
	}
	note := func(c *Change, err error) error {
		if c != nil {
			c.store = o.Store
			changes = append(changes, *c)
		}
		return err
	}
	for _, s := range contract.Streams() {
		if err := note(planStream(ctx, js, s, o)); err != nil {
			return nil, fmt.Errorf("provision stream %s: %w", s.Name, err)
		}
	}
	for _, c := range contract.Consumers() {
		if err := note(planConsumer(ctx, js, c, o)); err != nil {
			return nil, fmt.Errorf("provision consumer %s of %s: %w", c.Name, c.Stream, err)
		}
	}
	for _, b := range contract.Buckets() {
		if err := note(planBucket(ctx, js, b, o)); err != nil {
			return nil, fmt.Errorf("provision bucket %s: %w", b.Name, err)
		}
	}
	if err := note(planSchedules(ctx, js, o.RefreshEvery)); err != nil {
		return nil, fmt.Errorf("provision schedules: %w", err)
	}
	return changes, nil
}

// complete sets what is left open to what there is.
func (o ProvisionOptions) complete(ctx context.Context, js jetstream.JetStream) (ProvisionOptions, error) {
	var have jetstream.StreamConfig
	s, err := js.Stream(ctx, contract.StreamIntake)
	switch {
	case err == nil:
		have = s.CachedInfo().Config
	case !errors.Is(err, jetstream.ErrStreamNotFound):
		return o, fmt.Errorf("provision stream %s: %w", contract.StreamIntake, err)
	}
	if o.Replicas == 0 {
		o.Replicas = max(have.Replicas, 1)
	}
	switch {
	case o.Store == 0:
		o.Store = storeOf(have.Metadata)
	case o.Store < contract.MinStore:
		return o, fmt.Errorf("a store of %d bytes: at least %d are needed", o.Store, contract.MinStore)
	}
	return o, nil
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
				if err := schedule(ctx, js, s); err != nil {
					return err
				}
			}
			return nil
		},
	}, nil
}
