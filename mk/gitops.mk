# What GitOps tools make of a rollout. No cluster; who owns which field is played by `make conformance`.

.PHONY: gitops-test

gitops-test: ## Argo CD's health and actions over a rollout in every state, and kstatus by its own library
	cd tests/gitops && CGO_ENABLED=0 GOFLAGS= GOWORK=off go test ./...
