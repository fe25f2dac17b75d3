//! Plays scenarios on a real cluster: pods, interpreters, Prometheus, the operator as users install it.
//!
//! A scenario is data: a folder of `tests/scenarios` with a `scenario.yaml` (see its README for the words). It is played in a namespace of its
//! own, talks to nothing but the API server, and waits on conditions with a deadline, never on a clock.

#[path = "../../bench/mod.rs"]
mod bench;
mod cluster;
mod dump;
mod examples;
mod expect;
mod headline;
mod load;
mod operator;
mod play;
mod plugin;
mod queue;
mod reading;
mod route;
mod show;
mod stage;
mod vocabulary;
mod world;

use std::{
    cell::Cell,
    fmt::Display,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use bench::Bench;
use clap::{Parser, builder::TypedValueParser as _};
use cluster::Cluster;
use futures::{StreamExt as _, stream};
use play::Play;
use stage::Stage;
use vocabulary::Scenario;

/// An error is a sentence for people: what was done or expected, and what was seen.
pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type Result<T> = std::result::Result<T, Error>;

/// Puts what was done before what went wrong.
pub(crate) fn context<E: Display>(what: &str) -> impl FnOnce(E) -> Error {
    move |error| format!("{what}: {error}").into()
}

/// The scenario that is shown while it plays.
const DEMO: &str = "demo";

/// Plays scenarios, by name or all of them. `OPERATOR=off` plays them without an operator: then they must fail.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
#[allow(clippy::struct_excessive_bools, reason = "flags of a command line")]
struct Args {
    #[command(subcommand)]
    bench: Option<Bench>,
    /// Folders of the scenarios. `demo` is shown while it plays.
    names: Vec<String>,
    /// All scenarios but the demo.
    #[arg(long)]
    all: bool,
    /// Of all, but these.
    #[arg(long, requires = "all")]
    but: Vec<String>,
    /// List the scenarios and end.
    #[arg(long)]
    list: bool,
    /// How many play at a time; those that touch what all share (operator, Prometheus) play alone.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=8).map(usize::from))]
    jobs: usize,
    /// Play what failed once more, alone, at the end: for machines that others use too. What failed first is told in any case.
    #[arg(long)]
    again: bool,
    /// Keep the namespaces.
    #[arg(long)]
    keep: bool,
    /// Where the scenarios are.
    #[arg(long, default_value = "tests/scenarios")]
    directory: PathBuf,
    /// Where the reports of failures go.
    #[arg(long, default_value = "target/scenarios")]
    out: PathBuf,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Args::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

async fn run(args: &Args) -> Result<bool> {
    if let Some(bench) = &args.bench {
        return bench.run().await;
    }
    let known = names(&args.directory)?;
    let names: Vec<String> = if args.all {
        known.iter().filter(|name| *name != DEMO && !args.but.contains(name)).cloned().collect()
    } else {
        args.names.clone()
    };
    if let Some(unknown) = names.iter().find(|name| !known.contains(name)) {
        return Err(format!("no scenario {unknown}; there are {}", known.join(", ")).into());
    }
    // All are read before the first is played: a typo in the last should not cost half an hour.
    let scenarios = known
        .iter()
        .map(|name| Scenario::read(&args.directory.join(name)))
        .collect::<Result<Vec<Scenario>>>()?;
    if args.list {
        for scenario in &scenarios {
            println!("{:<16} {}", scenario.name, scenario.setting.description);
        }
        return Ok(true);
    }
    if names.is_empty() {
        return Err("name a scenario, or say --all; --list shows them".into());
    }
    let cluster = Cluster::connect().await?;
    let chosen = names.iter().filter_map(|name| scenarios.iter().find(|scenario| &scenario.name == name));
    let (alone, beside): (Vec<&Scenario>, Vec<&Scenario>) =
        chosen.partition(|scenario| scenario.disturbs_others() || args.jobs == 1);
    let mut passes = Vec::new();
    // Those that leave others alone play several at a time: they mostly wait.
    let stopped = Cell::new(false);
    let mut together = stream::iter(beside)
        .map(|scenario| async {
            if stopped.get() {
                return None;
            }
            let pass = tell(&cluster, scenario, args).await;
            stopped.set(stopped.get() || pass.interrupted);
            Some(pass)
        })
        .buffer_unordered(args.jobs);
    while let Some(pass) = together.next().await {
        passes.extend(pass);
    }
    for scenario in alone {
        if passes.iter().any(|pass| pass.interrupted) {
            break;
        }
        passes.push(tell(&cluster, scenario, args).await);
    }
    let first: Vec<String> = passes.iter().filter_map(|pass| pass.failed.clone()).collect();
    let mut failed = first.len();
    if args.again && !passes.iter().any(|pass| pass.interrupted) {
        // One that fails again, alone, fails. One that does not is told all the same, with what it failed of.
        for pass in passes.iter_mut().filter(|pass| pass.failed.is_some()) {
            let Some(scenario) = scenarios.iter().find(|scenario| scenario.name == pass.name) else {
                continue;
            };
            *pass = tell(&cluster, scenario, args).await;
            failed -= usize::from(pass.failed.is_none());
        }
    }
    if names.len() > 1 {
        // At the end once more: of a long output often only the end is kept.
        let again = first.len() - failed;
        let again =
            if again > 0 { format!(" ({again} of them only when played again)") } else { String::new() };
        println!("\n{} passed{again}, {failed} failed", passes.len() - failed);
        for line in &first {
            println!("{line}");
        }
    }
    Ok(failed == 0)
}

/// How it went.
struct Told {
    name: String,
    /// What failed, in a line.
    failed: Option<String>,
    interrupted: bool,
}

/// Plays one scenario and says how it went, in one line.
async fn tell(cluster: &Cluster, scenario: &Scenario, args: &Args) -> Told {
    let line = if scenario.name == DEMO { DEMO.to_owned() } else { format!("scenario {}", scenario.name) };
    match perform(cluster, scenario, args).await {
        Ok(measured) => {
            println!("{line}: PASS {measured}");
            Told { name: scenario.name.clone(), failed: None, interrupted: false }
        }
        Err(Failed { why, interrupted }) => {
            let line = format!("{line}: FAIL {why}");
            println!("{line}");
            Told { name: scenario.name.clone(), failed: Some(line), interrupted }
        }
    }
}

struct Failed {
    why: String,
    interrupted: bool,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self { why: error.to_string(), interrupted: false }
    }
}

/// Plays one scenario, writes a report if it fails, and leaves nothing behind.
async fn perform(cluster: &Cluster, scenario: &Scenario, args: &Args) -> std::result::Result<String, Failed> {
    println!("\n{}: {}", scenario.name, scenario.setting.description);
    let mut stage = Stage::open(cluster, scenario, &args.directory).await?;
    let mut interrupted = false;
    let played = tokio::select! {
        played = play_on(&mut stage, scenario, args.jobs > 1) => played,
        _ = tokio::signal::ctrl_c() => {
            interrupted = true;
            Err("interrupted".into())
        }
    };
    let played = match played {
        Ok(measured) => Ok(measured),
        Err(error) => {
            let report = dump::write(&stage, &scenario.name, &error.to_string(), &args.out).await;
            let report = report.unwrap_or_else(|error| format!("could not be written: {error}"));
            Err(format!("{error} (report: {report})"))
        }
    };
    let struck = stage.strike(args.keep).await;
    match (played, struck) {
        (Ok(measured), Ok(())) => Ok(measured),
        (Ok(_), Err(error)) => Err(Failed { why: format!("cleaning up: {error}"), interrupted }),
        (Err(why), Ok(())) => Err(Failed { why, interrupted }),
        (Err(why), Err(error)) => Err(Failed { why: format!("{why}; cleaning up: {error}"), interrupted }),
    }
}

/// `crowded`: others play beside it, so that each line says whose it is.
async fn play_on(stage: &mut Stage, scenario: &Scenario, crowded: bool) -> Result<String> {
    let whose = if crowded { format!("{:<15}", scenario.name) } else { String::new() };
    let shown = scenario.name == DEMO;
    stage.furnish(scenario).await?;
    let _show = shown.then(|| Aborted(tokio::spawn(show::live(stage.world.clone(), stage.load.clone()))));
    let mut play = Play::new(stage);
    for (index, step) in scenario.steps.iter().enumerate() {
        let headline = headline::headline(step);
        if shown {
            println!("  ----- {headline}");
        }
        let place = format!("step {} ({headline})", index + 1);
        let seen = match play.step(step).await {
            Ok(seen) => seen,
            Err(error) => {
                let view = play.stage.world.now().view();
                let now = format!("{:?} ({}): {}", view.phase, stage::word(view.reason), view.message);
                return Err(format!("{place}: {error}; the rollout is {now}").into());
            }
        };
        if !shown {
            println!("  {whose}{:6.1} s  {headline}: {seen}", play.started.elapsed().as_secs_f64());
        }
    }
    if shown { demo_line(&mut play).await } else { Ok(play.measured.join("; ")) }
}

/// `rolled back <seconds> s after the breach, <n> bad requests of <m>`.
async fn demo_line(play: &mut Play<'_>) -> Result<String> {
    let Some((fault, _)) = play.disturbed else { return Err("the demo broke nothing".into()) };
    let total = play.read_counts().await?.total;
    let state = play.stage.world.now();
    let gone = state.timeline.iter().find(|moment| moment.at > fault && moment.view.free_threaded_ready == 0);
    let Some(gone) = gone else { return Err("the free-threaded pool still has endpoints".into()) };
    let seconds = (gone.at - fault).as_secs_f64();
    Ok(format!(
        "rolled back {seconds:.1} s after the breach, {} bad requests of {}",
        total.failed, total.answered
    ))
}

/// A task that ends with its handle.
struct Aborted(tokio::task::JoinHandle<()>);

impl Drop for Aborted {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Folders with a scenario, in order.
fn names(directory: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).map_err(|e| format!("{}: {e}", directory.display()))? {
        let path = entry?.path();
        if path.join("scenario.yaml").exists() {
            names.push(path.file_name().unwrap_or_default().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}
