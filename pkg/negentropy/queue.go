package negentropy

import (
	"cmp"
	"slices"
)

// run is a chain of adjacent questions of one depth, encoded as in a message: a
// tenth of what they would take as values. The first timestamp is relative to lower.
type run struct {
	lower bound
	depth int
	data  []byte
}

// size is the memory that a run takes, in bytes.
func (r *run) size() int { return 96 + len(r.data) }

// reader reads the questions of the run.
func (r *run) reader() reader { return reader{buf: r.data, last: r.lower} }

// chain collects questions in the order of their ranges, as runs.
type chain struct {
	runs    []run
	upper   bound // of the last question
	deepest int
	w       writer
}

func (c *chain) add(q question) {
	last := len(c.runs) - 1
	if last < 0 || c.runs[last].depth != q.depth || c.upper != q.lower {
		c.runs = append(c.runs, run{lower: q.lower, depth: q.depth})
		c.w = writer{last: q.lower.Timestamp}
		last++
	}
	c.w.statement(&q.statement)
	c.runs[last].data = c.w.buf
	c.upper = q.upper
	c.deepest = max(c.deepest, q.depth)
}

// cursor walks through the questions of runs.
type cursor struct {
	runs []run
	in   reader
	q    question // the one it stands on
	ok   bool     // there is one
}

func walk(runs []run) cursor {
	c := cursor{runs: runs}
	c.next()
	return c
}

func (c *cursor) next() {
	for !c.in.more() {
		if c.ok = len(c.runs) > 0; !c.ok {
			return
		}
		c.in, c.q.depth = c.runs[0].reader(), c.runs[0].depth
		c.runs = c.runs[1:]
	}
	// What a chain has encoded decodes.
	said, err := c.in.statement()
	c.q, c.ok = question{statement: said, depth: c.q.depth}, err == nil
}

// What a queue has space for from the start: the answers to two messages, in as
// many pieces as they come in. It is what a bridge of large sets uses, so that a
// bridge takes the same memory whatever it reconciles.
const (
	queueBytes = 128 << 10
	queueRuns  = 384
)

// queue holds the questions for a peer. The deepest come first: what is nearly
// settled is settled before anything new is opened, so that the queue stays short
// however much differs. Among those of the same depth, the lowest come first.
type queue struct {
	runs []run  // the next one last
	size int    // bytes
	buf  []byte // the runs' data, and what has been taken since the last compaction
}

func newQueue() queue {
	return queue{runs: make([]run, 0, queueRuns), buf: make([]byte, 0, queueBytes)}
}

func (q *queue) add(runs []run) {
	for _, r := range runs {
		if len(q.buf)+len(r.data) > cap(q.buf) {
			q.compact(len(r.data))
		}
		r.data = q.keep(r.data)
		q.runs = append(q.runs, r)
		q.size += r.size()
	}
	slices.SortFunc(q.runs, func(a, b run) int {
		if a.depth != b.depth {
			return cmp.Compare(a.depth, b.depth)
		}
		return b.lower.Compare(a.lower.Item)
	})
}

// keep copies data to the end of buf.
func (q *queue) keep(data []byte) []byte {
	start := len(q.buf)
	q.buf = append(q.buf, data...)
	return q.buf[start:]
}

// compact drops what has been taken from buf, and makes space for n bytes.
func (q *queue) compact(n int) {
	for i := range q.runs {
		n += len(q.runs[i].data)
	}
	space := queueBytes
	if n > space*7/8 {
		space = 2 * n // with so little to spare, the next few bytes would compact again
	}
	q.buf = make([]byte, 0, space)
	for i := range q.runs {
		q.runs[i].data = q.keep(q.runs[i].data)
	}
}

func (q *queue) empty() bool { return len(q.runs) == 0 }

func (q *queue) next() *run { return &q.runs[len(q.runs)-1] }

// take removes the next run up to where rest stands in it, and returns that part,
// which is valid until the queue is added to.
func (q *queue) take(rest reader) run {
	r := q.next()
	head := *r
	q.size -= head.size()
	if rest.more() {
		head.data = head.data[:len(head.data)-len(rest.buf)]
		r.lower, r.data = rest.last, rest.buf
		q.size += r.size()
	} else {
		*r = run{} // lets go of a buffer that is to be replaced
		q.runs = q.runs[:len(q.runs)-1]
	}
	return head
}
