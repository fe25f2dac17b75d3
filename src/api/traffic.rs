//! `spec.traffic`: the router.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{FreeThreadRollout, HttpRoute, ManagedRoute};

/// The router. Exactly one field is set.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("[has(self.podCount), has(self.httpRoute), has(self.grpcRoute), has(self.virtualService), has(self.traefikService), has(self.httpProxy), has(self.flag)].filter(one, one).size() == 1").message("name exactly one router, such as traffic: {podCount: {}} or traffic: {httpRoute: {name: ...}}"),
    validation = Rule::new("has(self.podCount) == has(oldSelf.podCount) && has(self.httpRoute) == has(oldSelf.httpRoute) && has(self.grpcRoute) == has(oldSelf.grpcRoute) && has(self.virtualService) == has(oldSelf.virtualService) && has(self.traefikService) == has(oldSelf.traefikService) && has(self.httpProxy) == has(oldSelf.httpProxy) && has(self.flag) == has(oldSelf.flag)").message("the router is immutable: delete this rollout (traffic goes back first) and create another"),
)]
pub struct Traffic {
    /// By the number of ready pods behind the team's Service: needs nothing else, in steps of one pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_count: Option<PodCount>,
    /// By an `HTTPRoute` (Gateway API v1): of the team's own, or one that the operator writes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_route: Option<HttpRoute>,
    /// By a `GRPCRoute` (Gateway API v1) of the team's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grpc_route: Option<GatewayRoute>,
    /// By an Istio `VirtualService` (networking.istio.io/v1) of the team's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub virtual_service: Option<WeightedObject>,
    /// By a weighted `TraefikService` (traefik.io/v1alpha1) of the team's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traefik_service: Option<WeightedObject>,
    /// By a Contour `HTTPProxy` (projectcontour.io/v1) of the team's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_proxy: Option<WeightedObject>,
    /// By a feature flag that the operator serves: whoever makes work (a producer, a caller) asks it with a targeting key and is told the pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flag: Option<FlagRoute>,
}

/// A flag with the rollout's name, served over OFREP, the `OpenFeature` Remote Evaluation Protocol. One targeting key stays with one pool as long as
/// the weight rises; without a key, and when nobody answers, it is the standard pool.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FlagRoute {
    /// What the flag says for each pool, such as the names of two queues. `false` and `true` if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values: Option<FlagValues>,
}

/// What a flag says for each pool.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FlagValues {
    /// For the standard pool.
    #[schemars(length(min = 1, max = 253))]
    pub standard: String,
    /// For the free-threaded pool.
    #[schemars(length(min = 1, max = 253))]
    pub free_threaded: String,
}

/// Traffic by pod counts: the share is ready free-threaded pods over all ready pods.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PodCount {
    /// Consent to a share of more than twice the wanted one, where one pod is already more (5 % wanted with 3 standard pods is 25 %).
    /// Without it the rollout pauses there and says so.
    #[serde(default)]
    pub allow_overshoot: bool,
}

/// A route of the Gateway API, in the rollout's namespace. In every rule that names the standard Service the operator puts the free-threaded
/// pool's Service beside it and sets these two weights; nothing else of the route is changed, and at weight 0 it is as the team wrote it.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("self == oldSelf").message("the route is immutable: delete this rollout (traffic goes back first) and create another"))]
pub struct GatewayRoute {
    /// The route's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The standard pool's Service, where the route names several that select it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub service: Option<String>,
    /// The gateway controller whose word counts, such as `traefik.io/gateway-controller`, where several controllers report on the
    /// route. Of one parent any will do otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub controller_name: Option<String>,
}

/// An object of another API that shares traffic by weights, in the rollout's namespace: the operator changes it as it does a route of the
/// Gateway API.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("self == oldSelf").message("the router is immutable: delete this rollout (traffic goes back first) and create another"))]
pub struct WeightedObject {
    /// The object's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The standard pool's Service, where the object names several that select it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub service: Option<String>,
}

/// The ways to shift traffic, as `spec.traffic` names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RouterKind {
    /// [`PodCount`].
    PodCount,
    /// `HTTPRoute` of the Gateway API.
    HttpRoute,
    /// `GRPCRoute` of the Gateway API.
    GrpcRoute,
    /// Istio's `VirtualService`.
    VirtualService,
    /// Traefik's `TraefikService`.
    TraefikService,
    /// Contour's `HTTPProxy`.
    HttpProxy,
    /// [`FlagRoute`].
    Flag,
}

impl RouterKind {
    /// All of them, in the order of the documents.
    pub const ALL: [Self; 7] = [
        Self::PodCount,
        Self::HttpRoute,
        Self::GrpcRoute,
        Self::VirtualService,
        Self::TraefikService,
        Self::HttpProxy,
        Self::Flag,
    ];

    /// The field of `spec.traffic`, and the word that switches it on in the chart.
    pub fn word(self) -> &'static str {
        match self {
            Self::PodCount => "podCount",
            Self::HttpRoute => "httpRoute",
            Self::GrpcRoute => "grpcRoute",
            Self::VirtualService => "virtualService",
            Self::TraefikService => "traefikService",
            Self::HttpProxy => "httpProxy",
            Self::Flag => "flag",
        }
    }
}

impl std::fmt::Display for RouterKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.word())
    }
}

/// A word that is no router.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is no router: write podCount, httpRoute, grpcRoute, virtualService, traefikService, httpProxy or flag"
)]
pub struct UnknownRouter(String);

impl std::str::FromStr for RouterKind {
    type Err = UnknownRouter;
    fn from_str(word: &str) -> Result<Self, UnknownRouter> {
        Self::ALL.into_iter().find(|kind| kind.word() == word).ok_or_else(|| UnknownRouter(word.to_owned()))
    }
}

/// The object that a weight is written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouteRef<'a> {
    /// Its kind.
    pub kind: RouterKind,
    /// Its name.
    pub name: &'a str,
    /// What is to be in it, where it is the operator's own.
    pub managed: Option<&'a ManagedRoute>,
    /// The standard pool's Service, where the spec says which.
    pub service: Option<&'a str>,
    /// The controller whose word counts, where the spec says which.
    pub controller: Option<&'a str>,
}

impl FreeThreadRollout {
    /// The object that weights are written to, the team's or one of ours; `None` by pod counts and by a flag.
    pub fn route(&self) -> Option<RouteRef<'_>> {
        let Traffic { http_route, grpc_route, virtual_service, traefik_service, http_proxy, .. } =
            &self.spec.traffic;
        if let Some(HttpRoute { name, managed, service, controller_name }) = http_route {
            return Some(RouteRef {
                kind: RouterKind::HttpRoute,
                // Ours is called as the rollout.
                name: name.as_ref().or(self.metadata.name.as_ref())?,
                managed: managed.as_ref(),
                service: service.as_deref(),
                controller: controller_name.as_deref(),
            });
        }
        if let Some(GatewayRoute { name, service, controller_name }) = grpc_route {
            let (kind, service, controller) =
                (RouterKind::GrpcRoute, service.as_deref(), controller_name.as_deref());
            return Some(RouteRef { kind, name, managed: None, service, controller });
        }
        let others = [
            (RouterKind::VirtualService, virtual_service),
            (RouterKind::TraefikService, traefik_service),
            (RouterKind::HttpProxy, http_proxy),
        ];
        others.into_iter().find_map(|(kind, object)| {
            let WeightedObject { name, service } = object.as_ref()?;
            Some(RouteRef { kind, name, managed: None, service: service.as_deref(), controller: None })
        })
    }
}
