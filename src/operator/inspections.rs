//! What the pods of preflight Jobs printed. Read beside the passes, once for each Job; a pass never waits for a log.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, ResourceExt, api::LogParams};
use tokio::task::AbortHandle;

use crate::{
    api::FreeThreadRollout,
    observe::{LiveJob, Pokes, Scene, text},
    preflight::image::{CONTAINER, CheckFinding, MARKER},
};

/// Bound on one reading.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// A log that cannot be read is tried so often, with this pause in between.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_secs(2);
/// Most bytes of a log that are read, and from how many lines before its end: what the inspection says is one line at the end, of at
/// most some 100 kB, which a container runtime keeps in pieces of 16 KiB.
const BYTES: i64 = 4 << 20;
const LINES: i64 = 400;

/// The inspections of all rollouts, one each. Dropping it ends the readings.
pub(super) struct Inspections {
    client: Client,
    pokes: Pokes,
    known: Arc<Mutex<BTreeMap<String, Inspection>>>,
}

/// What is known of one rollout's Job.
#[derive(Default)]
struct Inspection {
    /// The Job's uid.
    job: String,
    /// The last trouble of its pod: where Kubernetes ends a Job for its time the pod is gone.
    trouble: Option<String>,
    finding: Option<CheckFinding>,
    reading: Option<AbortHandle>,
}

impl Drop for Inspection {
    fn drop(&mut self) {
        if let Some(reading) = &self.reading {
            reading.abort();
        }
    }
}

impl Inspections {
    pub(super) fn new(client: &Client, pokes: Pokes) -> Self {
        Self { client: client.clone(), pokes, known: Arc::default() }
    }

    /// Puts into the picture what the Job's pod said, as soon as that is known.
    pub(super) fn fill(&self, rollout: &FreeThreadRollout, scene: &mut Scene) {
        let uid = rollout.uid().unwrap_or_default();
        let Some(job) = scene.observation.preflight.as_mut().and_then(|seen| seen.job.as_mut()) else {
            self.known().remove(&uid);
            return;
        };
        let mut all = self.known();
        let inspection = all.entry(uid.clone()).or_default();
        if inspection.job != job.uid {
            *inspection = Inspection::default();
            inspection.job.clone_from(&job.uid);
        }
        if job.ended.is_none() {
            inspection.trouble = job.trouble.clone().or(inspection.trouble.take());
            return;
        }
        if inspection.finding.is_none() && inspection.reading.is_none() {
            match &job.pod {
                None => inspection.finding = Some(lost(job, inspection.trouble.as_deref())),
                Some(pod) => inspection.reading = Some(self.read(rollout, &uid, job, pod)),
            }
        }
        job.finding = inspection.finding.clone();
    }

    /// Reads on its own, and asks for another pass when it is done.
    fn read(&self, rollout: &FreeThreadRollout, uid: &str, job: &LiveJob, pod: &str) -> AbortHandle {
        let (namespace, name) = (rollout.namespace().unwrap_or_default(), rollout.name_any());
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &namespace);
        let (pokes, known, job) = (self.pokes.clone(), self.known.clone(), job.clone());
        let (uid, pod) = (uid.to_owned(), pod.to_owned());
        let task = tokio::spawn(async move {
            let finding = read(&api, &pod, &job).await;
            let mut all = lock(&known);
            if let Some(inspection) = all.get_mut(&uid).filter(|inspection| inspection.job == job.uid) {
                inspection.finding = Some(finding);
            }
            drop(all);
            pokes.poke(&namespace, &name);
        });
        task.abort_handle()
    }

    /// Forget all but these rollouts.
    pub(super) fn keep(&self, uids: &BTreeSet<String>) {
        self.known().retain(|uid, _| uids.contains(uid));
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, Inspection>> {
        lock(&self.known)
    }
}

/// A poisoned map is still a map.
fn lock(known: &Mutex<BTreeMap<String, Inspection>>) -> MutexGuard<'_, BTreeMap<String, Inspection>> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn read(api: &Api<Pod>, pod: &str, job: &LiveJob) -> CheckFinding {
    let Some(check) = job.check else { return lost(job, Some("nobody knows what it did")) };
    let params = LogParams {
        container: Some(CONTAINER.into()),
        limit_bytes: Some(BYTES),
        tail_lines: Some(LINES),
        ..LogParams::default()
    };
    let mut problem = String::new();
    for again in 0..TRIES {
        if again > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        match tokio::time::timeout(READ_TIMEOUT, api.logs(pod, &params)).await {
            Ok(Ok(log)) if !log.contains(MARKER) => {
                return lost(job, last_line(&log).or(job.trouble.clone()).as_deref());
            }
            Ok(Ok(log)) => return CheckFinding::of_log(check, &log),
            Ok(Err(error)) => problem = error.to_string(),
            Err(_) => problem = format!("no answer within {} s", READ_TIMEOUT.as_secs()),
        }
        tracing::debug!(pod, problem, "log of an inspection not read");
    }
    let sentence = format!("the log of pod {pod} cannot be read: {}", text(&problem));
    CheckFinding::unknown(sentence, Vec::new())
}

fn last_line(log: &str) -> Option<String> {
    log.lines().rev().find(|line| !line.trim().is_empty()).map(text)
}

/// The Job ended and said nothing of the image: its time was over, its pod could not start, somebody deleted it.
fn lost(job: &LiveJob, trouble: Option<&str>) -> CheckFinding {
    let ended = job.ended.as_deref().unwrap_or("it ended");
    let trouble = trouble.map(|trouble| format!(" ({trouble})")).unwrap_or_default();
    CheckFinding::unknown(format!("the Job did not run to its end: {ended}{trouble}"), Vec::new())
}
