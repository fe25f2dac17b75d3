//! Start, lead, stop.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use futures::{StreamExt, future};
use kube::runtime::{Controller, controller, watcher};
use tokio::signal::unix::{SignalKind, signal};

use super::{
    Metrics, Place,
    backoff::Backoff,
    evidence::Evidence,
    health::{Health, serve},
    inspections::Inspections,
    place::{client, hand_over},
    reconcile::{Context, failed, reconcile, sweep},
};
use crate::{
    act::Written,
    api::FreeThreadRollout,
    flag::{self, FlagArgs, FlagError, Flags, Pulse, Tls},
    observe::{
        Pokes,
        profiles::{ConfigError, OperatorConfig},
        prometheus::HttpSource,
        start_watches,
    },
};

/// How the operator is started. The Helm chart sets all of it.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// File with the Prometheus profiles.
    #[arg(long, env = "FREETHREAD_CONFIG", default_value = "/etc/freethread-rollout/config.yaml")]
    pub config: PathBuf,
    /// Address of /live, /ready and /metrics.
    #[arg(long, env = "FREETHREAD_HEALTH_ADDRESS", default_value = "0.0.0.0:8080")]
    pub health_address: SocketAddr,
    /// How flags are served.
    #[command(flatten)]
    pub flags: FlagArgs,
    /// Where it is and what it watches.
    #[command(flatten)]
    pub place: Place,
}

/// Why the operator ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The configuration file.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// No way to the API server.
    #[error("no Kubernetes client: {0}")]
    Client(String),
    /// The health endpoint.
    #[error("health endpoint on {address}: {source}")]
    Health {
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A signal handler.
    #[error("signal handler: {0}")]
    Signal(#[source] std::io::Error),
    /// A watch ended, which it never does by itself.
    #[error("a watch ended")]
    WatchEnded,
    /// Flags cannot be served.
    #[error(transparent)]
    Flags(#[from] FlagError),
    /// Leadership was lost; the process ends so that nothing of it outlives the lease.
    #[error("the leader lease was lost")]
    LeaseLost,
}

/// Run until a signal says stop, or something that cannot be mended here happens.
///
/// # Errors
/// See [`RunError`].
pub async fn run(args: Args) -> Result<(), RunError> {
    args.place.enter();
    let config = OperatorConfig::load(&args.config)?;
    let client = client(None).await?;
    let scope = args.place.scope();
    let pokes = Pokes::default();
    let (stores, watches) = start_watches(&client, &scope, &args.place.routers(), &pokes);
    let metrics = Metrics::default();
    let warm = Arc::new(AtomicBool::new(false));
    let health = Health { warm: warm.clone(), stores: stores.clone(), metrics: metrics.clone() };
    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::Signal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Signal)?;
    let election = args.place.election().await?;

    let filled = stores.clone();
    let warm_up = async move {
        filled.ready().await;
        warm.store(true, Ordering::Relaxed);
        future::pending::<()>().await;
    };
    let lead = async {
        stores.ready().await;
        tracing::info!(instance = args.place.instance, "leading");
        let context = Context {
            client: client.clone(),
            stores: stores.clone(),
            evidence: Evidence::new(
                &client,
                HttpSource::new(config.prometheus),
                pokes.clone(),
                metrics.clone(),
            ),
            inspections: Inspections::new(&client, pokes.clone()),
            metrics: metrics.clone(),
            backoff: Backoff::default(),
            written: Written::default(),
            instance: args.place.instance.clone(),
            giving_back: false,
        };
        let context = Arc::new(context);
        let passes =
            Controller::new(scope.api::<FreeThreadRollout>(client.clone()), watcher::Config::default())
                .with_config(controller::Config::default().concurrency(32))
                .reconcile_on(pokes.stream())
                .run(reconcile, failed, context.clone())
                .for_each(|_| future::ready(()));
        tokio::select! {
            () = passes => {}
            () = sweep(&context) => {}
        }
    };
    // Every replica answers, whoever leads; once it knows what to answer.
    let evaluations = stores.flags.clone().unwrap_or_default();
    let pulse = Pulse::default();
    let (rollouts, deployments) = (stores.rollouts.clone(), stores.deployments.clone());
    let flags =
        Flags::new(rollouts, deployments, evaluations, pulse.clone(), metrics.flags.clone(), &args.flags);
    let flags = async {
        match args.flags.address {
            None => future::pending().await,
            Some(address) => {
                stores.ready().await;
                let tls = args.flags.tls.clone().map(Tls::new).transpose()?;
                let listener = flag::bind(address).await?;
                tokio::select! {
                    () = flag::serve(listener, flags, tls) => Ok(()),
                    () = pulse.keep(&client) => Ok(()),
                }
            }
        }
    };
    // When one branch ends, the process does.
    let ended = tokio::select! {
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
        () = warm_up => Ok(()),
        _ = future::select_all(watches.into_iter().map(|w| Box::pin(tokio::spawn(w)))) => Err(RunError::WatchEnded),
        served = serve(args.health_address, health) => {
            served.map_err(|source| RunError::Health { address: args.health_address, source })
        }
        served = flags => served.map_err(RunError::Flags),
        _ = election.with_lease(lead) => Err(RunError::LeaseLost),
    };
    hand_over(&election).await;
    ended
}
