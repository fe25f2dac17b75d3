//! The plot of the README: a dot for each way to decide. Pure.

use std::fmt::Write as _;

/// Ways to decide, in the order of the marks, and how they look: class, shape.
const WAYS: [(&str, &str); 5] = [
    ("this judge", "judge"),
    ("known effect (floor)", "known"),
    ("Flagger 99 % × 5", "flagger"),
    ("Argo 95 %, limit 3", "argo"),
    ("Mann–Whitney, 10 min", "ranks"),
];

const WIDTH: f64 = 760.0;
const LEFT: f64 = 170.0;
const RIGHT: f64 = 90.0;
const TOP: f64 = 64.0;
const ROW: f64 = 34.0;
const SHORTEST: f64 = 10.0;
const LONGEST: f64 = 7_200.0;

/// Readable on light and on dark ground: text and lines take sides by themselves.
const STYLE: &str = "text{font:12px system-ui,sans-serif;fill:#1f2328}.bold{font-weight:bold}.dim{fill:#59636e}.line{stroke:#d1d9e0}.judge{fill:#0a7d33;stroke:#0a7d33}\
.known{fill:none;stroke:#0a7d33}.flagger{fill:#b35900;stroke:#b35900}.argo{fill:#8250df;stroke:#8250df}.ranks{fill:#0969da;stroke:#0969da}\
@media(prefers-color-scheme:dark){text{fill:#f0f6fc}.dim{fill:#9198a1}.line{stroke:#3d444d}.judge{fill:#3fb950;stroke:#3fb950}.known{stroke:#3fb950}\
.flagger{fill:#f0883e;stroke:#f0883e}.argo{fill:#bc8cff;stroke:#bc8cff}.ranks{fill:#58a6ff;stroke:#58a6ff}}";

fn x(seconds: f64) -> f64 {
    if seconds.is_finite() {
        LEFT + (seconds.max(SHORTEST) / SHORTEST).ln() / (LONGEST / SHORTEST).ln() * (WIDTH - LEFT - RIGHT)
    } else {
        WIDTH - RIGHT / 2.0
    }
}

/// A shape of its own for each way, so that colour is not all that tells them apart.
fn dot(way: usize, x: f64, y: f64) -> String {
    let class = WAYS.get(way).map_or("", |(_, class)| class);
    let path = match way {
        0 => return format!("<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"6\"/>"),
        1 => {
            return format!(
                "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"9\" stroke-width=\"1.5\"/>"
            );
        }
        2 => format!("M{:.1} {:.1}l5.5 10h-11z", x, y - 6.0),
        3 => format!("M{:.1} {:.1}h9v9h-9z", x - 4.5, y - 4.5),
        _ => format!("M{:.1} {:.1}l6 6l-6 6l-6-6z", x, y - 6.0),
    };
    format!("<path class=\"{class}\" d=\"{path}\"/>")
}

/// One line per setting; seconds by way to decide, infinite where it is not found.
pub(crate) fn plot(marks: &[(String, Vec<f64>)]) -> String {
    let bottom = TOP + ROW * marks.len() as f64;
    let height = bottom + 44.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" role=\"img\" \
         aria-label=\"Median seconds to the rollback, by way to decide\">\n<style>{STYLE}</style>\n\
         <text x=\"8\" y=\"18\" class=\"bold\">Median time to the rollback, 5 % of the traffic, 0.1 % errors before</text>\n"
    );
    let mut left = 14.0;
    for (way, (name, _)) in WAYS.iter().enumerate() {
        let _ =
            writeln!(svg, "{}<text x=\"{:.0}\" y=\"42\">{name}</text>", dot(way, left, 38.0), left + 13.0);
        left += 30.0 + name.chars().count() as f64 * 6.6;
    }
    for (seconds, label) in [
        (10.0, "10 s"),
        (30.0, "30 s"),
        (60.0, "1 min"),
        (300.0, "5 min"),
        (1_200.0, "20 min"),
        (7_200.0, "2 h"),
    ] {
        let x = x(seconds);
        let _ = writeln!(
            svg,
            "<path class=\"line\" d=\"M{x:.1} {TOP}V{bottom}\"/><text class=\"dim\" x=\"{x:.1}\" y=\"{:.0}\" text-anchor=\"middle\">{label}</text>",
            bottom + 18.0
        );
    }
    let _ = writeln!(
        svg,
        "<text class=\"dim\" x=\"{:.1}\" y=\"{:.0}\" text-anchor=\"middle\">not in 2 h</text>",
        x(f64::INFINITY),
        bottom + 34.0
    );
    for (row, (label, seconds)) in marks.iter().enumerate() {
        let y = TOP + ROW * (row as f64 + 0.5);
        let _ = writeln!(
            svg,
            "<path class=\"line\" d=\"M{LEFT} {y:.1}H{:.1}\"/><text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
            WIDTH - 8.0,
            LEFT - 12.0,
            y + 4.0
        );
        // Those that are never found stand side by side.
        let mut never = 0.0;
        for (way, seconds) in seconds.iter().enumerate().rev() {
            let aside = if seconds.is_finite() { 0.0 } else { never * 18.0 - 18.0 };
            never += f64::from(u8::from(seconds.is_infinite()));
            let _ = writeln!(svg, "{}", dot(way, x(*seconds) + aside, y));
        }
    }
    svg + "</svg>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mark_has_its_dot_and_tags_close() {
        let marks = vec![("a".to_owned(), vec![15.0, 15.0, 300.0, f64::INFINITY, 600.0])];
        let svg = plot(&marks);
        assert_eq!(svg.matches("<circle").count(), 4, "two in the legend, two in the row");
        assert!(!svg.contains("inf") && !svg.contains("NaN"), "{svg}");
        assert_eq!(svg.matches("<text").count(), svg.matches("</text>").count());
        assert!((x(7_200.0) - (WIDTH - RIGHT)).abs() < 1e-9 && (x(10.0) - LEFT).abs() < 1e-9);
    }
}
