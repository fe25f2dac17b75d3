# The cluster of the tests: a box made here, or one of your own when KUBECONFIG says so (tests/cluster/README.md).

CACHE ?= $(or $(FREETHREAD_CACHE),$(HOME)/.cache/freethread-rollout)
BOX ?= $(or $(FREETHREAD_BOX),/tmp/freethread-box)
OWN_CLUSTER := $(filter-out $(BOX)/kubeconfig,$(KUBECONFIG))
ifeq ($(OWN_CLUSTER),)
KUBECONFIG := $(BOX)/kubeconfig
# The kubectl of the box, for recipes that need one.
KUBECTL := $(BOX)/bin/kubectl
else
KUBECTL := kubectl
endif
export FREETHREAD_CACHE := $(CACHE)
export FREETHREAD_BOX := $(BOX)
export KUBECONFIG

.PHONY: cluster-up cluster-down

cluster-up: ## A real Kubernetes with Prometheus and the example's images (or those in your own: KUBECONFIG, IMAGE_LOADER)
ifeq ($(OWN_CLUSTER),)
	tests/cluster/deps.sh box
	tests/cluster/build.sh all
	tests/cluster/up.sh
else
	tests/cluster/deps.sh build
endif
	tests/cluster/images.sh
	tests/cluster/prometheus.sh
	tests/cluster/gateways.sh

cluster-down: ## Take it down without a trace (your own is left alone)
	$(if $(OWN_CLUSTER),@echo "KUBECONFIG is a cluster of your own: nothing to take down",tests/cluster/down.sh)
