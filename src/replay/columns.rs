//! Which columns there are, and which of them a rollout needs.

use super::problem::RowProblem;

/// The columns, as errors list them.
pub(super) const KNOWN: &str = "time, pool, pod, requests, errors, slow, le_<seconds>, weight and young";

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Column {
    Time,
    Pool,
    Pod,
    Requests,
    Errors,
    Slow,
    /// Requests of at most so many seconds.
    Within(f64),
    Weight,
    Young,
    Ignored,
}

/// Without any of these a line is no header.
const NEEDED: [&str; 4] = ["time", "pool", "pod", "requests"];

/// Whether these may be names of columns at all.
pub(super) fn is_header(names: &[String]) -> bool {
    names.iter().any(|name| NEEDED.contains(&name.trim()))
}

impl Column {
    fn of(name: &str, need: &Need) -> Result<Self, RowProblem> {
        Ok(match name {
            "time" => Self::Time,
            "pool" => Self::Pool,
            "pod" => Self::Pod,
            "requests" => Self::Requests,
            "errors" => Self::Errors,
            "slow" => Self::Slow,
            "weight" => Self::Weight,
            "young" => Self::Young,
            _ => match name.strip_prefix("le_").and_then(bound) {
                Some(bound) => Self::Within(bound),
                None if need.ignore_unknown || name.starts_with("x_") => Self::Ignored,
                None => return Err(RowProblem::Unknown(short(name))),
            },
        })
    }
}

fn bound(text: &str) -> Option<f64> {
    text.parse::<f64>().ok().filter(|bound| *bound >= 0.0)
}

/// What a rollout asks of a file.
#[derive(Clone, Debug, Default)]
pub(super) struct Need {
    /// It compares errors.
    pub(super) errors: bool,
    /// It compares latency, with this threshold in seconds.
    pub(super) threshold: Option<f64>,
    /// Columns of any name may be there.
    pub(super) ignore_unknown: bool,
}

/// The columns of one file.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    names: Vec<String>,
    columns: Vec<Column>,
    need: Need,
    /// Where slow begins, if buckets say so.
    boundary: Option<f64>,
}

impl Layout {
    /// From the header, or the keys of the first object.
    pub(super) fn of(names: &[String], need: &Need) -> Result<Self, RowProblem> {
        let mut layout = Self { names: Vec::new(), columns: Vec::new(), need: need.clone(), boundary: None };
        let columns: Vec<Column> =
            names.iter().map(|name| Column::of(name.trim(), need)).collect::<Result<_, _>>()?;
        layout.boundary = layout.choose(&columns)?;
        for name in names {
            layout.add(name.trim())?;
        }
        let has = |column| layout.columns.contains(&column);
        let always = [
            (Column::Time, "time"),
            (Column::Pool, "pool"),
            (Column::Pod, "pod"),
            (Column::Requests, "requests"),
        ];
        for (column, name) in always {
            if !has(column) {
                return Err(RowProblem::Missing(name, ""));
            }
        }
        if need.errors && !has(Column::Errors) {
            return Err(RowProblem::Missing("errors", ", which the rollout's errorRate needs"));
        }
        if need.threshold.is_some() && layout.boundary.is_none() && !has(Column::Slow) {
            return Err(RowProblem::Missing(
                "slow",
                " nor any 'le_', one of which the rollout's latency needs",
            ));
        }
        Ok(layout)
    }

    /// The smallest boundary at or above the threshold stands for it.
    fn choose(&self, columns: &[Column]) -> Result<Option<f64>, RowProblem> {
        let Some(threshold) = self.need.threshold else { return Ok(None) };
        let bounds = columns.iter().filter_map(|column| match column {
            Column::Within(bound) => Some(*bound),
            _ => None,
        });
        if bounds.clone().next().is_none() {
            return Ok(None);
        }
        if columns.contains(&Column::Slow) {
            return Err(RowProblem::SlowAndBuckets);
        }
        let chosen = bounds.filter(|bound| bound.is_finite() && *bound >= threshold).reduce(f64::min);
        chosen.map(Some).ok_or(RowProblem::NoBucket(threshold))
    }

    /// One more column, where objects name what the first one did not.
    fn add(&mut self, name: &str) -> Result<Column, RowProblem> {
        let column = match Column::of(name, &self.need)? {
            Column::Within(bound) if self.boundary != Some(bound) => Column::Ignored,
            column => column,
        };
        let twice = column != Column::Ignored && self.columns.contains(&column);
        if twice || self.names.iter().any(|known| known == name) {
            return Err(RowProblem::Twice(short(name)));
        }
        self.names.push(name.to_owned());
        self.columns.push(column);
        Ok(column)
    }

    /// In order of the header.
    pub(super) fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// By name; `expected` is where it most likely is.
    pub(super) fn column(&mut self, name: &str, expected: usize) -> Result<Column, RowProblem> {
        let at = if self.names.get(expected).is_some_and(|known| known == name) {
            Some(expected)
        } else {
            self.names.iter().position(|known| known == name)
        };
        match at.and_then(|at| self.columns.get(at)) {
            Some(column) => Ok(*column),
            None => self.add(name),
        }
    }

    /// The bucket boundary that stands for the threshold, in seconds.
    pub(super) fn boundary(&self) -> Option<f64> {
        self.boundary
    }
}

/// No longer than a word of an error should be.
pub(super) fn short(text: &str) -> String {
    clipped(text, 60)
}

/// No more than `most` characters.
pub(super) fn clipped(text: &str, most: usize) -> String {
    let mut short: String = text.chars().take(most).map(|c| if c.is_control() { '?' } else { c }).collect();
    if short.len() < text.len() && text.chars().count() > most {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(header: &str, threshold: Option<f64>) -> Result<Layout, RowProblem> {
        let names: Vec<String> = header.split(',').map(str::to_owned).collect();
        Layout::of(&names, &Need { errors: true, threshold, ignore_unknown: false })
    }

    #[test]
    fn the_next_boundary_above_stands_for_the_threshold() {
        let buckets = "time,pool,pod,requests,errors,le_0.1,le_0.5,le_1,le_+Inf";
        assert_eq!(layout(buckets, Some(0.3)).unwrap().boundary(), Some(0.5));
        assert_eq!(layout(buckets, Some(0.5)).unwrap().boundary(), Some(0.5));
        assert_eq!(layout(buckets, None).unwrap().boundary(), None);
        assert_eq!(layout(buckets, Some(2.0)).unwrap_err(), RowProblem::NoBucket(2.0));
    }

    #[test]
    fn what_is_missing_is_named() {
        let missing = layout("time,pool,pod,requests", None).unwrap_err().to_string();
        assert!(
            missing.starts_with("there is no 'errors', which the rollout's errorRate needs; known are time,"),
            "{missing}"
        );
        assert_eq!(layout("time,time,pool", None).unwrap_err(), RowProblem::Twice("time".into()));
        assert_eq!(layout("time;pool", None).unwrap_err(), RowProblem::Unknown("time;pool".into()));
        assert!(!is_header(&["time;pool".to_owned()]) && is_header(&["a".to_owned(), " pod".to_owned()]));
    }
}
