//! What Prometheus has scraped, and how often it was asked, through the API server's proxy.

use std::fmt::Write as _;

use freethread_rollout::api::pool_name;
use jiff::Timestamp;
use serde_json::Value;

use crate::{
    Result,
    cluster::{Cluster, within},
    context,
    stage::NAME,
};

/// Port of Prometheus' Service.
const PORT: u16 = 9090;
/// So long before the breach samples are read, to know what the counters stood at.
const BEFORE_S: f64 = 30.0;

/// A counter's samples, oldest first.
pub(super) type Series = Vec<(Timestamp, f64)>;

/// The counters of failed requests of the free-threaded pool's pods, from a little before `since` on.
pub(super) async fn failures(cluster: &Cluster, namespace: &str, since: Timestamp) -> Result<Vec<Series>> {
    let range = super::way::seconds(since, Timestamp::now()) + BEFORE_S;
    let pods = pool_name(NAME);
    let query = format!(
        r#"http_requests_total{{namespace="{namespace}",pod=~"{pods}-.*",status="5xx"}}[{range:.0}s]"#
    );
    let text = get(cluster, &format!("/api/v1/query?query={}", encoded(&query))).await?;
    let answer: Value = serde_json::from_str(&text).map_err(context("Prometheus' answer"))?;
    let series = answer.pointer("/data/result").and_then(Value::as_array);
    let series = series.ok_or_else(|| format!("Prometheus has no answer to {query}: {text}"))?;
    Ok(series.iter().map(|one| samples(&one["values"])).collect())
}

/// Queries that Prometheus has answered since it started.
pub(super) async fn queries(cluster: &Cluster) -> Result<f64> {
    Ok(queries_of(&get(cluster, "/metrics").await?))
}

async fn get(cluster: &Cluster, path: &str) -> Result<String> {
    let (namespace, name) = cluster.prometheus().await?;
    let uri = format!("/api/v1/namespaces/{namespace}/services/{name}:{PORT}/proxy{path}");
    let request = http::Request::get(uri).body(Vec::new())?;
    within(cluster.client.request_text(request)).await.map_err(context("Prometheus"))
}

/// `[[1700000000.123, "4"], ...]`
fn samples(values: &Value) -> Series {
    let sample = |pair: &Value| {
        // Prometheus writes milliseconds; as a float they are exact to the microsecond.
        let millis = (pair[0].as_f64()? * 1000.0).round();
        #[allow(clippy::cast_possible_truncation, reason = "milliseconds since the epoch")]
        let at = Timestamp::from_millisecond(millis as i64).ok()?;
        Some((at, pair[1].as_str()?.parse().ok()?))
    };
    values.as_array().into_iter().flatten().filter_map(sample).collect()
}

/// Scrapes after `since` that show more than the one before them, oldest first.
pub(super) fn news(series: &[Series], since: Timestamp) -> Vec<Timestamp> {
    let mut news: Vec<Timestamp> = series
        .iter()
        .flat_map(|samples| {
            // A counter that was not there before began at 0.
            let before = std::iter::once(0.0).chain(samples.iter().map(|(_, value)| *value));
            samples.iter().zip(before).filter(|((at, value), before)| *at > since && value > before)
        })
        .map(|((at, _), _)| *at)
        .collect();
    news.sort();
    news
}

/// The sum over all handlers of queries, whatever they were answered with.
fn queries_of(metrics: &str) -> f64 {
    let of_query = |line: &&str| {
        line.starts_with("prometheus_http_requests_total{") && line.contains(r#"handler="/api/v1/query"#)
    };
    let value = |line: &str| line.rsplit_once(' ')?.1.parse::<f64>().ok();
    metrics.lines().filter(of_query).filter_map(value).sum()
}

fn encoded(query: &str) -> String {
    query.bytes().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || byte == b'_' {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(1_700_000_000_000 + millis).unwrap()
    }

    #[test]
    fn only_what_rises_after_the_breach_is_news() {
        let old = samples(&json!([
            [1_699_999_999.5, "3"],
            [1_700_000_000.5, "3"],
            [1_700_000_001.501, "4"],
            [1_700_000_002.5, "4"],
        ]));
        let new = samples(&json!([[1_700_000_001.25, "1"], [1_700_000_002.25, "3"]]));
        assert_eq!(news(&[old, new], at(0)), [at(1250), at(1501), at(2250)]);
        assert_eq!(news(&[samples(&json!([[1_699_999_999.0, "1"]]))], at(0)), []);
    }

    #[test]
    fn queries_are_counted_over_all_their_handlers() {
        let metrics = "# TYPE prometheus_http_requests_total counter\n\
            prometheus_http_requests_total{code=\"200\",handler=\"/api/v1/query\"} 40\n\
            prometheus_http_requests_total{code=\"400\",handler=\"/api/v1/query_range\"} 2\n\
            prometheus_http_requests_total{code=\"200\",handler=\"/metrics\"} 7\n\
            prometheus_http_request_duration_seconds_count{handler=\"/api/v1/query\"} 40\n";
        assert!((queries_of(metrics) - 42.0).abs() < 1e-9);
    }

    #[test]
    fn a_query_is_one_word_of_a_uri() {
        assert_eq!(encoded(r#"a{b="c"}[5s]"#), "a%7Bb%3D%22c%22%7D%5B5s%5D");
    }
}
