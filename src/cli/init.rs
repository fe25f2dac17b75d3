//! `kubectl freethread init`: reads what runs, and writes what one could start with.

use std::{
    io::{Write, stdout},
    time::{Duration, Instant},
};

use k8s_openapi::api::{
    apps::v1::Deployment,
    autoscaling::v2::HorizontalPodAutoscaler,
    core::v1::{Pod, Service},
    networking::v1::Ingress,
};
use kube::{
    Api, ResourceExt,
    api::{ListParams, ObjectList},
    core::{ApiResource, DynamicObject, GroupVersionKind},
};
use serde::de::DeserializeOwned;

use super::{CliError, InitArgs, connect::Connection};
use crate::init::{Exposition, Found, Metrics, container_of, proposal, seen};

/// Most objects of a kind that are looked at.
const LIST: u32 = 500;
/// Between the two looks at a pod's metrics: a rate needs both.
const APART: Duration = Duration::from_secs(5);
/// Routes of other groups, where the cluster has them.
const ROUTES: [(&str, &str, &str); 4] = [
    ("gateway.networking.k8s.io", "v1", "HTTPRoute"),
    ("gateway.networking.k8s.io", "v1", "GRPCRoute"),
    ("networking.istio.io", "v1", "VirtualService"),
    ("projectcontour.io", "v1", "HTTPProxy"),
];

/// Write the proposal.
pub(super) async fn propose(connection: &Connection, args: &InitArgs) -> Result<(), CliError> {
    let name = args.workload.rsplit_once('/').map_or(args.workload.as_str(), |(_, name)| name);
    let kind = args.workload.rsplit_once('/').map_or("deploy", |(kind, _)| kind);
    let missing =
        || CliError::NoDeployment { name: args.workload.clone(), namespace: connection.namespace.clone() };
    if !["deploy", "deployment", "deployments", "deployment.apps", "deployments.apps"].contains(&kind) {
        return Err(missing());
    }
    let deployments: Api<Deployment> = connection.namespaced();
    let workload = connection.bounded("reading the Deployment", deployments.get_opt(name)).await?;
    let workload = workload.ok_or_else(missing)?;
    let mut unknown = Vec::new();
    let services = services(connection, &workload, &mut unknown).await;
    let found = Found {
        autoscalers: autoscalers(connection, name, &mut unknown).await,
        routes: routes(connection, &services, &mut unknown).await,
        managers: managers(&workload),
        metrics: metrics(connection, &workload, args).await,
        services,
        workload,
        unknown,
    };
    Ok(stdout().write_all(proposal(&found).as_bytes())?)
}

/// What there is of a kind. One that may not be read is unknown; one that the cluster does not know is not there.
async fn list<K>(connection: &Connection, api: Api<K>, what: &str, unknown: &mut Vec<String>) -> Vec<K>
where
    K: Clone + DeserializeOwned + std::fmt::Debug,
{
    let params = ListParams::default().limit(LIST);
    let listed: Result<ObjectList<K>, CliError> = connection.bounded("listing", api.list(&params)).await;
    match listed {
        Ok(list) => {
            if list.metadata.continue_.is_some_and(|more| !more.is_empty()) {
                unknown.push(format!("{what}: there are over {LIST}, and only as many were looked at"));
            }
            list.items
        }
        Err(CliError::Api { source, .. }) if source.code == 404 => Vec::new(),
        Err(error) => {
            let text = error.to_string();
            unknown.push(format!("{what}: {}", text.lines().next().unwrap_or_default()));
            Vec::new()
        }
    }
}

async fn services(connection: &Connection, workload: &Deployment, unknown: &mut Vec<String>) -> Vec<String> {
    let template = workload.spec.as_ref().and_then(|spec| spec.template.metadata.as_ref());
    let labels = template.and_then(|meta| meta.labels.clone()).unwrap_or_default();
    let all: Vec<Service> = list(connection, connection.namespaced(), "its Services", unknown).await;
    let selects = |service: &Service| {
        let selector = service.spec.as_ref().and_then(|spec| spec.selector.as_ref());
        selector.is_some_and(|s| !s.is_empty() && s.iter().all(|(key, value)| labels.get(key) == Some(value)))
    };
    all.iter().filter(|service| selects(service)).map(ResourceExt::name_any).collect()
}

async fn autoscalers(connection: &Connection, name: &str, unknown: &mut Vec<String>) -> Vec<String> {
    let all: Vec<HorizontalPodAutoscaler> =
        list(connection, connection.namespaced(), "its HorizontalPodAutoscaler", unknown).await;
    let theirs = all.iter().filter(|one| {
        let target = &one.spec.scale_target_ref;
        target.kind == "Deployment" && target.name == name
    });
    let mut found: Vec<String> = theirs
        .map(|one| {
            let (least, most) = (one.spec.min_replicas.unwrap_or(1), one.spec.max_replicas);
            format!("HorizontalPodAutoscaler {} ({least} to {most} pods)", one.name_any())
        })
        .collect();
    let scaled = dynamic(connection, ("keda.sh", "v1alpha1", "ScaledObject"), unknown).await;
    let scaled = scaled.iter().filter(|one| {
        one.data.pointer("/spec/scaleTargetRef/name").and_then(serde_json::Value::as_str) == Some(name)
    });
    found.extend(scaled.map(|one| format!("ScaledObject {}", one.name_any())));
    found
}

async fn dynamic(
    connection: &Connection,
    (group, version, kind): (&str, &str, &str),
    unknown: &mut Vec<String>,
) -> Vec<DynamicObject> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    let api = Api::namespaced_with(connection.client.clone(), &connection.namespace, &resource);
    list(connection, api, &format!("{kind}s"), unknown).await
}

/// Everything that names one of the Services as a backend.
async fn routes(connection: &Connection, services: &[String], unknown: &mut Vec<String>) -> Vec<String> {
    let mut found = Vec::new();
    let ingresses: Vec<Ingress> = list(connection, connection.namespaced(), "Ingresses", unknown).await;
    for ingress in ingresses {
        let names = serde_json::to_value(&ingress.spec).unwrap_or_default();
        if names_one(&names, services) {
            found.push(format!("Ingress {}", ingress.name_any()));
        }
    }
    for kind in ROUTES {
        for route in dynamic(connection, kind, unknown).await {
            if names_one(&route.data, services) {
                found.push(format!("{} {}", kind.2, route.name_any()));
            }
        }
    }
    found
}

/// Whether some `name` or `host` in there is that of a Service.
fn names_one(value: &serde_json::Value, services: &[String]) -> bool {
    match value {
        serde_json::Value::Object(fields) => fields.iter().any(|(key, value)| {
            let name = ["name", "host"].contains(&key.as_str()).then(|| value.as_str()).flatten();
            let host = name.map(|name| name.split('.').next().unwrap_or(name));
            host.is_some_and(|host| services.iter().any(|service| service == host))
                || names_one(value, services)
        }),
        serde_json::Value::Array(items) => items.iter().any(|item| names_one(item, services)),
        _ => false,
    }
}

fn managers(workload: &Deployment) -> Vec<String> {
    let (labels, annotations) = (workload.labels(), workload.annotations());
    let helm = labels.get("app.kubernetes.io/managed-by").is_some_and(|by| by == "Helm");
    let argo = annotations.contains_key("argocd.argoproj.io/tracking-id")
        || labels.contains_key("argocd.argoproj.io/instance");
    let flux = labels.keys().any(|key| key.contains("toolkit.fluxcd.io/"));
    [(helm, "Helm"), (argo, "Argo CD"), (flux, "Flux")]
        .into_iter()
        .filter(|(is, _)| *is)
        .map(|(_, name)| name.to_owned())
        .collect()
}

async fn metrics(connection: &Connection, workload: &Deployment, args: &InitArgs) -> Metrics {
    let Some((pod, port, path)) = target(connection, workload, args).await else {
        return Metrics::Unread("none of its pods is ready".into());
    };
    let Some(port) = port else {
        return Metrics::Unread(format!("pod {pod} names no port: write --metrics-port"));
    };
    let read = || async {
        let uri = format!("/api/v1/namespaces/{}/pods/{pod}:{port}/proxy{path}", connection.namespace);
        let request = http::Request::get(uri).body(Vec::new());
        let request = request.map_err(|error| format!("{port}{path} is no address: {error}"))?;
        let text =
            connection.bounded("reading a pod's metrics", connection.client.request_text(request)).await;
        let text = text.map_err(|error| {
            let text = error.to_string();
            format!("{path} on port {port} of pod {pod}: {}", text.lines().next().unwrap_or_default())
        })?;
        Ok::<_, String>(Exposition::parse(&text))
    };
    let begun = Instant::now();
    let first = match read().await {
        Ok(first) => first,
        Err(why) => return Metrics::Unread(why),
    };
    // A rate is what happens in between: here time itself is what is waited for.
    tokio::time::sleep(APART).await;
    let second = match read().await {
        Ok(second) => second,
        Err(why) => return Metrics::Unread(why),
    };
    if let Some(seen) = seen(&first, &second, begun.elapsed().as_secs_f64()) {
        return Metrics::Seen(seen);
    }
    let telling = |name: &&str| name.ends_with("_total") || name.ends_with("_bucket");
    Metrics::Strange(second.names().filter(telling).take(20).map(str::to_owned).collect())
}

/// A ready pod, and the port and path of its metrics.
async fn target(
    connection: &Connection,
    workload: &Deployment,
    args: &InitArgs,
) -> Option<(String, Option<u16>, String)> {
    let spec = workload.spec.as_ref()?;
    let selector = spec.selector.match_labels.clone().unwrap_or_default();
    let selector: Vec<String> = selector.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let params = ListParams::default().labels(&selector.join(",")).limit(LIST);
    let pods: Api<Pod> = connection.namespaced();
    let pods = connection.bounded("listing pods", pods.list(&params)).await.ok()?;
    let ready = |pod: &&Pod| {
        let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
        conditions.into_iter().flatten().any(|one| one.type_ == "Ready" && one.status == "True")
    };
    let pod = pods.items.iter().find(ready)?;
    let annotation = |name: &str| pod.annotations().get(&format!("prometheus.io/{name}")).cloned();
    let container = pod.spec.as_ref().and_then(container_of);
    let ports = container.and_then(|container| container.ports.as_ref()).into_iter().flatten();
    // The one that is called so, or else the first.
    let named = ports.clone().find(|port| port.name.as_deref().is_some_and(|name| name.contains("metrics")));
    let port = named.or(ports.clone().next()).and_then(|port| u16::try_from(port.container_port).ok());
    let port = args.metrics_port.or(annotation("port").and_then(|port| port.parse().ok())).or(port);
    let path = args.metrics_path.clone().or(annotation("path")).unwrap_or_else(|| "/metrics".into());
    let path = if path.starts_with('/') { path } else { format!("/{path}") };
    Some((pod.name_any(), port, path))
}
