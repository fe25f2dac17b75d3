//! A look at the beginning of a file, to learn how long its intervals are. What was looked at is not lost.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    io::BufRead,
};

use super::{fields::Row, problem::InputProblem, rows::Rows};
use crate::api::Span;

/// How many rows and times are looked at.
const ROWS: usize = 20_000;
const TIMES: usize = 64;

/// Rows of which the first have been looked at.
pub(super) struct Surveyed<R> {
    ahead: VecDeque<(String, Row)>,
    rest: Rows<R>,
    /// Time of the first row, ms, and its line.
    pub(super) first: (i64, u64),
    /// The time from one row of a pod to its next, mostly, ms.
    pub(super) step: Option<i64>,
    /// The time from one time to the next, mostly, ms.
    between: Option<i64>,
}

impl<R: BufRead> Surveyed<R> {
    pub(super) fn new(mut rest: Rows<R>) -> Result<Self, InputProblem> {
        let mut ahead: VecDeque<(String, Row)> = VecDeque::new();
        let (mut pods, mut times) = (BTreeMap::new(), BTreeSet::new());
        let mut steps: BTreeMap<i64, usize> = BTreeMap::new();
        // At least two times: there are never more pods at one time than rows are looked at.
        while ahead.len() < ROWS && times.len() < TIMES {
            let Some((pod, row)) = rest.next()? else { break };
            times.insert(row.at);
            match pods.get_mut(&pod) {
                None => {
                    pods.insert(pod.clone(), row.at);
                }
                Some(before) => {
                    if row.at > *before {
                        *steps.entry(row.at - *before).or_default() += 1;
                    }
                    *before = row.at;
                }
            }
            ahead.push_back((pod, row));
        }
        let first = ahead.front().map(|(_, row)| (row.at, row.line)).ok_or(InputProblem::Empty)?;
        let mut between: BTreeMap<i64, usize> = BTreeMap::new();
        for (one, next) in times.iter().zip(times.iter().skip(1)) {
            *between.entry(next - one).or_default() += 1;
        }
        let between = most_common(&between);
        Ok(Self { ahead, rest, first, step: most_common(&steps).or(between), between })
    }

    /// The rows of one interval have times of their own: taken as they are, no interval would hold both pools.
    pub(super) fn staggered(&self) -> bool {
        matches!((self.step, self.between), (Some(step), Some(between)) if between * 2 <= step)
    }

    pub(super) fn next(&mut self) -> Result<Option<(String, Row)>, InputProblem> {
        match self.ahead.pop_front() {
            Some(row) => Ok(Some(row)),
            None => self.rest.next(),
        }
    }

    /// See [`Rows::boundary`].
    pub(super) fn boundary(&self) -> Option<f64> {
        self.rest.boundary()
    }

    /// The length of an interval (ms): as told, else as found.
    pub(super) fn interval(&self, told: Option<Span>) -> Result<i64, InputProblem> {
        told.map(Span::millis).filter(|ms| *ms > 0).or(self.step).ok_or(InputProblem::OneTime(self.first.1))
    }
}

/// The shortest of the most frequent.
fn most_common(counts: &BTreeMap<i64, usize>) -> Option<i64> {
    let most = counts.values().max()?;
    counts.iter().find(|(_, count)| *count == most).map(|(length, _)| *length)
}
