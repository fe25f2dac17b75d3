//! Prometheus over HTTP: bounded in time, size, number and insistence.

use std::{collections::BTreeMap, error::Error, fmt::Write as _, sync::Mutex, time::Duration};

use futures::{FutureExt as _, future::BoxFuture};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout},
};

use super::{
    MetricSource, QueryProblem, RawSeries, Scope, Shape, Window, answer,
    circuit::{Circuit, Owner},
    credentials::Keys,
    problem::{clip, shown},
    promql::{Selector, range},
};
use crate::observe::profiles::Profile;

/// Most pods that one query names; more pods are more queries.
pub const MAX_PODS_PER_QUERY: usize = 500;
/// Most series of one answer.
pub const MAX_SERIES: usize = 20_000;
/// Most samples that are kept of one call.
pub(super) const MAX_POINTS: usize = 2_000_000;
/// Most bytes of one answer. A longer one is asked for again in shorter pieces of time.
const MAX_BODY: usize = 24 << 20;
/// Longest stretch of time of one query.
const LONGEST_PIECE_MS: i64 = 3_600_000;
/// A piece is not cut any shorter.
const SHORTEST_PIECE_MS: i64 = 60_000;
/// Queries under way at the same time, per profile.
const CONCURRENCY: usize = 8;

/// All profiles of the configuration, ready to be asked.
pub struct HttpSource {
    endpoints: BTreeMap<String, Endpoint>,
    started: Instant,
}

struct Endpoint {
    name: String,
    profile: Profile,
    keys: Keys,
    permits: Semaphore,
    circuit: Mutex<Circuit>,
}

/// A body that is longer than is read.
struct TooLong;

impl HttpSource {
    /// From the configuration. Nothing is connected or read yet.
    pub fn new(profiles: BTreeMap<String, Profile>) -> Self {
        let endpoint = |(name, profile): (String, Profile)| {
            let endpoint = Endpoint {
                name: name.clone(),
                profile,
                keys: Keys::default(),
                permits: Semaphore::new(CONCURRENCY),
                circuit: Mutex::default(),
            };
            (name, endpoint)
        };
        Self { endpoints: profiles.into_iter().map(endpoint).collect(), started: Instant::now() }
    }

    /// The profile of that name.
    ///
    /// # Errors
    /// There is none; the error names those that there are.
    pub fn profile(&self, name: &str) -> Result<&Profile, QueryProblem> {
        self.endpoint(name).map(|endpoint| &endpoint.profile)
    }

    /// Forgets what is remembered of a rollout's failures.
    pub fn forget(&self, rollout: &str) {
        for endpoint in self.endpoints.values() {
            endpoint.with_circuit(|circuit| circuit.forget(rollout));
        }
    }

    fn endpoint(&self, name: &str) -> Result<&Endpoint, QueryProblem> {
        self.endpoints.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.endpoints.keys().map(String::as_str).take(20).collect();
            QueryProblem::UnknownProfile {
                name: clip(name, 63),
                known: if known.is_empty() { "none".into() } else { known.join(", ") },
            }
        })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// One query past the gates; `read` makes something of the body.
    async fn ask<T>(
        &self,
        scope: &Scope,
        selector: &Selector,
        query: &str,
        at: i64,
        read: impl Fn(&[u8]) -> Result<T, String>,
    ) -> Result<Result<T, TooLong>, QueryProblem> {
        let endpoint = self.endpoint(&scope.profile)?;
        let owner: Owner = (scope.rollout.clone(), selector.name.clone());
        endpoint.with_circuit(|circuit| circuit.check(&owner, self.now()))?;
        let within = endpoint.profile.query_timeout;
        let answer = timeout(within, endpoint.fetch(query, at)).await.unwrap_or_else(|_| {
            Err(QueryProblem::Timeout {
                profile: endpoint.name.clone(),
                query: shown(query),
                within: within.as_millis(),
            })
        });
        let result = match answer {
            Ok(Ok(body)) => read(&body).map(Ok).map_err(|why| QueryProblem::BadAnswer {
                profile: endpoint.name.clone(),
                query: shown(query),
                why: clip(&why, 200),
            }),
            Ok(Err(too_long)) => Ok(Err(too_long)),
            Err(problem) => Err(problem),
        };
        endpoint.with_circuit(|circuit| circuit.report(&owner, result.as_ref().err(), self.now()));
        result
    }

    async fn all_samples(
        &self,
        scope: &Scope,
        selector: &Selector,
        pods: &[String],
        window: Window,
        read: impl Fn(&[u8]) -> Result<Vec<RawSeries>, String>,
    ) -> Result<Vec<RawSeries>, QueryProblem> {
        let mut merged: BTreeMap<BTreeMap<String, String>, Vec<super::Point>> = BTreeMap::new();
        let mut kept = 0;
        for pods in pods.chunks(MAX_PODS_PER_QUERY) {
            let instant = selector.render(&scope.labels, &scope.namespace, pods);
            let mut pieces = pieces(window);
            while let Some(piece) = pieces.pop() {
                let query = format!("{instant}{}", range(piece.to - piece.from));
                let too_large = |what: String, advice: &str| QueryProblem::TooLarge {
                    profile: scope.profile.clone(),
                    query: shown(&query),
                    what,
                    advice: advice.to_owned(),
                };
                let Ok(series) = self.ask(scope, selector, &query, piece.to, &read).await? else {
                    let Some(halves) = halves(piece) else {
                        let what = format!("over {} MiB for one minute", MAX_BODY >> 20);
                        return Err(too_large(
                            what,
                            "add matchers, or fewer label values in the application",
                        ));
                    };
                    pieces.extend(halves);
                    continue;
                };
                for one in series {
                    let points = merged.entry(one.labels).or_default();
                    let inside = one.points.into_iter().filter(|p| (piece.from..=piece.to).contains(&p.at));
                    let before = points.len();
                    points.extend(inside);
                    kept += points.len() - before;
                }
                if merged.len() > MAX_SERIES {
                    let what = format!("over {MAX_SERIES} series");
                    return Err(too_large(what, "add matchers, or group paths in the exporter"));
                }
                if kept > MAX_POINTS {
                    let what = format!("over {MAX_POINTS} samples");
                    return Err(too_large(what, "add matchers, or group paths in the exporter"));
                }
            }
        }
        let series = merged.into_iter().map(|(labels, mut points)| {
            answer::tidy(&mut points);
            RawSeries { labels, points }
        });
        Ok(series.filter(|series| !series.points.is_empty()).collect())
    }

    async fn all_values(
        &self,
        scope: &Scope,
        selector: &Selector,
        pods: &[String],
        label: &str,
        at: i64,
    ) -> Result<Vec<String>, QueryProblem> {
        let mut values = Vec::new();
        for pods in pods.chunks(MAX_PODS_PER_QUERY) {
            let instant = selector.render(&scope.labels, &scope.namespace, pods);
            let query = format!("group by ({label}) ({instant})");
            let read = |body: &[u8]| answer::label_values(body, label);
            values.extend(self.short(scope, selector, &query, at, read).await?);
        }
        values.sort();
        values.dedup();
        Ok(values)
    }

    /// A query whose answer is short, or too much is asked.
    pub(super) async fn short<T>(
        &self,
        scope: &Scope,
        selector: &Selector,
        query: &str,
        at: i64,
        read: impl Fn(&[u8]) -> Result<T, String>,
    ) -> Result<T, QueryProblem> {
        self.ask(scope, selector, query, at, read).await?.map_err(|TooLong| QueryProblem::TooLarge {
            profile: scope.profile.clone(),
            query: shown(query),
            what: format!("over {} MiB", MAX_BODY >> 20),
            advice: "add matchers".into(),
        })
    }
}

impl MetricSource for HttpSource {
    fn samples<'a>(
        &'a self,
        scope: &'a Scope,
        selector: &'a Selector,
        pods: &'a [String],
        window: Window,
    ) -> BoxFuture<'a, Result<Vec<RawSeries>, QueryProblem>> {
        async move {
            let result = self.all_samples(scope, selector, pods, window, answer::matrix).await;
            if let Err(problem @ QueryProblem::TooLarge { .. }) = &result
                && let Ok(endpoint) = self.endpoint(&scope.profile)
            {
                // The single answers were successes; what they add up to is not asked for again at once.
                let owner = (scope.rollout.clone(), selector.name.clone());
                endpoint.with_circuit(|circuit| circuit.report(&owner, Some(problem), self.now()));
            }
            result
        }
        .boxed()
    }

    fn values<'a>(
        &'a self,
        scope: &'a Scope,
        selector: &'a Selector,
        pods: &'a [String],
        label: &'a str,
        at: i64,
    ) -> BoxFuture<'a, Result<Vec<String>, QueryProblem>> {
        self.all_values(scope, selector, pods, label, at).boxed()
    }

    fn shape<'a>(
        &'a self,
        scope: &'a Scope,
        buckets: &'a Selector,
        pods: &'a [String],
        window: Window,
        wanted: f64,
    ) -> BoxFuture<'a, Result<Shape, QueryProblem>> {
        self.shape_of(scope, buckets, pods, window, wanted).boxed()
    }

    fn histograms<'a>(
        &'a self,
        scope: &'a Scope,
        histogram: &'a Selector,
        pods: &'a [String],
        window: Window,
        edges: &'a [f64],
    ) -> BoxFuture<'a, Result<Vec<RawSeries>, QueryProblem>> {
        let read = move |body: &[u8]| answer::histograms(body, edges);
        async move { self.all_samples(scope, histogram, pods, window, read).await }.boxed()
    }
}

impl Endpoint {
    fn with_circuit<T>(&self, act: impl FnOnce(&mut Circuit) -> T) -> T {
        act(&mut self.circuit.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// Sends the query and reads the body of a success.
    async fn fetch(&self, query: &str, at: i64) -> Result<Result<Vec<u8>, TooLong>, QueryProblem> {
        let (profile, shown) = (|| self.name.clone(), || shown(query));
        let _permit = self.permits.acquire().await;
        let access = self
            .keys
            .access(&self.profile)
            .await
            .map_err(|why| QueryProblem::Configuration { profile: profile(), why: clip(&why, 300) })?;
        let at = at.max(0);
        let mut request = access
            .client
            .query(query)
            .query("time", format!("{}.{:03}", at / 1000, at % 1000))
            .query("timeout", format!("{}ms", self.profile.query_timeout.as_millis()))
            .query("limit", MAX_SERIES + 1)
            // Thanos: half an answer would look like pods without errors.
            .query("partial_response", "false");
        for (name, value) in &access.headers {
            request = request.header(name.clone(), value.clone());
        }
        let unreachable = |why: String| QueryProblem::Unreachable {
            profile: profile(),
            query: shown(),
            why: clip(&why, 200),
        };
        let timed_out = |within: Duration| QueryProblem::Timeout {
            profile: profile(),
            query: shown(),
            within: within.as_millis(),
        };
        let failed = |why: &reqwest::Error| {
            if why.is_timeout() { timed_out(self.profile.query_timeout) } else { unreachable(broken(why)) }
        };
        let mut response = match request.post_raw().await {
            Ok(response) => response,
            Err(why) => {
                return Err(match why {
                    prometheus_http_query::Error::Client(why) => {
                        match why.source().and_then(|s| s.downcast_ref()) {
                            Some(why) => failed(why),
                            None => unreachable(why.to_string()),
                        }
                    }
                    other => unreachable(other.to_string()),
                });
            }
        };
        let code = response.status();
        let most = if code.is_success() { MAX_BODY } else { 64 << 10 };
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|why| failed(&why))? {
            if body.len() + chunk.len() > most {
                if code.is_success() {
                    return Ok(Err(TooLong));
                }
                break;
            }
            body.extend_from_slice(&chunk);
        }
        if code.is_success() {
            return Ok(Ok(body));
        }
        let refusal = answer::refusal(&body);
        if refusal.as_ref().is_some_and(|refusal| matches!(refusal.kind.as_str(), "timeout" | "canceled")) {
            return Err(timed_out(self.profile.query_timeout));
        }
        let text = match refusal {
            Some(refusal) => format!("{}: {}", refusal.kind, refusal.message),
            None if code.is_redirection() => {
                "a redirect, which is not followed: write the final address as url".into()
            }
            None => String::from_utf8_lossy(&body).into_owned(),
        };
        Err(QueryProblem::Status {
            profile: profile(),
            query: shown(),
            code: code.as_u16(),
            body: clip(&text, 200),
        })
    }
}

/// A stretch in pieces of at most an hour, the earliest last: they are taken from the end.
fn pieces(window: Window) -> Vec<Window> {
    let mut pieces = Vec::new();
    let mut from = window.from;
    loop {
        let to = window.to.min(from.saturating_add(LONGEST_PIECE_MS));
        pieces.push(Window { from, to });
        if to >= window.to {
            break;
        }
        from = to;
    }
    pieces.reverse();
    pieces
}

fn halves(piece: Window) -> Option<[Window; 2]> {
    let length = piece.to - piece.from;
    let middle = piece.from + length / 2;
    (length > SHORTEST_PIECE_MS)
        .then_some([Window { from: middle, to: piece.to }, Window { from: piece.from, to: middle }])
}

/// Why a connection failed, without the address: statuses are read by people who need not know it.
fn broken(error: &reqwest::Error) -> String {
    error.source().map_or_else(|| "the connection broke".into(), causes)
}

/// An error with its causes, which reqwest keeps to itself.
pub(super) fn causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    for _ in 0..8 {
        let Some(one) = cause else { break };
        let _ = write!(text, ": {one}");
        cause = one.source();
    }
    text
}
