//! How much CPU a pod of ours asks for, next to one of the standard pool.

use serde_json::Value;

/// CPU that the container asks for in `ours`, over what it asks for in `standard` (both pod templates); 1 where one of them asks for none.
/// As the API server does, a limit is taken for a request that is not there.
pub(super) fn times(ours: &Value, standard: &Value, container: &str) -> f64 {
    let asked = [ours, standard].map(|template| cores_of(template, container));
    match asked {
        [Some(ours), Some(standard)] => ours / standard,
        _ => 1.0,
    }
}

fn cores_of(template: &Value, container: &str) -> Option<f64> {
    let containers = template.pointer("/spec/containers")?.as_array()?;
    let resources = containers.iter().find(|c| c["name"] == container)?.get("resources")?;
    let side = |side: &str| resources.get(side)?.get("cpu");
    let asked = side("requests").or_else(|| side("limits"))?;
    cores(asked.as_str().map_or_else(|| asked.to_string(), str::to_owned).as_str())
}

/// A quantity of CPU in cores: `250m`, `1.5`, `2e1`. `None`: it is none, or nothing.
fn cores(quantity: &str) -> Option<f64> {
    let (number, unit) = match quantity.strip_suffix(['n', 'u', 'm', 'k']) {
        Some(number) => (number, quantity.chars().last()),
        None => (quantity, None),
    };
    let unit = match unit {
        Some('n') => 1e-9,
        Some('u') => 1e-6,
        Some('m') => 1e-3,
        Some('k') => 1e3,
        _ => 1.0,
    };
    let cores = number.parse::<f64>().ok()? * unit;
    (cores.is_finite() && cores > 0.0).then_some(cores)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn quantities_are_read_as_kubernetes_writes_them() {
        let all = ["250m", "1.5", "2", "2e1", "1k", "500000u", "0", "lots", "", "m", "inf"];
        let read = all.map(cores);
        let want = [
            Some(0.25),
            Some(1.5),
            Some(2.0),
            Some(20.0),
            Some(1000.0),
            Some(0.5),
            None,
            None,
            None,
            None,
            None,
        ];
        assert_eq!(read, want);
    }

    #[test]
    fn a_pod_is_as_big_as_its_container_asks_to_be() {
        let pod = |resources: Value| json!({"spec": {"containers": [{"name": "proxy", "resources": {"requests": {"cpu": "9"}}}, {"name": "web", "resources": resources}]}});
        let half = pod(json!({"requests": {"cpu": "500m"}, "limits": {"cpu": "4"}}));
        let two = pod(json!({"limits": {"cpu": 2}}));
        assert!((times(&two, &half, "web") - 4.0).abs() < 1e-9);
        assert!(
            (times(&two, &pod(json!({"requests": {"memory": "1Gi"}})), "web") - 1.0).abs() < 1e-9,
            "nothing to compare with"
        );
        assert!((times(&pod(json!({})), &half, "web") - 1.0).abs() < 1e-9);
    }
}
