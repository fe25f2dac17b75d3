//! The HTTP API that tells the counts: `GET /counts`, `GET /last?n=200`, `GET /bad?n=200`, `POST /mark`, `POST /rate`.

use std::sync::Arc;

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{StatusCode, Uri, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::Value;

use crate::{counts::Counts, schedule::Rate};

type Shared = (Arc<Counts>, Arc<Rate>);

/// The routes.
pub(crate) fn router(counts: Arc<Counts>, rate: Arc<Rate>) -> Router {
    Router::new()
        .route("/counts", get(counts_now))
        .route("/last", get(last))
        .route("/bad", get(bad))
        .route("/mark", post(mark))
        .route("/rate", post(set_rate))
        .with_state((counts, rate))
}

/// Everything since the start (`total`) and since the last mark (`window`).
async fn counts_now(State((counts, rate)): State<Shared>) -> Response {
    json(&counts.to_json(rate.get()))
}

/// The last answers one by one, oldest first.
async fn last(State((counts, _)): State<Shared>, uri: Uri) -> Response {
    lines(&counts, &uri, false)
}

/// The same of those that failed.
async fn bad(State((counts, _)): State<Shared>, uri: Uri) -> Response {
    lines(&counts, &uri, true)
}

fn lines(counts: &Counts, uri: &Uri, only_bad: bool) -> Response {
    let query = uri.query().unwrap_or_default();
    let n = query.split('&').find_map(|part| part.strip_prefix("n=")).unwrap_or("200");
    match n.parse() {
        Ok(n) => match serde_json::to_value(counts.last(n, only_bad)) {
            Ok(lines) => json(&lines),
            Err(e) => (StatusCode::INTERNAL_SERVER_ERROR, e.to_string()).into_response(),
        },
        Err(e) => (StatusCode::BAD_REQUEST, format!("n={n}: {e}")).into_response(),
    }
}

/// Ends the window, answers with it and starts another: `{"name": "breach"}`, or nothing.
async fn mark(State((counts, _)): State<Shared>, body: Bytes) -> Response {
    #[derive(Default, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Mark {
        name: String,
    }
    match parse::<Mark>(&body) {
        Ok(Mark { name }) => json(&counts.mark(&name)),
        Err(e) => (StatusCode::BAD_REQUEST, e.to_string()).into_response(),
    }
}

/// Changes the rate: `{"rps": 100}`; 0 pauses.
async fn set_rate(State((_, rate)): State<Shared>, body: Bytes) -> Response {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wanted {
        rps: f64,
    }
    match parse::<Wanted>(&body).map_err(|e| e.to_string()).and_then(|wanted| rate.set(wanted.rps)) {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(e) => (StatusCode::BAD_REQUEST, e).into_response(),
    }
}

fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> serde_json::Result<T> {
    serde_json::from_slice(if body.is_empty() { b"{}" } else { body })
}

fn json(value: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}
