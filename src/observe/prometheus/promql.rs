//! Series selectors as `PromQL`. Pure: whatever comes from a rollout is checked or escaped here and nowhere else.

use std::fmt::Write as _;

use crate::api::{MatchOperator, Matcher, TargetLabels};

/// A metric and the matchers that a rollout or a preset puts on it. Namespace and pods are added when it is rendered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    /// Metric name.
    pub name: String,
    /// All have to hold.
    pub matchers: Vec<Matcher>,
}

/// Whether a text is a metric name of the classic character set.
pub fn is_metric(name: &str) -> bool {
    let fits =
        |i: usize, b: u8| b.is_ascii_alphabetic() || b == b'_' || b == b':' || (i > 0 && b.is_ascii_digit());
    check(name, 260, fits)
}

/// Whether a text is a label name of the classic character set.
pub fn is_label(name: &str) -> bool {
    check(name, 128, |i, b| b.is_ascii_alphabetic() || b == b'_' || (i > 0 && b.is_ascii_digit()))
}

fn check(name: &str, most: usize, fits: impl Fn(usize, u8) -> bool) -> bool {
    (1..=most).contains(&name.len()) && name.bytes().enumerate().all(|(i, b)| fits(i, b))
}

/// A text as the inside of a double-quoted `PromQL` string.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_ascii_control() => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

/// A text as a regular expression (RE2) that matches just it.
pub fn literal(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 4);
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// A regular expression that matches exactly these texts.
fn one_of(texts: &[String]) -> String {
    let texts: Vec<String> = texts.iter().map(|text| literal(text)).collect();
    format!("^(?:{})$", texts.join("|"))
}

impl Selector {
    /// The instant selector. The namespace comes first and is always the rollout's own; matchers are all required, so that none of the
    /// rollout's can widen it.
    pub fn render(&self, labels: &TargetLabels, namespace: &str, pods: &[String]) -> String {
        self.with_pods(&pods_of(labels, namespace, pods))
    }

    /// The same of all pods whose names match a regular expression.
    pub fn render_like(&self, labels: &TargetLabels, namespace: &str, pattern: &str) -> String {
        self.with_pods(&pods_like(labels, namespace, pattern))
    }

    fn with_pods(&self, pods: &str) -> String {
        let mut out = format!("{}{{{pods}", self.name);
        for matcher in &self.matchers {
            let operator = match matcher.operator {
                MatchOperator::Equal => "=",
                MatchOperator::NotEqual => "!=",
                MatchOperator::Matches => "=~",
                MatchOperator::NotMatches => "!~",
            };
            let _ = write!(out, ",{}{operator}\"{}\"", matcher.label, quote(&matcher.value));
        }
        out.push('}');
        out
    }

    /// The native histogram of which this would select the buckets.
    #[must_use]
    pub fn native(&self) -> Self {
        let name = self.name.strip_suffix("_bucket").unwrap_or(&self.name).to_owned();
        Self { name, matchers: self.matchers.clone() }
    }

    /// The same selector with one more condition: `label` is one of `values`.
    #[must_use]
    pub fn with_one_of(&self, label: &str, values: &[String]) -> Self {
        let mut more = self.clone();
        more.matchers.push(Matcher {
            label: label.to_owned(),
            operator: MatchOperator::Matches,
            value: one_of(values),
        });
        more
    }
}

/// Matchers on the namespace and these pods, as they stand between braces.
fn pods_of(labels: &TargetLabels, namespace: &str, pods: &[String]) -> String {
    pods_like(labels, namespace, &one_of(pods))
}

fn pods_like(labels: &TargetLabels, namespace: &str, pattern: &str) -> String {
    format!("{}=\"{}\",{}=~\"{}\"", labels.namespace, quote(namespace), labels.pod, quote(pattern))
}

/// A query of the user's own, with `$pods` and `$standardPods` filled in, over the last `window` ms, every `every` ms.
pub fn gauge(
    query: &str,
    labels: &TargetLabels,
    namespace: &str,
    (ours, standard): (&[String], &[String]),
    (window, every): (i64, i64),
) -> String {
    let query = query
        .replace("$standardPods", &pods_of(labels, namespace, standard))
        .replace("$pods", &pods_of(labels, namespace, ours));
    let seconds = |millis: i64| (millis.max(1) + 999) / 1000;
    // On lines of their own: a comment at the end of the query must not swallow what follows.
    format!("(\n{query}\n)[{}s:{}s]", seconds(window), seconds(every))
}

/// A range in whole seconds, rounded up, at least one second.
pub fn range(millis: i64) -> String {
    format!("[{}s]", (millis.max(1) + 999) / 1000)
}
