//! One sentence per verdict, with its numbers. It is the same in status, event, log and CLI.

use super::{
    counts::Counts,
    signals::Signal,
    spec::MetricKind,
    verdict::{Evidence, Test, Verdict, Why},
};

impl Verdict {
    /// The sentence.
    pub fn sentence(&self) -> String {
        match self {
            Self::HardSignal(signal) => signal.sentence(),
            Self::Breach(e) | Self::Clear(e) => format!("{} {}; {}", measured(e), against(e), odds(e)),
            Self::Safe(e) => format!("{} {}; {}{}", measured(e), against(e), odds(e), safe(e)),
            Self::SharedIncident(e) => format!(
                "{} and {} of {} on the standard pool too, {}: both pools fail together, so nobody is blamed",
                measured(e),
                percent(e.standard.share()),
                number(e.standard.n),
                objective(e),
            ),
            Self::Unknown { why, evidence } => format!("{} unknown: {}", evidence.metric, why.sentence()),
        }
    }
}

impl Signal {
    /// The sentence.
    pub fn sentence(&self) -> String {
        match self {
            Self::HalfFailing { metric, free_threaded, standard, .. } => format!(
                "{metric} {} of the last {} requests against {} of {} on the standard pool: half or more fail",
                percent(free_threaded.share()),
                number(free_threaded.n),
                percent(standard.share()),
                number(standard.n),
            ),
            Self::Silent { completed, predicted, from, to, .. } => format!(
                "the free-threaded pool completed {} requests in {} s where its share of the traffic predicts {}",
                number(*completed),
                number((to - from) as f64 / 1000.0),
                number(*predicted),
            ),
        }
    }
}

impl Why {
    /// The reason, to follow "unknown:".
    pub fn sentence(&self) -> String {
        match self {
            Self::QueryFailed { problem } => format!("the query failed: {problem}"),
            Self::SeveralProcesses { pod } => format!(
                "the counters of pod {pod} jump between several processes; set PROMETHEUS_MULTIPROC_DIR so that one port \
                 reports all of them"
            ),
            Self::NoData { pools } => format!("no samples of the {pools}").replace("the both", "both"),
            Self::Stale { pools, age_ms } => {
                let age = number(*age_ms as f64 / 1000.0);
                format!("no fresh samples of the {pools} for {age} s").replace("the both", "both")
            }
            Self::Confirming { .. } => {
                "over the objective; looking for up to 30 s whether the standard pool fails as well"
                    .to_owned()
            }
            Self::WarmingUp => "all free-threaded pods are still warming up".to_owned(),
            Self::NoTraffic { pool } => format!("the {pool} has had no requests in this step"),
            Self::NobodyToCompareWith => {
                "at 100 % there is nobody to compare with, and it has no max of its own".to_owned()
            }
            Self::NotEnough { have, need } => {
                format!("{} of {} requests needed in this step", number(have.floor()), number(need.ceil()))
            }
            Self::Ended => "the attempt has ended, nothing is counted any more".to_owned(),
        }
    }
}

fn measured(e: &Evidence) -> String {
    let Counts { n, .. } = e.free_threaded;
    let share = percent(e.free_threaded.share());
    match e.kind {
        MetricKind::Restarts => format!("{}: {}", e.metric, restarts(&e.free_threaded)),
        MetricKind::Errors | MetricKind::Counter => format!("{} {share} of {} {}", e.metric, number(n), e.of),
        MetricKind::Latency => {
            let slow = e
                .slower_than
                .map_or_else(|| "too slow".to_owned(), |s| format!("slower than {}", duration(s)));
            format!("{}: {share} of {} requests {slow}", e.metric, number(n))
        }
    }
}

fn against(e: &Evidence) -> String {
    if e.test == Test::Objective {
        return objective(e);
    }
    if e.kind == MetricKind::Restarts {
        let standard = format!("against {} on the standard pool", restarts(&e.standard));
        return match e.tolerate {
            Some(delta) if delta > 0.0 => {
                format!("{standard} and {} per pod and day tolerated", number(delta * 86_400.0))
            }
            _ => standard,
        };
    }
    let standard =
        format!("against {} of {} on the standard pool", percent(e.standard.share()), number(e.standard.n));
    match e.tolerate {
        Some(delta) if delta > 0.0 => format!("{standard} and {} tolerated", setting(delta)),
        _ => standard,
    }
}

/// `4 in 2.1 pod-hours`.
fn restarts(counts: &Counts) -> String {
    format!("{} in {}", number(counts.k), exposure(counts.n / 3600.0))
}

/// Pod-hours for people: a young pool's are minutes.
pub(super) fn exposure(hours: f64) -> String {
    if hours < 0.1 { format!("{:.1} pod-minutes", hours * 60.0) } else { format!("{hours:.1} pod-hours") }
}

fn objective(e: &Evidence) -> String {
    format!("against the objective {}", setting(e.objective.unwrap_or_default()))
}

fn odds(e: &Evidence) -> String {
    format!("evidence {}:1, acts at {}:1", ratio(e.ratio), number(e.bound))
}

/// `; safe 25:1, enough at 20:1`.
fn safe(e: &Evidence) -> String {
    let safe = e.safe.map(|safe| format!("; safe {}:1, enough at {}:1", ratio(safe), number(e.safe_bound)));
    safe.unwrap_or_default()
}

pub(crate) fn ratio(ratio: f64) -> String {
    match ratio {
        r if r > 1e9 => "over 1,000,000,000".to_owned(),
        r if r >= 10.0 => number(r),
        r if r >= 0.1 => format!("{r:.1}"),
        _ => "under 0.1".to_owned(),
    }
}

/// A duration of `seconds`, with three digits: a boundary of a native histogram has any number of them.
pub(crate) fn duration(seconds: f64) -> String {
    let (value, unit) = if seconds < 1.0 { (seconds * 1000.0, "ms") } else { (seconds, "s") };
    let decimals = match value {
        v if v >= 99.95 => 0,
        v if v >= 9.995 => 1,
        _ => 2,
    };
    let text = format!("{value:.decimals$}");
    let short = if decimals > 0 { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{short} {unit}")
}

/// A measured share.
pub(crate) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent > 0.0 && percent < 0.01 {
        "under 0.01 %".to_owned()
    } else if percent > 0.0 && percent < 0.095 {
        format!("{percent:.2} %")
    } else if percent == 0.0 || percent >= 99.95 {
        format!("{percent:.0} %")
    } else {
        format!("{percent:.1} %")
    }
}

/// A share that somebody wrote down: no more digits than it has.
pub(crate) fn setting(share: f64) -> String {
    let digits = format!("{:.4}", share * 100.0);
    format!("{} %", digits.trim_end_matches('0').trim_end_matches('.'))
}

/// A whole number with its thousands apart.
pub(crate) fn number(value: f64) -> String {
    let digits = format!("{:.0}", value.max(0.0));
    let mut out = String::with_capacity(digits.len() * 4 / 3 + 1);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::{freshness::Pools, samples::Pool};

    fn evidence(test: Test) -> Evidence {
        Evidence {
            metric: "errors".to_owned(),
            kind: MetricKind::Errors,
            of: "requests".to_owned(),
            test,
            free_threaded: Counts::new(342.0, 73.0),
            standard: Counts::new(3120.0, 3.0),
            from: Some(0),
            to: 15_000,
            ratio: 3410.2,
            term: 3400.0,
            bound: 100.0,
            safe: Some(31.0),
            safe_bound: 20.0,
            objective: Some(0.01),
            tolerate: Some(0.0),
            slower_than: None,
        }
    }

    #[test]
    fn breaches() {
        assert_eq!(
            Verdict::Breach(evidence(Test::Regression)).sentence(),
            "errors 21.3 % of 342 requests against 0.1 % of 3,120 on the standard pool; evidence 3,410:1, acts at 100:1"
        );
        assert_eq!(
            Verdict::Breach(evidence(Test::Objective)).sentence(),
            "errors 21.3 % of 342 requests against the objective 1 %; evidence 3,410:1, acts at 100:1"
        );
        let tolerant = Evidence { tolerate: Some(0.002), ratio: 1e12, ..evidence(Test::Regression) };
        assert_eq!(
            Verdict::Breach(Evidence {
                kind: MetricKind::Latency,
                metric: "latency".to_owned(),
                slower_than: Some(0.25),
                ..tolerant
            })
            .sentence(),
            "latency: 21.3 % of 342 requests slower than 250 ms against 0.1 % of 3,120 on the standard pool and 0.2 % tolerated; \
             evidence over 1,000,000,000:1, acts at 100:1"
        );
    }

    #[test]
    fn restarts_and_counters_of_the_users_own() {
        let restarts = Evidence {
            metric: "restarts".to_owned(),
            kind: MetricKind::Restarts,
            free_threaded: Counts::new(7560.0, 4.0),
            standard: Counts::new(44_640.0, 0.0),
            ..evidence(Test::Regression)
        };
        assert_eq!(
            Verdict::Breach(restarts.clone()).sentence(),
            "restarts: 4 in 2.1 pod-hours against 0 in 12.4 pod-hours on the standard pool; evidence 3,410:1, acts at 100:1"
        );
        let tolerant = Evidence { tolerate: Some(2.0 / 86_400.0), ..restarts };
        assert!(Verdict::Breach(tolerant).sentence().contains("pool and 2 per pod and day tolerated; "));
        let own = Evidence {
            metric: "mismatches".to_owned(),
            kind: MetricKind::Counter,
            of: "shadow_compared_total".to_owned(),
            ..evidence(Test::Regression)
        };
        assert_eq!(
            Verdict::Breach(own).sentence(),
            "mismatches 21.3 % of 342 shadow_compared_total against 0.1 % of 3,120 on the standard pool; evidence 3,410:1, acts \
             at 100:1"
        );
    }

    #[test]
    fn durations_are_short() {
        let all = [0.0005, 0.25, 0.297_301_778, 0.005, 1.0, 2.5, 1.189_207, 30.0, 0.1 + 0.2, 120.0];
        let told: Vec<String> = all.into_iter().map(duration).collect();
        assert_eq!(
            told,
            ["0.5 ms", "250 ms", "297 ms", "5 ms", "1 s", "2.5 s", "1.19 s", "30 s", "300 ms", "120 s"]
        );
    }

    #[test]
    fn the_rest() {
        let shared = Evidence { standard: Counts::new(3000.0, 600.0), ..evidence(Test::Objective) };
        assert_eq!(
            Verdict::SharedIncident(shared).sentence(),
            "errors 21.3 % of 342 requests and 20.0 % of 3,000 on the standard pool too, against the objective 1 %: both pools \
             fail together, so nobody is blamed"
        );
        let healthy =
            Evidence { free_threaded: Counts::new(5000.0, 2.0), ratio: 0.42, ..evidence(Test::Regression) };
        assert_eq!(
            Verdict::Clear(healthy.clone()).sentence(),
            "errors 0.04 % of 5,000 requests against 0.1 % of 3,120 on the standard pool; evidence 0.4:1, acts at 100:1"
        );
        assert_eq!(
            Verdict::Safe(healthy).sentence(),
            "errors 0.04 % of 5,000 requests against 0.1 % of 3,120 on the standard pool; evidence 0.4:1, acts at 100:1; \
             safe 31:1, enough at 20:1"
        );
        let silent = Signal::Silent {
            metric: "errors".to_owned(),
            completed: 3.0,
            predicted: 140.2,
            from: 0,
            to: 20_000,
        };
        assert_eq!(
            Verdict::HardSignal(silent).sentence(),
            "the free-threaded pool completed 3 requests in 20 s where its share of the traffic predicts 140"
        );
        for (why, expected) in [
            (Why::NoData { pools: Pools::Both }, "no samples of both pools"),
            (
                Why::Stale { pools: Pools::FreeThreaded, age_ms: 75_400 },
                "no fresh samples of the free-threaded pool for 75 s",
            ),
            (Why::NoTraffic { pool: Pool::Standard }, "the standard pool has had no requests in this step"),
            (Why::NotEnough { have: 299.9, need: 300.0 }, "299 of 300 requests needed in this step"),
        ] {
            assert_eq!(
                Verdict::Unknown { why, evidence: evidence(Test::Regression) }.sentence(),
                format!("errors unknown: {expected}")
            );
        }
    }
}
