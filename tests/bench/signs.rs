//! Hard signals as the pods' own logs show them, with the time that the container runtime gave each line: precise to the microsecond, where
//! a container's `finishedAt` is to the second.

use std::time::Duration;

use freethread_rollout::observe::logs::{LogProblem, LogRequest, LogSource as _, LogStream, parse_line};
use futures::AsyncBufReadExt as _;
use jiff::Timestamp;
use kube::Client;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use crate::{Result, stage::NAME};

/// Longest wait for a line after what it led to has been seen.
const PATIENCE: Duration = Duration::from_secs(20);
/// A log that is followed may end with its container before the container's last words: they are looked for afterwards, so long.
const LAST_WORDS: Duration = Duration::from_secs(10);
/// Time between two looks for them.
const LOOK: Duration = Duration::from_millis(200);

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
            let stream = client.open(request.clone()).await.map_err(|e| format!("log of pod {pod}: {e}"))?;
            let client = client.clone();
            logs.spawn(async move {
                match sign(stream).await {
                    None => last_words(&client, &request).await,
                    found => found,
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

/// The first line that is a hard signal, when it was written; nothing at the end of the log.
async fn sign(mut stream: LogStream) -> Option<Timestamp> {
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
}

/// The same from a container that has ended: of the run that was followed, as the former one once another has begun.
async fn last_words(client: &Client, followed: &LogRequest) -> Option<Timestamp> {
    let deadline = Instant::now() + LAST_WORDS;
    while Instant::now() < deadline {
        for previous in [true, false] {
            match client.open(LogRequest { previous, ..followed.clone() }).await {
                Ok(stream) => {
                    // The run after it has nothing to say: a log that goes on is not waited for.
                    if let Ok(Some(at)) = timeout(LOOK, sign(stream)).await {
                        return Some(at);
                    }
                }
                Err(LogProblem::Gone) => return None,
                Err(LogProblem::Later(_)) => {}
            }
        }
        sleep(LOOK).await;
    }
    None
}
