//! Where a container's log comes from: the API server, or a script in tests.

use std::{pin::Pin, time::Duration};

use futures::{AsyncBufRead, FutureExt as _, future::BoxFuture};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, api::LogParams};
use tokio::time::timeout;

/// Longest wait for a log to be opened.
const OPEN_WITHIN: Duration = Duration::from_secs(10);
/// Most lines of a former run; the last words stand at its end.
const LAST_LINES: i64 = 5000;

/// A log, line by line with its times.
pub type LogStream = Pin<Box<dyn AsyncBufRead + Send>>;

/// Which log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRequest {
    /// Namespace.
    pub namespace: String,
    /// Pod.
    pub pod: String,
    /// Container.
    pub container: String,
    /// The run before the current one, to its end, instead of the current one as it goes on.
    pub previous: bool,
    /// Only lines from then on, to the second.
    pub since: Option<Timestamp>,
}

/// Why there is no log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogProblem {
    /// The pod does not exist any more.
    #[error("the pod is gone")]
    Gone,
    /// Anything that may pass, such as a container that has not started.
    #[error("the log cannot be read now: {0}")]
    Later(String),
}

/// Opens logs.
pub trait LogSource: Send + Sync {
    /// Opens one; each line starts with its time in RFC 3339 and a space.
    fn open(&self, request: LogRequest) -> BoxFuture<'static, Result<LogStream, LogProblem>>;
}

impl LogSource for Client {
    fn open(&self, request: LogRequest) -> BoxFuture<'static, Result<LogStream, LogProblem>> {
        let pods: Api<Pod> = Api::namespaced(self.clone(), &request.namespace);
        async move {
            let params = params(&request);
            match timeout(OPEN_WITHIN, pods.log_stream(&request.pod, &params)).await {
                Ok(Ok(stream)) => Ok(Box::pin(stream) as LogStream),
                Ok(Err(kube::Error::Api(status))) if status.code == 404 => Err(LogProblem::Gone),
                Ok(Err(why)) => Err(LogProblem::Later(why.to_string())),
                Err(_) => Err(LogProblem::Later(format!("no answer within {} s", OPEN_WITHIN.as_secs()))),
            }
        }
        .boxed()
    }
}

fn params(request: &LogRequest) -> LogParams {
    // The API takes whole seconds, and kube rounds to the nearest: up, the lines in between would be lost.
    let whole = |at: Timestamp| Timestamp::from_second(at.as_second()).unwrap_or(at);
    LogParams {
        container: Some(request.container.clone()),
        follow: !request.previous,
        previous: request.previous,
        since_time: request.since.map(whole),
        tail_lines: request.previous.then_some(LAST_LINES),
        timestamps: true,
        ..LogParams::default()
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Request;

    use super::*;

    #[test]
    fn no_line_is_skipped_late_in_a_second() {
        let request = LogRequest {
            namespace: "n".into(),
            pod: "p".into(),
            container: "c".into(),
            previous: false,
            since: Some("2026-11-23T19:00:05.900Z".parse().unwrap()),
        };
        let sent = Request::new("/pods").logs("p", &params(&request)).unwrap();
        let uri = sent.uri().to_string();
        assert!(uri.contains("sinceTime=2026-11-23T19%3A00%3A05Z"), "{uri}");
    }
}
