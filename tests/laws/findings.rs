//! What the judge may say, where only that matters. Shared by the tests of decisions and of writes.

use freethread_rollout::{
    api::{Percent, Reason},
    judge::{Baseline, Blind, Finding, FindingKind, History, Noise, Share},
};

/// An hour of 100 requests a second, 0.1 % of them bad.
pub(crate) fn history() -> History {
    let baseline = Baseline {
        noise: Noise { phi: 1.3, tau: 0.1 },
        learnt: true,
        per_second: 100.0,
        bad: 0.001,
        seconds: 3600.0,
        bad_requests: 360.0,
        pods: 9,
    };
    History { metric: "errors".into(), baseline, problem: None, boundaries: None }
}

pub(crate) fn clear() -> Finding {
    Finding {
        kind: FindingKind::Clear,
        reason: Reason::Stepping,
        sentence: "no worse than the standard pool".into(),
        evidence: Some(0.5),
        bound: Some(100.0),
        safe: None,
        metrics: vec![],
        blind: Blind::No,
        counts_from: None,
        observed: Some(Share { ours: Percent::from_ratio(0.1), of: 20.0 }),
        history: vec![history()],
        checkpoint: None,
        benefit: None,
        cost: None,
        standard_seen: true,
    }
}

pub(crate) fn breach() -> Finding {
    let sentence = "errors 21 % against 0.1 % on the standard pool".into();
    Finding { kind: FindingKind::Breach, reason: Reason::ErrorRate, sentence, ..clear() }
}
