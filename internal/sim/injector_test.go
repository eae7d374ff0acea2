package sim_test

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/relaymesh/relaymesh/internal/reconcile"
)

// fault is what goes wrong at one point of a run.
type fault string

const (
	none        fault = ""
	fails       fault = "fails"              // it does not happen, and says so
	happens     fault = "happens, but fails" // it happens, and says that it does not
	late        fault = "late"               // it happens some seconds later
	twice       fault = "twice"              // it happens two times
	lost        fault = "lost"               // it does not happen, and nobody is told
	swapped     fault = "swapped"            // the next one comes before it
	cut         fault = "cut"                // it ends in the middle
	stalls      fault = "stalls"             // there is no answer for half a minute
	lies        fault = "lies"               // the answer is not true
	stale       fault = "stale"              // what is read was true some seconds ago
	crashBefore fault = "crash before it"    // of the process that does it
	crashAfter  fault = "crash right after it"
)

// faultInjector is all that goes wrong in one run. Whether something goes wrong at a
// point is drawn by the seed, the name of the point and how often that point
// was passed before: what happens elsewhere, or in which order goroutines run,
// changes no draw.
type faultInjector struct {
	seed  uint64
	rates map[fault]float64

	mu    sync.Mutex
	until time.Time
	drawn map[string]uint64
	trace []string
	count map[fault]int
}

func newFaultInjector(seed uint64) *faultInjector {
	w := &faultInjector{seed: seed, rates: map[fault]float64{}, drawn: map[string]uint64{}, count: map[fault]int{}}
	rng := rand.New(rand.NewPCG(seed, 1))
	often := []float64{0, 0, 0.01, 0.05, 0.15}
	for _, f := range []fault{fails, happens, late, twice, lost, swapped, cut, stalls, lies} {
		w.rates[f] = often[rng.IntN(len(often))]
	}
	w.rates[late] = []float64{0, 0.05, 0.15, 0.3}[rng.IntN(4)] // what makes others come in between
	rarely := []float64{0, 0.002, 0.01}
	w.rates[crashBefore], w.rates[crashAfter] = rarely[rng.IntN(3)], rarely[rng.IntN(3)]
	w.rates[stale] = []float64{0, 0, 0.1, 0.3}[rng.IntN(4)]
	return w
}

// endAt makes the faults end at a time.
func (w *faultInjector) endAt(at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.until = at
}

// pick draws what goes wrong at a point, of the faults that are possible there.
func (w *faultInjector) pick(point string, possible ...fault) fault {
	w.mu.Lock()
	defer w.mu.Unlock()
	u := w.draw(point)
	if !time.Now().Before(w.until) {
		return none
	}
	for _, f := range possible {
		if u < w.rates[f] {
			w.count[f]++
			w.note(point, string(f))
			return f
		}
		u -= w.rates[f]
	}
	return none
}

// span draws a time from 10 ms up to most.
func (w *faultInjector) span(point string, most time.Duration) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return 10*time.Millisecond + time.Duration(w.draw(point+" span")*float64(most))
}

// draw returns the next number of a point, from 0 to 1; mu is held.
func (w *faultInjector) draw(point string) float64 {
	n := w.drawn[point]
	w.drawn[point]++
	h := fnv.New64a()
	fmt.Fprintf(h, "%d\x00%s\x00%d", w.seed, point, n)
	// FNV's high bits depend too little on the last bytes.
	x := h.Sum64()
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return float64((x^x>>31)>>11) / (1 << 53)
}

// did adds an effect to the trace.
func (w *faultInjector) did(point, what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.note(point, what)
}

func (w *faultInjector) note(point, what string) {
	w.trace = append(w.trace, fmt.Sprintf("%s %s\t%s", time.Now().UTC().Format("15:04:05.000"), point, what))
}

// report is the trace: in order of time, and its hash by point, in which the
// order of different points and the times do not count.
func (w *faultInjector) report() (text string, hash uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	byPoint := map[string][]string{}
	for _, line := range w.trace {
		at, what, _ := strings.Cut(line[13:], "\t")
		byPoint[at] = append(byPoint[at], what)
	}
	h := fnv.New64a()
	for _, point := range slices.Sorted(maps.Keys(byPoint)) {
		fmt.Fprintln(h, point, byPoint[point])
	}
	return strings.Join(w.trace, "\n"), h.Sum64()
}

var (
	errInjected = errors.New("injected fault")
	errDead     = errors.New("the process is dead")
	errCut      = fmt.Errorf("%w: the connection was cut", reconcile.ErrInterrupted)
)

// incarnation is one process from its start to its end. When it is dead nothing that
// its goroutines still do has any effect.
type incarnation struct {
	*faultInjector
	name string
	ctx  context.Context // ends with the process
	kill context.CancelFunc
}

func (l *incarnation) dead() bool { return l.ctx.Err() != nil }

// effect does something with an effect on the world, or lets it go wrong. It
// may be done twice.
func (l *incarnation) effect(point string, do func() error, more ...fault) error {
	if l.dead() {
		return errDead
	}
	f := l.pick(point, append(more, fails, happens, late, twice, crashBefore, crashAfter)...)
	switch f {
	case fails:
		return errInjected
	case lost:
		return nil
	case crashBefore:
		l.kill()
		return errDead
	case late:
		if err := l.sleep(l.span(point, 8*time.Second)); err != nil {
			return err
		}
	}
	err := do()
	if f == twice && err == nil {
		err = do()
	}
	l.did(point, fmt.Sprint("done ", err == nil))
	switch {
	case f == crashAfter:
		l.kill()
		return errDead
	case f == happens && err == nil:
		return errInjected
	}
	return err
}

// asks asks somebody something, or lets it go wrong.
func (l *incarnation) asks(point string, do func() error) error {
	if l.dead() {
		return errDead
	}
	switch l.pick(point, fails, late, crashBefore) {
	case fails:
		return errInjected
	case crashBefore:
		l.kill()
		return errDead
	case late:
		if err := l.sleep(l.span(point, 8*time.Second)); err != nil {
			return err
		}
	}
	return do()
}

func (l *incarnation) sleep(d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-l.ctx.Done():
		return errDead
	}
}

// clockError is how wrong a clock may be.
const clockError = 4 * time.Minute

// now is the process's clock, which may be wrong by some minutes while the
// faultInjector is bad.
func (l *incarnation) now() time.Time {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !now.Before(l.until) || l.rates[swapped] < 0.05 {
		return now
	}
	h := fnv.New64a()
	fmt.Fprint(h, l.seed, l.name, now.Unix()/150)
	switch x := h.Sum64(); x % 3 {
	case 0:
		return now.Add(time.Duration(x>>8) % clockError)
	case 1:
		return now.Add(-time.Duration(x>>8) % clockError)
	}
	return now
}
