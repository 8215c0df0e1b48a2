# Everything that is done with this repository is done through these targets; CI calls nothing else.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
QUICK := target/quick/starling
# What `make fault` does: which cluster faults, and how often each.
FAULT ?=
ROUNDS ?= 20
# How long `make fuzz` gives each target.
FUZZ_SECONDS ?= 60
# What `make bench` hands to the load generator.
BENCH ?=
# What `make guard` hands to the counter of instructions.
GUARD ?=
# What `make bench-tracing` hands to it.
TRACING ?=
# Which checks `make k8s-e2e` does.
E2E ?=
# What `make load` plays, and against which server.
SCENARIO ?= chat-open
TARGET ?= 127.0.0.1:5222
LOAD ?=

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: ## a server to try: makes two accounts and prints where to talk
	cargo run --profile quick -p starling-server --bin starling -- run --quickstart

.PHONY: build
build: ## the optimised program, target/release/starling
	cargo build --release -p starling-server

.PHONY: fmt
fmt: ## formats the source
	cargo fmt --all

.PHONY: lint
lint: ## formatting, clippy without a warning; scripts, licences and bans if shellcheck and cargo-deny are there
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	@if command -v shellcheck >/dev/null; then shellcheck scripts/*.sh scripts/*/*.sh .ci/run deploy/certbot/starling; \
	else echo 'shellcheck is not installed, so the scripts were not checked'; fi
	@if command -v cargo-deny >/dev/null; then cargo deny --offline check bans licenses sources; \
	else echo 'cargo-deny is not installed, so licences and bans were not checked: `make deny` installs it'; fi

.PHONY: deny
deny: ## licences, bans, sources and advisories; installs cargo-deny, which takes minutes
	command -v cargo-deny >/dev/null || cargo install cargo-deny --locked
	cargo deny check bans licenses sources
	@echo 'advisories come from the network; without it the next line fails'
	cargo deny check advisories

.PHONY: check
check: ## the tests that need no services: units, suites and stories on the embedded store, tidy
	RUST_TEST_THREADS=6 cargo test --workspace --exclude starling-server --exclude starling-store-scylla --exclude starling-store-redis \
		--lib --bins --tests
	cargo test -p starling-store-scylla --lib
	RUST_TEST_THREADS=6 cargo test -p starling-server --bins --test stories

.PHONY: test
test: ## all that must hold; installs and starts what it needs
	scripts/test.sh

.PHONY: test-stores
test-stores: ## the suites of the ports, on every store there is
	cargo test -p starling-ports --features testsuite
	cargo test -p starling-store-embedded
	scripts/test.sh stores

.PHONY: stories
stories: ## the stories only
	scripts/test.sh stories

.PHONY: interop
interop: ## real clients against a real server
	scripts/test.sh interop

.PHONY: interop-sint
interop-sint: ## Smack's own integration tests, by hand
	cargo build --profile quick -p starling-server
	scripts/interop/sint.sh $(QUICK)

.PHONY: import-peers
import-peers: ## fills ejabberd and Prosody, exports, imports, and signs in with the old passwords; installs both, by hand
	scripts/import/run.sh

.PHONY: fault
fault: ## cluster faults ROUNDS (20) times, FAULT=rolling only those with that name, RESUME=1 what has not passed yet; with neither the deep model and kill tests too
	@if [ -z "$(FAULT)$(RESUME)" ]; then \
		STARLING_MODEL_DEPTH=deep STARLING_KILL_ROUNDS=$${STARLING_KILL_ROUNDS:-200} scripts/test.sh model kill; fi
	ROUNDS=$(ROUNDS) scripts/fault.sh $(FAULT)

.PHONY: guard
guard: ## instructions of the hot path, by callgrind, against bench/instructions.toml; GUARD='--only chat --runs 10' shows the spread of one
	@. scripts/lib/install.sh && need_apt valgrind
	cargo build --profile quick -p starling-server -p starling-bench --bin starling-bench
	target/quick/starling-bench guard $(GUARD)

.PHONY: fuzz
fuzz: ## each fuzz target for FUZZ_SECONDS (60)
	FUZZ_SECONDS=$(FUZZ_SECONDS) scripts/lib/fuzz.sh

.PHONY: bench-tracing
bench-tracing: ## instructions of the hot path beside a build without tracing and logs: docs/benchmarks.md; 1 % more fails; TRACING='--only chat --runs 1' is less
	scripts/lib/bench-tracing.sh $(TRACING)

.PHONY: bench
bench: ## figures on loopback: docs/benchmarks.md; BENCH='--only chat-16 --runs 1' runs one and leaves the page alone
	scripts/lib/bench.sh $(BENCH)

.PHONY: bench-cluster
bench-cluster: ## figures of two managers and two routers on Redis and Cassandra: docs/benchmarks.md
	scripts/lib/bench-cluster.sh $(BENCH)

.PHONY: bench-hold
bench-hold: ## 100,000 idle clients on six managers and a router: docs/benchmarks.md; BENCH='--accounts 100' is less
	scripts/lib/bench-hold.sh $(BENCH)

.PHONY: bench-managers
bench-managers: ## instructions of a message with 1, 2 and 4 managers, by callgrind: docs/benchmarks.md; BENCH='--managers 1,2 --runs 1' is less
	scripts/lib/bench-managers.sh $(BENCH)

.PHONY: bench-peers
bench-peers: ## the same scenarios against Starling, alone and as a cluster, ejabberd and Prosody: docs/benchmarks.md; BENCH='--only chat --runs 1' is less
	scripts/lib/bench-peers.sh $(BENCH)

.PHONY: capacity
capacity: ## machines for millions of users, from the figures of docs/benchmarks.md: docs/explanation/capacity.md
	cargo run -p starling-loadtest -- model --write docs/explanation/capacity.md >/dev/null

.PHONY: load
load: ## plays SCENARIO (chat-open) against a running server, TARGET (127.0.0.1:5222); LOAD='--transport starttls' says more
	cargo run --release -p starling-loadtest -- run loadtest/scenarios/$(SCENARIO).toml --target $(TARGET) $(LOAD)

.PHONY: bench-store
bench-store: ## fjall and redb side by side: inserts, reads, size, kills
	cargo run --profile quick -p starling-store-embedded --example bench_store

.PHONY: cluster
cluster: ## two connection managers, two routers, Redis and Cassandra on loopback; prints where they are and how to kill one
	scripts/cluster.sh start

.PHONY: cluster-stop
cluster-stop: ## ends what `make cluster` has started
	scripts/cluster.sh stop

.PHONY: k8s-check
k8s-check: ## the Helm chart, its alerts and its dashboards, without a cluster; fetches Helm, schemas and promtool
	scripts/test.sh k8s

.PHONY: kustomize
kustomize: ## makes deploy/kustomize of the chart
	scripts/k8s/check.sh -- overlays.py

.PHONY: image
image: ## the container image, where docker, podman or buildah runs; IMAGE names it
	scripts/image.sh

.PHONY: image-oci
image-oci: ## the same image as an OCI layout in target/image, without an engine; the same bytes each time
	scripts/image/oci.sh

.PHONY: docs
docs: ## writes the pages that are made from the source
	scripts/lib/docs.sh write

.PHONY: ci
ci: lint test ## lint and test, before a change lands; CI runs `make test` alone

.PHONY: k8s-e2e
k8s-e2e: ## the chart on a real Kubernetes of two nodes, by hand, as root: half an hour, and builds for another the first time; E2E='install message' is less
	scripts/k8s/e2e.sh $(E2E)
