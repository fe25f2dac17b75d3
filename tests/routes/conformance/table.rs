//! The README's table.

use std::{fmt::Write as _, path::Path};

use freethread_rollout::{
    api::RouterKind,
    route::{Dialect, propagation},
};

use crate::{Result, ground::Subject, promises};

const BEGIN: &str = "<!-- routers: written by `make conformance WRITE=1` -->";
const END: &str = "<!-- /routers -->";

/// Whether the README has the table of `rows`; writes it where that is asked for.
pub(crate) fn check(readme: &Path, rows: &[(Subject, usize)], write: bool) -> Result<bool> {
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

fn table(rows: &[(Subject, usize)]) -> String {
    let mut table = String::from(
        "\n| `traffic:` | writes | share in steps of | read back from | last request after | promises kept |\n|---|---|---|---|---|---|\n",
    );
    for (subject, passed) in rows {
        let (router, managed) = (subject.kind(), *subject == Subject::Managed);
        let (object, steps, read) = match (Dialect::of(router), router) {
            (None, RouterKind::Flag) => (
                "an annotation of our own Deployment, served as a flag".to_owned(),
                "1 % of keys",
                "what this replica serves, ready pods",
            ),
            (None, _) => ("replicas of our own Deployment".to_owned(), "one pod", "ready pods"),
            (Some(dialect), _) => {
                let status = "status at its generation, ready pods";
                let read = if dialect.reads_back { status } else { "ready pods (no status)" };
                let (kind, version) = (dialect.kind, dialect.api_version());
                let object = if managed {
                    format!("an `{kind}` of its own ({version})")
                } else {
                    format!("two weights in your `{kind}` ({version})")
                };
                (object, "1 %", read)
            }
        };
        let last = propagation(router)
            .filter(|_| !managed)
            .map_or("not measured".into(), |time| format!("{:.1} s", time.as_secs_f64()));
        let all = promises::ALL.len();
        let word = if managed { format!("{router}: {{managed}}") } else { router.to_string() };
        // Writing to a String cannot fail.
        let _ = writeln!(table, "| `{word}` | {object} | {steps} | {read} | {last} | {passed} of {all} |");
    }
    table
}
