//! The HTTP API that tells the counts: `GET /counts`, `GET /last?n=200`, `GET /bad?n=200`, `POST /mark`, `POST /rate`, `POST /headers`.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderName, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    counts::Counts,
    schedule::{Always, Rate},
};

type Shared = (Arc<Counts>, Arc<Rate>, Arc<Always>);

/// The routes.
pub(crate) fn router(counts: Arc<Counts>, rate: Arc<Rate>, always: Arc<Always>) -> Router {
    Router::new()
        .route("/counts", get(counts_now))
        .route("/last", get(last))
        .route("/bad", get(bad))
        .route("/mark", post(mark))
        .route("/rate", post(set_rate))
        .route("/headers", post(set_headers))
        .with_state((counts, rate, always))
}

/// Everything since the start (`total`) and since the last mark (`window`).
async fn counts_now(State((counts, rate, _)): State<Shared>) -> Response {
    json(&counts.to_json(rate.get()))
}

/// The last answers one by one, oldest first.
async fn last(State((counts, ..)): State<Shared>, uri: Uri) -> Response {
    lines(&counts, &uri, false)
}

/// The same of those that failed.
async fn bad(State((counts, ..)): State<Shared>, uri: Uri) -> Response {
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
async fn mark(State((counts, ..)): State<Shared>, body: Bytes) -> Response {
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
async fn set_rate(State((_, rate, _)): State<Shared>, body: Bytes) -> Response {
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

/// Headers of every request from now on: `{"x-name": "value"}`; `{}` for none.
async fn set_headers(State((_, _, always)): State<Shared>, body: Bytes) -> Response {
    let parsed = parse::<BTreeMap<String, String>>(&body).map_err(|e| e.to_string()).and_then(|all| {
        let header = |(name, value): (&String, &String)| {
            let name = HeaderName::try_from(name).map_err(|e| format!("{name}: {e}"))?;
            Ok((name, HeaderValue::try_from(value).map_err(|e| format!("{value}: {e}"))?))
        };
        all.iter().map(header).collect::<Result<Vec<_>, String>>()
    });
    match parsed {
        Ok(headers) => {
            always.set(headers);
            StatusCode::NO_CONTENT.into_response()
        }
        Err(e) => (StatusCode::BAD_REQUEST, e).into_response(),
    }
}

fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> serde_json::Result<T> {
    serde_json::from_slice(if body.is_empty() { b"{}" } else { body })
}

fn json(value: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}
