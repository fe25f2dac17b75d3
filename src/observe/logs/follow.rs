//! One follower: the log of one container from its start for as long as the pod lives.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use super::{
    Sink,
    lines::parse_line,
    reading::{Throttle, next_line},
    source::{LogProblem, LogRequest, LogSource, LogStream},
};

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A log that says nothing for so long is opened anew: the connection may be dead.
const SILENCE: Duration = Duration::from_mins(15);
/// Longest time for the log of a former run.
const PREVIOUS_WITHIN: Duration = Duration::from_secs(20);

/// Follows one container until its pod is gone. `restarts` says how often it was started again.
pub(super) async fn follow(
    source: Arc<dyn LogSource>,
    request: LogRequest,
    mut restarts: watch::Receiver<i32>,
    sink: Sink,
) {
    let mut seen = Seen::default();
    let mut pause = FIRST_PAUSE;
    let mut read_previous = *restarts.borrow_and_update() > 0;
    loop {
        if read_previous {
            read_previous = false;
            previous(&source, &request, seen.last, &sink).await;
        }
        match source.open(LogRequest { since: seen.last, ..request.clone() }).await {
            Err(LogProblem::Gone) => return,
            Err(LogProblem::Later(why)) => {
                tracing::debug!(pod = %request.pod, %why, "log not read");
            }
            Ok(stream) => {
                tokio::select! {
                    any = read(stream, &mut seen, &sink, &request.pod) => {
                        if any {
                            pause = FIRST_PAUSE;
                        }
                    }
                    restarted = restarts.changed() => {
                        if restarted.is_err() {
                            return;
                        }
                        // The stream ends with its container, and says its last words before: they come through `previous`.
                        read_previous = true;
                        pause = FIRST_PAUSE;
                        continue;
                    }
                }
            }
        }
        tokio::select! {
            () = sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
            restarted = restarts.changed() => {
                if restarted.is_err() {
                    return;
                }
                read_previous = true;
                pause = FIRST_PAUSE;
            }
        }
    }
}

/// The log of the run before, once. `told`: the last line that its pod's tail has.
async fn previous(source: &Arc<dyn LogSource>, request: &LogRequest, told: Option<Timestamp>, sink: &Sink) {
    let request = LogRequest { previous: true, ..request.clone() };
    // All of it: some of its lines may be older than what the current run has already said. What is known already is no new signal.
    let mut seen = Seen { last: None, told };
    let pod = request.pod.clone();
    let whole = async {
        if let Ok(stream) = source.open(request).await {
            read(stream, &mut seen, sink, &pod).await;
        }
    };
    // Without it a signal may be missing; the container's exit code is in the pod's status all the same.
    let _ = timeout(PREVIOUS_WITHIN, whole).await;
}

/// What has been read of a container, so that a log that is opened again is not read twice.
#[derive(Default)]
struct Seen {
    last: Option<Timestamp>,
    /// Lines up to here are in the tail already.
    told: Option<Timestamp>,
}

/// Reads to the end, or until nothing comes for a long time. Says whether there was any line.
async fn read(mut stream: LogStream, seen: &mut Seen, sink: &Sink, pod: &str) -> bool {
    // Lines of one instant belong together: only what the streams before this one have said is dropped.
    let before = seen.last;
    let (mut line, mut throttle, mut any) = (Vec::new(), Throttle::new(), false);
    while let Ok(Ok(Some(()))) = timeout(SILENCE, next_line(&mut stream, &mut line, &mut throttle)).await {
        let text = String::from_utf8_lossy(&line);
        let Some((at, text)) = stamped(&text) else { continue };
        if before.is_some_and(|before| at <= before) {
            continue;
        }
        any = true;
        seen.last = seen.last.max(Some(at));
        if seen.told.is_none_or(|told| at > told) {
            sink.line(pod, text);
        }
        if let Some(kind) = parse_line(text) {
            sink.signal(pod, at, kind);
        }
    }
    any
}

/// `2026-11-23T19:00:00.123456789Z text`
fn stamped(line: &str) -> Option<(Timestamp, &str)> {
    let (time, text) = line.split_once(' ')?;
    Some((time.parse().ok()?, text))
}
