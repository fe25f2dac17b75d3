//! The image before it gets traffic: what is known of it, the Job that finds out, and what has to wait for it. Asked only at weight 0, on
//! the way up. The checks are done one after the other: inspected, stressed, measured.

use jiff::{SignedDuration, Timestamp};

use super::{
    JobWanted, Note, benchmark,
    guards::Stop,
    pass::{Pass, after},
    text,
};
use crate::{
    api::{
        Check, CheckStatus, Phase, Preflight, PreflightPolicy, PreflightStatus, PreflightVerdict, Reason,
        Span,
    },
    observe::{LiveJob, PreflightSeen},
    preflight::image,
};

/// What could not be told is tried again after this long, doubled each time, up to [`AGAIN_AT_MOST`].
const AGAIN_AFTER: SignedDuration = SignedDuration::from_mins(1);
const AGAIN_AT_MOST: SignedDuration = SignedDuration::from_hours(1);
/// From the Job's deadline until Kubernetes has said that it is over.
const SLACK: Span = Span::from_secs(15);

/// What is asked for, and what there is of it.
fn asked<'a>(pass: &Pass<'a>) -> Option<(&'a Preflight, &'a PreflightSeen)> {
    let wanted = pass.input.spec.preflight.as_ref()?;
    Some((wanted, pass.input.observation.preflight.as_ref().filter(|seen| !seen.wanted.is_empty())?))
}

/// What a check said of the very image that is to be used.
fn known<'s>(pass: &'s Pass<'_>, seen: &PreflightSeen, check: Check) -> Option<&'s CheckStatus> {
    let of = seen.wanted.get(&check)?;
    pass.next.preflight.as_ref()?.of(check).filter(|known| known.of == *of && !known.again)
}

/// The first check that is asked for and whose word is missing, or not good enough.
fn open_check(pass: &Pass<'_>) -> Option<(Check, &'static str)> {
    let (wanted, seen) = asked(pass)?;
    let good_enough = |check: &Check| {
        known(pass, seen, *check).is_some_and(|known| match known.verdict {
            PreflightVerdict::Passed => true,
            PreflightVerdict::Measuring => false,
            _ => image::asked(wanted, *check) == PreflightPolicy::Warn,
        })
    };
    let check = seen.wanted.keys().find(|check| !good_enough(check))?;
    Some((
        *check,
        match check {
            Check::Inspect => "inspected",
            Check::Stress => "stressed",
            Check::Benchmark => "measured against the standard image",
        },
    ))
}

/// Takes over what a check said, and lets one that could not tell be done again in time.
pub(super) fn learn(pass: &mut Pass<'_>) {
    let spec = pass.input.spec.preflight.as_ref();
    let unasked = |check| spec.is_none_or(|asked| image::asked(asked, check) == PreflightPolicy::Skip);
    if let Some(known) = pass.next.preflight.as_mut() {
        for check in Check::ALL.into_iter().filter(|check| unasked(*check)) {
            *known.of_mut(check) = None;
        }
    }
    pass.next.preflight = pass.next.preflight.take().filter(|known| known.known().next().is_some());
    if Check::ALL.into_iter().all(unasked) && pass.empty() {
        // One that is left over ends by itself: nothing that has traffic waits for that.
        remove(pass);
    }
    let job = pass.input.observation.preflight.as_ref().and_then(|seen| seen.job.as_ref());
    if job.and_then(|job| job.check).is_some_and(unasked) {
        stop_job(pass);
    }
    let Some((wanted, seen)) = asked(pass) else { return };
    if let Some((job, check)) = seen.job.as_ref().and_then(|job| Some((job, reporting(pass, seen, job)?))) {
        take(pass, wanted, job, check);
    }
    benchmark::weigh(pass, wanted);
    for check in Check::ALL {
        let due = known(pass, seen, check).and_then(again_at).is_some_and(|at| at <= pass.now());
        if let Some(known) =
            check_mut(pass, check).filter(|_| due && image::asked(wanted, check) == PreflightPolicy::Require)
        {
            known.again = true;
        }
    }
}

fn check_mut<'s>(pass: &'s mut Pass<'_>, check: Check) -> Option<&'s mut CheckStatus> {
    pass.next.preflight.as_mut()?.of_mut(check).as_mut()
}

/// The check that a Job does, if that is still to be done and its word was not taken yet.
fn reporting(pass: &Pass<'_>, seen: &PreflightSeen, job: &LiveJob) -> Option<Check> {
    let check = job.check.filter(|check| seen.wanted.get(check) == Some(&job.of))?;
    let taken = pass.next.preflight.as_ref().and_then(|known| known.of(check));
    taken.is_none_or(|known| known.job != job.uid).then_some(check)
}

/// What a Job found, once it is known.
fn take(pass: &mut Pass<'_>, wanted: &Preflight, job: &LiveJob, check: Check) {
    let Some(finding) = &job.finding else { return };
    let now = pass.stamp();
    let before = pass.next.preflight.as_ref().and_then(|known| known.of(check));
    let before = before.filter(|known| known.of == job.of).cloned().unwrap_or_default();
    let untold = finding.verdict == PreflightVerdict::Unknown;
    let longest = Span::from_secs(image::deadline(wanted, check));
    let mut rounds = before.rounds;
    rounds.extend(finding.round.clone());
    rounds.truncate(image::ROUNDS_LIMIT);
    let status = CheckStatus {
        verdict: finding.verdict,
        sentence: finding.sentence.clone(),
        blockers: finding.blockers.clone(),
        hints: finding.hints.clone(),
        image_id: job.image_id.clone(),
        spent: finding.round.as_ref().map(|_| spent(before.spent, job, longest, pass.now())).or(before.spent),
        at: Some(now),
        of: job.of.clone(),
        wish: (check == Check::Benchmark).then(|| image::wish(wanted)),
        job: job.uid.clone(),
        unknown: if untold { before.unknown.saturating_add(1) } else { 0 },
        again: false,
        rounds,
    };
    *pass.next.preflight.get_or_insert_default().of_mut(check) = Some(status);
    benchmark::weigh(pass, wanted);
    tell(pass, check, image::asked(wanted, check));
}

/// With what this Job took: until now, but no longer than it could. An operator that was away is no time that a round took.
fn spent(before: Option<Span>, job: &LiveJob, longest: Span, now: Timestamp) -> Span {
    let took = job.started.map_or(0, |started| now.as_millisecond() - started.as_millisecond());
    Span::from_millis(before.map_or(0, Span::millis) + took.clamp(0, longest.millis()))
}

/// What no change of phase tells.
fn tell(pass: &mut Pass<'_>, check: Check, policy: PreflightPolicy) {
    use PreflightVerdict::{Blocked, Measuring, NoBenefit, Passed, Unknown};
    let Some(known) = pass.next.preflight.as_ref().and_then(|known| known.of(check)) else { return };
    let (reason, then) = match (policy, known.verdict) {
        (_, Passed | Measuring) | (PreflightPolicy::Require, Blocked | NoBenefit) => return,
        (PreflightPolicy::Require, Unknown) if again_at(known).is_none() => return,
        (PreflightPolicy::Require, Unknown) => (Reason::PreflightUnknown, "it is tried again"),
        (_, verdict) => {
            let reason = match verdict {
                Blocked => Reason::PreflightFailed,
                NoBenefit => Reason::NoBenefit,
                _ => Reason::PreflightUnknown,
            };
            (reason, "spec.preflight says Warn: traffic moves all the same")
        }
    };
    let image = &pass.input.observation.free_threaded.image;
    let message = format!("preflight of image {image}: {}; {then}", text::open(&known.sentence));
    pass.notes.push(Note { warning: true, reason, message });
}

/// A person says that it is to be checked again, whatever was said: what did not pass, or all of it where it all did, or where the image is
/// another one by now.
pub(super) fn again(pass: &mut Pass<'_>) {
    let moved = pass.next.phase == Phase::Paused;
    let Some(known) = pass.next.preflight.as_mut() else { return };
    let all = moved || known.known().all(|(_, known)| known.verdict == PreflightVerdict::Passed);
    for check in Check::ALL {
        if let Some(known) = known.of_mut(check).as_mut()
            && (all || known.verdict != PreflightVerdict::Passed)
        {
            (known.again, known.unknown, known.spent) = (true, 0, None);
            known.rounds.clear();
        }
    }
}

/// The benchmark ended the attempt before it had any traffic.
pub(super) fn without_benefit(pass: &Pass<'_>) -> bool {
    let known = pass.next.preflight.as_ref().and_then(|known| known.benchmark.as_ref());
    let none = known.is_some_and(|known| known.verdict == PreflightVerdict::NoBenefit);
    pass.next.phase == Phase::NoBenefit && none && pass.next.benefit.is_none()
}

/// Why that is none of what the spec asks for now. Another image or standard pool is for others to see.
pub(super) fn reconsidered(pass: &mut Pass<'_>) -> Option<String> {
    if !without_benefit(pass) {
        return None;
    }
    let wanted = pass.input.spec.preflight.as_ref();
    if let Some(wanted) = wanted {
        benchmark::weigh(pass, wanted);
    }
    let known = pass.next.preflight.as_ref().and_then(|known| known.benchmark.as_ref())?;
    let stands = wanted.is_some_and(|wanted| {
        image::asked(wanted, Check::Benchmark) == PreflightPolicy::Require
            && Some(image::wish(wanted)) == known.wish
            && known.verdict == PreflightVerdict::NoBenefit
    });
    (!stands).then(|| "spec.preflight changed".to_owned())
}

/// When what could not be told is tried again; never, where trying was not what failed.
fn again_at(known: &CheckStatus) -> Option<Timestamp> {
    let at = known.at.as_ref().filter(|_| known.verdict == PreflightVerdict::Unknown && known.unknown > 0)?;
    let times = 1_i32 << known.unknown.saturating_sub(1).clamp(0, 6);
    at.0.checked_add((AGAIN_AFTER * times).min(AGAIN_AT_MOST)).ok()
}

/// Whether the pool may be built and get traffic, as far as the image is concerned.
pub(super) fn open(pass: &Pass<'_>) -> bool {
    open_check(pass).is_none()
}

/// The Job that is missing is created, one that does something else or has said its word is removed; but not before its word is kept.
pub(super) fn arrange(pass: &mut Pass<'_>) {
    let (Some((_, seen)), Some((check, _))) = (asked(pass), open_check(pass)) else { return };
    if known(pass, seen, check).is_some_and(|known| known.verdict != PreflightVerdict::Measuring) {
        return;
    }
    pass.job = match &seen.job {
        None => JobWanted::Create(check),
        Some(job) if job.deleting => JobWanted::Leave,
        Some(job) if reporting(pass, seen, job) == Some(check) || just_taken(pass, job) => JobWanted::Leave,
        Some(_) => JobWanted::Remove,
    };
}

/// Its word is in the status that is only about to be written.
fn just_taken(pass: &Pass<'_>, job: &LiveJob) -> bool {
    let of = |status: &Option<PreflightStatus>| {
        status.iter().flat_map(PreflightStatus::known).any(|(_, known)| known.job == job.uid)
    };
    of(&pass.next.preflight) && !of(&pass.input.status.preflight)
}

/// Nobody waits for it any more: what still runs is ended, once nothing has traffic.
pub(super) fn stop_job(pass: &mut Pass<'_>) {
    let job = pass.input.observation.preflight.as_ref().and_then(|seen| seen.job.as_ref());
    if job.is_some_and(|job| job.ended.is_none()) && pass.empty() {
        remove(pass);
    }
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
    let (check, is_done) = open_check(pass)?;
    let retry = format!("kubectl freethread retry {}", pass.input.name);
    let image = &pass.input.observation.free_threaded.image;
    let known = known(pass, seen, check);
    let known = known.filter(|known| known.verdict != PreflightVerdict::Measuring);
    let Some(known) = known else {
        let job = seen.job.as_ref().filter(|job| reporting(pass, seen, job) == Some(check));
        let trouble = job.and_then(|job| job.trouble.as_ref());
        let trouble = trouble.map_or_else(|| pass.refused(), |trouble| format!(" ({trouble})"));
        let so_far = benchmark::so_far(pass).filter(|_| check == Check::Benchmark).unwrap_or_default();
        let message = format!("image {image} is {is_done} by Job {}{trouble}{so_far}", seen.name);
        let until = |at| after(after(at, Span::from_secs(image::deadline(wanted, check))), SLACK);
        let at = job.and_then(|job| job.started).map(until);
        return Some(Stop {
            phase: Some(Phase::Preflight),
            reason: Reason::PreflightRunning,
            message,
            next: "the Job ends".into(),
            at,
        });
    };
    let (phase, reason) = match known.verdict {
        PreflightVerdict::Blocked => (Phase::Failed, Reason::PreflightFailed),
        PreflightVerdict::NoBenefit => (Phase::NoBenefit, Reason::NoBenefit),
        _ => (Phase::Preflight, Reason::PreflightUnknown),
    };
    let cannot = if reason == Reason::PreflightUnknown { " cannot tell" } else { "" };
    let message = format!("preflight of image {image}{cannot}: {}", known.sentence);
    let at = again_at(known);
    let next = if at.is_some() {
        format!("it is tried again, or a person retries now: {retry}")
    } else {
        format!(
            "nothing, until the image, the spec or the standard pool changes, or a person retries: {retry}"
        )
    };
    Some(Stop { phase: Some(phase), reason, message, next, at })
}

/// The tag names another image than the one that was looked at: what serves already is watched as ever, and gets no more.
fn moved(pass: &Pass<'_>) -> Option<Stop> {
    let known = pass.next.preflight.as_ref()?;
    let inspected = known.known().find_map(|(_, known)| known.image_id.as_deref())?;
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
    let mut sentences = Vec::new();
    for check in seen.wanted.keys() {
        let known = known(pass, seen, *check).filter(|known| known.verdict != PreflightVerdict::Measuring);
        let Some(known) = known else {
            let sentence = format!("{}: not done yet", check.name());
            return Some((None, "NotDone".into(), sentence));
        };
        let status = match known.verdict {
            PreflightVerdict::Passed => {
                sentences.push(known.sentence.clone());
                continue;
            }
            PreflightVerdict::Blocked | PreflightVerdict::NoBenefit => Some(false),
            _ => None,
        };
        return Some((status, format!("{:?}", known.verdict), known.sentence.clone()));
    }
    Some((Some(true), "Passed".into(), sentences.join("; ")))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

    use super::*;

    #[test]
    fn what_cannot_be_told_is_tried_again_less_and_less_often() {
        let at = Timestamp::from_second(1_800_000_000).unwrap();
        let wait = |unknown| {
            let known = CheckStatus { at: Some(MicroTime(at)), unknown, ..CheckStatus::default() };
            again_at(&known).unwrap().duration_since(at).as_mins()
        };
        assert_eq!([1, 2, 3, 6, 7, 100].map(wait), [1, 2, 4, 32, 60, 60]);
        let passed = CheckStatus {
            verdict: PreflightVerdict::Passed,
            at: Some(MicroTime(at)),
            ..CheckStatus::default()
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
