//! The free-threaded pool's Service, where the router shares traffic between Services.

use std::collections::BTreeMap;

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

/// Argo CD takes what carries `app.kubernetes.io/instance` for a part of that application, where it tracks by labels. These annotations say
/// that it is none: never out of sync, never pruned, never deleted with the application.
const NOT_IN_GIT: [(&str, &str); 2] = [
    ("argocd.argoproj.io/compare-options", "IgnoreExtraneous"),
    ("argocd.argoproj.io/sync-options", "Prune=false,Delete=false"),
];

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
    // What belongs to a release or an application by its labels would be removed with it, or counted as its. A ServiceMonitor may select
    // by `app.kubernetes.io/instance`, so that it stays: see [`NOT_IN_GIT`].
    labels.retain(|name, _| {
        !name.starts_with("app.kubernetes.io/managed-by")
            && !name.contains("argocd")
            && !name.contains("fluxcd")
    });
    labels.insert(LABEL_ROLLOUT.into(), rollout.into());
    labels.insert(LABEL_POOL.into(), POOL_FREE_THREADED.into());
    labels.insert(LABEL_MANAGED_BY.into(), MANAGED_BY.into());
    let hash = hash(&json!({"labels": labels, "spec": spec}));
    let mut annotations = BTreeMap::from(NOT_IN_GIT);
    annotations.insert(ANNOTATION_TEMPLATE_HASH, &hash);
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": pool_name(rollout),
            "namespace": namespace,
            "labels": labels,
            "annotations": annotations,
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

/// Whether a Service is what [`service`] makes of it. What others added to it (a port, a field of a port) is theirs: to apply ours again would not
/// take it away.
pub fn is_like(there: &Service, wanted: &Value) -> bool {
    let spec = serde_json::to_value(&there.spec).unwrap_or_default();
    let hash = wanted.pointer("/metadata/annotations").and_then(|all| all.get(ANNOTATION_TEMPLATE_HASH));
    let ports = |of: &Value| of.get("ports").and_then(Value::as_array).cloned().unwrap_or_default();
    let all = ports(&spec);
    let has = |port: &Value| {
        let fields = port.as_object();
        let same = |live: &Value| {
            fields.is_some_and(|all| all.iter().all(|(name, value)| live.get(name) == Some(value)))
        };
        all.iter().any(same)
    };
    there.annotations().get(ANNOTATION_TEMPLATE_HASH).map(String::as_str) == hash.and_then(Value::as_str)
        && spec.get("selector") == wanted.pointer("/spec/selector")
        && wanted.get("spec").is_some_and(|spec| ports(spec).iter().all(has))
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
        assert_eq!(
            ours.pointer("/metadata/annotations/argocd.argoproj.io~1sync-options"),
            Some(&json!("Prune=false,Delete=false"))
        );
        let mut headless = standard.clone();
        headless.spec.as_mut().unwrap().cluster_ip = Some("None".into());
        assert_eq!(service("orders", "shop", &headless).pointer("/spec/clusterIP"), Some(&json!("None")));
    }

    #[test]
    fn an_edited_port_is_seen_and_an_added_one_is_somebody_elses() {
        let standard: Service = serde_json::from_value(json!({"metadata": {"name": "orders"},
            "spec": {"selector": {"app": "orders"}, "ports": [{"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"}]}}))
        .unwrap();
        let wanted = service("orders", "shop", &standard);
        let there: Service = serde_json::from_value(wanted.clone()).unwrap();
        assert!(is_like(&there, &wanted));
        let with = |edit: fn(&mut Value)| {
            let mut edited = wanted.clone();
            edit(&mut edited["spec"]);
            is_like(&serde_json::from_value(edited).unwrap(), &wanted)
        };
        assert!(!with(|spec| spec["ports"][0]["targetPort"] = json!(9090)));
        assert!(!with(|spec| spec["ports"] = json!([])));
        assert!(!with(|spec| spec["selector"] = json!({"app": "orders"})));
        assert!(with(|spec| spec["ports"][0]["nodePort"] = json!(31000)), "the API server's to give");
        assert!(with(|spec| spec["ports"] = json!([{"name": "debug", "port": 81}, spec["ports"][0]])));
    }

    #[test]
    fn no_tool_takes_it_for_a_part_of_an_application() {
        let standard: Service = serde_json::from_value(json!({
            "metadata": {"name": "orders",
                "labels": {"app.kubernetes.io/instance": "shop", "argocd.argoproj.io/instance": "shop",
                    "kustomize.toolkit.fluxcd.io/name": "shop", "kustomize.toolkit.fluxcd.io/namespace": "flux-system",
                    "helm.toolkit.fluxcd.io/name": "shop", "app.kubernetes.io/managed-by": "Helm"},
                "annotations": {"argocd.argoproj.io/tracking-id": "shop:/Service:shop/orders",
                    "meta.helm.sh/release-name": "shop", "kubectl.kubernetes.io/last-applied-configuration": "{}"}},
            "spec": {"selector": {"app": "orders"}, "ports": [{"port": 80}]},
        }))
        .unwrap();
        let ours = service("orders", "shop", &standard);
        let names = |what: &str| -> Vec<String> {
            ours.pointer(what).and_then(Value::as_object).unwrap().keys().cloned().collect()
        };
        assert_eq!(
            names("/metadata/labels"),
            ["app.kubernetes.io/instance", LABEL_MANAGED_BY, LABEL_POOL, LABEL_ROLLOUT],
            "a ServiceMonitor may select by the first"
        );
        assert_eq!(
            names("/metadata/annotations"),
            [
                "argocd.argoproj.io/compare-options",
                "argocd.argoproj.io/sync-options",
                ANNOTATION_TEMPLATE_HASH
            ]
        );
    }
}
