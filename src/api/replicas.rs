//! `freeThreaded.replicas` and `status.attempt.sizing`: how many pods the pool has where the router does not count them.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Pods of the free-threaded pool while it has traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum PoolReplicas {
    /// So many, 1 to 1000.
    Fixed(i32),
    /// For its share, by what a request was measured to cost.
    Measured(Auto),
}

/// The word `auto`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Auto {
    /// `auto`
    #[serde(rename = "auto")]
    Auto,
}

impl PoolReplicas {
    /// They are measured.
    pub fn is_auto(self) -> bool {
        matches!(self, Self::Measured(_))
    }
}

impl JsonSchema for PoolReplicas {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "PoolReplicas".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"x-kubernetes-int-or-string": true})
    }
}

/// What a request takes of a pod of ours, measured at one step and fixed when the next one begins.
#[derive(JsonSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SizingStatus {
    /// CPU-seconds per request, over those in the standard pool, such as `1.18`. Nothing until it could be measured: the same is assumed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_per_request: Option<String>,
    /// How it was measured at the last step that is over, or why it was not.
    pub message: String,
}

impl SizingStatus {
    /// CPU-seconds per request over those in the standard pool, for the size of a pool: within 0.5 to 10, and 1 until it could be measured. Who
    /// answers with less than half of the CPU may wait for something else, and no pool is made that small for it.
    pub fn cost(&self) -> f64 {
        let measured = self.cpu_per_request.as_ref().and_then(|text| text.parse::<f64>().ok());
        measured.filter(|cost| cost.is_finite()).map_or(1.0, |cost| cost.clamp(0.5, 10.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_measured_makes_no_pool_absurd() {
        let cost = |text: Option<&str>| {
            SizingStatus { cpu_per_request: text.map(str::to_owned), message: String::new() }.cost()
        };
        let all = [None, Some("1.180"), Some("0.001"), Some("-3"), Some("1e9"), Some("NaN"), Some("much")];
        let sizes: Vec<String> = all.into_iter().map(|text| cost(text).to_string()).collect();
        assert_eq!(sizes, ["1", "1.18", "0.5", "0.5", "10", "1", "1"]);
    }
}
