//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use crate::{api::Span, preflight::inventory::InventoryArgs};

/// Look at rollouts to free-threaded Python, and tell them what to do.
#[derive(Debug, Clone, Parser)]
#[command(name = "kubectl-freethread", bin_name = "kubectl freethread", version)]
pub struct Args {
    /// Which cluster and namespace.
    #[command(flatten)]
    pub connection: ConnectionArgs,
    /// What to do.
    #[command(subcommand)]
    pub task: Task,
}

/// Which cluster and namespace: as with kubectl.
#[derive(Debug, Clone, clap::Args)]
pub struct ConnectionArgs {
    /// Namespace of the rollout; the context's own by default
    #[arg(long, short, global = true)]
    pub namespace: Option<String>,
    /// Context of the kubeconfig
    #[arg(long, global = true)]
    pub context: Option<String>,
    /// The kubeconfig file; $KUBECONFIG or ~/.kube/config by default
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Longest time that a single request may take
    #[arg(long, global = true, value_name = "DURATION", default_value_t = Span::from_secs(10))]
    pub request_timeout: Span,
}

/// What to do.
#[derive(Debug, Clone, Subcommand)]
pub enum Task {
    /// Something in the cluster.
    #[command(flatten)]
    Cluster(ClusterTask),
    /// Say from lock files which dependencies have wheels for the free-threaded image; no cluster is needed
    Inventory(Box<InventoryArgs>),
}

/// What to do in the cluster.
#[derive(Debug, Clone, Subcommand)]
pub enum ClusterTask {
    /// Write a first rollout for a Deployment as it runs today, with comments, to the standard output
    Init(InitArgs),
    /// Show pools, pods, steps, the comparison with its numbers, and what happens next
    Status(StatusArgs),
    /// Approve a step that waits for approval, consent to an overshoot, or skip the rest of a hold; never instead of evidence
    Promote(Target),
    /// Give all traffic back to the standard pool, now
    Abort(Target),
    /// Keep the weight where it is until resumed; a rollback happens all the same
    Pause(Target),
    /// Go on after a pause
    Resume(Target),
    /// Start a new attempt after a rollback, or after something changed
    Retry(Target),
    /// Show what the pods that traffic was taken from said last
    Logs(Target),
    /// Write what was known, what happened and what came of it, to be attached to a decision
    Report(ReportArgs),
}

/// Which rollout.
#[derive(Debug, Clone, clap::Args)]
pub struct Target {
    /// The rollout's name
    pub name: String,
}

/// What of a rollout to show, and how.
#[derive(Debug, Clone, clap::Args)]
pub struct StatusArgs {
    /// The rollout's name
    pub name: String,
    /// Stay, and show changes as they come; where the output is no terminal, one line for each
    #[arg(long, short)]
    pub watch: bool,
    /// For people, or for programs
    #[arg(long, short, value_enum, default_value_t, conflicts_with = "watch")]
    pub output: Output,
    /// Colours: where the output is a terminal and `NO_COLOR` is not set, always, or never
    #[arg(long, value_enum, default_value_t)]
    pub color: Colour,
}

/// Of which Deployment.
#[derive(Debug, Clone, clap::Args)]
pub struct InitArgs {
    /// The Deployment: its name, or deploy/NAME
    pub workload: String,
    /// Port of a pod's /metrics; by the annotation prometheus.io/port or the container's first port if nothing is said
    #[arg(long)]
    pub metrics_port: Option<u16>,
    /// Path of a pod's metrics; by the annotation prometheus.io/path, or /metrics
    #[arg(long)]
    pub metrics_path: Option<String>,
}

/// What to report, and where to.
#[derive(Debug, Clone, clap::Args)]
pub struct ReportArgs {
    /// The rollout's name
    pub name: String,
    /// As a page, or for a pull request
    #[arg(long, short, value_enum, default_value_t)]
    pub output: ReportOutput,
    /// Write to this file instead of the standard output; with Markdown the plots are files beside it
    #[arg(long, short, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Dependencies, as `inventory --format json` printed them
    #[arg(long, value_name = "FILE")]
    pub inventory: Option<PathBuf>,
    /// The evidence over time, as `freethread-rollout replay --plot` drew it
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PathBuf>,
}

/// How a report is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum ReportOutput {
    /// Markdown.
    #[default]
    Markdown,
    /// One page that needs nothing else.
    Html,
}

/// How a status is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// A tree, for people.
    #[default]
    Tree,
    /// JSON, for programs.
    Json,
}

/// Whether to use colours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Colour {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}
