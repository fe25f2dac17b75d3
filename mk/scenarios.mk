# Scenarios and the demo: played on the cluster of KUBECONFIG against the operator that the chart installed.

LOAD_IMAGE := registry.example/load:test

.PHONY: scenario-tools scenario-images scenario scenarios demo

# The runner, and the load generator that it starts in the cluster.
scenario-tools:
	cargo build $(CARGO_FLAGS) --example load --example scenarios

scenario-images: cluster-up scenario-tools
	tests/cluster/binary-image.sh $(LOAD_IMAGE) $(BIN)/examples/load target/load-image.tar
	tests/cluster/load-image.sh target/load-image.tar

# How many play at a time.
JOBS ?= 2
# AGAIN=1 plays what failed once more, alone, and says so.
AGAIN ?=

scenario: operator-install scenario-images ## Play the scenarios NAME="one two"; OPERATOR=off plays them without the operator
	@test -n "$(NAME)" || { $(BIN)/examples/scenarios --list; echo 'say which: make scenario NAME=errors'; exit 2; }
	LOAD_IMAGE=$(LOAD_IMAGE) OPERATOR_IMAGE=$(OPERATOR_IMAGE) $(BIN)/examples/scenarios --jobs $(JOBS) $(if $(AGAIN),--again) $(NAME)

scenarios: operator-install scenario-images ## Play all scenarios, BUT="one two"
	LOAD_IMAGE=$(LOAD_IMAGE) OPERATOR_IMAGE=$(OPERATOR_IMAGE) $(BIN)/examples/scenarios --jobs $(JOBS) $(if $(AGAIN),--again) --all $(addprefix --but ,$(BUT))

demo: operator-install scenario-images ## Steps up live, then 20 % errors in the free-threaded pool, and the way back
	LOAD_IMAGE=$(LOAD_IMAGE) OPERATOR_IMAGE=$(OPERATOR_IMAGE) $(BIN)/examples/scenarios demo
