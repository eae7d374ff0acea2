package config

import (
	"errors"
	"fmt"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// The values of [Syncing.Survey] besides "auto".
const (
	SurveyOn  = "on"
	SurveyOff = "off"
)

// Syncing is what syncworkers take over from the relays that our authors write
// to. Streams without URLs in the config file replace all of it but Live, Survey,
// SurveyMiB and Mentions.
type Syncing struct {
	Live      int      `env:"RELAYMESH_LIVE" default:"200" help:"How many relays a syncworker follows live at most, between syncs: those where most authors write. 0 is none."`
	Mentions  bool     `env:"RELAYMESH_MENTIONS" help:"Sync what mentions our authors, too, from the relays where they read. Ingest and syncworkers must be told."`
	Survey    string   `env:"RELAYMESH_SURVEY" enum:"auto,on,off" default:"auto" help:"Ask all relays that are known for what the local relay lacks of our authors, also where no list names them: on, off, or auto, which is on unless the local relay says that it is not public."`
	SurveyMiB int64    `name:"survey-mib" env:"RELAYMESH_SURVEY_MIB" default:"200" help:"About how many MiB a day that may take, both directions together; 0 is unbounded."`
	Seeds     []string `name:"survey-seeds" env:"RELAYMESH_SURVEY_SEEDS" placeholder:"URL" help:"Relays that the survey asks, and where it reads which others live (NIP-66), although nobody may have named them."`
	All       bool     `env:"RELAYMESH_ALL" help:"Mirror all that is on the relays that our authors write to, not only what is theirs."`
	Kinds     []int    `env:"RELAYMESH_KINDS" placeholder:"KIND" help:"Sync events of these kinds only."`
	Since     string   `env:"RELAYMESH_SINCE" placeholder:"TIME" help:"Sync events from then on only: a date, a time, Unix seconds, or how long ago, such as 720h."`
	Until     string   `env:"RELAYMESH_UNTIL" placeholder:"TIME" help:"Sync events up to then only; likewise."`
}

// validate says what is wrong.
func (s *Syncing) validate() error {
	var errs []error
	if s.Live < 0 || s.Live > contract.MaxLive {
		errs = append(errs, fmt.Errorf("--live: %d is not within 0 and %d", s.Live, contract.MaxLive))
	}
	if s.SurveyMiB < 0 || s.SurveyMiB > 1<<30 {
		errs = append(errs, fmt.Errorf("--survey-mib: %d is not within 0 and %d", s.SurveyMiB, 1<<30))
	}
	for name, text := range map[string]string{"--since": s.Since, "--until": s.Until} {
		if _, err := ParseWhen(text, time.Now()); text != "" && err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	if err := checkPeriod(s.Since, s.Until); err != nil {
		errs = append(errs, fmt.Errorf("--%w", err))
	}
	return errors.Join(append(errs, checkKinds("--kinds", s.Kinds))...)
}

// Stream is the stream of the flags.
func (s *Syncing) Stream() Stream {
	var filter nostr.Filter
	if len(s.Kinds) > 0 {
		filter.Kinds = s.Kinds
	}
	return Stream{Down: true, Filter: filter, Since: s.Since, Until: s.Until, Writers: !s.All}
}
