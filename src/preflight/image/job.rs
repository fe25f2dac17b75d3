//! Renders the Job of a check.

use serde_json::{Value, json};

use super::containers::{ours, standard};
use crate::{
    api::{
        ANNOTATION_TEMPLATE_HASH, Benchmark, Check, LABEL_MANAGED_BY, LABEL_PREFLIGHT, LABEL_ROLLOUT,
        MANAGED_BY, Preflight, PreflightPolicy, Span, Stress, hash,
    },
    pool::{CHECK_CONTAINER, Rendered},
};

/// What of a pod goes by its labels or waits for somebody who knows it. A pod that has none of the workload's labels must not be kept away
/// from the nodes of those that have them.
const NOT_OURS: &[&str] =
    &["topologySpreadConstraints", "readinessGates", "schedulingGates", "hostname", "subdomain"];

/// A Job that nobody looked at any more goes by itself, s.
const KEPT: i64 = 3600;
/// For the pull of both images, before a benchmark's first run, s.
const PULL: i64 = 600;
/// From the end of a benchmark's own time to that of its Job, s.
const LAST: i64 = 60;

/// A folder for what is ours, and the volume that it is.
pub(super) const FOLDER: &str = "/freethread-preflight";
pub(super) const FOLDER_VOLUME: &str = "freethread-preflight";

/// Whose Job it is, and what it is to look at.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The rollout's name.
    pub rollout: &'a str,
    /// Its namespace.
    pub namespace: &'a str,
    /// Its uid.
    pub uid: &'a str,
    /// The pool.
    pub rendered: &'a Rendered,
    /// The standard pool's pods: `spec.template.spec` of its Deployment.
    pub standard: &'a Value,
    /// Command that starts the free-threaded interpreter.
    pub python: &'a str,
    /// What is asked for.
    pub asked: &'a Preflight,
}

/// `<rollout>-preflight`: 62 characters at most, of the 63 that a Job's pods can carry as a label. There is one at a time.
pub fn job_name(rollout: &str) -> String {
    format!("{rollout}-preflight")
}

/// What is asked of the image, with what follows from it.
pub fn asked(preflight: &Preflight, check: Check) -> PreflightPolicy {
    match check {
        Check::Inspect => preflight.inspect,
        Check::Stress => preflight.stress.as_ref().map_or(PreflightPolicy::Skip, |stress| stress.policy),
        Check::Benchmark => preflight.benchmark.as_ref().map_or(PreflightPolicy::Skip, |asked| asked.policy),
    }
}

/// Fingerprint of what the spec wants to be measured, whatever the images and the operator are. What follows from it is no part of that.
pub fn wish(preflight: &Preflight) -> String {
    let done = preflight.benchmark.as_ref().map(|asked| {
        json!({"command": asked.command, "baseline": asked.baseline, "python": asked.standard_python, "timeout": asked.run_timeout})
    });
    hash(&json!({"inputs": preflight.inputs, "benchmark": done}))
}

/// From the Job's start until Kubernetes ends it, s.
pub fn deadline(preflight: &Preflight, check: Check) -> i64 {
    let seconds = |span: Span| (span.millis() / 1000).max(1);
    match (check, &preflight.stress, &preflight.benchmark) {
        (Check::Stress, Some(stress), _) => seconds(stress.timeout),
        (Check::Benchmark, _, Some(benchmark)) => round_time(benchmark) + LAST,
        _ => seconds(preflight.timeout),
    }
}

/// The Job of a check; nothing where it is not asked for. Its pod runs as the pool's pods do, with their service account, node rules,
/// volumes, init containers and security context, but with none of their labels: no Service, autoscaler or budget finds it. The
/// [`ANNOTATION_TEMPLATE_HASH`] on it is the same for as long as the same thing would be checked. `round` is that of a benchmark: from round
/// to round the other image has the first turn.
pub fn render_job(subject: &Subject<'_>, check: Check, round: usize) -> Option<Value> {
    if asked(subject.asked, check) == PreflightPolicy::Skip {
        return None;
    }
    let seconds = deadline(subject.asked, check);
    let pod = pod(subject, check, round)?;
    let hash = hash(&json!({"check": check, "pod": self::pod(subject, check, 0)?, "timeout": seconds}));
    let Subject { rollout, namespace, uid, .. } = subject;
    let labels = json!({LABEL_ROLLOUT: rollout, LABEL_PREFLIGHT: check.name(), LABEL_MANAGED_BY: MANAGED_BY});
    Some(json!({
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
    }))
}

fn pod(subject: &Subject<'_>, check: Check, round: usize) -> Option<Value> {
    let template = subject.rendered.deployment.pointer("/spec/template/spec").cloned().unwrap_or_default();
    let mut pod = template.as_object().cloned().unwrap_or_default();
    for field in NOT_OURS {
        pod.remove(*field);
    }
    if let Some(affinity) = pod.get_mut("affinity").and_then(Value::as_object_mut) {
        affinity.retain(|kind, _| kind == "nodeAffinity");
    }
    if let Some(list) = pod.get_mut("initContainers").and_then(Value::as_array_mut) {
        // What it would say the check says better.
        list.retain(|c| c.get("name").and_then(Value::as_str) != Some(CHECK_CONTAINER));
    }
    let mut volumes = pod.get("volumes").and_then(Value::as_array).cloned().unwrap_or_default();
    let containers = match check {
        Check::Inspect => vec![ours(subject, check, &inspection(subject))],
        Check::Stress => vec![ours(subject, check, &stress(subject, subject.asked.stress.as_ref()?))],
        Check::Benchmark => {
            let asked = subject.asked.benchmark.as_ref()?;
            let first = if round.is_multiple_of(2) { "standard" } else { "free-threaded" };
            let (command, baseline) = (&asked.command, baseline(asked));
            let mut ours = ours(subject, check, &benchmark(asked, "free-threaded", command, first));
            let options = benchmark(asked, "standard", baseline, first);
            let theirs = standard(subject, &asked.standard_python, &options, &mut volumes);
            // Like is compared with like, whatever the pool's pods are to have.
            match theirs.get("resources") {
                Some(resources) => ours["resources"].clone_from(resources),
                None => drop(ours.as_object_mut().and_then(|ours| ours.remove("resources"))),
            }
            vec![ours, theirs]
        }
    };
    volumes.extend(subject.asked.inputs.iter().enumerate().map(|(index, input)| {
        let name = input_volume(index);
        match (&input.config_map, &input.persistent_volume_claim) {
            (None, Some(claim)) => {
                json!({"name": name, "persistentVolumeClaim": {"claimName": claim, "readOnly": true}})
            }
            (config_map, _) => json!({"name": name, "configMap": {"name": config_map}}),
        }
    }));
    if check != Check::Inspect {
        volumes.push(json!({"name": FOLDER_VOLUME, "emptyDir": {"sizeLimit": "16Mi"}}));
    }
    if !volumes.is_empty() {
        pod.insert("volumes".into(), volumes.into());
    }
    pod.insert("containers".into(), containers.into());
    pod.insert("restartPolicy".into(), json!("Never"));
    pod.insert("terminationGracePeriodSeconds".into(), json!(30));
    Some(pod.into())
}

pub(super) fn input_volume(index: usize) -> String {
    format!("freethread-input-{index}")
}

fn baseline(asked: &Benchmark) -> &[String] {
    if asked.baseline.is_empty() { &asked.command } else { &asked.baseline }
}

/// Four runs, however long they take, s.
fn round_time(benchmark: &Benchmark) -> i64 {
    4 * (benchmark.run_timeout.millis() / 1000).max(1) + PULL
}

/// It ends by itself and says how far it came, before Kubernetes ends it and takes its log away.
fn total(seconds: i64) -> i64 {
    (seconds * 4 / 5).max(1)
}

fn inspection(subject: &Subject<'_>) -> Value {
    let asked = subject.asked;
    json!({
        "python": subject.python,
        "imports": asked.import,
        "warmup": asked.warmup,
        "workloadCommand": super::containers::workload_command(subject),
        "timeouts": {"total": total(deadline(asked, Check::Inspect))},
    })
}

fn stress(subject: &Subject<'_>, asked: &Stress) -> Value {
    let commands = asked.commands.iter().map(|command| {
        json!({
            "name": command.name,
            "command": command.command,
            "exitCode": command.exit_code,
            "sameOutput": command.same_output,
            "runs": command.runs,
            "timeout": command.timeout.millis() as f64 / 1000.0,
        })
    });
    json!({
        "commands": commands.collect::<Vec<_>>(),
        "threads": asked.threads,
        "folder": FOLDER,
        "timeouts": {"total": total(deadline(subject.asked, Check::Stress))},
    })
}

fn benchmark(asked: &Benchmark, image: &str, command: &[String], first: &str) -> Value {
    let run = asked.run_timeout.millis() as f64 / 1000.0;
    json!({
        "image": image,
        "command": command,
        "first": first,
        "folder": FOLDER,
        "timeouts": {"run": run, "total": round_time(asked)},
    })
}
