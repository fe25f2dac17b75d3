//! The part of the small world that a route makes: what is written in it, and what is seen of it.

use freethread_rollout::observe::{Drawn, Precision, RollbackNote, RouteState, Size};
use jiff::Timestamp;

use super::world::{Standard, World};

/// The team's route, where traffic goes by weights.
#[allow(clippy::struct_excessive_bools, reason = "independent facts, not a state")]
#[derive(Clone, Default)]
pub(crate) struct Route {
    /// What is written; `None` where nothing is ours.
    pub(crate) written: Option<i32>,
    pub(crate) note: Option<RollbackNote>,
    pub(crate) edited_by: Option<String>,
    /// A rule that the team added has nothing of it.
    pub(crate) uneven: bool,
    /// Nobody sees the route: the cache is empty.
    pub(crate) unseen: bool,
    /// When the gateway takes it.
    pub(crate) taken: Timestamp,
    pub(crate) unusable: Option<String>,
    /// It is the operator's own.
    pub(crate) managed: bool,
    /// It shares out users.
    pub(crate) sticky: bool,
    /// It is not what it should be.
    pub(crate) stale: bool,
    pub(crate) edited_at: Option<Timestamp>,
}

impl World {
    /// Traffic by a route's weights, of which any percent can be had.
    pub(crate) fn by_route(seed: u64) -> Self {
        let mut world = Self::new(seed);
        world.spec.traffic =
            serde_json::from_value(serde_json::json!({"httpRoute": {"name": "orders"}})).unwrap();
        world.route = Some(Route::default());
        world
    }

    /// The same by a route of the operator's own, which is not there yet.
    pub(crate) fn by_managed_route(seed: u64) -> Self {
        let mut world = Self::by_route(seed);
        let managed = serde_json::json!({"httpRoute": {"managed": {"parentRefs": [{"name": "public"}]}}});
        world.spec.traffic = serde_json::from_value(managed).unwrap();
        world.route = Some(Route { managed: true, stale: true, ..Route::default() });
        world
    }

    /// Somebody writes into a route of the operator's own, and leaves the weight as it is.
    pub(crate) fn rewritten_by(&mut self, manager: Option<&str>) {
        let now = self.now;
        if let Some(route) = self.route.as_mut().filter(|route| route.managed) {
            let edited_by = manager.map(str::to_owned);
            *route = Route { stale: true, edited_at: manager.map(|_| now), edited_by, ..route.clone() };
        }
    }

    pub(crate) fn route_state(&self, route: &Route, ready: i32, standard_serving: i32) -> RouteState {
        let whole = |standard: &Standard| standard.replicas.max(standard.before.unwrap_or(0));
        let standard = self.standard.as_ref().map_or(0, whole);
        let last = self.status.attempt.as_ref().and_then(|attempt| attempt.weight_changes.last());
        let written = if route.unseen { last.map(|change| change.written) } else { route.written };
        let state = RouteState {
            what: "HTTPRoute orders".into(),
            group: "gateway.networking.k8s.io".into(),
            jq: ".spec.rules[].backendRefs".into(),
            written,
            least: if route.uneven && !route.unseen { 0 } else { written.unwrap_or(0) },
            unseen: route.unseen,
            standard_serving,
            precision: Precision::Percent {
                standard,
                size: Size::Works(
                    self.status
                        .attempt
                        .as_ref()
                        .and_then(|a| a.sizing.as_ref())
                        .map_or(1.0, |s| 1.0 / s.cost()),
                ),
                max: self.spec.free_threaded.max_replicas,
            },
            ..RouteState::default()
        };
        if route.unseen {
            return state;
        }
        RouteState {
            serving: match route.written {
                Some(_) if self.now < route.taken => None,
                Some(written) if ready > 0 => Some(written),
                _ => Some(0),
            },
            stale: route.stale,
            ours: route.managed,
            drawn: if route.sticky { Drawn::Users } else { Drawn::Requests },
            edited_at: route.edited_at,
            edited_by: route.edited_by.clone(),
            note: route.note.clone(),
            unusable: route.unusable.clone(),
            ..state
        }
    }
}
