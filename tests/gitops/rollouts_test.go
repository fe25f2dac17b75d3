// Package gitops holds what GitOps tools make of a rollout: Argo CD's scripts run by the interpreter that it has, kstatus and Flux's
// ownership of fields by their own libraries. The rollouts are what `decide` brings about (tests/laws/gitops.rs).
package gitops

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// state is a rollout in one state, and the commands that the operator would obey in it.
type state struct {
	Object  map[string]any
	Accepts []string
}

func (s state) text(path ...string) string {
	text, _, _ := unstructured.NestedString(s.Object, path...)
	return text
}

// looked tells whether the status is of the spec's generation.
func (s state) looked() bool {
	generation, _, _ := unstructured.NestedInt64(s.Object, "metadata", "generation")
	observed, _, _ := unstructured.NestedInt64(s.Object, "status", "observedGeneration")
	return generation == observed
}

// states reads all of them, by name.
func states(t *testing.T) map[string]state {
	t.Helper()
	files, err := filepath.Glob("rollouts/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no rollouts: %v", err)
	}
	all := map[string]state{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var document struct {
			Object  json.RawMessage
			Accepts []string
		}
		if err := json.Unmarshal(text, &document); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		// Whole numbers as int64, as clients of Kubernetes have them.
		var object unstructured.Unstructured
		if err := object.UnmarshalJSON(document.Object); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		all[name] = state{Object: object.Object, Accepts: document.Accepts}
	}
	return all
}
