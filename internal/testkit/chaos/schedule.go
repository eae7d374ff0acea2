package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// The kinds of faults.
const (
	kindKill      = "SIGKILL"
	kindStop      = "SIGSTOP"
	kindFreeze    = "long SIGSTOP" // longer than JetStream waits for an acknowledgement
	kindDisk      = "full disk"
	kindPartition = "partition"
	kindLoss      = "packet loss"
	kindLeader    = "leader change"
)

// kind is what can be done to which groups of parts.
type kind struct {
	name     string
	groups   []string
	isolated bool // needs namespaces
	least    time.Duration
	most     time.Duration // how long it lasts
}

var kinds = []kind{
	{kindKill, []string{groupNATS, groupWorker, groupHome, groupFar}, false, 0, 4 * time.Second},
	{kindStop, []string{groupNATS, groupWorker, groupHome, groupFar}, false, time.Second, 5 * time.Second},
	{kindFreeze, []string{groupWorker}, false, 35 * time.Second, 40 * time.Second},
	{kindDisk, []string{groupNATS, groupHome, groupFar}, true, 2 * time.Second, 5 * time.Second},
	{kindPartition, []string{groupNATS, groupWorker, groupHome, groupFar, groupDHT}, true, time.Second, 5 * time.Second},
	{kindLoss, []string{groupNATS, groupWorker, groupHome, groupFar, groupDHT}, true, 3 * time.Second, 5 * time.Second},
	{kindLeader, []string{groupNATS}, false, 0, 0},
}

// fault is one thing that is broken for a while. At and Lasts count from the
// start of the load.
type fault struct {
	Kind   string
	Group  string
	Number int // of the part in its group, modulo their count
	At     time.Duration
	Lasts  time.Duration
}

func (f fault) String() string {
	return fmt.Sprintf("%6.1fs  %-13s  %s %d  for %.1fs", f.At.Seconds(), f.Kind, f.Group, f.Number, f.Lasts.Seconds())
}

const (
	// slot is when the next fault begins; all but long stops have ended then.
	slot = 6 * time.Second
	// calm is before the first fault and after the last one.
	calm = 3 * time.Second
)

// schedule plans the faults of a run, which depend on nothing else but the
// arguments. Every kind comes before one comes again, and every group of a
// kind likewise. allowed picks kinds; nil is all that the machine can do.
func schedule(seed uint64, duration time.Duration, isolated bool, allowed []string) (plan []fault) {
	random := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // the same every time
	var cycle []fault
	for at := calm; ; at += slot {
		if len(cycle) == 0 {
			if cycle = oneCycle(random, isolated, allowed); len(cycle) == 0 {
				return nil
			}
		}
		// Whoever is too long for the rest lets a shorter one go first.
		i := slices.IndexFunc(cycle, func(f fault) bool { return at+f.Lasts+calm <= duration })
		if at+calm > duration {
			return plan
		}
		if i < 0 {
			cycle = nil
			continue
		}
		next := cycle[i]
		next.At = at
		plan = append(plan, next)
		cycle = slices.Delete(cycle, i, i+1)
	}
}

// oneCycle has every group of every kind once, the first group of each kind
// before the second of any.
func oneCycle(random *rand.Rand, isolated bool, allowed []string) (cycle []fault) {
	left := map[string][]string{}
	for _, k := range kinds {
		if (isolated || !k.isolated) && (len(allowed) == 0 || slices.Contains(allowed, k.name)) {
			left[k.name] = slices.Clone(k.groups)
			random.Shuffle(len(k.groups), func(i, j int) { g := left[k.name]; g[i], g[j] = g[j], g[i] })
		}
	}
	for len(left) > 0 {
		var once []fault
		for _, k := range kinds {
			groups := left[k.name]
			if len(groups) == 0 {
				delete(left, k.name)
				continue
			}
			lasts := k.least
			if k.most > k.least {
				lasts += time.Duration(random.Int64N(int64(k.most - k.least)))
			}
			once = append(once, fault{Kind: k.name, Group: groups[0], Number: random.IntN(1 << 16), Lasts: lasts.Round(100 * time.Millisecond)})
			left[k.name] = groups[1:]
		}
		random.Shuffle(len(once), func(i, j int) { once[i], once[j] = once[j], once[i] })
		cycle = append(cycle, once...)
	}
	return cycle
}
