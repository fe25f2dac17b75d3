//! Who else says how many pods there are.

use k8s_openapi::{
    api::autoscaling::v2::HorizontalPodAutoscaler, apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use kube::ResourceExt;

use super::{Autoscaler, Stores};

/// API group of KEDA's `ScaledObject`.
const KEDA_GROUP: &str = "keda.sh/";

/// The autoscaler of a Deployment. KEDA makes one for each of its own objects, which therefore need not be read.
pub(super) fn autoscaler(namespace: &str, deployment: &str, stores: &Stores) -> Option<Autoscaler> {
    let scales = |h: &HorizontalPodAutoscaler| h.namespace().as_deref() == Some(namespace);
    stores.autoscalers.find(|h| scales(h) && of(h, deployment).is_some()).and_then(|h| of(&h, deployment))
}

fn of(h: &HorizontalPodAutoscaler, deployment: &str) -> Option<Autoscaler> {
    let target = &h.spec.scale_target_ref;
    // A label would do as well, but the labels of the ScaledObject go before KEDA's.
    let of_keda = |owner: &OwnerReference| owner.api_version.starts_with(KEDA_GROUP);
    (target.kind == "Deployment" && target.name == deployment)
        .then(|| Autoscaler { name: h.name_any(), by_keda: h.owner_references().iter().any(of_keda) })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keda_is_known_by_what_its_autoscaler_belongs_to() {
        let hpa = |owner: serde_json::Value| -> HorizontalPodAutoscaler {
            serde_json::from_value(json!({
                "metadata": {"name": "keda-hpa-orders-ft", "labels": {"app.kubernetes.io/managed-by": "Helm"}, "ownerReferences": owner},
                "spec": {"maxReplicas": 10, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "orders-ft"}},
            }))
            .unwrap()
        };
        let scaled = json!([{"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "name": "orders-ft", "uid": "u", "controller": true}]);
        let found = |by_keda| Some(Autoscaler { name: "keda-hpa-orders-ft".into(), by_keda });
        assert_eq!(of(&hpa(scaled), "orders-ft"), found(true));
        assert_eq!(of(&hpa(json!([])), "orders-ft"), found(false), "a name of that kind is anybody's");
        assert_eq!(of(&hpa(json!([])), "orders"), None);
    }
}
