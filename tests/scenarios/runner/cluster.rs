//! The API server: the only thing that the runner talks to, so that any cluster serves.

use std::time::Duration;

use k8s_openapi::api::{apps::v1::Deployment, coordination::v1::Lease, core::v1::Pod};
use kube::{
    Api, Client, Config, ResourceExt,
    api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::{Result, context};

/// Field manager of what the runner applies.
const MANAGER: &str = "scenarios";
/// Longest time that one request may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection, and where operator and Prometheus are.
#[derive(Clone)]
pub(crate) struct Cluster {
    pub(crate) client: Client,
    pub(crate) operator_namespace: String,
    prometheus_namespace: String,
}

/// The pod of an operator and the node it is on.
pub(crate) struct Leader {
    pub(crate) pod: String,
    pub(crate) node: String,
}

impl Cluster {
    /// The cluster of `KUBECONFIG`.
    pub(crate) async fn connect() -> Result<Self> {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        provider.install_default().map_err(|_| "a TLS provider is installed already")?;
        let mut config = Config::infer().await.map_err(context("no cluster: set KUBECONFIG"))?;
        config.connect_timeout = Some(PATIENCE);
        let client = Client::try_from(config)?;
        let version =
            within(client.apiserver_version()).await.map_err(context("the API server does not answer"))?;
        println!("Kubernetes {}", version.git_version);
        let named =
            |variable: &str, default: &str| std::env::var(variable).unwrap_or_else(|_| default.to_owned());
        Ok(Self {
            client,
            operator_namespace: named("OPERATOR_NAMESPACE", "freethread-system"),
            prometheus_namespace: named("PROMETHEUS_NAMESPACE", "monitoring"),
        })
    }

    pub(crate) fn deployments(&self, namespace: &str) -> Api<Deployment> {
        Api::namespaced(self.client.clone(), namespace)
    }
    pub(crate) fn pods(&self, namespace: &str) -> Api<Pod> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// Applies a manifest of any kind, server-side.
    pub(crate) async fn apply(&self, namespace: &str, manifest: &Value) -> Result<()> {
        let (api, name) = self.dynamic(namespace, manifest)?;
        let params = PatchParams::apply(MANAGER).force();
        within(api.patch(&name, &params, &Patch::Apply(manifest)))
            .await
            .map_err(context(&format!("apply {} {name}", manifest["kind"])))?;
        Ok(())
    }

    /// Owner references whose `uid` is `$UID` get that of the object that they name.
    pub(crate) async fn fill_owners(&self, namespace: &str, manifest: &mut Value) -> Result<()> {
        let owners = manifest.pointer_mut("/metadata/ownerReferences").and_then(Value::as_array_mut);
        for owner in owners.into_iter().flatten().filter(|owner| owner["uid"] == "$UID") {
            let named = json!({"apiVersion": owner["apiVersion"], "kind": owner["kind"], "metadata": {"name": owner["name"]}});
            let (api, name) = self.dynamic(namespace, &named)?;
            let found = within(api.get(&name)).await.map_err(context(&format!("the owner {name}")))?;
            owner["uid"] = json!(found.uid());
        }
        Ok(())
    }

    /// Whether the API server would take a manifest; nothing is written.
    pub(crate) async fn would_take(&self, namespace: &str, manifest: &Value) -> Result<()> {
        let (api, name) = self.dynamic(namespace, manifest)?;
        let params = PatchParams::apply(MANAGER).force().dry_run();
        within(api.patch(&name, &params, &Patch::Apply(manifest)))
            .await
            .map_err(context(&format!("apply {} {name}", manifest["kind"])))?;
        Ok(())
    }

    /// Patches an object as `manager`: strategically where the API server can, else with a merge patch; or `applied` server-side.
    /// Returns its new resource version.
    pub(crate) async fn patch(
        &self,
        namespace: &str,
        kind: &str,
        name: &str,
        manager: &str,
        with: &Value,
        applied: bool,
    ) -> Result<u64> {
        let (api_version, strategic) = match kind {
            "Deployment" => ("apps/v1", true),
            "HorizontalPodAutoscaler" => ("autoscaling/v2", true),
            "Service" | "Pod" => ("v1", true),
            "FreeThreadRollout" => ("freethreading.dev/v1alpha1", false),
            "HTTPRoute" => ("gateway.networking.k8s.io/v1", false),
            other => return Err(format!("patch: kind {other} is not known to the runner").into()),
        };
        let mut object = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}});
        let (api, _) = self.dynamic(namespace, &object)?;
        let params = PatchParams { field_manager: Some(manager.to_owned()), ..PatchParams::default() };
        json_patch::merge(&mut object, with);
        let patch = match (applied, strategic) {
            (true, _) => Patch::Apply(&object),
            (false, true) => Patch::Strategic(with),
            (false, false) => Patch::Merge(with),
        };
        let patched = within(api.patch(name, &params, &patch))
            .await
            .map_err(context(&format!("patch {kind} {name}")))?;
        Ok(revision(&patched))
    }

    /// The API of a manifest's kind, and its name.
    pub(crate) fn dynamic(&self, namespace: &str, manifest: &Value) -> Result<(Api<DynamicObject>, String)> {
        let text = |value: &Value, what: &str| {
            value.as_str().map(str::to_owned).ok_or_else(|| format!("a manifest has no {what}"))
        };
        let api_version = text(&manifest["apiVersion"], "apiVersion")?;
        let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
        let gvk = GroupVersionKind::gvk(group, version, &text(&manifest["kind"], "kind")?);
        let name = text(&manifest["metadata"]["name"], "metadata.name")?;
        let resource = ApiResource::from_gvk(&gvk);
        let api = if gvk.kind == "Namespace" {
            Api::all_with(self.client.clone(), &resource)
        } else {
            Api::namespaced_with(self.client.clone(), namespace, &resource)
        };
        Ok((api, name))
    }

    /// Sends a request to a pod, through the API server.
    pub(crate) async fn to_pod(
        &self,
        namespace: &str,
        pod: &str,
        port: u16,
        path: &str,
        body: Option<&Value>,
    ) -> Result<String> {
        let uri = format!("/api/v1/namespaces/{namespace}/pods/{pod}:{port}/proxy{path}");
        let (method, bytes) = match body {
            Some(body) => ("POST", body.to_string().into_bytes()),
            None => ("GET", Vec::new()),
        };
        let request = http::Request::builder()
            .method(method)
            .uri(&uri)
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(bytes)?;
        within(self.client.request_text(request))
            .await
            .map_err(context(&format!("{method} {path} of pod {pod}")))
    }

    /// Scales a Deployment and returns how many replicas it had.
    pub(crate) async fn scale(&self, namespace: &str, name: &str, replicas: i32) -> Result<i32> {
        let api = self.deployments(namespace);
        let had =
            within(api.get_scale(name)).await.map_err(context(&format!("Deployment {namespace}/{name}")))?;
        let patch = json!({"spec": {"replicas": replicas}});
        within(api.patch_scale(name, &PatchParams::default(), &Patch::Merge(&patch)))
            .await
            .map_err(context(&format!("scale Deployment {namespace}/{name}")))?;
        Ok(had.spec.and_then(|spec| spec.replicas).unwrap_or(0))
    }

    /// The operator's Deployment.
    pub(crate) async fn operator(&self) -> Result<String> {
        self.only_deployment(
            &self.operator_namespace,
            "app.kubernetes.io/name=freethread-rollout",
            "is the operator installed?",
        )
        .await
    }

    /// Namespace and name of Prometheus' Deployment.
    pub(crate) async fn prometheus(&self) -> Result<(String, String)> {
        let namespace = &self.prometheus_namespace;
        let api = self.deployments(namespace);
        let list = within(api.list(&ListParams::default())).await.map_err(context(namespace))?;
        let found = list.items.iter().map(ResourceExt::name_any).find(|name| name.contains("prometheus"));
        let name = found.ok_or_else(|| format!("no Deployment of Prometheus in namespace {namespace}"))?;
        Ok((namespace.clone(), name))
    }

    async fn only_deployment(&self, namespace: &str, labels: &str, hint: &str) -> Result<String> {
        let api = self.deployments(namespace);
        let list = within(api.list(&ListParams::default().labels(labels))).await.map_err(context(labels))?;
        match list.items.as_slice() {
            [only] => Ok(only.name_any()),
            [] => Err(format!("no Deployment with {labels} in namespace {namespace}: {hint}").into()),
            _ => Err(format!("several Deployments with {labels} in namespace {namespace}").into()),
        }
    }

    /// The operator's pods.
    pub(crate) async fn operator_pods(&self) -> Result<Vec<Pod>> {
        let params = ListParams::default().labels("app.kubernetes.io/name=freethread-rollout");
        Ok(within(self.pods(&self.operator_namespace).list(&params)).await?.items)
    }

    /// The pods that gave everything back before an uninstallation, where that failed.
    pub(crate) async fn give_back_pods(&self) -> Result<Vec<Pod>> {
        let params = ListParams::default().labels("app.kubernetes.io/component=give-back");
        Ok(within(self.pods(&self.operator_namespace).list(&params)).await?.items)
    }

    /// The operator that holds the lease.
    pub(crate) async fn leader(&self) -> Result<Leader> {
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), &self.operator_namespace);
        let leases = within(leases.list(&ListParams::default())).await.map_err(context("leases"))?;
        let holders: Vec<String> = leases
            .items
            .into_iter()
            .filter_map(|lease| lease.spec.and_then(|spec| spec.holder_identity))
            .collect();
        for pod in self.operator_pods().await? {
            let name = pod.name_any();
            // Some identities carry a suffix after the pod's name.
            if holders.iter().any(|holder| holder.starts_with(&name)) {
                let node = pod.spec.and_then(|spec| spec.node_name).unwrap_or_default();
                return Ok(Leader { pod: name, node });
            }
        }
        Err(format!(
            "no operator's pod holds a lease in namespace {}: holders are {holders:?}",
            self.operator_namespace
        )
        .into())
    }

    /// Deletes a pod with no grace.
    pub(crate) async fn delete_now(&self, namespace: &str, pod: &str) -> Result<()> {
        let params = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
        within(self.pods(namespace).delete(pod, &params))
            .await
            .map_err(context(&format!("delete pod {pod}")))?;
        Ok(())
    }
}

/// An object's resource version as a number: it orders changes.
pub(crate) fn revision<K: kube::Resource>(object: &K) -> u64 {
    object.resource_version().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Bounds a request in time.
pub(crate) async fn within<T>(request: impl Future<Output = kube::Result<T>>) -> Result<T> {
    match tokio::time::timeout(PATIENCE, request).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs()).into()),
    }
}
