//! The README's table.

use std::{fmt::Write as _, path::Path};

use freethread_rollout::{api::RouterKind, route::Dialect};

use crate::{Result, promises};

const BEGIN: &str = "<!-- routers: written by `make conformance WRITE=1` -->";
const END: &str = "<!-- /routers -->";

/// Whether the README has the table of `rows`; writes it where that is asked for.
pub(crate) fn check(readme: &Path, rows: &[(RouterKind, usize)], write: bool) -> Result<bool> {
    let text = std::fs::read_to_string(readme)?;
    let (before, rest) = text.split_once(BEGIN).ok_or("the README has no place for the table")?;
    let (there, after) = rest.split_once(END).ok_or("the README has no end of the table")?;
    let table = table(rows);
    if there == table {
        return Ok(true);
    }
    if write {
        std::fs::write(readme, format!("{before}{BEGIN}{table}{END}{after}"))?;
        println!("{} has the table now", readme.display());
        return Ok(true);
    }
    println!("{} has another table: make conformance WRITE=1", readme.display());
    Ok(false)
}

fn table(rows: &[(RouterKind, usize)]) -> String {
    let mut table = String::from(
        "\n| `traffic:` | writes | share in steps of | read back from | last request after | promises kept |\n|---|---|---|---|---|---|\n",
    );
    for (router, passed) in rows {
        let (object, steps, read, propagation) = match Dialect::of(*router) {
            None if *router == RouterKind::Flag => (
                "an annotation of our own Deployment, served as a flag".to_owned(),
                "1 % of keys",
                "what this replica serves",
                "1 s",
            ),
            None => ("replicas of our own Deployment".to_owned(), "one pod", "ready pods", "1.3 s"),
            Some(dialect) => {
                let read = if dialect.reads_back {
                    "status at its generation, ready pods"
                } else {
                    "ready pods (no status)"
                };
                let within = match dialect.propagation_ms {
                    2000 => "2 s",
                    _ => "5 s",
                };
                (
                    format!("two weights in your `{}` ({})", dialect.kind, dialect.api_version()),
                    "1 %",
                    read,
                    within,
                )
            }
        };
        let all = promises::ALL.len();
        // Writing to a String cannot fail.
        let _ = writeln!(
            table,
            "| `{router}` | {object} | {steps} | {read} | {propagation} | {passed} of {all} |"
        );
    }
    table
}
