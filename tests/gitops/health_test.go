package gitops

import (
	"encoding/json"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

// expected is what people are to see of each state: in Argo CD by health.lua; in Flux, Helm and `kubectl wait` by kstatus.
var expected = map[string]struct {
	argo string
	flux status.Status
}{
	"new":                       {"Progressing", status.InProgressStatus},
	"edited-since":              {"Progressing", status.InProgressStatus},
	"pending-workload-missing":  {"Progressing", status.InProgressStatus},
	"pending-pods":              {"Progressing", status.InProgressStatus},
	"pending-route-unusable":    {"Progressing", status.InProgressStatus},
	"preflight":                 {"Progressing", status.InProgressStatus},
	"preflight-failed":          {"Degraded", status.FailedStatus},
	"converging":                {"Progressing", status.InProgressStatus},
	"holding":                   {"Healthy", status.CurrentStatus},
	"holding-by-route":          {"Healthy", status.CurrentStatus},
	"observing":                 {"Healthy", status.CurrentStatus},
	"approval":                  {"Suspended", status.CurrentStatus},
	"approval-paused":           {"Suspended", status.CurrentStatus},
	"overshoot":                 {"Suspended", status.CurrentStatus},
	"paused":                    {"Suspended", status.CurrentStatus},
	"suspended":                 {"Suspended", status.CurrentStatus},
	"standard-changed":          {"Suspended", status.CurrentStatus},
	"pool-deleted":              {"Suspended", status.CurrentStatus},
	"pool-contested":            {"Degraded", status.FailedStatus},
	"route-contested":           {"Degraded", status.FailedStatus},
	"hybrid":                    {"Healthy", status.CurrentStatus},
	"hybrid-paused":             {"Suspended", status.CurrentStatus},
	"promoted":                  {"Healthy", status.CurrentStatus},
	"no-benefit":                {"Healthy", status.CurrentStatus},
	"rolling-back":              {"Degraded", status.InProgressStatus},
	"rolled-back":               {"Degraded", status.FailedStatus},
	"rolled-back-aborted":       {"Degraded", status.FailedStatus},
	"rolled-back-paused-before": {"Degraded", status.FailedStatus},
	"failed-workload-taken":     {"Degraded", status.FailedStatus},
	"failed-managed-by-other":   {"Degraded", status.FailedStatus},
	"failed-invalid":            {"Degraded", status.FailedStatus},
	"deleting":                  {"Progressing", status.TerminatingStatus},
	"uninstalling":              {"Progressing", status.InProgressStatus},
}

func TestEveryStateIsExpected(t *testing.T) {
	all := states(t)
	for name := range expected {
		if _, there := all[name]; !there {
			t.Errorf("%s: no such rollout", name)
		}
	}
	for name := range all {
		if _, known := expected[name]; !known {
			t.Errorf("%s: what is to be seen of it?", name)
		}
	}
}

func TestArgoHealth(t *testing.T) {
	script := read(t, "health.lua")
	for name, rollout := range states(t) {
		t.Run(name, func(t *testing.T) {
			var seen struct{ Status, Message string }
			if err := json.Unmarshal(run(t, script, rollout.Object), &seen); err != nil {
				t.Fatal(err)
			}
			if want := expected[name].argo; seen.Status != want {
				t.Errorf("%s, want %s: %s", seen.Status, want, seen.Message)
			}
			if said := rollout.text("status", "message"); rollout.looked() && seen.Message != said {
				t.Errorf("says %q, the operator %q", seen.Message, said)
			}
			if !rollout.looked() && !strings.HasPrefix(seen.Message, "the operator has not looked") {
				t.Errorf("says %q of what nobody has looked at", seen.Message)
			}
		})
	}
}

func TestKstatus(t *testing.T) {
	for name, rollout := range states(t) {
		t.Run(name, func(t *testing.T) {
			seen, err := status.Compute(&unstructured.Unstructured{Object: rollout.Object})
			if err != nil {
				t.Fatal(err)
			}
			if want := expected[name].flux; seen.Status != want {
				t.Errorf("%s, want %s: %s", seen.Status, want, seen.Message)
			}
			said := rollout.text("status", "message")
			if seen.Status == status.FailedStatus && seen.Message != said {
				t.Errorf("says %q, the operator %q", seen.Message, said)
			}
		})
	}
}

// TestKstatusOfNone is why the CRD has a default for the status: without one what nobody has looked at is done.
func TestKstatusOfNone(t *testing.T) {
	object := states(t)["new"].Object
	delete(object, "status")
	seen, err := status.Compute(&unstructured.Unstructured{Object: object})
	if err != nil || seen.Status != status.CurrentStatus {
		t.Errorf("%v, %v: the default is needed no more", seen, err)
	}
}
