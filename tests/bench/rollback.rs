//! `bench-rollback`: from the first bad answer to the last free-threaded endpoint, again and again.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use clap::ValueEnum;
use k8s_openapi::api::apps::v1::Deployment;

use super::{
    OUT, cases,
    cases::Run,
    ground::{Ground, scenario},
    numbers::{Distribution, Target},
    way::{self, Place, Way},
};
use crate::{
    Result,
    cluster::{Cluster, within},
    dump,
};

/// What is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Case {
    /// A share of the requests fails.
    Errors,
    /// A container dies of a segmentation fault.
    Crash,
    /// A request turns the GIL back on.
    Gil,
    /// 20 % errors, and the standard pool is short of a pod.
    Short,
    /// Prometheus is away for a minute.
    Prometheus,
    /// 20 % errors, and the operator that leads is killed.
    Killed,
    /// Containers crash, come back and crash again.
    Flapping,
}

impl Case {
    /// A container of it dies: then the server is the container's main process.
    pub(super) fn crashes(self) -> bool {
        matches!(self, Self::Crash | Self::Flapping)
    }
}

/// How often, and of what.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Repetitions for each rate of errors. The other cases are repeated at most three times, those that take long once.
    #[arg(long, default_value_t = 5)]
    reps: u32,
    /// Percents of the free-threaded pool's requests that fail in the case `errors`.
    #[arg(long, value_delimiter = ' ', default_value = "10 20 50")]
    rates: Vec<u32>,
    /// Cases, in this order.
    #[arg(
        long,
        value_enum,
        value_delimiter = ' ',
        default_value = "errors crash gil short prometheus killed flapping"
    )]
    cases: Vec<Case>,
    /// Seconds of health before each breach.
    #[arg(long, default_value_t = 120)]
    healthy: u64,
    /// The API server's audit log, where there is one: it tells when the weight was written.
    #[arg(long)]
    audit: Option<PathBuf>,
}

/// A case at a rate, with its repetitions.
struct Group {
    case: Case,
    rate: u32,
    reps: u32,
    name: String,
    target: Option<Target>,
}

/// What became of a group.
#[derive(Default)]
struct Measured {
    done: u32,
    ways: Vec<Way>,
    failures: Vec<String>,
    interrupted: bool,
}

/// Seconds that the load generator sends at most, with some left over.
const LOAD_S: u64 = 1500;
/// Seconds of a repetition beside its healthy time, generously.
const AROUND_S: u64 = 120;

/// Runs all of it and says whether everything worked and every target was met.
pub(super) async fn run(args: &Args) -> Result<bool> {
    let cluster = Cluster::connect().await?;
    println!(
        "25 % of 100 requests a second on {} of {} pods, {} s of health before each breach. Times are seconds; \"of it\" are the parts of the way:\n\
         the first scrape that shows a bad answer, the last one that shows another before the verdict, the verdict, weight 0 as the API server\n\
         writes it and as a watch shows it, and the last ready endpoint of the free-threaded pool.",
        super::ground::FREE_THREADED,
        super::ground::FREE_THREADED + super::ground::STANDARD,
        args.healthy
    );
    let (mut summary, mut good) = (Vec::new(), true);
    for group in groups(args) {
        let measured = measure(&cluster, &group, args).await?;
        if !measured.ways.is_empty() {
            println!("{}", way::distribution(&measured.ways).join("\n"));
        }
        if let Some(target) = group.target.filter(|_| measured.done > 0) {
            let to_zero = Distribution::of(measured.ways.iter().filter_map(|way| way.to(Place::Seen)));
            let (met, line) = target.check(&group.name, to_zero);
            good &= met;
            summary.push(line);
        } else {
            summary.push(format!("{}: {} done", group.name, measured.done));
        }
        good &= measured.failures.is_empty();
        summary.extend(measured.failures.iter().map(|why| format!("{}: DID NOT WORK: {why}", group.name)));
        if measured.interrupted {
            good = false;
            break;
        }
    }
    println!("\n{}", summary.join("\n"));
    Ok(good)
}

fn groups(args: &Args) -> Vec<Group> {
    let target = |seconds| Some(Target { seconds, of: "from the first sign to weight 0" });
    let of_rate = |rate| match rate {
        10 => target(7.5),
        20 => target(5.0),
        50 => target(3.0),
        _ => None,
    };
    let few = args.reps.min(3);
    let group = |case, reps, target| {
        let name = case_name(case);
        Group { case, rate: 20, reps, name, target }
    };
    let of_case = |case: &Case| match case {
        Case::Errors => args
            .rates
            .iter()
            .map(|&rate| Group {
                case: Case::Errors,
                rate,
                reps: args.reps,
                name: format!("errors-{rate}"),
                target: of_rate(rate),
            })
            .collect(),
        Case::Crash | Case::Gil => vec![group(*case, few, target(1.5))],
        Case::Flapping => vec![group(*case, few.min(1), target(1.5))],
        Case::Short => vec![group(*case, few, of_rate(20))],
        Case::Killed => vec![group(*case, few, target(12.0))],
        Case::Prometheus => vec![group(*case, few.min(1), None)],
    };
    args.cases.iter().flat_map(of_case).collect()
}

fn case_name(case: Case) -> String {
    case.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// All repetitions of a group: in one namespace, and in another one after a failure, or when the load generator's time is up.
async fn measure(cluster: &Cluster, group: &Group, args: &Args) -> Result<Measured> {
    println!("\n{}", group.name);
    println!("{}", way::head());
    let mut measured = Measured::default();
    while measured.done < group.reps && !measured.interrupted {
        let scenario = scenario(group.case, &group.name)?;
        let mut ground = Ground::open(cluster, &scenario).await?;
        let most = u32::try_from(LOAD_S / (args.healthy + AROUND_S)).unwrap_or(1).max(1);
        let played = tokio::select! {
            played = repeat(&mut ground, &scenario, group, args, most, &mut measured) => played,
            _ = tokio::signal::ctrl_c() => {
                measured.interrupted = true;
                Err("interrupted".into())
            }
        };
        if let Err(error) = played {
            // What failed is done as well: it says so, and the next one is tried.
            measured.done += 1;
            let report = dump::write(&ground.stage, &scenario.name, &error.to_string(), Path::new(OUT)).await;
            let report = report.unwrap_or_else(|error| format!("could not be written: {error}"));
            println!("  {:<8} DID NOT WORK: {error} (report: {report})", measured.done);
            measured.failures.push(error.to_string());
        }
        if let Err(error) = ground.stage.strike(false).await {
            println!("  cleaning up: {error}");
            measured.failures.push(format!("cleaning up: {error}"));
        }
    }
    Ok(measured)
}

/// Repetitions in one namespace, `most` of them.
async fn repeat(
    ground: &mut Ground,
    scenario: &crate::vocabulary::Scenario,
    group: &Group,
    args: &Args,
    most: u32,
    measured: &mut Measured,
) -> Result<()> {
    ground.stage.furnish(scenario).await?;
    for number in 1..=most {
        ground.up().await?;
        let run = once(ground, group, args).await?;
        measured.done += 1;
        match run.way {
            Some(way) => {
                println!("{}  {}", way::row(&measured.done.to_string(), &way), run.words);
                measured.ways.push(way);
            }
            None => println!("  {:<8} {}", measured.done, run.words),
        }
        if group.case == Case::Killed {
            replicas_back(ground).await?;
        }
        if measured.done == group.reps || number == most {
            return Ok(());
        }
        ground.heal().await?;
    }
    Ok(())
}

async fn once(ground: &mut Ground, group: &Group, args: &Args) -> Result<Run> {
    let audit = args.audit.as_deref();
    // Its pods crash by themselves, after a time of their own.
    if group.case != Case::Flapping {
        ground.healthy(Duration::from_secs(args.healthy)).await?;
    }
    match group.case {
        Case::Errors | Case::Short | Case::Killed => {
            cases::errors(ground, group.case, group.rate, audit).await
        }
        Case::Crash | Case::Gil => cases::hard_signal(ground, group.case, audit).await,
        Case::Flapping => cases::flapping(ground, audit).await,
        Case::Prometheus => cases::prometheus_away(ground).await,
    }
}

/// Waits until the operator has all its replicas again: the next one is killed out of two as well.
async fn replicas_back(ground: &Ground) -> Result<()> {
    let cluster = &ground.stage.cluster;
    let (namespace, name) = (&cluster.operator_namespace, cluster.operator().await?);
    let operator: Deployment = within(cluster.deployments(namespace).get(&name)).await?;
    let replicas = operator.spec.and_then(|spec| spec.replicas).unwrap_or(1);
    ground.stage.wait_for_ready(namespace, &name, replicas).await
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn names(line: &[&str]) -> Vec<(String, u32)> {
        let line = Line::parse_from([&["bench"], line].concat());
        groups(&line.args).into_iter().map(|group| (group.name, group.reps)).collect()
    }

    #[test]
    fn by_default_every_case_is_measured_and_each_rate_five_times() {
        let expected = [
            ("errors-10", 5),
            ("errors-20", 5),
            ("errors-50", 5),
            ("crash", 3),
            ("gil", 3),
            ("short", 3),
            ("prometheus", 1),
            ("killed", 3),
            ("flapping", 1),
        ];
        assert_eq!(names(&[]), expected.map(|(name, reps)| (name.to_owned(), reps)));
    }

    #[test]
    fn a_part_can_be_measured_alone() {
        let part = names(&["--cases", "gil errors", "--rates", "20", "--reps", "1"]);
        assert_eq!(part, [("gil".to_owned(), 1), ("errors-20".to_owned(), 1)]);
    }

    #[test]
    fn the_setting_of_every_case_reads() {
        for case in Case::value_variants() {
            let scenario = scenario(*case, "x").unwrap();
            assert_eq!(scenario.steps.len(), usize::from(*case == Case::Killed));
        }
    }
}
