//! What a pod's `/metrics` says: the text format of Prometheus, as far as counters and histograms go.

use std::collections::BTreeMap;

/// Most lines that are read.
const LINES: usize = 200_000;

/// All series of one scrape.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Exposition {
    /// By name, in the order in which they came.
    series: BTreeMap<String, Vec<Sample>>,
}

/// One series.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}

impl Exposition {
    /// What can be read of a text; a line that cannot is left out, as a guess does not hang on it.
    pub fn parse(text: &str) -> Self {
        let mut series: BTreeMap<String, Vec<Sample>> = BTreeMap::new();
        for line in text.lines().take(LINES) {
            if let Some((name, sample)) = sample(line.trim()) {
                series.entry(name).or_default().push(sample);
            }
        }
        Self { series }
    }

    /// The series of this name.
    pub fn of(&self, name: &str) -> &[Sample] {
        self.series.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    /// Whether there is one.
    pub fn has(&self, name: &str) -> bool {
        self.series.contains_key(name)
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.series.keys().map(String::as_str)
    }
}

/// `name{label="value",…} 1.5 [timestamp]`
fn sample(line: &str) -> Option<(String, Sample)> {
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let end = line.find(|c: char| c == '{' || c.is_whitespace())?;
    let (name, rest) = line.split_at(end);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (BTreeMap::new(), rest),
    };
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some((name.to_owned(), Sample { labels, value }))
}

/// Up to the closing brace, and what follows it.
fn labels(mut rest: &str) -> Option<(BTreeMap<String, String>, &str)> {
    let mut labels = BTreeMap::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(rest) = rest.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, after) = rest.split_once('=')?;
        let mut value = String::new();
        let mut chars = after.strip_prefix('"')?.char_indices();
        let end = loop {
            match chars.next()? {
                (at, '"') => break at + 1,
                (_, '\\') => match chars.next()?.1 {
                    'n' => value.push('\n'),
                    c => value.push(c),
                },
                (_, c) => value.push(c),
            }
        };
        labels.insert(name.trim().to_owned(), value);
        rest = after.get(end + 1..)?;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_exporters_write() {
        let text = "# HELP a b\n# TYPE a counter\na_total 3\nb{x=\"1\",y=\"a \\\"b\\\" \\\\ c\"} 1.5e2 1700000000\nbad{x=1} 1\nc{} NaN\n";
        let seen = Exposition::parse(text);
        assert_eq!(seen.names().collect::<Vec<_>>(), ["a_total", "b", "c"]);
        assert!((seen.of("a_total")[0].value - 3.0).abs() < 1e-9);
        let b = &seen.of("b")[0];
        assert_eq!(b.labels["y"], "a \"b\" \\ c");
        assert!((b.value - 150.0).abs() < 1e-9);
        assert!(seen.of("c")[0].value.is_nan() && !seen.has("bad"));
    }

    proptest! {
        #[test]
        fn never_panics(text in "[a-z{}=\"\\\\, 0-9\n#]{0,80}") {
            Exposition::parse(&text);
        }
    }
}
