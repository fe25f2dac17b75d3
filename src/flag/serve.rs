//! The server: OFREP, and a flagd document. Answers from the caches, at once; nothing outside is asked.
//!
//! `POST /namespaces/{ns}/ofrep/v1/evaluate/flags/{rollout}`, the same without the rollout for all of a namespace, and
//! `GET /namespaces/{ns}/flagd.json`. A client's base address is the part before `/ofrep`.

use std::{
    fmt::Write as _,
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Path, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    ResourceExt,
    runtime::reflector::{ObjectRef, Store},
};
use serde_json::{Value, json};

use super::{Evaluations, Failure, Flag, Limit, Pulse, Request, document};
use crate::api::{ANNOTATION_FLAG_WEIGHT, FreeThreadRollout, hash, pool_name};

/// Largest body that is read.
const MOST_BODY: usize = 64 << 10;
/// Longest time that a connection may say nothing.
const PATIENCE: Duration = Duration::from_secs(30);
/// Largest head of a request, and what is kept for one connection while it is read.
const MOST_HEAD: usize = 16 << 10;
/// Longest time for one request, its body included.
const REQUEST: Duration = Duration::from_secs(10);
/// Connections at a time; those beyond wait.
const CONNECTIONS: usize = 512;
/// Most flags of a bulk.
const MOST_FLAGS: usize = 500;

/// How flags are served. The Helm chart sets all of it.
#[derive(Debug, Clone, clap::Args)]
pub struct FlagArgs {
    /// Address of the flags; without it none are served.
    #[arg(long = "flag-address", env = "FREETHREAD_FLAG_ADDRESS")]
    pub address: Option<SocketAddr>,
    /// Evaluations a second of each namespace; those beyond get 429 with Retry-After.
    #[arg(long = "flag-limit", env = "FREETHREAD_FLAG_LIMIT", default_value_t = 10_000)]
    pub limit: u32,
    /// Folder with bearer tokens: a file `<namespace>.<rollout>` or `<namespace>` holds the one that may ask for it. With it, nobody is answered
    /// without one.
    #[arg(long = "flag-tokens", env = "FREETHREAD_FLAG_TOKENS")]
    pub tokens: Option<PathBuf>,
}

/// Why flags are not served.
#[derive(Debug, thiserror::Error)]
pub enum FlagError {
    /// The address cannot be used.
    #[error("flags cannot be served on {address}: {source}")]
    Address {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// What is served.
#[derive(Clone)]
pub struct Flags {
    rollouts: Store<FreeThreadRollout>,
    deployments: Store<Deployment>,
    evaluations: Evaluations,
    limit: Arc<Limit>,
    tokens: Option<PathBuf>,
    pulse: Pulse,
}

impl Flags {
    /// The flags of these rollouts, with the weights on their pools' Deployments.
    pub fn new(
        rollouts: Store<FreeThreadRollout>,
        deployments: Store<Deployment>,
        evaluations: Evaluations,
        pulse: Pulse,
        args: &FlagArgs,
    ) -> Self {
        Self {
            rollouts,
            deployments,
            evaluations,
            limit: Arc::new(Limit::new(args.limit)),
            tokens: args.tokens.clone(),
            pulse,
        }
    }

    /// The flag of a rollout; `None` where it has none.
    fn flag(&self, namespace: &str, rollout: &str) -> Option<Flag> {
        let found = self.rollouts.get(&ObjectRef::new(rollout).within(namespace))?;
        self.of(namespace, &found)
    }

    fn of(&self, namespace: &str, rollout: &FreeThreadRollout) -> Option<Flag> {
        let flag = rollout.spec.traffic.flag.as_ref()?;
        let key = rollout.name_any();
        let pool = self.deployments.get(&ObjectRef::new(&pool_name(&key)).within(namespace));
        let weight =
            pool.filter(|pool| pool.metadata.deletion_timestamp.is_none()).and_then(|pool| weight(&pool));
        Some(Flag { key, weight: weight.unwrap_or(0), values: flag.values.clone() })
    }

    /// All flags of a namespace, by name.
    fn all(&self, namespace: &str) -> Vec<Flag> {
        let of = self.rollouts.state_filter(|rollout| rollout.namespace().as_deref() == Some(namespace));
        let mut flags: Vec<Flag> = of.iter().filter_map(|rollout| self.of(namespace, rollout)).collect();
        flags.sort_by(|a, b| a.key.cmp(&b.key));
        flags.truncate(MOST_FLAGS);
        flags
    }

    /// Whether the request may ask for the flag, or for all of the namespace.
    fn admits(&self, headers: &HeaderMap, namespace: &str, rollout: Option<&str>) -> bool {
        let Some(folder) = &self.tokens else { return true };
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let Some(given) = given.and_then(|value| value.strip_prefix("Bearer ")) else { return false };
        // Names of Kubernetes objects hold no slash and do not begin with a dot; anything else is no file of ours.
        let plain = |name: &str| {
            !name.is_empty()
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.')
                && !name.starts_with('.')
        };
        let files =
            rollout.map(|rollout| format!("{namespace}.{rollout}")).into_iter().chain([namespace.to_owned()]);
        let mut all = files
            .filter(|name| plain(name))
            .filter_map(|name| std::fs::read_to_string(folder.join(name)).ok());
        all.any(|token| !token.trim().is_empty() && same(token.trim().as_bytes(), given.trim().as_bytes()))
    }
}

/// The weight that the router wrote on the pool's Deployment.
pub(crate) fn weight(pool: &Deployment) -> Option<i32> {
    pool.annotations()
        .get(ANNOTATION_FLAG_WEIGHT)
        .and_then(|text| text.parse().ok())
        .filter(|weight| (0..=100).contains(weight))
}

/// Equal, in a time that does not tell where they differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |all, (a, b)| all | (a ^ b)) == 0
}

/// The routes.
pub fn router(flags: Flags) -> Router {
    Router::new()
        .route("/namespaces/{namespace}/ofrep/v1/evaluate/flags/{rollout}", post(one))
        .route("/namespaces/{namespace}/ofrep/v1/evaluate/flags", post(bulk))
        .route("/namespaces/{namespace}/flagd.json", get(flagd))
        .layer(DefaultBodyLimit::max(MOST_BODY))
        .layer(middleware::from_fn(bounded))
        .with_state(flags)
}

/// A body that never ends holds no connection for ever.
async fn bounded(request: axum::extract::Request, next: Next) -> Response {
    match tokio::time::timeout(REQUEST, next.run(request)).await {
        Ok(answer) => answer,
        Err(_) => {
            failed(StatusCode::REQUEST_TIMEOUT, None, "GENERAL", "the request did not arrive in time".into())
        }
    }
}

async fn one(
    State(flags): State<Flags>,
    Path((namespace, rollout)): Path<(String, String)>,
    headers: HeaderMap,
    body: axum::body::Bytes,
) -> Response {
    if !flags.admits(&headers, &namespace, Some(&rollout)) {
        return unauthorized();
    }
    if flags.pulse.is_lost(Instant::now()) {
        return cut_off();
    }
    let Some(flag) = flags.flag(&namespace, &rollout) else {
        let details = format!("no FreeThreadRollout {rollout} with traffic.flag in namespace {namespace}");
        return failed(StatusCode::NOT_FOUND, Some(rollout), "FLAG_NOT_FOUND", details);
    };
    if !flags.limit.allows(&namespace, 1, Instant::now()) {
        return too_many();
    }
    let request = match parse(&body) {
        Ok(request) => request,
        Err(why) => return failed(StatusCode::BAD_REQUEST, Some(rollout), "PARSE_ERROR", why),
    };
    match request.targeting_key() {
        Err(failure) => {
            failed(StatusCode::BAD_REQUEST, Some(rollout), failure.error_code, failure.error_details)
        }
        Ok(key) => {
            let (pool, evaluation) = flag.evaluate(key);
            flags.evaluations.count(&namespace, &flag.key, flag.weight, pool);
            Json(evaluation).into_response()
        }
    }
}

async fn bulk(
    State(flags): State<Flags>,
    Path(namespace): Path<String>,
    headers: HeaderMap,
    body: axum::body::Bytes,
) -> Response {
    if !flags.admits(&headers, &namespace, None) {
        return unauthorized();
    }
    if flags.pulse.is_lost(Instant::now()) {
        return cut_off();
    }
    let all = flags.all(&namespace);
    let cost = u32::try_from(all.len()).unwrap_or(u32::MAX).max(1);
    if !all.is_empty() && !flags.limit.allows(&namespace, cost, Instant::now()) {
        return too_many();
    }
    let request = match parse(&body) {
        Ok(request) => request,
        Err(why) => return failed(StatusCode::BAD_REQUEST, None, "PARSE_ERROR", why),
    };
    let key = match request.targeting_key() {
        Ok(key) => key,
        Err(failure) => {
            return failed(StatusCode::BAD_REQUEST, None, failure.error_code, failure.error_details);
        }
    };
    let evaluated: Vec<_> = all.iter().map(|flag| (flag, flag.evaluate(key))).collect();
    let answers: Vec<_> = evaluated.iter().map(|(_, (_, evaluation))| evaluation).collect();
    tagged(&headers, &json!({"flags": answers}), || {
        for (flag, (pool, _)) in &evaluated {
            flags.evaluations.count(&namespace, &flag.key, flag.weight, *pool);
        }
    })
}

async fn flagd(State(flags): State<Flags>, Path(namespace): Path<String>, headers: HeaderMap) -> Response {
    if !flags.admits(&headers, &namespace, None) {
        return unauthorized();
    }
    if flags.pulse.is_lost(Instant::now()) {
        return cut_off();
    }
    let all = flags.all(&namespace);
    let cost = u32::try_from(all.len()).unwrap_or(u32::MAX);
    if cost > 0 && !flags.limit.allows(&namespace, cost, Instant::now()) {
        return too_many();
    }
    tagged(&headers, &document(&all), || {})
}

/// No body is a request without a context.
fn parse(body: &[u8]) -> Result<Request, String> {
    if body.is_empty() {
        return Ok(Request::default());
    }
    serde_json::from_slice(body).map_err(|error| format!("the body is no evaluation request: {error}"))
}

/// The answer with its tag, or 304 where the caller has it. `given`: it is given out now.
fn tagged(headers: &HeaderMap, answer: &Value, given: impl FnOnce()) -> Response {
    let mut tag = String::from("\"");
    // Writing to a String cannot fail.
    let _ = write!(tag, "{}\"", hash(answer));
    let Ok(tag) = HeaderValue::from_str(&tag) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    if headers.get(header::IF_NONE_MATCH) == Some(&tag) {
        return (StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response();
    }
    given();
    ([(header::ETAG, tag)], Json(answer)).into_response()
}

fn failed(
    status: StatusCode,
    key: Option<String>,
    error_code: &'static str,
    error_details: String,
) -> Response {
    (status, Json(Failure { key, error_code, error_details })).into_response()
}

fn unauthorized() -> Response {
    failed(
        StatusCode::UNAUTHORIZED,
        None,
        "GENERAL",
        "send the token of this namespace or rollout as Authorization: Bearer".to_owned(),
    )
}

/// The caller takes its default.
fn cut_off() -> Response {
    let details =
        "this replica has not heard from the API server lately, and its weights may be old".to_owned();
    failed(StatusCode::SERVICE_UNAVAILABLE, None, "GENERAL", details)
}

fn too_many() -> Response {
    let details = "more evaluations than this namespace may ask for in a second".to_owned();
    let mut answer = failed(StatusCode::TOO_MANY_REQUESTS, None, "GENERAL", details);
    answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    answer
}

/// Serve until the process ends.
///
/// # Errors
/// When the address cannot be used.
pub async fn serve(address: SocketAddr, flags: Flags) -> Result<(), FlagError> {
    let failed = |source| FlagError::Address { address, source };
    let listener = tokio::net::TcpListener::bind(address).await.map_err(failed)?;
    let (router, open) = (router(flags), Arc::new(tokio::sync::Semaphore::new(CONNECTIONS)));
    loop {
        // The semaphore is never closed.
        let Ok(place) = open.clone().acquire_owned().await else { return Ok(()) };
        let (stream, _) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, say: it passes, and until then asking again at once would only burn the processor.
                tracing::warn!(%error, "a connection for flags could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        // An answer is one small packet.
        let _ = stream.set_nodelay(true);
        let service = hyper_util::service::TowerToHyperService::new(router.clone());
        tokio::spawn(async move {
            let mut http = hyper::server::conn::http1::Builder::new();
            http.timer(hyper_util::rt::TokioTimer::new())
                .header_read_timeout(PATIENCE)
                .max_buf_size(MOST_HEAD);
            let served = http.serve_connection(hyper_util::rt::TokioIo::new(stream), service).await;
            if let Err(error) = served {
                tracing::debug!(%error, "a connection for flags ended");
            }
            drop(place);
        });
    }
}
