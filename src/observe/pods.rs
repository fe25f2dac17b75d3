//! A pod as Kubernetes describes it, reduced to what is used.

use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{ContainerStatus, Pod as KubePod, PodCondition},
    apimachinery::pkg::apis::meta::v1::Time,
};

use super::{Exit, Pod};

/// Longest text taken over from Kubernetes, in characters.
const TEXT_LIMIT: usize = 200;

/// Reduce a pod. `container` is the one that runs Python.
pub fn pod(pod: &KubePod, container: &str) -> Pod {
    let status = pod.status.as_ref();
    let containers = status.and_then(|s| s.container_statuses.as_deref()).unwrap_or_default();
    let conditions = status.and_then(|s| s.conditions.as_deref()).unwrap_or_default();
    let condition = |kind: &str| conditions.iter().find(|c| c.type_ == kind);
    let python = containers.iter().find(|c| c.name == container);
    let ready = condition("Ready").filter(|c| c.status == "True");
    Pod {
        name: pod.metadata.name.clone().unwrap_or_default(),
        created: time(pod.metadata.creation_timestamp.as_ref()).unwrap_or_default(),
        started: python
            .and_then(|c| c.state.as_ref()?.running.as_ref())
            .and_then(|r| time(r.started_at.as_ref())),
        ready_since: ready.and_then(|c| time(c.last_transition_time.as_ref())),
        going: going(pod, condition("DisruptionTarget")),
        restarts: containers.iter().map(|c| c.restart_count).sum(),
        exits: containers.iter().filter_map(exit).collect(),
        trouble: trouble(pod, condition("PodScheduled")),
        image_id: python.map(|c| c.image_id.clone()).filter(|id| !id.is_empty()),
        crash_loop: containers
            .iter()
            .any(|c| waiting(c).is_some_and(|(reason, _)| reason == "CrashLoopBackOff")),
    }
}

fn time(time: Option<&Time>) -> Option<Timestamp> {
    time.map(|t| t.0)
}

/// Deleted, drained, preempted, evicted: what such a pod does from now on says nothing about the runtime.
fn going(pod: &KubePod, disruption: Option<&PodCondition>) -> bool {
    let evicted =
        pod.status.as_ref().and_then(|s| s.reason.as_deref()).is_some_and(|r| {
            ["Evicted", "Preempting", "NodeLost", "NodeShutdown", "Terminated"].contains(&r)
        });
    pod.metadata.deletion_timestamp.is_some() || disruption.is_some_and(|c| c.status == "True") || evicted
}

/// The container's last end: of the run before this one, or of this one.
fn exit(status: &ContainerStatus) -> Option<Exit> {
    let ended = |state: &Option<k8s_openapi::api::core::v1::ContainerState>| {
        state.as_ref().and_then(|s| s.terminated.clone())
    };
    let end = ended(&status.state).or_else(|| ended(&status.last_state))?;
    (end.exit_code != 0).then(|| Exit {
        code: end.exit_code,
        reason: end.reason.unwrap_or_default(),
        at: time(end.finished_at.as_ref()).unwrap_or_default(),
    })
}

fn waiting(status: &ContainerStatus) -> Option<(&str, &str)> {
    let waiting = status.state.as_ref()?.waiting.as_ref()?;
    Some((waiting.reason.as_deref()?, waiting.message.as_deref().unwrap_or_default()))
}

/// Why the pod is not (yet) serving, in Kubernetes' words; the most telling thing first.
fn trouble(pod: &KubePod, scheduled: Option<&PodCondition>) -> Option<String> {
    let status = pod.status.as_ref()?;
    let inits = status.init_container_statuses.as_deref().unwrap_or_default();
    for init in inits {
        let ended = |state: &Option<k8s_openapi::api::core::v1::ContainerState>| {
            state.as_ref().and_then(|s| s.terminated.clone())
        };
        let end = ended(&init.state).or_else(|| ended(&init.last_state)).filter(|end| end.exit_code != 0);
        if let Some(end) = end {
            let message = end.message.or(end.reason).unwrap_or_default();
            return Some(text(&format!("{}: {}", init.name, message.trim())));
        }
    }
    let containers = status.container_statuses.as_deref().unwrap_or_default();
    let first_wait = inits.iter().chain(containers).filter_map(waiting).find(|(reason, _)| {
        // The ordinary stations of a start are no trouble.
        !["ContainerCreating", "PodInitializing"].contains(reason)
    });
    if let Some((reason, message)) = first_wait {
        return Some(text(&format!("{reason}: {message}")));
    }
    if let Some(condition) = scheduled.filter(|c| c.status == "False") {
        let reason = condition.reason.as_deref().unwrap_or("Unschedulable");
        return Some(text(&format!("{reason}: {}", condition.message.as_deref().unwrap_or_default())));
    }
    let unready =
        containers.iter().find(|c| !c.ready && c.state.as_ref().is_some_and(|s| s.running.is_some()));
    unready.map(|c| format!("container {} runs but is not ready", c.name))
}

/// Kubernetes' words as one line, bounded.
pub fn text(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(TEXT_LIMIT) {
        Some((end, _)) => format!("{}...", line.get(..end).unwrap_or_default()),
        None => line,
    }
}

#[cfg(test)]
#[allow(clippy::needless_pass_by_value, reason = "json!() reads better in place")]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn reduced(status: Value) -> Pod {
        let object =
            json!({"metadata": {"name": "p", "creationTimestamp": "2026-01-01T00:00:00Z"}, "status": status});
        pod(&serde_json::from_value(object).unwrap(), "web")
    }
    fn container(state: Value, last: Value) -> Value {
        json!([{"name": "web", "image": "i", "imageID": "", "ready": false, "restartCount": 3, "state": state, "lastState": last}])
    }

    #[test]
    fn a_crash_is_read_from_the_last_run() {
        let last =
            json!({"terminated": {"exitCode": 139, "reason": "Error", "finishedAt": "2026-01-01T00:01:00Z"}});
        let pod = reduced(json!({"containerStatuses":
            container(json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}), last)}));
        assert_eq!((pod.exits[0].code, pod.restarts, pod.crash_loop), (139, 3, true));
        assert_eq!(pod.trouble.as_deref(), Some("CrashLoopBackOff: back-off 10s"));
    }

    #[test]
    fn the_check_of_the_image_speaks_first() {
        let init = json!([{"name": "freethread-check", "image": "i", "imageID": "", "ready": false, "restartCount": 1,
            "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": {"exitCode": 1, "message": "not a free-threaded build of Python: 3.13\n"}}}]);
        let pod = reduced(json!({"initContainerStatuses": init, "containerStatuses":
            container(json!({"waiting": {"reason": "PodInitializing"}}), json!({}))}));
        assert_eq!(
            pod.trouble.as_deref(),
            Some("freethread-check: not a free-threaded build of Python: 3.13")
        );
        assert!(!pod.crash_loop, "a check that fails is no crash of the application");
    }

    #[test]
    fn drains_and_evictions_are_going() {
        assert!(reduced(json!({"reason": "Evicted"})).going);
        assert!(reduced(json!({"conditions": [{"type": "DisruptionTarget", "status": "True"}]})).going);
        assert!(!reduced(json!({})).going);
    }

    #[test]
    fn unschedulable_says_why() {
        let pod = reduced(json!({"conditions":
            [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes: insufficient\n cpu"}]}));
        assert_eq!(pod.trouble.as_deref(), Some("Unschedulable: 0/1 nodes: insufficient cpu"));
    }
}
