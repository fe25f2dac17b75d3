# Benchmarks: played like the scenarios, on the same cluster. They print distributions and targets; a part of them can be asked for alone.

REPS ?= 5
RATES ?= 10 20 50
CASES ?= errors crash gil short prometheus killed flapping
HEALTHY ?= 120
MINUTES ?= 10

.PHONY: bench-rollback bench-idle

bench-rollback: operator-install scenario-images ## Time from the first bad answer to the end of the traffic: REPS, RATES, CASES, HEALTHY (s)
	LOAD_IMAGE=$(LOAD_IMAGE) $(BIN)/examples/scenarios bench-rollback --reps '$(REPS)' --rates '$(RATES)' --cases '$(CASES)' \
		--healthy '$(HEALTHY)' $(if $(OWN_CLUSTER),,--audit $(BOX)/log/audit.jsonl)

bench-idle: operator-install scenario-images ## Requests, memory and queries of the operator with 100 idle rollouts for MINUTES
	LOAD_IMAGE=$(LOAD_IMAGE) $(BIN)/examples/scenarios bench-idle --minutes '$(MINUTES)' --audit $(BOX)/log/audit.jsonl
