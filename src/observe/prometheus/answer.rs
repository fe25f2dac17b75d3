//! Prometheus' answers as samples. Own types, because the client crate's refuse a series with native histograms.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{
    Point, RawSeries,
    native::{self, Histogram, Native},
};

#[derive(Deserialize)]
struct Envelope {
    status: String,
    data: Option<Data>,
    #[serde(rename = "errorType")]
    error_type: Option<String>,
    error: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    result_type: String,
    #[serde(default)]
    result: Vec<Row>,
}

/// `values` of a matrix; a series of native histograms has `histograms` instead, or as well.
#[derive(Deserialize)]
struct Row {
    #[serde(default)]
    metric: BTreeMap<String, String>,
    #[serde(default)]
    values: Vec<(f64, String)>,
    /// Of a vector.
    value: Option<(f64, String)>,
    #[serde(default)]
    histograms: Vec<(f64, Native)>,
    histogram: Option<(f64, Native)>,
}

/// An error as Prometheus words it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) kind: String,
    pub(super) message: String,
}

/// The error in a body, if it is one of Prometheus' own.
pub(super) fn refusal(body: &[u8]) -> Option<Refusal> {
    let envelope: Envelope = serde_json::from_slice(body).ok()?;
    Some(Refusal { kind: envelope.error_type.unwrap_or_default(), message: envelope.error? })
}

/// The rows of a successful answer of that type, or what is wrong with it.
fn rows(body: &[u8], wanted: &str) -> Result<Vec<Row>, String> {
    let envelope: Envelope = serde_json::from_slice(body).map_err(|why| why.to_string())?;
    if envelope.status != "success" {
        return Err(format!("status '{}': {}", envelope.status, envelope.error.unwrap_or_default()));
    }
    let data = envelope.data.ok_or("it has no data")?;
    if data.result_type != wanted {
        return Err(format!("a {} came instead of a {wanted}", data.result_type));
    }
    Ok(data.result)
}

/// A matrix as raw series: NaN (stale markers among them), infinities and negative values are no counts and are dropped.
pub(super) fn matrix(body: &[u8]) -> Result<Vec<RawSeries>, String> {
    let series = rows(body, "matrix")?.into_iter().map(|row| {
        let mut labels = row.metric;
        labels.remove("__name__");
        let mut points: Vec<Point> = row.values.iter().filter_map(|(at, value)| point(*at, value)).collect();
        tidy(&mut points);
        RawSeries { labels, points }
    });
    Ok(series.collect())
}

/// A matrix of one series with all that is in it, NaN too; or how many series there are.
pub(super) fn numbers(body: &[u8]) -> Result<Result<Vec<Point>, usize>, String> {
    let mut rows = rows(body, "matrix")?;
    if rows.len() > 1 {
        return Ok(Err(rows.len()));
    }
    let values = rows.pop().map(|row| row.values).unwrap_or_default();
    let number = |(at, value): &(f64, String)| Some(Point { at: instant(*at)?, value: value.parse().ok()? });
    let mut points: Vec<Point> = values.iter().filter_map(number).collect();
    tidy(&mut points);
    Ok(Ok(points))
}

/// Native histograms in a matrix, as buckets of those boundaries.
pub(super) fn histograms(body: &[u8], edges: &[f64]) -> Result<Vec<RawSeries>, String> {
    let series = rows(body, "matrix")?.into_iter().flat_map(|mut row| {
        row.metric.remove("__name__");
        native::buckets(&row.metric, &row.histograms, edges)
    });
    Ok(series.collect())
}

/// The native histograms in a vector.
pub(super) fn histogram(body: &[u8]) -> Result<Vec<Histogram>, String> {
    let of = |row: Row| row.histogram.and_then(|(_, native)| Histogram::of(&native));
    Ok(rows(body, "vector")?.into_iter().filter_map(of).collect())
}

/// The single number in a vector; 0 without one.
pub(super) fn number(body: &[u8]) -> Result<f64, String> {
    let numbers = rows(body, "vector")?.into_iter().filter_map(|row| row.value?.1.parse::<f64>().ok());
    Ok(numbers.filter(|number| number.is_finite()).sum())
}

/// The values of one label in a vector.
pub(super) fn label_values(body: &[u8], label: &str) -> Result<Vec<String>, String> {
    let values = rows(body, "vector")?.into_iter().filter_map(|mut row| row.metric.remove(label));
    Ok(values.collect())
}

/// The numbers in a vector, by the values of one label.
pub(super) fn by_label(body: &[u8], label: &str) -> Result<Vec<(String, f64)>, String> {
    let number = |mut row: Row| {
        let (at, value) = row.value?;
        Some((row.metric.remove(label)?, point(at, &value)?.value))
    };
    Ok(rows(body, "vector")?.into_iter().filter_map(number).collect())
}

fn point(at: f64, value: &str) -> Option<Point> {
    let value: f64 = value.parse().ok()?;
    if !value.is_finite() || value < 0.0 {
        return None;
    }
    Some(Point { at: instant(at)?, value })
}

/// A time in milliseconds since the epoch.
pub(super) fn instant(at: f64) -> Option<i64> {
    let millis = (at * 1000.0).round();
    #[expect(clippy::cast_possible_truncation, reason = "checked: within 2^53")]
    (0.0..9.0e15).contains(&millis).then_some(millis as i64)
}

/// In order of time, one sample per time.
pub(super) fn tidy(points: &mut Vec<Point>) {
    points.sort_by_key(|point| point.at);
    points.dedup_by_key(|point| point.at);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_loses_what_is_no_count() {
        let body = br#"{"status":"success","data":{"resultType":"matrix","result":[
            {"metric":{"__name__":"m","pod":"a"},"values":[[20.001,"3"],[10,"1"],[15,"NaN"],[16,"+Inf"],[17,"-1"],[10,"9"]]},
            {"metric":{"pod":"b"},"histograms":[[10,{"count":"3","sum":"1","buckets":[]}]]}]}}"#;
        let series = matrix(body).unwrap();
        assert_eq!(series[0].labels.keys().collect::<Vec<_>>(), ["pod"]);
        assert_eq!(series[0].points, [Point { at: 10_000, value: 1.0 }, Point { at: 20_001, value: 3.0 }]);
        assert!(series[1].points.is_empty());
    }

    #[test]
    fn numbers_by_label() {
        let body = br#"{"status":"success","data":{"resultType":"vector","result":[
            {"metric":{"le":"0.5"},"value":[20.001,"3.25"]},{"metric":{"le":"1"},"value":[20.001,"NaN"]},
            {"metric":{},"value":[20.001,"1"]},{"metric":{"le":"2"}},{"metric":{"le":"+Inf"},"value":[20.001,"4"]}]}}"#;
        assert_eq!(by_label(body, "le").unwrap(), [("0.5".to_owned(), 3.25), ("+Inf".to_owned(), 4.0)]);
    }

    #[test]
    fn a_gauge_is_one_series_and_keeps_what_is_no_count() {
        let body = |rows: &str| {
            format!(r#"{{"status":"success","data":{{"resultType":"matrix","result":[{rows}]}}}}"#)
        };
        let one = r#"{"metric":{},"values":[[1,"-2.5"],[2,"NaN"],[3,"4"]]}"#;
        let points = numbers(body(one).as_bytes()).unwrap().unwrap();
        assert_eq!(points.len(), 3);
        assert!((points[0].value + 2.5).abs() < 1e-12 && points[1].value.is_nan());
        assert_eq!(numbers(body(&format!("{one},{one}")).as_bytes()), Ok(Err(2)));
        assert_eq!(numbers(body("").as_bytes()), Ok(Ok(vec![])));
    }

    #[test]
    fn what_is_no_matrix_says_why() {
        for (body, why) in [
            ("<html>", "expected value"),
            (r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#, "a vector came"),
            (r#"{"status":"error","errorType":"bad_data","error":"x"}"#, "status 'error': x"),
            (r#"{"status":"success"}"#, "no data"),
        ] {
            let error = matrix(body.as_bytes()).unwrap_err();
            assert!(error.contains(why), "{body}: {error}");
        }
    }
}
