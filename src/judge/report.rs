//! The counts' judgement in the words of the API.

use jiff::Timestamp;

use super::{
    Blind, Finding, FindingKind, Judgement, MetricKind, Pools, SafeOdds, Share, Signal, Verdict, Why,
};
use crate::api::{MetricStatus, Percent, Reason};

impl Finding {
    /// Nothing has been read yet in this attempt. Neither good news nor blindness.
    pub fn not_read_yet() -> Self {
        Self {
            kind: FindingKind::Unknown,
            reason: Reason::MetricsUnavailable,
            sentence: "the metrics have not been read yet".to_owned(),
            evidence: None,
            bound: None,
            safe: None,
            metrics: Vec::new(),
            blind: Blind::No,
            counts_from: None,
            observed: None,
            history: Vec::new(),
            checkpoint: None,
            benefit: None,
            cost: None,
            standard_seen: false,
        }
    }

    /// What the counts say; those of the step are from `counts_from` (ms since the epoch) on.
    pub fn of_counts(judgement: &Judgement, counts_from: i64) -> Self {
        let (kind, reason) = kind(&judgement.overall);
        let pools = judgement.blind.map(|blind| blind.pools);
        let metrics = judgement.metrics.iter().map(|metric| MetricStatus {
            name: metric.name.clone(),
            verdict: format!("{:?}", self::kind(&metric.verdict).0),
            sentence: metric.verdict.sentence(),
        });
        Self {
            kind,
            reason,
            sentence: judgement.overall.sentence(),
            evidence: Some(judgement.ratio),
            bound: Some(judgement.bound),
            safe: safe(judgement),
            metrics: metrics.collect(),
            blind: match pools {
                None | Some(Pools::Standard) => Blind::No,
                Some(Pools::FreeThreaded) => Blind::OurPool,
                Some(Pools::Both) => Blind::Everything,
            },
            counts_from: Timestamp::from_millisecond(counts_from).ok(),
            observed: observed(judgement),
            history: Vec::new(),
            checkpoint: None,
            benefit: None,
            cost: None,
            standard_seen: !matches!(pools, Some(Pools::Standard | Pools::Both)),
        }
    }
}

fn kind(verdict: &Verdict) -> (FindingKind, Reason) {
    match verdict {
        Verdict::HardSignal(Signal::HalfFailing { .. }) => (FindingKind::HardSignal, Reason::HalfFailing),
        Verdict::HardSignal(Signal::Silent { .. }) => (FindingKind::HardSignal, Reason::Silent),
        Verdict::Breach(evidence) => (
            FindingKind::Breach,
            match evidence.kind {
                MetricKind::Errors => Reason::ErrorRate,
                MetricKind::Latency => Reason::Latency,
                MetricKind::Counter => Reason::Counter,
                MetricKind::Restarts => Reason::Restarts,
            },
        ),
        Verdict::SharedIncident(_) => (FindingKind::SharedIncident, Reason::SharedIncident),
        Verdict::Unknown { why, .. } => (FindingKind::Unknown, unknown(why)),
        Verdict::Clear(_) => (FindingKind::Clear, Reason::Holding),
        Verdict::Safe(_) => (FindingKind::Safe, Reason::Holding),
    }
}

fn unknown(why: &Why) -> Reason {
    match why {
        Why::QueryFailed { .. } | Why::SeveralProcesses { .. } => Reason::MetricsUnavailable,
        Why::NoData { .. } | Why::Stale { .. } => Reason::Blind,
        Why::WarmingUp => Reason::WarmingUp,
        Why::Confirming { .. }
        | Why::NoTraffic { .. }
        | Why::NobodyToCompareWith
        | Why::NotEnough { .. }
        | Why::Ended => Reason::InsufficientEvidence,
    }
}

/// The least of all metrics that are compared.
fn safe(judgement: &Judgement) -> Option<SafeOdds> {
    let each = judgement.metrics.iter().filter_map(|metric| metric.verdict.evidence());
    let odds = each.filter_map(|e| Some(SafeOdds { ratio: e.safe?, bound: e.safe_bound }));
    odds.min_by(|a, b| a.ratio.total_cmp(&b.ratio))
}

/// The share of requests that our pool answered in this step, by the first metric that has counts.
fn observed(judgement: &Judgement) -> Option<Share> {
    judgement.metrics.iter().find_map(|metric| {
        let evidence = metric.verdict.evidence()?;
        let all = evidence.free_threaded.n + evidence.standard.n;
        (all > 0.0 && evidence.kind != MetricKind::Restarts)
            .then(|| Share { ours: Percent::from_ratio(evidence.free_threaded.n / all), of: all })
    })
}
