//! What the spec's patch may not do: become more powerful than the standard pool is.
//!
//! Whoever may create a rollout may not create pods by that with rights that the team's own Deployment does not have.

use serde_json::Value;

/// The first thing by which `pod` (a pod spec) has more power than `base`, as the end of a sentence; `None` when it has none.
/// Containers that are new are held to the standard of `container`, the Python container of the base.
pub(super) fn weakened(base: &Value, pod: &Value, container: &str) -> Option<String> {
    for field in [
        "serviceAccountName",
        "serviceAccount",
        "automountServiceAccountToken",
        "runtimeClassName",
        "hostUsers",
    ] {
        if base.get(field) != pod.get(field) {
            return Some(format!("change {field}"));
        }
    }
    for field in ["hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"] {
        if is_true(pod.get(field)) && !is_true(base.get(field)) {
            return Some(format!("set {field}"));
        }
    }
    let host_path = |spec: &Value| -> Vec<Value> {
        list(spec, "volumes")
            .filter(|v| v.get("hostPath").is_some())
            .filter_map(|v| v.get("hostPath").cloned())
            .collect()
    };
    let allowed = host_path(base);
    if host_path(pod).iter().any(|path| !allowed.contains(path)) {
        return Some("mount a host path".to_owned());
    }
    let none = Value::Null;
    if let Some(what) = weaker_context(context(base), context(pod)) {
        return Some(format!("weaken the pod's security context ({what})"));
    }
    let reference = list(base, "containers").find(|c| name(c) == container).unwrap_or(&none);
    for kind in ["containers", "initContainers"] {
        for ours in list(pod, kind) {
            let theirs = list(base, kind).find(|c| name(c) == name(ours)).unwrap_or(reference);
            if let Some(what) = weaker_context(&effective(base, theirs), &effective(pod, ours)) {
                return Some(format!("weaken the security context of container {} ({what})", name(ours)));
            }
            let host_port = |c: &Value| list(c, "ports").any(|p| p.get("hostPort").is_some());
            if host_port(ours) && !host_port(theirs) {
                return Some(format!("open a host port in container {}", name(ours)));
            }
        }
    }
    None
}

/// A container's security context with what it inherits from its pod.
fn effective(pod: &Value, container: &Value) -> Value {
    let mut all = context(container).clone();
    for field in
        ["runAsNonRoot", "runAsUser", "runAsGroup", "seccompProfile", "appArmorProfile", "seLinuxOptions"]
    {
        if let (None, Some(inherited)) = (all.get(field), context(pod).get(field)) {
            all[field] = inherited.clone();
        }
    }
    all
}

/// The first field of a security context that grants more than before.
fn weaker_context(base: &Value, ours: &Value) -> Option<&'static str> {
    let lost = |field: &str, strict: bool| {
        base.get(field) == Some(&Value::Bool(strict)) && base.get(field) != ours.get(field)
    };
    if is_true(ours.get("privileged")) && !is_true(base.get("privileged")) {
        return Some("privileged");
    }
    if lost("allowPrivilegeEscalation", false) {
        return Some("allowPrivilegeEscalation");
    }
    if lost("runAsNonRoot", true) {
        return Some("runAsNonRoot");
    }
    if lost("readOnlyRootFilesystem", true) {
        return Some("readOnlyRootFilesystem");
    }
    for id in ["runAsUser", "runAsGroup"] {
        if ours.get(id).and_then(Value::as_i64) == Some(0) && base.get(id).and_then(Value::as_i64) != Some(0)
        {
            return Some("runAsUser or runAsGroup 0");
        }
        if base.get(id).is_some() && ours.get(id).is_none() {
            return Some("runAsUser or runAsGroup removed");
        }
    }
    let capabilities = |side: &Value, verb: &str| -> Vec<Value> {
        side.get("capabilities")
            .and_then(|c| c.get(verb))
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default()
    };
    let (had, has) = (capabilities(base, "add"), capabilities(ours, "add"));
    if has.iter().any(|c| !had.contains(c)) {
        return Some("capabilities.add");
    }
    let (dropped, drops) = (capabilities(base, "drop"), capabilities(ours, "drop"));
    if dropped.iter().any(|c| !drops.contains(c)) && !drops.contains(&Value::String("ALL".into())) {
        return Some("capabilities.drop");
    }
    ["seccompProfile", "appArmorProfile", "seLinuxOptions", "procMount", "sysctls", "windowsOptions"]
        .into_iter()
        .find(|&field| base.get(field) != ours.get(field))
        .map(|v| v as _)
}

fn is_true(value: Option<&Value>) -> bool {
    value == Some(&Value::Bool(true))
}
fn context(of: &Value) -> &Value {
    of.get("securityContext").unwrap_or(&Value::Null)
}
fn name(of: &Value) -> &str {
    of.get("name").and_then(Value::as_str).unwrap_or_default()
}
fn list<'a>(of: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    of.get(field).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default().iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn base() -> Value {
        json!({"serviceAccountName": "app", "containers": [{"name": "web", "securityContext":
            {"runAsNonRoot": true, "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
             "seccompProfile": {"type": "RuntimeDefault"}}}]})
    }

    #[test]
    fn every_way_to_more_power_is_named() {
        for (patch, word) in [
            (json!({"serviceAccountName": "admin"}), "serviceAccountName"),
            (json!({"hostNetwork": true}), "hostNetwork"),
            (json!({"hostPID": true}), "hostPID"),
            (json!({"volumes": [{"name": "h", "hostPath": {"path": "/"}}]}), "host path"),
            (json!({"securityContext": {"runAsUser": 0}}), "runAsUser"),
            (json!({"containers": [{"name": "web", "securityContext": {"privileged": true}}]}), "privileged"),
            (
                json!({"containers": [{"name": "web", "securityContext": {"runAsNonRoot": null}}]}),
                "runAsNonRoot",
            ),
            (
                json!({"containers": [{"name": "web", "securityContext": {"readOnlyRootFilesystem": false}}]}),
                "readOnlyRootFilesystem",
            ),
            (
                json!({"containers": [{"name": "web", "securityContext": {"capabilities": {"add": ["NET_ADMIN"]}}}]}),
                "capabilities.add",
            ),
            (
                json!({"containers": [{"name": "web", "securityContext": {"capabilities": {"drop": []}}}]}),
                "capabilities.drop",
            ),
            (
                json!({"containers": [{"name": "web", "securityContext": {"seccompProfile": {"type": "Unconfined"}}}]}),
                "seccompProfile",
            ),
            (json!({"containers": [{"name": "side", "securityContext": {"privileged": true}}]}), "side"),
            (json!({"initContainers": [{"name": "first"}]}), "first"),
            (
                json!({"containers": [{"name": "web", "ports": [{"containerPort": 80, "hostPort": 80}]}]}),
                "host port",
            ),
        ] {
            let mut pod = base();
            super::super::patch::strategic_merge(&mut pod, &patch);
            let what = weakened(&base(), &pod, "web").unwrap_or_default();
            assert!(what.contains(word), "{patch} gave '{what}'");
        }
    }

    #[test]
    fn what_the_pod_demands_a_container_may_not_take_back() {
        let base = json!({"securityContext": {"runAsNonRoot": true}, "containers": [{"name": "web"}]});
        let mut pod = base.clone();
        let patch = json!({"containers": [{"name": "web", "securityContext": {"runAsNonRoot": false}}]});
        super::super::patch::strategic_merge(&mut pod, &patch);
        assert!(weakened(&base, &pod, "web").unwrap_or_default().contains("runAsNonRoot"));
        assert_eq!(weakened(&base, &base, "web"), None);
    }

    #[test]
    fn what_is_no_more_power_passes() {
        let mut pod = base();
        let patch = json!({"containers": [{"name": "web", "image": "x", "resources": {"limits": {"cpu": "4"}}}], "nodeSelector": {"a": "b"}});
        super::super::patch::strategic_merge(&mut pod, &patch);
        assert_eq!(weakened(&base(), &pod, "web"), None);
    }
}
