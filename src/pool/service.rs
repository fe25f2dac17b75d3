//! The free-threaded pool's Service, where the router shares traffic between Services.

use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt;
use serde_json::{Map, Value, json};

use crate::api::{
    ANNOTATION_TEMPLATE_HASH, LABEL_MANAGED_BY, LABEL_POOL, LABEL_ROLLOUT, MANAGED_BY, POOL_FREE_THREADED,
    hash, pool_name,
};

/// What of the standard Service's spec ours takes over: how it is reached, and nothing that the API server gave it or that opens it to the
/// outside.
const TAKEN_OVER: &[&str] =
    &["sessionAffinity", "sessionAffinityConfig", "publishNotReadyAddresses", "trafficDistribution"];

/// The Service of `rollout`'s pool, as the standard pool's: the same ports under the same names, and its labels, so that what finds the one by them
/// (a `ServiceMonitor`) finds the other. It selects our pods and no others.
pub fn service(rollout: &str, namespace: &str, standard: &Service) -> Value {
    let of_standard = serde_json::to_value(&standard.spec).unwrap_or_default();
    let mut spec: Map<String, Value> = Map::new();
    for field in TAKEN_OVER {
        if let Some(value) = of_standard.get(*field).filter(|value| !value.is_null()) {
            spec.insert((*field).into(), value.clone());
        }
    }
    if of_standard.get("clusterIP").and_then(Value::as_str) == Some("None") {
        spec.insert("clusterIP".into(), json!("None"));
    }
    let ports = of_standard.get("ports").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let ports: Vec<Value> = ports.iter().map(port).collect();
    spec.insert("ports".into(), json!(ports));
    spec.insert("selector".into(), json!({LABEL_ROLLOUT: rollout, LABEL_POOL: POOL_FREE_THREADED}));
    let mut labels = standard.labels().clone();
    // What belongs to a release or an application by its labels would be removed with it, or counted as its.
    labels.retain(|name, _| {
        !name.starts_with("app.kubernetes.io/managed-by")
            && !name.contains("argocd")
            && !name.contains("fluxcd")
    });
    labels.insert(LABEL_ROLLOUT.into(), rollout.into());
    labels.insert(LABEL_POOL.into(), POOL_FREE_THREADED.into());
    labels.insert(LABEL_MANAGED_BY.into(), MANAGED_BY.into());
    let hash = hash(&json!({"labels": labels, "spec": spec}));
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": pool_name(rollout),
            "namespace": namespace,
            "labels": labels,
            "annotations": {ANNOTATION_TEMPLATE_HASH: hash},
        },
        "spec": spec,
    })
}

/// A port as the other pool has it; node ports are the API server's to give.
fn port(port: &Value) -> Value {
    let mut port = port.clone();
    if let Some(fields) = port.as_object_mut() {
        fields.remove("nodePort");
    }
    port
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_reached_as_the_standard_one_and_selects_ours_alone() {
        let standard: Service = serde_json::from_value(json!({
            "metadata": {"name": "orders", "labels": {"app": "orders", "app.kubernetes.io/managed-by": "Helm", "argocd.argoproj.io/instance": "x"}},
            "spec": {"type": "NodePort", "clusterIP": "10.0.0.7", "clusterIPs": ["10.0.0.7"], "selector": {"app": "orders"},
                "ports": [{"name": "http", "port": 80, "targetPort": "web", "protocol": "TCP", "nodePort": 31000}]},
        }))
        .unwrap();
        let ours = service("orders", "shop", &standard);
        assert_eq!(
            ours.get("spec"),
            Some(&json!({"ports": [{"name": "http", "port": 80, "targetPort": "web", "protocol": "TCP"}],
                "selector": {LABEL_ROLLOUT: "orders", LABEL_POOL: "free-threaded"}}))
        );
        assert_eq!(
            ours.pointer("/metadata/labels"),
            Some(
                &json!({"app": "orders", LABEL_ROLLOUT: "orders", LABEL_POOL: "free-threaded", LABEL_MANAGED_BY: MANAGED_BY})
            )
        );
        let mut headless = standard.clone();
        headless.spec.as_mut().unwrap().cluster_ip = Some("None".into());
        assert_eq!(service("orders", "shop", &headless).pointer("/spec/clusterIP"), Some(&json!("None")));
    }
}
