# The judge's benchmark: simulated, so it needs no cluster.

# Runs of each rate (under 10,000 its interval is wide and hides misses) and of each delay.
RUNS ?= 10000
DELAYS ?= 1000
# A part of it: clean shared stress limits peers delays stressed latency advance pace cost
SUITES ?=
# WRITE=1 writes docs/judge-benchmark.md and docs/judge-delays.svg.
WRITE ?=

.PHONY: bench-judge

bench-judge: ## False alarms and delays of the judge by simulation: RUNS, DELAYS, SUITES; WRITE=1 renews the docs
	cargo run $(CARGO_FLAGS) --example bench-judge -- --runs $(RUNS) --delays $(DELAYS) $(if $(SUITES),--only '$(SUITES)') $(if $(WRITE),--write)
