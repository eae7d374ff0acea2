package run

import (
	"runtime/debug"
	"testing"
)

func TestTheVersionTellsTheCommit(t *testing.T) {
	t.Parallel()
	build := func(version string, settings ...string) *debug.BuildInfo {
		info := &debug.BuildInfo{Main: debug.Module{Version: version}}
		for i := 0; i < len(settings); i += 2 {
			info.Settings = append(info.Settings, debug.BuildSetting{Key: settings[i], Value: settings[i+1]})
		}
		return info
	}
	const commit = "45e3641a5dc06f909ad7cc1d85b02433dbed8931"
	for want, info := range map[string]*debug.BuildInfo{
		"(devel)": build(""),
		"v1.2.3":  build("v1.2.3"),
		"(devel), commit 45e3641a5dc0, 2026-11-22": build("(devel)", "vcs.revision", commit, "vcs.time", "2026-11-22T23:38:10Z",
			"vcs.modified", "false"),
		"v1.2.3+dirty, commit 45e3641a5dc0, 2026-11-22, changed": build("v1.2.3+dirty", "vcs.revision", commit, "vcs.time",
			"2026-11-22T23:38:10Z", "vcs.modified", "true"),
	} {
		if got := version(info); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
