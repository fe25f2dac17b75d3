//! The Job that inspects the image, as it should be and as it is.

use k8s_openapi::api::batch::v1::Job;
use kube::{ResourceExt, runtime::reflector::ObjectRef};
use serde_json::Value;

use super::{LiveJob, Pod, PreflightSeen, Stores, pod, pods::text};
use crate::{
    api::{ANNOTATION_TEMPLATE_HASH, FreeThreadRollout, LABEL_ROLLOUT, Preflight, PreflightPolicy},
    pool::Rendered,
    preflight::image::{CONTAINER, ImageCheck, job_name, render_job},
};

/// Label that Kubernetes puts on a Job's pods: the Job's uid.
const LABEL_JOB: &str = "batch.kubernetes.io/controller-uid";

/// What there is and is to be, and the Job itself, rendered.
pub(super) fn preflight(
    rollout: &FreeThreadRollout,
    rendered: Option<&Rendered>,
    stores: &Stores,
) -> (Option<PreflightSeen>, Option<Value>) {
    let (namespace, name) = (rollout.namespace().unwrap_or_default(), rollout.name_any());
    let asked = rollout.spec.preflight.as_ref().filter(|asked| asked.inspect != PreflightPolicy::Skip);
    let wanted = asked.zip(rendered).map(|(asked, rendered)| {
        let check = check(&rollout.spec.free_threaded.python, asked);
        render_job(&name, &namespace, &rollout.uid().unwrap_or_default(), rendered, &check)
    });
    let of = wanted.as_ref().and_then(|job| {
        job.pointer("/metadata/annotations")?.get(ANNOTATION_TEMPLATE_HASH)?.as_str().map(str::to_owned)
    });
    let key = ObjectRef::new(&job_name(&name)).within(&namespace);
    let job = stores.jobs.get(&key).filter(|job| job.labels().get(LABEL_ROLLOUT) == Some(&name));
    let job = job.map(|job| live(&job, stores));
    if wanted.is_none() && job.is_none() {
        return (None, None);
    }
    (Some(PreflightSeen { wanted: of.unwrap_or_default(), name: job_name(&name), job }), wanted)
}

fn check(python: &str, asked: &Preflight) -> ImageCheck {
    ImageCheck {
        python: python.to_owned(),
        imports: asked.import.clone(),
        warmup: asked.warmup.clone(),
        timeout: asked.timeout,
    }
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
