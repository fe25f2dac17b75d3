//! What goes wrong between a person and the cluster, and what to do about it.

use std::path::PathBuf;

use crate::api::Span;

/// Why a command could not be done.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// No usable kubeconfig.
    #[error("no usable kubeconfig: {0}\nSet KUBECONFIG, or pass --kubeconfig and --context.")]
    Kubeconfig(String),
    /// No answer in time.
    #[error(
        "{doing}: no answer from the API server within {after}\nIs it reachable? `kubectl cluster-info` tells; --request-timeout waits longer."
    )]
    Timeout {
        /// What was asked.
        doing: &'static str,
        /// For how long.
        after: Span,
    },
    /// No such Deployment.
    #[error(
        "there is no Deployment {name} in namespace {namespace}\nWrite deploy/NAME; -n chooses a namespace. Only Deployments can be rolled out so far."
    )]
    NoDeployment {
        /// The name asked for.
        name: String,
        /// Where it was looked for.
        namespace: String,
    },
    /// A file that cannot be read, written or understood.
    #[error("{}: {problem}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What is wrong, and what it should be.
        problem: String,
    },
    /// No way to the API server, or no sensible answer.
    #[error(
        "{doing}: {why}\nIs the API server reachable, and is the kubeconfig the right one? `kubectl cluster-info` tells."
    )]
    Unreachable {
        /// What was asked.
        doing: &'static str,
        /// Why, with its causes.
        why: String,
    },
    /// The cluster does not know the resource.
    #[error(
        "this cluster does not know FreeThreadRollouts\nInstall the operator's chart first, or choose another cluster with --context."
    )]
    NotInstalled,
    /// No such rollout.
    #[error(
        "there is no FreeThreadRollout {name} in namespace {namespace}\n`kubectl get ftr --all-namespaces` lists all; -n chooses a namespace."
    )]
    NotFound {
        /// The name asked for.
        name: String,
        /// Where it was looked for.
        namespace: String,
    },
    /// Not allowed.
    #[error(
        "{doing}: not allowed: {message}\nThe role edit of the namespace allows it where the chart was installed with rbac.aggregate=true."
    )]
    Forbidden {
        /// What was asked.
        doing: &'static str,
        /// What the API server said.
        message: String,
    },
    /// Another answer of the API server.
    #[error("{doing}: {source}")]
    Api {
        /// What was asked.
        doing: &'static str,
        /// The answer.
        #[source]
        source: Box<kube::core::Status>,
    },
    /// The watch broke before the answer came.
    #[error(
        "the command was given, but watching for the answer failed: {0}\n`kubectl freethread status` shows the answer."
    )]
    Watch(String),
    /// The operator does not answer.
    #[error(
        "the operator has not answered {given} within {after}\nThe command stands, and is obeyed when the operator is back. Is it running?\n  kubectl get pods --all-namespaces -l app.kubernetes.io/name=freethread-rollout"
    )]
    Unanswered {
        /// The command as it was given.
        given: String,
        /// For how long it was waited.
        after: Span,
    },
    /// Somebody else gave another command meanwhile.
    #[error("{given} was replaced by another command, {by}, before the operator answered it")]
    Replaced {
        /// The command as it was given.
        given: String,
        /// What stands there now.
        by: String,
    },
    /// The rollout went away.
    #[error("the rollout {0} was deleted meanwhile")]
    Gone(String),
    /// Writing failed.
    #[error("cannot write the output: {0}")]
    Output(#[from] std::io::Error),
    /// JSON failed.
    #[error("cannot write JSON: {0}")]
    Json(#[from] serde_json::Error),
}
