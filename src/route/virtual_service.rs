//! Istio's `VirtualService`, v1: `http[].route[].weight`. Two hosts, not two subsets of one: subsets would need the team's `DestinationRule`.
//! Weights add up to 100, which older versions demand. Its status says nothing unless an administrator switched that on. Pure.
//!
//! <https://istio.io/latest/docs/reference/config/networking/virtual-service/#HTTPRouteDestination>

use serde_json::Value;

use super::dialect::{Acceptance, Dialect};
use crate::api::RouterKind;

/// See [`Dialect`].
pub static DIALECT: Dialect = Dialect {
    router: RouterKind::VirtualService,
    group: "networking.istio.io",
    version: "v1",
    kind: "VirtualService",
    plural: "virtualservices",
    install: "Istio",
    rules: &["spec", "http"],
    backends: &["route"],
    identity: &["destination", "host"],
    sum: Some(100),
    absent: 0,
    service,
    rename,
    refuses: |_, _| None,
    accepted: |_, _| Acceptance::Taken,
    owned: "/f:spec/f:http",
    jq: ".spec.http[].route",
    reads_back: false,
};

/// A short name is of the object's own namespace, a full one says its own: `orders`, `orders.shop.svc.cluster.local`.
fn service(backend: &Value, namespace: &str) -> Option<String> {
    let host = backend.pointer("/destination/host").and_then(Value::as_str)?;
    let mut parts = host.split('.');
    let name = parts.next()?;
    let (of, svc) = (parts.next(), parts.next());
    let here = of.is_none_or(|of| of == namespace) && svc.is_none_or(|svc| svc == "svc");
    here.then(|| name.to_owned())
}

fn rename(backend: &mut Value, standard: &str, ours: &str) {
    let Some(destination) = backend.get_mut("destination").and_then(Value::as_object_mut) else { return };
    // A subset is one of the standard Service's.
    destination.remove("subset");
    if let Some(host) = destination.get_mut("host") {
        let rest = host.as_str().and_then(|host| host.strip_prefix(standard)).unwrap_or_default().to_owned();
        *host = format!("{ours}{rest}").into();
    }
}
