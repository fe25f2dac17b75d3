//! The CRD in `crds/` and in the chart is the one that the code describes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail so")]

use std::{fs, path::Path};

use freethread_rollout::api::FreeThreadRollout;
use kube::CustomResourceExt;

fn generated() -> String {
    serde_yaml::to_string(&FreeThreadRollout::crd()).unwrap()
}

fn assert_current(path: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let there = fs::read_to_string(&file).unwrap_or_default();
    assert!(there == generated(), "{path} is not what the code describes: run `make crd`");
}

#[test]
fn crds_folder_is_current() {
    assert_current("crds/freethreadrollouts.yaml");
}

#[test]
fn chart_is_current() {
    assert_current("charts/freethread-rollout/files/crd.yaml");
}

#[test]
fn every_field_of_the_spec_is_documented() {
    fn undocumented(path: &str, schema: &serde_json::Value, found: &mut Vec<String>) {
        let Some(properties) = schema.get("properties").and_then(|p| p.as_object()) else { return };
        for (name, property) in properties {
            let path = format!("{path}.{name}");
            if property.get("description").and_then(|d| d.as_str()).is_none_or(str::is_empty) {
                found.push(path.clone());
            }
            undocumented(&path, property, found);
            if let Some(items) = property.get("items") {
                undocumented(&path, items, found);
            }
        }
    }
    let crd = serde_json::to_value(FreeThreadRollout::crd()).unwrap();
    let root = crd.pointer("/spec/versions/0/schema/openAPIV3Schema/properties").unwrap();
    let mut found = Vec::new();
    undocumented("spec", &root["spec"], &mut found);
    undocumented("status", &root["status"], &mut found);
    assert!(found.is_empty(), "no description: {found:?}");
}

/// What the API server adds to an item of a list makes the whole list differ from Git's.
#[test]
fn no_item_of_a_list_in_the_spec_has_a_default() {
    fn defaults(path: &str, schema: &serde_json::Value, in_list: bool, found: &mut Vec<String>) {
        if in_list && schema.get("default").is_some() {
            found.push(path.to_owned());
        }
        for (name, property) in schema.get("properties").and_then(|p| p.as_object()).into_iter().flatten() {
            defaults(&format!("{path}.{name}"), property, in_list, found);
        }
        if let Some(items) = schema.get("items") {
            defaults(&format!("{path}[]"), items, true, found);
        }
    }
    let crd = serde_json::to_value(FreeThreadRollout::crd()).unwrap();
    let spec = crd.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec").unwrap();
    let mut found = Vec::new();
    defaults("spec", spec, false, &mut found);
    assert!(found.is_empty(), "defaults: {found:?}");
}
