//! Contour's `HTTPProxy`, v1: `routes[].services[].weight`. A service that only mirrors has no share. Pure.
//!
//! <https://projectcontour.io/docs/main/config/request-routing/#upstream-weighting>

use serde_json::Value;

use super::dialect::{Acceptance, Dialect, condition, generation, plain_rename, plain_service};
use crate::api::RouterKind;

/// See [`Dialect`].
pub static DIALECT: Dialect = Dialect {
    router: RouterKind::HttpProxy,
    group: "projectcontour.io",
    version: "v1",
    kind: "HTTPProxy",
    plural: "httpproxies",
    install: "Contour's CRDs",
    rules: &["spec", "routes"],
    backends: &["services"],
    identity: &["name"],
    sum: None,
    absent: 1,
    service,
    rename: plain_rename,
    refuses: |_, _| None,
    accepted,
    owned: "/f:spec/f:routes",
    jq: ".spec.routes[].services",
    reads_back: true,
};

fn service(backend: &Value, namespace: &str) -> Option<String> {
    let mirrors = backend.get("mirror").and_then(Value::as_bool).unwrap_or_default();
    plain_service(backend, namespace).filter(|_| !mirrors)
}

fn accepted(object: &Value, _: Option<&str>) -> Acceptance {
    match condition(object.pointer("/status/conditions"), "Valid") {
        Some(valid) if valid.generation < generation(object) || valid.open => {
            Acceptance::Waiting("Contour has not looked at its latest version".into())
        }
        Some(valid) if valid.is => Acceptance::Taken,
        Some(valid) => Acceptance::Refused(format!("Contour says {}: {}", valid.reason, valid.message)),
        None => Acceptance::Waiting("Contour has not reported on it".into()),
    }
}
