# `make demo` shows the main job, `make test` proves it. Both install and build what they need.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

# One profile for what is tested, whose dependencies are compiled once: a release build takes three times as long. What is shipped or timed is one.
RELEASES := build bench-% inventory-live
PROFILE ?= $(if $(filter $(RELEASES),$(MAKECMDGOALS)),release,dev)
# The binaries are static, so that an image is one file; only with an explicit --target are procedural macros left out of that, which must be dynamic.
TARGET ?= $(shell rustc -vV | sed -n 's/^host: //p')
export RUSTFLAGS ?= -C target-feature=+crt-static
CARGO_FLAGS := --profile $(PROFILE) --locked --target $(TARGET)
BIN := target/$(TARGET)/$(PROFILE:dev=debug)

include mk/*.mk

.PHONY: help build binaries crd lint unit test

help: ## This list
	@grep -hE '^[a-zA-Z_-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  %-16s %s\n", $$1, $$2}'

build: binaries ## The operator and the kubectl plugin, static

binaries:
	cargo build $(CARGO_FLAGS) --bins

crd: ## Generate the CRD into crds/ and the chart
	cargo run --quiet $(CARGO_FLAGS) --bin freethread-rollout -- crd > crds/freethreadrollouts.yaml.new
	mv crds/freethreadrollouts.yaml.new crds/freethreadrollouts.yaml
	cp crds/freethreadrollouts.yaml charts/freethread-rollout/files/crd.yaml

# Built once, and not with our flags: proc-macros cannot be static. A version of its own, so that a lint does not change under us.
DENY := $(CACHE)/cargo-deny/0.20.2

lint: ## Formatting, clippy, licences and bans
	cargo fmt --check
	cargo clippy $(CARGO_FLAGS) --all-targets -- -D warnings
	test -x $(DENY)/bin/cargo-deny || env -u RUSTFLAGS cargo install --quiet --locked --root $(DENY) cargo-deny@$(notdir $(DENY))
	PATH=$(DENY)/bin:$$PATH cargo deny check bans licenses sources

unit: ## The fast tests: no cluster; the chart's with a helm of our own
	HELM="$${HELM:-$$(tests/cluster/build.sh helm)/helm}" cargo test $(CARGO_FLAGS)

# These four stand for all.
TESTED := healthy errors gil-returns delete

test: unit probe-test flag-test queue-test gitops-test ## Fast tests, the Python parts, what GitOps tools see, then the scenarios healthy, errors, gil-returns and delete on a real cluster
	$(MAKE) scenario NAME="$(TESTED)"
