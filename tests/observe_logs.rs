//! Following logs: what is found, that it is found at once, and that followers come and go with their pods.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use freethread_rollout::observe::{
    LogSignalKind,
    logs::{LogProblem, LogRequest, LogSource, LogStream, LogTarget, LogWatch, RolloutRef},
};
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, channel::mpsc, future::BoxFuture};

type Chunks = mpsc::UnboundedReceiver<std::io::Result<Vec<u8>>>;
type Answer = Result<Chunks, LogProblem>;

/// Answers each open in turn with the next of the script; after that, the pod is gone.
#[derive(Clone, Default)]
struct Script {
    answers: Arc<Mutex<Vec<Answer>>>,
    asked: Arc<Mutex<Vec<LogRequest>>>,
}

impl Script {
    /// The next log that is opened: its text now, and more through the sender until it is dropped.
    fn log(&self, text: &str) -> mpsc::UnboundedSender<std::io::Result<Vec<u8>>> {
        let (sender, receiver) = mpsc::unbounded();
        sender.unbounded_send(Ok(text.as_bytes().to_vec())).unwrap();
        self.answers.lock().unwrap().push(Ok(receiver));
        sender
    }
}

impl LogSource for Script {
    fn open(&self, request: LogRequest) -> BoxFuture<'static, Result<LogStream, LogProblem>> {
        self.asked.lock().unwrap().push(request);
        let mut answers = self.answers.lock().unwrap();
        let answer = if answers.is_empty() { Err(LogProblem::Gone) } else { answers.remove(0) };
        std::future::ready(answer.map(|chunks| Box::pin(chunks.boxed().into_async_read()) as LogStream))
            .boxed()
    }
}

fn rollout() -> RolloutRef {
    RolloutRef { namespace: "shop".into(), name: "web".into(), uid: "u".into() }
}

fn target(pod: &str, restarts: i32) -> LogTarget {
    LogTarget { pod: pod.into(), uid: format!("uid-{pod}"), container: "app".into(), restarts }
}

fn watch(script: &Script) -> (LogWatch, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let (poke, poked) = tokio::sync::mpsc::unbounded_channel();
    let watch = LogWatch::new(script.clone(), move |namespace: &str, name: &str| {
        let _ = poke.send(format!("{namespace}/{name}"));
    });
    (watch, poked)
}

fn at(second: u32, text: &str) -> String {
    format!("2026-11-23T19:00:{second:02}.123456789Z {text}\n")
}

async fn eventually(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..500 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}

const SEGFAULT: &str = "Fatal Python error: Segmentation fault";
const KILLED: &str = "[2026-11-23 19:00:00 +0000] [7] [WARNING] Worker (pid:8) was sent SIGSEGV!";

#[tokio::test]
async fn a_signal_pokes_at_once_and_stands_once_per_pod_and_kind() {
    let script = Script::default();
    let more = script.log(&at(1, "hello"));
    let (watch, mut poked) = watch(&script);
    watch.ensure(&rollout(), &[target("a", 0)]);
    // A line in two pieces, the same signal twice, and a user's words.
    let line = at(2, SEGFAULT) + &at(3, SEGFAULT) + &at(4, &format!("GET /?q={SEGFAULT}"));
    let (first, second) = line.split_at(40);
    for piece in [first, second] {
        more.unbounded_send(Ok(piece.as_bytes().to_vec())).unwrap();
    }
    assert_eq!(poked.recv().await.unwrap(), "shop/web");
    eventually("the second time", || {
        watch.signals("u").first().is_some_and(|s| s.at.to_string().contains(":03."))
    })
    .await;
    let signals = watch.signals("u");
    assert_eq!(signals.len(), 1);
    assert_eq!(signals[0].pod, "a");
    assert_eq!(signals[0].kind, LogSignalKind::FatalError { error: "Segmentation fault".into() });
    watch.forget("u");
    assert!(watch.signals("u").is_empty());
}

#[tokio::test]
async fn endless_lines_and_bytes_that_are_no_text_are_passed_over() {
    let script = Script::default();
    let more = script.log(&at(1, &"x".repeat(100_000)));
    more.unbounded_send(Ok(b"2026-11-23T19:00:02Z \xff\xfe\n\n\nno time\n".to_vec())).unwrap();
    more.unbounded_send(Ok(at(3, KILLED).into_bytes())).unwrap();
    let (watch, mut poked) = watch(&script);
    watch.ensure(&rollout(), &[target("a", 0)]);
    poked.recv().await.unwrap();
    assert_eq!(watch.signals("u")[0].kind, LogSignalKind::WorkerKilled { signal: "SIGSEGV".into() });
}

#[tokio::test]
async fn a_log_that_ends_is_opened_again_where_it_ended() {
    let script = Script::default();
    drop(script.log(&at(5, "last words")));
    // The second answer begins with what is known already, because `since` counts in seconds.
    let _open = script.log(&(at(5, "last words") + &at(6, SEGFAULT)));
    let (watch, mut poked) = watch(&script);
    watch.ensure(&rollout(), &[target("a", 0)]);
    poked.recv().await.unwrap();
    let asked = script.asked.lock().unwrap().clone();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0].since, None);
    assert_eq!(asked[1].since.unwrap().to_string(), "2026-11-23T19:00:05.123456789Z");
    assert!(
        asked
            .iter()
            .all(|request| !request.previous && request.container == "app" && request.namespace == "shop")
    );
}

#[tokio::test]
async fn a_restart_reads_the_former_runs_last_words_once() {
    let script = Script::default();
    let _first = script.log(&at(1, "hello"));
    let (watch, mut poked) = watch(&script);
    watch.ensure(&rollout(), &[target("a", 0)]);
    eventually("followed", || script.asked.lock().unwrap().len() == 1).await;
    drop(script.log(&at(2, SEGFAULT)));
    let _second = script.log(&at(3, "hello again"));
    watch.ensure(&rollout(), &[target("a", 1)]);
    poked.recv().await.unwrap();
    eventually("followed again", || script.asked.lock().unwrap().len() == 3).await;
    watch.ensure(&rollout(), &[target("a", 1)]);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let previous: Vec<bool> = script.asked.lock().unwrap().iter().map(|request| request.previous).collect();
    assert_eq!(previous, [false, true, false]);
}

#[tokio::test]
async fn a_follower_ends_with_its_pod_and_its_rollout() {
    let script = Script::default();
    let (a, b) = (script.log(""), script.log(""));
    let (watch, _poked) = watch(&script);
    watch.ensure(&rollout(), &[target("a", 0)]);
    eventually("a", || script.asked.lock().unwrap().len() == 1).await;
    watch.ensure(&rollout(), &[target("a", 0), target("b", 0)]);
    eventually("b", || script.asked.lock().unwrap().len() == 2).await;
    watch.ensure(&rollout(), &[target("b", 0)]);
    eventually("a is left", || a.is_closed()).await;
    assert!(!b.is_closed());
    watch.forget("u");
    eventually("b is left", || b.is_closed()).await;
}

#[tokio::test]
async fn a_log_that_cannot_be_read_yet_is_tried_again_and_a_pod_that_is_gone_is_not() {
    let script = Script::default();
    script.answers.lock().unwrap().push(Err(LogProblem::Later("ContainerCreating".into())));
    drop(script.log(&at(1, KILLED)));
    let (watch, mut poked) = watch(&script);
    watch.ensure(&rollout(), &[target("a", 0)]);
    poked.recv().await.unwrap();
    eventually("gone", || script.asked.lock().unwrap().len() == 3).await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(script.asked.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn pods_and_signals_are_bounded() {
    let script = Script::default();
    let logs: Vec<_> = (0..60).map(|_| script.log("")).collect();
    let (watch, mut poked) = watch(&script);
    let targets: Vec<LogTarget> = (0..60).map(|i| target(&format!("p{i:02}"), 0)).collect();
    watch.ensure(&rollout(), &targets);
    eventually("fifty", || script.asked.lock().unwrap().len() == 50).await;
    for i in 0..200 {
        logs[0].unbounded_send(Ok(at(1, &format!("Fatal Python error: f: {i}")).into_bytes())).unwrap();
    }
    for _ in 0..200 {
        poked.recv().await.unwrap();
    }
    assert_eq!(watch.signals("u").len(), 64);
    assert_eq!(script.asked.lock().unwrap().len(), 50);
}
