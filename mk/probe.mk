# The Python parts: the probe that watches the GIL in a running pool, and the inspection of an image. No cluster.

PROBE_PACKAGES := target/probe-packages
# Extensions are compiled for each interpreter. Another one: make probe-test PROBE_PYTHONS=/path/to/python
PROBE_PYTHONS ?= $(shell tests/cluster/deps.sh build >&2 && d=$$(tests/cluster/build.sh pythons) && echo $$d/ft/opt/*/bin/python3.13t $$d/std/opt/*/bin/python3.13)

.PHONY: probe-test probe-bench

$(PROBE_PACKAGES): examples/service/requirements.txt
	rm -rf $@
	set -- $(PROBE_PYTHONS); tests/cluster/pip.sh "$$1" install --no-deps --require-hashes --target $@ -r $<

probe-test: $(PROBE_PACKAGES) ## The probe and the image inspection, on 3.13t and 3.13
	for python in $(PROBE_PYTHONS); do \
	  for tests in probe/tests tests/preflight_image; do \
	    echo "$$python $$tests"; \
	    PROBE_TEST_PACKAGES=$(CURDIR)/$(PROBE_PACKAGES) PYTHONDONTWRITEBYTECODE=1 $$python -m unittest discover -s $$tests; \
	  done; \
	done

probe-bench: ## What the probe costs: calls per second, memory and start, with and without it
	for python in $(PROBE_PYTHONS); do $$python probe/bench.py $${ROUNDS:-40}; done
