# The operator's image and its installation into the cluster, with the chart that users get.

OPERATOR_IMAGE := registry.example/freethread-rollout:dev
SYSTEM_NAMESPACE := freethread-system

.PHONY: operator-image operator-install

operator-image: binaries
	tests/cluster/binary-image.sh $(OPERATOR_IMAGE) $(BIN)/freethread-rollout target/operator-image.tar
	tests/cluster/load-image.sh target/operator-image.tar

operator-install: cluster-up operator-image ## The operator into the cluster, by Helm
	tests/cluster/install-operator.sh $(OPERATOR_IMAGE) $(SYSTEM_NAMESPACE)
