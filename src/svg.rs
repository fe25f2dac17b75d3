//! What all plots have in common. SVG by hand; it needs nothing to be read, and nothing in it is taken as it came.

use std::fmt::Write as _;

/// Colours and sizes, for light and dark.
pub(crate) const STYLE: &str = "\
.page{fill:#fff}.text{fill:#222;font:13px system-ui,sans-serif}.head{font-weight:600}.small{font-size:11px}.grid{stroke:#ddd}\
.bound{stroke:#b42318;stroke-width:1.5}.acted{stroke:#b42318;stroke-width:1.5;stroke-dasharray:5 4}.rival{stroke:#777;stroke-width:1.5;stroke-dasharray:2 3}\
.red{fill:#b42318}.ours{stroke:#175cd3;fill:none;stroke-width:1.8}.standard{stroke:#777;fill:none;stroke-width:1.8}.oursText{fill:#175cd3}.standardText{fill:#666}\
@media (prefers-color-scheme:dark){.page{fill:#16181d}.text{fill:#e6e6e6}.grid{stroke:#3a3d45}.bound,.acted{stroke:#ff8a7a}.red{fill:#ff8a7a}\
.rival,.standard{stroke:#a5a8b0}.ours{stroke:#7ab0ff}.oursText{fill:#7ab0ff}.standardText{fill:#b5b8c0}}";

/// A straight line between two points.
pub(crate) fn line(out: &mut String, class: &str, from: (f64, f64), to: (f64, f64)) -> std::fmt::Result {
    writeln!(
        out,
        "<line class=\"{class}\" x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\"/>",
        from.0, from.1, to.0, to.1
    )
}

/// Words at a point; `anchor` is `start`, `middle` or `end`.
pub(crate) fn text(
    out: &mut String,
    class: &str,
    x: f64,
    y: f64,
    anchor: &str,
    words: &str,
) -> std::fmt::Result {
    writeln!(
        out,
        "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>",
        escaped(words)
    )
}

/// What turns the order of the words around it: a name with it looks like another name.
pub(crate) fn is_bidi(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Text as XML has it; what XML cannot have, or what turns words around, becomes a question mark.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() || is_bidi(c) || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('?'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_cannot_break_out() {
        assert_eq!(escaped("<a href=\"x\">&'\u{1}"), "&lt;a href=&quot;x&quot;&gt;&amp;&#39;?");
    }
}
