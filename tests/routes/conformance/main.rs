//! One table: what a router promises × the routers, on a real API server.
//!
//! Every promise is one function, played on each router in a namespace of its own. It needs a cluster with the CRDs of the routers and no
//! operator; `make conformance` brings one. What came out is the table of the README: it fails where that says something else, `--write` renews it.
//! What really flows is another matter: the scenarios `route-*` count requests behind a gateway.

mod ground;
mod promises;
mod table;

use std::{error::Error, path::PathBuf, process::ExitCode};

use clap::Parser;
use freethread_rollout::api::RouterKind;
use ground::Ground;
use kube::{Client, Config};

pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Plays every promise on every router.
#[derive(Debug, Parser)]
struct Args {
    /// Only these routers.
    routers: Vec<RouterKind>,
    /// Write the table into the README.
    #[arg(long)]
    write: bool,
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
    let all = if args.routers.is_empty() { RouterKind::ALL.to_vec() } else { args.routers };
    let (mut rows, mut kept) = (Vec::new(), true);
    for router in &all {
        let mut passed = 0;
        for (name, promise) in promises::ALL {
            let ground = Ground::open(&client, *router).await?;
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
    if all.len() < RouterKind::ALL.len() {
        return Ok(kept);
    }
    Ok(kept & table::check(&args.readme, &rows, args.write)?)
}
