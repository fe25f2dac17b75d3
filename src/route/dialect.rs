//! What the APIs that share traffic by weights have in common: an object with one list or several of backends, each with a weight. A dialect says
//! where the lists are, how a backend names its Service, and how the object tells that a gateway has taken it. Pure.

use serde_json::Value;

use super::{grpc_route, http_proxy, http_route, traefik_service, virtual_service};
use crate::api::RouterKind;

/// One API's way to write weights. One file and its line in [`Dialect::of`] are all that a new router takes.
#[derive(Debug)]
pub struct Dialect {
    /// Which router this is.
    pub router: RouterKind,
    /// API group.
    pub group: &'static str,
    /// API version.
    pub version: &'static str,
    /// Kind, as people say it.
    pub kind: &'static str,
    /// Its plural, as the API server says it.
    pub plural: &'static str,
    /// What to install where the cluster does not know the kind.
    pub install: &'static str,
    /// Where the rules are; empty where the object has one list of backends alone.
    pub rules: &'static [&'static str],
    /// Where a rule has its backends; from the object itself where there are no rules.
    pub backends: &'static [&'static str],
    /// Where a backend names its Service.
    pub identity: &'static [&'static str],
    /// What the backends' weights have to add up to, where the API wants that.
    pub sum: Option<i64>,
    /// Weight of a backend that has none, beside others.
    pub absent: i64,
    /// The Service in `namespace` (the object's own) that a backend sends to; `None` where it is something else, or only mirrors.
    pub service: fn(&Value, namespace: &str) -> Option<String>,
    /// Makes a copy of the standard Service's backend one of another Service.
    pub rename: fn(&mut Value, standard: &str, ours: &str),
    /// Why a rule cannot be rolled back by its weights alone.
    pub refuses: fn(object: &Value, rule: &Value) -> Option<&'static str>,
    /// Whether the gateway has taken the object as it is.
    pub accepted: fn(object: &Value, controller: Option<&str>) -> Acceptance,
    /// What managed fields call the part that we change: who owns it wrote it last.
    pub owned: &'static str,
    /// What `jq` calls it, for Argo CD's `ignoreDifferences`.
    pub jq: &'static str,
    /// The data plane can be asked, through the object's status, what it has taken.
    pub reads_back: bool,
}

/// What a gateway says of the object as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Acceptance {
    /// It has taken it, as far as it can be asked.
    Taken,
    /// It has looked at it and does not serve it, or not all of it; why.
    Refused(String),
    /// It has not looked yet; who.
    Waiting(String),
}

impl Dialect {
    /// The dialect of a router; `None` by pod counts and by a flag.
    pub fn of(router: RouterKind) -> Option<&'static Self> {
        match router {
            RouterKind::PodCount | RouterKind::Flag => None,
            RouterKind::HttpRoute => Some(&http_route::DIALECT),
            RouterKind::GrpcRoute => Some(&grpc_route::DIALECT),
            RouterKind::VirtualService => Some(&virtual_service::DIALECT),
            RouterKind::TraefikService => Some(&traefik_service::DIALECT),
            RouterKind::HttpProxy => Some(&http_proxy::DIALECT),
        }
    }

    /// `gateway.networking.k8s.io/v1`.
    pub fn api_version(&self) -> String {
        format!("{}/{}", self.group, self.version)
    }
}

/// A backend that names a Service by `name` beside `kind` (a Service where it says nothing) and `namespace` (the object's own).
pub(super) fn plain_service(backend: &Value, namespace: &str) -> Option<String> {
    let text = |field: &str| backend.get(field).and_then(Value::as_str);
    let core = text("group").is_none_or(str::is_empty) && text("kind").is_none_or(|kind| kind == "Service");
    let here = text("namespace").is_none_or(|other| other == namespace);
    text("name").filter(|_| core && here).map(str::to_owned)
}

/// The counterpart of [`plain_service`].
pub(super) fn plain_rename(backend: &mut Value, _standard: &str, ours: &str) {
    if let Some(name) = backend.get_mut("name") {
        *name = ours.into();
    }
}

/// The value of an object's condition list at `list`: type, status, generation and message.
pub(super) fn condition<'a>(list: Option<&'a Value>, kind: &str) -> Option<Condition<'a>> {
    let all = list.and_then(Value::as_array)?;
    let found = all.iter().find(|one| one.get("type").and_then(Value::as_str) == Some(kind))?;
    let text = |field: &str| found.get(field).and_then(Value::as_str).unwrap_or_default();
    Some(Condition {
        is: text("status") == "True",
        open: text("status") == "Unknown",
        generation: found.get("observedGeneration").and_then(Value::as_i64).unwrap_or_default(),
        reason: text("reason"),
        message: text("message"),
    })
}

/// One condition of an object.
pub(super) struct Condition<'a> {
    pub(super) is: bool,
    /// It is not known yet.
    pub(super) open: bool,
    pub(super) generation: i64,
    pub(super) reason: &'a str,
    pub(super) message: &'a str,
}

/// The object's generation.
pub(super) fn generation(object: &Value) -> i64 {
    object.pointer("/metadata/generation").and_then(Value::as_i64).unwrap_or_default()
}
