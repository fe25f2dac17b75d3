//! The flag server, asked over HTTP as its clients do, with the caches that every replica keeps.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode, header},
};
use freethread_rollout::{
    api::FreeThreadRollout,
    flag::{Evaluations, FlagArgs, FlagMetrics, Flags, Pulse, Tally, bind, router, serve},
};
use http_body_util::BodyExt as _;
use k8s_openapi::api::apps::v1::Deployment;
use kube::runtime::{
    reflector::{self, store::Writer},
    watcher,
};
use prometheus_client::{encoding::text::encode, registry::Registry};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
};
use tower::ServiceExt as _;

struct Served {
    flags: Flags,
    router: Router,
    evaluations: Evaluations,
    metrics: FlagMetrics,
    pulse: Pulse,
    rollouts: Writer<FreeThreadRollout>,
    deployments: Writer<Deployment>,
}

fn served(args: &FlagArgs) -> Served {
    let ((rollouts, rollouts_writer), (deployments, deployments_writer)) =
        (reflector::store(), reflector::store());
    let (evaluations, pulse, metrics) = (Evaluations::default(), Pulse::default(), FlagMetrics::default());
    let flags = Flags::new(rollouts, deployments, evaluations.clone(), pulse.clone(), metrics.clone(), args);
    Served {
        router: router(flags.clone()),
        flags,
        evaluations,
        metrics,
        pulse,
        rollouts: rollouts_writer,
        deployments: deployments_writer,
    }
}

fn open() -> FlagArgs {
    FlagArgs { address: None, limit: 10_000, tokens: None, tls: None }
}

impl Served {
    fn rollout(&mut self, name: &str, traffic: &Value) {
        let rollout = json!({"metadata": {"name": name, "namespace": "shop"}, "spec": {"workloadRef": {"name": name},
            "freeThreaded": {"image": "x"}, "traffic": traffic, "steps": [{"weight": 10, "hold": "1m"}],
            "analysis": {"preset": "granian", "errorRate": {"max": "1%"}}}});
        self.rollouts.apply_watcher_event(&watcher::Event::Apply(serde_json::from_value(rollout).unwrap()));
    }

    fn weight(&mut self, rollout: &str, weight: i32) {
        let pool = json!({"metadata": {"name": format!("{rollout}-ft"), "namespace": "shop",
            "annotations": {"freethreading.dev/flag-weight": weight.to_string()}}});
        self.deployments.apply_watcher_event(&watcher::Event::Apply(serde_json::from_value(pool).unwrap()));
    }

    async fn ask(&self, request: Request<Body>) -> (StatusCode, Option<String>, Value) {
        let answer = self.router.clone().oneshot(request).await.unwrap();
        let (status, tag) =
            (answer.status(), answer.headers().get(header::ETAG).map(|tag| tag.to_str().unwrap().to_owned()));
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, tag, if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() })
    }

    async fn evaluate(&self, flag: &str, context: Value) -> (StatusCode, Value) {
        let (status, _, answer) =
            self.ask(post(&format!("/flags/{flag}"), &json!({"context": context}))).await;
        (status, answer)
    }
}

fn post(path: &str, body: &Value) -> Request<Body> {
    let uri = format!("/namespaces/shop/ofrep/v1/evaluate{path}");
    Request::post(uri)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(body.to_string()))
        .unwrap()
}

#[tokio::test]
async fn a_key_gets_its_pool_and_a_change_is_seen_by_the_next_evaluation() {
    let mut served = served(&open());
    served
        .rollout("orders", &json!({"flag": {"values": {"standard": "celery", "freeThreaded": "celery-ft"}}}));
    let key = json!({"targetingKey": "user-1", "anything": {"else": [1]}});
    let (status, answer) = served.evaluate("orders", key.clone()).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        answer,
        json!({"key": "orders", "value": "celery", "reason": "SPLIT", "variant": "standard", "metadata": {"weight": 0}})
    );
    served.weight("orders", 100);
    let (_, answer) = served.evaluate("orders", key.clone()).await;
    assert_eq!((&answer["value"], &answer["variant"]), (&json!("celery-ft"), &json!("free-threaded")));
    let (_, answer) = served.evaluate("orders", json!({})).await;
    assert_eq!((&answer["value"], &answer["reason"]), (&json!("celery"), &json!("DEFAULT")), "without a key");
    served.weight("orders", 0);
    assert_eq!(served.evaluate("orders", key.clone()).await.1["value"], "celery");
    assert_eq!(served.evaluations.at("shop", "orders", 0), Some(Tally { weight: 0, ours: 0, standard: 1 }));
    // What is no weight is none.
    served.weight("orders", 700);
    assert_eq!(served.evaluate("orders", key).await.1["value"], "celery");
}

#[tokio::test]
async fn errors_have_what_the_clients_need() {
    let mut served = served(&open());
    served.rollout("orders", &json!({"flag": {}}));
    served.rollout("pods", &json!({"podCount": {}}));
    for flag in ["nothing", "pods"] {
        let (status, answer) = served.evaluate(flag, json!({"targetingKey": "a"})).await;
        assert_eq!(
            (status, &answer["errorCode"], &answer["key"]),
            (StatusCode::NOT_FOUND, &json!("FLAG_NOT_FOUND"), &json!(flag))
        );
        assert!(answer["errorDetails"].as_str().unwrap().contains(flag));
    }
    let (status, answer) = served.evaluate("orders", json!({"targetingKey": 7})).await;
    assert_eq!((status, &answer["errorCode"]), (StatusCode::BAD_REQUEST, &json!("INVALID_CONTEXT")));
    let request =
        Request::post("/namespaces/shop/ofrep/v1/evaluate/flags/orders").body(Body::from("no json")).unwrap();
    let (status, _, answer) = served.ask(request).await;
    assert_eq!((status, &answer["errorCode"]), (StatusCode::BAD_REQUEST, &json!("PARSE_ERROR")));
    assert!(answer["errorDetails"].is_string());
    let large = post("/flags/orders", &json!({"context": {"targetingKey": "a", "more": "x".repeat(70_000)}}));
    let answer = served.router.clone().oneshot(large).await.unwrap();
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn a_bulk_is_of_one_namespace_and_unchanged_is_304() {
    let mut served = served(&open());
    served.rollout("orders", &json!({"flag": {}}));
    served.rollout("billing", &json!({"flag": {}}));
    served.rollout("pods", &json!({"podCount": {}}));
    served.weight("orders", 100);
    let body = json!({"context": {"targetingKey": "user-1"}});
    let (status, tag, answer) = served.ask(post("/flags", &body)).await;
    let flags: Vec<_> = answer["flags"]
        .as_array()
        .unwrap()
        .iter()
        .map(|flag| (flag["key"].clone(), flag["value"].clone()))
        .collect();
    assert_eq!(
        (status, flags),
        (StatusCode::OK, vec![(json!("billing"), json!(false)), (json!("orders"), json!(true))])
    );
    let again = |tag: &str| {
        let mut request = post("/flags", &body);
        request.headers_mut().insert(header::IF_NONE_MATCH, tag.parse().unwrap());
        request
    };
    let tag = tag.unwrap();
    let (status, same, answer) = served.ask(again(&tag)).await;
    assert_eq!((status, same.as_ref(), answer), (StatusCode::NOT_MODIFIED, Some(&tag), Value::Null));
    served.weight("orders", 0);
    let (status, other, _) = served.ask(again(&tag)).await;
    assert_eq!(status, StatusCode::OK);
    assert_ne!(other.unwrap(), tag);
    let elsewhere = Request::post("/namespaces/other/ofrep/v1/evaluate/flags").body(Body::empty()).unwrap();
    assert_eq!(served.ask(elsewhere).await.2, json!({"flags": []}));
}

#[tokio::test]
async fn the_document_for_flagd_is_tagged_too() {
    let mut served = served(&open());
    served.rollout("orders", &json!({"flag": {}}));
    served.weight("orders", 25);
    let get = || Request::get("/namespaces/shop/flagd.json");
    let (status, tag, document) = served.ask(get().body(Body::empty()).unwrap()).await;
    assert_eq!((status, &document["flags"]["orders"]["state"]), (StatusCode::OK, &json!("ENABLED")));
    let again = get().header(header::IF_NONE_MATCH, tag.unwrap()).body(Body::empty()).unwrap();
    assert_eq!(served.ask(again).await.0, StatusCode::NOT_MODIFIED);
}

#[tokio::test]
async fn with_tokens_nobody_is_answered_without_the_right_one() {
    let folder = std::env::temp_dir().join(format!("flag-tokens-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("shop"), "of-all\n").unwrap();
    std::fs::write(folder.join("shop.orders"), "of-one").unwrap();
    std::fs::write(folder.join("empty"), "").unwrap();
    let mut served = served(&FlagArgs { tokens: Some(folder.clone()), ..open() });
    served.rollout("orders", &json!({"flag": {}}));
    served.rollout("billing", &json!({"flag": {}}));
    let with = |path: &str, token: Option<&str>| {
        let mut request = post(path, &json!({}));
        if let Some(token) = token {
            request.headers_mut().insert(header::AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
        }
        request
    };
    for (path, token, status) in [
        ("/flags/orders", None, StatusCode::UNAUTHORIZED),
        ("/flags/orders", Some("wrong"), StatusCode::UNAUTHORIZED),
        ("/flags/orders", Some(""), StatusCode::UNAUTHORIZED),
        ("/flags/orders", Some("of-one"), StatusCode::OK),
        ("/flags/orders", Some("of-all"), StatusCode::OK),
        ("/flags/billing", Some("of-one"), StatusCode::UNAUTHORIZED),
        ("/flags/billing", Some("of-all"), StatusCode::OK),
        ("/flags", Some("of-one"), StatusCode::UNAUTHORIZED),
        ("/flags", Some("of-all"), StatusCode::OK),
        ("/flags/..%2Fshop", Some("of-all"), StatusCode::NOT_FOUND),
    ] {
        assert_eq!(served.ask(with(path, token)).await.0, status, "{path} {token:?}");
    }
    let nobody =
        Request::post("/namespaces/empty/ofrep/v1/evaluate/flags").header(header::AUTHORIZATION, "Bearer ");
    assert_eq!(served.ask(nobody.body(Body::empty()).unwrap()).await.0, StatusCode::UNAUTHORIZED);
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn too_many_are_told_when_to_come_back() {
    let mut served = served(&FlagArgs { limit: 2, ..open() });
    served.rollout("orders", &json!({"flag": {}}));
    let mut statuses = Vec::new();
    for _ in 0..4 {
        let answer = served.router.clone().oneshot(post("/flags/orders", &json!({}))).await.unwrap();
        if answer.status() == StatusCode::TOO_MANY_REQUESTS {
            assert_eq!(answer.headers().get(header::RETRY_AFTER).unwrap(), "1");
        }
        statuses.push(answer.status().as_u16());
    }
    // A second may end in between.
    assert!(statuses.starts_with(&[200]) && statuses.contains(&429), "{statuses:?}");
}

#[tokio::test]
async fn who_is_cut_off_says_nothing() {
    let mut served = served(&open());
    served.rollout("orders", &json!({"flag": {}}));
    served.weight("orders", 100);
    assert_eq!(served.evaluate("orders", json!({"targetingKey": "a"})).await.0, StatusCode::OK);
    let Some(before) = Instant::now().checked_sub(Duration::from_secs(11)) else { return };
    served.pulse.heard(before);
    let (status, answer) = served.evaluate("orders", json!({"targetingKey": "a"})).await;
    assert_eq!((status, &answer["errorCode"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("GENERAL")));
    assert_eq!(served.ask(post("/flags", &json!({}))).await.0, StatusCode::SERVICE_UNAVAILABLE);
    served.pulse.heard(Instant::now());
    assert_eq!(served.evaluate("orders", json!({"targetingKey": "a"})).await.0, StatusCode::OK);
}

#[tokio::test]
async fn what_is_answered_and_what_is_not_is_counted_without_a_name() {
    let mut served = served(&FlagArgs { limit: 3, ..open() });
    let mut registry = Registry::with_prefix("freethread");
    served.metrics.register(&mut registry);
    served.rollout("orders", &json!({"flag": {}}));
    served.weight("orders", 100);
    served.evaluate("orders", json!({"targetingKey": "a"})).await;
    served.evaluate("orders", json!({})).await;
    served.evaluate("orders", json!({"targetingKey": 7})).await;
    served.evaluate("nothing", json!({})).await;
    // More than fit into two seconds, one of which may have begun meanwhile.
    for _ in 0..7 {
        served.evaluate("orders", json!({"targetingKey": "a"})).await;
    }
    let mut text = String::new();
    encode(&mut text, &registry).unwrap();
    for line in [
        "freethread_flag_evaluations_total{variant=\"free-threaded\",reason=\"SPLIT\"}",
        "freethread_flag_evaluations_total{variant=\"standard\",reason=\"DEFAULT\"} 1",
        "freethread_flag_refusals_total{reason=\"Invalid\"} 1",
        "freethread_flag_refusals_total{reason=\"Unknown\"} 1",
        "freethread_flag_refusals_total{reason=\"Limit\"}",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("orders") && !text.contains("shop"), "{text}");
}

async fn head_of(stream: &mut TcpStream) -> Option<String> {
    let request = "POST /namespaces/shop/ofrep/v1/evaluate/flags/orders HTTP/1.1\r\nhost: flags\r\ncontent-length: 0\r\n\r\n";
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut head = vec![0; 15];
    stream.read_exact(&mut head).await.ok()?;
    String::from_utf8(head).ok()
}

/// On a connection from this address of loopback.
async fn asked_from(peer: &str, server: SocketAddr) -> Option<String> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{peer}:0").parse().unwrap()).unwrap();
    head_of(&mut socket.connect(server).await.ok()?).await
}

#[tokio::test]
async fn slow_clients_keep_nobody_else_from_an_answer() {
    let mut served = served(&open());
    served.rollout("orders", &json!({"flag": {}}));
    let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, served.flags.clone(), None));
    // Far more than one peer may have, with a head that does not end. Those that are refused see their connection's end.
    let mut registry = Registry::default();
    served.metrics.register(&mut registry);
    let mut slow = Vec::new();
    for _ in 0..100 {
        let mut stream = TcpStream::connect(at).await.unwrap();
        let _ = stream.write_all(b"POST / HT").await;
        slow.push(stream);
    }
    assert_eq!(asked_from("127.0.0.1", at).await, None, "this peer has had its share");
    assert_eq!(asked_from("127.0.0.2", at).await.as_deref(), Some("HTTP/1.1 200 OK"), "another one");
    let mut text = String::new();
    encode(&mut text, &registry).unwrap();
    assert!(text.contains("flag_connections_cut_total{reason=\"FullOfPeer\"} 37"), "{text}");
    drop(slow);
    let begun = Instant::now();
    while asked_from("127.0.0.1", at).await.is_none() {
        assert!(begun.elapsed() < Duration::from_secs(30), "its places are not free again");
        tokio::task::yield_now().await;
    }
}
