package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	gonostr "github.com/nbd-wtf/go-nostr"

	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// repetitions is how often everything is measured, all ways alternating; medians count.
const repetitions = 7

// sets are what is verified: real events of 274 authors, and those of 16.
func sets() (mixed, few []nostr.Event, err error) {
	like, err := recorded()
	if err != nil {
		return nil, nil, err
	}
	if mixed, err = replay(like, 1024, signer{}); err != nil {
		return nil, nil, err
	}
	for i := range like {
		like[i].PubKey = strconv.Itoa(i % 16)
	}
	few, err = replay(like, 1024, signer{})
	return mixed, few, err
}

var batches = []int{1, 16, 64, 256, 1024}

// verification measures us per event, id and signature, one row per way.
func (b *bench) verification() error {
	mixed, few, err := sets()
	if err != nil {
		return err
	}
	secp, err := buildSecp(b.dir)
	if err != nil {
		return err
	}
	took := map[string][2][]float64{}
	add := func(way string, set int, us float64) {
		t := took[way]
		t[set] = append(t[set], us)
		took[way] = t
	}
	for range repetitions {
		for set, all := range [][]nostr.Event{mixed, few} {
			us, err := byGoNostr(all)
			if err != nil {
				return err
			}
			add("go-nostr CheckSignature", set, us)
			for _, n := range batches {
				us, err := ours(all, n)
				if err != nil {
					return err
				}
				add(batchName(n), set, us)
			}
		}
		out, err := exec.Command(secp, "secp").Output()
		if err != nil {
			return fmt.Errorf("with libsecp256k1: %w", err)
		}
		for set, text := range strings.Fields(string(out)) {
			us, err := strconv.ParseFloat(text, 64)
			if err != nil {
				return err
			}
			add("go-nostr, libsecp256k1 by cgo", set, us)
		}
	}
	fmt.Println("| id and signature | 274 authors, µs | events/s/core | 16 authors, µs | events/s/core |\n|---|---|---|---|---|")
	ways := []string{"go-nostr CheckSignature", "go-nostr, libsecp256k1 by cgo"}
	for _, n := range batches {
		ways = append(ways, batchName(n))
	}
	for _, way := range ways {
		m, f := median(took[way][0]), median(took[way][1])
		fmt.Printf("| %s | %.1f | %.0f | %.1f | %.0f |\n", way, m, 1e6/m, f, 1e6/f)
	}
	ratio := func(set int) float64 {
		theirs, batch := took["go-nostr CheckSignature"][set], took[batchName(256)][set]
		all := make([]float64, len(theirs))
		for i := range theirs {
			all[i] = theirs[i] / batch[i]
		}
		return median(all)
	}
	b.least("verification beside go-nostr CheckSignature, 274 authors, batches of 256", ratio(0), 4)
	b.least("verification beside go-nostr CheckSignature, 16 authors, batches of 256", ratio(1), 7)
	return nil
}

func batchName(n int) string { return fmt.Sprintf("relaymesh, batches of %d", n) }

func ours(all []nostr.Event, n int) (us float64, err error) {
	pointers := make([]*nostr.Event, len(all))
	for i := range all {
		pointers[i] = &all[i]
	}
	return measure(len(all), func() error {
		for chunk := range slices.Chunk(pointers, n) {
			for _, e := range chunk {
				if err := e.Check(); err != nil {
					return err
				}
			}
			for _, err := range schnorr.VerifyAll(chunk) {
				if err != nil {
					return err
				}
			}
		}
		return nil
	})
}

func byGoNostr(all []nostr.Event) (us float64, err error) {
	theirs := make([]gonostr.Event, len(all))
	for i, e := range all {
		if err := theirs[i].UnmarshalJSON(nostr.Encode(e)); err != nil {
			return 0, err
		}
	}
	return measure(len(all), func() error {
		for i := range theirs {
			if ok, err := theirs[i].CheckSignature(); err != nil || !ok {
				return errors.Join(err, errors.New("a good signature was refused"))
			}
		}
		return nil
	})
}

// measure returns the CPU time of f per event, in microseconds.
func measure(n int, f func() error) (us float64, err error) {
	before := cpu()
	err = f()
	return float64(cpu()-before) / float64(n) / 1000, err
}

func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// buildSecp builds this program with the C library that go-nostr bundles.
func buildSecp(dir string) (string, error) {
	path := dir + "/secp"
	build := exec.Command("go", "build", "-tags", "libsecp256k1", "-o", path, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=1", "CGO_CFLAGS=-O3 -DUSE_ASM_X86_64=1")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build with libsecp256k1 (a C compiler is needed): %w\n%s", err, out)
	}
	return path, nil
}

// printSecp is what that build does: it prints its figures for both sets.
func printSecp() error {
	mixed, few, err := sets()
	if err != nil {
		return err
	}
	for _, all := range [][]nostr.Event{mixed, few} {
		us, err := byGoNostr(all)
		if err != nil {
			return err
		}
		fmt.Println(us)
	}
	return nil
}

func median(all []float64) float64 {
	all = slices.Sorted(slices.Values(all))
	return all[len(all)/2]
}
