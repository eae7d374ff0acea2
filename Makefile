# Every target says behind ## what it does if make help lists it, at most ten,
# and else behind #. CONTRIBUTING.md has them all.

GO       ?= go
TOOL     := $(GO) tool -modfile=tools/go.mod
BINARIES := relaymesh ingest dhtworker syncworker fetcher gateway
RECORDED  = $(shell $(GO) list -m -f '{{.Dir}}' github.com/nbd-wtf/go-nostr)/testdata/messages.jsonl

export CGO_ENABLED ?= 0

.DEFAULT_GOAL := help

help: # Say what can be made
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2} END {print "All targets: CONTRIBUTING.md"}' $(MAKEFILE_LIST)

go-version:
	@$(GO) version >/dev/null 2>&1 || { echo "relaymesh needs Go 1.26 or newer: https://go.dev/doc/install"; exit 1; }

build: go-version ## Build all binaries into bin/
	@mkdir -p bin
	$(GO) build -o bin/ $(addprefix ./cmd/,$(BINARIES))

up: build ## Run the whole pipeline on this machine, with a relay of its own and the console on http://127.0.0.1:9464 (Ctrl-C stops it)
	bin/relaymesh up --data .data --admin 127.0.0.1:9464

demo: build ## Show in a small world on loopback what relaymesh promises
	$(GO) build -o bin/ ./cmd/relaymesh-demo
	bin/relaymesh-demo --events $(RECORDED)

# Without vet everywhere, since make lint runs it (make test-k8s in deploy/k8s),
# and without -trimpath but in what is released: what one target has compiled,
# the others take from the cache.
# Four packages at a time, on two cores too: many tests wait for each other's
# processes and connections. The longest begin first, so that none is left alone
# at the end.
test: go-version ## Run the tests
	$(GO) test -vet=off -p 4 ./internal/sim ./internal/run/... ./...

test-e2e: build # Run the demo's scenario with worker processes that are killed one after the other
	RELAYMESH_BIN=$(CURDIR)/bin $(GO) test -vet=off -count=1 -v -timeout 15m -run Fleet ./internal/testkit/demo

chaos: build # Break a fleet of processes under load for DURATION (10m): kill, stop, fill disks, cut and disturb the network (all of it as root on Linux)
	$(GO) build -o bin/ ./internal/testkit/chaos
	@[ "$$(id -u)" != 0 ] || { command -v ip && command -v nft; } >/dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends iproute2 nftables; } || true
	bin/chaos --bin bin --duration $(DURATION) --seed $(or $(SEED),0)
DURATION ?= 10m

test-permissions: go-version # Run each stage and the console once without each of their NATS permissions, which must fail
	RELAYMESH_PERMISSIONS=1 $(GO) test -vet=off -count=1 -run OnePermissionLess ./internal/sim ./internal/edge/console

test-docs: build # Run every command that README.md and docs/ show, in a small world on loopback
	RELAYMESH_BIN=$(CURDIR)/bin $(GO) test -tags docs -vet=off -count=1 ./internal/docs

test-backpressure: go-version # Stop the consumers of each queue, one after the other, while work goes on, and fill the server's storage: nothing is lost, and the bounds hold (two minutes)
	RELAYMESH_BACKPRESSURE=1 $(GO) test -vet=off -count=1 -run 'FullQueue|FullServer|Cycle|RetriesHaveABound' ./internal/edge/bus

test-cluster: go-version # Take one of three NATS servers away from streams of three replicas, while work goes on (a minute)
	RELAYMESH_CLUSTER=1 $(GO) test -vet=off -count=1 -v -run 'ThreeReplicas' ./internal/edge/bus

test-damage: go-version # Change bytes of the embedded relay's store at 400 places, closed and open: no crash, and what can be read is saved (2 minutes)
	RELAYMESH_DAMAGES=400 $(GO) test -vet=off -count=1 -timeout 10m -run Damaged ./internal/edge/homerelay

test-disk: go-version # Fill the disk of a whole pipeline, of 2 GB and 10 GB, tear each file of its data, and take its descriptors away: it goes on, and nothing acknowledged is lost (root for the disks; 8 minutes)
	RELAYMESH_DISK=1 RELAYMESH_TORN=1 $(GO) test -vet=off -count=1 -v -timeout 40m -run 'OnASmallDisk|TornFiles|WithoutDescriptors' ./cmd/relaymesh

test-images: go-version # Check what makes the OCI images, licences and release notes, and the Compose files
	cd tools/dist && $(GO) test -count=1 .

test-manifests: go-version # Check the Kubernetes manifests: schemas, KEDA's CRDs, and what they promise
	cd deploy/k8s && $(GO) test -mod=mod -vet=off -count=1 . # the main module may need more than go.mod says here

CONSOLE_TEST = $(GO) -C internal/edge/console/browsertest test -mod=mod -vet=off -count=1 -parallel 4
AXE          = $(CURDIR)/.cache/axe/node_modules/axe-core/axe.min.js
CHROMIUM    := $(or $(shell command -v chromium),/usr/bin/chromium)

test-console: build $(CHROMIUM) $(AXE) # Look at the console in Chromium (installed from Debian if it is missing), and check it with axe
	RELAYMESH_BIN=$(CURDIR)/bin RELAYMESH_AXE=$(AXE) $(CONSOLE_TEST) .

screenshots: build $(CHROMIUM) # Take the pictures of the console that the documentation shows
	RELAYMESH_BIN=$(CURDIR)/bin RELAYMESH_SCREENSHOTS=$(CURDIR)/docs/img $(CONSOLE_TEST) -run Screenshots .

$(CHROMIUM):
	apt-get install -y -qq chromium || { apt-get update -qq && apt-get install -y -qq chromium; }

$(AXE):
	npm install --silent --no-audit --no-fund --prefix .cache/axe axe-core@4.14.1

KUBERNETES := $(CURDIR)/.cache/kubernetes

test-k8s: $(KUBERNETES)/kubectl $(KUBERNETES)/etcd # Check the manifests, and roll them out on a Kubernetes without containers (builds it once: 14 CPU minutes; then 3)
	cd deploy/k8s && RELAYMESH_KUBERNETES=$(KUBERNETES) $(GO) test -mod=mod -count=1 -v -timeout 20m .

$(KUBERNETES)/kubectl: tools/kubernetes/go.mod
	@mkdir -p $(KUBERNETES)
	cd tools/kubernetes && GOBIN=$(KUBERNETES) $(GO) install -trimpath -ldflags '-s -w -X k8s.io/component-base/version.gitVersion=$(shell sed -n 's/^\tk8s.io\/kubernetes \(v[^ ]*\).*/\1/p' tools/kubernetes/go.mod)' tool
	@touch $@

$(KUBERNETES)/etcd:
	@mkdir -p $(KUBERNETES)/debian
	cd $(KUBERNETES)/debian && $(call debian,etcd-server) && cp usr/bin/etcd ..

# Unpacks a Debian package here without installing it.
debian = { apt-get download -qq $(1) || { apt-get update -qq && apt-get download -qq $(1); }; } && dpkg-deb -x $(1)_*.deb .

PROMTOOL := $(firstword $(shell command -v promtool) $(CURDIR)/.cache/prometheus/usr/bin/promtool)

test-alerts: $(PROMTOOL) # Test the alert rules (Debian's prometheus package is unpacked into .cache, not installed)
	cd deploy/prometheus && $(PROMTOOL) check rules alerts.yaml && $(PROMTOOL) test rules alerts_test.yaml

$(CURDIR)/.cache/prometheus/usr/bin/promtool:
	mkdir -p .cache/prometheus
	cd .cache/prometheus && $(call debian,prometheus)

# One thread a package: the race detector of Go 1.26 crashes when two threads
# run timers of one testing/synctest bubble. Short: fewer cut connections, and
# not the demo's worlds of processes, which make test and make demo run. What
# takes longest comes first.
race: go-version # Run the tests under the race detector
	CGO_ENABLED=1 $(GO) test -p 2 -cpu 1 -vet=off -short -race -timeout 20m ./internal/sim ./...

# Vet is among the linters. All modules are to have one format.
lint: go-version ## Check format, style and structure, which include the import rules of arch_test.go
	@$(TOOL) gofumpt -l *.go bench cmd deploy internal pkg tools | awk '{print "not formatted, run gofumpt -w:", $$0} END {exit NR > 0}'
	$(TOOL) golangci-lint run ./...
	$(GO) test -vet=off -run 'Layers|Stages|Public|Decisions|Binaries|Workers|EveryPackage' .

# As package:target. Ten minutes are shared out among all, and two workers each.
FUZZ      = $(shell grep -rHo --include='*_test.go' '^func Fuzz[A-Za-z0-9]*' pkg internal | sed 's|/[^/]*:func |:|' | sort)
FUZZTIME ?= $(shell echo $$((600 / $(words $(FUZZ)))))s

fuzz: go-version # Fuzz every parser that touches the network, ten minutes in all (or FUZZTIME=1m each)
	@failed=; for f in $(FUZZ); do echo "== $$f, $(FUZZTIME)"; \
	  $(GO) test -vet=off -run '^$$' -fuzz "^$${f#*:}\$$" -parallel 2 -fuzzminimizetime 1x -fuzztime $(FUZZTIME) ./$${f%:*} || failed="$$failed $$f"; \
	done; [ -z "$$failed" ] || { echo "failed:$$failed; commit what is in testdata/fuzz"; exit 1; }

test-interop: go-version # Work with other implementations, both ways: of negentropy in Go, JavaScript and Rust, of Scionic DAGs (installs npm packages)
	cd bench/negentropy && $(GO) test ./...
	internal/edge/homerelay/interop/install.sh .cache/interop-nip77
	NIP77_INTEROP=$(CURDIR)/.cache/interop-nip77 $(GO) test -vet=off -count=1 -timeout 5m ./internal/edge/homerelay/interop
	NIP77_INTEROP=$(CURDIR)/.cache/interop-nip77 $(GO) test -vet=off -count=1 -timeout 5m -run PlainRelay ./internal/run
	cd bench/scionic && $(GO) test ./...
	$(GO) test -vet=off -count=1 -tags scionic -run DAG ./internal/sim ./internal/stage/fetch

test-signatures: go-version # Compare batch verification with btcec on 100,000 valid and damaged signatures (a minute)
	RELAYMESH_SIGNATURES=100000 $(GO) test -count=1 -v -timeout 20m -run Differs ./internal/edge/schnorr

test-sync-cuts: go-version # Cut the connections of 400 seeded syncs, 200 by websocket and 200 by libp2p (10 minutes)
	RELAYMESH_SYNC_RUNS=200 $(GO) test -count=1 -timeout 30m -v -run 'CutConnections$$' ./internal/run ./internal/run/peers

# Seeds are run in a Go runtime that does the same in every run.
SEEDS ?= 1000
test-outages: go-version # Take relays away from a pipeline for 5 to 60 seconds, 20 times, as processes that are killed, and NATS from a gateway for a minute (16 minutes)
	RELAYMESH_OUTAGES=20 $(GO) test -vet=off -count=1 -timeout 40m -v -run 'TestARelayThatIsBack' ./internal/run
	RELAYMESH_GATEWAY_AWAY=1m $(GO) test -vet=off -count=1 -timeout 10m -v -run 'TestGatewayWhosePipelineStops' ./internal/run

test-hoster: go-version # Sync 300 names of a relay hoster, at one address (two minutes)
	RELAYMESH_HOSTER=300 $(GO) test -vet=off -count=1 -v -run 'TestTheNamesOfAHoster' ./internal/run

sim: go-version ## Run the whole pipeline in SEEDS random worlds where everything fails now and then (3 minutes; SEED=n: one again, with its trace)
	internal/sim/sim.sh $(if $(SEED),seed $(SEED),$(SEEDS) $(FIRST))

MUTANTS ?= .
sim-mutants: go-version # Plant 48 bugs, one after the other, each of which make sim must catch (10 minutes; MUTANTS=regexp)
	$(GO) test -vet=off -count=1 -v -timeout 2h -run TestMutants ./internal/sim '-mutants=$(MUTANTS)'

test-aimed: go-version # Look for four minutes at hosts that a thousand hints of strangers name (five minutes)
	RELAYMESH_AIMED=4m $(GO) test -vet=off -count=1 -timeout 20m -v -run 'TestAThousandHints' ./internal/run

interop-dht: go-version # Publish and read with bittorrent-dht and libtorrent, both ways (installs them, 4 minutes)
	internal/edge/mainline/interop/install.sh .cache/interop
	MAINLINE_INTEROP=$(CURDIR)/.cache/interop $(GO) test -count=1 -timeout 15m ./internal/edge/mainline/interop

harness: go-version # Build the program for the negentropy conformance suite
	@mkdir -p bin
	$(GO) build -o bin/negentropy-harness ./cmd/negentropy-harness

BENCHES := $(addprefix bench-,negentropy ingest relay sync fetch live gateway dht index recall idle scale hostile console)

bench: go-version ## Run all benchmarks, and end with one table of what is wanted and what was measured (an hour; BENCHES="bench-live bench-idle": only those; STRFRY=BINARY: beside strfry)
	SHORT=1 $(GO) run ./bench/all $(BENCHES)

bench-negentropy: go-version # Compare pkg/negentropy with the other Go implementations (5 minutes)
	cd bench/negentropy && $(GO) run .

bench-sync: go-version # Sync two khatru relays of 200,000 events, beside go-nostr; bytes with and without compression; 50 relays, one of which stalls (three minutes)
	cd bench/sync && $(GO) test . && $(GO) run .

bench-mirror: go-version # Make five relays of 10,000 events equal, 2,000 of each its own (part of bench-sync)
	cd bench/sync && $(GO) run . -mirror

bench-fetch: go-version # Find missing notes among twenty relays, some of which hang or refuse, beside go-nostr and through the gateway
	cd bench/fetch && $(GO) run .

bench-live: go-version # How much later an event that is followed live is heard of at the local relay than where it was published
	$(GO) run ./bench/live

bench-relay: go-version # Publish at the embedded relay, 200 events in flight and one, beside STRFRY=BINARY or a relay that only verifies and writes (Linux; a minute)
	$(GO) run ./bench/relay

bench-idle: go-version # Memory of relaymesh up when idle, beside the same process without stages (Linux; a minute)
	$(GO) run ./bench/idle

# In a night, or with SHORT=1 in minutes.
AUTHORS       = $(AUTHORS_$(if $(SHORT),SHORT,LONG))
AUTHORS_SHORT = 2000,20000
AUTHORS_LONG  = 10000,100000,1000000
bench-scale: go-version # KV, memory, events a second, restart and console for 10 k, 100 k and 1 M authors, and 1, 2 and 4 replicas of each stage (Linux; a night; SHORT=1: up to 20 k, some minutes)
	$(GO) run ./bench/scale -authors $(AUTHORS)

bench-gateway: go-version # Ask a khatru relay, or with STRFRY=BINARY a strfry, directly and through the gateway, with as many clients as open files allow (Linux; three minutes)
	$(GO) run ./bench/gateway

bench-ingest: go-version # Verify signatures beside go-nostr and libsecp256k1, and measure the ingest process (a C compiler; 5 minutes)
	cd bench/ingest && $(GO) run .

# What honest users notice of attacks; each part attacks something else.
HOSTILE ?= relay pipeline
bench-hostile: go-version # Attack what strangers can reach, beside honest users: the embedded relay, by 1,000 of 10,000 connections; the pipeline, by fresh keys and silent hosts (Linux; 4 minutes)
	$(GO) run ./bench/hostile $(HOSTILE)

# SHORT=1 is a tenth of the world, in minutes.
bench-recall: go-version # Measure how much of what authors wrote anywhere comes to a relay in two driven weeks, in a world of 1,200 relays that SEED draws; then a day of 10,000 authors and 1,000 relays (Linux; two hours; SHORT=1)
	$(GO) run ./bench/recall -seed $(or $(SEED),1) $(if $(SHORT),-short)
	$(GO) run ./bench/recall -seed $(or $(SEED),1) -wide $(if $(SHORT),-authors 1000)

# EVENTS=2000000 is what the goals of memory are for. SHORT=1 is a fifth of the real indexes.
EVENTS ?= 200000
INDEXES = $(if $(SHORT),20,100)
bench-index: go-version # Fill 100 list indexes from each other and resolve by them, a fifth of them hostile, in driven time and real ones; disk, memory, REQs and sync of one with EVENTS (Linux; 20 minutes; SHORT=1)
	BENCH_INDEX=1 $(GO) test -vet=off -count=1 -v -run TestManyIndexes ./internal/stage/index
	$(GO) run ./bench/index -indexes $(INDEXES)
	$(GO) run ./bench/index -events $(EVENTS)

bench-console: go-version # Fill KV with 100,000 users, 10,000 relays and a million links: time and size of the console's pages, and what a browser costs NATS (Linux; three minutes)
	$(GO) run ./bench/console

bench-dht: go-version # Count packets and CPU of publishing on a simulated DHT of 10 million nodes (Linux, root)
	$(GO) run ./bench/dht

golden: go-version # Write what VERSION, the one to come, leaves in JetStream, for later ones to read; not for one that is released
	RELAYMESH_GOLDEN=v$(VERSION) $(GO) test -count=1 -run WriteGolden ./internal/sim

vectors: go-version # Have go-nostr make the test vectors of pkg/negentropy again
	cd bench/negentropy && $(GO) run . -vectors > ../../pkg/negentropy/testdata/vectors.txt

# Without the v of a tag. The same commit gives the same bytes: no paths, no
# times but the commit's.
VERSION           ?= $(or $(shell git describe --tags --match 'v*' 2>/dev/null),0.0.0)
override VERSION  := $(VERSION:v%=%)
ARCHES            := amd64 arm64
HOSTARCH           = $(shell $(GO) env GOHOSTARCH)
RELEASED           = bin/linux-$(HOSTARCH)/relaymesh
DISTTOOL           = GOFLAGS=-trimpath $(GO) tool -modfile=tools/dist/go.mod
export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct)

binaries: go-version # Build all binaries for each architecture into bin/linux-ARCH/
	@for arch in $(ARCHES); do mkdir -p bin/linux-$$arch && GOARCH=$$arch $(GO) build -trimpath \
	  -ldflags '-s -w -X github.com/relaymesh/relaymesh/internal/run.release=$(VERSION)' -o bin/linux-$$arch/ $(addprefix ./cmd/,$(BINARIES)) || exit 1; done

LICENCES := dist/THIRD-PARTY-LICENSES.txt

licences: binaries # Write the licences of all that is linked into dist/; a module without one is an error
	@mkdir -p dist
	$(GO) -C tools/dist build -o $(CURDIR)/.cache/bin/dist .
	.cache/bin/dist licences bin/linux-*/* > $(LICENCES)

packages: licences # Make the Debian and RPM packages in dist/
	rm -f dist/*.deb dist/*.rpm
	$(RELEASED) man | gzip -9n > bin/relaymesh.1.gz
	for arch in $(ARCHES); do for kind in deb rpm; do \
	  ARCH=$$arch VERSION=$(VERSION) $(DISTTOOL) nfpm package --config deploy/nfpm.yaml --packager $$kind --target dist/ || exit 1; done; done

images: licences # Make an OCI archive of each binary in dist/, for all architectures, without a container engine
	rm -f dist/*-image.tar
	for name in $(BINARIES); do .cache/bin/dist image dist/$$name-$(VERSION)-image.tar docker.io/relaymesh/$$name:$(VERSION) $(LICENCES) \
	  $(foreach a,$(ARCHES),bin/linux-$a/$$name) || exit 1; done

# With the pages that README.md leads to, and the manifests.
tarballs: licences # Make a tar file of all binaries, pages and manifests for each architecture in dist/
	rm -f dist/*.tar.gz
	for arch in $(ARCHES); do top=relaymesh-$(VERSION)-linux-$$arch; \
	  { ls bin/linux-$$arch/*; echo $(LICENCES); git ls-files ':(glob)*.md' LICENSE docs deploy ':!:*.go' ':!:go.*'; } | \
	  tar -cf - --files-from=- --sort=name --mtime=@$$SOURCE_DATE_EPOCH --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX \
	    --transform "s,^bin/linux-$$arch/,bin/,;s,^dist/,,;s,^,$$top/," | gzip -9n > dist/$$top.tar.gz || exit 1; done

release: ## Make all that is released as VERSION in dist/: packages, tar files, OCI archives, SBOMs, licences, notes and checksums
	rm -rf dist
	$(MAKE) packages images tarballs
	for arch in $(ARCHES); do for name in $(BINARIES); do GOPROXY=off $(DISTTOOL) cyclonedx-gomod bin -json -std -licenses -noserial -notimestamp \
	  -version v$(VERSION) -output dist/$$name-$(VERSION)-linux-$$arch.cdx.json bin/linux-$$arch/$$name || exit 1; done; done
	.cache/bin/dist notes CHANGELOG.md $(VERSION) > dist/RELEASE-NOTES.md
	cd dist && sha256sum $$(ls) > ../bin/SHA256SUMS && mv ../bin/SHA256SUMS .

# Installs what runs containers, if it is missing.
CONTAINER_TOOLS = @for tool in podman podman-compose skopeo runc rpm iptables ip debootstrap systemd-nspawn; do \
  command -v $$tool >/dev/null || missing=1; done; [ -z "$$missing" ] || { apt-get update -qq && apt-get install -y -qq --no-install-recommends \
  podman podman-compose skopeo runc rpm netavark aardvark-dns iptables iproute2 debootstrap systemd-container; }

RELEASE_TEST = cd tools/dist && RELAYMESH_DIST=$(CURDIR)/dist RELAYMESH_VERSION=$(VERSION) $(GO) test -count=1 -v -timeout 15m -run Release .

test-dist: # Check what is released: the same bytes when made again, architectures, packages, licences, go install; its images run (root, Podman; 8 CPU minutes)
	$(CONTAINER_TOOLS)
	rm -rf dist .cache/dist
	$(MAKE) release
	mv dist .cache/dist
	$(MAKE) release
	diff -r .cache/dist dist
	$(RELEASE_TEST)

QEMU := $(firstword $(shell command -v qemu-aarch64-static) $(CURDIR)/.cache/qemu/usr/bin/qemu-aarch64-static)

test-deb: packages $(QEMU) # Install, run, upgrade and purge the package on a fresh Debian (root, debootstrap, systemd-container; 2 minutes)
	$(QEMU) bin/linux-arm64/relaymesh --version
	$(CONTAINER_TOOLS)
	deploy/deb/test/run.sh deploy/deb/test/check.sh dist/relaymesh_*_$(shell dpkg --print-architecture).deb

# The version that the page names.
test-start: # Follow docs/start.md word by word where nothing is: source, package, container, Compose (root, Podman, debootstrap; 10 minutes)
	$(CONTAINER_TOOLS)
	$(MAKE) packages images VERSION=0.1.0
	cd tools/dist && RELAYMESH_START=$(CURDIR)/dist $(GO) test -count=1 -v -timeout 50m -run Start .

$(CURDIR)/.cache/qemu/usr/bin/qemu-aarch64-static:
	mkdir -p .cache/qemu
	cd .cache/qemu && $(call debian,qemu-user-static)

man: build # Write the manual page bin/relaymesh.1
	bin/relaymesh man > bin/relaymesh.1

docs: go-version # Write the generated pages of docs/
	$(GO) test ./internal/contract -update

check: lint test test-alerts test-manifests test-images test-docs test-console ## Check all that is fast: before every commit (some five minutes on two cores)

# Wants root on a Linux machine with network, and hours: make -k goes on after a failure.
check-slow: test-signatures test-damage test-cluster test-disk test-sync-cuts test-outages test-hoster test-aimed interop-dht test-k8s test-dist test-deb test-start fuzz sim-mutants chaos bench ## Check what takes longer than the gate: before a release

ci: # What the gate runs: make check, the race detector, the simulation, faults, permissions, interoperability
	.ci/run

clean: # Remove what was built
	rm -rf bin dist

# All whose names are no files.
.PHONY: $(shell awk -F: '/^[a-z0-9-]+:/ {print $$1}' $(firstword $(MAKEFILE_LIST)))
