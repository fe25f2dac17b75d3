//! The one door: hard signals and counts become one finding.

use super::{Finding, FindingKind};
use crate::api::Reason;

/// The finding that takes precedence: hard signal, breach, shared incident, unknown, clear, safe. A hard signal of the pods comes before
/// one of the counts (silence, half of the requests failing): it says more of the cause.
pub fn overall(hard: Option<(Reason, String)>, counts: Finding) -> Finding {
    match hard {
        Some((reason, sentence)) => Finding { kind: FindingKind::HardSignal, reason, sentence, ..counts },
        None => counts,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::Blind;

    #[test]
    fn hard_signals_come_first_and_keep_the_numbers() {
        let breach = Finding {
            kind: FindingKind::Breach,
            reason: Reason::ErrorRate,
            sentence: "errors".into(),
            evidence: Some(120.0),
            bound: Some(100.0),
            safe: None,
            metrics: vec![],
            blind: Blind::No,
            counts_from: None,
            observed: None,
            history: vec![],
            checkpoint: None,
            benefit: None,
            standard_seen: true,
        };
        assert_eq!(overall(None, breach.clone()), breach);
        let both = overall(Some((Reason::Crash, "pod a crashed".into())), breach);
        assert_eq!(
            (both.kind, both.reason, both.sentence.as_str()),
            (FindingKind::HardSignal, Reason::Crash, "pod a crashed")
        );
        assert_eq!((both.evidence, both.standard_seen), (Some(120.0), true));
        assert!(FindingKind::HardSignal < FindingKind::Breach && FindingKind::Unknown < FindingKind::Clear);
    }
}
