# Everything a machine with Go, Node and make needs: make run, make test.
# `make help` lists the rest. Java 17 and Maven add the real Kafka to the tests.

SHELL := /bin/bash
.DEFAULT_GOAL := help

BIN := bin
ENGINE := deploy/embedded/node_modules/.package-lock.json
ISSUER := internal/storetest/testdata/oidcprovider/node_modules/.package-lock.json
LINTER := .cache/bin/golangci-lint
UP_FLAGS ?= --demo
TEST_FLAGS ?=
GO_FILES := $(shell git ls-files -co --exclude-standard '*.go' '*.sql' '*.html' '*.css' '*.json' 2>/dev/null)

.PHONY: help run build engine issuer broker system test race lint check generate bench fuzz fmt clean

help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: build engine ## Run everything on this machine with demo data until Ctrl-C.
	@exec $(BIN)/drawdown up $(UP_FLAGS)

build: $(BIN)/drawdown $(BIN)/drawdown-embedded ## Build bin/drawdown and bin/drawdown-embedded.

$(BIN)/drawdown: go.mod go.sum $(GO_FILES)
	CGO_ENABLED=0 go build -trimpath -o $@ ./cmd/drawdown

$(BIN)/drawdown-embedded: go.mod go.sum $(GO_FILES)
	CGO_ENABLED=0 go build -trimpath -o $@ ./cmd/drawdown-embedded

engine: $(ENGINE) ## Fetch the ClickHouse engine (178 MB, once).

$(ENGINE): deploy/embedded/package.json deploy/embedded/package-lock.json
	@echo "fetching the ClickHouse engine (178 MB)"
	npm --prefix deploy/embedded ci --no-audit --no-fund
	@touch $@

issuer: $(ISSUER) ## Fetch the OpenID provider of the tests (9 MB, once).

$(ISSUER): internal/storetest/testdata/oidcprovider/package.json internal/storetest/testdata/oidcprovider/package-lock.json
	npm --prefix internal/storetest/testdata/oidcprovider ci --no-audit --no-fund
	@touch $@

broker: ## Fetch Apache Kafka for the tests where Java and Maven are there (required when CI is set).
	@if command -v java >/dev/null && command -v mvn >/dev/null; then deploy/kafka/run.sh --resolve; \
	elif [ -n "$$CI" ]; then echo "Java 17 and Maven are required in CI" >&2; exit 1; \
	else echo "NOTE: Java or Maven is missing: the tests against Apache Kafka will be skipped" >&2; fi

system: ## Install strace, which the crash tests use, where apt-get and root are there.
	@if ! command -v strace >/dev/null && command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq strace >/dev/null; fi

test: engine issuer broker system ## Run every test with the real stores, then the race detector.
	go test -timeout 25m $(TEST_FLAGS) ./...
	$(MAKE) --no-print-directory race

# The race detector slows what it watches: it runs over the packages with
# goroutines, with their shorter tests.
race: engine issuer ## Run the shorter tests under the race detector (needs a C compiler).
	@if command -v gcc >/dev/null || command -v clang >/dev/null; then \
		CGO_ENABLED=1 go test -race -short -p 1 -parallel 4 -timeout 25m ./consumers ./queryapi ./aggregator ./aggregator/notify ./deploy/embedded && \
		CGO_ENABLED=1 go test -race -short -timeout 25m -run "Producer|Simulat|Import" ./cmd/drawdown; \
	elif [ -n "$$CI" ]; then echo "a C compiler is required in CI for the race detector" >&2; exit 1; \
	else echo "NOTE: no C compiler: the race detector is skipped" >&2; fi

lint: $(LINTER) ## Check format, vet, golangci-lint and that generated files are up to date.
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$unformatted" ]; then echo "gofmt -w is needed for: $$unformatted" >&2; exit 1; fi
	go vet ./...
	$(LINTER) run ./...
	go mod tidy -diff
	@go run ./cmd/drawdown openapi | diff -u docs/openapi.json - || { echo "docs/openapi.json is not up to date: make generate" >&2; exit 1; }

$(LINTER): tools/go.mod tools/go.sum
	@echo "building golangci-lint (some minutes, once)"
	@mkdir -p $(@D)
	go build -C tools -o ../$@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint

check: test lint ## All that CI runs.

generate: ## Write docs/openapi.json as the API serves it.
	go run ./cmd/drawdown openapi > docs/.openapi.json && mv docs/.openapi.json docs/openapi.json

bench: ## Run the Go benchmarks, then measure ingestion.
	go test -run '^$$' -bench . -benchmem ./schemas ./consumers ./aggregator/... ./queryapi
	$(MAKE) --no-print-directory build engine
	$(BIN)/drawdown bench ingest

fuzz: ## Fuzz each parser for a minute.
	go test ./schemas -run '^$$' -fuzz '^FuzzDecode$$' -fuzztime 60s
	go test ./schemas -run '^$$' -fuzz '^FuzzCredits$$' -fuzztime 60s
	go test ./queryapi -run '^$$' -fuzz '^FuzzClaims$$' -fuzztime 60s
	go test ./queryapi -run '^$$' -fuzz '^FuzzToken$$' -fuzztime 60s

fmt: ## Format the Go files.
	gofmt -w $$(git ls-files '*.go')

clean: ## Remove what was built; the data of `make run` stays.
	rm -rf $(BIN) .cache
