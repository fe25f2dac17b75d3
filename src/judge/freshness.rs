//! How old what we know is, per pool. No data is never good news.

use serde::{Deserialize, Serialize};

use super::{grid::Cell, samples::Pool};

/// Samples older than this many scrapes, and [`SLACK_MS`], are stale.
const SAMPLE_CELLS: i64 = 3;

/// A pool last counted in a cell that ended this many scrapes ago, and [`SLACK_MS`], is stale: a cell closes up to two late.
const CELL_CELLS: i64 = 5;

/// For the query and the way, ms.
const SLACK_MS: i64 = 5_000;

/// Whose counts are missing. Blindness on both pools is an outage of the monitoring: nobody is rolled back for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Pools {
    /// The free-threaded pool's alone.
    FreeThreaded,
    /// The standard pool's alone.
    Standard,
    /// Both pools'.
    Both,
}

impl std::fmt::Display for Pools {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::FreeThreaded => Pool::FreeThreaded.fmt(f),
            Self::Standard => Pool::Standard.fmt(f),
            Self::Both => f.write_str("both pools"),
        }
    }
}

/// Blindness and how long it has lasted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Blindness {
    /// Whose counts are missing.
    pub pools: Pools,
    /// Since when, ms since the epoch. Where one pool alone is missing: only as long as the other has been seen without a gap, so
    /// that an outage of the monitoring is never counted as silence of one pool.
    pub since: i64,
    /// Nothing at all was ever seen of it in this attempt.
    pub never: bool,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Seen {
    last: Option<i64>,
    /// Since when it has been seen without a gap.
    run: i64,
    /// End of the last cell that counted a pod of it.
    counted: Option<i64>,
}

/// When the pools of one metric were last seen.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Freshness {
    cell: i64,
    started: i64,
    standard: Seen,
    free_threaded: Seen,
}

impl Freshness {
    pub(super) fn new(cell_ms: i64, started: i64) -> Self {
        Self { cell: cell_ms, started, standard: Seen::default(), free_threaded: Seen::default() }
    }

    /// A scrape of a pod of `pool` at `at` (ms).
    pub(super) fn sample(&mut self, pool: Pool, at: i64) {
        let limit = self.sample_limit();
        let seen = match pool {
            Pool::Standard => &mut self.standard,
            Pool::FreeThreaded => &mut self.free_threaded,
        };
        if seen.last.is_none_or(|last| at - last > limit) {
            seen.run = at;
        }
        seen.last = Some(seen.last.map_or(at, |last| last.max(at)));
    }

    /// A closed cell.
    pub(super) fn cell(&mut self, cell: &Cell) {
        for (pool, seen) in
            [(Pool::Standard, &mut self.standard), (Pool::FreeThreaded, &mut self.free_threaded)]
        {
            if cell.pods(pool, true).next().is_some() {
                seen.counted = Some(cell.end);
            }
        }
    }

    /// Whose counts are missing at `now` (ms).
    pub(super) fn blind(&self, now: i64) -> Option<Blindness> {
        let blind =
            |pools, since: i64, never| Some(Blindness { pools, since: since.max(self.started), never });
        match (self.missing(self.free_threaded, now), self.missing(self.standard, now)) {
            (None, None) => None,
            (Some(c), None) => {
                blind(Pools::FreeThreaded, c.max(self.standard.run), self.free_threaded.last.is_none())
            }
            (None, Some(b)) => {
                blind(Pools::Standard, b.max(self.free_threaded.run), self.standard.last.is_none())
            }
            (Some(c), Some(b)) => blind(
                Pools::Both,
                c.max(b),
                self.free_threaded.last.is_none() && self.standard.last.is_none(),
            ),
        }
    }

    /// Both pools, because nothing could be read.
    pub(super) fn unreadable(&self) -> Blindness {
        let last = self.free_threaded.last.max(self.standard.last);
        Blindness {
            pools: Pools::Both,
            since: last.map_or(self.started, |at| at.max(self.started)),
            never: last.is_none(),
        }
    }

    /// Since when `seen` is missing, if it is.
    fn missing(&self, seen: Seen, now: i64) -> Option<i64> {
        let Some(last) = seen.last else { return Some(self.started) };
        if now - last > self.sample_limit() {
            return Some(last);
        }
        // Scraped but never counted: the scrape interval is not what it was, or every scrape comes late.
        let counted = seen.counted.unwrap_or(self.started).max(self.started);
        (now - counted > CELL_CELLS * self.cell + SLACK_MS).then_some(counted)
    }

    fn sample_limit(&self) -> i64 {
        SAMPLE_CELLS * self.cell + SLACK_MS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_of_the_monitoring_is_not_silence_of_one_pool() {
        let mut fresh = Freshness::new(1_000, 0);
        assert_eq!(fresh.blind(500), Some(Blindness { pools: Pools::Both, since: 0, never: true }));
        for at in (0..20_000).step_by(1_000) {
            fresh.sample(Pool::Standard, at);
            fresh.sample(Pool::FreeThreaded, at);
        }
        fresh.standard.counted = Some(600_000);
        fresh.free_threaded.counted = Some(600_000);
        assert_eq!(fresh.blind(21_000), None);
        assert_eq!(fresh.blind(60_000), Some(Blindness { pools: Pools::Both, since: 19_000, never: false }));
        // The standard pool is back first: ours has been missing alone only since then.
        fresh.sample(Pool::Standard, 600_000);
        assert_eq!(
            fresh.blind(601_000),
            Some(Blindness { pools: Pools::FreeThreaded, since: 600_000, never: false })
        );
    }
}
