//! The one door: hard signals and counts become one finding.

use super::{Finding, FindingKind, GaugeFinding, GaugeVerdict, MemoryFinding};
use crate::api::{MetricStatus, Reason};

/// The finding that takes precedence: hard signal, breach, shared incident, unknown, clear, safe. A hard signal of the pods comes before
/// one of the counts (silence, half of the requests failing): it says more of the cause.
pub fn overall(hard: Option<(Reason, String)>, counts: Finding) -> Finding {
    match hard {
        Some((reason, sentence)) => Finding { kind: FindingKind::HardSignal, reason, sentence, ..counts },
        None => counts,
    }
}

/// What is watched beside the counts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Beside {
    /// Growth of memory, or why it cannot be read.
    pub memory: Option<Result<MemoryFinding, String>>,
    /// Gauges of the user's own.
    pub gauges: Vec<GaugeFinding>,
}

impl Beside {
    /// Everything together. What the counts hold against the pool is said first; what cannot be read is no good news.
    pub fn with(&self, mut counts: Finding) -> Finding {
        let mut found = Vec::new();
        match &self.memory {
            None => {}
            Some(Ok(memory)) if memory.leaks => {
                found.push(("memory", FindingKind::Breach, Reason::Memory, memory.sentence.clone()));
            }
            // Whether it grows is known after hours, and no step waits for them.
            Some(Ok(memory)) => {
                found.push(("memory", FindingKind::Safe, Reason::Holding, memory.sentence.clone()));
            }
            Some(Err(problem)) => {
                let sentence = format!("memory unknown: {problem}");
                found.push(("memory", FindingKind::Unknown, Reason::MetricsUnavailable, sentence));
            }
        }
        for gauge in &self.gauges {
            let (kind, reason) = match gauge.verdict {
                GaugeVerdict::Outside => (FindingKind::HardSignal, Reason::Gauge),
                GaugeVerdict::Unknown => (FindingKind::Unknown, Reason::MetricsUnavailable),
                GaugeVerdict::NotYet => (FindingKind::Unknown, Reason::InsufficientEvidence),
                GaugeVerdict::Inside => (FindingKind::Safe, Reason::Holding),
            };
            found.push((&gauge.name, kind, reason, gauge.sentence.clone()));
        }
        for (name, kind, reason, sentence) in found {
            let verdict = if kind == FindingKind::Safe { FindingKind::Clear } else { kind };
            counts.metrics.push(MetricStatus {
                name: name.to_owned(),
                verdict: format!("{verdict:?}"),
                sentence: sentence.clone(),
            });
            // Of two that are equal the first is told; against the pool counts whatever is against it.
            let against = |kind| matches!(kind, FindingKind::HardSignal | FindingKind::Breach);
            if kind < counts.kind && !against(counts.kind) {
                (counts.kind, counts.reason, counts.sentence) = (kind, reason, sentence);
            }
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::Blind;

    #[test]
    fn what_is_beside_the_counts_can_only_make_it_worse() {
        let clear =
            Finding { kind: FindingKind::Clear, sentence: "errors".into(), ..Finding::not_read_yet() };
        let memory = |leaks| Some(Ok(MemoryFinding { leaks, sentence: "memory grew".into() }));
        let gauge = |verdict| GaugeFinding { name: "queue".into(), verdict, sentence: "queue is 9".into() };
        let with = |counts: &Finding, memory, gauges: &[GaugeFinding]| {
            Beside { memory, gauges: gauges.to_vec() }.with(counts.clone())
        };
        let said = |found: &Finding| (found.kind, found.sentence.clone());
        let well = with(&clear, memory(false), &[gauge(GaugeVerdict::Inside)]);
        assert_eq!(said(&well), (FindingKind::Clear, "errors".into()));
        assert_eq!(well.metrics.iter().map(|m| m.verdict.as_str()).collect::<Vec<_>>(), ["Clear", "Clear"]);
        let leak = with(&clear, memory(true), &[gauge(GaugeVerdict::Outside)]);
        assert_eq!((said(&leak), leak.reason), ((FindingKind::Breach, "memory grew".into()), Reason::Memory));
        let outside = with(&clear, memory(false), &[gauge(GaugeVerdict::Outside)]);
        assert_eq!((outside.kind, outside.reason), (FindingKind::HardSignal, Reason::Gauge));
        let blind = with(&clear, Some(Err("no answer".into())), &[]);
        assert_eq!(said(&blind), (FindingKind::Unknown, "memory unknown: no answer".into()));
        let early = with(&clear, None, &[gauge(GaugeVerdict::NotYet)]);
        assert_eq!((early.kind, early.reason), (FindingKind::Unknown, Reason::InsufficientEvidence));
        let unknown = Finding { kind: FindingKind::Unknown, ..clear.clone() };
        assert_eq!(with(&unknown, None, &[gauge(GaugeVerdict::Unknown)]).sentence, "errors");
        let breach = Finding { kind: FindingKind::Breach, ..clear };
        assert_eq!(said(&with(&breach, memory(true), &[gauge(GaugeVerdict::Outside)])).1, "errors");
    }

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
            cost: None,
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
