//! The benchmark as Markdown. Pure.

use std::fmt::Write as _;

use crate::targets::{Check, State};

/// A table, what it says, and the targets in it.
#[derive(Default)]
pub(crate) struct Section {
    pub(crate) title: &'static str,
    pub(crate) words: String,
    pub(crate) header: Vec<&'static str>,
    pub(crate) rows: Vec<Vec<String>>,
    pub(crate) checks: Vec<Check>,
    /// For the plot: a setting, and seconds by way to decide.
    pub(crate) marks: Vec<(String, Vec<f64>)>,
}

impl Section {
    /// Heading, words and table.
    pub(crate) fn markdown(&self) -> String {
        let mut text = format!("## {}\n\n{}\n\n", self.title, self.words);
        let line = |cells: &mut dyn Iterator<Item = &str>| {
            let cells: Vec<&str> = cells.collect();
            format!("| {} |\n", cells.join(" | "))
        };
        text += &line(&mut self.header.iter().copied());
        text += &["|", &"---|".repeat(self.header.len()), "\n"].concat();
        for row in &self.rows {
            text += &line(&mut row.iter().map(String::as_str));
        }
        text
    }
}

/// How it was made.
pub(crate) struct Made {
    pub(crate) command: String,
    pub(crate) runs: usize,
    pub(crate) delays: usize,
    pub(crate) minutes: f64,
}

/// The whole document.
pub(crate) fn document(sections: &[Section], made: &Made) -> String {
    let checks: Vec<&Check> = sections.iter().flat_map(|section| &section.checks).collect();
    let mut text = format!(
        "# How good is the judge?\n\n\
         Written by `{}` in {:.0} minutes; do not edit. Everything is simulated and seeded: the same command gives the same numbers, on as \
         many threads as you like (CPU times aside). False alarm rates are of {} runs of two hours with their 99 % interval (Clopper and \
         Pearson), delays of {} runs. [judge.md](judge.md) derives the tests.\n\n\
         Unless a row says otherwise: α = 1 %, 0.1 % of the requests of a healthy pool are bad, the free-threaded pool is served 5 %, four of \
         twenty pods are free-threaded, every pod is counted every 15 s, and errors are compared with the standard pool (`tolerate: 0`) and with \
         an objective of 1 %, half of α for each. Noise is learnt anew in each run from an hour of the standard \
         pool. A delay runs from the onset to the end of the cell that decides; the scrape, the query and the write come on top.\n\n\
         ![Seconds to the rollback, by way to decide](judge-delays.svg)\n\n",
        made.command, made.minutes, made.runs, made.delays
    );
    text += &summary(&checks);
    for section in sections {
        text += "\n";
        text += &section.markdown();
    }
    text
}

/// How many targets were met, and each that was not.
pub(crate) fn summary(checks: &[&Check]) -> String {
    let met = checks.iter().filter(|check| check.state == State::Met).count();
    let mut text = format!("**{met} of {} targets are met.**", checks.len());
    for check in checks.iter().filter(|check| check.state == State::Missed) {
        let _ = write!(text, "\n- **Missed**: {}: {}.", check.what, check.words);
    }
    let mut reasons: Vec<&str> = Vec::new();
    for check in checks {
        if let State::Known(reason) = check.state
            && !reasons.contains(&reason)
        {
            reasons.push(reason);
        }
    }
    for reason in reasons {
        let _ = write!(text, "\n- Missed, known ({reason}):");
        for check in checks.iter().filter(|check| check.state == State::Known(reason)) {
            let _ = write!(text, "\n  - {}: {}.", check.what, check.words);
        }
    }
    text + "\n"
}

/// Seconds for a table.
pub(crate) fn seconds(value: f64) -> String {
    if value.is_finite() { format!("{value:.0}") } else { "–".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missed_is_named() {
        let checks = [
            Check::new("a".to_owned(), true, "1".to_owned()),
            Check::new("b".to_owned(), false, "2".to_owned()),
            Check::new("c".to_owned(), false, "3".to_owned()).or_known(Some("one pod")),
        ];
        let text = summary(&checks.iter().collect::<Vec<_>>());
        assert!(text.starts_with("**1 of 3 targets are met.**"), "{text}");
        assert!(text.contains("\n- **Missed**: b: 2.") && text.contains("(one pod):\n  - c: 3."), "{text}");
    }

    #[test]
    fn a_table() {
        let rows = vec![vec!["1".to_owned(), seconds(f64::INFINITY)]];
        let section =
            Section { title: "T", words: "w".to_owned(), header: vec!["a", "b"], rows, ..Section::default() };
        assert_eq!(section.markdown(), "## T\n\nw\n\n| a | b |\n|---|---|\n| 1 | – |\n");
    }
}
