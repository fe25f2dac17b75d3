//! Traffic by weights in a route of our own: the writes, by server-side apply of the whole. What is written is worked out by `managed`, without
//! a client.

use kube::{
    Api, Client,
    api::{Patch, PatchParams},
    core::DynamicObject,
};
use serde_json::Value;

use super::{
    LOWER_TRIES, Plan, RouteError, bounded, http_route, is_gone,
    managed::{is_ours, written},
    weighted::{plain, resource},
};
use crate::{
    api::{ANNOTATION_ROLLBACK, MANAGER_ROUTE},
    decide::Target,
};

/// The router by a route of our own for one rollout.
pub struct ManagedRouter {
    api: Api<DynamicObject>,
    what: String,
    plan: Plan,
    /// The route as it was observed; `None` where there is none of ours.
    seen: Option<Value>,
}

/// What an apply must find.
enum Over<'a> {
    /// Nothing, or nothing that says otherwise.
    Nothing,
    /// This route, whatever became of it.
    Whatever(&'a Value),
    /// This route, as it was seen.
    Unchanged(&'a Value),
}

impl ManagedRouter {
    /// A router for the route of `plan` in `namespace`.
    pub fn new(client: Client, namespace: &str, plan: Plan, seen: Option<Value>) -> Self {
        let dialect = &http_route::DIALECT;
        let api = Api::namespaced_with(client, namespace, &resource(dialect));
        Self { api, what: format!("{} {}", dialect.kind, plan.rollout), plan, seen }
    }

    /// Unconditional: over whatever somebody made of the route meanwhile.
    pub(super) async fn lower(&self, target: &Target) -> Result<(), RouteError> {
        let note = target.note.as_ref().and_then(|note| serde_json::to_string(note).ok());
        let mut route = self.seen.clone();
        let mut tries = 0;
        loop {
            tries += 1;
            let seen = route.is_some();
            // What was observed may be old: whether there is anything to take back, the route itself says.
            let now = match route.take() {
                Some(route) => route,
                None => match self.read().await? {
                    Some(route) => route,
                    None => return Ok(()),
                },
            };
            if !is_ours(&now, &self.plan) || written(&now, &self.plan.ours).is_none() {
                if seen {
                    continue;
                }
                return Ok(());
            }
            let weight = Some(target.weight);
            let body =
                self.plan.falling(&now, weight, note.as_deref()).ok_or_else(|| self.unknown(weight))?;
            match self.write(body, &Over::Whatever(&now), weight).await {
                Err(RouteError::Api { source, .. }) if is_gone(&source) => return Ok(()),
                Err(error) if tries < LOWER_TRIES => {
                    tracing::warn!(%error, tries, "lowering the weight: trying again at once");
                }
                done => return done,
            }
        }
    }

    /// Only on top of the route that it was decided on.
    pub(super) async fn raise(&self, target: &Target) -> Result<(), RouteError> {
        let Some(now) = &self.seen else { return Err(RouteError::Gone { what: self.what.clone() }) };
        let body = self.body(now, Some(target.weight), None)?;
        self.write(body, &Over::Unchanged(now), Some(target.weight)).await
    }

    /// Everything of ours goes out of it, and it stays: users come through it.
    pub(super) async fn give_back(&self) -> Result<(), RouteError> {
        let Some(now) = &self.seen else { return Ok(()) };
        let body = self.plan.falling(now, None, None).ok_or_else(|| self.unknown(None))?;
        match self.write(body, &Over::Whatever(now), None).await {
            Err(RouteError::Api { source, .. }) if is_gone(&source) => Ok(()),
            done => done,
        }
    }

    /// Make it what it should be at the weight that it has; where there is none it begins with nothing of ours.
    pub(super) async fn renew(&self) -> Result<(), RouteError> {
        let Some(now) = &self.seen else {
            let body = self.plan.body(None, None, None).ok_or_else(|| self.unknown(None))?;
            return self.write(body, &Over::Nothing, None).await;
        };
        // Where it has several, the least: no more is sent to us by this.
        let weight = written(now, &self.plan.ours).map(|(_, least)| least);
        let note = now.pointer("/metadata/annotations").and_then(|all| all.get(ANNOTATION_ROLLBACK));
        let body = self.body(now, weight, note.and_then(Value::as_str))?;
        self.write(body, &Over::Unchanged(now), weight).await
    }

    fn body(&self, now: &Value, weight: Option<i32>, note: Option<&str>) -> Result<Value, RouteError> {
        self.plan.body(Some(now), weight, note).ok_or_else(|| self.unknown(weight))
    }

    /// Neither the Services nor the route say which is the standard one.
    fn unknown(&self, weight: Option<i32>) -> RouteError {
        let read = "no standard Service".into();
        RouteError::NotApplied { wrote: amount(weight), what: self.what.clone(), read }
    }

    async fn write(&self, mut body: Value, over: &Over<'_>, weight: Option<i32>) -> Result<(), RouteError> {
        let mut params = PatchParams::apply(MANAGER_ROUTE);
        let mut of = |route: &Value, fields: &[&str]| {
            for field in fields {
                body["metadata"][field] = route["metadata"][field].clone();
            }
        };
        match over {
            // Somebody else's route of that name would be taken over by force.
            Over::Nothing => {}
            // The uid makes it an update: it never creates.
            Over::Whatever(route) => of(route, &["uid"]),
            Over::Unchanged(route) => of(route, &["uid", "resourceVersion"]),
        }
        params.force = !matches!(over, Over::Nothing);
        let context = (amount(weight), self.what.clone());
        let patch = Patch::Apply(&body);
        let now = bounded(context, self.api.patch(&self.plan.rollout, &params, &patch)).await?;
        let read = written(&plain(&now), &self.plan.ours);
        if read == weight.map(|weight| (weight, weight)) {
            return Ok(());
        }
        let read = read.map_or("nothing".into(), |(most, least)| format!("{least} to {most} %"));
        Err(RouteError::NotApplied { wrote: amount(weight), what: self.what.clone(), read })
    }

    async fn read(&self) -> Result<Option<Value>, RouteError> {
        let route = bounded((amount(None), self.what.clone()), self.api.get_opt(&self.plan.rollout)).await?;
        Ok(route.map(|route| plain(&route)))
    }
}

/// What is to be written, in words.
fn amount(weight: Option<i32>) -> String {
    format!("{} %", weight.unwrap_or(0))
}
