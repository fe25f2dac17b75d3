//! The rollout to judge by, from a file that may hold other things too.

use serde::Deserialize;
use serde_json::Value;

use crate::api::FreeThreadRollout;

/// Largest file, in bytes.
pub(super) const LARGEST: u64 = 1024 * 1024;

/// The first `FreeThreadRollout` among the documents of `yaml`.
pub(super) fn read(yaml: &str) -> Result<FreeThreadRollout, String> {
    for document in serde_yaml::Deserializer::from_str(yaml) {
        let value = Value::deserialize(document).map_err(|e| format!("this is no YAML: {e}"))?;
        if value.get("kind").and_then(Value::as_str) != Some("FreeThreadRollout") {
            continue;
        }
        let rollout: FreeThreadRollout =
            serde_json::from_value(value).map_err(|e| format!("this is no valid FreeThreadRollout: {e}"))?;
        if rollout.spec.analysis.error_rate.is_none() && rollout.spec.analysis.latency.is_none() {
            return Err("spec.analysis has nothing to compare: set errorRate, for example errorRate: {max: 1%}, or latency".to_owned());
        }
        return Ok(rollout);
    }
    Err("no document in it is of kind: FreeThreadRollout".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_said() {
        let problem = |yaml: &str| read(yaml).unwrap_err();
        assert_eq!(problem(""), "no document in it is of kind: FreeThreadRollout");
        assert_eq!(
            problem("kind: Deployment\n---\nkind: Service"),
            "no document in it is of kind: FreeThreadRollout"
        );
        assert!(problem("a: [").starts_with("this is no YAML: "));
        assert!(
            problem("kind: FreeThreadRollout\nspec: {a: 1}")
                .starts_with("this is no valid FreeThreadRollout: ")
        );
    }
}
