//! Strategic merge patch for pod templates, as `kubectl patch` does it.
//!
//! Written here because a merge on the server would need the right to patch the user's Deployment, and k8s-openapi's `DeepMerge`
//! knows no deletions. Sources: the `patchMergeKey` marks of `k8s.io/api/core/v1` and
//! <https://kubernetes.io/docs/tasks/manage-kubernetes-objects/update-api-object-kubectl-patch/>.

use serde_json::{Map, Value};

/// Merge key of a list by the name of its field; lists that are not named here are replaced as a whole.
fn merge_key(field: &str) -> Option<&'static str> {
    Some(match field {
        "containers" | "initContainers" | "ephemeralContainers" | "env" | "volumes" | "imagePullSecrets" => {
            "name"
        }
        "ports" => "containerPort",
        "volumeMounts" => "mountPath",
        "volumeDevices" => "devicePath",
        "hostAliases" => "ip",
        "topologySpreadConstraints" => "topologyKey",
        _ => return None,
    })
}

/// Merge `patch` into `base`. `null` removes a field; `$patch: delete` removes an element of a list that has a merge key,
/// `$patch: replace` replaces an object.
pub(super) fn strategic_merge(base: &mut Value, patch: &Value) {
    merge(base, patch, None);
}

fn merge(base: &mut Value, patch: &Value, field: Option<&str>) {
    match (base, patch) {
        (Value::Object(base), Value::Object(patch)) => merge_objects(base, patch),
        (Value::Array(base), Value::Array(patch)) if field.and_then(merge_key).is_some() => {
            if let Some(key) = field.and_then(merge_key) {
                merge_lists(base, patch, key);
            }
        }
        (base, patch) => *base = without_directives(patch),
    }
}

fn merge_objects(base: &mut Map<String, Value>, patch: &Map<String, Value>) {
    if patch.get("$patch").and_then(Value::as_str) == Some("replace") {
        base.clear();
    }
    for (name, value) in patch.iter().filter(|(name, _)| *name != "$patch") {
        if value.is_null() {
            base.remove(name);
        } else if let Some(old) = base.get_mut(name) {
            merge(old, value, Some(name));
        } else {
            base.insert(name.clone(), without_directives(value));
        }
    }
}

fn merge_lists(base: &mut Vec<Value>, patch: &[Value], key: &str) {
    // New elements go first, in the patch's order, as on the server.
    let mut new = Vec::new();
    for item in patch {
        let id = item.get(key);
        let at = base.iter().position(|old| id.is_some() && old.get(key) == id);
        let delete = item.get("$patch").and_then(Value::as_str) == Some("delete");
        match (at, delete) {
            (Some(at), true) => {
                base.remove(at);
            }
            (None, true) => {}
            (Some(at), false) => {
                if let Some(old) = base.get_mut(at) {
                    merge(old, item, None);
                }
            }
            (None, false) => new.push(without_directives(item)),
        }
    }
    new.append(base);
    *base = new;
}

/// What is new carries no directives and no nulls into the result.
fn without_directives(value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.iter()
                .filter(|(name, value)| *name != "$patch" && !value.is_null())
                .map(|(name, value)| (name.clone(), without_directives(value)))
                .collect(),
        ),
        Value::Array(list) => Value::Array(list.iter().map(without_directives).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn merged(mut base: Value, patch: &Value) -> Value {
        strategic_merge(&mut base, patch);
        base
    }

    #[test]
    fn lists_with_a_key_merge_by_it() {
        let base = json!({"containers": [{"name": "a", "image": "x", "env": [{"name": "P", "value": "1"}]}, {"name": "b"}]});
        let patch = json!({"containers": [{"name": "a", "env": [{"name": "Q", "value": "2"}, {"name": "P", "value": "3"}]}]});
        assert_eq!(
            merged(base, &patch),
            json!({"containers": [
                {"name": "a", "image": "x", "env": [{"name": "Q", "value": "2"}, {"name": "P", "value": "3"}]},
                {"name": "b"}]})
        );
    }

    #[test]
    fn other_lists_are_replaced() {
        let patch = json!({"containers": [{"name": "a", "args": ["--new"]}]});
        let base = json!({"containers": [{"name": "a", "args": ["--old", "--more"]}]});
        assert_eq!(merged(base, &patch), patch);
    }

    #[test]
    fn null_and_the_directives_remove() {
        let base = json!({"nodeSelector": {"a": "1"}, "volumes": [{"name": "v"}, {"name": "w"}], "dnsPolicy": "x",
            "securityContext": {"fsGroup": 1, "runAsUser": 2}});
        let patch = json!({"dnsPolicy": null, "volumes": [{"name": "v", "$patch": "delete"}, {"name": "z", "$patch": "delete"}],
            "securityContext": {"$patch": "replace", "runAsUser": 3}, "fresh": {"keep": 1, "drop": null}});
        assert_eq!(
            merged(base, &patch),
            json!({"nodeSelector": {"a": "1"}, "volumes": [{"name": "w"}], "securityContext": {"runAsUser": 3}, "fresh": {"keep": 1}})
        );
    }
}
