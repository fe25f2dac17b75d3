package main

import (
	"context"
	"encoding/json"
	"fmt"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/itchyny/gojq"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/jsonmergepatch"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	owner       = client.FieldOwner("argocd-controller")
	lastApplied = "kubectl.kubernetes.io/last-applied-configuration"
)

// argocd compares and syncs a custom resource as Argo CD does with `RespectIgnoreDifferences=true`: what is ignored is left out of the comparison,
// and taken over from the cluster into what is applied. Its comparison and its apply are those of `kubectl`: a three-way merge with the last
// applied state, or a server-side apply.
func argocd(ctx context.Context, cluster client.Client, target *unstructured.Unstructured, ignored string, serverSide bool) (string, error) {
	annotate(target, "argocd.argoproj.io/tracking-id", "shop:"+target.GetKind()+":"+target.GetNamespace()+"/"+target.GetName())
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(target.GroupVersionKind())
	err := cluster.Get(ctx, client.ObjectKeyFromObject(target), live)
	if err != nil && !apierrors.IsNotFound(err) {
		return "", err
	}
	word := "OutOfSync"
	if err == nil {
		same, err := synced(ctx, cluster, target, live, ignored, serverSide)
		if err != nil {
			return "", err
		}
		if same {
			word = "Synced"
		}
		if target, err = respecting(target, live, ignored); err != nil {
			return "", err
		}
	}
	if serverSide {
		return word, cluster.Patch(ctx, target, client.Apply, owner, client.ForceOwnership)
	}
	return word, apply(ctx, cluster, target, live)
}

// synced tells whether a sync would change anything but what is ignored.
func synced(ctx context.Context, cluster client.Client, target, live *unstructured.Unstructured, ignored string, serverSide bool) (bool, error) {
	now, err := without(live, ignored)
	if err != nil {
		return false, err
	}
	if serverSide {
		predicted := target.DeepCopy()
		if err := cluster.Patch(ctx, predicted, client.Apply, owner, client.ForceOwnership, client.DryRunAll); err != nil {
			return false, err
		}
		then, err := without(predicted, ignored)
		return jsonpatch.Equal(now, then), err
	}
	then, err := without(target, ignored)
	if err != nil {
		return false, err
	}
	before := &unstructured.Unstructured{Object: map[string]any{}}
	if text := live.GetAnnotations()[lastApplied]; text != "" {
		if err := before.UnmarshalJSON([]byte(text)); err != nil {
			return false, err
		}
	}
	original, err := without(before, ignored)
	if err != nil {
		return false, err
	}
	patch, err := jsonmergepatch.CreateThreeWayJSONMergePatch(original, then, now)
	if err != nil {
		return false, err
	}
	predicted, err := jsonpatch.MergePatch(now, patch)
	return jsonpatch.Equal(now, predicted), err
}

// without gives an object without what is ignored, and without what every write changes.
func without(object *unstructured.Unstructured, ignored string) ([]byte, error) {
	object = object.DeepCopy()
	for _, field := range []string{"managedFields", "resourceVersion", "generation"} {
		unstructured.RemoveNestedField(object.Object, "metadata", field)
	}
	unstructured.RemoveNestedField(object.Object, "metadata", "annotations", lastApplied)
	if ignored == "" {
		return json.Marshal(object.Object)
	}
	query, err := gojq.Parse("del(" + ignored + ")")
	if err != nil {
		return nil, err
	}
	// In the types that a decoder of JSON makes: jq knows no int64.
	text, err := json.Marshal(object.Object)
	if err != nil {
		return nil, err
	}
	var plain any
	if err := json.Unmarshal(text, &plain); err != nil {
		return nil, err
	}
	rest, there := query.Run(plain).Next()
	if err, failed := rest.(error); failed || !there {
		return nil, fmt.Errorf("%s: %w", ignored, err)
	}
	return json.Marshal(rest)
}

// respecting gives what is applied: the target, with what is ignored as it is in the cluster.
func respecting(target, live *unstructured.Unstructured, ignored string) (*unstructured.Unstructured, error) {
	if ignored == "" {
		return target, nil
	}
	stripped, err := without(live, ignored)
	if err != nil {
		return nil, err
	}
	whole, err := without(live, "")
	if err != nil {
		return nil, err
	}
	patch, err := jsonpatch.CreateMergePatch(stripped, whole)
	if err != nil {
		return nil, err
	}
	base, err := without(target, ignored)
	if err != nil {
		return nil, err
	}
	merged, err := jsonpatch.MergePatch(base, patch)
	if err != nil {
		return nil, err
	}
	respected := &unstructured.Unstructured{}
	return respected, respected.UnmarshalJSON(merged)
}

// apply is `kubectl apply`.
func apply(ctx context.Context, cluster client.Client, target, live *unstructured.Unstructured) error {
	text, err := json.Marshal(target.Object)
	if err != nil {
		return err
	}
	target = target.DeepCopy()
	annotate(target, lastApplied, string(text))
	if live.GetUID() == "" {
		return cluster.Create(ctx, target, owner)
	}
	modified, err := json.Marshal(target.Object)
	if err != nil {
		return err
	}
	current, err := json.Marshal(live.Object)
	if err != nil {
		return err
	}
	patch, err := jsonmergepatch.CreateThreeWayJSONMergePatch([]byte(live.GetAnnotations()[lastApplied]), modified, current)
	if err != nil {
		return err
	}
	return cluster.Patch(ctx, live, client.RawPatch(types.MergePatchType, patch), owner)
}

func annotate(object *unstructured.Unstructured, name, value string) {
	all := object.GetAnnotations()
	if all == nil {
		all = map[string]string{}
	}
	all[name] = value
	object.SetAnnotations(all)
}
