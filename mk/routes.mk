# What every router promises, played on each of them on a real API server. No operator runs.

.PHONY: conformance

conformance: cluster-up ## Every promise of a router on every router; WRITE=1 renews the README's table
	cargo build $(CARGO_FLAGS) --example conformance
	$(BIN)/examples/conformance $(if $(WRITE),--write) $(ROUTERS)
