# Works with GNU make 3.81 (macOS) and later. `make help` lists the targets.
SHELL := /bin/sh
.DEFAULT_GOAL := help
# The go command uses every core by itself.
.NOTPARALLEL:

GO ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
ARGS ?=
FUZZTIME ?= 10s
FUZZ_IN ?= cmd correlate grafana relay tenancy
FAULTTIME ?= 15m
FAULTSEED ?=
BENCH ?= .
PLATFORMS := linux/amd64 linux/arm64 darwin/amd64 darwin/arm64
NESTED := engines/loki engines/tempo test/collector test/oidc test/restate tools
# The race detector needs cgo, which Go turns off where it finds no C compiler.
RACE = $(if $(filter 1,$(shell $(GO) env CGO_ENABLED)),-race)
# What we ship is static and looks the same wherever it was built. Its version
# comes from VERSION, so that a source tree without git builds too.
GO_BUILD = CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false

LOKI := github.com/grafana/loki/v3/cmd
TEMPO := github.com/grafana/tempo/cmd
# Grafana asks the engines for their versions. Tempo's module path hides the
# release behind a pseudo-version.
LOKI_VERSION := $(shell awk '$$1 == "github.com/grafana/loki/v3" { print substr($$2, 2) }' engines/loki/go.mod)
TEMPO_VERSION := 2.9.0
ENGINES := bin/loki bin/logcli bin/tempo
# Other people's programs that tests send with, and an OpenID provider for the tokens.
SENDERS := bin/loki-canary bin/otelcol bin/telemetrygen bin/oidc-provider

.PHONY: help
help: ## List the targets (default)
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-17s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: build
build: ## Build bin/invoscope
	$(GO_BUILD) -ldflags '-s -w -X main.version=$(VERSION)' -o bin/invoscope ./cmd/invoscope

.PHONY: engines
engines: $(ENGINES) ## Build the pinned loki, logcli and tempo into bin/

bin/loki bin/logcli bin/loki-canary: engines/loki/go.mod engines/loki/go.sum Makefile
	cd engines/loki && $(GO_BUILD) -ldflags '-s -w -X github.com/grafana/loki/v3/pkg/util/build.Version=$(LOKI_VERSION)' -o ../../$@ $(LOKI)/$(notdir $@)
	@touch $@

bin/tempo: engines/tempo/go.mod engines/tempo/go.sum Makefile
	cd engines/tempo && $(GO_BUILD) -ldflags '-s -w -X main.Version=$(TEMPO_VERSION)' -o ../../$@ $(TEMPO)/$(notdir $@)
	@touch $@

bin/telemetrygen: test/collector/go.mod test/collector/go.sum
	cd test/collector && $(GO_BUILD) -ldflags '-s -w' -o ../../$@ github.com/open-telemetry/opentelemetry-collector-contrib/cmd/telemetrygen
	@touch $@

# The builder writes its sources into a folder that it is told by a variable with
# a dot in its name, which only env can set.
bin/otelcol: test/collector/builder.yaml test/collector/go.mod test/collector/go.sum
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && \
	(cd test/collector && CGO_ENABLED=0 env "dist.output_path=$$dir/src" $(GO) tool builder --config builder.yaml --ldflags '-s -w') && \
	mv "$$dir/src/otelcol" $@

bin/oidc-provider: $(wildcard test/oidc/*.go) test/oidc/go.mod test/oidc/go.sum
	cd test/oidc && $(GO_BUILD) -ldflags '-s -w' -o ../../$@ .
	@touch $@

bin/golangci-lint: tools/go.mod tools/go.sum
	cd tools && $(GO_BUILD) -ldflags '-s -w' -o ../$@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	@touch $@

.PHONY: senders
senders: $(SENDERS) ## Build the pinned OpenTelemetry Collector, telemetrygen, loki-canary and OpenID provider into bin/

.PHONY: run
run: build engines ## Build what is missing and start the daemon (ARGS="--http 127.0.0.1:0 …")
	@exec bin/invoscope serve $(ARGS)

.PHONY: test
test: test-unit test-integration ## Run every test, those against the real engines and Restate too
	@echo 'test: unit tests and integration tests passed'

.PHONY: test-unit
test-unit: ## Run the unit tests, with the race detector where there is a C compiler
	@echo 'test-unit: every package of the root module$(if $(RACE),, (without the race detector: no C compiler))'
	$(GO) test $(RACE) -cover ./...

.PHONY: test-integration
test-integration: build build-faults engines senders ## Run the tests that start the built daemon, the real engines and senders
	@echo 'test-integration: the index in Redis, engine conformance, replay of the recordings, restart, real senders, an OpenID provider, faults for a minute'
	$(GO) test $(RACE) -tags integration -count=1 -p 1 -timeout 12m -v ./correlate/index/redisstore ./relay ./relay/engine/... ./test/...

.PHONY: build-faults
build-faults: ## Build bin/invoscope-faults, whose clock the fault test can step
	$(GO_BUILD) -tags faults -o bin/invoscope-faults ./cmd/invoscope

.PHONY: test-faults
test-faults: build-faults engines ## Send for FAULTTIME (15m) while all fails, and find what was acknowledged (FAULTSEED repeats)
	FAULTTIME=$(FAULTTIME) FAULTSEED=$(FAULTSEED) $(GO) test -tags integration -count=1 -timeout 5h -v -run TestFaults ./test/faults

.PHONY: lint
lint: bin/golangci-lint ## Check format, go vet, golangci-lint and tidy go.mod files
	@out=$$("$$($(GO) env GOROOT)/bin/gofmt" -l $$(find . -name '*.go' -not -path './data/*' -not -path '*/node_modules/*')); \
	if [ -n "$$out" ]; then printf 'gofmt needed:\n%s\n' "$$out"; exit 1; fi
	$(GO) vet -tags integration ./...
	$(GO) vet -tags faults ./cmd/invoscope
	bin/golangci-lint run ./...
	$(GO) mod tidy -diff
	@for m in $(NESTED); do echo "nested module $$m"; \
		(cd $$m && $(GO) mod tidy -diff && if ls ./*.go >/dev/null 2>&1; then $(GO) vet ./...; fi) || exit 1; done
	@if command -v shellcheck >/dev/null 2>&1; then shellcheck .ci/run $$(find test -name '*.sh' -not -path '*/node_modules/*'); \
	else echo 'shellcheck is not installed: shell scripts not checked'; fi

.PHONY: cross
cross: ## Compile the daemon for every supported platform
	@for p in $(PLATFORMS); do echo "cross: $$p"; \
		GOOS=$${p%/*} GOARCH=$${p#*/} $(GO_BUILD) -o /dev/null ./cmd/invoscope || exit 1; done

.PHONY: fuzz
fuzz: ## Run each fuzz target in FUZZ_IN (all) for FUZZTIME (10s)
	@grep -rEo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' $(FUZZ_IN) | \
	sed 's|/[^/:]*:func | |' | while read -r dir name; do echo "fuzz: $$dir $$name"; \
		$(GO) test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) ./$$dir </dev/null || exit 1; done

.PHONY: bench
bench: ## Run the benchmarks (BENCH=regexp)
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem ./...

.PHONY: bench-ingest
bench-ingest: build engines senders ## Measure ingest beside the engines and a Collector, and a stalled tenant (ARGS="-run regexp …")
	$(GO) build -o bin/bench ./test/bench
	bin/bench $(ARGS)
	bin/bench -stall $(ARGS)

.PHONY: bench-lookup
bench-lookup: build engines ## Measure the search for an invocation through the relay beside Tempo itself
	$(GO) build -o bin/bench ./test/bench
	bin/bench -lookup $(ARGS)

.PHONY: clean
clean: ## Remove bin/ (data/ stays)
	rm -rf bin
