//! What is left of a file for the plot: a bounded number of points, in which no extreme is lost.

use crate::judge::{Cell, Counts, Pool};

/// Most points that are kept.
const MOST: usize = 2_000;

/// Metrics that a rollout can compare.
const METRICS: usize = 2;

/// Both pools over a stretch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Both {
    pub(super) free_threaded: Counts,
    pub(super) standard: Counts,
}

/// Evidence over a stretch, as ratio.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Range {
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) last: f64,
}

/// One stretch of time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    pub(super) from: i64,
    pub(super) to: i64,
    /// None once it has acted.
    pub(super) ratio: Option<Range>,
    pub(super) metrics: [Both; METRICS],
}

impl Point {
    pub(super) fn new(from: i64, to: i64, ratio: Option<f64>, cells: &[(usize, Cell)]) -> Self {
        let mut metrics = [Both::default(); METRICS];
        for (index, cell) in cells {
            if let Some(both) = metrics.get_mut(*index) {
                both.free_threaded += cell.sum(Pool::FreeThreaded, true);
                both.standard += cell.sum(Pool::Standard, true);
            }
        }
        let ratio = ratio.map(|ratio| Range { low: ratio, high: ratio, last: ratio });
        Self { from, to, ratio, metrics }
    }

    fn join(&mut self, next: &Self) {
        self.to = next.to;
        self.ratio = match (self.ratio, next.ratio) {
            (Some(a), Some(b)) => {
                Some(Range { low: a.low.min(b.low), high: a.high.max(b.high), last: b.last })
            }
            (a, b) => a.or(b),
        };
        for (both, more) in self.metrics.iter_mut().zip(&next.metrics) {
            both.free_threaded += more.free_threaded;
            both.standard += more.standard;
        }
    }
}

/// Points in order of time. When there are too many, neighbours become one.
#[derive(Clone, Debug)]
pub(super) struct Points {
    all: Vec<Point>,
    /// How many that were told make one that is kept.
    each: usize,
    /// How many the last one holds.
    filled: usize,
}

impl Points {
    pub(super) fn new() -> Self {
        Self { all: Vec::new(), each: 1, filled: 1 }
    }

    pub(super) fn push(&mut self, point: &Point) {
        if self.filled < self.each
            && let Some(last) = self.all.last_mut()
        {
            last.join(point);
            self.filled += 1;
            return;
        }
        if self.all.len() >= MOST {
            self.all = joined(&self.all, 2);
            self.each *= 2;
        }
        self.all.push(*point);
        self.filled = 1;
    }

    pub(super) fn all(&self) -> &[Point] {
        &self.all
    }

    /// No more than `most` of them.
    pub(super) fn fewer(&self, most: usize) -> Vec<Point> {
        joined(&self.all, self.all.len().div_ceil(most.max(1)).max(1))
    }
}

fn joined(points: &[Point], together: usize) -> Vec<Point> {
    let join = |some: &[Point]| {
        let mut iter = some.iter();
        let mut first = *iter.next()?;
        iter.for_each(|next| first.join(next));
        Some(first)
    };
    points.chunks(together).filter_map(join).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinned_it_keeps_the_extremes() {
        let mut points = Points::new();
        for i in 0..50_000 {
            let ratio = if i == 31_007 { 1e9 } else { 1.0 };
            points.push(&Point::new(i, i + 1, Some(ratio), &[]));
        }
        let all = points.all();
        assert!(all.len() <= MOST && all.len() > MOST / 2, "{}", all.len());
        assert!(all.windows(2).all(|two| two[0].to == two[1].from));
        assert_eq!((all[0].from, all[all.len() - 1].to), (0, 50_000));
        let high =
            |points: &[Point]| points.iter().filter_map(|p| p.ratio).map(|r| r.high).fold(0.0, f64::max);
        assert_eq!((high(all), high(&points.fewer(100))), (1e9, 1e9));
        assert!(points.fewer(100).len() <= 100);
    }
}
