//! What a reader told last, which evidence it is of, and for how long it counts.

use jiff::Timestamp;
use tokio::sync::watch;

use crate::{
    api::AttemptStatus,
    judge::{Finding, FindingKind},
    observe::prometheus::AttemptKey,
};

/// Length of a window of the guard, after the last step.
const GUARD_WINDOW_MS: i64 = 24 * 3_600_000;

/// A finding, and the evidence that it is of.
pub(super) type Told = Option<(AttemptKey, Finding)>;

/// The evidence that counts: the attempt's, or after the last step the current window's.
pub(super) fn key(attempt: &AttemptStatus, now: Timestamp) -> AttemptKey {
    let since = match &attempt.guard_since {
        None => attempt.started_at.0.as_millisecond(),
        Some(guard) => {
            let guard = guard.0.as_millisecond();
            let windows = (now.as_millisecond() - guard).max(0) / GUARD_WINDOW_MS;
            guard + windows * GUARD_WINDOW_MS
        }
    };
    AttemptKey { attempt: attempt.number, since }
}

/// What counts of what was told, for the evidence `key`.
pub(super) fn counting(told: &Told, key: Option<AttemptKey>) -> Finding {
    match (told, key) {
        (Some((of, finding)), Some(key)) if *of == key || stands(*of, finding, key) => finding.clone(),
        _ => Finding::not_read_yet(),
    }
}

/// Tell what is found now, unless an earlier finding stands. Returns whether it is news.
pub(super) fn tell(latest: &watch::Sender<Told>, key: AttemptKey, finding: Finding) -> bool {
    latest.send_if_modified(|told| {
        if told.as_ref().is_some_and(|(of, before)| stands(*of, before, key)) {
            return false;
        }
        let words = |(key, f): &(AttemptKey, Finding)| {
            (
                *key,
                f.kind,
                f.reason,
                f.blind,
                f.standard_seen,
                f.counts_from,
                f.history.is_empty(),
                f.benefit.as_ref().map(|b| (b.outcome, b.blocks)),
                f.cost.as_ref().is_some_and(|cost| cost.ratio.is_some()),
            )
        };
        let now = Some((key, finding));
        let news = told.as_ref().map(words) != now.as_ref().map(words);
        *told = now;
        news
    })
}

/// What was found against the pool in an earlier window of the same attempt stands until it is acted on, which ends the attempt: a window
/// may end in the moment in which its breach is told, and the next one begins without evidence.
fn stands(of: AttemptKey, finding: &Finding, key: AttemptKey) -> bool {
    let against = matches!(finding.kind, FindingKind::HardSignal | FindingKind::Breach);
    against && of != key && of.attempt == key.attempt
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use serde_json::json;

    use super::*;

    fn found(kind: FindingKind) -> Finding {
        Finding { kind, ..Finding::not_read_yet() }
    }

    #[test]
    fn a_breach_told_as_the_guards_window_ends_counts_until_the_attempt_is_over() {
        let guard: Timestamp = "2026-11-23T19:00:00Z".parse().unwrap();
        let attempt: AttemptStatus = serde_json::from_value(json!({"number": 1, "startedAt": guard,
            "stepStartedAt": guard, "standardHash": "", "specHash": "", "cell": "1s", "guardSince": guard}))
        .unwrap();
        let ends = guard + SignedDuration::from_millis(GUARD_WINDOW_MS);
        let (old, new) = (key(&attempt, ends - SignedDuration::from_millis(1)), key(&attempt, ends));
        let another = AttemptKey { attempt: 2, ..new };
        assert_ne!(old, new);
        let latest = watch::channel(None).0;
        let kind = |key| counting(&latest.borrow(), Some(key)).kind;

        assert!(tell(&latest, old, found(FindingKind::Clear)));
        assert!(!tell(&latest, old, found(FindingKind::Clear)), "no news");
        assert_eq!((kind(old), kind(new)), (FindingKind::Clear, FindingKind::Unknown), "good news ends");
        assert!(tell(&latest, old, found(FindingKind::Breach)));
        assert_eq!((kind(old), kind(new)), (FindingKind::Breach, FindingKind::Breach));
        // The reader goes on with the next window and takes nothing back.
        assert!(!tell(&latest, new, found(FindingKind::Clear)));
        assert_eq!(kind(new), FindingKind::Breach);
        // What counted against one attempt says nothing of another.
        assert_eq!(kind(another), FindingKind::Unknown);
        assert!(tell(&latest, another, found(FindingKind::Clear)));
        assert_eq!((kind(another), kind(new)), (FindingKind::Clear, FindingKind::Unknown));
        assert_eq!(counting(&latest.borrow(), None).kind, FindingKind::Unknown, "no attempt");
    }
}
