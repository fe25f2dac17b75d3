//! The kubectl plugin: `kubectl freethread`.

use std::process::ExitCode;

use clap::Parser;
use freethread_rollout::{cli, preflight::inventory};

#[tokio::main]
async fn main() -> ExitCode {
    // Other crates may bring a second provider; the choice is made here, once.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let cli::Args { connection, task } = cli::Args::parse();
    let done = match task {
        cli::Task::Cluster(task) => cli::run(&connection, task).await,
        cli::Task::Inventory(args) => return inventory::main(&args, "error").await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
