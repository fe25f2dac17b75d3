//! What the routes of the Gateway API share: their backends, and how their parents report on them. Pure.
//!
//! <https://gateway-api.sigs.k8s.io/reference/spec/#routeparentstatus>: one entry for each parent *and* controller, with the generation that it
//! is about. A route has no word for "the data plane has it": that follows within the propagation time.

use serde_json::Value;

use super::dialect::{Acceptance, Dialect, condition, generation, plain_rename, plain_service};
use crate::api::RouterKind;

/// A kind of route: `rules[].backendRefs[].weight`, 0 to 1,000,000, relative to each other.
pub(super) const fn dialect(router: RouterKind, kind: &'static str, plural: &'static str) -> Dialect {
    Dialect {
        router,
        group: "gateway.networking.k8s.io",
        version: "v1",
        kind,
        plural,
        install: "the Gateway API's CRDs",
        rules: &["spec", "rules"],
        backends: &["backendRefs"],
        identity: &["name"],
        sum: None,
        absent: 1,
        service: plain_service,
        rename: plain_rename,
        refuses,
        accepted,
        owned: "/f:spec/f:rules",
        jq: ".spec.rules[].backendRefs",
        reads_back: true,
    }
}

/// Every parent of the route has to be reported on, at this generation, by the controller if one is named and by any otherwise.
fn accepted(route: &Value, controller: Option<&str>) -> Acceptance {
    let list = |pointer: &str| {
        route.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
    };
    let namespace = route.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or_default();
    let parents = list("/spec/parentRefs");
    if parents.is_empty() {
        return Acceptance::Refused("it names no parent: write spec.parentRefs".into());
    }
    let reports = list("/status/parents");
    let mut refused = None;
    for parent in parents {
        let name = parent.get("name").and_then(Value::as_str).unwrap_or_default();
        let ours = |report: &&Value| {
            let by = report.get("controllerName").and_then(Value::as_str);
            controller.is_none_or(|controller| by == Some(controller))
                && report.get("parentRef").is_some_and(|of| same_parent(of, parent, namespace))
        };
        let words: Vec<Acceptance> =
            reports.iter().filter(ours).map(|report| word(report, name, generation(route))).collect();
        // Of several controllers one that has taken it is enough, unless the spec names one.
        match words.iter().find(|word| **word == Acceptance::Taken).or(words.first()) {
            None => {
                return Acceptance::Waiting(format!(
                    "no controller has reported on it for its parent {name}"
                ));
            }
            Some(Acceptance::Waiting(who)) => return Acceptance::Waiting(who.clone()),
            Some(Acceptance::Refused(why)) => refused = Some(why.clone()),
            Some(Acceptance::Taken) => {}
        }
    }
    refused.map_or(Acceptance::Taken, Acceptance::Refused)
}

fn word(report: &Value, parent: &str, generation: i64) -> Acceptance {
    let by = report.get("controllerName").and_then(Value::as_str).unwrap_or_default();
    for kind in ["Accepted", "ResolvedRefs"] {
        let Some(condition) = condition(report.get("conditions"), kind) else {
            return Acceptance::Waiting(format!("{by} says nothing of {kind} for its parent {parent}"));
        };
        if condition.generation < generation || condition.open {
            return Acceptance::Waiting(format!(
                "{by} has not looked at its latest version for its parent {parent}"
            ));
        }
        if !condition.is {
            let (reason, message) = (condition.reason, condition.message);
            return Acceptance::Refused(format!(
                "{kind} is False for its parent {parent}: {reason}: {message}"
            ));
        }
    }
    Acceptance::Taken
}

fn same_parent(a: &Value, b: &Value, namespace: &str) -> bool {
    let text = |of: &Value, field: &str, otherwise: &str| {
        of.get(field).and_then(Value::as_str).unwrap_or(otherwise).to_owned()
    };
    [
        ("name", ""),
        ("namespace", namespace),
        ("sectionName", ""),
        ("kind", "Gateway"),
        ("group", "gateway.networking.k8s.io"),
    ]
    .into_iter()
    .all(|(field, otherwise)| text(a, field, otherwise) == text(b, field, otherwise))
        && a.get("port") == b.get("port")
}

/// The standard says that a session holds even where the weight is 0: users would stay on the free-threaded pool after a rollback.
fn refuses(_: &Value, rule: &Value) -> Option<&'static str> {
    rule.get("sessionPersistence").map(|_| {
        "has sessionPersistence, which keeps users on the free-threaded pool even at weight 0: take it out of the rule for the rollout"
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn route(reports: &Value) -> Value {
        json!({"metadata": {"namespace": "shop", "generation": 4}, "spec": {"parentRefs": [{"name": "public", "sectionName": "web"}]},
            "status": {"parents": reports}})
    }

    fn report(by: &str, accepted: (&str, i64), resolved: &str) -> Value {
        json!({"controllerName": by, "parentRef": {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "public",
            "namespace": "shop", "sectionName": "web"}, "conditions": [
            {"type": "Accepted", "status": accepted.0, "observedGeneration": accepted.1, "reason": "R", "message": "m"},
            {"type": "ResolvedRefs", "status": resolved, "observedGeneration": 4, "reason": "BackendNotFound", "message": "no orders"}]})
    }

    #[test]
    fn a_parent_counts_by_its_controller_and_at_this_generation() {
        let taken = report("a", ("True", 4), "True");
        assert_eq!(accepted(&route(&json!([taken])), None), Acceptance::Taken);
        assert_eq!(accepted(&route(&json!([taken])), Some("a")), Acceptance::Taken);
        assert!(
            matches!(accepted(&route(&json!([taken])), Some("b")), Acceptance::Waiting(_)),
            "another controller's word"
        );
        assert!(matches!(accepted(&route(&json!([])), None), Acceptance::Waiting(_)));
        let old = report("a", ("True", 3), "True");
        assert!(
            matches!(accepted(&route(&json!([old])), None), Acceptance::Waiting(_)),
            "of an older version"
        );
        assert_eq!(
            accepted(&route(&json!([old, report("b", ("True", 4), "True")])), None),
            Acceptance::Taken,
            "one left over"
        );
        let Acceptance::Refused(why) = accepted(&route(&json!([report("a", ("True", 4), "False")])), None)
        else {
            panic!()
        };
        assert!(
            why.contains("ResolvedRefs is False for its parent public: BackendNotFound: no orders"),
            "{why}"
        );
        let mut elsewhere = taken;
        elsewhere["parentRef"]["sectionName"] = json!("other");
        assert!(matches!(accepted(&route(&json!([elsewhere])), None), Acceptance::Waiting(_)));
    }
}
