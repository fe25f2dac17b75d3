package gitops

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	jsonpatch "github.com/evanphx/json-patch/v5"
)

const command = "freethreading.dev/command"

// verbs in the order of the documents.
var verbs = []string{"promote", "pause", "resume", "abort", "retry"}

func TestActionsAreEnabledWhereTheOperatorObeys(t *testing.T) {
	script := read(t, "actions", "discovery.lua")
	for name, rollout := range states(t) {
		t.Run(name, func(t *testing.T) {
			var found map[string]struct{ Disabled bool }
			if err := json.Unmarshal(run(t, script, rollout.Object), &found); err != nil {
				t.Fatal(err)
			}
			if len(found) != len(verbs) {
				t.Errorf("%v, want %v", found, verbs)
			}
			enabled := slices.DeleteFunc(slices.Clone(verbs), func(verb string) bool { return found[verb].Disabled })
			if !slices.Equal(enabled, rollout.Accepts) {
				t.Errorf("enabled %v, obeyed %v", enabled, rollout.Accepts)
			}
		})
	}
}

func TestActionsWriteTheCommandAndNothingElse(t *testing.T) {
	for name, rollout := range states(t) {
		for _, verb := range verbs {
			t.Run(name+"/"+verb, func(t *testing.T) {
				var after map[string]any
				if err := json.Unmarshal(run(t, read(t, "actions", verb, "action.lua"), rollout.Object), &after); err != nil {
					t.Fatal(err)
				}
				before, err := json.Marshal(rollout.Object)
				if err != nil {
					t.Fatal(err)
				}
				restored, err := json.Marshal(restoreEmpty(after, rollout.Object))
				if err != nil {
					t.Fatal(err)
				}
				patch, err := jsonpatch.CreateMergePatch(before, restored)
				if err != nil {
					t.Fatal(err)
				}
				var changed struct {
					Metadata struct{ Annotations map[string]string }
				}
				if err := json.Unmarshal(patch, &changed); err != nil {
					t.Fatal(err)
				}
				given := changed.Metadata.Annotations[command]
				alone, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]any{command: given}}})
				if err != nil || !jsonpatch.Equal(patch, alone) {
					t.Fatalf("changes %s", patch)
				}
				said, at, _ := strings.Cut(given, "@")
				when, err := time.Parse(time.RFC3339, at)
				if said != verb || err != nil || time.Since(when).Abs() > time.Minute {
					t.Errorf("%s: %v", given, err)
				}
			})
		}
	}
}

// restoreEmpty makes an object of each empty list that was one before, as Argo CD does: Lua has one kind of table.
func restoreEmpty(after, before any) any {
	switch now := after.(type) {
	case map[string]any:
		then, _ := before.(map[string]any)
		for key, value := range now {
			now[key] = restoreEmpty(value, then[key])
		}
	case []any:
		if then, was := before.(map[string]any); was && len(now) == 0 {
			return reflect.MakeMap(reflect.TypeOf(then)).Interface()
		}
		then, _ := before.([]any)
		for i := range min(len(now), len(then)) {
			now[i] = restoreEmpty(now[i], then[i])
		}
	}
	return after
}
