//! One field of one line: a time, a pool, a count.

use std::borrow::Cow;

use jiff::Timestamp;

use super::{
    columns::{Column, short},
    problem::RowProblem,
};
use crate::judge::Pool;

/// Largest count: far below where whole numbers in `f64` end.
const MOST: f64 = 1e15;

/// From here on a number is milliseconds: as seconds it would be the year 5138.
const MILLIS_FROM: f64 = 1e11;

/// Milliseconds end here: more is microseconds.
const MILLIS_UNTIL: f64 = 1e14;

/// A field as it was written.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Field<'a> {
    Text(Cow<'a, str>),
    Number(f64),
    Flag(bool),
}

impl Field<'_> {
    fn shown(&self) -> String {
        match self {
            Self::Text(text) => short(text),
            Self::Number(number) => number.to_string(),
            Self::Flag(flag) => flag.to_string(),
        }
    }

    fn is_empty(&self) -> bool {
        matches!(self, Self::Text(text) if text.trim().is_empty())
    }

    fn number(&self) -> Option<f64> {
        match self {
            Self::Text(text) => text.trim().parse().ok(),
            Self::Number(number) => Some(*number),
            Self::Flag(_) => None,
        }
    }
}

/// One line: what one pod did in one interval, or its counters at one time.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    /// Its number in the file.
    pub(super) line: u64,
    /// When, ms since the epoch.
    pub(super) at: i64,
    pub(super) pool: Pool,
    pub(super) requests: f64,
    pub(super) errors: Option<f64>,
    pub(super) slow: Option<f64>,
    /// Percent, if told.
    pub(super) weight: Option<f64>,
    pub(super) young: bool,
}

/// A row in the making.
#[derive(Debug, Default)]
pub(super) struct Draft {
    at: Option<i64>,
    pool: Option<Pool>,
    pod: Option<String>,
    requests: Option<f64>,
    errors: Option<f64>,
    slow: Option<f64>,
    within: Option<f64>,
    weight: Option<f64>,
    young: bool,
}

impl Draft {
    pub(super) fn put(
        &mut self,
        column: Column,
        field: &Field<'_>,
        times: &mut Times,
    ) -> Result<(), RowProblem> {
        match column {
            Column::Time => self.at = Some(times.read(field)?),
            Column::Pool => self.pool = Some(pool(field)?),
            Column::Pod => self.pod = Some(pod(field)?),
            Column::Requests => self.requests = Some(count("requests", field)?),
            Column::Errors => self.errors = Some(count("errors", field)?),
            Column::Slow => self.slow = Some(count("slow", field)?),
            Column::Within(bound) => self.within = Some(count(&format!("le_{bound}"), field)?),
            Column::Weight => self.weight = weight(field)?,
            Column::Young => self.young = young(field)?,
            Column::Ignored => {}
        }
        Ok(())
    }

    /// The pod and its row, if nothing is missing and nothing contradicts.
    pub(super) fn finish(self, line: u64) -> Result<(String, Row), RowProblem> {
        let missing = |name| RowProblem::Missing(name, "");
        let requests = self.requests.ok_or(missing("requests"))?;
        let at_most = |what, bad: f64| {
            if bad > requests { Err(RowProblem::MoreBad { what, bad, requests }) } else { Ok(bad) }
        };
        let errors = self.errors.map(|bad| at_most("errors", bad)).transpose()?;
        let slow = self.slow.map(|bad| at_most("slow requests", bad)).transpose()?;
        let fast = self.within.map(|fast| at_most("requests within the bucket", fast)).transpose()?;
        let row = Row {
            line,
            at: self.at.ok_or(missing("time"))?,
            pool: self.pool.ok_or(missing("pool"))?,
            requests,
            errors,
            slow: slow.or(fast.map(|fast| requests - fast)),
            weight: self.weight,
            young: self.young,
        };
        Ok((self.pod.ok_or(missing("pod"))?, row))
    }
}

/// Reads times; those of one interval are mostly the same text.
#[derive(Debug, Default)]
pub(super) struct Times {
    last: Option<(String, i64)>,
}

impl Times {
    fn read(&mut self, field: &Field<'_>) -> Result<i64, RowProblem> {
        let Field::Text(text) = field else { return time(field) };
        if let Some((known, at)) = &self.last
            && known == text.as_ref()
        {
            return Ok(*at);
        }
        let at = time(field)?;
        self.last = Some((text.as_ref().to_owned(), at));
        Ok(at)
    }
}

fn time(field: &Field<'_>) -> Result<i64, RowProblem> {
    if field.is_empty() {
        return Err(RowProblem::Nothing("time".to_owned(), "when the interval begins"));
    }
    let bad = || RowProblem::Time(field.shown());
    if let Some(number) = field.number() {
        let millis = if number >= MILLIS_FROM { number } else { number * 1000.0 };
        if !(0.0..MILLIS_UNTIL).contains(&millis) {
            return Err(bad());
        }
        // Within the range just checked.
        #[allow(clippy::cast_possible_truncation)]
        return Ok(millis.round() as i64);
    }
    let Field::Text(text) = field else { return Err(bad()) };
    let at: Timestamp = text.trim().parse().map_err(|_| bad())?;
    Some(at.as_millisecond()).filter(|at| *at >= 0).ok_or_else(bad)
}

/// A time on the command line, ms.
pub(super) fn moment(text: &str) -> Result<i64, RowProblem> {
    time(&Field::Text(Cow::Borrowed(text)))
}

fn pool(field: &Field<'_>) -> Result<Pool, RowProblem> {
    match field {
        Field::Text(text) if text.trim() == "standard" => Ok(Pool::Standard),
        Field::Text(text) if matches!(text.trim(), "free-threaded" | "freeThreaded") => {
            Ok(Pool::FreeThreaded)
        }
        _ => Err(RowProblem::Pool(field.shown())),
    }
}

fn pod(field: &Field<'_>) -> Result<String, RowProblem> {
    match field {
        _ if field.is_empty() => Err(RowProblem::Nothing("pod".to_owned(), "the pod's name")),
        Field::Text(text) => Ok(text.trim().to_owned()),
        other => Ok(other.shown()),
    }
}

fn count(name: &str, field: &Field<'_>) -> Result<f64, RowProblem> {
    if field.is_empty() {
        return Err(RowProblem::Nothing(name.to_owned(), "a count; 0 if there was none"));
    }
    let count = field.number().filter(|count| (0.0..=MOST).contains(count));
    count.ok_or_else(|| RowProblem::Count(name.to_owned(), field.shown()))
}

fn weight(field: &Field<'_>) -> Result<Option<f64>, RowProblem> {
    if field.is_empty() {
        return Ok(None);
    }
    let weight = field.number().filter(|weight| (0.0..=100.0).contains(weight));
    weight.map(Some).ok_or_else(|| RowProblem::Weight(field.shown()))
}

fn young(field: &Field<'_>) -> Result<bool, RowProblem> {
    match field {
        Field::Flag(young) => Ok(*young),
        Field::Text(text) => match text.trim() {
            "true" | "True" | "1" => Ok(true),
            "" | "false" | "False" | "0" => Ok(false),
            _ => Err(RowProblem::Young(field.shown())),
        },
        Field::Number(_) => Err(RowProblem::Young(field.shown())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_all_their_forms() {
        let read = |text: &'static str| Times::default().read(&Field::Text(Cow::Borrowed(text)));
        let at = 1_793_610_000_000;
        for text in [
            "2026-11-02T09:00:00Z",
            "2026-11-02T10:00:00+01:00",
            "1793610000",
            "1793610000.0",
            "1793610000000",
        ] {
            assert_eq!(read(text), Ok(at), "{text}");
        }
        for text in ["yesterday", "-1", "NaN", "inf", "1793610000000000", "2026-11-02", "1e300"] {
            assert_eq!(read(text), Err(RowProblem::Time(text.to_owned())), "{text}");
        }
    }
}
