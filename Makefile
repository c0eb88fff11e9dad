# make            build bin/brickyard
# make help       what else there is

PREFIX  ?= /usr/local
DESTDIR ?=
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

# How long each fuzz target runs, how many random little archives meet apt, and what is drawn from, in make soak.
FUZZTIME ?= 60s
SOAK     ?= 300
SEED     ?= 1

# How often each thing is measured in make bench.
N ?= 5

export PATH := $(PATH):/usr/local/go/bin:/usr/sbin:/sbin
GO := go
tool = $(GO) tool -modfile=tools/go.mod

.PHONY: build
build: need-go ## build bin/brickyard (the default)
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w -X brickyard/internal/cli.version=$(VERSION)' -o bin/brickyard ./cmd/brickyard

.PHONY: demo
demo: deps-run build ## lock, bake and run examples/web, and fetch its page
	scripts/demo

.PHONY: test
test: deps build ## all tests, those with skopeo, umoci, podman and docker too
	scripts/test

.PHONY: check
check: deps-check build ## format, vet, fix, lint, licences, known faults, tests with the race detector
	scripts/check

.PHONY: bench
bench: deps build ## measure against the tools people use, into docs/benchmarks.md (N=5)
	scripts/with-docker $(GO) run ./bench -n $(N) -o docs/benchmarks.md

.PHONY: soak
soak: deps-soak ## what takes long: fuzzing (FUZZTIME=60s), random archives against apt (SOAK=300), a corpus into docs/corpus.md (SEED=1)
	scripts/soak $(FUZZTIME) $(SOAK) $(SEED)

.PHONY: man
man: build ## manual pages, into bin/man
	rm -rf bin/man
	bin/brickyard gen-man bin/man

.PHONY: completion
completion: build ## shell completion, into bin/completion
	mkdir -p bin/completion
	bin/brickyard completion bash > bin/completion/brickyard
	bin/brickyard completion zsh > bin/completion/_brickyard
	bin/brickyard completion fish > bin/completion/brickyard.fish

.PHONY: install
install: man completion ## install program, pages and completion (PREFIX=/usr/local, DESTDIR=)
	install -D -m 0755 bin/brickyard $(DESTDIR)$(PREFIX)/bin/brickyard
	install -d $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 0644 bin/man/*.1 $(DESTDIR)$(PREFIX)/share/man/man1/
	install -D -m 0644 bin/completion/brickyard $(DESTDIR)$(PREFIX)/share/bash-completion/completions/brickyard
	install -D -m 0644 bin/completion/_brickyard $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_brickyard
	install -D -m 0644 bin/completion/brickyard.fish $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/brickyard.fish

.PHONY: deps deps-run deps-soak deps-check
deps: ## install what is missing to run and to test (apt, as root)
	scripts/deps run test
deps-run: ## install what is missing to run
	scripts/deps run
deps-soak: ## install what is missing to soak: QEMU too
	scripts/deps run test soak
deps-check: ## install what is missing to check
	scripts/deps run test check

.PHONY: clean
clean: ## take away what was built, and the demo's catalogue
	rm -rf bin .cache

.PHONY: need-go
need-go:
	@command -v $(GO) >/dev/null || { echo 'make: Go 1.26 is needed, and is not in PATH: see https://go.dev/doc/install' >&2; exit 1; }

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20
