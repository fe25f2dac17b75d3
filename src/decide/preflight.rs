//! The image before it gets traffic: what is known of it, the Job that finds out, and what has to wait for it. Asked only at weight 0, on
//! the way up.

use jiff::{SignedDuration, Timestamp};

use super::{
    JobWanted, Note,
    guards::Stop,
    pass::{Pass, after},
    text,
};
use crate::{
    api::{Phase, Preflight, PreflightPolicy, PreflightStatus, PreflightVerdict, Reason, Span},
    observe::{LiveJob, PreflightSeen},
    preflight::image::ImageFinding,
};

/// What could not be told is tried again after this long, doubled each time, up to [`AGAIN_AT_MOST`].
const AGAIN_AFTER: SignedDuration = SignedDuration::from_mins(1);
const AGAIN_AT_MOST: SignedDuration = SignedDuration::from_hours(1);
/// From the Job's deadline until Kubernetes has said that it is over.
const SLACK: Span = Span::from_secs(15);

/// What is asked for, and what there is of it.
fn asked<'a>(pass: &Pass<'a>) -> Option<(&'a Preflight, &'a PreflightSeen)> {
    let wanted = pass.input.spec.preflight.as_ref().filter(|asked| asked.inspect != PreflightPolicy::Skip)?;
    Some((wanted, pass.input.observation.preflight.as_ref().filter(|seen| !seen.wanted.is_empty())?))
}

/// What is known of the very image that is to be used.
fn known<'s>(pass: &'s Pass<'_>, seen: &PreflightSeen) -> Option<&'s PreflightStatus> {
    pass.next.preflight.as_ref().filter(|known| known.of == seen.wanted && !known.again)
}

/// Takes over what an inspection said, and lets one that could not tell be done again in time.
pub(super) fn learn(pass: &mut Pass<'_>) {
    if pass.input.spec.preflight.as_ref().is_none_or(|asked| asked.inspect == PreflightPolicy::Skip) {
        pass.next.preflight = None;
        // One that is left over ends by itself: nothing that has traffic waits for that.
        if pass.empty() {
            remove(pass);
        }
        return;
    }
    let Some((wanted, seen)) = asked(pass) else { return };
    let job = seen.job.as_ref().filter(|job| job.of == seen.wanted && !of_the_past(pass, job));
    if let Some((job, finding)) = job.and_then(|job| Some((job, job.finding.as_ref()?))) {
        let before = pass.next.preflight.as_ref().filter(|known| known.of == seen.wanted);
        let before = before.map_or(0, |known| known.unknown);
        let untold = finding.verdict == PreflightVerdict::Unknown;
        pass.next.preflight = Some(PreflightStatus {
            verdict: finding.verdict,
            sentence: finding.sentence.clone(),
            blockers: finding.blockers.clone(),
            hints: finding.hints.clone(),
            image_id: job.image_id.clone(),
            at: Some(pass.stamp()),
            of: seen.wanted.clone(),
            job: job.uid.clone(),
            unknown: if untold { before.saturating_add(1) } else { 0 },
            again: false,
        });
        tell(pass, wanted.inspect, finding);
    }
    let due = known(pass, seen).and_then(again_at).is_some_and(|at| at <= pass.now());
    if let Some(known) =
        pass.next.preflight.as_mut().filter(|_| due && wanted.inspect == PreflightPolicy::Require)
    {
        known.again = true;
    }
}

/// What no change of phase tells.
fn tell(pass: &mut Pass<'_>, inspect: PreflightPolicy, finding: &ImageFinding) {
    let (reason, then) = match (inspect, finding.verdict) {
        (_, PreflightVerdict::Passed) | (PreflightPolicy::Require, PreflightVerdict::Blocked) => return,
        (PreflightPolicy::Require, PreflightVerdict::Unknown) => {
            (Reason::PreflightUnknown, "it is inspected again")
        }
        (_, verdict) => {
            let blocked = verdict == PreflightVerdict::Blocked;
            let reason = if blocked { Reason::PreflightFailed } else { Reason::PreflightUnknown };
            (reason, "spec.preflight.inspect says Warn: traffic moves all the same")
        }
    };
    let image = &pass.input.observation.free_threaded.image;
    let message = format!("preflight of image {image}: {}; {then}", text::open(&finding.sentence));
    pass.notes.push(Note { warning: true, reason, message });
}

/// A person says that it is to be inspected again, whatever was said.
pub(super) fn again(pass: &mut Pass<'_>) {
    if let Some(known) = pass.next.preflight.as_mut() {
        (known.again, known.unknown) = (true, 0);
    }
}

/// A Job whose word was taken already.
fn of_the_past(pass: &Pass<'_>, job: &LiveJob) -> bool {
    pass.next.preflight.as_ref().is_some_and(|known| known.job == job.uid)
}

/// When what could not be told is tried again.
fn again_at(known: &PreflightStatus) -> Option<Timestamp> {
    let at = known.at.as_ref().filter(|_| known.verdict == PreflightVerdict::Unknown)?;
    let times = 1_i32 << known.unknown.saturating_sub(1).clamp(0, 6);
    at.0.checked_add((AGAIN_AFTER * times).min(AGAIN_AT_MOST)).ok()
}

/// Whether the pool may be built and get traffic, as far as the image is concerned.
pub(super) fn open(pass: &Pass<'_>) -> bool {
    let Some((wanted, seen)) = asked(pass) else { return true };
    let good_enough = |known: &PreflightStatus| {
        known.verdict == PreflightVerdict::Passed || wanted.inspect == PreflightPolicy::Warn
    };
    known(pass, seen).is_some_and(good_enough)
}

/// The Job that is missing is created, one that inspects something else or has said its word is removed.
pub(super) fn arrange(pass: &mut Pass<'_>) {
    let Some((_, seen)) = asked(pass) else { return };
    if known(pass, seen).is_some() {
        return;
    }
    pass.job = match &seen.job {
        None => JobWanted::Create,
        Some(job) if job.deleting => JobWanted::Leave,
        Some(job) if job.of != seen.wanted || of_the_past(pass, job) => JobWanted::Remove,
        Some(_) => JobWanted::Leave,
    };
}

/// Whatever Job there is has nobody to report to any more.
pub(super) fn remove(pass: &mut Pass<'_>) {
    let job = pass.input.observation.preflight.as_ref().and_then(|seen| seen.job.as_ref());
    if job.is_some_and(|job| !job.deleting) {
        pass.job = JobWanted::Remove;
    }
}

/// Before the weight rises.
pub(super) fn guard(pass: &Pass<'_>) -> Option<Stop> {
    if pass.written() > 0 { moved(pass) } else { stop(pass) }
}

/// Why traffic has to wait, and for what.
pub(super) fn stop(pass: &Pass<'_>) -> Option<Stop> {
    let (wanted, seen) = asked(pass)?;
    if open(pass) {
        return None;
    }
    let retry = format!("kubectl freethread retry {}", pass.input.name);
    let image = &pass.input.observation.free_threaded.image;
    let stop =
        |phase, reason, message, next, at| Some(Stop { phase: Some(phase), reason, message, next, at });
    match known(pass, seen) {
        Some(known) if known.verdict == PreflightVerdict::Blocked => {
            let message = format!("preflight of image {image}: {}", known.sentence);
            let next = format!(
                "nothing, until the image, the spec or the standard pool changes, or a person retries: {retry}"
            );
            stop(Phase::Failed, Reason::PreflightFailed, message, next, None)
        }
        Some(known) => {
            let message = format!("preflight of image {image} cannot tell: {}", known.sentence);
            let next = format!("the image is inspected again, or a person retries now: {retry}");
            stop(Phase::Preflight, Reason::PreflightUnknown, message, next, again_at(known))
        }
        None => {
            let job = seen.job.as_ref().filter(|job| job.of == seen.wanted && !of_the_past(pass, job));
            let trouble = job.and_then(|job| job.trouble.as_ref());
            let trouble = trouble.map_or_else(|| pass.refused(), |trouble| format!(" ({trouble})"));
            let message = format!("image {image} is inspected by Job {}{trouble}", seen.name);
            let at = job.and_then(|job| job.started).map(|at| after(after(at, wanted.timeout), SLACK));
            stop(Phase::Preflight, Reason::PreflightRunning, message, "the inspection ends".into(), at)
        }
    }
}

/// The tag names another image than the one that was inspected: what serves already is watched as ever, and gets no more.
fn moved(pass: &Pass<'_>) -> Option<Stop> {
    let inspected = pass.next.preflight.as_ref()?.image_id.as_deref()?;
    let pod = pass.our_pods().find(|pod| pod.image_id.as_deref().is_some_and(|id| another(id, inspected)))?;
    let runs = pod.image_id.as_deref().unwrap_or_default();
    let message = format!(
        "pod {} runs {runs} and {inspected} was inspected: the tag names another image by now, and the weight does not rise",
        pod.name
    );
    let next = format!(
        "a person names the image by its digest, or lets it be inspected again: kubectl freethread retry {}",
        pass.input.name
    );
    Some(Stop { phase: Some(Phase::Paused), reason: Reason::PreflightUnknown, message, next, at: None })
}

/// Two digests of one kind: of one repository, or of images that no repository has. Nodes with different runtimes name the same image
/// differently, which says nothing.
fn another(one: &str, other: &str) -> bool {
    match (one.split_once("sha256:"), other.split_once("sha256:")) {
        (Some((here, one)), Some((there, other))) => here == there && one != other,
        _ => false,
    }
}

/// For the condition `PreflightPassed`: nothing where nothing is asked for.
pub(super) fn passed(pass: &Pass<'_>) -> Option<(Option<bool>, String, String)> {
    let (_, seen) = asked(pass)?;
    Some(match known(pass, seen) {
        Some(known) => {
            let status = match known.verdict {
                PreflightVerdict::Passed => Some(true),
                PreflightVerdict::Blocked => Some(false),
                PreflightVerdict::Unknown => None,
            };
            (status, format!("{:?}", known.verdict), known.sentence.clone())
        }
        None => (None, "NotInspected".into(), "the image is not inspected yet".into()),
    })
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

    use super::*;

    #[test]
    fn what_cannot_be_told_is_tried_again_less_and_less_often() {
        let at = Timestamp::from_second(1_800_000_000).unwrap();
        let wait = |unknown| {
            let known = PreflightStatus { at: Some(MicroTime(at)), unknown, ..PreflightStatus::default() };
            again_at(&known).unwrap().duration_since(at).as_mins()
        };
        assert_eq!([1, 2, 3, 6, 7, 100].map(wait), [1, 2, 4, 32, 60, 60]);
        let passed = PreflightStatus {
            verdict: PreflightVerdict::Passed,
            at: Some(MicroTime(at)),
            ..PreflightStatus::default()
        };
        assert_eq!(again_at(&passed), None);
    }

    #[test]
    fn only_two_digests_of_one_kind_are_two_images() {
        assert!(another("r/app@sha256:a", "r/app@sha256:b"));
        assert!(another("sha256:a", "sha256:b"), "loaded by hand");
        assert!(!another("r/app@sha256:a", "r/app@sha256:a"));
        assert!(!another("r/app@sha256:a", "sha256:b"), "another runtime's name of it");
        assert!(!another("r/app@sha256:a", "mirror/app@sha256:b"));
    }
}
