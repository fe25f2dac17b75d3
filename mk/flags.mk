# The flag server alone: with the official OFREP client, and how fast it is. No cluster.

FLAG_PACKAGES := target/flag-packages
RATE ?= 5000
SECONDS ?= 10

.PHONY: flag-tools flag-test bench-flags

flag-tools:
	cargo build $(CARGO_FLAGS) --example flags

# For each interpreter its own: some packages have extensions for one and none for the other.
flag-test: flag-tools ## The official OFREP client against the flag server, on 3.13t and 3.13: the GIL stays off
	for python in $(PROBE_PYTHONS); do \
	  packages=$(FLAG_PACKAGES)/$$(basename $$python); \
	  test -d $$packages || tests/cluster/pip.sh $$python install --require-hashes --only-binary=:all: --target $$packages \
	    -r tests/flag/requirements.txt; \
	  echo "$$python tests/flag"; \
	  PYTHONPATH=$$packages PYTHONDONTWRITEBYTECODE=1 $$python tests/flag/client.py $(BIN)/examples/flags; \
	done

bench-flags: flag-tools ## Evaluations at RATE a second for SECONDS: fails where p99 is above 2 ms
	$(BIN)/examples/flags bench --rate $(RATE) --seconds $(SECONDS)
