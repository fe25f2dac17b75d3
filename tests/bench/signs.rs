//! Hard signals as the pods' own logs show them, with the time that the container runtime gave each line: precise to the microsecond, where
//! a container's `finishedAt` is to the second.

use std::time::Duration;

use freethread_rollout::observe::logs::{LogRequest, LogSource as _, parse_line};
use futures::AsyncBufReadExt as _;
use jiff::Timestamp;
use kube::Client;
use tokio::{task::JoinSet, time::timeout};

use crate::{Result, stage::NAME};

/// Longest wait for a line after what it led to has been seen.
const PATIENCE: Duration = Duration::from_secs(20);

/// The logs of some pods, followed from now on.
pub(super) struct Signs(JoinSet<Option<Timestamp>>);

impl Signs {
    /// Opens the logs. They are open when this returns: no line is missed.
    pub(super) async fn follow(client: &Client, namespace: &str, pods: &[String]) -> Result<Self> {
        let mut logs = JoinSet::new();
        let now = Timestamp::now();
        for pod in pods {
            let request = LogRequest {
                namespace: namespace.to_owned(),
                pod: pod.clone(),
                container: NAME.to_owned(),
                previous: false,
                since: Some(now),
            };
            let stream = client.open(request).await.map_err(|e| format!("log of pod {pod}: {e}"))?;
            logs.spawn(async move {
                let mut stream = stream;
                let mut line = String::new();
                loop {
                    line.clear();
                    if !matches!(stream.read_line(&mut line).await, Ok(read) if read > 0) {
                        return None;
                    }
                    let Some((at, text)) = line.trim_end().split_once(' ') else { continue };
                    if parse_line(text).is_some() {
                        return at.parse().ok();
                    }
                }
            });
        }
        Ok(Self(logs))
    }

    /// The first sign of all pods. The logs end with their containers, so that this ends as well.
    pub(super) async fn first(mut self) -> Result<Timestamp> {
        let mut first: Option<Timestamp> = None;
        while let Ok(Some(ended)) = timeout(PATIENCE, self.0.join_next()).await {
            if let Ok(Some(at)) = ended {
                first = Some(first.map_or(at, |known| known.min(at)));
            }
        }
        first.ok_or_else(|| "no log showed a hard signal".into())
    }
}
