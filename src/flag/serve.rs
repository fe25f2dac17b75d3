//! What is answered: OFREP, and a flagd document. From the caches, at once; nothing outside is asked.
//!
//! `POST /namespaces/{ns}/ofrep/v1/evaluate/flags/{rollout}`, the same without the rollout for all of a namespace, and
//! `GET /namespaces/{ns}/flagd.json`. A client's base address is the part before `/ofrep`.

use std::{fmt::Write as _, net::SocketAddr, path::PathBuf, sync::Arc, time::Instant};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Path, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    ResourceExt,
    runtime::reflector::{ObjectRef, Store},
};
use serde_json::{Value, json};

use super::{
    Evaluation, Evaluations, Failure, Flag, FlagMetrics, Limit, Pool, Pulse, Refusal, Request, document,
};
use crate::api::{ANNOTATION_FLAG_WEIGHT, FreeThreadRollout, hash, pool_name};

/// Largest body that is read.
const MOST_BODY: usize = 64 << 10;
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
    /// Folder with `tls.crt` and `tls.key`: flags are served over TLS alone, and a new certificate is taken up as it comes.
    #[arg(long = "flag-tls", env = "FREETHREAD_FLAG_TLS")]
    pub tls: Option<PathBuf>,
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
    pub(super) metrics: FlagMetrics,
}

impl Flags {
    /// The flags of these rollouts, with the weights on their pools' Deployments.
    pub fn new(
        rollouts: Store<FreeThreadRollout>,
        deployments: Store<Deployment>,
        evaluations: Evaluations,
        pulse: Pulse,
        metrics: FlagMetrics,
        args: &FlagArgs,
    ) -> Self {
        Self {
            rollouts,
            deployments,
            evaluations,
            limit: Arc::new(Limit::new(args.limit)),
            tokens: args.tokens.clone(),
            pulse,
            metrics,
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

    /// The answer, or why there is none, which is counted.
    fn told(&self, answer: Result<Response, Refusal>) -> Response {
        answer.unwrap_or_else(|refusal| {
            self.metrics.refused(&refusal);
            refusal.into_response()
        })
    }

    /// An evaluation is given out.
    fn count(&self, namespace: &str, flag: &Flag, pool: Pool, evaluation: &Evaluation) {
        self.evaluations.count(namespace, &flag.key, flag.weight, pool);
        self.metrics.evaluated(evaluation);
    }

    /// Only for namespaces that have a flag: there are only so many of those.
    fn within_limit(&self, namespace: &str, cost: usize) -> Result<(), Refusal> {
        let cost = u32::try_from(cost).unwrap_or(u32::MAX);
        let within = cost == 0 || self.limit.allows(namespace, cost, Instant::now());
        if within { Ok(()) } else { Err(Refusal::Limit) }
    }

    /// Whether this caller is answered at all, and now.
    fn may_ask(&self, headers: &HeaderMap, namespace: &str, rollout: Option<&str>) -> Result<(), Refusal> {
        if !self.admits(headers, namespace, rollout) {
            return Err(Refusal::Token);
        }
        if self.pulse.is_lost(Instant::now()) { Err(Refusal::CutOff) } else { Ok(()) }
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
        .with_state(flags)
}

async fn one(
    State(flags): State<Flags>,
    Path((namespace, rollout)): Path<(String, String)>,
    headers: HeaderMap,
    body: axum::body::Bytes,
) -> Response {
    flags.told(evaluated(&flags, namespace, rollout, &headers, &body))
}

fn evaluated(
    flags: &Flags,
    namespace: String,
    rollout: String,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Response, Refusal> {
    flags.may_ask(headers, &namespace, Some(&rollout))?;
    let Some(flag) = flags.flag(&namespace, &rollout) else {
        return Err(Refusal::Unknown { namespace, rollout });
    };
    flags.within_limit(&namespace, 1)?;
    let of_flag = |failure| Refusal::Invalid(Failure { key: Some(rollout.clone()), ..failure });
    let request = parse(body).map_err(of_flag)?;
    let (pool, evaluation) = flag.evaluate(request.targeting_key().map_err(of_flag)?);
    flags.count(&namespace, &flag, pool, &evaluation);
    Ok(Json(evaluation).into_response())
}

async fn bulk(
    State(flags): State<Flags>,
    Path(namespace): Path<String>,
    headers: HeaderMap,
    body: axum::body::Bytes,
) -> Response {
    flags.told(all_evaluated(&flags, &namespace, &headers, &body))
}

fn all_evaluated(
    flags: &Flags,
    namespace: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Response, Refusal> {
    flags.may_ask(headers, namespace, None)?;
    let all = flags.all(namespace);
    flags.within_limit(namespace, all.len())?;
    let request = parse(body).map_err(Refusal::Invalid)?;
    let key = request.targeting_key().map_err(Refusal::Invalid)?;
    let evaluated: Vec<_> = all.iter().map(|flag| (flag, flag.evaluate(key))).collect();
    let answers: Vec<_> = evaluated.iter().map(|(_, (_, evaluation))| evaluation).collect();
    Ok(tagged(headers, &json!({"flags": answers}), || {
        for (flag, (pool, evaluation)) in &evaluated {
            flags.count(namespace, flag, *pool, evaluation);
        }
    }))
}

async fn flagd(State(flags): State<Flags>, Path(namespace): Path<String>, headers: HeaderMap) -> Response {
    flags.told(documented(&flags, &namespace, &headers))
}

fn documented(flags: &Flags, namespace: &str, headers: &HeaderMap) -> Result<Response, Refusal> {
    flags.may_ask(headers, namespace, None)?;
    let all = flags.all(namespace);
    flags.within_limit(namespace, all.len())?;
    Ok(tagged(headers, &document(&all), || {}))
}

/// No body is a request without a context.
fn parse(body: &[u8]) -> Result<Request, Failure> {
    if body.is_empty() {
        return Ok(Request::default());
    }
    serde_json::from_slice(body).map_err(|error| Failure {
        key: None,
        error_code: "PARSE_ERROR",
        error_details: format!("the body is no evaluation request: {error}"),
    })
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
