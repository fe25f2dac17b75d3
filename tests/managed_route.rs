//! A route of the operator's own: what is written into it at every weight, and what is read out of it. The same on a real API server: `make
//! conformance`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use freethread_rollout::{
    api::{ManagedRoute, ParentRef},
    route::{Plan, is_managed, managed_weight},
};
use serde_json::{Value, json};

fn plan(testers: bool, sticky: bool) -> Plan {
    Plan {
        rollout: "orders".into(),
        spec: ManagedRoute {
            parent_refs: vec![ParentRef {
                name: "public".into(),
                namespace: Some("gateway".into()),
                ..ParentRef::default()
            }],
            hostnames: vec!["orders.example".into()],
            paths: vec!["/orders".into(), "/baskets".into()],
            testers,
            sticky,
            ..ManagedRoute::default()
        },
        standard: Some(("orders".into(), 80)),
        ours: "orders-ft".into(),
        weights: vec![10, 50, 90],
    }
}

/// As the API server has it after the write: with what it adds, and who owns it.
fn stored(body: &Value, version: &str) -> Value {
    let mut object = body.clone();
    object["metadata"]["namespace"] = json!("shop");
    object["metadata"]["uid"] = json!("u");
    object["metadata"]["resourceVersion"] = json!(version);
    let owned = json!({"f:spec": {"f:parentRefs": {}, "f:hostnames": {}, "f:rules": {}}});
    object["metadata"]["managedFields"] =
        json!([{"manager": "freethread-rollout/route", "operation": "Apply", "fieldsV1": owned}]);
    object
}

fn at(plan: &Plan, now: Option<&Value>, weight: Option<i32>) -> Value {
    stored(&plan.body(now, weight, None).unwrap(), "7")
}

fn rules(object: &Value) -> &Vec<Value> {
    object["spec"]["rules"].as_array().unwrap()
}

#[test]
fn every_percent_is_read_back_and_nothing_of_it_is_stale() {
    for (testers, sticky) in [(false, false), (true, false), (false, true), (true, true)] {
        let plan = plan(testers, sticky);
        let mut route = at(&plan, None, None);
        assert_eq!((managed_weight(&route, "orders-ft"), plan.stale(&route)), (None, false));
        let first = route.clone();
        for percent in (1..=100).chain([50, 0]) {
            route = at(&plan, Some(&route), Some(percent));
            assert_eq!(managed_weight(&route, "orders-ft"), Some((percent, percent)));
            assert!(!plan.stale(&route) && is_managed(&route, &plan), "{percent} %");
            for rule in rules(&route) {
                let weights =
                    rule["backendRefs"].as_array().unwrap().iter().map(|b| b["weight"].as_i64().unwrap());
                assert!(weights.sum::<i64>() > 0, "nothing over nothing: {rule}");
            }
            assert!(rules(&route).len() <= 16, "more rules than a route may have");
        }
        assert_eq!(at(&plan, Some(&route), None), first, "nothing is left of ours");
    }
}

#[test]
fn everything_is_written_out() {
    let route = plan(false, false).body(None, None, None).unwrap();
    let parent = json!({"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "public", "namespace": "gateway"});
    let matches = json!([{"path": {"type": "PathPrefix", "value": "/orders"}}, {"path": {"type": "PathPrefix", "value": "/baskets"}}]);
    let backend = json!({"group": "", "kind": "Service", "name": "orders", "port": 80, "weight": 100});
    assert_eq!(
        route["spec"],
        json!({"parentRefs": [parent], "hostnames": ["orders.example"], "rules": [{"matches": matches, "backendRefs": [backend]}]})
    );
    assert_eq!(
        route["metadata"]["labels"],
        json!({"freethreading.dev/rollout": "orders", "app.kubernetes.io/managed-by": "freethread-rollout"})
    );
    assert_eq!(route["metadata"].get("ownerReferences"), None, "it must outlive the rollout");
}

#[test]
fn testers_choose_while_there_is_weight_and_go_with_it() {
    let plan = plan(true, false);
    let route = at(&plan, None, None);
    let some = at(&plan, Some(&route), Some(10));
    let ways: Vec<_> = rules(&some)
        .iter()
        .map(|rule| {
            (
                rule["matches"][0]["headers"][0]["value"].as_str(),
                rule["backendRefs"][0]["name"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(ways, [(Some("on"), "orders-ft"), (Some("off"), "orders"), (None, "orders")]);
    assert!(
        rules(&some)[0]["matches"]
            .as_array()
            .unwrap()
            .iter()
            .all(|one| one["headers"][0]["name"] == "x-freethread")
    );
    for none in [Some(0), None] {
        assert!(
            rules(&at(&plan, Some(&some), none))
                .iter()
                .all(|rule| rule["matches"][0].get("headers").is_none())
        );
    }
}

#[test]
fn both_sides_are_told_and_all_cookies_go_with_the_weight() {
    let plan = plan(false, true);
    let route = at(&plan, None, None);
    let ten = at(&plan, Some(&route), Some(10));
    let cohort = ten["metadata"]["annotations"]["freethreading.dev/cohort"].as_str().unwrap().to_owned();
    let told = |object: &Value| -> Vec<String> {
        let last = rules(object).last().unwrap().clone();
        last["backendRefs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|b| {
                b["filters"][0]["responseHeaderModifier"]["add"][0]["value"]
                    .as_str()
                    .unwrap()
                    .split(';')
                    .next()
                    .unwrap()
                    .to_owned()
            })
            .collect()
    };
    assert_eq!(told(&ten), [format!("ftr-{cohort}=std-10"), format!("ftr-{cohort}=ft-10")]);
    let fifty = at(&plan, Some(&ten), Some(50));
    assert_eq!(
        told(&fifty),
        [format!("ftr-{cohort}=std-50"), format!("ftr-{cohort}=ft-50")],
        "the same rise"
    );
    let none = stored(&plan.body(Some(&fifty), Some(0), Some("{}")).unwrap(), "8");
    assert!(!none.to_string().contains("cookie") && !none.to_string().contains("cohort"));
    let again = at(&plan, Some(&none), Some(10));
    assert_ne!(
        again["metadata"]["annotations"]["freethreading.dev/cohort"],
        json!(cohort),
        "another rise draws anew"
    );
}

#[test]
fn what_others_make_of_it_is_seen() {
    let plan = plan(true, true);
    let ten = at(&plan, Some(&at(&plan, None, None)), Some(10));
    let edited = |edit: fn(&mut Value)| {
        let mut route = ten.clone();
        edit(&mut route);
        route
    };
    // Who changes a part takes it over; each part is owned as a whole.
    let taken = edited(|r| {
        r["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"]
            .as_object_mut()
            .unwrap()
            .remove("f:hostnames");
    });
    assert!(plan.stale(&taken));
    assert!(plan.stale(&edited(|r| r["metadata"]["labels"] = json!({}))), "it would not be ours at weight 0");
    assert!(is_managed(&edited(|r| r["metadata"]["labels"] = json!({})), &plan), "by what is in it");
    let mut other = plan.clone();
    other.spec.hostnames.push("www.orders.example".into());
    assert!(other.stale(&ten), "the spec is another one");
    // Only testers are left with us: more than nothing.
    let chosen = edited(|r| {
        let last = r["spec"]["rules"].as_array_mut().unwrap().last_mut().unwrap();
        last["backendRefs"].as_array_mut().unwrap().pop();
    });
    assert_eq!(managed_weight(&chosen, "orders-ft"), Some((1, 0)));
    let higher = edited(|r| {
        r["spec"]["rules"].as_array_mut().unwrap().last_mut().unwrap()["backendRefs"][1]["weight"] =
            json!(90);
    });
    assert_eq!(managed_weight(&higher, "orders-ft"), Some((50, 50)));
    let foreign = json!({"metadata": {"name": "orders"}, "spec": {"rules": [{"backendRefs": [{"name": "orders", "port": 80}]}]}});
    assert!(!is_managed(&foreign, &plan), "a route of that name is not ours for its name");
}

#[test]
fn weight_0_needs_nothing_but_the_route() {
    let mut plan = plan(true, true);
    let ten = at(&plan, Some(&at(&plan, None, None)), Some(10));
    let known = plan.body(Some(&ten), Some(0), None).unwrap();
    // The Services are gone, or nobody sees them.
    plan.standard = None;
    assert_eq!(plan.body(Some(&ten), Some(0), None), Some(known));
    assert!(!plan.stale(&ten), "what cannot be seen is no reason to write");
    assert_eq!(plan.body(None, None, None), None);
}

#[test]
fn what_is_wrong_with_the_spec_does_not_stop_a_fall() {
    let mut plan = plan(true, true);
    let ten = at(&plan, Some(&at(&plan, None, None)), Some(10));
    // As it is, everything that falls is what would be written anyway.
    for weight in [Some(5), Some(0), None] {
        assert_eq!(plan.falling(&ten, weight, None), plan.body(Some(&ten), weight, None));
    }
    plan.spec.hostnames = vec!["not a host name".into()];
    plan.spec.paths = vec!["/a//b".into()];
    plan.spec.parent_refs.clear();
    assert!(plan.stale(&ten));
    let none = stored(&plan.falling(&ten, Some(0), Some("{}")).unwrap(), "8");
    for part in ["/spec/parentRefs", "/spec/hostnames", "/spec/rules/0/matches/1/path"] {
        assert_eq!(none.pointer(part), ten.pointer(part), "{part}");
    }
    assert_eq!(managed_weight(&none, "orders-ft"), Some((0, 0)));
    assert!(plan.stale(&none), "and what the spec says is still to be written");
}

#[test]
fn a_fall_takes_the_paths_as_they_are_and_never_more_than_a_route_may_have() {
    let plan = plan(true, true);
    let begun = at(&plan, None, None);
    let mut edited = at(&plan, Some(&begun), Some(10));
    // Somebody's expression, which is no prefix; and a rule of theirs on top, whose path is none of ours.
    let regex = json!({"type": "RegularExpression", "value": "^/orders/[0-9]+"});
    let last = rules(&edited).len() - 1;
    edited["spec"]["rules"][last]["matches"] = json!([{"path": regex}]);
    let theirs = json!({"matches": [{"path": {"type": "PathPrefix", "value": "/old"}}], "backendRefs": [{"name": "old", "port": 80}]});
    edited["spec"]["rules"].as_array_mut().unwrap().insert(0, theirs);
    for weight in [Some(5), Some(0), None] {
        let fallen = plan.falling(&edited, weight, None).unwrap();
        let text = fallen.to_string();
        assert!(text.contains(r#"{"type":"RegularExpression","value":"^/orders/[0-9]+"}"#), "{text}");
        assert!(!text.contains(r#""PathPrefix","value":"^/orders"#) && !text.contains("/old"), "{text}");
        assert!(
            text.contains(r#"{"type":"PathPrefix","value":"/baskets"}"#),
            "those of the other rules too: {text}"
        );
    }
    let many: Vec<Value> =
        (0..100).map(|n| json!({"path": {"type": "Exact", "value": format!("/{n}")}})).collect();
    edited["spec"]["rules"][last + 1]["matches"] = json!(many[..64]);
    edited["spec"]["rules"][1]["matches"] = json!(many[64..]);
    for weight in [5, 0] {
        let fallen = plan.falling(&edited, Some(weight), None).unwrap();
        let sizes: Vec<usize> =
            rules(&fallen).iter().map(|rule| rule["matches"].as_array().unwrap().len()).collect();
        assert!(sizes.iter().all(|size| *size <= 64) && sizes.iter().sum::<usize>() <= 128, "{sizes:?}");
        assert_eq!(managed_weight(&fallen, "orders-ft"), Some((weight, weight)));
    }
}
