package console

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// chart is a picture of figures over time, drawn on the server: lines, and columns that
// tell their values when pointed at. A column is one wide, and the chart 100 high.
type chart struct {
	Says    string // for those who do not see it
	Width   int    // columns
	Lines   []line
	Columns []column
	Ticks   []string // times, spread evenly from the left edge to the right
	Legend  []legend
}

type line struct{ Class, Path string }

// column tells what its time was like; Class is "wrong", "gap" where nothing is known, or "".
type column struct {
	X            int
	Class, Tells string
}

type legend struct{ Class, Name, Top string }

// series are the values of a line, one a column; NaN is a gap. Top is what the upper edge
// stands for, 0 the largest value.
type series struct {
	class, name string
	values      []float64
	top         float64
}

// span is a length of time in columns.
type span struct {
	Name    string
	step    time.Duration
	columns int
}

// begin is where a span begins whose last column has now in it; columns begin with the clock.
func (s span) begin(now time.Time) time.Time {
	return now.Truncate(s.step).Add(-time.Duration(s.columns-1) * s.step)
}

// ticks are the times at the edges and between them.
func (s span) ticks(begin time.Time) []string {
	const between = 4
	layout, whole := "15:04", time.Duration(s.columns)*s.step
	if whole > 48*time.Hour {
		layout = "2 Jan"
	}
	var out []string
	for i := range between + 1 {
		out = append(out, begin.Add(time.Duration(i)*whole/between).UTC().Format(layout))
	}
	out[between] += " UTC"
	return out
}

// draw makes a chart of lines over columns.
func (s span) draw(says string, begin time.Time, columns []column, all ...series) chart {
	c := chart{Says: says, Width: s.columns, Columns: columns, Ticks: s.ticks(begin)}
	for _, one := range all {
		top := one.top
		for _, v := range one.values {
			if one.top == 0 && v > top { // NaN is not
				top = v
			}
		}
		c.Lines = append(c.Lines, line{one.class, curve(one.values, max(top, 1))})
		c.Legend = append(c.Legend, legend{one.class, one.name, rateText(&top)})
	}
	return c
}

// curve draws values through the middles of their columns, with gaps where they have gaps.
func curve(values []float64, top float64) string {
	var b strings.Builder
	down := false
	for i, v := range values {
		if math.IsNaN(v) {
			down = false
			continue
		}
		verb := "L"
		if !down {
			verb = "M"
		}
		b.WriteString(verb + strconv.Itoa(i) + ".5 " + strconv.Itoa(98-int(96*min(max(v, 0), top)/top)))
		if alone := !down && (i+1 == len(values) || math.IsNaN(values[i+1])); alone {
			b.WriteString("h.01") // a dot
		}
		down = true
	}
	return b.String()
}
