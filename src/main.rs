//! The operator's binary: parse arguments, start, stop.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use freethread_rollout::operator::{Args, run};
use kube::CustomResourceExt;

/// Moves Python workloads to free-threaded CPython on Kubernetes, and back when it must.
#[derive(Parser)]
#[command(name = "freethread-rollout", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the operator.
    Run(Box<Args>),
    /// Print the custom resource definition.
    Crd,
}

#[tokio::main]
async fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run(args) => match run(*args).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                tracing::error!(%error, "ended");
                eprintln!("freethread-rollout: {error}");
                ExitCode::FAILURE
            }
        },
        Command::Crd => match serde_yaml::to_string(&freethread_rollout::api::FreeThreadRollout::crd()) {
            Ok(yaml) => {
                print!("{yaml}");
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("freethread-rollout: {error}");
                ExitCode::FAILURE
            }
        },
    }
}
