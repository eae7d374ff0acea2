package main

import (
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"testing"

	gonostr "github.com/nbd-wtf/go-nostr"

	"github.com/relaymesh/relaymesh/internal/run"
	"github.com/relaymesh/relaymesh/internal/testkit/hometest"
	"github.com/relaymesh/relaymesh/internal/testkit/khatrutest"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// group starts relays with some events in common and some of their own, and returns
// their URLs and all events.
func group(t *testing.T, relays int) (urls []string, all []nostr.Event) {
	t.Helper()
	common := hometest.Notes(20)
	all = slices.Clone(common)
	for range relays {
		own := hometest.Notes(10)
		all = append(all, own...)
		urls = append(urls, hometest.Start(t, slices.Concat(common, own)...))
	}
	return urls, all
}

func TestSyncOfAGroup(t *testing.T) {
	t.Parallel()
	urls, all := group(t, 5)
	code, stdout, stderr := relaymesh(t, append([]string{"sync"}, urls...)...)
	if code != run.ExitOK {
		t.Errorf("exit code %d, %s%s", code, stdout, stderr)
	}
	for _, url := range urls {
		if got := hometest.IDsAt(t, url); !slices.Equal(got, hometest.IDsOf(all...)) {
			t.Errorf("%s has %d events, want %d", url, len(got), len(all))
		}
		want := fmt.Sprintf("%s: 40 written to it, 10 read from it; complete and proved with %s\n", url, urls[0])
		if (url != urls[0]) != strings.Contains(stdout, want) {
			t.Errorf("%q is not in %s", want, stdout)
		}
	}
	if !strings.Contains(stdout, "5 relays: written 200; ") || !strings.HasSuffix(stdout, "complete and proved\n") {
		t.Error(stdout)
	}
	code, stdout, _ = relaymesh(t, append([]string{"sync", "--json"}, urls...)...)
	lines := slices.DeleteFunc(strings.Split(strings.TrimSpace(stdout), "\n"), func(line string) bool {
		return strings.Contains(line, `"progress"`) // of a run that takes a second
	})
	one, sum := decode[report](t, lines[0]), decode[report](t, lines[len(lines)-1])
	if code != run.ExitOK || one.Type != "relay" || one.Relay == "" || one.Middle != urls[0] || !*one.Complete || one.ToB != 0 ||
		len(lines) != 5 || sum.Type != "summary" || !*sum.Complete {
		t.Errorf("exit code %d, %s", code, stdout)
	}
	code, stdout, _ = relaymesh(t, "sync", hometest.Start(t), urls[1], urls[2], "--dir", "none")
	if code != run.ExitOK || strings.Count(stdout, "0 written to it, 0 read from it; complete") != 2 {
		t.Errorf("exit code %d, %s", code, stdout)
	}
}

// Whoever is away is left out, the one in the middle, too: the next takes its place.
func TestSyncOfAGroupWithoutSome(t *testing.T) {
	t.Parallel()
	urls, _ := group(t, 4)
	for name, list := range map[string][]string{
		"the first": {"ws://127.0.0.1:1", urls[1], urls[2], urls[3]},
		"the last":  {urls[1], urls[2], urls[3], "ws://127.0.0.1:1"},
	} {
		code, stdout, _ := relaymesh(t, append([]string{"sync"}, list...)...)
		if code != run.ExitPartly || strings.Count(stdout, "complete and proved with "+urls[1]) != 2 ||
			strings.Count(stdout, "ws://127.0.0.1:1: no connection") != 2 || !strings.Contains(stdout, "4 relays: ") {
			t.Errorf("%s: exit code %d, %s", name, code, stdout)
		}
	}
	for _, url := range urls[1:] {
		if got := hometest.IDsAt(t, url); len(got) != 20+30 {
			t.Errorf("%s has %d events, want 50", url, len(got))
		}
	}
	code, stdout, stderr := relaymesh(t, "sync", "ws://127.0.0.1:1", urls[0], "ws://127.0.0.1:2")
	if code != run.ExitFailed || !strings.Contains(stderr, "ws://127.0.0.1:2: no connection") {
		t.Errorf("exit code %d, %s%s", code, stdout, stderr)
	}
}

func TestSyncOfAGroupUsage(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		"- is one of two sides":         {"ws://a.example", "ws://b.example", "-"},
		"ws://a.example is given twice": {"ws://a.example", "ws://b.example", "ws://A.example/"},
		"--dir up: more than two":       {"ws://a.example", "ws://b.example", "ws://c.example", "--dir", "up"},
		"scheme must be ws":             {"ws://a.example", "ws://b.example", "http://c.example"},
	} {
		if code, _, stderr := relaymesh(t, append([]string{"sync"}, args...)...); code != run.ExitUsage || !strings.Contains(stderr, want) {
			t.Errorf("%q: exit code %d, %s", args, code, stderr)
		}
	}
}

// A relay that keeps nothing of what it says OK to keeps nothing from the others, either,
// wherever it stands.
func TestSyncOfAGroupWithOneThatKeepsNothing(t *testing.T) {
	t.Parallel()
	for _, at := range []int{0, 1, 2} {
		t.Run(strconv.Itoa(at), func(t *testing.T) {
			t.Parallel()
			urls, all := group(t, 2)
			remote, err := khatrutest.Start(t.Context(), slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { remote.Close() })
			own := hometest.Notes(10)
			hometest.Publish(t, remote.URL(), own...)
			remote.SetLies(khatrutest.Lies{Drops: func(*gonostr.Event) bool { return true }})
			code, stdout, _ := relaymesh(t, append([]string{"sync"}, slices.Insert(slices.Clone(urls), at, remote.URL())...)...)
			if code != run.ExitPartly || !strings.Contains(stdout, "is not written to any more") {
				t.Errorf("exit code %d, %s", code, stdout)
			}
			for _, url := range urls {
				if got := hometest.IDsAt(t, url); len(got) != len(all)+len(own) {
					t.Errorf("%s has %d events, want %d", url, len(got), len(all)+len(own))
				}
			}
		})
	}
}
