//! The team's objects that weights are written to: watched where the installation switched them on, and read back.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use futures::{StreamExt, future::BoxFuture};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Service};
use kube::{
    Api, Client, ResourceExt,
    core::DynamicObject,
    runtime::{
        WatchStreamExt,
        reflector::{ObjectRef, Store, store::Writer},
        watcher,
    },
};
use serde_json::Value;

use super::{
    Obstacle, Pokes, Precision, RouteState, Stores, WatchScope,
    cluster::{manager, note, other_owner},
    managed,
    pods::text,
    size::size,
};
use crate::{
    api::{
        ANNOTATION_ROUTE, ANNOTATION_STANDARD, FreeThreadRollout, LABEL_ROLLOUT, Percent, RouteRef,
        RouterKind,
    },
    flag,
    judge::Share,
    pool::{Rendered, is_like, service},
    route::{Acceptance, Backends, Dialect, Plan, named, plain, read, resource, usable},
};

/// The objects of one kind.
#[derive(Clone)]
pub struct RouteStore {
    objects: Store<DynamicObject>,
    dialect: &'static Dialect,
    /// Every object has been seen once.
    filled: Arc<AtomicBool>,
    /// The API server does not know the kind.
    unknown: Arc<AtomicBool>,
}

/// Caches of the kinds that are switched on.
#[derive(Clone, Default)]
pub struct RouteStores(BTreeMap<RouterKind, RouteStore>);

/// What `observe` takes over from a route.
#[derive(Default)]
pub(super) struct Routed {
    pub(super) state: RouteState,
    pub(super) object: Option<Arc<DynamicObject>>,
    pub(super) backends: Backends,
    pub(super) service: Option<Value>,
    pub(super) managed: Option<Plan>,
    pub(super) obstacle: Option<Obstacle>,
}

/// The caches of the kinds that are switched on, and the futures that keep them up to date for as long as they are polled. A kind that the
/// cluster does not know is asked for again and again: it may come.
pub(super) fn start(
    routers: &BTreeSet<RouterKind>,
) -> (RouteStores, Vec<(RouteStore, Writer<DynamicObject>)>) {
    let dialects = routers.iter().filter_map(|router| Dialect::of(*router));
    let each = dialects.map(|dialect| {
        let writer = Writer::new(resource(dialect));
        let store = RouteStore {
            objects: writer.as_reader(),
            dialect,
            filled: Arc::default(),
            unknown: Arc::default(),
        };
        (store, writer)
    });
    let all: Vec<_> = each.collect();
    let stores = all.iter().map(|(store, _)| (store.dialect.router, store.clone())).collect();
    (RouteStores(stores), all)
}

/// Keep one cache up to date, and wake the rollouts that it is about.
pub(super) fn keep(
    client: &Client,
    scope: &WatchScope,
    (store, writer): (RouteStore, Writer<DynamicObject>),
    stores: &Stores,
    pokes: &Pokes,
) -> BoxFuture<'static, ()> {
    let kind = resource(store.dialect);
    let api: Api<DynamicObject> = match scope {
        WatchScope::Cluster => Api::all_with(client.clone(), &kind),
        WatchScope::Namespace(namespace) => Api::namespaced_with(client.clone(), namespace, &kind),
    };
    let (stores, pokes) = (stores.clone(), pokes.clone());
    let (seen, all, bell) = (store.clone(), stores.clone(), pokes.clone());
    let events = watcher(api, watcher::Config::default())
        .default_backoff()
        .modify(prune)
        .reflect(writer)
        // After the cache has what the event brings.
        .inspect(move |event| match event {
            Ok(watcher::Event::InitDone) => {
                seen.filled.store(true, Ordering::Relaxed);
                seen.unknown.store(false, Ordering::Relaxed);
                // Whoever waited for what is read now is not told of each object.
                for rollout in all.rollouts.state() {
                    if rollout.route().is_some_and(|route| route.kind == seen.dialect.router) {
                        bell.poke(&rollout.namespace().unwrap_or_default(), &rollout.name_any());
                    }
                }
            }
            Err(error) if no_such_kind(error) => seen.unknown.store(true, Ordering::Relaxed),
            _ => {}
        })
        .touched_objects();
    Box::pin(events.for_each(move |event| {
        match event {
            Ok(object) => {
                let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
                for rollout in stores.rollouts.state() {
                    let route = rollout.route();
                    let its =
                        route.is_some_and(|route| route.kind == store.dialect.router && route.name == name);
                    if its && rollout.namespace().as_deref() == Some(namespace.as_str()) {
                        pokes.poke(&namespace, &rollout.name_any());
                    }
                }
            }
            Err(error) if no_such_kind(&error) => {
                tracing::debug!(kind = store.dialect.kind, "the cluster does not know this kind");
            }
            Err(error) => tracing::warn!(kind = store.dialect.kind, %error, "watch interrupted"),
        }
        std::future::ready(())
    }))
}

fn no_such_kind(error: &watcher::Error) -> bool {
    use watcher::Error::{InitialListFailed, WatchError, WatchStartFailed};
    match error {
        InitialListFailed(kube::Error::Api(status)) | WatchStartFailed(kube::Error::Api(status)) => {
            status.code == 404
        }
        WatchError(status) => status.code == 404,
        _ => false,
    }
}

fn prune(object: &mut DynamicObject) {
    // Who changed it is only of interest where a weight of ours is in it, or all of it is ours.
    if !object.annotations().contains_key(ANNOTATION_ROUTE) && !object.labels().contains_key(LABEL_ROLLOUT) {
        object.metadata.managed_fields = None;
    }
    // Emptied, not removed: whether an object has annotations at all decides how one is added.
    if let Some(all) = object.metadata.annotations.as_mut()
        && let Some(applied) = all.get_mut("kubectl.kubernetes.io/last-applied-configuration")
    {
        applied.clear();
    }
}

/// The route of a rollout. `by_pods` is how it would be by pod counts.
pub(super) fn routed(
    rollout: &FreeThreadRollout,
    services: &[Arc<Service>],
    by_pods: RouteState,
    live: Option<&Deployment>,
    rendered: Option<&Rendered>,
    stores: &Stores,
) -> Routed {
    if rollout.spec.traffic.flag.is_some() {
        return by_flag(rollout, services, &by_pods, live, rendered, stores);
    }
    let Some((route, dialect)) = rollout.route().and_then(|r| Some((r, Dialect::of(r.kind)?))) else {
        return Routed { state: by_pods, ..Routed::default() };
    };
    let (ready, standard) = (by_pods.serving.unwrap_or(0), by_pods.precision.standard());
    let (size, max) = (size(rollout, rendered), rollout.spec.free_threaded.max_replicas);
    let mut state = RouteState {
        what: format!("{} {}", dialect.kind, route.name),
        group: dialect.group.into(),
        jq: dialect.jq.into(),
        standard_serving: by_pods.standard_serving,
        precision: Precision::Percent { standard, size, max },
        ..RouteState::default()
    };
    // What is not seen is as it was written last, and not in effect.
    let last = last_written(rollout);
    let (kind, word) = (dialect.kind, route.kind.word());
    let known: Vec<String> = services.iter().map(|service| service.name_any()).collect();
    // Enough for a weight of 0.
    let likely = Backends {
        rollout: rollout.name_any(),
        standard: route.service.map_or_else(|| known.first().cloned().unwrap_or_default(), str::to_owned),
        ours: rollout.pool_name(),
    };
    let invalid = |message: String| Some(Obstacle::Invalid { message });
    let planned = route.managed.map(|spec| managed::plan(rollout, spec, route.service, services));
    let made = planned.as_ref().map(|(plan, _)| plan.clone());
    let Some(store) = stores.routes.0.get(&route.kind) else {
        // Nothing that could be taken back is left where the last weight was 0.
        state.written = last.filter(|weight| *weight > 0);
        state.least = state.written.unwrap_or(0);
        state.serving = state.written.is_none().then_some(0);
        let message = format!(
            "spec.traffic.{word}: this installation writes no {kind}: have its administrator set routers.{word}=true in the chart"
        );
        return Routed {
            state,
            obstacle: invalid(message),
            backends: likely,
            managed: made,
            ..Routed::default()
        };
    };
    let filled = store.filled.load(Ordering::Relaxed);
    // A kind that was known once is no less written for not being known now.
    if store.unknown.load(Ordering::Relaxed) && !filled && last.unwrap_or(0) == 0 {
        state.serving = Some(0);
        let (version, install) = (dialect.api_version(), dialect.install);
        let message =
            format!("spec.traffic.{word}: the cluster knows no {kind} ({version}): install {install}");
        return Routed { state, obstacle: invalid(message), managed: made, ..Routed::default() };
    }
    if !filled {
        state.written = last;
        state.least = last.unwrap_or(0);
        state.unseen = true;
        state.trouble = Some(format!("{kind}s cannot be read (yet): may the operator list them?"));
        return Routed { state, backends: likely, managed: made, ..Routed::default() };
    }
    let namespace = rollout.namespace().unwrap_or_default();
    let object = store.objects.get(&ObjectRef::new_with(route.name, resource(dialect)).within(&namespace));
    if let Some(planned) = planned {
        let planned = managed::standing(planned, rollout, &route, services, object.as_deref());
        let accepted = |object: &Value| (dialect.accepted)(object, route.controller);
        let object = managed::look(&mut state, &planned, rollout, object, accepted, ready);
        let plan = planned.0;
        let named = plan.standard.as_ref().map(|(service, _)| service.clone());
        let backends = Backends { standard: named.unwrap_or(likely.standard), ..likely };
        let routed = Routed { state, object, backends, managed: Some(plan), ..Routed::default() };
        return with_service(routed, &namespace, services, rendered, stores);
    }
    let plain = object.as_deref().map(plain);
    let standard = plain.as_ref().map_or_else(
        || Err(format!("{} does not exist", state.what)),
        |object| standard_service(dialect, object, &state.what, &route, &known),
    );
    // Once there is a weight, what stands beside it counts: whatever became of the Services, it can be taken back.
    let beside = plain.as_ref().and_then(|object| beside(object, &likely.rollout));
    let backends = Backends {
        standard: beside
            .or_else(|| standard.as_ref().ok().cloned())
            .unwrap_or_else(|| likely.standard.clone()),
        ..likely
    };
    state.unusable = standard.as_ref().err().cloned();
    state.serving = Some(0);
    if let Some(object) = &plain {
        let unusable = || usable(dialect, object, backends.names()).err().map(|why| why.to_string());
        state.unusable = state.unusable.or_else(unusable).map(|why| text(&why));
        let written = read(dialect, object, backends.names()).written();
        (state.written, state.least) = (written.map(|(most, _)| most), written.map_or(0, |(_, least)| least));
        effect(&mut state, (dialect.accepted)(object, route.controller), ready);
    }
    if let Some(object) =
        object.as_ref().filter(|object| object.annotations().get(ANNOTATION_ROUTE) == Some(&backends.rollout))
    {
        state.edited_by = other_owner(object.managed_fields(), dialect.owned).map(manager);
        state.note = note(object.annotations());
    }
    let routed = Routed { state, object, backends, ..Routed::default() };
    with_service(routed, &namespace, services, rendered, stores)
}

/// The weight that was written last in this attempt; `None`: none was.
pub(super) fn last_written(rollout: &FreeThreadRollout) -> Option<i32> {
    rollout.status.as_ref()?.attempt.as_ref()?.weight_changes.last().map(|change| change.written)
}

/// With our Service as it should be, and what stands against it.
fn with_service(
    routed: Routed,
    namespace: &str,
    services: &[Arc<Service>],
    rendered: Option<&Rendered>,
    stores: &Stores,
) -> Routed {
    let backends = &routed.backends;
    let of_standard = services.iter().find(|service| service.name_any() == backends.standard);
    let service = of_standard.map(|standard| service(&backends.rollout, namespace, standard));
    let message = selects_ours(services, rendered).or_else(|| foreign(backends, namespace, stores));
    Routed { service, obstacle: message.map(|message| Obstacle::Invalid { message }), ..routed }
}

/// The Service that a weight of this rollout was written beside.
fn beside(object: &Value, rollout: &str) -> Option<String> {
    let annotation = |name: &str| object.pointer("/metadata/annotations")?.get(name)?.as_str();
    annotation(ANNOTATION_STANDARD)
        .filter(|_| annotation(ANNOTATION_ROUTE) == Some(rollout))
        .map(str::to_owned)
}

/// Where our Deployment says that it is somebody else's annotation.
const OWNS_FLAG: &str = "/f:metadata/f:annotations/f:freethreading.dev~1flag-weight";

/// The flag of a rollout: its weight is on our Deployment, and what this replica serves is what its cache says.
fn by_flag(
    rollout: &FreeThreadRollout,
    services: &[Arc<Service>],
    by_pods: &RouteState,
    live: Option<&Deployment>,
    rendered: Option<&Rendered>,
    stores: &Stores,
) -> Routed {
    let (namespace, name) = (rollout.namespace().unwrap_or_default(), rollout.name_any());
    let (size, max) = (size(rollout, rendered), rollout.spec.free_threaded.max_replicas);
    let (ready, standard) = (by_pods.serving.unwrap_or(0), by_pods.precision.standard());
    let written = live.and_then(flag::weight);
    let state = RouteState {
        what: format!("flag {name}"),
        written,
        least: written.unwrap_or(0),
        serving: Some(written.filter(|_| ready > 0).unwrap_or(0)),
        standard_serving: by_pods.standard_serving,
        precision: Precision::Percent { standard, size, max },
        edited_by: live.and_then(|live| other_owner(live.managed_fields(), OWNS_FLAG)).map(manager),
        note: live.and_then(|live| note(live.annotations())),
        evaluated: evaluated(stores, &namespace, &name, written),
        ..RouteState::default()
    };
    // Workers have no Service; where there is one, callers that are told our pool need a way to it.
    let service = services.first().map(|standard| service(&name, &namespace, standard));
    let backends = Backends { rollout: name, standard: String::new(), ours: rollout.pool_name() };
    let obstacle = selects_ours(services, rendered).or_else(|| foreign(&backends, &namespace, stores));
    let obstacle = obstacle.map(|message| Obstacle::Invalid { message });
    let off = stores.flags.is_none().then(|| Obstacle::Invalid {
        message: "spec.traffic.flag: this installation serves no flags: have its administrator set flags.enabled=true in the chart".into(),
    });
    Routed { obstacle: off.or(obstacle), state, backends, service, ..Routed::default() }
}

/// The share that this replica's evaluations gave out at this weight: of the others' it is a fair sample.
fn evaluated(stores: &Stores, namespace: &str, rollout: &str, written: Option<i32>) -> Option<Share> {
    let tally = stores.flags.as_ref()?.at(namespace, rollout, written?)?;
    let of = tally.ours.saturating_add(tally.standard);
    (of > 0).then(|| Share { ours: Percent::from_ratio(tally.ours as f64 / of as f64), of: of as f64 })
}

/// What the gateway says, and whether there is a pod for it.
pub(super) fn effect(state: &mut RouteState, accepted: Acceptance, ready: i32) {
    let written = state.written.unwrap_or(0);
    (state.serving, state.trouble) = match accepted {
        Acceptance::Taken if written == 0 || ready > 0 => (Some(written), None),
        Acceptance::Taken => (Some(0), None),
        // It has looked at it, so what it said before does not hold any more.
        Acceptance::Refused(why) => (Some(0), Some(text(&why))),
        Acceptance::Waiting(_) if state.written.is_none() => (Some(0), None),
        Acceptance::Waiting(why) => (None, Some(text(&why))),
    };
}

/// The one Service of the standard pool that the object names.
fn standard_service(
    dialect: &Dialect,
    object: &Value,
    what: &str,
    route: &RouteRef<'_>,
    known: &[String],
) -> Result<String, String> {
    let word = route.kind.word();
    if let Some(service) = route.service {
        let selects = known.iter().any(|known| known == service);
        return selects.then(|| service.to_owned()).ok_or_else(|| {
            format!(
                "spec.traffic.{word}.service: Service {service} does not select the standard pool's pods; {}",
                those(known)
            )
        });
    }
    let all = named(dialect, object, known);
    match all.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(format!(
            "{what} names no Service of the standard pool: name one as a backend, or another object under spec.traffic; {}",
            those(known)
        )),
        several => Err(format!(
            "{what} names {}, which all select the standard pool: say which under spec.traffic.{word}.service",
            several.join(" and ")
        )),
    }
}

pub(super) fn those(known: &[String]) -> String {
    if known.is_empty() { "no Service does".into() } else { format!("these do: {}", known.join(", ")) }
}

/// A Service that selects both pools would send traffic to ours at weight 0.
fn selects_ours(services: &[Arc<Service>], rendered: Option<&Rendered>) -> Option<String> {
    let labels = rendered?.deployment.pointer("/spec/template/metadata/labels")?;
    let selects = |service: &&Arc<Service>| {
        let selector = service.spec.as_ref().and_then(|spec| spec.selector.as_ref());
        selector.is_some_and(|selector| {
            selector.iter().all(|(k, v)| labels.get(k).and_then(Value::as_str) == Some(v))
        })
    };
    let service = services.iter().find(selects)?.name_any();
    Some(format!(
        "Service {service} would select the free-threaded pool too, and weight 0 would be no rollback: leave its labels out of spec.freeThreaded.patch"
    ))
}

/// Whether there is a Service of this rollout's pool.
pub(super) fn has_any(rollout: &FreeThreadRollout, stores: &Stores) -> bool {
    let namespace = rollout.namespace().unwrap_or_default();
    let there = stores.services.get(&ObjectRef::new(&rollout.pool_name()).within(&namespace));
    there.is_some_and(|there| is_ours(&there, &rollout.name_any()))
}

/// By its selector: that is what makes it send to our pool.
fn is_ours(service: &Service, rollout: &str) -> bool {
    let selector = service.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    selector.and_then(|selector| selector.get(LABEL_ROLLOUT)).is_some_and(|of| of == rollout)
        || service.labels().get(LABEL_ROLLOUT).is_some_and(|of| of == rollout)
}

/// A Service that is not ours has our name.
fn foreign(backends: &Backends, namespace: &str, stores: &Stores) -> Option<String> {
    let there = stores.services.get(&ObjectRef::new(&backends.ours).within(namespace))?;
    (!is_ours(&there, &backends.rollout)).then(|| {
        format!("a Service {} exists already and is not this rollout's: rename the rollout", backends.ours)
    })
}

/// Whether our Service is there as it should be.
pub(super) fn has(wanted: &Value, stores: &Stores) -> bool {
    let text = |pointer: &str| wanted.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let there =
        stores.services.get(&ObjectRef::new(text("/metadata/name")).within(text("/metadata/namespace")));
    there.is_some_and(|there| there.metadata.deletion_timestamp.is_none() && is_like(&there, wanted))
}
