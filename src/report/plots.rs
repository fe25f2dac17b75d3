//! The report's own plots: the weight over time, and the rounds of the benchmark.

use std::fmt::Write as _;

use jiff::{Timestamp, tz::TimeZone};

use crate::{
    api::{BenchmarkRound, HistoryEntry},
    preflight::image::{LOOKS, Speedup},
    svg::{STYLE, escaped, line, text},
};

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 940.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 250.0;
const MILLIONTHS: f64 = 1e6;

fn frame(title: &str, draw: impl Fn(&mut String) -> std::fmt::Result) -> String {
    let mut out = String::new();
    let title = escaped(title);
    let head = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n<rect class=\"page\" width=\"{WIDTH}\" height=\"{HEIGHT}\"/>"
    );
    // Writing to a string never fails.
    let _ = writeln!(out, "{head}").and_then(|()| draw(&mut out)).and_then(|()| writeln!(out, "</svg>"));
    out
}

fn polyline(out: &mut String, class: &str, points: &[(f64, f64)]) -> std::fmt::Result {
    let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    writeln!(out, "<polyline class=\"{class}\" points=\"{}\"/>", points.join(" "))
}

/// The wanted share, as the history has it.
pub(super) fn weight(history: &[HistoryEntry]) -> String {
    let seconds = |entry: &HistoryEntry| entry.at.0.as_second() as f64;
    let from = history.first().map_or(0.0, seconds);
    // The last word stands for a little while.
    let to = history.last().map_or(1.0, seconds).max(from + 1.0);
    let to = to + (to - from) * 0.05;
    let x = |at: f64| LEFT + (RIGHT - LEFT) * (at - from) / (to - from);
    let y = |weight: f64| BOTTOM - (BOTTOM - TOP) * weight.clamp(0.0, 100.0) / 100.0;
    let mut points = vec![(LEFT, y(0.0))];
    for entry in history {
        let before = points.last().map_or(BOTTOM, |(_, y)| *y);
        points.extend([(x(seconds(entry)), before), (x(seconds(entry)), y(f64::from(entry.weight)))]);
    }
    points.push((RIGHT, points.last().map_or(BOTTOM, |(_, y)| *y)));
    frame("Wanted share of the free-threaded pool", |out| {
        for share in [0.0, 25.0, 50.0, 75.0, 100.0] {
            line(out, "grid", (LEFT, y(share)), (RIGHT, y(share)))?;
            text(out, "text small", LEFT - 8.0, y(share) + 4.0, "end", &format!("{share} %"))?;
        }
        polyline(out, "ours", &points)?;
        for (at, anchor, x) in [(from, "start", LEFT), (to, "end", RIGHT)] {
            text(out, "text small", x, BOTTOM + 22.0, anchor, &clock(at))?;
        }
        // Where it fell for good.
        let fell = history.iter().find(|entry| entry.phase.is_over());
        fell.map_or(Ok(()), |entry| {
            let at = x(seconds(entry));
            line(out, "acted", (at, TOP), (at, BOTTOM))?;
            let anchor = if at > WIDTH / 2.0 { "end" } else { "start" };
            text(
                out,
                "text small red",
                at,
                TOP - 10.0,
                anchor,
                &format!("{:?}: {}", entry.phase, entry.reason.as_str()),
            )
        })
    })
}

#[allow(clippy::cast_possible_truncation, reason = "a cast stays within its type")]
fn clock(seconds: f64) -> String {
    let at = Timestamp::from_second(seconds as i64).unwrap_or(Timestamp::UNIX_EPOCH);
    at.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// Each round's ratio, the intervals at the looks, and what is wanted.
pub(super) fn benchmark(rounds: &[BenchmarkRound], wanted: f64) -> String {
    let ratios: Vec<f64> = rounds.iter().map(|round| (round.speed as f64 / MILLIONTHS).exp()).collect();
    // Nothing is decided by what nobody wants: the last look is the answer.
    let look = |count: usize| Speedup::of(rounds.get(..count)?, f64::NAN);
    let looks: Vec<Speedup> = LOOKS.iter().filter_map(|(count, _)| look(*count)).collect();
    let all = ratios.iter().copied().chain([1.0, wanted]);
    let (least, most) =
        all.fold((f64::INFINITY, 0.0_f64), |(least, most), ratio| (least.min(ratio), most.max(ratio)));
    let (least, most) = (least / 1.1, most * 1.1);
    let y = |ratio: f64| {
        let part = (ratio / least).ln() / (most / least).ln();
        BOTTOM - (BOTTOM - TOP) * part.clamp(0.0, 1.0)
    };
    let step = (RIGHT - LEFT) / (rounds.len() as f64 + 1.0);
    let x = |round: f64| LEFT + step * round;
    frame("Speed of the free-threaded image over the standard one's, round by round", |out| {
        for ratio in [1.0, least, most] {
            line(out, "grid", (LEFT, y(ratio)), (RIGHT, y(ratio)))?;
            text(out, "text small", LEFT - 8.0, y(ratio) + 4.0, "end", &format!("{ratio:.2}"))?;
        }
        if wanted > 1.0 {
            line(out, "bound", (LEFT, y(wanted)), (RIGHT, y(wanted)))?;
            text(out, "text small red", RIGHT, y(wanted) - 5.0, "end", &format!("{wanted:.2} wanted"))?;
        }
        for look in &looks {
            let at = x(look.rounds as f64) + step * 0.3;
            line(out, "ours", (at, y(look.low)), (at, y(look.high)))?;
            line(out, "ours", (at - 5.0, y(look.ratio)), (at + 5.0, y(look.ratio)))?;
        }
        for (index, ratio) in ratios.iter().enumerate() {
            let (cx, cy) = (x(index as f64 + 1.0), y(*ratio));
            writeln!(out, "<circle class=\"oursText\" cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"4\"/>")?;
            text(out, "text small", cx, BOTTOM + 22.0, "middle", &(index + 1).to_string())?;
        }
        text(
            out,
            "text small",
            LEFT,
            BOTTOM + 42.0,
            "start",
            "rounds; bars are the 95 % intervals where it was looked at",
        )
    })
}
