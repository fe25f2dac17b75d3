//! Start, lead, stop.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::{StreamExt, future};
use k8s_controller::LeaderElection;
use kube::{
    Client, Config,
    runtime::{Controller, controller, watcher},
};
use tokio::signal::unix::{SignalKind, signal};

use super::{
    LogFormat, Metrics,
    backoff::Backoff,
    evidence::Evidence,
    health::{Health, serve},
    reconcile::{Context, failed, reconcile},
    telemetry,
};
use crate::{
    api::FreeThreadRollout,
    observe::{
        Pokes, WatchScope,
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
    /// Watch this namespace alone; without it, all of them.
    #[arg(long, env = "FREETHREAD_WATCH_NAMESPACE")]
    pub watch_namespace: Option<String>,
    /// Namespace of the leader lease: the operator's own.
    #[arg(long, env = "POD_NAMESPACE", default_value = "freethread-system")]
    pub namespace: String,
    /// This replica's name, unique among the replicas.
    #[arg(long, env = "POD_NAME", default_value = "freethread-rollout")]
    pub instance: String,
    /// Name of the leader lease.
    #[arg(long, env = "FREETHREAD_LEASE", default_value = "freethread-rollout")]
    pub lease: String,
    /// Address of /live, /ready and /metrics.
    #[arg(long, env = "FREETHREAD_HEALTH_ADDRESS", default_value = "0.0.0.0:8080")]
    pub health_address: SocketAddr,
    /// How log lines look.
    #[arg(long, env = "FREETHREAD_LOG_FORMAT", value_enum, default_value_t)]
    pub log_format: LogFormat,
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
    /// Leadership was lost; the process ends so that nothing of it outlives the lease.
    #[error("the leader lease was lost")]
    LeaseLost,
}

/// Times of the lease: a leader that is cut off has stopped writing before another one may begin, and a killed one is replaced within
/// [`LEASE`] and a retry.
///
/// Both clocks run from the last renewal: the leader's from before that request was sent, the other's from when it saw the lease renewed. The
/// leader looks at its deadline only when it renews, each [`RETRY`], so it ends that much later at worst. Then the controller is dropped,
/// and with it every pass in the middle of a write, however long that write might still have waited: its bound need not fit in here. What
/// is on the wire by then cannot be called back. Should it arrive after all, a rise is refused unless the pool is just as it was when it was
/// decided, and the new leader, who watches the pool, takes back what it does not want; a fall only lowers.
const LEASE: Duration = Duration::from_secs(7);
const RENEW_DEADLINE: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(1500);
const _: () = assert!(
    RENEW_DEADLINE.as_millis() + RETRY.as_millis() < LEASE.as_millis(),
    "a leader that is cut off must have ended before another one begins"
);

/// Run until a signal says stop, or something that cannot be mended here happens.
///
/// # Errors
/// See [`RunError`].
pub async fn run(args: Args) -> Result<(), RunError> {
    telemetry::start(args.log_format);
    // Other crates may bring a second provider; the choice is made here, once.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let config = OperatorConfig::load(&args.config)?;
    let client = client(None).await?;
    let scope = args
        .watch_namespace
        .clone()
        .filter(|n| !n.is_empty())
        .map_or(WatchScope::Cluster, WatchScope::Namespace);
    let pokes = Pokes::default();
    let (stores, watches) = start_watches(&client, &scope, &pokes);
    let metrics = Metrics::default();
    let warm = Arc::new(AtomicBool::new(false));
    let health = Health { warm: warm.clone(), stores: stores.clone(), metrics: metrics.clone() };
    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::Signal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Signal)?;
    // A dead connection must not keep a standby waiting for its answer; watches, which wait for long, have a client of their own.
    let electing = self::client(Some(RETRY)).await?;
    let election = LeaderElection::new(electing, &args.namespace, &args.lease, &args.instance)
        .with_lease_duration(LEASE)
        .with_renew_deadline(RENEW_DEADLINE)
        .with_retry_period(RETRY);

    let filled = stores.clone();
    let warm_up = async move {
        filled.ready().await;
        warm.store(true, Ordering::Relaxed);
        future::pending::<()>().await;
    };
    let lead = async {
        stores.ready().await;
        tracing::info!(instance = args.instance, "leading");
        let context = Context {
            client: client.clone(),
            stores: stores.clone(),
            evidence: Evidence::new(
                &client,
                HttpSource::new(config.prometheus),
                pokes.clone(),
                metrics.clone(),
            ),
            metrics: metrics.clone(),
            backoff: Backoff::default(),
            instance: args.instance.clone(),
        };
        Controller::new(scope.api::<FreeThreadRollout>(client.clone()), watcher::Config::default())
            .with_config(controller::Config::default().concurrency(32))
            .reconcile_on(pokes.stream())
            .run(reconcile, failed, Arc::new(context))
            .for_each(|_| future::ready(()))
            .await;
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
        _ = election.with_lease(lead) => Err(RunError::LeaseLost),
    };
    // Handing the lease over is quicker than letting it run out.
    let _ = tokio::time::timeout(Duration::from_secs(2), election.release()).await;
    ended
}

/// A client; `answers_within` bounds the silence on a connection.
async fn client(answers_within: Option<Duration>) -> Result<Client, RunError> {
    let mut config = Config::infer().await.map_err(|e| RunError::Client(e.to_string()))?;
    config.connect_timeout = Some(Duration::from_secs(3));
    config.read_timeout = answers_within;
    config.write_timeout = Some(Duration::from_secs(5));
    // kube would retry writes for minutes; every write here has its own bound and its own way to be retried.
    config.default_retry = false;
    Client::try_from(config).map_err(|e| RunError::Client(e.to_string()))
}
