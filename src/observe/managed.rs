//! A route that is the operator's own: what it should be, and what became of it.

use std::sync::Arc;

use k8s_openapi::{api::core::v1::Service, apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry};
use kube::{Resource, ResourceExt, core::DynamicObject};
use serde_json::Value;

use super::{
    Drawn, RouteState,
    cluster::{manager, note, other_owner},
    pods::text,
    routes::{effect, last_written, those},
};
use crate::{
    api::{FreeThreadRollout, MANAGER_ROUTE, ManagedRoute, Mode, RouteRef},
    route::{Acceptance, Plan, is_managed, managed_weight, owns, plain},
};

/// What the route should be, and why that cannot be said, if it cannot: its standard Service is not known.
pub(super) fn plan(
    rollout: &FreeThreadRollout,
    spec: &ManagedRoute,
    service: Option<&str>,
    services: &[Arc<Service>],
) -> (Plan, Option<String>) {
    let (standard, why) = match standard(spec, service, services) {
        Ok(standard) => (Some(standard), None),
        Err(why) => (None, Some(why)),
    };
    let plan = Plan {
        rollout: rollout.name_any(),
        spec: spec.clone(),
        standard,
        ours: rollout.pool_name(),
        weights: rollout.spec.steps.iter().map(|step| step.weight).collect(),
    };
    (plan, why)
}

/// The one Service of the standard pool, and its port.
fn standard(
    spec: &ManagedRoute,
    named: Option<&str>,
    services: &[Arc<Service>],
) -> Result<(String, i64), String> {
    let known: Vec<String> = services.iter().map(|service| service.name_any()).collect();
    let service = match (named, services) {
        (Some(named), _) => services.iter().find(|service| service.name_any() == named).ok_or_else(|| {
            format!(
                "spec.traffic.httpRoute.service: Service {named} does not select the standard pool's pods; {}",
                those(&known)
            )
        })?,
        (None, [one]) => one,
        (None, []) => {
            return Err("no Service selects the standard pool's pods: create one for the route to send to".into());
        }
        (None, _) => {
            return Err(format!(
                "{} all select the standard pool: say which under spec.traffic.httpRoute.service",
                known.join(" and ")
            ));
        }
    };
    let ports = service.spec.as_ref().and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
    let ports: Vec<i32> = ports.iter().map(|port| port.port).collect();
    let port = match (spec.port, ports.as_slice()) {
        (Some(port), all) if all.contains(&port) => port,
        (None, [one]) => *one,
        _ => {
            let all: Vec<String> = ports.iter().map(ToString::to_string).collect();
            return Err(format!(
                "Service {} has the ports {}: say which under spec.traffic.httpRoute.managed.port",
                service.name_any(),
                all.join(", ")
            ));
        }
    };
    Ok((service.name_any(), i64::from(port)))
}

/// The plan again, where several Services select the standard pool by now: it is the one that the route sends to already.
pub(super) fn standing(
    (plan, why): (Plan, Option<String>),
    rollout: &FreeThreadRollout,
    route: &RouteRef<'_>,
    services: &[Arc<Service>],
    object: Option<&DynamicObject>,
) -> (Plan, Option<String>) {
    let open = why.is_some() && route.service.is_none() && services.len() > 1;
    let there = object.filter(|_| open).and_then(|object| plan.service_of(&plain(object)));
    match there.filter(|name| services.iter().any(|service| service.name_any() == *name)) {
        Some(service) => self::plan(rollout, &plan.spec, Some(&service), services),
        None => (plan, why),
    }
}

/// Fills in what the route is like. Returns it where it is this rollout's.
pub(super) fn look(
    state: &mut RouteState,
    (plan, why): &(Plan, Option<String>),
    rollout: &FreeThreadRollout,
    object: Option<Arc<DynamicObject>>,
    accepted: impl Fn(&Value) -> Acceptance,
    ready: i32,
) -> Option<Arc<DynamicObject>> {
    state.serving = Some(0);
    state.drawn = match (plan.spec.sticky, plan.spec.testers) {
        (true, _) => Drawn::Users,
        (false, true) => Drawn::Rest,
        (false, false) => Drawn::Requests,
    };
    state.unusable = why.as_deref().map(text);
    // The whole of it is ours.
    state.jq = ".spec".into();
    let Some(object) = object else {
        // A new route may take traffic from one that is there: not while nothing is to move. One that users came through is missed all the same.
        let moves = rollout.spec.mode == Mode::Active && !rollout.spec.suspend;
        state.stale = plan.standard.is_some() && (moves || last_written(rollout).is_some());
        return None;
    };
    let there = plain(&object);
    if !is_managed(&there, plan) {
        state.unusable = Some(format!(
            "{} exists already and is not this rollout's: name it under spec.traffic.httpRoute.name, or call the rollout otherwise",
            state.what
        ));
        return None;
    }
    let written = managed_weight(&there, &plan.ours);
    if written.is_none() && !owns(&there) && !wrote_it(rollout, object.managed_fields()) {
        // An earlier rollout of this name gave it back, and it was theirs since.
        state.unusable = Some(format!(
            "{} was left by an earlier rollout and has been edited since: delete it, name it under spec.traffic.httpRoute.name, or call the \
             rollout otherwise",
            state.what
        ));
        return None;
    }
    state.ours = true;
    (state.written, state.least) = (written.map(|(most, _)| most), written.map_or(0, |(_, least)| least));
    effect(state, accepted(&there), ready);
    state.note = note(object.annotations());
    state.stale = object.metadata.deletion_timestamp.is_none() && plan.stale(&there);
    // Who has just the same as we do changed nothing.
    if let Some(editor) = other_owner(object.managed_fields(), "/f:spec").filter(|_| state.stale) {
        state.edited_by = Some(manager(editor));
        state.edited_at = editor.time.as_ref().map(|time| time.0);
    }
    Some(object)
}

/// Whether a route was written for this very rollout, and not for an earlier one of its name.
fn wrote_it(rollout: &FreeThreadRollout, owners: &[ManagedFieldsEntry]) -> bool {
    let ours = owners.iter().filter(|entry| entry.manager.as_deref() == Some(MANAGER_ROUTE));
    ours.filter_map(|entry| entry.time.as_ref())
        .any(|time| Some(time) >= rollout.meta().creation_timestamp.as_ref())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::FreeThreadRolloutStatus;

    fn services(all: &[(&str, &[i32])]) -> Vec<Arc<Service>> {
        let service = |(name, ports): &(&str, &[i32])| {
            let ports: Vec<Value> =
                ports.iter().map(|port| json!({"name": format!("p{port}"), "port": port})).collect();
            Arc::new(
                serde_json::from_value(json!({"metadata": {"name": name}, "spec": {"ports": ports}}))
                    .unwrap(),
            )
        };
        all.iter().map(service).collect()
    }

    fn rollout() -> FreeThreadRollout {
        serde_json::from_value(json!({
            "apiVersion": "freethreading.dev/v1alpha1", "kind": "FreeThreadRollout", "metadata": {"name": "orders", "namespace": "shop"},
            "spec": {
                "workloadRef": {"name": "orders"}, "freeThreaded": {"image": "x"},
                "traffic": {"httpRoute": {"managed": {"parentRefs": [{"name": "public"}]}}},
                "steps": [{"weight": 10}, {"weight": 50}], "analysis": {"preset": "granian", "errorRate": {"max": "1%"}},
            },
        }))
        .unwrap()
    }

    /// The plan, while the route sends to `orders`.
    fn plan_of_a_route_that_stands(
        rollout: &FreeThreadRollout,
        all: &[(&str, &[i32])],
    ) -> (Plan, Option<String>) {
        let spec = rollout.spec.traffic.managed().unwrap();
        let (before, _) = plan(rollout, spec, None, &services(&[("orders", &[80])]));
        let object: DynamicObject = serde_json::from_value(before.body(None, None, None).unwrap()).unwrap();
        let all = services(all);
        standing(plan(rollout, spec, None, &all), rollout, &rollout.route().unwrap(), &all, Some(&object))
    }

    #[test]
    fn the_standard_service_is_the_only_one_or_the_one_that_is_named() {
        let rollout = rollout();
        let planned = |service: Option<&str>, port: Option<i32>, all: &[(&str, &[i32])]| {
            let spec = ManagedRoute { port, ..rollout.spec.traffic.managed().unwrap().clone() };
            plan(&rollout, &spec, service, &services(all))
        };
        let (made, why) = planned(None, None, &[("orders", &[80])]);
        assert_eq!((made.standard, why), (Some(("orders".into(), 80)), None));
        assert_eq!((made.ours.as_str(), made.weights), ("orders-ft", vec![10, 50]));
        let two: &[(&str, &[i32])] = &[("orders", &[80, 9090]), ("orders-old", &[80])];
        assert_eq!(planned(Some("orders"), Some(9090), two).0.standard, Some(("orders".into(), 9090)));
        let (made, why) = plan_of_a_route_that_stands(&rollout, two);
        assert_eq!((made.standard, why), (None, Some("Service orders has the ports 80, 9090: say which under spec.traffic.httpRoute.managed.port".into())));
        let one_port: &[(&str, &[i32])] = &[("orders", &[80]), ("orders-metrics", &[9090])];
        assert_eq!(
            plan_of_a_route_that_stands(&rollout, one_port),
            planned(Some("orders"), None, one_port),
            "it sends to orders already"
        );
        for (service, port, all, says) in [
            (None, None, &[] as &[(&str, &[i32])], "no Service selects the standard pool's pods"),
            (None, None, two, "orders and orders-old all select the standard pool: say which"),
            (
                Some("other"),
                None,
                two,
                "Service other does not select the standard pool's pods; these do: orders, orders-old",
            ),
            (
                Some("orders"),
                None,
                two,
                "Service orders has the ports 80, 9090: say which under spec.traffic.httpRoute.managed.port",
            ),
            (Some("orders-old"), Some(81), two, "Service orders-old has the ports 80"),
        ] {
            let (made, why) = planned(service, port, all);
            assert!(made.standard.is_none() && why.as_ref().unwrap().contains(says), "{why:?}");
        }
    }

    #[test]
    fn a_route_is_missed_taken_for_ours_or_left_alone() {
        let rollout = rollout();
        let (plan, _) = super::plan(
            &rollout,
            rollout.spec.traffic.managed().unwrap(),
            None,
            &services(&[("orders", &[80])]),
        );
        let look_at = |rollout: &FreeThreadRollout, object: Option<Value>| {
            let mut state = RouteState { what: "HTTPRoute orders".into(), ..RouteState::default() };
            let object = object.map(|object| Arc::new(serde_json::from_value(object).unwrap()));
            let found = look(&mut state, &(plan.clone(), None), rollout, object, |_| Acceptance::Taken, 1);
            (state, found.is_some())
        };
        let look = |object| look_at(&rollout, object);
        let (missing, found) = look(None);
        assert_eq!((missing.stale, missing.written, missing.unusable, found), (true, None, None, false));
        let named = json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "orders"}, "spec": {"rules": []}});
        let (foreign, found) = look(Some(named));
        assert!(
            foreign.unusable.unwrap().contains("HTTPRoute orders exists already and is not this rollout's")
        );
        assert!(!foreign.stale && !found, "it is never written to");
        let mut ours = plan.body(None, None, None).unwrap();
        let entry = |manager: &str, fields: Value| json!({"manager": manager, "operation": "Update", "time": "2026-11-23T19:00:00Z", "fieldsV1": {"f:spec": fields}});
        let all = json!({"f:parentRefs": {}, "f:hostnames": {}, "f:rules": {}});
        ours["metadata"]["managedFields"] =
            json!([entry("freethread-rollout/route", all.clone()), entry("argocd", all)]);
        let (same, found) = look(Some(ours.clone()));
        assert!(found && !same.stale && same.edited_by.is_none(), "who has just the same changed nothing");
        ours["metadata"]["managedFields"] = json!([
            entry("freethread-rollout/route", json!({"f:parentRefs": {}, "f:hostnames": {}})),
            entry("helm", json!({"f:rules": {}}))
        ]);
        let (edited, _) = look(Some(ours.clone()));
        assert!(edited.stale && edited.edited_at.is_some() && edited.ours);
        assert_eq!(edited.edited_by.as_deref(), Some("helm"));
        let mut later = rollout.clone();
        later.metadata.creation_timestamp =
            Some(serde_json::from_value(json!("2026-11-23T19:00:01Z")).unwrap());
        let (left, found) = look_at(&later, Some(ours));
        assert!(left.unusable.unwrap().contains("was left by an earlier rollout and has been edited since"));
        assert!(!left.stale && !found, "theirs, as they were told");
        let mut observing = rollout.clone();
        observing.spec.mode = Mode::Observe;
        assert!(!look_at(&observing, None).0.stale, "it would take traffic from what is there");
        let attempt = json!({"number": 1, "startedAt": "2026-11-23T19:00:00.000000Z", "stepStartedAt": "2026-11-23T19:00:00.000000Z",
            "standardHash": "", "specHash": "", "cell": "15s", "weightChanges": [{"at": "2026-11-23T19:00:01.000000Z", "share": "10%", "written": 10}]});
        observing.status = Some(FreeThreadRolloutStatus {
            attempt: Some(serde_json::from_value(attempt).unwrap()),
            ..FreeThreadRolloutStatus::default()
        });
        assert!(look_at(&observing, None).0.stale, "users came through it");
    }
}
