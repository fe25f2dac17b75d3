//! Traffic by weights in an object of the team's own: the writes. What is written is worked out by `edit`, without a client.

use json_patch::{Patch, PatchOperation, TestOperation, jsonptr::PointerBuf};
use kube::{
    Api, Client,
    api::PatchParams,
    core::{ApiResource, DynamicObject, GroupVersionKind},
};
use serde_json::Value;

use super::{Dialect, LOWER_TRIES, Names, RouteError, bounded, edit, is_gone, shares};
use crate::{api::MANAGER_ROUTE, decide::Target};

/// The router by weights for one rollout.
pub struct Weighted {
    api: Api<DynamicObject>,
    dialect: &'static Dialect,
    what: String,
    name: String,
    backends: Backends,
    /// The object as it was observed; `None` where there is none.
    seen: Option<Value>,
}

/// Names of the rollout and the two Services.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Backends {
    /// The rollout.
    pub rollout: String,
    /// The standard pool's Service; empty where it is not known.
    pub standard: String,
    /// Ours.
    pub ours: String,
}

impl Backends {
    /// As the pure parts take them.
    pub fn names(&self) -> Names<'_> {
        Names { rollout: &self.rollout, standard: &self.standard, ours: &self.ours }
    }
}

/// The resource that a dialect writes.
pub fn resource(dialect: &Dialect) -> ApiResource {
    ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk(dialect.group, dialect.version, dialect.kind),
        dialect.plural,
    )
}

impl Weighted {
    /// A router for the object called `name` in `namespace`.
    pub fn new(
        client: Client,
        dialect: &'static Dialect,
        (namespace, name): (&str, &str),
        backends: Backends,
        seen: Option<Value>,
    ) -> Self {
        let api = Api::namespaced_with(client, namespace, &resource(dialect));
        Self { api, dialect, what: format!("{} {name}", dialect.kind), name: name.to_owned(), backends, seen }
    }

    /// Unconditional: where the object is no longer the one that was observed it is read again, and tried at once.
    pub(super) async fn lower(&self, target: &Target) -> Result<(), RouteError> {
        let note = target.note.as_ref().and_then(|note| serde_json::to_string(note).ok());
        let mut object = self.seen.clone();
        let mut tries = 0;
        loop {
            tries += 1;
            let seen = object.is_some();
            let now = match object.take() {
                Some(object) => object,
                None => match self.read().await? {
                    Some(object) => object,
                    // No object (any more): nothing that could send anything.
                    None => return Ok(()),
                },
            };
            let patch = edit::set(self.dialect, &now, self.backends.names(), target.weight, note.as_deref());
            if changes_nothing(&patch) {
                // What was observed may be old: whether nothing is to be done, the object itself says.
                if seen {
                    continue;
                }
                return self.is_at_most(&now, target.weight);
            }
            match self.write(patch, target.weight).await {
                Err(RouteError::Api { source, .. }) if is_gone(&source) => return Ok(()),
                Err(error) if tries < LOWER_TRIES => {
                    tracing::warn!(%error, tries, "lowering the weight: trying again at once");
                }
                done => return done,
            }
        }
    }

    /// Only on top of the state that it was decided on.
    pub(super) async fn raise(&self, target: &Target) -> Result<(), RouteError> {
        let Some(object) = &self.seen else { return Err(RouteError::Gone { what: self.what.clone() }) };
        let mut patch = edit::set(self.dialect, object, self.backends.names(), target.weight, None);
        patch.0.insert(0, unchanged(object));
        self.write(patch, target.weight).await
    }

    /// Everything of ours goes out of the object.
    pub(super) async fn give_back(&self) -> Result<(), RouteError> {
        let Some(object) = &self.seen else { return Ok(()) };
        let patch = edit::give_back(self.dialect, object, self.backends.names());
        match self.patch(patch, 0).await {
            Err(RouteError::Api { source, .. }) if is_gone(&source) => Ok(()),
            done => done.map(|_| ()),
        }
    }

    /// A weight that could not be lowered is not lowered.
    fn is_at_most(&self, object: &Value, weight: i32) -> Result<(), RouteError> {
        match shares::read(self.dialect, object, self.backends.names()).written() {
            Some((most, least)) if most > weight => {
                Err(self.not_applied(weight, &format!("{least} to {most} %")))
            }
            _ => Ok(()),
        }
    }

    fn not_applied(&self, weight: i32, read: &str) -> RouteError {
        let (wrote, what) = self.context(weight);
        RouteError::NotApplied { wrote, what, read: read.to_owned() }
    }

    async fn write(&self, patch: Patch, weight: i32) -> Result<(), RouteError> {
        let Some(written) = self.patch(patch, weight).await? else { return Ok(()) };
        let read = shares::read(self.dialect, &written, self.backends.names()).written();
        match read {
            Some((most, least)) if (most, least) == (weight, weight) => Ok(()),
            None if weight == 0 => Ok(()),
            read => {
                let read = read.map_or("nothing".into(), |(most, least)| format!("{least} to {most} %"));
                Err(self.not_applied(weight, &read))
            }
        }
    }

    /// The object as it is afterwards; `None` where nothing had to be changed.
    async fn patch(&self, patch: Patch, weight: i32) -> Result<Option<Value>, RouteError> {
        if changes_nothing(&patch) {
            return Ok(None);
        }
        let params = PatchParams { field_manager: Some(MANAGER_ROUTE.into()), ..PatchParams::default() };
        let patch = kube::api::Patch::Json::<()>(patch);
        let written = bounded(self.context(weight), self.api.patch(&self.name, &params, &patch)).await?;
        Ok(Some(plain(&written)))
    }

    async fn read(&self) -> Result<Option<Value>, RouteError> {
        let object = bounded(self.context(0), self.api.get_opt(&self.name)).await?;
        Ok(object.map(|object| plain(&object)))
    }

    /// What is to be written, and to what.
    fn context(&self, weight: i32) -> (String, String) {
        (format!("{weight} %"), self.what.clone())
    }
}

/// The object as JSON, the way the pure parts read it.
pub fn plain(object: &DynamicObject) -> Value {
    serde_json::to_value(object).unwrap_or_default()
}

fn changes_nothing(patch: &Patch) -> bool {
    patch.0.iter().all(|operation| matches!(operation, PatchOperation::Test(_)))
}

fn unchanged(object: &Value) -> PatchOperation {
    let version = object.pointer("/metadata/resourceVersion").cloned().unwrap_or(Value::Null);
    PatchOperation::Test(TestOperation {
        path: PointerBuf::from_tokens(["metadata", "resourceVersion"]),
        value: version,
    })
}
