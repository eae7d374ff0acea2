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
