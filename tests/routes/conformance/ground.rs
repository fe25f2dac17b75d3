//! A namespace with one router's object, and the ways to it: ours, the team's, and a look.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use freethread_rollout::{
    api::{
        ANNOTATION_FLAG_WEIGHT, ANNOTATION_ROLLBACK, ManagedRoute, ParentRef, Percent, Phase, Reason,
        RouterKind, UnknownRouter,
    },
    decide::{Movement, Target},
    observe::{LivePool, RollbackNote},
    route::{
        Backends, Dialect, FlagRouter, ManagedRouter, Plan, PodCount, RouteError, Router, Weighted,
        managed_weight, read, resource,
    },
};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams},
    core::{ApiResource, GroupVersionKind},
};
use serde_json::{Value, json};

use crate::{Result, tool::Tool};

/// Name of the rollout, the team's object and the standard Service.
const NAME: &str = "orders";

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    /// A router, on an object of the team's where it has one.
    Of(RouterKind),
    /// An `HTTPRoute` of the operator's own.
    Managed,
}

impl Subject {
    /// All of them, in the order of the documents.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        RouterKind::ALL.into_iter().flat_map(|kind| {
            let own = (kind == RouterKind::HttpRoute).then_some(Self::Managed);
            [Self::Of(kind)].into_iter().chain(own)
        })
    }

    pub(crate) fn kind(self) -> RouterKind {
        match self {
            Self::Of(kind) => kind,
            Self::Managed => RouterKind::HttpRoute,
        }
    }
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Of(kind) => kind.fmt(f),
            Self::Managed => f.write_str("managed"),
        }
    }
}

impl std::str::FromStr for Subject {
    type Err = UnknownRouter;
    fn from_str(word: &str) -> std::result::Result<Self, UnknownRouter> {
        if word == "managed" { Ok(Self::Managed) } else { word.parse().map(Self::Of) }
    }
}

pub(crate) struct Ground {
    client: Client,
    subject: Subject,
    pub(crate) router: RouterKind,
    namespace: String,
    pub(crate) api: Api<DynamicObject>,
    name: String,
    /// The team's object as it is in Git.
    pub(crate) git: Value,
    tool: Tool,
}

/// What the object says of us.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) written: Option<i32>,
    pub(crate) least: i32,
    pub(crate) note: Option<String>,
}

impl Ground {
    pub(crate) async fn open(client: &Client, subject: Subject, tool: &Tool) -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let (number, router) = (NUMBER.fetch_add(1, Ordering::Relaxed), subject.kind());
        let namespace =
            format!("conformance-{}-{}-{number}", subject.to_string().to_lowercase(), std::process::id());
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let new: Namespace = serde_json::from_value(json!({"metadata": {"name": namespace}}))?;
        namespaces.create(&PostParams::default(), &new).await?;
        let (kind, name, mut manifest) = if let Some(dialect) = Dialect::of(router) {
            let text = std::fs::read_to_string(format!("tests/routes/{router}.yaml"))?;
            // The objects of the tests are of a namespace called shop.
            let text = text.replace("orders.shop.svc", &format!("orders.{namespace}.svc"));
            (resource(dialect), NAME.to_owned(), serde_yaml::from_str(&text)?)
        } else {
            let labels = json!({"app": "nothing"});
            let template = json!({"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "registry.example/none"}]}});
            let manifest = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "orders-ft"},
                    "spec": {"replicas": 0, "paused": true, "selector": {"matchLabels": labels}, "template": template}});
            (
                ApiResource::from_gvk(&GroupVersionKind::gvk("apps", "v1", "Deployment")),
                "orders-ft".to_owned(),
                manifest,
            )
        };
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &namespace, &kind);
        let mut ground = Self {
            client: client.clone(),
            subject,
            router,
            namespace,
            api,
            name,
            git: Value::Null,
            tool: tool.clone(),
        };
        if subject == Subject::Managed {
            ground.managed_router(None).renew().await?;
            return Ok(ground);
        }
        manifest["metadata"]["namespace"] = json!(ground.namespace);
        let object: DynamicObject = serde_json::from_value(manifest.clone())?;
        ground.git = manifest;
        let params = PostParams { field_manager: Some("team".into()), ..PostParams::default() };
        ground.api.create(&params, &object).await?;
        Ok(ground)
    }

    pub(crate) async fn close(self) -> Result<()> {
        let namespaces: Api<Namespace> = Api::all(self.client);
        namespaces.delete(&self.namespace, &DeleteParams::default()).await?;
        Ok(())
    }

    pub(crate) fn dialect(&self) -> Option<&'static Dialect> {
        Dialect::of(self.router)
    }

    /// Nothing of the object is the team's.
    pub(crate) fn is_ours(&self) -> bool {
        self.subject == Subject::Managed || self.dialect().is_none()
    }

    /// Of an object that GitOps tools know.
    pub(crate) fn in_git(&self) -> Option<&'static Dialect> {
        self.dialect().filter(|_| !self.is_ours())
    }

    /// With everything that can be asked of it.
    fn managed_router(&self, seen: Option<Value>) -> Router {
        let parent = ParentRef { name: "public".into(), ..ParentRef::default() };
        let spec = ManagedRoute {
            parent_refs: vec![parent],
            hostnames: vec!["orders.example".into()],
            paths: vec!["/orders".into(), "/baskets".into()],
            port: None,
            testers: true,
            sticky: true,
        };
        let plan = Plan {
            rollout: NAME.into(),
            spec,
            standard: Some((NAME.into(), 80)),
            ours: "orders-ft".into(),
            weights: (1..=20).map(|step| step * 5).collect(),
        };
        Router::Managed(Box::new(ManagedRouter::new(self.client.clone(), &self.namespace, plan, seen)))
    }

    fn backends() -> Backends {
        Backends { rollout: NAME.into(), standard: NAME.into(), ours: "orders-ft".into() }
    }

    /// The object as JSON.
    pub(crate) async fn object(&self) -> Result<Value> {
        Ok(serde_json::to_value(self.api.get(&self.name).await?)?)
    }

    /// What the team wrote: everything but what the API server and gateways add.
    pub(crate) async fn theirs(&self) -> Result<Value> {
        let object = self.object().await?;
        Ok(
            json!({"spec": object["spec"], "labels": object["metadata"]["labels"], "annotations": object["metadata"]["annotations"]}),
        )
    }

    pub(crate) async fn seen(&self) -> Result<Seen> {
        let object = self.object().await?;
        let note = object["metadata"]["annotations"][ANNOTATION_ROLLBACK].as_str();
        let note = note.and_then(|note| Some(serde_json::from_str::<RollbackNote>(note).ok()?.message));
        let (written, least) = match self.dialect() {
            None if self.router == RouterKind::Flag => {
                let text = object["metadata"]["annotations"][ANNOTATION_FLAG_WEIGHT].as_str();
                let weight = text.and_then(|text| text.parse().ok());
                (weight, weight.unwrap_or(0))
            }
            None => {
                let pods = object["spec"]["replicas"].as_i64().and_then(|pods| i32::try_from(pods).ok());
                (pods, pods.unwrap_or(0))
            }
            Some(dialect) => {
                let shares = match self.subject {
                    Subject::Managed => managed_weight(&object, "orders-ft"),
                    Subject::Of(_) => read(dialect, &object, Self::backends().names()).written(),
                };
                shares.map_or((None, 0), |(most, least)| (Some(most), least))
            }
        };
        Ok(Seen { written, least, note })
    }

    /// The router as a pass has it that saw `object`.
    fn router(&self, object: &Value) -> (Router, LivePool) {
        let text =
            |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let pool = LivePool {
            uid: text("/metadata/uid"),
            resource_version: text("/metadata/resourceVersion"),
            ..LivePool::default()
        };
        let router = match self.dialect() {
            Some(_) if self.subject == Subject::Managed => self.managed_router(Some(object.clone())),
            None if self.router == RouterKind::Flag => {
                Router::Flag(FlagRouter::new(self.client.clone(), &self.namespace, &self.name))
            }
            None => Router::PodCount(PodCount::new(self.client.clone(), &self.namespace, &self.name)),
            Some(dialect) => {
                let at = (self.namespace.as_str(), self.name.as_str());
                let seen = Some(object.clone());
                Router::Weighted(Box::new(Weighted::new(
                    self.client.clone(),
                    dialect,
                    at,
                    Self::backends(),
                    seen,
                )))
            }
        };
        (router, pool)
    }

    /// Raise to `weight` on top of `object`.
    pub(crate) async fn raise_on(&self, object: &Value, weight: i32) -> std::result::Result<(), RouteError> {
        let (router, pool) = self.router(object);
        router.raise(&target(Movement::Rise, weight, None), &pool).await
    }

    /// Raise on the object as it is. A gateway may write its status in between, which is a conflict and tried again, as in the operator.
    pub(crate) async fn raise(&self, weight: i32) -> Result<()> {
        let mut last = None;
        for _ in 0..20 {
            match self.raise_on(&self.object().await?, weight).await {
                Ok(()) => return Ok(()),
                Err(error) => last = Some(error),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err(last.map_or("no try".into(), |error| error.to_string()).into())
    }

    /// Lower to `weight`, with what was seen before.
    pub(crate) async fn lower_on(&self, object: &Value, weight: i32, why: Option<&str>) -> Result<()> {
        let (router, pool) = self.router(object);
        let note = why.map(|why| RollbackNote {
            attempt: 1,
            phase: Phase::RolledBack,
            reason: Reason::ErrorRate,
            message: why.to_owned(),
        });
        Ok(router.lower(&target(Movement::Fall, weight, note), Some(&pool)).await?)
    }

    pub(crate) async fn lower(&self, weight: i32) -> Result<()> {
        self.lower_on(&self.object().await?, weight, None).await
    }

    pub(crate) async fn give_back(&self) -> Result<()> {
        let mut last = None;
        for _ in 0..20 {
            let (router, pool) = self.router(&self.object().await?);
            match router.give_back(Some(&pool)).await {
                Ok(()) => return Ok(()),
                Err(error) => last = Some(error),
            }
        }
        Err(last.map_or("no try".into(), |error| error.to_string()).into())
    }

    /// Somebody merges something into the object.
    pub(crate) async fn edit(&self, manager: &str, set: &Value) -> Result<()> {
        let params = PatchParams { field_manager: Some(manager.into()), ..PatchParams::default() };
        self.api.patch(&self.name, &params, &Patch::Merge(set)).await?;
        Ok(())
    }

    /// A GitOps tool applies the object as it is in Git, but for what it was told to ignore; what it says.
    pub(crate) fn sync(&self, how: &str, git: &Value, ignored: Option<&str>) -> Result<String> {
        self.tool.sync(how, git, ignored)
    }

    pub(crate) async fn delete(&self) -> Result<()> {
        self.api.delete(&self.name, &DeleteParams::default()).await?;
        for _ in 0..100 {
            if self.api.get_opt(&self.name).await?.is_none() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err("the object does not go".into())
    }

    /// The field managers of a part of the object, by what managed fields call it.
    pub(crate) async fn owners(&self, part: &str) -> Result<Vec<String>> {
        let object = self.api.get(&self.name).await?;
        let owners = object.managed_fields().iter();
        let of = owners
            .filter(|entry| entry.fields_v1.as_ref().is_some_and(|fields| fields.0.pointer(part).is_some()));
        Ok(of.filter_map(|entry| entry.manager.clone()).collect())
    }
}

fn target(movement: Movement, weight: i32, note: Option<RollbackNote>) -> Target {
    Target { movement, share: Percent::from_ratio(f64::from(weight) / 100.0), weight, note }
}
