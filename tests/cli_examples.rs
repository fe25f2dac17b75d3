//! Every example is what the code understands, all of it, and says what it is for.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are tests

use std::{fs, path::Path};

use freethread_rollout::api::{FreeThreadRollout, FreeThreadRolloutSpec};
use serde_json::Value;

fn examples() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let files = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<_> = files
        .filter(|path| path.extension().is_some_and(|e| e == "yaml"))
        .map(|path| {
            (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read_to_string(path).unwrap())
        })
        .collect();
    all.extend(
        ["queue/rollout.yaml", "queue/shared.yaml"]
            .map(|file| (file.to_owned(), fs::read_to_string(folder.join(file)).unwrap())),
    );
    all.sort();
    assert!(all.len() >= 8, "one example per common case");
    all
}

#[test]
fn each_is_a_rollout_with_nothing_unknown_in_it() {
    for (file, text) in examples() {
        let value: Value = serde_yaml::from_str(&text).unwrap_or_else(|e| panic!("{file}: {e}"));
        let rollout: FreeThreadRollout =
            serde_yaml::from_str(&text).unwrap_or_else(|e| panic!("{file}: {e}"));
        assert!(rollout.metadata.name.is_some(), "{file}: no name");
        assert!(
            rollout.metadata.namespace.is_none(),
            "{file}: an example goes into the namespace that the reader chooses"
        );
        let keys: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["apiVersion", "kind", "metadata", "spec"], "{file}");
        let spec: FreeThreadRolloutSpec =
            serde_json::from_value(value["spec"].clone()).unwrap_or_else(|e| panic!("{file}: {e}"));
        lost(&file, &value["spec"], &serde_json::to_value(&spec).unwrap());
    }
}

/// Types that come from Kubernetes drop fields that they do not know; everything written has to be still there.
fn lost(path: &str, written: &Value, read: &Value) {
    match (written, read) {
        (Value::Object(written), Value::Object(read)) => {
            for (name, value) in written {
                let path = format!("{path}.{name}");
                lost(&path, value, read.get(name).unwrap_or_else(|| panic!("{path} is not understood")));
            }
        }
        (Value::Array(written), Value::Array(read)) => {
            assert_eq!(written.len(), read.len(), "{path}");
            written.iter().zip(read).enumerate().for_each(|(i, (w, r))| lost(&format!("{path}[{i}]"), w, r));
        }
        _ => {}
    }
}

#[test]
fn each_says_what_it_is_for() {
    for (file, text) in examples() {
        assert!(text.starts_with("# "), "{file}: begin with a comment that says which case this is");
    }
}

#[test]
fn none_breaks_a_rule_that_the_api_server_would_refuse() {
    for (file, text) in examples() {
        let rollout: FreeThreadRollout = serde_yaml::from_str(&text).unwrap();
        let spec = rollout.spec;
        assert!(spec.steps.is_sorted_by_key(|s| s.weight), "{file}: weights rise");
        assert!(
            spec.traffic.pod_count.is_none() || spec.steps.iter().all(|s| s.weight < 100),
            "{file}: pod counts end under 100"
        );
        let analysis = &spec.analysis;
        assert!(analysis.preset.is_some() != analysis.metrics.is_some(), "{file}: a preset or metrics");
        assert!(analysis.error_rate.is_some() || analysis.latency.is_some(), "{file}: something to compare");
    }
}
