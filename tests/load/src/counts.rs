//! What was sent and what came back: since the start, and since the last mark.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::connection::{Answer, Kind, Moved, Outcome, Pool};

/// Upper edges of the latency buckets in milliseconds; the last bucket has none.
const EDGES_MS: [u32; 16] = [1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 100, 200, 300, 500, 1000, 2500];
/// Answers that are remembered one by one.
const REMEMBERED: usize = 2000;

/// All counts. A window is what was *sent* since the last mark.
#[derive(Default)]
pub(crate) struct Counts(Mutex<State>);

#[derive(Default)]
struct State {
    total: Tally,
    window: Tally,
    window_number: u64,
    window_name: String,
    window_since_ms: u64,
    last: VecDeque<Line>,
    /// The last ones that failed.
    bad: VecDeque<Line>,
}

/// One answer, remembered.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Line {
    at_unix_ms: u64,
    pool: Pool,
    outcome: Outcome,
    connection: Kind,
    pod: Option<String>,
    detail: Option<String>,
    ms: u64,
}

impl Counts {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request leaves. Returns the window it belongs to.
    pub(crate) fn sent(&self) -> u64 {
        let mut state = self.lock();
        state.total.sent += 1;
        state.window.sent += 1;
        state.window_number
    }

    /// A request was due and could not leave.
    pub(crate) fn unsent(&self) {
        let mut state = self.lock();
        state.total.unsent += 1;
        state.window.unsent += 1;
    }

    /// A request ended.
    pub(crate) fn answered(&self, window: u64, kind: Kind, answer: &Answer, took: Duration) {
        let now = unix_ms();
        let mut state = self.lock();
        state.total.add(kind, answer, took, now);
        if state.window_number == window {
            state.window.add(kind, answer, took, now);
        }
        let line = Line {
            at_unix_ms: now,
            pool: answer.pool,
            outcome: answer.outcome,
            connection: kind,
            pod: answer.pod.clone(),
            detail: answer.detail.clone(),
            ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        };
        if answer.outcome != Outcome::Ok {
            remember(&mut state.bad, line.clone());
        }
        remember(&mut state.last, line);
    }

    /// Starts a new window and returns the one that ends.
    pub(crate) fn mark(&self, name: &str) -> Value {
        let mut state = self.lock();
        let ended = window_json(&state);
        state.window = Tally::default();
        state.window_number += 1;
        name.clone_into(&mut state.window_name);
        state.window_since_ms = unix_ms();
        ended
    }

    /// Everything that is known.
    pub(crate) fn to_json(&self, rps: f64) -> Value {
        let state = self.lock();
        json!({ "rps": rps, "total": state.total.to_json(), "window": window_json(&state) })
    }

    /// The last `n` answers, or the last `n` failures, oldest first.
    pub(crate) fn last(&self, n: usize, only_bad: bool) -> Vec<Line> {
        let state = self.lock();
        let lines = if only_bad { &state.bad } else { &state.last };
        lines.iter().skip(lines.len().saturating_sub(n)).cloned().collect()
    }
}

fn remember(lines: &mut VecDeque<Line>, line: Line) {
    if lines.len() == REMEMBERED {
        lines.pop_front();
    }
    lines.push_back(line);
}

fn window_json(state: &State) -> Value {
    let mut window = state.window.to_json();
    window["name"] = json!(state.window_name);
    window["since_unix_ms"] = json!(state.window_since_ms);
    window
}

/// Counts by pool, outcome and connection.
#[derive(Default)]
struct Tally {
    sent: u64,
    unsent: u64,
    reconnected: u64,
    joined: u64,
    left: u64,
    by_pool: [PoolTally; Pool::ALL.len()],
    first_bad_unix_ms: Option<u64>,
    last_bad_unix_ms: Option<u64>,
}

#[derive(Default)]
struct PoolTally {
    /// By outcome, then new and kept.
    outcomes: [[u64; 2]; Outcome::ALL.len()],
    latency: [u64; EDGES_MS.len() + 1],
    last_unix_ms: Option<u64>,
    first_bad_unix_ms: Option<u64>,
}

impl Tally {
    fn add(&mut self, kind: Kind, answer: &Answer, took: Duration, now: u64) {
        let pool = &mut self.by_pool[answer.pool as usize];
        pool.outcomes[answer.outcome as usize][kind as usize] += 1;
        let bucket = EDGES_MS
            .iter()
            .position(|&edge| took.as_secs_f64() * 1000.0 <= f64::from(edge))
            .unwrap_or(EDGES_MS.len());
        pool.latency[bucket] += 1;
        pool.last_unix_ms = Some(now);
        self.reconnected += u64::from(answer.reconnected);
        self.joined += u64::from(answer.moved == Some(Moved::Joined));
        self.left += u64::from(answer.moved == Some(Moved::Left));
        if answer.outcome != Outcome::Ok {
            pool.first_bad_unix_ms.get_or_insert(now);
            self.first_bad_unix_ms.get_or_insert(now);
            self.last_bad_unix_ms = Some(now);
        }
    }

    fn to_json(&self) -> Value {
        let done: u64 = self.by_pool.iter().map(PoolTally::all).sum();
        let ok: u64 = self.by_pool.iter().map(PoolTally::ok).sum();
        let kept: u64 = self.by_pool.iter().flat_map(|pool| pool.outcomes.iter()).map(|by| by[1]).sum();
        let pools: Map<String, Value> =
            Pool::ALL.iter().map(|&pool| (word(&pool), self.by_pool[pool as usize].to_json())).collect();
        json!({
            "sent": self.sent,
            "unsent": self.unsent,
            "in_flight": self.sent.saturating_sub(done),
            "answered": done,
            "failed": done - ok,
            "kept": kept,
            "reconnected": self.reconnected,
            "joined": self.joined,
            "left": self.left,
            "first_bad_unix_ms": self.first_bad_unix_ms,
            "last_bad_unix_ms": self.last_bad_unix_ms,
            "pools": pools,
        })
    }
}

impl PoolTally {
    fn all(&self) -> u64 {
        self.outcomes.iter().flatten().sum()
    }
    fn ok(&self) -> u64 {
        self.outcomes[Outcome::Ok as usize].iter().sum()
    }

    fn to_json(&self) -> Value {
        let outcomes: Map<String, Value> = Outcome::ALL
            .iter()
            .map(|&outcome| {
                let [new, kept] = self.outcomes[outcome as usize];
                (word(&outcome), json!({ "new": new, "kept": kept }))
            })
            .collect();
        json!({
            "answered": self.all(),
            "failed": self.all() - self.ok(),
            "outcomes": outcomes,
            "last_unix_ms": self.last_unix_ms,
            "first_bad_unix_ms": self.first_bad_unix_ms,
            // Upper edges of the bucket that holds the quantile; null above the last edge.
            "latency_ms": { "p50": self.quantile(0.5), "p90": self.quantile(0.9), "p99": self.quantile(0.99) },
        })
    }

    fn quantile(&self, share: f64) -> Option<u32> {
        let wanted = share * self.all() as f64;
        let mut seen = 0;
        for (bucket, count) in self.latency.iter().enumerate() {
            seen += count;
            if seen > 0 && seen as f64 >= wanted {
                return EDGES_MS.get(bucket).copied();
            }
        }
        None
    }
}

/// The word with which a unit variant is written.
fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => word,
        _ => String::new(),
    }
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(pool: Pool, outcome: Outcome) -> Answer {
        Answer {
            pool,
            outcome,
            pod: None,
            detail: None,
            reconnected: false,
            cookies: Vec::new(),
            moved: None,
        }
    }

    #[test]
    fn a_request_sent_before_the_mark_counts_in_the_total_only() {
        let counts = Counts::default();
        let before = counts.sent();
        counts.mark("after");
        let after = counts.sent();
        counts.answered(
            before,
            Kind::New,
            &answer(Pool::FreeThreaded, Outcome::Ok),
            Duration::from_millis(4),
        );
        counts.answered(
            after,
            Kind::Kept,
            &answer(Pool::Standard, Outcome::HttpError),
            Duration::from_millis(4),
        );
        let seen = counts.to_json(100.0);
        assert_eq!(seen["total"]["answered"], 2);
        assert_eq!(seen["window"]["answered"], 1);
        assert_eq!(seen["window"]["name"], "after");
        assert_eq!(seen["window"]["failed"], 1);
        assert_eq!(seen["window"]["kept"], 1);
        assert_eq!(seen["window"]["pools"]["free-threaded"]["answered"], 0);
        assert_eq!(seen["window"]["pools"]["free-threaded"]["first_bad_unix_ms"], Value::Null);
        assert_eq!(
            seen["window"]["pools"]["standard"]["first_bad_unix_ms"],
            seen["window"]["first_bad_unix_ms"]
        );
        assert_eq!(seen["total"]["pools"]["standard"]["outcomes"]["http_error"]["kept"], 1);
        assert_eq!(counts.last(9, false).len(), 2);
        assert_eq!(counts.last(9, true).len(), 1);
    }

    #[test]
    fn quantiles_are_the_upper_edges_of_their_buckets() {
        let mut tally = PoolTally::default();
        assert_eq!(tally.quantile(0.5), None);
        tally.outcomes[Outcome::Ok as usize][0] = 100;
        tally.latency[3] = 90;
        tally.latency[EDGES_MS.len()] = 10;
        assert_eq!(tally.quantile(0.5), Some(5));
        assert_eq!(tally.quantile(0.99), None);
    }
}
