//! A rollout that is in Git: what a GitOps tool applies is the team's, the finalizer, the status and people's commands are not, and neither
//! takes from the other. Played with every example, whether an operator is there too or not.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use freethread_rollout::{
    act::{Actor, Written, act, claim},
    api::{
        ANNOTATION_COMMAND, FINALIZER, FreeThreadRollout, FreeThreadRolloutStatus, MANAGER_COMMAND,
        MANAGER_POOL, MANAGER_STATUS,
    },
    decide::{Input, decide},
    observe::{RouteStores, Stores, observe},
};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams},
    runtime::{reflector, watcher},
};
use serde_json::{Value, json};

use crate::{Result, findings::clear, tool::Tool};

const SPEC: &str = "/f:spec";
const STATUS: &str = "/f:status";
const FINALIZERS: &str = "/f:metadata/f:finalizers";
const COMMAND: &str = "/f:metadata/f:annotations/f:freethreading.dev~1command";

/// Plays it with every tool and every example. Returns whether all is as it should be.
pub(crate) async fn check(client: &Client, tool: &Tool) -> Result<bool> {
    let mut kept = true;
    let examples = examples()?;
    for (how, applier, at_rest) in [
        ("flux", "kustomize-controller", "unchanged"),
        ("argocd", "argocd-controller", "Synced"),
        ("argocd-server-side", "argocd-controller", "Synced"),
    ] {
        let field = Field::open(client, tool, how, applier).await?;
        let mut passed = 0;
        for git in &examples {
            let name = git["metadata"]["name"].as_str().unwrap_or_default();
            match Box::pin(field.play(name, git, at_rest)).await {
                Ok(()) => passed += 1,
                Err(error) => {
                    kept = false;
                    println!("{how}: FAIL {name}: {error}");
                }
            }
        }
        field.close().await?;
        println!("{how}: {passed} of {} rollouts left to each other", examples.len());
    }
    Ok(kept)
}

fn examples() -> Result<Vec<Value>> {
    let files: std::io::Result<Vec<PathBuf>> =
        std::fs::read_dir("examples")?.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut files = files?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    files.iter().map(|file| Ok(serde_yaml::from_str(&std::fs::read_to_string(file)?)?)).collect()
}

/// A namespace in which one tool applies.
struct Field<'a> {
    client: &'a Client,
    tool: &'a Tool,
    how: &'a str,
    /// The tool's field manager.
    applier: &'a str,
    namespace: String,
    api: Api<FreeThreadRollout>,
}

impl<'a> Field<'a> {
    async fn open(client: &'a Client, tool: &'a Tool, how: &'a str, applier: &'a str) -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let namespace = format!("conformance-{how}-{}-{number}", std::process::id());
        let new: Namespace = serde_json::from_value(json!({"metadata": {"name": namespace}}))?;
        Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &new).await?;
        let api = Api::namespaced(client.clone(), &namespace);
        Ok(Self { client, tool, how, applier, namespace, api })
    }

    /// Where no operator is, nobody else takes the finalizers off.
    async fn close(self) -> Result<()> {
        for rollout in self.api.list(&<_>::default()).await? {
            self.api.delete(&rollout.name_any(), &DeleteParams::default()).await?;
            let none = Patch::Merge(json!({"metadata": {"finalizers": null}}));
            // An operator may have been faster.
            let _ = self.api.patch_metadata(&rollout.name_any(), &PatchParams::default(), &none).await;
        }
        Api::<Namespace>::all(self.client.clone()).delete(&self.namespace, &DeleteParams::default()).await?;
        Ok(())
    }

    async fn play(&self, name: &str, git: &Value, at_rest: &str) -> Result<()> {
        let mut git = git.clone();
        git["metadata"]["namespace"] = json!(self.namespace);
        self.tool.sync(self.how, &git, None)?;
        Box::pin(self.looked_at(name)).await?;
        self.commanded(name, MANAGER_COMMAND).await?;
        // The second time too: a tool may take over at the first what it takes away at the next.
        for _ in 0..2 {
            let said = self.tool.sync(self.how, &git, None)?;
            demand(said == at_rest, format!("it says {said}, with nothing new in Git"))?;
        }
        let rollout = self.api.get(name).await?;
        demand(rollout.finalizers().iter().any(|all| all == FINALIZER), "the finalizer is gone")?;
        demand(is_looked_at(&rollout), "the status is gone")?;
        demand(rollout.annotations().contains_key(ANNOTATION_COMMAND), "the command is gone")?;
        for (part, owner) in [
            (SPEC, self.applier),
            (STATUS, MANAGER_STATUS),
            (FINALIZERS, MANAGER_POOL),
            (COMMAND, MANAGER_COMMAND),
        ] {
            let owners = owners(&rollout, part);
            demand(owners == [owner], format!("{part} belongs to {owners:?}, and not to {owner} alone"))?;
        }
        if self.how == "flux" {
            self.commanded(name, "kubectl-something").await?;
            self.tool.sync(self.how, &git, None)?;
            let taken = !self.api.get(name).await?.annotations().contains_key(ANNOTATION_COMMAND);
            demand(taken, "what kubectl wrote stays: the command's manager may be called so too")?;
        }
        Ok(())
    }

    /// One pass of the operator, or several: another operator may be at it too.
    async fn looked_at(&self, name: &str) -> Result<()> {
        let mut last = None;
        for _ in 0..50 {
            let rollout = self.api.get(name).await?;
            if is_looked_at(&rollout) && rollout.finalizers().iter().any(|all| all == FINALIZER) {
                return Ok(());
            }
            last = self.pass(&rollout).await.err();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err(last.unwrap_or_else(|| "the status does not come".into()))
    }

    async fn pass(&self, rollout: &FreeThreadRollout) -> Result<()> {
        if claim(self.client, rollout).await? {
            return Ok(());
        }
        let status = rollout.status.clone().unwrap_or_default();
        let scene = observe(rollout, &alone(rollout), <_>::default(), 1000);
        let decision = decide(&Input {
            name: &rollout.name_any(),
            spec: &rollout.spec,
            generation: rollout.metadata.generation.unwrap_or_default(),
            deleting: false,
            giving_back: false,
            command: None,
            status: &status,
            observation: &scene.observation,
            finding: &clear(),
            now: Timestamp::now(),
        });
        let actor = Actor { client: self.client, instance: "conformance", written: &Written::default() };
        act(actor, rollout, &scene, &decision).await?;
        Ok(())
    }

    /// A person gives a command, as the plugin writes it.
    async fn commanded(&self, name: &str, manager: &str) -> Result<()> {
        let given = format!("pause@{}", Timestamp::now());
        let patch = Patch::Merge(json!({"metadata": {"annotations": {ANNOTATION_COMMAND: given}}}));
        let params = PatchParams { field_manager: Some(manager.into()), ..PatchParams::default() };
        self.api.patch_metadata(name, &params, &patch).await?;
        Ok(())
    }
}

fn demand(holds: bool, what: impl Into<String>) -> Result<()> {
    if holds { Ok(()) } else { Err(what.into().into()) }
}

fn is_looked_at(rollout: &FreeThreadRollout) -> bool {
    let of =
        |status: &FreeThreadRolloutStatus| Some(status.observed_generation) == rollout.metadata.generation;
    rollout.status.as_ref().is_some_and(of)
}

/// The field managers of a part of the rollout, by what managed fields call it.
fn owners(rollout: &FreeThreadRollout, part: &str) -> Vec<String> {
    let of = rollout
        .managed_fields()
        .iter()
        .filter(|entry| entry.fields_v1.as_ref().is_some_and(|fields| fields.0.pointer(part).is_some()));
    of.filter_map(|entry| entry.manager.clone()).collect()
}

/// A namespace in which there is nothing but the rollout.
fn alone(rollout: &FreeThreadRollout) -> Stores {
    Stores {
        rollouts: store(Some(rollout.clone())),
        deployments: store(None),
        pods: store(None),
        services: store(None),
        autoscalers: store(None),
        jobs: store(None),
        routes: RouteStores::default(),
        flags: None,
    }
}

fn store<K>(object: Option<K>) -> reflector::Store<K>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    let (store, mut writer) = reflector::store();
    if let Some(object) = object {
        writer.apply_watcher_event(&watcher::Event::Apply(object));
    }
    store
}
