package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// Stream is one section below streams in the config file: what is synced with
// some relays, after the configuration of strfry's router.
//
//	streams:
//	  friends:
//	    dir: both
//	    urls: [wss://a.example.com, wss://b.example.com]
//	    filter: {"kinds": [0, 1, 3, 10002]}
//	    since: 720h
type Stream struct {
	Name string
	// Down and Up say which way events go: down to the local relay (the
	// default), up from it, or both.
	Down, Up bool
	// URLs are the relays that it is about, normalised; none is every relay that
	// our authors write to and no other stream names.
	URLs []string
	// Mirror says that these relays are kept equal by the filter, the local one only if
	// it is one of them; Down, Up and Writers count for nothing.
	Mirror bool
	// Filter is what is synced; its Limit, Since and Until are 0.
	Filter nostr.Filter
	// Since and Until bound it in time; see [ParseWhen]. Empty is no bound.
	Since, Until string
	// Writers narrows it to the authors who write to the relay in question. It is
	// the default of a stream without URLs.
	Writers bool
}

// Streams reads the streams of a config file. An error says which key is wrong
// and what to do.
func Streams(data []byte, allowPrivate bool) ([]Stream, error) {
	values, err := decode(data)
	if err != nil {
		return nil, err
	}
	return parseStreams(values[streamsKey], allowPrivate)
}

// readStreams reads the streams of the config file at a path, and the file; an
// empty path has none.
func readStreams(path string, allowPrivate bool) (list []Stream, data []byte, err error) {
	if path == "" {
		return nil, nil, nil
	}
	if data, err = os.ReadFile(path); err != nil {
		return nil, nil, fmt.Errorf("config file: %w", err)
	}
	list, err = Streams(data, allowPrivate)
	return list, data, err
}

// streamsKey is the key of the config file that is no flag.
const streamsKey = "streams"

func parseStreams(value any, allowPrivate bool) ([]Stream, error) {
	if value == nil {
		return nil, nil
	}
	sections, ok := value.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("config file: %s: want a section for each stream, such as friends: {urls: [wss://…]}", streamsKey)
	}
	var list []Stream
	for _, name := range slices.Sorted(maps.Keys(sections)) {
		s, err := parseStream(name, sections[name], allowPrivate)
		if err != nil {
			return nil, fmt.Errorf("config file: %s: %s: %w", streamsKey, name, err)
		}
		list = append(list, s)
	}
	return list, nil
}

var streamKeys = []string{"dir", "filter", "mirror", "since", "until", "urls", "writers"}

func parseStream(name string, value any, allowPrivate bool) (s Stream, err error) {
	section, ok := value.(map[string]any)
	if !ok {
		return s, fmt.Errorf("want a section with some of the keys %s", strings.Join(streamKeys, ", "))
	}
	s = Stream{Name: name, Down: true}
	_, named := section["urls"]
	_, s.Mirror = section["mirror"]
	s.Writers = !named && !s.Mirror
	for _, key := range slices.Sorted(maps.Keys(section)) {
		if s.Mirror && slices.Contains([]string{"dir", "urls", "writers"}, key) {
			return s, fmt.Errorf("%s: has no meaning beside mirror, whose relays are made equal", key)
		}
		switch value := section[key]; key {
		case "mirror":
			s.URLs, err = parseMirror(value, allowPrivate)
		case "dir":
			err = s.direct(value)
		case "urls":
			s.URLs, err = parseURLs(value, allowPrivate)
		case "filter":
			s.Filter, err = parseFilter(value)
		case "since":
			s.Since, err = parseTime(value)
		case "until":
			s.Until, err = parseTime(value)
		case "writers":
			if s.Writers, ok = value.(bool); !ok {
				err = fmt.Errorf("%v is neither true nor false", value)
			}
		default:
			return s, fmt.Errorf("unknown key %q; did you mean %q?", key, nearest(key, streamKeys))
		}
		if err != nil {
			return s, fmt.Errorf("%s: %w", key, err)
		}
	}
	return s, s.bound()
}

// bound takes the bounds in time out of the filter, and checks that they leave
// something.
func (s *Stream) bound() error {
	for key, of := range map[string]struct {
		filter *int64
		own    *string
	}{"since": {&s.Filter.Since, &s.Since}, "until": {&s.Filter.Until, &s.Until}} {
		if *of.filter == 0 {
			continue
		}
		if *of.own != "" {
			return fmt.Errorf("%s: stands in the filter, too: which is meant?", key)
		}
		*of.own, *of.filter = strconv.FormatInt(max(*of.filter, 0), 10), 0
	}
	return checkPeriod(s.Since, s.Until)
}

func (s *Stream) direct(value any) error {
	switch value {
	case "down":
		s.Down, s.Up = true, false
	case "up":
		s.Down, s.Up = false, true
	case "both":
		s.Down, s.Up = true, true
	default:
		return fmt.Errorf("%v is none of down, up and both", value)
	}
	return nil
}

func parseURLs(value any, allowPrivate bool) (urls []string, err error) {
	list, ok := value.([]any)
	if !ok || len(list) == 0 {
		return nil, errors.New("want a list of relays, such as [wss://relay.example.com]")
	}
	for _, v := range list {
		url, err := RelayURL(fmt.Sprint(v), allowPrivate)
		if err != nil {
			return nil, err
		}
		urls = append(urls, url)
	}
	return urls, nil
}

// parseMirror reads the relays of a group, each once.
func parseMirror(value any, allowPrivate bool) (group []string, err error) {
	urls, err := parseURLs(value, allowPrivate)
	for _, url := range urls {
		if !nostr.HasRelay(group, url) {
			group = append(group, url)
		}
	}
	if err == nil && len(group) < 2 {
		err = errors.New("want two relays or more, which are kept equal")
	}
	return group, err
}

func parseFilter(value any) (f nostr.Filter, err error) {
	text, ok := value.(string) // JSON in quotes
	if !ok {
		data, err := json.Marshal(value)
		if err != nil {
			return f, fmt.Errorf("want a filter, such as {kinds: [1]}: %w", err)
		}
		text = string(data)
	}
	if f, err = schnorr.ReadFilter(text); err == nil && f.Limit != 0 {
		err = errors.New("a limit has no meaning in a sync")
	}
	return f, err
}

func parseTime(value any) (string, error) {
	text := fmt.Sprint(value)
	_, err := ParseWhen(text, time.Now())
	return text, err
}

// nearest returns the word that is spelled most like another.
func nearest(word string, known []string) string {
	return slices.MinFunc(known, func(a, b string) int { return distance(word, a) - distance(word, b) })
}
