package config

import (
	"errors"
	"fmt"
	"slices"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// Index is how list indexes are found, of which an author's relay list is asked that nothing else leads to.
type Index struct {
	Known     []string `env:"RELAYMESH_INDEX_KNOWN" placeholder:"URL" help:"List indexes to ask, besides those that are found on the DHT."`
	KnownFile string   `name:"file" env:"RELAYMESH_INDEX_FILE" placeholder:"FILE" help:"Where it is kept which list indexes are known, and how they stand."`
}

// Check normalises the URLs, and says which cannot be used.
func (i *Index) Check() error { return normalize("--index-known", i.Known, true) }

// ServeIndex is how a list index is served.
type ServeIndex struct {
	URL      string   `env:"RELAYMESH_INDEX_URL" placeholder:"URL" help:"The URL by which clients reach the index, if it is not the address that it listens on."`
	Announce bool     `env:"RELAYMESH_INDEX_ANNOUNCE" help:"Announce the index on the DHT, so that anybody finds it: its port must be open to everybody, at the address that UDP packets leave from."`
	Kinds    []int    `env:"RELAYMESH_INDEX_KINDS" default:"0,10002,10050" placeholder:"KIND" help:"Replaceable kinds that the index keeps; 10002 must be one."`
	From     []string `env:"RELAYMESH_INDEX_FROM" placeholder:"URL" help:"Relays from which the index takes over what they have of these kinds."`
	MaxMiB   int      `name:"max-mib" env:"RELAYMESH_INDEX_MAX_MIB" default:"4096" placeholder:"MIB" help:"What the index keeps at most, in MiB; 0 is no bound. Nobody may bring more than half of it in a month; full, new authors of who has brought most give way."`
	KeyFile  string   `env:"RELAYMESH_INDEX_KEY_FILE" placeholder:"FILE" help:"File with the secret key (hex or nsec) by which the index signs for itself; it is made if it is missing."`
}

// Check normalises the URLs, and says which flag is wrong; prefix is of the flags.
func (s *ServeIndex) Check(prefix string, allowPrivate bool) error {
	var errs []error
	if s.URL != "" {
		url, err := RelayURL(s.URL, allowPrivate)
		if err != nil {
			errs = append(errs, fmt.Errorf("%surl: %w", prefix, err))
		}
		s.URL = url
	}
	errs = append(errs, normalize(prefix+"from", s.From, true))
	if s.MaxMiB < 0 {
		errs = append(errs, fmt.Errorf("%smax-mib: %d is negative", prefix, s.MaxMiB))
	}
	if !slices.Contains(s.Kinds, nostr.KindRelayList) {
		errs = append(errs, fmt.Errorf("%skinds: %d is missing", prefix, nostr.KindRelayList))
	}
	for _, kind := range s.Kinds {
		if !nostr.Replaceable(kind) {
			errs = append(errs, fmt.Errorf("%skinds: %d is not replaceable: of other kinds an author may have any number", prefix, kind))
		}
	}
	return errors.Join(errs...)
}
