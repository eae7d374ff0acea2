package config

import (
	"fmt"

	"github.com/relaymesh/relaymesh/pkg/events"
)

// Syncing is what syncworkers take over from other relays.
type Syncing struct {
	Live int `env:"RELAYMESH_LIVE" default:"200" help:"How many relays a syncworker follows live at most, between syncs: those where most authors write. 0 is none."`
}

// validate says what is wrong.
func (s *Syncing) validate() error {
	if s.Live < 0 || s.Live > events.MaxLive {
		return fmt.Errorf("--live: %d is not within 0 and %d", s.Live, events.MaxLive)
	}
	return nil
}
