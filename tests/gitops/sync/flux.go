package main

import (
	"context"

	"github.com/fluxcd/pkg/ssa"
	"github.com/fluxcd/pkg/ssa/jsondiff"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const group = "kustomize.toolkit.fluxcd.io"

// flux applies with kustomize-controller's own library and the options that it gives it.
func flux(ctx context.Context, cluster client.Client, target *unstructured.Unstructured, ignored string) (string, error) {
	manager := ssa.NewResourceManager(cluster, nil, ssa.Owner{Field: "kustomize-controller", Group: group})
	objects := []*unstructured.Unstructured{target}
	manager.SetOwnerLabels(objects, "shop", "flux-system")
	options := ssa.DefaultApplyOptions()
	options.ExclusionSelector = map[string]string{group + "/reconcile": "disabled", group + "/ssa": "Ignore"}
	options.IfNotPresentSelector = map[string]string{group + "/ssa": "IfNotPresent"}
	options.Cleanup = ssa.ApplyCleanupOptions{
		Annotations: []string{"kubectl.kubernetes.io/last-applied-configuration"},
		FieldManagers: []ssa.FieldManager{
			{Name: "kubectl", OperationType: metav1.ManagedFieldsOperationApply},
			{Name: "kubectl", OperationType: metav1.ManagedFieldsOperationUpdate},
			{Name: "before-first-apply", OperationType: metav1.ManagedFieldsOperationUpdate},
			{Name: "kustomize-controller", OperationType: metav1.ManagedFieldsOperationUpdate},
		},
		Exclusions: map[string]string{group + "/ssa": "Merge"},
	}
	if ignored != "" {
		kind := &jsondiff.Selector{Kind: target.GetKind(), Name: target.GetName()}
		options.DriftIgnoreRules = []jsondiff.IgnoreRule{{Paths: []string{ignored}, Selector: kind}}
	}
	changes, err := manager.ApplyAll(ctx, objects, options)
	if err != nil {
		return "", err
	}
	return string(changes.Entries[0].Action), nil
}
