//! The kubectl plugin: `kubectl freethread`.

use std::process::ExitCode;

use clap::Parser;
use freethread_rollout::cli;

#[tokio::main]
async fn main() -> ExitCode {
    // Other crates may bring a second provider; the choice is made here, once.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match cli::run(cli::Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
