//! The plot: evidence against its bound, and both pools' bad requests, over time. SVG by hand; it needs nothing to be read.

use std::fmt::Write as _;

use jiff::{Timestamp, tz::TimeZone};

use super::{
    points::{Both, Point, Points},
    report::Report,
    timeline::time,
};
use crate::{
    judge::{Counts, ratio, setting},
    svg::{STYLE, escaped, line, text},
};

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 560.0;
const LEFT: f64 = 86.0;
const RIGHT: f64 = 940.0;
/// Top and bottom of the two panels.
const EVIDENCE: (f64, f64) = (70.0, 310.0);
const SHARES: (f64, f64) = (370.0, 510.0);
/// Most points of the lower panel: shares of few requests are noise.
const STEPS: usize = 100;
/// Evidence is drawn between these.
const LOWEST: f64 = 1e-3;
const HIGHEST: f64 = 1e12;

/// A pool's line, and whose counts it shows.
type Side = (&'static str, fn(Both) -> Counts);

const SIDES: [Side; 2] = [("standard", |both| both.standard), ("ours", |both| both.free_threaded)];

/// What is drawn.
pub(super) struct Plot<'a> {
    report: &'a Report,
    points: &'a Points,
    from: i64,
    to: i64,
}

impl<'a> Plot<'a> {
    pub(super) fn new(report: &'a Report, points: &'a Points) -> Self {
        let (from, to) = (report.from.as_millisecond(), report.to.as_millisecond());
        Self { report, points, from, to: to.max(from + 1) }
    }

    /// The whole file.
    pub(super) fn svg(&self) -> String {
        let mut out = String::new();
        // Writing to a string never fails.
        let _ = self.draw(&mut out);
        out
    }

    fn draw(&self, out: &mut String) -> std::fmt::Result {
        let title = escaped(&format!("{}: {}", self.report.rollout, self.report.counts));
        writeln!(
            out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\">"
        )?;
        writeln!(out, "<title>{title}</title>\n<style>{STYLE}</style>")?;
        writeln!(out, "<rect class=\"page\" width=\"{WIDTH}\" height=\"{HEIGHT}\"/>")?;
        text(
            out,
            "text head",
            LEFT,
            26.0,
            "start",
            &format!("{}: {}", self.report.rollout, self.report.counts),
        )?;
        let days = format!("{} to {}", self.report.from, self.report.to);
        text(out, "text small", RIGHT, 26.0, "end", &days)?;
        self.evidence(out)?;
        self.shares(out)?;
        self.times(out)?;
        self.marks(out)?;
        writeln!(out, "</svg>")
    }

    fn x(&self, at: i64) -> f64 {
        let part = (at - self.from) as f64 / (self.to - self.from) as f64;
        LEFT + part.clamp(0.0, 1.0) * (RIGHT - LEFT)
    }

    /// The upper panel: its axis is logarithmic, as evidence multiplies.
    fn evidence(&self, out: &mut String) -> std::fmt::Result {
        text(out, "text", LEFT, EVIDENCE.0 - 12.0, "start", "evidence against the free-threaded pool")?;
        let ranges = || self.points.all().iter().filter_map(|point| Some((point, point.ratio?)));
        let bound = self.report.bound;
        let low = ranges().map(|(_, r)| r.low).fold(0.1, f64::min).max(LOWEST).log10().floor();
        let high =
            ranges().map(|(_, r)| r.high).fold(bound * 10.0, f64::max).min(HIGHEST).max(bound).log10().ceil();
        let y = |ratio: f64| {
            let part = (ratio.max(LOWEST).log10() - low) / (high - low);
            EVIDENCE.1 - part.clamp(0.0, 1.0) * (EVIDENCE.1 - EVIDENCE.0)
        };
        let each = ((high - low) / 8.0).ceil().max(1.0);
        let mut decade = low;
        while decade <= high {
            let at = y(10f64.powf(decade));
            line(out, "grid", (LEFT, at), (RIGHT, at))?;
            text(out, "text small", LEFT - 8.0, at + 4.0, "end", &label(decade))?;
            decade += each;
        }
        let mut path = String::new();
        for (i, (point, range)) in ranges().enumerate() {
            let x = self.x(point.to);
            let verb = if i == 0 { 'M' } else { 'L' };
            write!(path, "{verb}{x:.1} {:.1}", y(range.low))?;
            if range.high > range.low {
                write!(path, "L{x:.1} {:.1}L{x:.1} {:.1}", y(range.high), y(range.last))?;
            }
        }
        if !path.is_empty() {
            writeln!(out, "<path class=\"ours\" d=\"{path}\"/>")?;
        }
        line(out, "bound", (LEFT, y(bound)), (RIGHT, y(bound)))?;
        let acts = format!("acts at {}:1", ratio(bound));
        text(out, "text small red", RIGHT, y(bound) - 5.0, "end", &acts)
    }

    /// The lower panel: what the evidence is made of.
    fn shares(&self, out: &mut String) -> std::fmt::Result {
        let metric = self.metric();
        let name = self.report.metrics.get(metric).map_or("errors", |m| m.name.as_str());
        let heading = format!("share of bad requests ({name})");
        text(out, "text", LEFT, SHARES.0 - 12.0, "start", &heading)?;
        text(out, "text small standardText", RIGHT, SHARES.0 - 12.0, "end", "standard pool")?;
        text(out, "text small oursText", RIGHT - 90.0, SHARES.0 - 12.0, "end", "free-threaded pool")?;
        let points = self.points.fewer(STEPS);
        let of = |point: &Point| point.metrics.get(metric).copied().unwrap_or_default();
        let shares =
            points.iter().map(of).flat_map(|both| [both.free_threaded.share(), both.standard.share()]);
        let top = nice(shares.fold(0.001, f64::max));
        let y = |share: f64| SHARES.1 - (share / top).clamp(0.0, 1.0) * (SHARES.1 - SHARES.0);
        for part in [0.0, 0.5, 1.0] {
            let at = y(top * part);
            line(out, "grid", (LEFT, at), (RIGHT, at))?;
            text(out, "text small", LEFT - 8.0, at + 4.0, "end", &setting(top * part))?;
        }
        for (class, side) in SIDES {
            let mut path = String::new();
            let mut verb = 'M';
            for point in &points {
                let counts = side(of(point));
                if counts.n <= 0.0 {
                    verb = 'M';
                    continue;
                }
                write!(path, "{verb}{:.1} {:.1}", self.x(point.from), y(counts.share()))?;
                write!(path, "H{:.1}", self.x(point.to))?;
                verb = 'L';
            }
            if !path.is_empty() {
                writeln!(out, "<path class=\"{class}\" d=\"{path}\"/>")?;
            }
        }
        Ok(())
    }

    /// The metric that is blamed, else the first.
    fn metric(&self) -> usize {
        let blamed = self.report.acted.as_ref().map_or("", |acted| acted.sentence.as_str());
        let first_word = blamed.split([' ', ':']).next().unwrap_or_default();
        self.report.metrics.iter().position(|metric| metric.name == first_word).unwrap_or_default()
    }

    fn times(&self, out: &mut String) -> std::fmt::Result {
        const TICKS: i64 = 5;
        let format = if self.to - self.from > 86_400_000 { "%m-%d %H:%M" } else { "%H:%M:%S" };
        for i in 0..=TICKS {
            let at = self.from + (self.to - self.from) / TICKS * i;
            let anchor = if i == TICKS { "end" } else { "middle" };
            text(out, "text small", self.x(at), SHARES.1 + 20.0, anchor, &clock(time(at), format))?;
        }
        text(out, "text small", RIGHT, HEIGHT - 12.0, "end", "UTC")
    }

    fn marks(&self, out: &mut String) -> std::fmt::Result {
        let rival = self.report.thresholds.as_ref().and_then(|rival| rival.at);
        let ours = self.report.acted.as_ref().map(|acted| acted.at);
        let marks = [
            (rival, "rival", "text small", "threshold rule", 30.0),
            (ours, "acted", "text small red", "would have rolled back", 14.0),
        ];
        for (at, class, words, what, down) in marks {
            let Some(at) = at else { continue };
            let x = self.x(at.as_millisecond());
            line(out, class, (x, EVIDENCE.0), (x, SHARES.1))?;
            let (anchor, x) =
                if x > f64::midpoint(LEFT, RIGHT) { ("end", x - 5.0) } else { ("start", x + 5.0) };
            let words_and_time = format!("{what} {}", clock(at, "%H:%M:%S"));
            text(out, words, x, EVIDENCE.0 + down, anchor, &words_and_time)?;
        }
        Ok(())
    }
}

fn clock(at: Timestamp, format: &str) -> String {
    at.to_zoned(TimeZone::UTC).strftime(format).to_string()
}

/// `100:1`, and powers where digits would be too many.
fn label(decade: f64) -> String {
    if (-3.0..=4.0).contains(&decade) {
        format!("{}:1", 10f64.powf(decade))
    } else {
        format!("1e{decade:.0}:1")
    }
}

/// The next 1, 2 or 5 times a power of ten.
fn nice(share: f64) -> f64 {
    let power = 10f64.powf(share.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].into_iter().map(|step| step * power);
    steps.into_iter().find(|step| *step >= share * 0.999).unwrap_or(1.0).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_round_numbers() {
        assert_eq!(
            [0.001, 0.0034, 0.02, 0.3, 1.0].map(|share| setting(nice(share))),
            ["0.1 %", "0.5 %", "2 %", "50 %", "100 %"]
        );
        assert_eq!([-3.0, 0.0, 2.0, 9.0].map(label), ["0.001:1", "1:1", "100:1", "1e9:1"]);
    }
}
