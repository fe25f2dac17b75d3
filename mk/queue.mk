# The example with a queue, on a Redis of this machine. No cluster.

QUEUE_PACKAGES := target/queue-packages

.PHONY: queue-test

queue-test: ## No order of the queue example is lost, on 3.13t and 3.13: pools that end, die, fail or never were
	for python in $(PROBE_PYTHONS); do \
	  packages=$(CURDIR)/$(QUEUE_PACKAGES)/$$(basename $$python); \
	  test -d $$packages || tests/cluster/pip.sh $$python install --require-hashes --only-binary=:all: --target $$packages \
	    -r examples/queue/requirements.txt; \
	  echo "$$python tests/queue"; \
	  PYTHONPATH=$$packages PYTHONDONTWRITEBYTECODE=1 $$python -m unittest discover -s tests/queue; \
	done
