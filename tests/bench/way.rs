//! The way from the first sign of a breach to the end of the traffic, as moments in their order. Pure.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::numbers::Distribution;

/// A place on the way. The parts of the way are named after where they end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// The first bad answer that the load generator got, or the line in the log: here it begins.
    Sign,
    /// The first scrape that shows a bad answer.
    Scrape,
    /// The last scrape before the verdict that shows another one: up to here evidence was collected.
    Evidence,
    /// The pass that decided began.
    Verdict,
    /// The API server has written weight 0 and answered.
    Written,
    /// Weight 0 arrived at somebody who watches.
    Seen,
    /// The last ready endpoint of the free-threaded pool went.
    Gone,
}

impl Place {
    /// After the sign, in order, with the words over their columns.
    const COLUMNS: [(Self, &'static str); 6] = [
        (Self::Scrape, "scrape"),
        (Self::Evidence, "evidence"),
        (Self::Verdict, "verdict"),
        (Self::Written, "write"),
        (Self::Seen, "watch"),
        (Self::Gone, "endpoints"),
    ];
}

/// When each place was reached, as far as it is known.
#[derive(Debug, Clone, Default)]
pub(super) struct Way(Vec<(Place, Timestamp)>);

impl Way {
    /// Reached `place` at `at`, if that is known.
    pub(super) fn reached(mut self, place: Place, at: Option<Timestamp>) -> Self {
        self.0.extend(at.map(|at| (place, at)));
        self.0.sort_by_key(|(place, _)| *place);
        self
    }

    /// Seconds from the sign to `place`.
    pub(super) fn to(&self, place: Place) -> Option<f64> {
        Some(seconds(self.at(Place::Sign)?, self.at(place)?))
    }

    /// Seconds to `place` from the place before it that is known.
    fn part(&self, place: Place) -> Option<f64> {
        let index = self.0.iter().position(|(reached, _)| *reached == place)?;
        let (_, before) = self.0.get(index.checked_sub(1)?)?;
        Some(seconds(*before, self.0[index].1))
    }

    /// When `place` was reached.
    pub(super) fn at(&self, place: Place) -> Option<Timestamp> {
        self.0.iter().find(|(reached, _)| *reached == place).map(|(_, at)| *at)
    }
}

/// Seconds from one moment to another.
pub(super) fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64()
}

/// The head of the table of [`row`]s.
pub(super) fn head() -> String {
    let mut line = format!("  {:<8} {:>11} {:>12}   of it:", "", "to weight 0", "to traffic 0");
    for (_, word) in Place::COLUMNS {
        let _ = write!(line, " {word:>9}");
    }
    line
}

/// One way as a line of the table.
pub(super) fn row(name: &str, way: &Way) -> String {
    line(name, |place| way.to(place), |place| way.part(place))
}

/// Distributions of several ways as three lines of the table, each column for itself.
pub(super) fn distribution(ways: &[Way]) -> Vec<String> {
    let of = |value: &dyn Fn(&Way) -> Option<f64>, pick: fn(Distribution) -> f64| {
        Distribution::of(ways.iter().filter_map(value)).map(pick)
    };
    let row = |name, pick| {
        line(name, |place| of(&|way| way.to(place), pick), |place| of(&|way| way.part(place), pick))
    };
    vec![row("min", |d| d.min), row("median", |d| d.median), row("max", |d| d.max)]
}

fn line(name: &str, to: impl Fn(Place) -> Option<f64>, part: impl Fn(Place) -> Option<f64>) -> String {
    let shown = |seconds: Option<f64>| seconds.map_or("-".into(), |seconds| format!("{seconds:.2} s"));
    let mut line =
        format!("  {name:<8} {:>11} {:>12}         ", shown(to(Place::Seen)), shown(to(Place::Gone)));
    for (place, _) in Place::COLUMNS {
        let _ = write!(line, " {:>9}", shown(part(place)));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reached(moments: &[(Place, i64)]) -> Way {
        let at = |millis| Timestamp::from_millisecond(1_700_000_000_000 + millis).ok();
        moments.iter().fold(Way::default(), |way, (place, millis)| way.reached(*place, at(*millis)))
    }

    #[test]
    fn parts_add_up_to_the_way_and_what_is_unknown_is_left_out() {
        let way = reached(&[
            (Place::Gone, 3000),
            (Place::Sign, 0),
            (Place::Scrape, 400),
            (Place::Verdict, 2400),
            (Place::Seen, 2500),
        ])
        .reached(Place::Evidence, None);
        assert_eq!(way.to(Place::Seen), Some(2.5));
        assert_eq!(way.part(Place::Verdict), Some(2.0));
        assert_eq!((way.part(Place::Evidence), way.part(Place::Written)), (None, None));
        let all: f64 = Place::COLUMNS.iter().filter_map(|(place, _)| way.part(*place)).sum();
        assert!((all - way.to(Place::Gone).unwrap()).abs() < 1e-9);
        let row = row("1", &way);
        let cells: Vec<&str> = row.split_whitespace().collect();
        assert_eq!(cells, "1 2.50 s 3.00 s 0.40 s - 2.00 s - 0.10 s 0.50 s".split(' ').collect::<Vec<_>>());
    }

    #[test]
    fn each_column_has_its_own_distribution() {
        let way = |seen, gone| reached(&[(Place::Sign, 0), (Place::Seen, seen), (Place::Gone, gone)]);
        let lines = distribution(&[way(1000, 4000), way(3000, 3500), way(2000, 2500)]);
        assert_eq!(lines.len(), 3);
        assert!(lines[1].contains("2.00 s") && lines[1].contains("3.50 s"), "{}", lines[1]);
        assert!(distribution(&[])[0].contains('-'));
    }
}
