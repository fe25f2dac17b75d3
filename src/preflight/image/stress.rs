//! What a stress Job found: which commands failed, how often, and where in the code.

use serde::Deserialize;

use super::{
    CheckFinding,
    finding::{enables, last_words},
};

/// What the script printed.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Stressed {
    free_threaded_build: bool,
    commands: Vec<Command>,
    /// The time was over before everything was done.
    stopped: bool,
}

/// One command and its runs.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Command {
    name: String,
    planned: u32,
    runs: u32,
    failed: u32,
    seconds: f64,
    first: Option<Failure>,
    #[serde(rename = "gilEnabledBy")]
    gil_enabled_by: Vec<String>,
}

/// How the first run that failed did so; of crashes the first that got as far as to print its stack.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Failure {
    run: u32,
    /// `crash`, `hang`, `error` or `differs`.
    status: String,
    signal: Option<String>,
    exit_code: Option<i32>,
    detail: Vec<String>,
    /// Each thread's innermost calls, innermost first.
    stack: Vec<String>,
}

/// What it says of the image.
pub(super) fn finding(document: &Stressed) -> CheckFinding {
    if !document.free_threaded_build {
        let blocker = "not a free-threaded build: no two threads were ever at work at once".to_owned();
        return CheckFinding::blocked(vec![blocker], Vec::new());
    }
    let mut blockers: Vec<String> = document.commands.iter().filter_map(failed).collect();
    for command in &document.commands {
        let offenders = command.gil_enabled_by.iter();
        blockers.extend(offenders.map(|module| format!("{} in {}", enables(module), command.name)));
    }
    let hints = document.commands.iter().map(ran).collect();
    if !blockers.is_empty() {
        return CheckFinding::blocked(blockers, hints);
    }
    match document.commands.iter().find(|command| command.runs < command.planned) {
        Some(short) if document.stopped => {
            let Command { name, runs, planned, .. } = short;
            let why = format!("the time was over after {runs} of {planned} runs of {name}");
            CheckFinding::unknown(
                format!("{why}: write a longer preflight.stress.timeout, or fewer runs"),
                hints,
            )
        }
        Some(short) => CheckFinding::unknown(format!("{} was not run to its end", short.name), hints),
        None if document.commands.is_empty() => CheckFinding::unknown("nothing was run".into(), hints),
        None => {
            let runs: u32 = document.commands.iter().map(|command| command.runs).sum();
            let names: Vec<&str> = document.commands.iter().map(|command| command.name.as_str()).collect();
            let sentence = format!("{runs} runs of {} ended well", names.join(", "));
            CheckFinding::passed(sentence, hints)
        }
    }
}

fn ran(command: &Command) -> String {
    let Command { name, runs, planned, failed, seconds, .. } = command;
    format!("{name}: {runs} of {planned} runs in {seconds:.0} s, {failed} failed")
}

fn failed(command: &Command) -> Option<String> {
    let first = command.first.as_ref()?;
    let Command { name, runs, failed, .. } = command;
    let how = match first.status.as_str() {
        "crash" => format!("crashed with {}", first.signal.as_deref().unwrap_or("a signal")),
        "hang" => "hung".to_owned(),
        "differs" => "printed something else than the first one".to_owned(),
        _ => match first.exit_code {
            Some(code) => format!("ended with exit code {code}"),
            None => "could not be started".to_owned(),
        },
    };
    let stack =
        if first.stack.is_empty() { String::new() } else { format!(" at {}", first.stack.join(" | ")) };
    let words = last_words(&first.detail);
    Some(format!("{name}: run {} {how}{stack}{words} ({failed} of {runs} runs failed)", first.run))
}
