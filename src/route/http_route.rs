//! `HTTPRoute` of the Gateway API, v1: `rules[].backendRefs[].weight`, 0 to 1,000,000, relative to each other. Pure.

use super::{
    dialect::{Dialect, plain_rename, plain_service},
    gateway,
};
use crate::api::RouterKind;

/// See [`Dialect`].
pub static DIALECT: Dialect = Dialect {
    router: RouterKind::HttpRoute,
    group: "gateway.networking.k8s.io",
    version: "v1",
    kind: "HTTPRoute",
    plural: "httproutes",
    install: "the Gateway API's CRDs",
    rules: &["spec", "rules"],
    backends: &["backendRefs"],
    identity: &["name"],
    sum: None,
    absent: 1,
    service: plain_service,
    rename: plain_rename,
    refuses: gateway::refuses,
    accepted: gateway::accepted,
    owned: "/f:spec/f:rules",
    jq: ".spec.rules[].backendRefs",
    reads_back: true,
    propagation_ms: 2000,
};
