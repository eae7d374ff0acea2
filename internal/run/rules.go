package run

import (
	"time"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/internal/stage/syncing"
)

// rules fits the streams of the config file, and what the flags say, to the
// syncing stage.
type rules struct {
	*config.StreamsFile

	flags config.Syncing
}

// of returns the rules for a relay.
func (r rules) of(url string) []syncing.Rule {
	return syncing.RulesFor(url, r.streams(), r.stream(r.flags.Stream()), time.Now())
}

// named are the relays that streams name, and a cause that changes with the file.
func (r rules) named() (urls []string, cause string) {
	return syncing.NamedBy(r.streams()), "config:" + r.Version()
}

func (r rules) streams() (list []syncing.Stream) {
	for _, s := range r.Streams() {
		list = append(list, r.stream(s))
	}
	return list
}

func (r rules) stream(s config.Stream) syncing.Stream {
	out := syncing.Stream{
		URLs: s.URLs, Mirror: s.Mirror, Rule: syncing.Rule{Filter: s.Filter, Writers: s.Writers, Mentions: r.flags.Mentions},
		Since: bound(s.Since), Until: bound(s.Until),
	}
	if s.Until != "" && out.Until == (syncing.Bound{}) {
		out.Until.At = -1 // the first second of time, see nostr.Filter
	}
	if s.Down {
		out.Direction |= reconcile.Down
	}
	if s.Up {
		out.Direction |= reconcile.Up
	}
	return out
}

// bound reads a time that the configuration has checked; none is the zero value.
func bound(text string) syncing.Bound {
	if ago, err := time.ParseDuration(text); err == nil {
		return syncing.Bound{Ago: ago}
	}
	at, _ := config.ParseWhen(text, time.Time{})
	return syncing.Bound{At: at}
}
