//! Renders the Job whose pod inspects the image.

use serde_json::{Map, Value, json};

use super::SCRIPT;
use crate::{
    api::{
        ANNOTATION_TEMPLATE_HASH, LABEL_MANAGED_BY, LABEL_PREFLIGHT, LABEL_ROLLOUT, MANAGED_BY, Span, hash,
    },
    pool::{CHECK_CONTAINER, Rendered},
};

/// Name of the container that inspects.
pub const CONTAINER: &str = "inspection";
/// What of a container says how it runs; the rest (probes, ports, hooks, its command) is about serving.
const TAKEN_OVER: &[&str] = &[
    "image",
    "imagePullPolicy",
    "env",
    "envFrom",
    "volumeMounts",
    "volumeDevices",
    "securityContext",
    "resources",
    "workingDir",
];

/// What of a pod goes by its labels or waits for somebody who knows it. A pod that has none of the workload's labels must not be kept away
/// from the nodes of those that have them.
const NOT_OURS: &[&str] =
    &["topologySpreadConstraints", "readinessGates", "schedulingGates", "hostname", "subdomain"];

/// A Job that nobody looked at any more goes by itself, s.
const KEPT: i64 = 3600;

/// What is to be done in the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageCheck {
    /// Command that starts the interpreter.
    pub python: String,
    /// Modules of the application.
    pub imports: Vec<String>,
    /// A command and its arguments; empty for none.
    pub warmup: Vec<String>,
    /// Longest time from the Job's start to its end, the pull of the image included.
    pub timeout: Span,
}

/// `<rollout>-preflight`: 62 characters at most, of the 63 that a Job's pods can carry as a label.
pub fn job_name(rollout: &str) -> String {
    format!("{rollout}-preflight")
}

/// The Job for the pool as `rendered`, owned by the rollout with `uid`. Its pod runs as the pool's pods do, with their service account, node
/// rules, volumes, init containers and security context, but with none of their labels: no Service, autoscaler or budget finds it.
/// The [`ANNOTATION_TEMPLATE_HASH`] on it is the same for as long as the same thing would be checked.
pub fn render_job(
    rollout: &str,
    namespace: &str,
    uid: &str,
    rendered: &Rendered,
    check: &ImageCheck,
) -> Value {
    let template = rendered.deployment.pointer("/spec/template/spec").cloned().unwrap_or_default();
    let mut pod = template.as_object().cloned().unwrap_or_default();
    for field in NOT_OURS {
        pod.remove(*field);
    }
    if let Some(affinity) = pod.get_mut("affinity").and_then(Value::as_object_mut) {
        affinity.retain(|kind, _| kind == "nodeAffinity");
    }
    let containers = pod.get("containers").and_then(Value::as_array).cloned().unwrap_or_default();
    let theirs =
        containers.iter().find(|c| c.get("name").and_then(Value::as_str) == Some(&rendered.container));
    pod.insert("containers".into(), json!([container(theirs, check)]));
    if let Some(list) = pod.get_mut("initContainers").and_then(Value::as_array_mut) {
        // What it would say the inspection says better.
        list.retain(|c| c.get("name").and_then(Value::as_str) != Some(CHECK_CONTAINER));
    }
    pod.insert("restartPolicy".into(), json!("Never"));
    pod.insert("terminationGracePeriodSeconds".into(), json!(30));
    let labels = json!({LABEL_ROLLOUT: rollout, LABEL_PREFLIGHT: "image", LABEL_MANAGED_BY: MANAGED_BY});
    let seconds = (check.timeout.millis() / 1000).max(1);
    let hash = hash(&json!({"pod": pod, "timeout": seconds}));
    json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": job_name(rollout),
            "namespace": namespace,
            "labels": labels,
            "annotations": {ANNOTATION_TEMPLATE_HASH: hash},
            "ownerReferences": [{"apiVersion": "freethreading.dev/v1alpha1", "kind": "FreeThreadRollout", "name": rollout,
                "uid": uid, "controller": true}],
        },
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": seconds,
            "ttlSecondsAfterFinished": KEPT,
            "template": {
                // A proxy that a mesh injects would keep the pod from ending.
                "metadata": {"labels": labels,
                    "annotations": {"sidecar.istio.io/inject": "false", "linkerd.io/inject": "disabled"}},
                "spec": pod,
            },
        },
    })
}

fn container(theirs: Option<&Value>, check: &ImageCheck) -> Value {
    let words = |field: &str| {
        let list = theirs.and_then(|c| c.get(field)).and_then(Value::as_array).cloned();
        list.unwrap_or_default()
    };
    let workload: Vec<Value> = words("command").into_iter().chain(words("args")).collect();
    let options = json!({
        "python": check.python,
        "imports": check.imports,
        "warmup": check.warmup,
        "workloadCommand": workload,
        // It ends by itself and says how far it came, before Kubernetes ends it and takes its log away.
        "timeouts": {"total": (check.timeout.millis() * 4 / 5 / 1000).max(1)},
    });
    let mut ours = Map::new();
    ours.insert("name".into(), json!(CONTAINER));
    ours.insert("command".into(), json!([check.python, "-I", "-c", SCRIPT, options.to_string()]));
    for field in TAKEN_OVER {
        if let Some(value) = theirs.and_then(|c| c.get(*field)) {
            ours.insert((*field).into(), value.clone());
        }
    }
    Value::Object(ours)
}
