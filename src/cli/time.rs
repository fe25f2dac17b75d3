//! Durations as people read them.

use crate::api::Span;

/// The two largest units: `3d4h`, `3m12s`, `0s`.
pub fn human(span: Span) -> String {
    let secs = span.millis() / 1000;
    let units = [("d", secs / 86_400), ("h", secs / 3600 % 24), ("m", secs / 60 % 60), ("s", secs % 60)];
    let Some(first) = units.iter().position(|(_, n)| *n > 0) else { return "0s".into() };
    let parts =
        units.iter().skip(first).take(2).filter(|(_, n)| *n > 0).map(|(unit, n)| format!("{n}{unit}"));
    parts.collect::<Vec<_>>().concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_units_at_most() {
        for (secs, text) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (192, "3m12s"),
            (3600, "1h"),
            (3661, "1h1m"),
            (3605, "1h"),
            (273_600, "3d4h"),
        ] {
            assert_eq!(human(Span::from_secs(secs)), text);
        }
    }
}
