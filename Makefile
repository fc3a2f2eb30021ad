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
DASHBOARD := queryapi/dashboard
PAGE := $(DASHBOARD)/dist/index.html
PAGE_TOOLS := $(DASHBOARD)/node_modules/.package-lock.json
PAGE_FILES := $(wildcard $(shell git ls-files -co --exclude-standard $(DASHBOARD) 2>/dev/null | grep -vE '\.go$$|/browser/|\.test\.tsx?$$|/dist/'))
GO_FILES := $(wildcard $(shell git ls-files -co --exclude-standard '*.go' '*.sql' '*.html' '*.css' '*.json' 2>/dev/null))

.PHONY: help run build engine issuer broker system page page-test browser pictures test race faults faults-removals lint check generate bench fuzz fmt clean

help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: build engine ## Run everything on this machine with demo data until Ctrl-C.
	@exec $(BIN)/drawdown up $(UP_FLAGS)

build: $(BIN)/drawdown $(BIN)/drawdown-embedded ## Build bin/drawdown and bin/drawdown-embedded.

$(BIN)/drawdown: go.mod go.sum $(GO_FILES) $(PAGE)
	CGO_ENABLED=0 go build -trimpath -o $@ ./cmd/drawdown

$(BIN)/drawdown-embedded: go.mod go.sum $(GO_FILES)
	CGO_ENABLED=0 go build -trimpath -o $@ ./cmd/drawdown-embedded

page: $(PAGE) ## Build the page, which bin/drawdown serves.

$(PAGE): $(PAGE_TOOLS) $(PAGE_FILES)
	npm --prefix $(DASHBOARD) run --silent build
	@touch $@

$(PAGE_TOOLS): $(DASHBOARD)/package.json $(DASHBOARD)/package-lock.json
	@echo "fetching what the page is built with (60 MB, once)"
	npm --prefix $(DASHBOARD) ci --no-audit --no-fund
	@touch $@

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

system: ## Install strace and Chromium, which tests use, where apt-get and root are there.
	@missing=""; command -v strace >/dev/null || missing="strace"; \
	command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || missing="$$missing chromium"; \
	if [ -n "$$missing" ] && command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
		echo "installing $$missing"; apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $$missing >/dev/null; fi

test: engine page issuer broker system page-test ## Run every test with the real stores, in a browser and under the race detector.
	go test -timeout 45m $(TEST_FLAGS) ./...
	$(MAKE) --no-print-directory browser
	$(MAKE) --no-print-directory race

page-test: $(PAGE_TOOLS) ## Check the page's types and test its logic.
	npm --prefix $(DASHBOARD) run --silent check
	npm --prefix $(DASHBOARD) run --silent test

browser: build engine ## Test the page in Chromium against the whole of Drawdown (required when CI is set).
	npm --prefix $(DASHBOARD) run --silent browser

pictures: build engine ## Write the pictures of the README, docs/credits*.png, from the demo.
	PICTURES=1 npm --prefix $(DASHBOARD) run --silent browser -- browser/screens.test.ts -t 'pictures of the README'

# The race detector slows what it watches: it runs over the packages with
# goroutines, with their shorter tests, and without those that go through the
# same code many times over.
RACE_SKIP := EachStep|WhereItWasKilled|ThatIsStoppedMidway|KilledInAGroup|^TestFilter$$|EqualsBurnDown|EqualsOracle|OfAMillionEvents
race: engine issuer ## Run the shorter tests under the race detector (needs a C compiler).
	@if command -v gcc >/dev/null || command -v clang >/dev/null; then \
		CGO_ENABLED=1 go test -race -short -p 1 -parallel 4 -timeout 25m -skip '$(RACE_SKIP)' ./consumers ./queryapi ./aggregator ./aggregator/notify ./deploy/embedded && \
		CGO_ENABLED=1 go test -race -short -timeout 25m -run "Producer|Simulat|Import" ./cmd/drawdown; \
	elif [ -n "$$CI" ]; then echo "a C compiler is required in CI for the race detector" >&2; exit 1; \
	else echo "NOTE: no C compiler: the race detector is skipped" >&2; fi

FAULTS ?= 100
BROKER ?= kfake

faults: engine broker ## Bring FAULTS=n faults over everything and compare every total; SEED=s replays, BROKER=kfake or kafka.
	FAULTS=$(FAULTS) SEED=$(SEED) BROKER=$(BROKER) FAULTS_REPORT=$(CURDIR)/docs/faults.md go test ./internal/faults -count=1 -timeout 24h -v -run '^TestCampaign$$'

faults-removals: engine ## Take one safeguard after another away and require that the campaign notices.
	internal/faults/removals/run.sh $(CURDIR)/docs/faults.md

lint: $(LINTER) $(PAGE_TOOLS) ## Check format, vet, golangci-lint and that generated files are up to date.
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$unformatted" ]; then echo "gofmt -w is needed for: $$unformatted" >&2; exit 1; fi
	go vet ./...
	$(LINTER) run ./...
	go mod tidy -diff
	npm --prefix $(DASHBOARD) run --silent lint
	@npm --prefix $(DASHBOARD) run --silent generated
	@go run ./cmd/drawdown openapi | diff -u docs/openapi.json - || { echo "docs/openapi.json is not up to date: make generate" >&2; exit 1; }

$(LINTER): tools/go.mod tools/go.sum
	@echo "building golangci-lint (some minutes, once)"
	@mkdir -p $(@D)
	go build -C tools -o ../$@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint

check: test lint ## All that CI runs.

generate: $(PAGE_TOOLS) ## Write docs/openapi.json as the API serves it, and the page's types after it.
	go run ./cmd/drawdown openapi > docs/.openapi.json && mv docs/.openapi.json docs/openapi.json
	npm --prefix $(DASHBOARD) run --silent generate

bench: ## Run the Go benchmarks, then measure ingestion.
	go test -run '^$$' -bench . -benchmem ./schemas ./consumers ./aggregator/... ./queryapi
	$(MAKE) --no-print-directory build engine
	$(BIN)/drawdown bench ingest

fuzz: ## Fuzz each parser for a minute.
	go test ./schemas -run '^$$' -fuzz '^FuzzDecode$$' -fuzztime 60s
	go test ./schemas -run '^$$' -fuzz '^FuzzCredits$$' -fuzztime 60s
	go test ./queryapi -run '^$$' -fuzz '^FuzzClaims$$' -fuzztime 60s
	go test ./queryapi -run '^$$' -fuzz '^FuzzToken$$' -fuzztime 60s

fmt: $(PAGE_TOOLS) ## Format the Go files and those of the page.
	gofmt -w $$(git ls-files '*.go')
	npm --prefix $(DASHBOARD) run --silent fix

clean: ## Remove what was built; the data of `make run` stays.
	rm -rf $(BIN) .cache
