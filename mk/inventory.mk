# What pip takes from the package index today, against what `inventory` names: at most 30 packages. Needs the network, so that no other target needs it.

INVENTORY_VENV := target/inventory-venv

.PHONY: inventory-live

inventory-live: build ## Ask pip and the package index of today about at most 30 packages of the tests' lock files
	test -x $(INVENTORY_VENV)/bin/pip || python3 -m venv $(INVENTORY_VENV)
	$(INVENTORY_VENV)/bin/pip install --quiet 'pip>=26.1' packaging
	$(INVENTORY_VENV)/bin/python tests/inventory/record.py live $(BIN)/freethread-rollout
