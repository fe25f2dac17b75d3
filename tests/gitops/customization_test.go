package gitops

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// TestConfigMapIsMadeOfTheScripts: UPDATE_GOLDEN=1 writes it anew.
func TestConfigMapIsMadeOfTheScripts(t *testing.T) {
	file := filepath.Join(customization, "argocd-cm.yaml")
	want := configMap(t)
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if there := read(t, "argocd-cm.yaml"); there != want {
		t.Errorf("%s is not made of the scripts: UPDATE_GOLDEN=1 make gitops-test", file)
	}
}

// TestConfigMapSaysTheSame: what Argo CD reads out of it are the very scripts that the other tests run.
func TestConfigMapSaysTheSame(t *testing.T) {
	var patch struct{ Data map[string]string }
	if err := yaml.Unmarshal([]byte(read(t, "argocd-cm.yaml")), &patch); err != nil {
		t.Fatal(err)
	}
	if got := patch.Data["resource.customizations.health.freethreading.dev_FreeThreadRollout"]; got != read(t, "health.lua") {
		t.Errorf("health: %s", got)
	}
	var actions struct {
		Discovery   string `json:"discovery.lua"`
		Definitions []struct {
			Name   string
			Action string `json:"action.lua"`
		}
	}
	text := patch.Data["resource.customizations.actions.freethreading.dev_FreeThreadRollout"]
	if err := yaml.UnmarshalStrict([]byte(text), &actions); err != nil {
		t.Fatal(err)
	}
	if actions.Discovery != read(t, "actions", "discovery.lua") || len(actions.Definitions) != len(verbs) {
		t.Errorf("actions: %s", text)
	}
	for _, definition := range actions.Definitions {
		if definition.Action != read(t, "actions", definition.Name, "action.lua") {
			t.Errorf("%s: %s", definition.Name, definition.Action)
		}
	}
}

func configMap(t *testing.T) string {
	var text strings.Builder
	text.WriteString(`# Teaches Argo CD the health and the actions of a FreeThreadRollout. Made of the Lua files beside it:
#   kubectl -n argocd patch configmap argocd-cm --patch-file examples/argocd/argocd-cm.yaml
apiVersion: v1
kind: ConfigMap
metadata:
  name: argocd-cm
  namespace: argocd
data:
`)
	fmt.Fprintf(&text, "  resource.customizations.health.freethreading.dev_FreeThreadRollout: |\n%s", indented(4, read(t, "health.lua")))
	fmt.Fprintf(&text, "  resource.customizations.actions.freethreading.dev_FreeThreadRollout: |\n    discovery.lua: |\n%s    definitions:\n",
		indented(6, read(t, "actions", "discovery.lua")))
	for _, verb := range verbs {
		fmt.Fprintf(&text, "    - name: %s\n      action.lua: |\n%s", verb, indented(8, read(t, "actions", verb, "action.lua")))
	}
	return text.String()
}

func indented(by int, text string) string {
	var all strings.Builder
	for line := range strings.Lines(text) {
		if strings.TrimSpace(line) != "" {
			all.WriteString(strings.Repeat(" ", by))
		}
		all.WriteString(line)
	}
	return all.String()
}
