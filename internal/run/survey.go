package run

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/edge/relay"
)

// surveys returns whether there is to be a survey, nil if there is none. One tells other
// relays whom the local relay keeps: by itself there is one for public relays only,
// and while its document cannot be read there is none.
func (e *Env) surveys() func(context.Context) bool {
	switch e.Config.Sync.Survey {
	case config.SurveyOff:
		return nil
	case config.SurveyOn:
		return func(context.Context) bool { return true }
	}
	return func(ctx context.Context) bool {
		info, err := e.relays.home.FetchInfo(ctx, e.Config.Relay)
		return err == nil && !info.Limitation.AuthRequired && !info.Limitation.RestrictedWrites && !info.Limitation.PaymentRequired
	}
}

// named returns what asks domains for relays of authors (NIP-05), nil where no other relays are to
// be talked to than those of --only.
func (e *Env) named() func(ctx context.Context, name, pubkey string) ([]string, error) {
	if len(e.Config.Only) > 0 {
		return nil
	}
	return func(ctx context.Context, name, pubkey string) ([]string, error) {
		return relay.FetchNIP05(ctx, name, pubkey, e.relays.options)
	}
}

// observeSurvey returns what counts the looks of surveys.
func (e *Env) observeSurvey() func(n int, bytes int64, err error) {
	metrics := promauto.With(e.Metrics)
	looks := metrics.NewCounterVec(prometheus.CounterOpts{
		Name: "relaymesh_survey_looks_total", Help: "Sessions of the survey with relays, by outcome.",
	}, []string{"outcome"})
	found := metrics.NewCounter(prometheus.CounterOpts{
		Name: "relaymesh_survey_events_total", Help: "Events that came by the survey, which the local relay lacked.",
	})
	took := metrics.NewCounter(prometheus.CounterOpts{
		Name: "relaymesh_survey_bytes_total", Help: "What the survey has cost, about: filters, messages and events.",
	})
	return func(n int, bytes int64, err error) {
		outcome := "ok"
		if err != nil {
			outcome = "failed"
		}
		looks.WithLabelValues(outcome).Inc()
		found.Add(float64(n))
		took.Add(float64(bytes))
	}
}
