//! Where the operator is and what it watches: the same for every command that acts, and so are its lease and its clients.

use std::{collections::BTreeSet, time::Duration};

use k8s_controller::LeaderElection;
use kube::{Client, Config};

use super::{LogFormat, RunError, telemetry};
use crate::{api::RouterKind, observe::WatchScope};

/// What every command that acts is told. The Helm chart sets all of it.
#[derive(Debug, Clone, clap::Args)]
pub struct Place {
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
    /// Routers beside podCount that rollouts may name, separated by commas: httpRoute, grpcRoute, virtualService, traefikService, httpProxy.
    /// Each needs the right to list, watch, get and patch its objects.
    #[arg(long, env = "FREETHREAD_ROUTERS", value_delimiter = ',')]
    pub routers: Vec<RouterKind>,
    /// How log lines look.
    #[arg(long, env = "FREETHREAD_LOG_FORMAT", value_enum, default_value_t)]
    pub log_format: LogFormat,
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
/// Time between two tries.
pub(super) const RETRY: Duration = Duration::from_millis(1500);
const _: () = assert!(
    RENEW_DEADLINE.as_millis() + RETRY.as_millis() < LEASE.as_millis(),
    "a leader that is cut off must have ended before another one begins"
);

impl Place {
    /// Start what a process starts once.
    pub(super) fn enter(&self) {
        telemetry::start(self.log_format);
        // Other crates may bring a second provider; the choice is made here, once.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    }

    pub(super) fn scope(&self) -> WatchScope {
        let namespace = self.watch_namespace.clone().filter(|n| !n.is_empty());
        namespace.map_or(WatchScope::Cluster, WatchScope::Namespace)
    }

    /// The routers beside podCount.
    pub(super) fn routers(&self) -> BTreeSet<RouterKind> {
        self.routers.iter().copied().collect()
    }

    /// The one lease, under which alone something is written.
    pub(super) async fn election(&self) -> Result<LeaderElection, RunError> {
        // A dead connection must not keep a standby waiting for its answer; watches, which wait for long, have a client of their own.
        let client = client(Some(RETRY)).await?;
        Ok(LeaderElection::new(client, &self.namespace, &self.lease, &self.instance)
            .with_lease_duration(LEASE)
            .with_renew_deadline(RENEW_DEADLINE)
            .with_retry_period(RETRY))
    }
}

/// Hand the lease over: quicker than letting it run out.
pub(super) async fn hand_over(election: &LeaderElection) {
    let _ = tokio::time::timeout(Duration::from_secs(2), election.release()).await;
}

/// A client; `answers_within` bounds the silence on a connection.
pub(super) async fn client(answers_within: Option<Duration>) -> Result<Client, RunError> {
    let mut config = Config::infer().await.map_err(|e| RunError::Client(e.to_string()))?;
    config.connect_timeout = Some(Duration::from_secs(3));
    config.read_timeout = answers_within;
    config.write_timeout = Some(Duration::from_secs(5));
    // kube would retry writes for minutes; every write here has its own bound and its own way to be retried.
    config.default_retry = false;
    Client::try_from(config).map_err(|e| RunError::Client(e.to_string()))
}
