#!/usr/bin/env bash
# usage: internal/sim/sim.sh SEEDS [FIRST]    run so many seeds of TestSeeds, each in a process of its own
#        internal/sim/sim.sh seed N           run one again, and print its trace
#
# The program is built with a runtime that does the same in every run (overlay.sh).
set -euo pipefail
cd "$(dirname "$0")"
cache=../../.cache/sim
mkdir -p "$cache"
cache=$(cd "$cache" && pwd)
# NUIDs take their numbers from math/rand, which they seed with what overlay.sh counts out.
export cache GOMAXPROCS=1 GOGC=off GODEBUG=randseednop=0

# Another version of Go may not take the overlay: the faults are the same without it.
overlay=("-overlay=$cache/overlay.json")
export again=1 # one seed in fifty is run twice, and must do the same
./overlay.sh "$cache" || { echo "going on with the runtime as it is: a seed may take another course when it runs again" >&2; overlay=() again=; }
GOMAXPROCS='' GOGC='' go test -vet=off -c "${overlay[@]}" -o "$cache/sim.test" .

if [ "$1" = seed ]; then
  exec "$cache/sim.test" -test.run 'TestSeeds$' -test.v "-seed=$2"
fi

run() { timeout -s QUIT 600 "$cache/sim.test" -test.run 'TestSeeds$' -test.v -seeds=1 "-first=$1" 2>&1; }

one() {
  local out="$cache/seed-$1.txt"
  if ! run "$1" >"$out"; then
    echo "seed $1 fails: make sim SEED=$1; its trace: .cache/sim/seed-$1.txt"
    grep 'seeds_test.go\|^panic' "$out" | head -5
    return 1
  fi
  if [ "$again" ] && (($1 % 50 == 0)) && ! diff <(grep ' trace ' "$out") <(run "$1" | grep ' trace '); then
    echo "seed $1 takes another course when it runs again"
    return 1
  fi
  rm "$out"
}
export -f run one
rm -f "$cache"/seed-*.txt
start=$SECONDS
seq "${2:-1}" $((${2:-1} + $1 - 1)) | xargs -P "$(nproc)" -I{} bash -c 'one {}' || failed=1
echo "$1 seeds, $(find "$cache" -name 'seed-*.txt' | wc -l) of them failed, in $((SECONDS - start)) s"
exit "${failed:-0}"
