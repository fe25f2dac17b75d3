//! The answers of the `OpenFeature` Remote Evaluation Protocol. Pure.
//!
//! <https://github.com/open-feature/protocol/blob/main/service/openapi.yaml>. The official Python client wants `variant` and `reason` in every answer
//! and `errorDetails` in every error.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::bucket::is_ours;
use crate::api::FlagValues;

/// Longest targeting key that is looked at, in bytes.
const MOST_KEY: usize = 1024;

/// A flag as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flag {
    /// Its key: the rollout's name.
    pub key: String,
    /// Weight of the free-threaded pool in percent.
    pub weight: i32,
    /// What it says; `true` and `false` where the spec says nothing else.
    pub values: Option<FlagValues>,
}

/// A request's body.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Request {
    context: Option<Map<String, Value>>,
}

/// Which pool was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pool {
    /// The standard one.
    Standard,
    /// The free-threaded one.
    FreeThreaded,
}

/// One evaluation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evaluation {
    /// The flag.
    pub key: String,
    /// Its value.
    pub value: Value,
    /// `SPLIT` where the targeting key decided, `DEFAULT` where there was none.
    pub reason: &'static str,
    /// `free-threaded` or `standard`.
    pub variant: &'static str,
    /// The weight.
    pub metadata: Value,
}

/// Why there is no evaluation, in the protocol's words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// The flag that was asked for; none of a bulk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The protocol's word.
    pub error_code: &'static str,
    /// A sentence.
    pub error_details: String,
}

impl Request {
    /// The caller's targeting key; `None` where there is none to go by.
    ///
    /// # Errors
    /// It is no text, or far too long.
    pub fn targeting_key(&self) -> Result<Option<&str>, Failure> {
        let key = self.context.as_ref().and_then(|context| context.get("targetingKey"));
        let wrong = |details: &str| {
            Err(Failure { key: None, error_code: "INVALID_CONTEXT", error_details: details.to_owned() })
        };
        match key {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(key)) if key.is_empty() => Ok(None),
            Some(Value::String(key)) if key.len() > MOST_KEY => {
                wrong("targetingKey is longer than 1024 bytes")
            }
            Some(Value::String(key)) => Ok(Some(key)),
            Some(_) => wrong("targetingKey is no text: send a string"),
        }
    }
}

impl Flag {
    /// What this key gets. Without a key it is the standard pool: all that come without one would share a bucket.
    pub fn evaluate(&self, key: Option<&str>) -> (Pool, Evaluation) {
        let pool = match key {
            Some(key) if is_ours(&self.key, key, self.weight) => Pool::FreeThreaded,
            _ => Pool::Standard,
        };
        let ours = pool == Pool::FreeThreaded;
        let value = match &self.values {
            Some(values) => json!(if ours { &values.free_threaded } else { &values.standard }),
            None => json!(ours),
        };
        let evaluation = Evaluation {
            key: self.key.clone(),
            value,
            reason: if key.is_some() { "SPLIT" } else { "DEFAULT" },
            variant: if ours { "free-threaded" } else { "standard" },
            metadata: json!({"weight": self.weight}),
        };
        (pool, evaluation)
    }
}

/// The flags of a namespace as a document for flagd, for teams that run it. An evaluator of the third generation of its hash assigns each key as we
/// do; older ones assign others, with the same properties.
pub fn document(flags: &[Flag]) -> Value {
    let each = flags.iter().map(|flag| {
        let (standard, ours) = match &flag.values {
            Some(values) => (json!(values.standard), json!(values.free_threaded)),
            None => (json!(false), json!(true)),
        };
        let weight = flag.weight.clamp(0, 100);
        let split = json!({"fractional": [["free-threaded", weight], ["standard", 100 - weight]]});
        // Without a key all would share a bucket.
        let targeting = json!({"if": [{"var": "targetingKey"}, split, "standard"]});
        let flag_json = json!({"state": "ENABLED", "variants": {"free-threaded": ours, "standard": standard},
            "defaultVariant": "standard", "targeting": targeting});
        (flag.key.clone(), flag_json)
    });
    json!({"$schema": "https://flagd.dev/schema/v0/flags.json", "flags": each.collect::<Map<String, Value>>()})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flag(weight: i32, values: Option<FlagValues>) -> Flag {
        Flag { key: "orders".into(), weight, values }
    }

    fn request(body: Value) -> Request {
        serde_json::from_value(body).unwrap()
    }

    #[test]
    fn without_a_key_it_is_the_standard_pool() {
        for body in [
            json!({}),
            json!({"context": {}}),
            json!({"context": {"targetingKey": ""}}),
            json!({"context": null}),
        ] {
            let request = request(body);
            let (pool, evaluation) = flag(100, None).evaluate(request.targeting_key().unwrap());
            assert_eq!(
                (pool, evaluation.reason, evaluation.value),
                (Pool::Standard, "DEFAULT", json!(false))
            );
        }
        assert_eq!(
            request(json!({"context": {"targetingKey": 7}})).targeting_key().unwrap_err().error_code,
            "INVALID_CONTEXT"
        );
        let long = request(json!({"context": {"targetingKey": "k".repeat(1025)}}));
        assert!(long.targeting_key().is_err());
    }

    #[test]
    fn a_key_gets_its_pool_and_the_values_that_the_spec_says() {
        let queues = FlagValues { standard: "celery".into(), free_threaded: "celery-ft".into() };
        let (pool, evaluation) = flag(100, Some(queues.clone())).evaluate(Some("user-1"));
        assert_eq!(
            (pool, &evaluation.value, evaluation.variant),
            (Pool::FreeThreaded, &json!("celery-ft"), "free-threaded")
        );
        let (pool, evaluation) = flag(0, Some(queues)).evaluate(Some("user-1"));
        assert_eq!((pool, &evaluation.value, evaluation.reason), (Pool::Standard, &json!("celery"), "SPLIT"));
        assert_eq!(evaluation.metadata, json!({"weight": 0}));
    }

    #[test]
    fn the_document_puts_the_free_threaded_variant_first_over_a_constant_total() {
        let document = document(&[flag(25, None)]);
        let split = &document["flags"]["orders"]["targeting"]["if"][1]["fractional"];
        assert_eq!((&split[0], &split[1]), (&json!(["free-threaded", 25]), &json!(["standard", 75])));
        assert_eq!(document["flags"]["orders"]["defaultVariant"], json!("standard"));
    }
}
