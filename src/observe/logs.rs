//! What only a pod's log shows: a GIL that came back, a fatal error, a worker that died while its pod lives on.
//!
//! The logs of the free-threaded pool's pods are followed, within bounds in number, size and speed. Of them the few lines that are
//! understood are kept, and the last ones of each pod: the pool may be gone when a person asks what happened.

mod follow;
mod lines;
mod reading;
mod source;
mod tail;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use tokio::{sync::watch, task::AbortHandle};

pub use lines::parse_line;
pub use source::{LogProblem, LogRequest, LogSource, LogStream};
pub use tail::{TAIL_CHARS, TAIL_LINES};

use super::{LogSignal, LogSignalKind, LogTail};
use tail::Tails;

/// Most pods of one rollout whose logs are followed.
pub const MAX_PODS: usize = 50;
/// Most signals that are kept of one rollout; the oldest go first.
pub const MAX_SIGNALS: usize = 64;

/// A rollout, as the one who is told about a signal needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolloutRef {
    /// Namespace, of the rollout and of its pods.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Uid.
    pub uid: String,
}

/// A container whose log is followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogTarget {
    /// The pod's name.
    pub pod: String,
    /// The pod's uid: another pod of the same name is another log.
    pub uid: String,
    /// The container that runs Python.
    pub container: String,
    /// How often that container was started again.
    pub restarts: i32,
}

/// Told of each new signal; gets the rollout's namespace and name.
type Poke = Arc<dyn Fn(&str, &str) + Send + Sync>;
type Signals = Arc<Mutex<BTreeMap<String, VecDeque<LogSignal>>>>;

/// Follows logs and keeps their signals and their ends.
pub struct LogWatch {
    source: Arc<dyn LogSource>,
    poke: Poke,
    signals: Signals,
    tails: Arc<Tails>,
    followers: Mutex<BTreeMap<String, Followers>>,
}

/// A rollout's followers, by pod's uid and container.
type Followers = BTreeMap<(String, String), Follower>;

struct Follower {
    restarts: watch::Sender<i32>,
    task: AbortHandle,
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Where a follower puts what it finds.
struct Sink {
    rollout: RolloutRef,
    signals: Signals,
    tails: Arc<Tails>,
    poke: Poke,
}

impl Sink {
    fn line(&self, pod: &str, text: &str) {
        self.tails.add(&self.rollout.uid, pod, text);
    }

    fn signal(&self, pod: &str, at: Timestamp, kind: LogSignalKind) {
        let mut all = lock(&self.signals);
        let mine = all.entry(self.rollout.uid.clone()).or_default();
        if let Some(known) = mine.iter_mut().find(|known| known.pod == pod && known.kind == kind) {
            // The same words again, later: a new attempt must see that they were said in its time too.
            if at <= known.at {
                return;
            }
            known.at = at;
        } else {
            mine.push_back(LogSignal { pod: pod.to_owned(), at, kind });
            while mine.len() > MAX_SIGNALS {
                mine.pop_front();
            }
        }
        drop(all);
        (self.poke)(&self.rollout.namespace, &self.rollout.name);
    }
}

impl LogWatch {
    /// Reads logs from `source` (a [`kube::Client`]); each new signal tells `poke` the rollout's namespace and name, so that it is
    /// reconciled at once. `poke` must not block.
    pub fn new(source: impl LogSource + 'static, poke: impl Fn(&str, &str) + Send + Sync + 'static) -> Self {
        Self {
            source: Arc::new(source),
            poke: Arc::new(poke),
            signals: Signals::default(),
            tails: Arc::default(),
            followers: Mutex::default(),
        }
    }

    /// Takes in what a pod says by other means than its log.
    pub fn heard(&self, rollout: &RolloutRef, pod: &str, at: Timestamp, kind: LogSignalKind) {
        let (signals, tails) = (self.signals.clone(), self.tails.clone());
        Sink { rollout: rollout.clone(), signals, tails, poke: self.poke.clone() }.signal(pod, at, kind);
    }

    /// Follows exactly these containers for the rollout, the first [`MAX_PODS`] of them; starts and stops what it must. Name a container
    /// once it has started: until then there is no log, and it is asked for at growing intervals. Has to be called within a tokio runtime.
    pub fn ensure(&self, rollout: &RolloutRef, targets: &[LogTarget]) {
        let mut all = lock(&self.followers);
        let mine = all.entry(rollout.uid.clone()).or_default();
        let targets = &targets[..targets.len().min(MAX_PODS)];
        let wanted: BTreeSet<(&str, &str)> =
            targets.iter().map(|target| (target.uid.as_str(), target.container.as_str())).collect();
        mine.retain(|(uid, container), _| wanted.contains(&(uid.as_str(), container.as_str())));
        for target in targets {
            let key = (target.uid.clone(), target.container.clone());
            if let Some(follower) = mine.get(&key) {
                follower.restarts.send_if_modified(|known| {
                    let more = target.restarts > *known;
                    *known = target.restarts.max(*known);
                    more
                });
            } else {
                mine.insert(key, self.start(rollout, target));
            }
        }
        if mine.is_empty() {
            all.remove(&rollout.uid);
        }
    }

    /// Stops following a rollout that is gone and forgets its signals.
    pub fn forget(&self, rollout_uid: &str) {
        lock(&self.followers).remove(rollout_uid);
        lock(&self.signals).remove(rollout_uid);
        self.tails.forget(rollout_uid);
    }

    /// Uids of the rollouts that something is known of.
    pub fn rollouts(&self) -> Vec<String> {
        let mut all: Vec<String> = lock(&self.followers).keys().cloned().collect();
        all.extend(lock(&self.signals).keys().cloned());
        all.extend(self.tails.rollouts());
        all
    }

    /// The last lines of each of the rollout's pods that were followed since [`Self::forget`], also of those that are gone.
    pub fn tails(&self, rollout_uid: &str) -> Vec<LogTail> {
        self.tails.of(rollout_uid)
    }

    /// The rollout's signals, one per pod and kind with the time that it was last seen, at most [`MAX_SIGNALS`]. Which of them belong to
    /// the current attempt, their times say.
    pub fn signals(&self, rollout_uid: &str) -> Vec<LogSignal> {
        lock(&self.signals).get(rollout_uid).map(|mine| mine.iter().cloned().collect()).unwrap_or_default()
    }

    fn start(&self, rollout: &RolloutRef, target: &LogTarget) -> Follower {
        let (restarts, known) = watch::channel(target.restarts);
        let request = LogRequest {
            namespace: rollout.namespace.clone(),
            pod: target.pod.clone(),
            container: target.container.clone(),
            previous: false,
            since: None,
        };
        let sink = Sink {
            rollout: rollout.clone(),
            signals: self.signals.clone(),
            tails: self.tails.clone(),
            poke: self.poke.clone(),
        };
        let task = tokio::spawn(follow::follow(self.source.clone(), request, known, sink)).abort_handle();
        Follower { restarts, task }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
