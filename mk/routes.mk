# What every router promises, played on each of them on a real API server; and what GitOps tools leave to a rollout, whose CRD the operator's chart brings.

.PHONY: conformance

conformance: operator-install ## Every promise of a router on every router; WRITE=1 renews the README's table
	cargo build $(CARGO_FLAGS) --example conformance
	$(BIN)/examples/conformance --sync "$$(tests/cluster/build.sh sync)/sync" $(if $(WRITE),--write) $(ROUTERS)
