#!/usr/bin/env bash
# usage: internal/sim/overlay.sh DIR
#
# Writes DIR/overlay.json for go build -overlay: a Go runtime that does the same
# in every run of a program with GOMAXPROCS=1 and GOGC=off.
#  - Randomness (map order, select, math/rand/v2) begins with the same seed, and
#    goroutines of a testing/synctest bubble draw from a generator of their own,
#    so that nothing outside changes their numbers.
#  - What the kernel gives as random bytes is counted out: names and keys.
#  - A goroutine runs until it waits: none is stopped for having run for 10 ms,
#    and none is overtaken while the kernel works for it.
#  - A mutex is given to who waits for it in turn, however long that took.
#  - Timers outside of the bubble stand: the NATS server has some, for access times and CPU figures.
set -euo pipefail
mkdir -p "$1"
dir=$(cd "$1" && pwd)
go=$(go env GOROOT)/src/runtime
sysrand=$(go env GOROOT)/src/crypto/internal/sysrand

# change FILE NAME OLD NEW: replaces OLD, which must be there once.
change() {
  local to="$dir/$2"
  [ -f "$to" ] || cp "$1" "$to" && chmod u+w "$to"
  OLD="$3" NEW="$4" perl -0pi -e '$n = s/\Q$ENV{OLD}\E/$ENV{NEW}/g; exit 1 if $n != 1' "$to" ||
    { echo "$1 has changed: bring internal/sim/overlay.sh up to date" >&2; exit 1; }
}

rm -f "$dir"/*.go
change "$go/rand.go" rand.go $'\tglobalRand.state.Init(*seed)\n' $'\t*seed = [32]byte{1}\n\tglobalRand.state.Init(*seed)\n'
change "$go/rand.go" rand.go $'\tmp := getg().m\n\tc := &mp.chacha8\n' $'\tmp := getg().m\n\tif mp.curg != nil && mp.curg.bubble != nil {\n\t\treturn bubbleRand()\n\t}\n\tc := &mp.chacha8\n'
change "$go/select.go" select.go 'j := cheaprandn(uint32(norder + 1))' 'j := selectRandn(uint32(norder + 1))'
change "$go/time.go" time.go $'\t\t\tt.rand = cheaprand()\n' $'\t\t\tt.rand = uint32(bubbleRand() >> 32)\n'
cat >>"$dir/rand.go" <<'EOF'

var bubbleState uint64 = 1

// bubbleRand is splitmix64.
//
//go:nosplit
func bubbleRand() uint64 {
	bubbleState += 0x9e3779b97f4a7c15
	x := bubbleState
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func selectRandn(n uint32) uint32 {
	if getg().bubble == nil {
		return cheaprandn(n)
	}
	return uint32(bubbleRand()>>32) % n
}
EOF
change "$go/proc.go" proc.go $'func retake(now int64) uint32 {\n' $'func retake(now int64) uint32 {\n\tif gomaxprocs == 1 {\n\t\treturn 0\n\t}\n'
change "$go/time.go" time.go $'\tif bubble := getg().bubble; bubble != nil {\n\t\tt.isFake = true\n\t}\n' $'\tif bubble := getg().bubble; bubble != nil {\n\t\tt.isFake = true\n\t} else if gomaxprocs == 1 {\n\t\twhen = maxWhen\n\t}\n'
change "$go/sema.go" sema.go $'func internal_sync_nanotime() int64 {\n' $'func internal_sync_nanotime() int64 {\n\tif gomaxprocs == 1 {\n\t\treturn 1\n\t}\n'
change "$sysrand/rand.go" sysrand.go $'\nfunc Read(b []byte) {\n' $'\nvar counted uint64\n\nfunc Read(b []byte) {\n\tfor i := range b {\n\t\tcounted = counted*6364136223846793005 + 1442695040888963407\n\t\tb[i] = byte(counted >> 56)\n\t}\n\tif counted != 0 {\n\t\treturn\n\t}\n'

cat >"$dir/overlay.json" <<EOF
{"Replace": {"$go/rand.go": "$dir/rand.go", "$go/proc.go": "$dir/proc.go", "$go/time.go": "$dir/time.go", "$go/select.go": "$dir/select.go", "$go/sema.go": "$dir/sema.go", "$sysrand/rand.go": "$dir/sysrand.go"}}
EOF
