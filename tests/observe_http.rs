//! Prometheus over HTTP, against a small server that misbehaves on purpose.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::{
    io::Write as _,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Response, StatusCode},
    routing::post,
};
use freethread_rollout::{
    api::{Analysis, TargetLabels},
    observe::{
        presets::{Chosen, LatencyPlan, MetricPlan},
        profiles::OperatorConfig,
        prometheus::{
            At, AttemptKey, HttpSource, MAX_SERIES, MetricSource, PodSamples, PodTarget, Point, Pool,
            QueryProblem, RawSeries, Reader, Reading, Scope, Window, promql::Selector,
        },
    },
};

/// One request as the server saw it: form fields and the Authorization header.
#[derive(Clone, Debug)]
struct Seen {
    query: String,
    time: String,
    authorization: Option<String>,
    tenant: Option<String>,
}

type Log = Arc<Mutex<Vec<Seen>>>;

/// Serves `answer(query)` for every query, and says where.
async fn serve(answer: impl Fn(&str) -> (u16, String) + Clone + Send + Sync + 'static) -> (String, Log) {
    let log = Log::default();
    let seen = log.clone();
    let handler = move |headers: HeaderMap, body: String| {
        let (answer, seen) = (answer.clone(), seen.clone());
        async move {
            let form = reqwest::Url::parse(&format!("http://x/?{body}")).unwrap();
            let field = |name: &str| {
                form.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned()).unwrap()
            };
            let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
            let query = field("query");
            seen.lock().unwrap().push(Seen {
                query: query.clone(),
                time: field("time"),
                authorization: header("authorization"),
                tenant: header("x-scope-orgid"),
            });
            let (code, text) = answer(&query);
            if code == 0 {
                std::future::pending::<()>().await;
            }
            let mut response = Response::new(Body::from(text));
            *response.status_mut() = StatusCode::from_u16(code).unwrap();
            if code == 302 {
                response.headers_mut().insert("location", "http://127.0.0.1:1/stolen".parse().unwrap());
            }
            response
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let app = Router::new().route("/api/v1/query", post(handler));
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    (address, log)
}

fn source(url: &str, more: &str) -> HttpSource {
    let text = format!("prometheus: {{default: {{url: '{url}', queryTimeout: 1s{more}}}}}");
    HttpSource::new(OperatorConfig::parse(&text).unwrap().prometheus)
}

fn scope(rollout: &str) -> Scope {
    Scope {
        profile: "default".into(),
        rollout: rollout.into(),
        namespace: "shop".into(),
        labels: TargetLabels::default(),
    }
}

async fn samples(
    source: &HttpSource,
    rollout: &str,
    pods: usize,
    window: Window,
) -> Result<Vec<RawSeries>, QueryProblem> {
    let selector = Selector { name: "m".into(), matchers: Vec::new() };
    let pods: Vec<String> = (0..pods).map(|i| format!("p{i}")).collect();
    source.samples(&scope(rollout), &selector, &pods, window).await
}

const MINUTE: Window = Window { from: 940_000, to: 1_000_000 };

fn matrix(rows: &str) -> String {
    format!(r#"{{"status":"success","data":{{"resultType":"matrix","result":[{rows}]}}}}"#)
}

#[tokio::test]
async fn raw_samples_without_rate_and_without_nan() {
    let row = r#"{"metric":{"__name__":"m","pod":"p0"},"values":[[950.5,"1"],[960.5,"NaN"],[970.5,"3"],[900,"0"]]}"#;
    let (url, log) = serve(move |_| (200, matrix(row))).await;
    let series = samples(&source(&url, ", headers: {X-Scope-OrgID: blue}"), "r", 1, MINUTE).await.unwrap();
    assert_eq!(series.len(), 1);
    assert_eq!(series[0].points, [Point { at: 950_500, value: 1.0 }, Point { at: 970_500, value: 3.0 }]);
    let seen = log.lock().unwrap()[0].clone();
    assert_eq!(seen.query, r#"m{namespace="shop",pod=~"^(?:p0)$"}[60s]"#);
    assert_eq!(
        (seen.time.as_str(), seen.tenant.as_deref(), seen.authorization),
        ("1000.000", Some("blue"), None)
    );
}

#[tokio::test]
async fn an_empty_answer_is_no_series() {
    let (url, _) = serve(|_| (200, matrix(""))).await;
    assert_eq!(samples(&source(&url, ""), "r", 1, MINUTE).await, Ok(Vec::new()));
}

#[tokio::test]
async fn refusals_say_the_query_and_the_answer() {
    let bad = r#"{"status":"error","errorType":"bad_data","error":"invalid regexp"}"#;
    for (code, body, parts) in [
        (400, bad, vec!["answered 400: bad_data: invalid regexp", "m{namespace=\"shop\""]),
        (500, "<html>oh\nno", vec!["answered 500: <html>oh no"]),
        (401, "who are you", vec!["answered 401: who are you"]),
        (302, "", vec!["answered 302: a redirect, which is not followed"]),
        (200, "<html>login</html>", vec!["not understood", "m{namespace"]),
        (
            200,
            r#"{"status":"success","data":{"resultType":"scalar","result":[1,"1"]}}"#,
            vec!["not understood"],
        ),
    ] {
        let (url, log) = serve(move |_| (code, body.to_owned())).await;
        let problem = samples(&source(&url, ""), "r", 1, MINUTE).await.unwrap_err();
        for part in parts {
            assert!(problem.to_string().contains(part), "{code}: {problem}");
        }
        assert_eq!(log.lock().unwrap().len(), 1, "{code}: asked once");
        assert_eq!(problem.is_outage(), code != 400, "{code}");
    }
}

#[tokio::test]
async fn prometheus_own_timeout_is_a_timeout() {
    let body = r#"{"status":"error","errorType":"timeout","error":"query timed out"}"#;
    let (url, _) = serve(move |_| (503, body.to_owned())).await;
    let problem = samples(&source(&url, ""), "r", 1, MINUTE).await.unwrap_err();
    assert!(matches!(problem, QueryProblem::Timeout { .. }), "{problem}");
}

#[tokio::test]
async fn a_hanging_prometheus_costs_the_timeout_once() {
    let (url, log) = serve(|_| (0, String::new())).await;
    let source = source(&url, "");
    let start = Instant::now();
    let problem = samples(&source, "r", 1, MINUTE).await.unwrap_err();
    assert!(matches!(problem, QueryProblem::Timeout { .. }), "{problem}");
    assert!((900..3000).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
    // While it is left alone, the answer is at hand.
    let start = Instant::now();
    assert_eq!(samples(&source, "r", 1, MINUTE).await.unwrap_err(), problem);
    assert!(start.elapsed() < Duration::from_millis(200));
    assert_eq!(log.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_refused_connection_names_no_address() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let source = source(&format!("http://127.0.0.1:{port}"), "");
    let problem = samples(&source, "r", 1, MINUTE).await.unwrap_err();
    assert!(matches!(problem, QueryProblem::Unreachable { .. }), "{problem}");
    assert!(problem.to_string().to_lowercase().contains("refused"), "{problem}");
    assert!(!problem.to_string().contains(&port.to_string()), "{problem}");
    assert_eq!(
        samples(&source, "another", 1, MINUTE).await.unwrap_err(),
        problem,
        "everybody is told at once"
    );
}

#[tokio::test]
async fn many_pods_and_hours_are_many_queries_whose_answers_are_merged() {
    let row = r#"{"metric":{"pod":"p0"},"values":[[100,"1"],[3600,"2"],[7000,"3"]]}"#;
    let (url, log) = serve(move |_| (200, matrix(row))).await;
    let window = Window { from: 0, to: 7_200_000 };
    let series = samples(&source(&url, ""), "r", 501, window).await.unwrap();
    assert_eq!(series.len(), 1);
    assert_eq!(series[0].points.iter().map(|p| p.at).collect::<Vec<_>>(), [100_000, 3_600_000, 7_000_000]);
    let times: Vec<String> = log.lock().unwrap().iter().map(|seen| seen.time.clone()).collect();
    assert_eq!(times, ["3600.000", "7200.000", "3600.000", "7200.000"]);
    assert!(log.lock().unwrap().iter().all(|seen| seen.query.ends_with("[3600s]")));
}

#[tokio::test]
async fn too_many_series_say_what_to_narrow() {
    let (url, log) = serve(|_| {
        let rows: Vec<String> = (0..=MAX_SERIES)
            .map(|i| format!(r#"{{"metric":{{"path":"/{i}"}},"values":[[950,"1"]]}}"#))
            .collect();
        (200, matrix(&rows.join(",")))
    })
    .await;
    let source = source(&url, "");
    let problem = samples(&source, "r", 1, MINUTE).await.unwrap_err();
    assert!(matches!(problem, QueryProblem::TooLarge { .. }), "{problem}");
    assert!(
        problem.to_string().contains("over 20000 series") && problem.to_string().contains("matchers"),
        "{problem}"
    );
    assert_eq!(samples(&source, "r", 1, MINUTE).await.unwrap_err(), problem);
    assert_eq!(log.lock().unwrap().len(), 1, "not asked for again at once");
}

#[tokio::test]
async fn an_endless_answer_is_asked_for_in_shorter_pieces() {
    let (url, log) = serve(|query| {
        let long = query.ends_with("[240s]") || query.ends_with("[120s]");
        (200, if long { " ".repeat(25 << 20) } else { matrix("") })
    })
    .await;
    let window = Window { from: 760_000, to: 1_000_000 };
    let config = format!("prometheus: {{default: {{url: '{url}', queryTimeout: 5s}}}}");
    let source = HttpSource::new(OperatorConfig::parse(&config).unwrap().prometheus);
    assert_eq!(samples(&source, "r", 1, window).await, Ok(Vec::new()));
    let times: Vec<String> = log.lock().unwrap().iter().map(|seen| seen.time.clone()).collect();
    // The whole, its first half and that one's quarters, then the second half likewise.
    assert_eq!(times, ["1000.000", "880.000", "820.000", "880.000", "1000.000", "940.000", "1000.000"]);
}

#[tokio::test]
async fn a_minute_that_is_endless_is_given_up() {
    let (url, log) = serve(|_| (200, " ".repeat(25 << 20))).await;
    let config = format!("prometheus: {{default: {{url: '{url}', queryTimeout: 5s}}}}");
    let source = HttpSource::new(OperatorConfig::parse(&config).unwrap().prometheus);
    let problem = samples(&source, "r", 1, MINUTE).await.unwrap_err();
    assert!(problem.to_string().contains("over 24 MiB for one minute"), "{problem}");
    assert_eq!(log.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn credentials_come_from_files_and_follow_them() {
    let (url, log) = serve(|_| (200, matrix(""))).await;
    let mut file = tempfile();
    file.1.write_all(b"first\n").unwrap();
    let source = source(&url, &format!(", bearerTokenFile: {}", file.0.display()));
    samples(&source, "r", 1, MINUTE).await.unwrap();
    std::fs::write(&file.0, "second-token\n").unwrap();
    tokio::time::sleep(Duration::from_millis(2200)).await;
    samples(&source, "r", 1, MINUTE).await.unwrap();
    std::fs::remove_file(&file.0).unwrap();
    tokio::time::sleep(Duration::from_millis(2200)).await;
    let problem = samples(&source, "r", 1, MINUTE).await.unwrap_err();
    assert!(matches!(problem, QueryProblem::Configuration { .. }), "{problem}");
    let seen: Vec<_> = log.lock().unwrap().iter().map(|seen| seen.authorization.clone().unwrap()).collect();
    assert_eq!(seen, ["Bearer first", "Bearer second-token"]);
}

fn tempfile() -> (std::path::PathBuf, std::fs::File) {
    let path = std::env::temp_dir().join(format!("observe-http-{}", std::process::id()));
    let file = std::fs::File::create(&path).unwrap();
    (path, file)
}

#[tokio::test]
async fn an_unknown_profile_names_the_known_ones() {
    let source = source("http://127.0.0.1:1", "");
    let problem = source
        .samples(
            &Scope { profile: "prod".into(), ..scope("r") },
            &Selector { name: "m".into(), matchers: Vec::new() },
            &["a".into()],
            MINUTE,
        )
        .await
        .unwrap_err();
    assert_eq!(problem, QueryProblem::UnknownProfile { name: "prod".into(), known: "default".into() });
}

fn vector(rows: &str) -> String {
    format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{rows}]}}}}"#)
}

/// The plan for a histogram `h` of seconds with a threshold of 300 ms.
fn latency() -> MetricPlan {
    let analysis: Analysis = serde_json::from_value(serde_json::json!({
        "metrics": {"requests": {"name": "r"}, "latency": {"histogram": "h"}},
        "latency": {"threshold": "300ms", "max": "1%"},
    }))
    .unwrap();
    MetricPlan::of(&analysis).unwrap()
}

fn chosen(slow_over: f64, others: &[f64]) -> MetricPlan {
    let plan = latency();
    let chosen = Some(Chosen { slow_over, others: others.to_vec() });
    MetricPlan { latency: plan.latency.map(|latency| LatencyPlan { chosen, ..latency }), ..plan }
}

/// A Prometheus that has `h` as a native histogram alone: this one over the last hour, and these samples of each pod.
fn natively(hour: &'static str, samples: &'static str) -> impl Fn(&str) -> (u16, String) + Clone {
    move |query| {
        let answer = if query.contains("_bucket") {
            vector("")
        } else if query.starts_with("sum(increase(h{") {
            vector(&format!(r#"{{"metric":{{}},"histogram":[1000,{hour}]}}"#))
        } else if query.starts_with("count(h{") {
            vector(r#"{"metric":{},"value":[1000,"2"]}"#)
        } else if query.starts_with("h{") {
            let row =
                |pod| format!(r#"{{"metric":{{"__name__":"h","pod":"{pod}"}},"histograms":[{samples}]}}"#);
            matrix(&[row("old"), row("new")].join(","))
        } else {
            matrix("")
        };
        (200, answer)
    }
}

/// Schema 1: its boundaries are 0.25, 0.354, 0.5, 0.707 and 1 s; those of the next coarser one 0.25, 0.5 and 1 s.
const HOUR: &str = r#"{"count":"1000","sum":"300","buckets":[[3,"-0.001","0.001","100"],[0,"0.25","0.3535533905932738","650"],
    [0,"0.3535533905932738","0.5","200"],[0,"0.5","0.7071067811865476","40"],[0,"0.7071067811865476","1","10"]]}"#;

/// The same, a fall in between, and NaN.
const SAMPLES: &str = r#"[960,{"count":"10","sum":"3","buckets":[[0,"0.25","0.3535533905932738","6"],[0,"0.5","0.7071067811865476","4"]]}],
    [970,{"count":"12","sum":"3","buckets":[[0,"0.25","0.3535533905932738","7"],[0,"0.5","0.7071067811865476","5"]]}],
    [975,{"count":"NaN","sum":"NaN"}],[980,{"count":"3","sum":"1","buckets":[[0,"0.25","0.3535533905932738","3"]]}]"#;

async fn read_latency(url: &str, plan: &MetricPlan) -> Reading {
    let pods = [("old", Pool::Standard), ("new", Pool::FreeThreaded)].map(|(name, pool)| PodTarget {
        name: name.into(),
        pool,
        started: 0,
        counted_from: 0,
    });
    let reader = Reader::new(Arc::new(source(url, "")));
    let key = AttemptKey { attempt: 1, since: 950_000 };
    reader.read(&scope("r"), key, plan, &pods, 10_000, 1_000_000).await
}

fn points(samples: &PodSamples, at: At) -> Vec<(i64, f64)> {
    let series = samples.series.iter().find(|series| series.at == at).unwrap();
    series.points.iter().map(|point| (point.at / 1000, point.value)).collect()
}

#[tokio::test]
async fn a_native_histogram_is_read_where_there_are_no_buckets() {
    let (url, log) = serve(natively(HOUR, SAMPLES)).await;
    let reading = read_latency(&url, &latency()).await.metrics["latency"].clone();
    let boundary = reading.boundary.unwrap();
    assert!(boundary.native && (boundary.bucket - 0.5).abs() < 1e-12, "{boundary:?}");
    let samples = reading.samples.unwrap();
    assert_eq!(samples.len(), 2);
    assert_eq!(points(&samples[1], At::Everywhere), [(960, 10.0), (970, 12.0), (980, 3.0)]);
    assert_eq!(points(&samples[1], At::Threshold), [(960, 6.0), (970, 7.0), (980, 3.0)]);
    let queries: Vec<String> = log.lock().unwrap().iter().map(|seen| seen.query.clone()).collect();
    assert!(queries.iter().any(|query| query.starts_with("h{namespace=\"shop\"")), "{queries:?}");

    let reader = Reader::new(Arc::new(source(&url, "")));
    let plan = latency().latency.unwrap();
    let window = Window { from: 0, to: 1_000_000 };
    let pods = ["old".to_owned()];
    let survey = reader.survey(&scope("r"), &plan, &pods, 10_000, window).await.unwrap().unwrap();
    assert_eq!(survey.chosen, Chosen { slow_over: 0.5, others: vec![] });
    assert_eq!(
        survey.resolution,
        "slow is over 500 ms, as no bucket ends at 300 ms: the boundaries next to it are 250 ms and 500 ms, and a slowdown under \
         2 times can be missed between them"
    );
}

#[tokio::test]
async fn chosen_boundaries_of_a_native_histogram_survive_a_halved_resolution_or_say_so() {
    let halved = r#"[960,{"count":"10","sum":"3","buckets":[[0,"0.25","0.5","6"],[0,"0.5","1","4"]]}],
        [970,{"count":"12","sum":"3","buckets":[[0,"0.25","0.5","7"],[0,"0.5","1","5"]]}]"#;
    let (url, _) = serve(natively(HOUR, halved)).await;
    let reading =
        read_latency(&url, &chosen(0.5, &[0.25, std::f64::consts::FRAC_1_SQRT_2])).await.metrics["latency"]
            .clone();
    let samples = reading.samples.unwrap();
    assert_eq!(points(&samples[0], At::Threshold), [(960, 6.0), (970, 7.0)]);
    assert_eq!(points(&samples[0], At::Other(0)), [(960, 0.0), (970, 0.0)]);
    assert!(samples[0].series.iter().all(|series| series.at != At::Other(1)), "it is cut by a bucket");
    let reading = read_latency(&url, &chosen(0.353_553_390_593_273_8, &[])).await.metrics["latency"].clone();
    let problem = reading.samples.unwrap_err();
    assert!(
        !problem.is_outage()
            && problem.to_string().contains("the resolution of the native histogram was reduced"),
        "{problem}"
    );
}

#[tokio::test]
async fn custom_buckets_keep_their_boundaries() {
    let hour = r#"{"count":"1000","sum":"300","buckets":[[0,"-Inf","0.1","700"],[0,"0.1","0.25","200"],[0,"0.25","0.5","90"],
        [0,"0.5","1","8"],[0,"1","+Inf","2"]]}"#;
    let samples = r#"[960,{"count":"10","sum":"3","buckets":[[0,"-Inf","0.1","7"],[0,"0.25","0.5","3"]]}],
        [970,{"count":"20","sum":"3","buckets":[[0,"-Inf","0.1","14"],[0,"0.25","0.5","4"],[0,"1","+Inf","2"]]}]"#;
    let (url, _) = serve(natively(hour, samples)).await;
    let reader = Reader::new(Arc::new(source(&url, "")));
    let window = Window { from: 0, to: 1_000_000 };
    let plan = latency().latency.unwrap();
    let survey =
        reader.survey(&scope("r"), &plan, &["old".to_owned()], 10_000, window).await.unwrap().unwrap();
    assert_eq!(survey.chosen, Chosen { slow_over: 0.5, others: vec![0.25, 1.0] });
    let reading = read_latency(&url, &chosen(0.5, &[0.25])).await.metrics["latency"].clone();
    let read = reading.samples.unwrap();
    assert_eq!(points(&read[1], At::Everywhere), [(960, 10.0), (970, 20.0)]);
    assert_eq!(points(&read[1], At::Threshold), [(960, 10.0), (970, 18.0)]);
    assert_eq!(points(&read[1], At::Other(0)), [(960, 7.0), (970, 14.0)]);
}

#[tokio::test]
async fn the_shape_of_buckets_is_asked_for_with_their_number() {
    let (url, log) = serve(|query| {
        let row = |le: &str, value: &str| format!(r#"{{"metric":{{"le":"{le}"}},"value":[1000,"{value}"]}}"#);
        let rows = if query.starts_with("count by (le)") {
            [row("0.1", "3"), row("0.25", "3"), row("0.5", "3"), row("+Inf", "3")]
        } else {
            [row("0.1", "790.2"), row("0.25", "951"), row("0.5", "999.5"), row("+Inf", "1000.7")]
        };
        (200, vector(&rows.join(",")))
    })
    .await;
    let reader = Reader::new(Arc::new(source(&url, "")));
    let plan = latency().latency.unwrap();
    let window = Window { from: 1_000_000 - 600_000, to: 1_000_000 };
    let survey =
        reader.survey(&scope("r"), &plan, &["old".to_owned()], 10_000, window).await.unwrap().unwrap();
    assert_eq!(survey.chosen, Chosen { slow_over: 0.5, others: vec![0.1, 0.25] });
    let queries: Vec<String> = log.lock().unwrap().iter().map(|seen| seen.query.clone()).collect();
    assert_eq!(
        queries,
        [
            "count by (le) (h_bucket{namespace=\"shop\",pod=~\"^(?:old)$\"})",
            "sum by (le) (increase(h_bucket{namespace=\"shop\",pod=~\"^(?:old)$\"}[600s]))"
        ]
    );
}

#[tokio::test]
async fn a_gil_that_is_on_is_named_by_pod_and_module() {
    let answer = |query: &str| {
        let rows = match query {
            by if by.contains("python_gil_enabled_by_info") && by.contains("p1") => {
                r#"{"metric":{"module":"no <module>"},"value":[1000,"1"]},{"metric":{"module":"fast.core"},"value":[1000,"1"]}"#
            }
            by if by.contains("python_gil_enabled_by_info") => "",
            _ => r#"{"metric":{"pod":"p1"},"value":[1000,"1"]},{"metric":{"pod":"p2"},"value":[1000,"1"]}"#,
        };
        (200, vector(rows))
    };
    let (url, log) = serve(answer).await;
    let pods = ["p0", "p1", "p2"].map(str::to_owned);
    let found = source(&url, "").gil_enabled(&scope("r"), &pods, 1000, 1_000_000).await.unwrap();
    let names: Vec<_> = found.iter().map(|(pod, module)| (pod.as_str(), module.as_deref())).collect();
    assert_eq!(
        names,
        [("p1", Some("fast.core")), ("p2", None)],
        "only a name of a module is passed on; where it cannot be read the GIL is on all the same"
    );
    let first = log.lock().unwrap()[0].query.clone();
    let series = r#"python_gil_enabled{namespace="shop",pod=~"^(?:p0|p1|p2)$"}[3s]"#;
    let query = format!("group by (pod) (min_over_time({series}) > 0 and count_over_time({series}) > 1)");
    assert_eq!(first, query, "twice in a row, and not now and then");
    let (nobody, _) = serve(|_| (200, vector(""))).await;
    assert_eq!(source(&nobody, "").gil_enabled(&scope("r"), &pods, 1000, 1_000_000).await.unwrap(), []);
}
