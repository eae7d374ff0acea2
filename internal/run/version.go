package run

import (
	"cmp"
	"runtime/debug"
	"strings"
	"time"
)

// release is set when packages are built: -ldflags '-X …/internal/run.release=1.2.3'.
var release string

// Version names the build, as go version -m tells it: the release, or the
// commit and its time, and whether the sources differed from it.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return version(info)
}

// agent is who we are to other relays: the build, and where their operators read what it
// does.
func agent() string {
	name, _, _ := strings.Cut(Version(), ",")
	name = strings.TrimPrefix(strings.Trim(name, "()"), "v")
	return "relaymesh/" + name + " (+https://github.com/relaymesh/relaymesh/blob/main/docs/manners.md)"
}

func version(info *debug.BuildInfo) string {
	vcs := map[string]string{}
	for _, s := range info.Settings {
		vcs[s.Key] = s.Value
	}
	name := cmp.Or(release, info.Main.Version, "(devel)")
	revision := vcs["vcs.revision"]
	if revision == "" {
		return name
	}
	words := []string{name, "commit " + revision[:min(12, len(revision))]}
	if t, err := time.Parse(time.RFC3339, vcs["vcs.time"]); err == nil {
		words = append(words, t.UTC().Format(time.DateOnly))
	}
	if vcs["vcs.modified"] == "true" {
		words = append(words, "changed")
	}
	return strings.Join(words, ", ")
}
