# Sluice. `make run` starts a node, `make test` runs every test.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := build

GO ?= go
VERSITYGW := github.com/versity/versitygw/cmd/versitygw@v1.8.0
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.7.0
GOTESTSUM := gotest.tools/gotestsum@v1.13.0
# The version is stamped from git where git trusts the folder.
VCS := $(shell git rev-parse HEAD >/dev/null 2>&1 && echo true || echo false)
# Tests build the program too, wherever they run.
export GOFLAGS ?= -buildvcs=false
# Tests of whole nodes, browsers and load measure time: they run alone and without the race detector.
# The longest packages come first, so that none of them runs alone in the end.
UNIT = ./recorder ./sfu $$($(GO) list ./... | grep -v '/e2e')
# Most tests wait for the network rather than for a processor.
WAITING = -parallel 4
# Tests that fail run once more, alone, unless they are many or it is a data race; the summary names them all the same.
TESTS = $(GO) run $(GOTESTSUM) --no-color --format pkgname-and-test-fails --hide-summary skipped \
	--rerun-fails=1 --rerun-fails-max-failures 8 --rerun-fails-run-root-test --rerun-fails-abort-on-data-race

# What the tests need beside Go, by Debian's names.
PACKAGES := ca-certificates git gcc libc6-dev redis-server ffmpeg chromium iproute2 postgresql

.PHONY: build run test packages vet lint unit e2e fuzz churn bench web clean help

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' Makefile | sed -E 's/:[^#]*## /\t/' | expand -t 12

build: ## bin/sluice
	$(GO) build -buildvcs=$(VCS) -o bin/sluice ./cmd/sluice

run: build ## build and start one node; ARGS="--http.addr=127.0.0.1:9000" adds flags
	@exec bin/sluice serve $(ARGS)

test: packages lint unit e2e ## everything: packages, lint, unit tests with -race, browsers and whole nodes

packages: ## install what the tests need and is missing: Debian packages, and an S3 server by exact version
	@.ci/packages $(PACKAGES)
	@[ -x "$$($(GO) env GOPATH)/bin/versitygw" ] || { echo "installing $(VERSITYGW)"; GOFLAGS= GOBIN="$$($(GO) env GOPATH)/bin" $(GO) install $(VERSITYGW); }

vet: ## go vet and gofmt
	@unformatted=$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go')); \
	if [ -n "$$unformatted" ]; then echo "gofmt would change:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...

lint: vet ## vet and staticcheck (staticcheck.conf), by exact version and outside go.mod
	$(GO) run $(STATICCHECK) ./...

unit: ## unit tests with the race detector; the seeds of the fuzz targets are among them
	CGO_ENABLED=1 GORACE=atexit_sleep_ms=50 $(TESTS) --packages "$(UNIT)" -- -count=1 -vet=off -race $(WAITING) -timeout 10m

e2e: ## whole nodes, clients and browsers
	$(TESTS) --packages ./e2e/... -- -count=1 -vet=off -p 1 $(WAITING) -timeout 20m

fuzz: ## every fuzz target for FUZZTIME (30s), one after the other; PKG=./sfu/... for some; what is found goes to testdata/fuzz
	@$(GO) list -f '{{.Dir}} {{.ImportPath}}' $(or $(PKG),./...) | while read -r dir pkg; do \
		{ grep -ohE '^func Fuzz[A-Za-z0-9_]*' "$$dir"/*_test.go 2>/dev/null || true; } | while read -r _ target; do \
			echo "$$pkg $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(or $(FUZZTIME),30s) -fuzzminimizetime 100x -parallel 1 "$$pkg" < /dev/null; \
		done; \
	done

churn: ## half an hour of publishers and viewers that come, go and change; CHURN=2h for longer
	CHURN=$(or $(CHURN),30m) $(GO) test -count=1 -v -timeout 0 -run 'TestChurn$$' ./e2e

bench: build ## benchmarks of the hot path, then of whole servers: Sluice and MediaMTX; BENCH="-peer none" adds flags
	$(GO) test -run '^$$' -bench . -benchmem ./sfu/... ./internal/load
	$(GO) run ./internal/load/bench $(BENCH)

web: ## bundle the pages and the player into web/dist
	$(GO) generate ./web/...

clean: ## remove what was built
	rm -rf bin
