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
    api::TargetLabels,
    observe::{
        profiles::OperatorConfig,
        prometheus::{
            HttpSource, MAX_SERIES, MetricSource, Point, QueryProblem, RawSeries, Scope, Window,
            promql::Selector,
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
