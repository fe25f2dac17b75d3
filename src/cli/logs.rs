//! `kubectl freethread logs`: the last lines of pods that are gone, from the rollout's status.

use std::fmt::Write as _;

use super::{CliError, connect::Connection};
use crate::api::LastLog;

/// Print what the status of the rollout `name` keeps.
pub(super) async fn show(connection: &Connection, name: &str) -> Result<(), CliError> {
    let found = connection.bounded("reading the rollout", connection.rollouts().get(name)).await;
    let rollout = found.map_err(|error| connection.explain(name, error))?;
    let status = rollout.status.unwrap_or_default();
    if status.last_logs.is_empty() {
        println!(
            "{name}: no logs are kept: they are when traffic is taken from pods, until the next attempt"
        );
    } else {
        print!("{}", text(&status.last_logs));
    }
    Ok(())
}

/// As `tail` writes several files.
fn text(logs: &[LastLog]) -> String {
    let mut out = String::new();
    for (index, log) in logs.iter().enumerate() {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{}==> {} <==", if index > 0 { "\n" } else { "" }, log.pod);
        for line in &log.lines {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pod_has_its_heading() {
        let log = |pod: &str, line: &str| LastLog { pod: pod.into(), lines: vec![line.into(), "end".into()] };
        let logs = [log("a", "Fatal Python error: Segmentation fault"), log("b", "hello")];
        assert_eq!(
            text(&logs),
            "==> a <==\nFatal Python error: Segmentation fault\nend\n\n==> b <==\nhello\nend\n"
        );
    }
}
