package console

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
)

// Process is a process in the list.
type Process struct {
	Worker

	Runs []string `json:"runs"` // stages, and what runs beside them
}

// Up is for how many seconds it has run.
func (p Process) Up() float64 { return max(1, time.Since(time.Unix(p.Started, 0)).Seconds()) }

// Wrong are the conditions that do not hold.
func (p Process) Wrong() (wrong []contract.Condition) {
	for _, c := range p.Conditions {
		if c.Wrong != "" {
			wrong = append(wrong, c)
		}
	}
	return wrong
}

// Does says what it does beside its stages.
func (p Process) Does() (does []string) {
	for _, c := range p.Conditions {
		if url, is := strings.CutPrefix(c.Name, contract.ConditionTail); is {
			does = append(does, "reads "+url)
		}
	}
	if g := p.Gateway; g != nil {
		does = append(does, fmt.Sprintf("gateway before %s: %d connections, %d messages, %d REQs watched, %d events completed, "+
			"%d waited in vain; an EOSE waits %d ms",
			g.Relay, g.Connections, g.Messages, g.Watched, g.Completed, g.Vain, g.Wait()))
	}
	if i := p.Index; i != nil {
		does = append(does, fmt.Sprintf("list index at %s: %d events in %d MiB, %d of them from other indexes, named by %d DHT nodes",
			i.URL, i.Events, i.Bytes>>20, i.Pulled, i.Announced))
	}
	if n := len(p.Syncs); n > 0 {
		does = append(does, fmt.Sprintf("%d syncs", n))
	}
	if n := len(p.Passes); n > 0 {
		does = append(does, fmt.Sprintf("%d passes of the survey", n))
	}
	return does
}

// partOrder are the stages and what runs beside them, in flow order.
func partOrder() []string { return append(contract.Stages(), partTail, partGateway, partIndex) }

type processesView struct {
	Processes []Process `json:"processes"`
	// Runs is what the list is filtered by, "" for nothing; Parts are counted over all.
	Runs  string   `json:"runs,omitempty"`
	Parts []Choice `json:"parts"`
}

func (c *Console) processes(r *http.Request) (any, error) {
	only, err := chosen(r, "runs", partOrder())
	if err != nil {
		return nil, err
	}
	p, err := c.feed.now(r.Context())
	if err != nil {
		return nil, err
	}
	v, counts := processesView{Processes: []Process{}, Runs: only}, map[string]int{}
	for _, w := range p.All() {
		one := Process{w, w.runs()}
		for _, part := range one.Runs {
			counts[part]++
		}
		if only == "" || slices.Contains(one.Runs, only) {
			v.Processes = append(v.Processes, one)
		}
	}
	v.Parts = choices(partOrder(), counts)
	slices.SortFunc(v.Processes, func(a, b Process) int {
		return cmp.Or(cmp.Compare(len(b.Wrong()), len(a.Wrong())), cmp.Compare(a.Host, b.Host), slices.Compare(a.Runs, b.Runs),
			cmp.Compare(a.Started, b.Started))
	})
	return v, nil
}
