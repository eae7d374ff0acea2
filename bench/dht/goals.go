//go:build linux

package main

import (
	"fmt"
	"io"
	"math"
)

// Packets a second: what the client is limited to by default, and what one address should not exceed.
const (
	defaultRate = 250
	highestRate = 5000
)

const sixHoursInSeconds = 6 * 3600

// printNeeds prints what it takes to keep so many records alive, refreshed every six hours: computed from the figures per record.
func printNeeds(out io.Writer, all []figures, bytesInKV float64) {
	fmt.Fprintln(out, "\nRefreshed every 6 h, computed from the figures per record:")
	fmt.Fprintf(out,
		"\n| records | packets/s out + in | bandwidth | client CPU | replicas at %d packets/s | at %d | KV |\n|---|---|---|---|---|---|---|\n",
		defaultRate, highestRate)
	for _, f := range all {
		n := float64(f.count)
		sent, received := n*f.sixHourly.sent/sixHoursInSeconds, n*f.sixHourly.received/sixHoursInSeconds
		fmt.Fprintf(out, "| %s | %.1f + %.1f | %.2f Mbit/s | %.3f cores | %.0f | %.0f | %.2f GB |\n", short(f.count), sent, received,
			n*f.sixHourly.bytes*8/sixHoursInSeconds/1e6, n*f.sixHourly.cpu/sixHoursInSeconds/1e6, math.Ceil(sent/defaultRate),
			math.Ceil(sent/highestRate), n*bytesInKV/1e9)
	}
}

// printGoals prints what was wanted and what was measured at 100,000 records, the density in the middle.
func printGoals(out io.Writer, all []figures) {
	f, bans := all[len(all)/2], 0
	for _, g := range all {
		bans += g.bans
	}
	goal := func(what string, measured float64, least bool, bound float64) {
		sign, ok := "<=", measured <= bound
		if least {
			sign, ok = ">=", measured >= bound
		}
		verdict := "ok"
		if !ok {
			verdict = "short"
		}
		fmt.Fprintf(out, "goal %s: %.2f (want %s %g) %s\n", what, measured, sign, bound, verdict)
	}
	fmt.Fprintf(out, "\nAt %s records, a refresh every 6 hours beside getput every hour:\n", short(f.count))
	goal("times fewer packets", 6*f.getput.datagrams()/f.sixHourly.datagrams(), true, 24)
	goal("times less CPU", 6*f.getput.cpu/f.sixHourly.cpu, true, 120)
	goal("true holders of 8 after a strict pass", f.strict.holders, true, 7.5)
	goal("true holders of 8 after a refresh", f.sixHourly.holders, true, 7.5)
	goal("bans, at any density", float64(bans), false, 0)
	if scattered, contiguous := f.sixHourly.datagrams(), all[len(all)-1]; contiguous.count > f.count {
		goal(fmt.Sprintf("packets of a refresh at %s records, neighbours after each other, beside the scattered ones", short(contiguous.count)),
			contiguous.sixHourly.datagrams()/scattered, false, 0.75)
	}
	goal("% of records that a resolve finds with at most 20 queries", 100*float64(f.inTwenty)/float64(f.resolved), true, 99)
	goal("queries of a resolve, mean", f.resolve.gets, false, 20)
	fmt.Fprintf(out,
		"(Of nodes, %.0f %% are taken to leave in 6 hours, as on Mainline. "+
			"If 11 %% left in each hour: %.1f times fewer packets, %.0f times less CPU.)\n",
		100*sixHours, 6*f.getput.datagrams()/f.steadyLoss.datagrams(), 6*f.getput.cpu/f.steadyLoss.cpu)
}
