//! A gauge of the user's own against a range: an escape hatch, which carries no bound on false alarms and says so.

use super::samples::Point;

/// What a gauge is held to.
#[derive(Clone, Debug, PartialEq)]
pub struct GaugeSpec {
    /// What sentences call it.
    pub name: String,
    /// Smallest value that is well.
    pub min: Option<f64>,
    /// Largest value that is well.
    pub max: Option<f64>,
    /// How long it may be outside, ms.
    pub lasting: i64,
    /// Time between two of its values, ms.
    pub every: i64,
}

/// What a gauge says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GaugeVerdict {
    /// It has been outside its range for all of the time that it may be.
    Outside,
    /// It cannot be said.
    Unknown,
    /// Since the weight is served, it has had no value yet.
    NotYet,
    /// It is inside, or has not been outside for long enough.
    Inside,
}

/// A gauge's verdict with its sentence.
#[derive(Clone, Debug, PartialEq)]
pub struct GaugeFinding {
    /// The gauge.
    pub name: String,
    /// What is found.
    pub verdict: GaugeVerdict,
    /// With its numbers.
    pub sentence: String,
}

impl GaugeSpec {
    /// Nothing is known since the weight is served. No good news either.
    pub fn not_yet(&self) -> GaugeFinding {
        let sentence = format!("{} unknown: it has had no value since this weight is served", self.name);
        GaugeFinding { name: self.name.clone(), verdict: GaugeVerdict::NotYet, sentence }
    }

    /// What its values in the window of [`GaugeSpec::lasting`] before `now` (ms since the epoch) say, or why there are none.
    pub fn judge(&self, values: &Result<Vec<Point>, String>, now: i64) -> GaugeFinding {
        let found = |verdict, said: String| GaugeFinding {
            name: self.name.clone(),
            verdict,
            sentence: format!("{} {said}", self.name),
        };
        let values = match values {
            Ok(values) => values,
            Err(problem) => return found(GaugeVerdict::Unknown, format!("unknown: {problem}")),
        };
        // Missing, or no number: nothing is known of that moment, and nothing good is taken for granted.
        let fresh = |point: &&Point| now - point.at <= 3 * self.every;
        let Some(last) = values.last().filter(fresh).filter(|last| last.value.is_finite()) else {
            return found(GaugeVerdict::Unknown, "unknown: its query has no fresh value".to_owned());
        };
        let value = digits(last.value);
        if self.is_inside(last.value) {
            return found(GaugeVerdict::Inside, format!("is {value}, {}", self.range()));
        }
        let whole = values.first().is_some_and(|first| now - first.at >= self.lasting - self.every);
        let gap = values.windows(2).any(|pair| matches!(pair, [a, b] if b.at - a.at > 3 * self.every));
        let outside = values.iter().all(|point| point.value.is_finite() && !self.is_inside(point.value));
        let seconds = self.lasting / 1000;
        if whole && !gap && outside {
            let said = format!(
                "is {value} and was outside its range for {seconds} s, {}; a gauge carries no bound on false alarms",
                self.range()
            );
            return found(GaugeVerdict::Outside, said);
        }
        let said = format!("is {value}, outside its range for less than {seconds} s, {}", self.range());
        found(GaugeVerdict::Inside, said)
    }

    fn is_inside(&self, value: f64) -> bool {
        self.min.is_none_or(|min| value >= min) && self.max.is_none_or(|max| value <= max)
    }

    fn range(&self) -> String {
        match (self.min, self.max) {
            (Some(min), Some(max)) => format!("well from {} to {}", digits(min), digits(max)),
            (Some(min), None) => format!("well from {} on", digits(min)),
            (None, Some(max)) => format!("well up to {}", digits(max)),
            (None, None) => "well whatever it is".to_owned(),
        }
    }
}

/// Three decimals at most.
fn digits(value: f64) -> String {
    let text = format!("{value:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(values: &[f64]) -> GaugeFinding {
        let spec = GaugeSpec {
            name: "queue age".into(),
            min: None,
            max: Some(30.0),
            lasting: 60_000,
            every: 15_000,
        };
        let at = |i: usize| i64::try_from(i).unwrap() * 15_000;
        let points = values.iter().enumerate().map(|(i, value)| Point { at: at(i), value: *value });
        let points = points.filter(|point| point.value.is_nan() || point.value > -100.0).collect();
        spec.judge(&Ok(points), at(values.len()))
    }

    #[test]
    fn only_a_whole_window_outside_counts() {
        let found = judged(&[31.0, 40.0, 45.25, 50.0]);
        assert_eq!(found.verdict, GaugeVerdict::Outside);
        assert_eq!(
            found.sentence,
            "queue age is 50 and was outside its range for 60 s, well up to 30; a gauge carries no bound on false alarms"
        );
        assert_eq!(judged(&[31.0, 29.0, 45.0, 50.0]).verdict, GaugeVerdict::Inside);
        assert_eq!(judged(&[45.0, 50.0]).verdict, GaugeVerdict::Inside, "not for long enough");
        assert_eq!(judged(&[50.0, 50.0, 50.0, 3.0]).sentence, "queue age is 3, well up to 30");
    }

    #[test]
    fn what_is_not_known_is_no_good_news() {
        for values in [&[][..], &[f64::NAN], &[3.0, f64::INFINITY], &[3.0, -200.0, -200.0, -200.0, -200.0]] {
            assert_eq!(judged(values).verdict, GaugeVerdict::Unknown, "{values:?}");
        }
        assert_eq!(
            judged(&[50.0, f64::NAN, 50.0, 50.0]).verdict,
            GaugeVerdict::Inside,
            "not known to be outside"
        );
        let spec = GaugeSpec { name: "g".into(), min: Some(0.0), max: None, lasting: 1, every: 1 };
        let found = spec.judge(&Err("the answer was empty".into()), 0);
        assert_eq!(
            (found.verdict, found.sentence.as_str()),
            (GaugeVerdict::Unknown, "g unknown: the answer was empty")
        );
    }
}
