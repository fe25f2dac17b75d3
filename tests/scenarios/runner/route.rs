//! The team's route of a scenario: what the team does to it, what a GitOps tool does, and whether it is as they left it.

use std::time::Duration;

use freethread_rollout::api::Span;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Service;
use kube::{
    Api,
    api::{DynamicObject, Patch, PatchParams},
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    Result,
    cluster::{Cluster, within},
    context,
    load::Counts,
    vocabulary::Pool,
    world::State,
};

/// A gateway of the tests' cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Via {
    Traefik,
    /// With Contour.
    Envoy,
}

impl Via {
    /// Name of its Service and of its Gateway, in the namespace `gateway`.
    fn name(self) -> &'static str {
        match self {
            Self::Traefik => "traefik",
            Self::Envoy => "envoy",
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct ExpectedShare {
    /// In percent, within the bounds of chance.
    pub(crate) free_threaded: f64,
    /// Requests that are counted.
    pub(crate) of: u64,
    /// They are sent by so many users, each of whom was drawn once: chance is of these.
    pub(crate) users: Option<u32>,
    pub(crate) within: Span,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Reverted {
    /// Field manager.
    #[serde(rename = "as")]
    pub(crate) manager: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct ExpectedRoute {
    pub(crate) within: Span,
}

/// A share may be this many standard deviations off: less often than once in 15,000 tries by chance.
const DEVIATIONS: f64 = 4.0;

/// The route, and how the team left it.
pub(crate) struct Route {
    api: Api<DynamicObject>,
    name: String,
    kind: String,
    /// Spec and annotations.
    left: Value,
}

impl Route {
    /// The route that `manifest` made.
    pub(crate) async fn of(cluster: &Cluster, namespace: &str, manifest: &Value) -> Result<Self> {
        let (api, name) = cluster.dynamic(namespace, manifest)?;
        let kind = manifest["kind"].as_str().unwrap_or_default().to_owned();
        let mut route = Self { api, name, kind, left: Value::Null };
        route.left = route.read().await?;
        Ok(route)
    }

    async fn read(&self) -> Result<Value> {
        let object = within(self.api.get(&self.name)).await.map_err(context(&self.what()))?;
        let object = serde_json::to_value(&object)?;
        let annotations = object["metadata"].get("annotations").cloned().unwrap_or_else(|| json!({}));
        Ok(json!({"spec": object["spec"], "metadata": {"annotations": annotations}}))
    }

    fn what(&self) -> String {
        format!("{} {}", self.kind, self.name)
    }

    /// The team edits it, and means to leave it so.
    pub(crate) async fn edit(&mut self, operations: &[Value]) -> Result<String> {
        let patch: json_patch::Patch =
            serde_json::from_value(json!(operations)).map_err(context("the edit"))?;
        json_patch::patch(&mut self.left, &patch.0).map_err(context("the edit of what they left"))?;
        let params = PatchParams { field_manager: Some("team".into()), ..PatchParams::default() };
        let patch = Patch::Json::<()>(patch);
        within(self.api.patch(&self.name, &params, &patch)).await.map_err(context(&self.what()))?;
        Ok(format!("{} operations on {}", operations.len(), self.what()))
    }

    /// Somebody applies it as the team left it, over everything.
    pub(crate) async fn revert(&self, manager: &str) -> Result<String> {
        let params = PatchParams { field_manager: Some(manager.into()), ..PatchParams::default() };
        let patch = Patch::Merge(json!({"spec": self.left["spec"]}));
        within(self.api.patch(&self.name, &params, &patch)).await.map_err(context(&self.what()))?;
        Ok(format!("{} by {manager}", self.what()))
    }

    /// Waits until it is as the team left it.
    pub(crate) async fn as_left(&self, deadline: Instant) -> Result<String> {
        loop {
            let now = self.read().await?;
            if now == self.left {
                return Ok(format!("{} is as the team left it", self.what()));
            }
            if Instant::now() > deadline {
                let (left, now) = (serde_json::to_string(&self.left)?, serde_json::to_string(&now)?);
                return Err(
                    format!("{} is not as the team left it:\nleft {left}\nis   {now}", self.what()).into()
                );
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

/// With what only the stage knows: `$NAMESPACE`, and `$GATEWAY` where requests go through one.
pub(crate) fn filled(text: &str, namespace: &str, via: Option<Via>) -> String {
    text.replace("$NAMESPACE", namespace).replace("$GATEWAY", via.map_or("", Via::name))
}

/// Address of the gateway that `via` names.
pub(crate) async fn gateway(cluster: &Cluster, via: Via) -> Result<String> {
    let services: Api<Service> = Api::namespaced(cluster.client.clone(), "gateway");
    let service = within(services.get(via.name())).await.map_err(context("the gateway's Service"))?;
    let spec = service.spec.unwrap_or_default();
    let port = spec.ports.unwrap_or_default().first().map_or(80, |port| port.port);
    Ok(format!("{}:{port}", spec.cluster_ip.unwrap_or_default()))
}

impl ExpectedShare {
    /// `None` while there are too few requests.
    pub(crate) fn check(&self, counts: &Counts) -> Option<std::result::Result<String, String>> {
        let tally = &counts.window;
        let (ours, theirs) = (tally.pool(Pool::FreeThreaded).answered, tally.pool(Pool::Standard).answered);
        let (all, wanted) = ((ours + theirs) as f64, self.free_threaded / 100.0);
        if all < self.of as f64 {
            return None;
        }
        let drawn = self.users.map_or(all, |users| all.min(f64::from(users)));
        let (expected, deviation) = (all * wanted, all * (wanted * (1.0 - wanted) / drawn).sqrt());
        let seen = format!(
            "{ours} of {all} requests ({:.2} %) were answered by the free-threaded pool, {expected:.0} ± {:.0} at {} %",
            100.0 * ours as f64 / all,
            DEVIATIONS * deviation,
            self.free_threaded
        );
        let off = (ours as f64 - expected).abs();
        Some(if off <= DEVIATIONS * deviation + 1e-9 { Ok(seen) } else { Err(seen) })
    }
}

/// From the last write of the weight to the last answer of the free-threaded pool, in words.
pub(crate) fn last_answer(counts: &Counts, state: &State) -> Option<String> {
    let attempt = state.rollout()?.status.as_ref()?.attempt.as_ref()?;
    let change = attempt.weight_changes.last()?;
    let last = counts.total.pools.get(Pool::FreeThreaded.word())?.last_unix_ms?;
    let after = last - change.at.0.as_millisecond();
    Some(format!(
        "the last answer of the free-threaded pool came {after} ms after {} % was written",
        change.written
    ))
}

/// How long it takes until the step's weight counts, as the operator has it: a gateway's word runs ahead of its traffic. `None`: it does.
pub(crate) fn counts_in(state: &State) -> Option<String> {
    let attempt = state.rollout()?.status.as_ref()?.attempt.as_ref()?;
    let left = attempt.step_counts_from.as_ref()?.0.duration_since(Timestamp::now());
    left.is_positive().then(|| format!("the weight counts in {} ms", left.as_millis()))
}
