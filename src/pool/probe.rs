//! The probe that watches the GIL from inside, for images that do not have it: written into a volume of the pod by an init container that
//! runs the image's own interpreter. Nothing is pulled, and no other object is needed.

use serde_json::{Map, Value, json};

/// Name of the init container that writes the probe.
pub const PROBE_CONTAINER: &str = "freethread-probe";
const VOLUME: &str = "freethread-probe";
const FOLDER: &str = "/freethread-probe";
/// What Python looks at first: a `sitecustomize` that starts the probe.
const INJECT: &str = "/freethread-probe/freethread_probe/inject";

/// The package as it is published from `probe/`.
const FILES: [(&str, &str); 7] = [
    ("__init__.py", include_str!("../../probe/src/freethread_probe/__init__.py")),
    ("errors.py", include_str!("../../probe/src/freethread_probe/errors.py")),
    ("gil.py", include_str!("../../probe/src/freethread_probe/gil.py")),
    ("metrics.py", include_str!("../../probe/src/freethread_probe/metrics.py")),
    ("registry.py", include_str!("../../probe/src/freethread_probe/registry.py")),
    ("server.py", include_str!("../../probe/src/freethread_probe/server.py")),
    ("inject/sitecustomize.py", include_str!("../../probe/src/freethread_probe/inject/sitecustomize.py")),
];

/// Writes what it is given, and beside it the path that the image itself has: one variable hides the other.
const SCRIPT: &str = "import json, os, sys
root = sys.argv[1]
for name, text in json.loads(sys.argv[2]).items():
    path = os.path.join(root, 'freethread_probe', name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'w', encoding='utf-8') as file:
        file.write(text)
with open(os.path.join(root, 'freethread_probe', 'inject', 'pythonpath'), 'w', encoding='utf-8') as file:
    file.write(os.environ.get('PYTHONPATH', ''))";

/// The init container, made from the one that checks the build: same image, rights and environment.
fn writer(check: &Value, python: &str) -> Value {
    let files: Map<String, Value> =
        FILES.iter().map(|(name, text)| ((*name).to_owned(), json!(text))).collect();
    let mut writer = check.clone();
    writer["name"] = json!(PROBE_CONTAINER);
    // Kubernetes takes $(NAME) in a command for a variable.
    let files = Value::Object(files).to_string().replace('$', "\\u0024");
    writer["command"] = json!([python, "-c", SCRIPT, FOLDER, files]);
    mount(&mut writer, false);
    writer
}

fn mount(container: &mut Value, read_only: bool) {
    let Some(container) = container.as_object_mut() else { return };
    let mounts = container.entry("volumeMounts").or_insert_with(|| json!([]));
    if let Some(mounts) = mounts.as_array_mut() {
        mounts.push(json!({"name": VOLUME, "mountPath": FOLDER, "readOnly": read_only}));
    }
}

/// Put the probe into the pod of `template`. `check` is the init container that checks the build, which stays the first.
pub(super) fn add(template: &mut Value, check: &Value, container: &str, python: &str) {
    let writer = writer(check, python);
    let Some(pod) = template.get_mut("spec").and_then(Value::as_object_mut) else { return };
    let list = |pod: &mut Map<String, Value>, field: &str, at: usize, value: Value| {
        let list = pod.entry(field).or_insert_with(|| json!([]));
        if let Some(list) = list.as_array_mut() {
            list.insert(at.min(list.len()), value);
        }
    };
    list(pod, "initContainers", 1, writer);
    list(pod, "volumes", usize::MAX, json!({"name": VOLUME, "emptyDir": {"sizeLimit": "4Mi"}}));
    let containers = pod.get_mut("containers").and_then(Value::as_array_mut).into_iter().flatten();
    for theirs in containers.filter(|c| c.get("name").and_then(Value::as_str) == Some(container)) {
        mount(theirs, true);
        let Some(theirs) = theirs.as_object_mut() else { continue };
        let env = theirs.entry("env").or_insert_with(|| json!([]));
        if let Some(env) = env.as_array_mut() {
            env.retain(|entry| entry.get("name").and_then(Value::as_str) != Some("PYTHONPATH"));
            env.push(json!({"name": "PYTHONPATH", "value": INJECT}));
        }
    }
}
