//! The operator's installation, with Helm and its own chart, as users have it: the one thing that is not done through the API server.

use std::{process::Command, time::Duration};

use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::{Api, ResourceExt as _, api::ListParams};
use tokio::time::Instant;

use crate::{
    Result,
    cluster::{Cluster, within},
    context,
    play::Play,
    vocabulary::{Install, Operator, Watch},
};

/// Longer than what the scripts allow Helm.
const PATIENCE: Duration = Duration::from_mins(7);

impl Play<'_> {
    /// Installs or uninstalls it until the scenario ends.
    pub(crate) async fn operator(&mut self, operator: &Operator) -> Result<String> {
        let begun = Instant::now();
        self.stage.reinstall = true;
        match operator {
            Operator::Uninstall => {
                self.disturb("uninstall").await;
                self.deleted_from = self.stage.world.now().timeline.len();
                let namespace = self.stage.cluster.operator_namespace.clone();
                run("tests/cluster/uninstall-operator.sh", vec![namespace]).await?;
                let seen = format!("uninstalled in {:.1} s", begun.elapsed().as_secs_f64());
                self.measured.push(seen.clone());
                Ok(seen)
            }
            Operator::Install(Install { watch }) => {
                let here = watch.map(|Watch::Here| self.stage.namespace.clone());
                install(&self.stage.cluster, here.as_deref()).await?;
                Ok(format!("installed in {:.1} s", begun.elapsed().as_secs_f64()))
            }
        }
    }
}

/// Installs the operator for `watch` alone, or for all namespaces, and waits until it is ready.
pub(crate) async fn install(cluster: &Cluster, watch: Option<&str>) -> Result<()> {
    let image = std::env::var("OPERATOR_IMAGE");
    let image = image.unwrap_or_else(|_| "registry.example/freethread-rollout:dev".into());
    let mut arguments = vec![image, cluster.operator_namespace.clone()];
    if let Some(namespace) = watch {
        arguments.extend(["--set".into(), format!("watchNamespace={namespace},rbac.aggregate=false")]);
    }
    run("tests/cluster/install-operator.sh", arguments).await?;
    let bindings: Api<ClusterRoleBinding> = Api::all(cluster.client.clone());
    let chart = ListParams::default().labels("app.kubernetes.io/name=freethread-rollout");
    let bound = within(bindings.list(&chart)).await.map_err(context("cluster role bindings"))?;
    match bound.items.first() {
        Some(binding) if watch.is_some() => {
            Err(format!("the operator of one namespace has {} over the cluster", binding.name_any()).into())
        }
        _ => Ok(()),
    }
}

/// Runs a script of the test cluster; what it said belongs to its failure.
async fn run(script: &'static str, arguments: Vec<String>) -> Result<()> {
    let running = tokio::task::spawn_blocking(move || Command::new(script).args(arguments).output());
    let output = tokio::time::timeout(PATIENCE, running)
        .await
        .map_err(|_| format!("{script} has not ended after {} s", PATIENCE.as_secs()))??
        .map_err(context(script))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Err(format!("{script}: {}: {}", output.status, said.concat().trim()).into())
}
