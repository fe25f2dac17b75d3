//! Counts out of a range of a Prometheus, as the rows of running counters that a file would have.

use std::{collections::BTreeMap, fmt::Write as _, path::PathBuf, sync::Arc};

use clap::Args;
use jiff::Timestamp;

use super::{args::ReplayArgs, fields::moment, problem::ReplayError, rollout};
use crate::{
    api::{FreeThreadRollout, Span, pool_name},
    judge::{At, PodSamples, Pool},
    observe::{
        presets::{ERRORS, LATENCY, MetricPlan},
        profiles::OperatorConfig,
        prometheus::{AttemptKey, HttpSource, PodTarget, QueryProblem, Reader, Scope, Window},
    },
};

/// Name of the profile that the options make.
const PROFILE: &str = "replay";

/// Longest range: a week of scrapes of a few pods is a lot to hold.
const LONGEST_MS: i64 = 7 * 86_400_000;

/// Most pods.
const MAX_PODS: usize = 2_000;

/// Where the counts are, if not in a file.
#[derive(Debug, Clone, Default, Args)]
pub struct RangeArgs {
    /// Read the counts from this Prometheus instead of a file, by its address, `http://localhost:9090` say.
    #[arg(long, value_name = "URL", requires = "from", conflicts_with_all = ["history", "cumulative", "ignore_unknown"])]
    pub prometheus: Option<String>,
    /// Prometheus: from when on.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub from: Option<i64>,
    /// Prometheus: until when. Default: now.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub to: Option<i64>,
    /// Prometheus: the namespace. Default: the rollout's own, or default.
    #[arg(long, value_name = "NAME")]
    pub namespace: Option<String>,
    /// Prometheus: a file with a bearer token.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Prometheus: names of the standard pool's pods, as a regular expression. Default: those of its Deployment.
    #[arg(long, value_name = "REGEX")]
    pub standard_pods: Option<String>,
    /// Prometheus: names of the free-threaded pool's pods. Default: those of the operator's Deployment.
    #[arg(long, value_name = "REGEX")]
    pub free_threaded_pods: Option<String>,
}

/// The rows, and what names them in a report.
///
/// # Errors
/// Prometheus cannot be asked, or has nothing to say.
pub(super) async fn fetch(args: &ReplayArgs, yaml: &str) -> Result<Vec<u8>, ReplayError> {
    let options = |problem: String| ReplayError::Options(problem);
    let rollout = rollout::read(yaml)
        .map_err(|problem| ReplayError::Rollout { file: args.rollout.display().to_string(), problem })?;
    let range = &args.range;
    let from = range.from.unwrap_or_default();
    let to = range.to.unwrap_or_else(|| Timestamp::now().as_millisecond());
    if from >= to || to - from > LONGEST_MS {
        let most = Span::from_millis(LONGEST_MS);
        return Err(options(format!("--to must be later than --from, and at most {most} later")));
    }
    let scrape = args.interval.unwrap_or(Span::from_secs(15)).millis();
    let asked = |problem: QueryProblem| ReplayError::Options(problem.to_string());
    let source = Arc::new(source(range)?);
    let mut plan = MetricPlan::of(&rollout.spec.analysis).map_err(|problem| options(problem.to_string()))?;
    plan.counts.retain(|counted| counted.metric == ERRORS);
    let scope = Scope {
        profile: PROFILE.to_owned(),
        rollout: PROFILE.to_owned(),
        namespace: range
            .namespace
            .clone()
            .or(rollout.metadata.namespace.clone())
            .unwrap_or_else(|| "default".to_owned()),
        labels: rollout.spec.analysis.labels.clone(),
    };
    let window = Window { from, to };
    let mut pods = Vec::new();
    for (pool, pattern) in patterns(range, &rollout) {
        let selector = plan
            .counts
            .first()
            .map(|counted| &counted.requests)
            .or(plan.latency.as_ref().map(|l| &l.buckets));
        let Some(selector) = selector else { continue };
        let names = source.pods_like(&scope, selector, &pattern, window).await.map_err(asked)?;
        if names.is_empty() {
            return Err(options(format!(
                "{} has no samples of the {pool} between --from and --to: no pod of namespace {} matches {pattern}, with a metric {}; \
                 see --namespace, --standard-pods and --free-threaded-pods",
                range.prometheus.as_deref().unwrap_or_default(),
                scope.namespace,
                selector.name,
            )));
        }
        pods.extend(names.into_iter().map(|name| PodTarget {
            name,
            pool,
            started: i64::MIN,
            counted_from: i64::MIN,
        }));
    }
    if pods.len() > MAX_PODS {
        return Err(options(format!("there are {} pods; at most {MAX_PODS} are read", pods.len())));
    }
    let reader = Reader::new(source);
    let key = AttemptKey { attempt: 1, since: from };
    let warm_up = rollout.spec.free_threaded.warm_up.millis();
    let mut rows = Rows::default();
    loop {
        let reading = reader.read(&scope, key, &plan, &pods, scrape, to).await;
        let caught_up = reading.caught_up();
        for (name, metric) in reading.metrics {
            for pod in metric.samples.map_err(asked)? {
                rows.add(&name, &pod, warm_up);
            }
        }
        if caught_up {
            return Ok(rows.csv(&plan));
        }
    }
}

fn source(range: &RangeArgs) -> Result<HttpSource, ReplayError> {
    let profile = serde_json::json!({"prometheus": {PROFILE: {
        "url": range.prometheus,
        "bearerTokenFile": range.token_file,
    }}});
    // JSON is YAML, so that the checks of the operator's configuration serve here too.
    let config = OperatorConfig::parse(&profile.to_string());
    Ok(HttpSource::new(config.map_err(|problem| ReplayError::Options(problem.to_string()))?.prometheus))
}

/// What the pods of a Deployment are called: its name, its template's hash, and five characters.
fn patterns(range: &RangeArgs, rollout: &FreeThreadRollout) -> [(Pool, String); 2] {
    let of = |deployment: &str| format!("{deployment}-[a-z0-9]{{1,10}}-[a-z0-9]{{5}}");
    let ours = pool_name(rollout.metadata.name.as_deref().unwrap_or_default());
    let standard = range.standard_pods.clone().unwrap_or_else(|| of(&rollout.spec.workload_ref.name));
    let ours = range.free_threaded_pods.clone().unwrap_or_else(|| of(&ours));
    [(Pool::Standard, standard), (Pool::FreeThreaded, ours)]
}

/// What each pod showed at each scrape.
#[derive(Default)]
struct Rows {
    all: BTreeMap<(i64, String), Row>,
}

struct Row {
    pool: Pool,
    young: bool,
    requests: f64,
    errors: f64,
    /// Requests of the histogram, and those that were slow.
    timed: f64,
    slow: f64,
}

impl Rows {
    fn add(&mut self, metric: &str, pod: &PodSamples, warm_up: i64) {
        // The windows of two readings overlap: what is known is not added up twice.
        let mut sums: BTreeMap<i64, (f64, f64)> = BTreeMap::new();
        for series in pod.series.iter().filter(|series| !matches!(series.at, At::Other(_))) {
            for point in &series.points {
                let (n, k) = sums.entry(point.at).or_default();
                *n += series.n * point.value;
                *k += series.k * point.value;
            }
        }
        let started =
            pod.process_start.iter().map(|point| point.value * 1000.0).fold(f64::NEG_INFINITY, f64::max);
        for (at, (n, k)) in sums {
            let row = self.all.entry((at, pod.pod.clone())).or_insert(Row {
                pool: pod.pool,
                young: (at as f64) < started + warm_up as f64,
                requests: 0.0,
                errors: 0.0,
                timed: 0.0,
                slow: 0.0,
            });
            if metric == LATENCY {
                (row.timed, row.slow) = (n, k);
            } else {
                (row.requests, row.errors) = (n, k);
            }
        }
    }

    /// As `docs/replay.md` has it.
    fn csv(&self, plan: &MetricPlan) -> Vec<u8> {
        let (errors, latency) = (!plan.counts.is_empty(), plan.latency.is_some());
        let mut text = "time,pool,pod,requests".to_owned();
        text.push_str(if errors { ",errors" } else { "" });
        text.push_str(if latency { ",slow" } else { "" });
        text.push_str(",young\n");
        for ((at, pod), row) in &self.all {
            let pool = match row.pool {
                Pool::Standard => "standard",
                Pool::FreeThreaded => "free-threaded",
            };
            let time = Timestamp::from_millisecond(*at).unwrap_or_default();
            // Writing to a String cannot fail.
            let _ = write!(text, "{time},{pool},{pod},{}", if errors { row.requests } else { row.timed });
            if errors {
                let _ = write!(text, ",{}", row.errors);
            }
            if latency {
                let _ = write!(text, ",{}", row.slow);
            }
            let _ = writeln!(text, ",{}", row.young);
        }
        text.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::{Point, Series};

    #[test]
    fn scrapes_become_rows_of_running_counters() {
        let series = |n, k, at, values: &[(i64, f64)]| Series {
            id: format!("{n}{k}{at:?}"),
            n,
            k,
            at,
            points: values.iter().map(|(at, value)| Point { at: *at, value: *value }).collect(),
        };
        let pod = |series| PodSamples {
            pod: "orders-ft-7d-abcde".into(),
            pool: Pool::FreeThreaded,
            started: i64::MIN,
            counted_from: i64::MIN,
            series,
            process_start: vec![Point { at: 0, value: 1_800_000_000.0 - 115.0 }],
        };
        let at = [1_800_000_000_000, 1_800_000_015_000];
        let errors = pod(vec![
            series(1.0, 0.0, At::Everywhere, &[(at[0], 90.0), (at[1], 95.0)]),
            series(1.0, 1.0, At::Everywhere, &[(at[1], 2.0)]),
        ]);
        let latency = pod(vec![
            series(1.0, 1.0, At::Everywhere, &[(at[0], 90.0), (at[1], 97.0)]),
            series(0.0, -1.0, At::Threshold, &[(at[0], 88.0), (at[1], 94.0)]),
            series(0.0, -1.0, At::Other(0), &[(at[0], 1.0)]),
        ]);
        let mut rows = Rows::default();
        for _ in 0..2 {
            rows.add("errors", &errors, 120_000);
            rows.add("latency", &latency, 120_000);
        }
        let analysis = serde_json::from_value(serde_json::json!({
            "preset": "fastapi-instrumentator", "errorRate": {"max": "1%"}, "latency": {"threshold": "300ms", "max": "1%"},
        }));
        let csv = String::from_utf8(rows.csv(&MetricPlan::of(&analysis.unwrap()).unwrap())).unwrap();
        assert_eq!(
            csv,
            "time,pool,pod,requests,errors,slow,young\n\
             2027-01-15T08:00:00Z,free-threaded,orders-ft-7d-abcde,90,0,2,true\n\
             2027-01-15T08:00:15Z,free-threaded,orders-ft-7d-abcde,97,2,3,false\n"
        );
    }
}
