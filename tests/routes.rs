//! How weights are set in a team's object and taken out again, for every API that has them: pure, on the objects of `tests/routes`. The same on a
//! real API server: `make conformance`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use freethread_rollout::{
    api::RouterKind,
    route::{Acceptance, Dialect, Names, Unusable, give_back, read, set, usable},
};
use json_patch::PatchOperation;
use proptest::prelude::*;
use serde_json::{Value, json};

const NAMES: Names<'static> = Names { rollout: "orders", standard: "orders", ours: "orders-ft" };

fn dialects() -> impl Iterator<Item = &'static Dialect> {
    RouterKind::ALL.into_iter().filter_map(Dialect::of)
}

/// The team's object, as the API server keeps it: the Gateway API has a default for weights.
fn object(dialect: &Dialect) -> Value {
    let path = format!("{}/tests/routes/{}.yaml", env!("CARGO_MANIFEST_DIR"), dialect.router);
    let mut object: Value = serde_yaml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    object["metadata"]["namespace"] = json!("shop");
    if dialect.group == "gateway.networking.k8s.io" {
        for rule in object["spec"]["rules"].as_array_mut().unwrap() {
            for backend in rule.get_mut("backendRefs").and_then(Value::as_array_mut).into_iter().flatten() {
                let fields = backend.as_object_mut().unwrap();
                fields.entry("weight").or_insert(json!(1));
            }
        }
    }
    object
}

/// As the API server applies it: what is not there is `null` to a test.
fn apply(object: &mut Value, patch: &json_patch::Patch) {
    for operation in &patch.0 {
        if let PatchOperation::Test(test) = operation
            && test.value.is_null()
        {
            assert_eq!(object.pointer(test.path.as_str()), None, "a failed test");
            continue;
        }
        json_patch::patch(object, std::slice::from_ref(operation))
            .unwrap_or_else(|error| panic!("{operation:?}: {error}"));
    }
    // The API server keeps no empty annotations.
    if object.pointer("/metadata/annotations") == Some(&json!({})) {
        object["metadata"].as_object_mut().unwrap().remove("annotations");
    }
}

fn weigh(dialect: &Dialect, object: &mut Value, percent: i32) {
    let patch = set(dialect, object, NAMES, percent, None);
    apply(object, &patch);
}

fn take_out(dialect: &Dialect, object: &mut Value) {
    let patch = give_back(dialect, object, NAMES);
    apply(object, &patch);
}

fn shares(dialect: &Dialect, object: &Value) -> Option<(i32, i32)> {
    read(dialect, object, NAMES).written()
}

/// Every backend that sends to `service`, by the list that it is in: its weight.
fn weights(dialect: &Dialect, object: &Value, service: &str) -> Vec<Option<i64>> {
    fn lists<'a>(value: &'a Value, name: &str, found: &mut Vec<&'a Vec<Value>>) {
        match value {
            Value::Object(fields) => {
                for (key, value) in fields {
                    match value.as_array() {
                        Some(list) if key == name => found.push(list),
                        _ => lists(value, name, found),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| lists(item, name, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    lists(&object["spec"], dialect.backends.last().unwrap(), &mut found);
    let all = found.into_iter().flatten();
    all.filter(|one| (dialect.service)(one, "shop").as_deref() == Some(service))
        .map(|one| one["weight"].as_i64())
        .collect()
}

#[test]
fn every_percent_is_written_read_back_and_taken_out_without_a_trace() {
    for dialect in dialects() {
        let before = object(dialect);
        assert_eq!(
            (shares(dialect, &before), usable(dialect, &before, NAMES)),
            (None, Ok(())),
            "{}",
            dialect.kind
        );
        let mut object = before.clone();
        for percent in (1..=100).chain([50, 0]) {
            weigh(dialect, &mut object, percent);
            assert_eq!(shares(dialect, &object), Some((percent, percent)), "{}", dialect.kind);
            assert_eq!(usable(dialect, &object, NAMES), Ok(()), "{}", dialect.kind);
            assert!(
                set(dialect, &object, NAMES, percent, None).0.is_empty(),
                "{}: written twice",
                dialect.kind
            );
        }
        take_out(dialect, &mut object);
        assert_eq!(object, before, "{}", dialect.kind);
    }
}

#[test]
fn nobody_elses_share_changes_and_nothing_else_does() {
    for dialect in dialects() {
        let before = object(dialect);
        for percent in [1, 25, 100, 0] {
            let mut object = before.clone();
            weigh(dialect, &mut object, percent);
            let ours = weights(dialect, &object, "orders-ft");
            let theirs = weights(dialect, &object, "orders");
            if percent == 0 {
                assert_eq!(object, before, "{}: 0 adds nothing", dialect.kind);
                continue;
            }
            assert_eq!(ours.len(), theirs.len(), "{}", dialect.kind);
            for (ours, theirs) in ours.iter().zip(&theirs) {
                let total = ours.unwrap() + theirs.unwrap();
                assert!([100, 300].contains(&total), "{}: {total}", dialect.kind);
                assert!(total > 0, "{}: nothing over nothing", dialect.kind);
            }
            for other in ["beta", "files", "debug", "shadow"] {
                assert_eq!(
                    weights(dialect, &object, other),
                    weights(dialect, &before, other),
                    "{}",
                    dialect.kind
                );
            }
            // Without our backends and weights it is what it was.
            let mut rest = object.clone();
            weigh(dialect, &mut rest, 0);
            take_out(dialect, &mut rest);
            assert_eq!(rest, before, "{}", dialect.kind);
        }
    }
}

#[test]
fn our_backend_is_reached_as_the_standard_one() {
    let dialect = Dialect::of(RouterKind::HttpRoute).unwrap();
    let mut object = object(dialect);
    weigh(dialect, &mut object, 25);
    let backends = object.pointer("/spec/rules/4/backendRefs").unwrap();
    let filters = json!([{"type": "RequestHeaderModifier", "requestHeaderModifier": {"add": [{"name": "x-shop", "value": "main"}]}}]);
    assert_eq!(
        backends,
        &json!([{"name": "orders", "port": 80, "weight": 75, "filters": filters},
            {"name": "orders-ft", "port": 80, "weight": 25, "filters": filters}])
    );
    let dialect = Dialect::of(RouterKind::VirtualService).unwrap();
    let mut object = self::object(dialect);
    object["spec"]["http"][4]["route"][0]["destination"]["subset"] = json!("v1");
    weigh(dialect, &mut object, 1);
    let of = |rule: usize| {
        object["spec"]["http"][rule]["route"].as_array().unwrap().last().unwrap()["destination"].clone()
    };
    assert_eq!(of(2), json!({"host": "orders-ft.shop.svc.cluster.local"}));
    assert_eq!(
        of(4),
        json!({"host": "orders-ft", "port": {"number": 80}}),
        "a subset is of the standard Service"
    );
}

#[test]
fn what_the_team_edits_meanwhile_stays() {
    for dialect in dialects() {
        let before = object(dialect);
        let mut object = before.clone();
        weigh(dialect, &mut object, 50);
        object["metadata"]["annotations"]["example.com/owner"] = json!("warehouse");
        let mut wanted = before.clone();
        wanted["metadata"]["annotations"]["example.com/owner"] = json!("warehouse");
        if !dialect.rules.is_empty() {
            let rules = format!("/{}", dialect.rules.join("/"));
            for object in [&mut object, &mut wanted] {
                // A rule of theirs goes, and with it the numbers of the others.
                object.pointer_mut(&rules).unwrap().as_array_mut().unwrap().remove(0);
            }
        }
        weigh(dialect, &mut object, 0);
        take_out(dialect, &mut object);
        assert_eq!(object, wanted, "{}", dialect.kind);
    }
}

#[test]
fn what_it_had_alone_comes_back_whatever_became_of_the_weights_and_the_order() {
    for dialect in dialects().filter(|dialect| !dialect.rules.is_empty()) {
        let before = object(dialect);
        let mut object = before.clone();
        weigh(dialect, &mut object, 25);
        let mut wanted = before.clone();
        let rules = format!("/{}", dialect.rules.join("/"));
        for object in [&mut object, &mut wanted] {
            // Another rule comes first, just like one that there is.
            let all = object.pointer_mut(&rules).unwrap().as_array_mut().unwrap();
            all.insert(0, all[0].clone());
        }
        // And somebody wrote weights of their own in the rule that the standard Service has for itself.
        let last = before.pointer(&rules).unwrap().as_array().unwrap().len();
        let backends = object
            .pointer_mut(&format!("{rules}/{last}/{}", dialect.backends.join("/")))
            .unwrap()
            .as_array_mut()
            .unwrap();
        for backend in backends.iter_mut().filter(|backend| backend.get("mirror").is_none()) {
            backend["weight"] = json!(if dialect.sum.is_some() { 50 } else { 61 });
        }
        weigh(dialect, &mut object, 0);
        take_out(dialect, &mut object);
        assert_eq!(object, wanted, "{}", dialect.kind);
    }
}

#[test]
fn a_patch_on_an_object_that_changed_is_refused_as_a_whole() {
    for dialect in dialects() {
        let mut object = object(dialect);
        weigh(dialect, &mut object, 25);
        let patches = [set(dialect, &object, NAMES, 0, None), set(dialect, &object, NAMES, 50, None)];
        let mut other = object.clone();
        // Somebody puts a backend first in the list that two share.
        let rule = if dialect.router == RouterKind::GrpcRoute { 1 } else { 2 };
        let list = if dialect.rules.is_empty() {
            format!("/{}", dialect.backends.join("/"))
        } else {
            format!("/{}/{rule}/{}", dialect.rules.join("/"), dialect.backends.join("/"))
        };
        let backends = other.pointer_mut(&list).and_then(Value::as_array_mut).unwrap();
        let first = backends[0].clone();
        backends.insert(0, first);
        for patch in patches {
            let before = other.clone();
            let refused = json_patch::patch(&mut other.clone(), &patch.0).is_err();
            assert!(refused, "{}: {patch:?} on {before:#}", dialect.kind);
        }
    }
}

#[test]
fn what_cannot_work_says_what_to_write_instead() {
    let dialect = Dialect::of(RouterKind::HttpRoute).unwrap();
    let of = |edit: fn(&mut Value)| {
        let mut object = object(dialect);
        edit(&mut object);
        usable(dialect, &object, NAMES).unwrap_err().to_string()
    };
    let coarse = of(|o| {
        o["spec"]["rules"][2]["backendRefs"] =
            json!([{"name": "beta", "port": 80, "weight": 1}, {"name": "orders", "port": 80, "weight": 3}]);
    });
    assert!(
        coarse.contains("HTTPRoute orders, rule 3")
            && coarse.contains("multiply all weights of the rule by 100"),
        "{coarse}"
    );
    let large = of(|o| o["spec"]["rules"][4]["backendRefs"][0]["weight"] = json!(20_000));
    assert!(large.contains("alone in its rule it needs none"), "{large}");
    let session = of(|o| o["spec"]["rules"][4]["sessionPersistence"] = json!({"type": "Cookie"}));
    assert!(session.contains("even at weight 0"), "{session}");
    let twice = of(|o| {
        let again = o["spec"]["rules"][4]["backendRefs"][0].clone();
        o["spec"]["rules"][4]["backendRefs"].as_array_mut().unwrap().push(again);
    });
    assert!(twice.contains("more than once"), "{twice}");
    let unnamed =
        of(|o| o["spec"]["rules"] = json!([{"backendRefs": [{"name": "files", "port": 80, "weight": 1}]}]));
    assert!(unnamed.contains("sends nothing to Service orders"), "{unnamed}");
    let taken = of(|o| o["metadata"]["annotations"]["freethreading.dev/rollout"] = json!("other"));
    assert!(taken.contains("carries the weights of FreeThreadRollout other"), "{taken}");
    let orphan = of(|o| o["spec"]["rules"][4]["backendRefs"][0]["name"] = json!("orders-ft"));
    assert!(orphan.contains("no longer Service orders"), "{orphan}");
}

#[test]
fn weight_0_is_possible_whatever_became_of_the_object() {
    let dialect = Dialect::of(RouterKind::HttpRoute).unwrap();
    let mut object = object(dialect);
    weigh(dialect, &mut object, 25);
    // The standard Service was renamed in one rule, and the other became coarse.
    object["spec"]["rules"][4]["backendRefs"][0]["name"] = json!("renamed");
    object["spec"]["rules"][2]["backendRefs"][1]["weight"] = json!(3);
    object["spec"]["rules"][2]["backendRefs"][2]["weight"] = json!(1);
    assert!(matches!(usable(dialect, &object, NAMES), Err(Unusable::Coarse { .. })));
    weigh(dialect, &mut object, 0);
    assert_eq!(weights(dialect, &object, "orders-ft"), [Some(0), Some(0)]);
    assert_eq!(
        (weights(dialect, &object, "orders"), weights(dialect, &object, "renamed")),
        (vec![Some(4)], vec![Some(75)])
    );
    take_out(dialect, &mut object);
    assert_eq!(weights(dialect, &object, "orders-ft"), []);
}

#[test]
fn where_rules_differ_both_ends_are_seen() {
    let dialect = Dialect::of(RouterKind::HttpRoute).unwrap();
    let mut object = object(dialect);
    weigh(dialect, &mut object, 25);
    object["spec"]["rules"][4]["backendRefs"][0]["weight"] = json!(40);
    object["spec"]["rules"][4]["backendRefs"][1]["weight"] = json!(60);
    assert_eq!(shares(dialect, &object), Some((60, 25)));
    weigh(dialect, &mut object, 25);
    assert_eq!(shares(dialect, &object), Some((25, 25)));
}

#[test]
fn the_reason_for_weight_0_is_written_with_it_and_goes_with_the_rest() {
    for dialect in dialects() {
        let before = object(dialect);
        let mut object = before.clone();
        weigh(dialect, &mut object, 25);
        let patch = set(dialect, &object, NAMES, 0, Some("why"));
        apply(&mut object, &patch);
        assert_eq!(
            object["metadata"]["annotations"]["freethreading.dev/rollback"],
            json!("why"),
            "{}",
            dialect.kind
        );
        assert_eq!(object["metadata"]["annotations"]["freethreading.dev/rollout"], json!("orders"));
        take_out(dialect, &mut object);
        assert_eq!(object, before);
    }
}

#[test]
fn an_object_without_annotations_is_without_them_afterwards() {
    for dialect in dialects() {
        let mut before = object(dialect);
        before["metadata"].as_object_mut().unwrap().remove("annotations");
        let mut object = before.clone();
        weigh(dialect, &mut object, 5);
        weigh(dialect, &mut object, 0);
        take_out(dialect, &mut object);
        assert_eq!(object, before, "{}", dialect.kind);
    }
}

#[test]
fn the_service_beside_which_it_was_written_stands_on_the_object() {
    for dialect in dialects() {
        let mut object = object(dialect);
        weigh(dialect, &mut object, 100);
        assert_eq!(
            object["metadata"]["annotations"]["freethreading.dev/standard"],
            json!("orders"),
            "{}",
            dialect.kind
        );
        // Whoever knows no better name than that gives all of it back.
        let names = Names {
            standard: object["metadata"]["annotations"]["freethreading.dev/standard"].as_str().unwrap(),
            ..NAMES
        };
        let patch = set(dialect, &object.clone(), names, 0, None);
        apply(&mut object, &patch);
        assert_eq!(shares(dialect, &object), Some((0, 0)), "{}", dialect.kind);
        assert!(
            weights(dialect, &object, "orders").iter().flatten().all(|weight| *weight > 0),
            "{}",
            dialect.kind
        );
    }
}

#[test]
fn a_status_counts_at_its_own_generation() {
    let proxy = |generation: i64, valid: &str| {
        json!({"metadata": {"generation": 3}, "status": {"conditions": [
            {"type": "Valid", "status": valid, "observedGeneration": generation, "reason": "R", "message": "m"}]}})
    };
    let accepted = Dialect::of(RouterKind::HttpProxy).unwrap().accepted;
    assert_eq!(accepted(&proxy(3, "True"), None), Acceptance::Taken);
    assert!(matches!(accepted(&proxy(2, "True"), None), Acceptance::Waiting(_)));
    assert!(matches!(accepted(&proxy(3, "False"), None), Acceptance::Refused(_)));
}

proptest! {
    /// Whatever the weights were, and in whatever order percents come: each is read back, nobody else's share changes, and the team has back what it
    /// wrote.
    #[test]
    fn any_history_of_weights_leaves_the_object_as_it_was(
        alone in 1_i64..=10_000, shared in 100_i64..=1_000_000, other in 1_i64..=1_000_000, percents in prop::collection::vec(0..=100, 1..12),
    ) {
        let dialect = Dialect::of(RouterKind::HttpRoute).unwrap();
        let before = json!({"metadata": {"name": "orders", "namespace": "shop"}, "spec": {"rules": [
            {"backendRefs": [{"name": "orders", "port": 80, "weight": alone}]},
            {"backendRefs": [{"name": "other", "port": 80, "weight": other}, {"name": "orders", "port": 80, "weight": shared}]}]}});
        let mut object = before.clone();
        for percent in percents {
            weigh(dialect, &mut object, percent);
            let seen = shares(dialect, &object);
            prop_assert!(seen == Some((percent, percent)) || (percent == 0 && seen.is_none()), "{percent}: {seen:?}");
            let joint: i64 = ["orders", "orders-ft"].iter().filter_map(|name| weights(dialect, &object, name).get(1).copied().flatten()).sum();
            prop_assert_eq!(joint, shared, "nobody else's share changes");
            prop_assert!(weights(dialect, &object, "orders-ft").iter().flatten().all(|weight| *weight <= 1_000_000));
        }
        weigh(dialect, &mut object, 0);
        take_out(dialect, &mut object);
        prop_assert_eq!(object, before);
    }
}
