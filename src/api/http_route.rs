//! `spec.traffic.httpRoute`: a route of the team's, or one that the operator writes as a whole.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{Traffic, spec::is_false};

/// An `HTTPRoute`, in the rollout's namespace. Exactly one of `name` and `managed`.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("has(self.name) != has(self.managed)").message("either name a route of yours, httpRoute: {name: ...}, or let the operator write one, httpRoute: {managed: {parentRefs: [{name: ...}]}}"),
    validation = Rule::new("has(self.name) == has(oldSelf.name) && (!has(self.name) || self.name == oldSelf.name) && (!has(oldSelf.service) || (has(self.service) && self.service == oldSelf.service))").message("whose route it is, its name and its service, once it is said, are immutable: delete this rollout (traffic goes back first) and create another"),
)]
pub struct HttpRoute {
    /// A route of the team's own. In every rule that names the standard Service the operator puts the free-threaded pool's Service beside
    /// it and sets these two weights; nothing else of the route is changed, and at weight 0 it is as the team wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub name: Option<String>,
    /// A route that the operator writes and owns, called as the rollout. It stays when the rollout goes, with everything on the standard
    /// Service: users come through it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed: Option<ManagedRoute>,
    /// The standard pool's Service, where the route names several that select it, or, for a managed one, where there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub service: Option<String>,
    /// The gateway controller whose word counts, such as `traefik.io/gateway-controller`, where several controllers report on the
    /// route. Of one parent any will do otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub controller_name: Option<String>,
}

/// What the operator's own route is to be. An edit is written at once, at the weight that there is.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ManagedRoute {
    /// The gateways that it hangs on.
    #[schemars(length(min = 1, max = 8))]
    #[x_kube(validation = Rule::new("self.all(a, self.exists_one(b, a.name == b.name && has(a.__namespace__) == has(b.__namespace__) && (!has(a.__namespace__) || a.__namespace__ == b.__namespace__) && has(a.sectionName) == has(b.sectionName) && (!has(a.sectionName) || a.sectionName == b.sectionName) && has(a.port) == has(b.port) && (!has(a.port) || a.port == b.port)))").message("the same gateway is named twice: name it once, or give each a sectionName or port of its own"))]
    pub parent_refs: Vec<ParentRef>,
    /// Host names, as the Gateway API takes them; all that the gateway's listener has if nothing is said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 253)))]
    #[x_kube(validation = Rule::new("self.all(name, name.matches('^([*][.])?[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$'))").message("a host name is lower case, without a scheme, port or path: orders.example.com or *.example.com"))]
    pub hostnames: Vec<String>,
    /// Path prefixes; all paths if nothing is said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(min = 1, max = 1024)))]
    #[x_kube(validation = Rule::new("self.all(path, path.startsWith('/'))").message("a path begins with a slash: /orders"),
        validation = Rule::new("self.all(path, !path.matches('//|/[.][.]?/|/[.][.]?$|#|%2[fF]'))").message("a path has no //, /./, /../, # or %2F: write it as it is after normalization"))]
    pub paths: Vec<String>,
    /// Port of the standard pool's Service, where it has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// Let people choose: requests with the header `x-freethread: on` go to the free-threaded pool, with `off` to the standard one, at every
    /// weight above 0. At a rollback nobody goes there any more.
    #[serde(default, skip_serializing_if = "is_false")]
    pub testers: bool,
    /// Keep each user on one side, by a cookie: as the weight grows users only ever join the free-threaded pool, and at a rollback all leave
    /// it. The share is one of users then, and of requests only as far as users are alike.
    #[serde(default, skip_serializing_if = "is_false")]
    pub sticky: bool,
}

/// A gateway, as the route's `parentRefs` name it.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ParentRef {
    /// Name of the Gateway.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Its namespace, if it is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
    /// Name of its listener, if it is to be one alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub section_name: Option<String>,
    /// Port of its listeners, if it is to be one alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
}

impl Traffic {
    /// What the operator's own route is to be; `None` where there is none.
    pub fn managed(&self) -> Option<&ManagedRoute> {
        self.http_route.as_ref()?.managed.as_ref()
    }
}
