//! The containers of a check's Job: the pool's, and for a benchmark the standard pool's beside it.

use serde_json::{Map, Value, json};

use super::{
    job::{FOLDER, FOLDER_VOLUME, Subject, input_volume},
    script,
};
use crate::api::Check;

/// Name of the container that runs the free-threaded image, and whose log has the result.
pub const CONTAINER: &str = "preflight";
/// Name of the one that runs the standard image.
const STANDARD_CONTAINER: &str = "standard";

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

/// Before the name of a volume of the standard pool's that the pool has another one of.
const PREFIX: &str = "std-";

/// The free-threaded image.
pub(super) fn ours(subject: &Subject<'_>, check: Check, options: &Value) -> Value {
    container(CONTAINER, our_template(subject), subject.python, check, subject, options)
}

/// What the container of the pool runs when it serves.
pub(super) fn workload_command(subject: &Subject<'_>) -> Vec<Value> {
    let words = |field: &str| {
        let list = our_template(subject).and_then(|c| c.get(field)).and_then(Value::as_array).cloned();
        list.unwrap_or_default()
    };
    words("command").into_iter().chain(words("args")).collect()
}

/// The standard image. The volumes that it needs come to those of the pod.
pub(super) fn standard(
    subject: &Subject<'_>,
    python: &str,
    options: &Value,
    volumes: &mut Vec<Value>,
) -> Value {
    let theirs = named(subject.standard, &subject.rendered.container);
    let mut container = container(STANDARD_CONTAINER, theirs, python, Check::Benchmark, subject, options);
    let wanted = subject.standard.get("volumes").and_then(Value::as_array).cloned().unwrap_or_default();
    for field in ["volumeMounts", "volumeDevices"] {
        for mount in container.get_mut(field).and_then(Value::as_array_mut).into_iter().flatten() {
            let Some(volume) = wanted.iter().find(|volume| volume.get("name") == mount.get("name")) else {
                continue;
            };
            if volumes.contains(volume) {
                continue;
            }
            let name = volume.get("name").and_then(Value::as_str).unwrap_or_default();
            // A volume's name has 63 characters at most.
            let tail = name.chars().rev().take(63 - PREFIX.len()).collect::<Vec<_>>();
            let name = format!("{PREFIX}{}", tail.into_iter().rev().collect::<String>());
            let mut volume = volume.clone();
            volume["name"] = json!(name);
            mount["name"] = json!(name);
            if !volumes.contains(&volume) {
                volumes.push(volume);
            }
        }
    }
    container
}

fn our_template<'a>(subject: &Subject<'a>) -> Option<&'a Value> {
    named(subject.rendered.deployment.pointer("/spec/template/spec")?, &subject.rendered.container)
}

fn named<'a>(pod: &'a Value, name: &str) -> Option<&'a Value> {
    let containers = pod.get("containers").and_then(Value::as_array)?;
    containers.iter().find(|c| c.get("name").and_then(Value::as_str) == Some(name))
}

fn container(
    name: &str,
    template: Option<&Value>,
    python: &str,
    check: Check,
    subject: &Subject<'_>,
    options: &Value,
) -> Value {
    let mut container = Map::new();
    container.insert("name".into(), json!(name));
    // Kubernetes takes $(NAME) in a command for a variable.
    let options = options.to_string().replace('$', "\\u0024");
    container.insert("command".into(), json!([python, "-I", "-c", script(check), options]));
    for field in TAKEN_OVER {
        if let Some(value) = template.and_then(|c| c.get(*field)) {
            container.insert((*field).into(), value.clone());
        }
    }
    let mut mounts = container.get("volumeMounts").and_then(Value::as_array).cloned().unwrap_or_default();
    mounts.extend(subject.asked.inputs.iter().enumerate().map(|(index, input)| {
        json!({"name": input_volume(index), "mountPath": input.mount_path, "readOnly": true})
    }));
    if check != Check::Inspect {
        mounts.push(json!({"name": FOLDER_VOLUME, "mountPath": FOLDER}));
    }
    if !mounts.is_empty() {
        container.insert("volumeMounts".into(), mounts.into());
    }
    container.into()
}
