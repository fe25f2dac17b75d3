//! The Jobs that check the image, as they should be and as they are.

use std::collections::BTreeMap;

use k8s_openapi::api::{apps::v1::Deployment, batch::v1::Job};
use kube::{ResourceExt, runtime::reflector::ObjectRef};
use serde_json::Value;

use super::{LiveJob, Pod, PreflightSeen, Stores, pod, pods::text};
use crate::{
    api::{ANNOTATION_TEMPLATE_HASH, Check, FreeThreadRollout, LABEL_PREFLIGHT, LABEL_ROLLOUT},
    pool::Rendered,
    preflight::image::{CONTAINER, Subject, job_name, render_job},
};

/// Label that Kubernetes puts on a Job's pods: the Job's uid.
const LABEL_JOB: &str = "batch.kubernetes.io/controller-uid";

/// What there is and is to be, and the Job of each check, rendered.
pub(super) fn preflight(
    rollout: &FreeThreadRollout,
    workload: Option<&Deployment>,
    rendered: Option<&Rendered>,
    stores: &Stores,
) -> (Option<PreflightSeen>, BTreeMap<Check, Value>) {
    let (namespace, name) = (rollout.namespace().unwrap_or_default(), rollout.name_any());
    let jobs = workload.zip(rendered).map(|(workload, rendered)| jobs(rollout, workload, rendered));
    let jobs = jobs.unwrap_or_default();
    let of = |job: &Value| {
        let annotations = job.pointer("/metadata/annotations")?;
        annotations.get(ANNOTATION_TEMPLATE_HASH)?.as_str().map(str::to_owned)
    };
    let wanted: BTreeMap<_, _> = jobs.iter().filter_map(|(check, job)| Some((*check, of(job)?))).collect();
    let key = ObjectRef::new(&job_name(&name)).within(&namespace);
    let job = stores.jobs.get(&key).filter(|job| job.labels().get(LABEL_ROLLOUT) == Some(&name));
    let job = job.map(|job| live(&job, stores));
    if wanted.is_empty() && job.is_none() {
        return (None, jobs);
    }
    (Some(PreflightSeen { wanted, name: job_name(&name), job }), jobs)
}

fn jobs(rollout: &FreeThreadRollout, workload: &Deployment, rendered: &Rendered) -> BTreeMap<Check, Value> {
    let Some(asked) = &rollout.spec.preflight else { return BTreeMap::new() };
    let (namespace, name) = (rollout.namespace().unwrap_or_default(), rollout.name_any());
    let template = workload.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
    let standard = template.and_then(|pod| serde_json::to_value(pod).ok()).unwrap_or_default();
    let subject = Subject {
        rollout: &name,
        namespace: &namespace,
        uid: &rollout.uid().unwrap_or_default(),
        rendered,
        standard: &standard,
        python: &rollout.spec.free_threaded.python,
        asked,
    };
    let known = rollout.status.as_ref().and_then(|status| status.preflight.as_ref()?.benchmark.as_ref());
    let rounds = known.map_or(0, |known| known.rounds.len());
    Check::ALL.into_iter().filter_map(|check| Some((check, render_job(&subject, check, rounds)?))).collect()
}

/// Why it does not run, or how it ended.
fn trouble(pod: &Pod) -> Option<String> {
    let exit = || pod.exits.first().map(|exit| format!("{}, exit code {}", exit.reason, exit.code));
    pod.trouble.clone().or_else(exit)
}

fn live(job: &Job, stores: &Stores) -> LiveJob {
    let uid = job.uid().unwrap_or_default();
    let theirs = |p: &k8s_openapi::api::core::v1::Pod| {
        p.namespace() == job.namespace() && p.labels().get(LABEL_JOB) == Some(&uid)
    };
    let pod = stores.pods.find(theirs).map(|p| pod(&p, CONTAINER));
    let status = job.status.as_ref();
    let conditions = status.and_then(|s| s.conditions.as_deref()).unwrap_or_default();
    let ended = conditions.iter().find(|c| c.status == "True" && ["Complete", "Failed"].contains(&&*c.type_));
    LiveJob {
        of: job.annotations().get(ANNOTATION_TEMPLATE_HASH).cloned().unwrap_or_default(),
        check: job.labels().get(LABEL_PREFLIGHT).and_then(|name| Check::named(name)),
        deleting: job.metadata.deletion_timestamp.is_some(),
        started: status.and_then(|s| s.start_time.as_ref()).map(|at| at.0),
        ended: ended.map(|c| text(c.message.as_deref().or(c.reason.as_deref()).unwrap_or(&c.type_))),
        trouble: pod.as_ref().and_then(trouble),
        image_id: pod.as_ref().and_then(|pod| pod.image_id.clone()),
        pod: pod.map(|pod| pod.name),
        uid,
        finding: None,
    }
}
