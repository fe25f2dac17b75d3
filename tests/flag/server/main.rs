//! The operator's flag server alone, on loopback, with a cache of its own in the place of a cluster's: for the official clients, and for the benchmark.
//!
//! `flags serve` prints its base address and takes weights from standard input, a number a line. `flags bench` asks it as fast as it is told.

mod bench;

use std::{
    error::Error,
    net::SocketAddr,
    path::PathBuf,
    time::{Duration, Instant},
};

use clap::{Args, Parser};
use freethread_rollout::flag::{self, Evaluations, FlagArgs, FlagMetrics, Flags, Pulse, Tls};
use k8s_openapi::api::apps::v1::Deployment;
use kube::runtime::{
    reflector::{self, store::Writer},
    watcher,
};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};

pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Serves a flag called `orders` in a namespace called `shop`.
#[derive(Debug, Parser)]
enum Command {
    /// Serve until standard input ends.
    Serve(Serve),
    /// Ask at a fixed rate over persistent connections and print how long answers took.
    Bench(bench::Bench),
}

#[derive(Debug, Args)]
struct Serve {
    /// Where; port 0 is any that is free.
    #[arg(long, default_value = "127.0.0.1:0")]
    address: SocketAddr,
    /// Folder with `tls.crt` and `tls.key`.
    #[arg(long)]
    tls: Option<PathBuf>,
}

fn main() -> Result<()> {
    // One thread: what is measured is what one core does.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match Command::parse() {
        Command::Serve(serve) => runtime.block_on(serve_lines(serve)),
        Command::Bench(bench) => bench.run(&runtime),
    }
}

/// The server's parts.
pub(crate) struct Served {
    pub(crate) flags: Flags,
    deployments: Writer<Deployment>,
}

impl Served {
    pub(crate) fn new() -> Result<Self> {
        let ((rollouts, mut rollouts_writer), (deployments, writer)) =
            (reflector::store(), reflector::store());
        let rollout = json!({"metadata": {"name": "orders", "namespace": "shop"}, "spec": {"workloadRef": {"name": "orders"},
            "freeThreaded": {"image": "x"}, "traffic": {"flag": {}}, "steps": [{"weight": 10, "hold": "1m"}],
            "analysis": {"preset": "granian", "errorRate": {"max": "1%"}}}});
        rollouts_writer.apply_watcher_event(&watcher::Event::Apply(serde_json::from_value(rollout)?));
        let args = FlagArgs { address: None, limit: u32::MAX, tokens: None, tls: None };
        // There is no API server to hear from.
        let pulse = Pulse::default();
        pulse.heard(Instant::now() + Duration::from_hours(24));
        let flags =
            Flags::new(rollouts, deployments, Evaluations::default(), pulse, FlagMetrics::default(), &args);
        Ok(Self { flags, deployments: writer })
    }

    /// As the watch of a replica brings it.
    pub(crate) fn weight(&mut self, weight: i32) -> Result<()> {
        let pool = json!({"metadata": {"name": "orders-ft", "namespace": "shop",
            "annotations": {"freethreading.dev/flag-weight": weight.to_string()}}});
        self.deployments.apply_watcher_event(&watcher::Event::Apply(serde_json::from_value(pool)?));
        Ok(())
    }
}

async fn serve_lines(Serve { address, tls }: Serve) -> Result<()> {
    let (mut served, listener) = (Served::new()?, flag::bind(address).await?);
    let scheme = if tls.is_some() { "https" } else { "http" };
    let tls = tls.map(Tls::new).transpose()?;
    let address = listener.local_addr()?;
    let task = tokio::spawn(flag::serve(listener, served.flags.clone(), tls));
    println!("{scheme}://{address}/namespaces/shop");
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        served.weight(line.trim().parse()?)?;
        println!("{}", line.trim());
    }
    task.abort();
    Ok(())
}
