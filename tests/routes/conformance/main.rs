//! One table: what a router promises × the routers, on a real API server.
//!
//! Every promise is one function, played on each router in a namespace of its own. It needs a cluster with the CRDs of the routers; `make
//! conformance` brings one. The routes have no rollout, so an operator has nothing to do with them. What came out is the table of the README: it fails where that says something else, `--write` renews it.
//! Beside it stands what GitOps tools and the operator leave to each other of a rollout ([`rollouts`]).
//! What really flows is another matter: the scenarios `route-*` count requests behind a gateway.

#[path = "../../laws/findings.rs"]
#[allow(dead_code, reason = "other tests need the rest")]
mod findings;
mod ground;
mod promises;
mod rollouts;
mod table;
mod tool;

use std::{error::Error, path::PathBuf, process::ExitCode};

use clap::Parser;
use ground::{Ground, Subject};
use kube::{Client, Config};
use tool::Tool;

pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Plays every promise on every router.
#[derive(Debug, Parser)]
struct Args {
    /// Only these routers; `managed` is the `httpRoute` of the operator's own.
    routers: Vec<Subject>,
    /// Write the table into the README.
    #[arg(long)]
    write: bool,
    /// The program that applies as GitOps tools do: tests/gitops/sync.
    #[arg(long)]
    sync: PathBuf,
    /// Where the table is.
    #[arg(long, default_value = "README.md")]
    readme: PathBuf,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("conformance: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<bool> {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.install_default().map_err(|_| "a TLS provider is installed already")?;
    let client = Client::try_from(Config::infer().await?)?;
    let tool = Tool::new(args.sync);
    let every = || Subject::all().collect();
    let all: Vec<Subject> = if args.routers.is_empty() { every() } else { args.routers };
    let (mut rows, mut kept) = (Vec::new(), true);
    for router in &all {
        let mut passed = 0;
        for (name, promise) in promises::ALL {
            let ground = Ground::open(&client, *router, &tool).await?;
            let outcome = promise(&ground).await;
            ground.close().await?;
            match outcome {
                Ok(()) => passed += 1,
                Err(error) => {
                    kept = false;
                    println!("{router}: FAIL {name}: {error}");
                }
            }
        }
        println!("{router}: {passed} of {} promises kept", promises::ALL.len());
        rows.push((*router, passed));
    }
    if all.len() < Subject::all().count() {
        return Ok(kept);
    }
    kept &= rollouts::check(&client, &tool).await?;
    Ok(kept & table::check(&args.readme, &rows, args.write)?)
}
