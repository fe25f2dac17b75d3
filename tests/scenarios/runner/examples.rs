//! Every file of `examples/`, applied: the API server takes it, the operator understands it, and the API server takes the pool that it
//! makes of it.

use std::{fs, path::Path};

use freethread_rollout::api::{FreeThreadRollout, Mode, Phase, pool_name};
use kube::ResourceExt as _;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    Result, context,
    reading::{yaml, yaml_documents},
    stage::Stage,
    world::State,
};

/// Applies them all and waits until each has its pool, by the deadline.
pub(crate) async fn apply(stage: &Stage, deadline: Instant) -> Result<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir("examples").map_err(context("examples"))? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let example = yaml(&path)?;
        let what = path.display().to_string();
        stage.cluster.apply(&stage.namespace, &workload(&example)?).await.map_err(context(&what))?;
        stage.cluster.apply(&stage.namespace, &example).await.map_err(context(&what))?;
        names.push(example["metadata"]["name"].as_str().unwrap_or_default().to_owned());
    }
    stage
        .world
        .until(deadline, |state| names.iter().try_for_each(|name| built(state, name)).map(|()| String::new()))
        .await?;
    Ok(format!("{} examples applied, each understood", names.len()))
}

/// A Deployment that the example could be about: its name, and a container as the example calls it. With no pods: nothing has to run.
fn workload(example: &Value) -> Result<Value> {
    let service = yaml_documents(Path::new("examples/service/orders.yaml"))?;
    let found = service.into_iter().find(|manifest| manifest["kind"] == "Deployment");
    let mut deployment = found.ok_or("examples/service/orders.yaml has no Deployment")?;
    let (name, pool) = (&example["spec"]["workloadRef"]["name"], &example["spec"]["freeThreaded"]);
    let patched = &pool["patch"]["spec"]["containers"][0]["name"];
    let container = [&pool["container"], patched].into_iter().find(|name| name.is_string());
    deployment["metadata"]["name"] = name.clone();
    deployment["spec"]["replicas"] = json!(0);
    deployment["spec"]["selector"]["matchLabels"] = json!({"app": name});
    deployment["spec"]["template"]["metadata"]["labels"] = json!({"app": name});
    if let Some(container) = container {
        deployment["spec"]["template"]["spec"]["containers"][0]["name"] = container.clone();
    }
    Ok(deployment)
}

fn built(state: &State, name: &str) -> std::result::Result<(), String> {
    let Some(rollout) = state.rollouts.objects.get(name) else { return Err(format!("no rollout {name}")) };
    let status = rollout.status.clone().unwrap_or_default();
    let looked_at = rollout.metadata.generation == Some(status.observed_generation);
    let pool = state.deployments.objects.contains_key(&pool_name(&rollout.name_any()));
    let understood = pool || observes(rollout) || checked(rollout, status.phase);
    if looked_at && status.phase != Phase::Failed && understood {
        Ok(())
    } else {
        Err(format!("example {name} is {:?}: {}", status.phase, status.message))
    }
}

/// Whose pool waits for what the checks of an image say that does not exist.
fn checked(rollout: &FreeThreadRollout, phase: Phase) -> bool {
    rollout.spec.preflight.is_some() && matches!(phase, Phase::Pending | Phase::Preflight)
}

/// Which makes no pool.
fn observes(rollout: &FreeThreadRollout) -> bool {
    rollout.spec.mode == Mode::Observe
}
