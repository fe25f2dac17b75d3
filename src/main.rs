//! The operator's binary: parse arguments, start, stop; or judge a file and end.

use std::{fmt::Display, process::ExitCode};

use clap::{Parser, Subcommand};
use freethread_rollout::{
    operator::{Args, GiveBackArgs, give_back, run},
    preflight::inventory::{self, InventoryArgs},
    replay::{self, ReplayArgs},
};
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
    /// Before the operator is uninstalled: stop it, give all traffic back, remove the pools, take the finalizer off the rollouts.
    GiveBack(Box<GiveBackArgs>),
    /// Judge counts from a file or a Prometheus as the operator would have: no cluster is needed.
    Replay(Box<ReplayArgs>),
    /// Say from lock files which dependencies have wheels for the free-threaded image: no cluster is needed.
    Inventory(Box<InventoryArgs>),
    /// Print the custom resource definition.
    Crd,
}

/// As clap ends for arguments that it does not understand.
const BAD_INPUT: u8 = 2;

#[tokio::main]
async fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run(args) => ended(run(*args).await),
        Command::GiveBack(args) => ended(give_back(*args).await),
        Command::Replay(args) => match replay::run(&args).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("freethread-rollout: {error}");
                ExitCode::from(BAD_INPUT)
            }
        },
        Command::Inventory(args) => inventory::main(&args, "freethread-rollout").await,
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

fn ended<E: Display>(result: Result<(), E>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "ended");
            eprintln!("freethread-rollout: {error}");
            ExitCode::FAILURE
        }
    }
}
