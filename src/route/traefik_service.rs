//! Traefik's weighted `TraefikService`, v1alpha1: `weighted.services[].weight`. It has no status. Pure.
//!
//! <https://doc.traefik.io/traefik/reference/routing-configuration/kubernetes/crd/http/traefikservice/>

use serde_json::Value;

use super::dialect::{Acceptance, Dialect, plain_rename, plain_service};
use crate::api::RouterKind;

/// See [`Dialect`].
pub static DIALECT: Dialect = Dialect {
    router: RouterKind::TraefikService,
    group: "traefik.io",
    version: "v1alpha1",
    kind: "TraefikService",
    plural: "traefikservices",
    install: "Traefik's CRDs",
    rules: &[],
    backends: &["spec", "weighted", "services"],
    identity: &["name"],
    sum: None,
    absent: 1,
    service: plain_service,
    rename: plain_rename,
    refuses: sticky,
    accepted: |_, _| Acceptance::Taken,
    owned: "/f:spec/f:weighted/f:services",
    jq: ".spec.weighted.services",
    reads_back: false,
};

/// A cookie of the weighted service names the backend, whatever its weight.
fn sticky(object: &Value, _: &Value) -> Option<&'static str> {
    object.pointer("/spec/weighted/sticky").map(|_| {
        "has weighted.sticky, which keeps users on the free-threaded pool even at weight 0: take it out for the rollout"
    })
}
