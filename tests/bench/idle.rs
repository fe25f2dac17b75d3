//! `bench-idle`: what the operator does and takes while nothing happens to many rollouts.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use jiff::Timestamp;
use kube::ResourceExt;
use serde_json::Value;
use tokio::time::Instant;

use super::{
    audit::{self, Audit, Requests},
    memory::{self, Replica},
    prometheus,
    village::Village,
};
use crate::{Result, cluster::Cluster};

/// Most that a replica may take.
const MEMORY: u64 = 80 << 20;
/// So long no rollout has changed when the window begins, and so long is waited for that.
const QUIET: (Duration, Duration) = (Duration::from_secs(20), Duration::from_mins(3));

/// How many, and for how long.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Rollouts that are rolled back; their workloads have no pods.
    #[arg(long, default_value_t = 95)]
    rolled_back: usize,
    /// Rollouts that serve for good, each with one pod in each pool and 20 requests a second.
    #[arg(long, default_value_t = 5)]
    hybrid: usize,
    /// Length of the window. The load generators stop after half an hour.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=20))]
    minutes: u64,
    /// The API server's audit log.
    #[arg(long)]
    audit: PathBuf,
}

/// What was seen in the window.
struct Window {
    minutes: f64,
    requests: Requests,
    replicas: [Vec<Replica>; 2],
    queries: f64,
    /// Rollouts that are not as they were, and what differs, by place in the status.
    changed: usize,
    differences: BTreeMap<String, usize>,
}

/// Runs it and says whether everything worked and every target was met.
pub(super) async fn run(args: &Args) -> Result<bool> {
    // Before anything is created: without it there is nothing to measure.
    Audit::from_now(&args.audit)?;
    let cluster = Cluster::connect().await?;
    println!(
        "{} idle rollouts: {} rolled back (aborted; workloads of 0 replicas, so no pods), {} in Hybrid (1 standard and 1 free-threaded pod, \
         20 requests a second each, guarded by the judge)",
        args.rolled_back + args.hybrid,
        args.rolled_back,
        args.hybrid
    );
    let mut village = Village::open(&cluster, args.hybrid).await?;
    let seen = tokio::select! {
        seen = observe(&cluster, &mut village, args) => seen,
        _ = tokio::signal::ctrl_c() => Err("interrupted".into()),
    };
    let good = match seen {
        Ok(window) => report(&window, args),
        Err(error) => {
            println!("DID NOT WORK: {error}");
            false
        }
    };
    let struck = village.strike().await;
    if let Err(error) = &struck {
        println!("DID NOT WORK: cleaning up: {error}");
    }
    Ok(good && struck.is_ok())
}

async fn observe(cluster: &Cluster, village: &mut Village, args: &Args) -> Result<Window> {
    village.roll_back(args.rolled_back).await?;
    village.settle().await?;
    let quiet = village.quiet(QUIET.0, QUIET.1).await?;
    println!("all are where they stay; {}", if quiet { "quiet" } else { "NOT QUIET: some still change" });

    let before = village.rollouts().await?;
    let asked = prometheus::queries(cluster).await?;
    let audit = Audit::from_now(&args.audit)?;
    let (from, start) = (Timestamp::now(), Instant::now());
    let before_replicas = replicas(cluster).await?;
    // The window is a length of time, so this is the one wait that is for a clock.
    tokio::time::sleep_until(start + Duration::from_mins(args.minutes)).await;
    let to = Timestamp::now();
    let queries = prometheus::queries(cluster).await? - asked;
    let after = village.rollouts().await?;
    Ok(Window {
        minutes: start.elapsed().as_secs_f64() / 60.0,
        requests: audit::requests(&audit.read()?, from, to),
        replicas: [before_replicas, replicas(cluster).await?],
        queries,
        changed: after.iter().filter(|(name, seen)| before.get(*name) != Some(*seen)).count(),
        differences: differences(&before, &after),
    })
}

/// Prints the window and says whether the targets are met.
fn report(window: &Window, args: &Args) -> bool {
    let Window { minutes, requests, replicas: [before, replicas], queries, changed, differences } = window;
    println!("\nin {minutes:.1} minutes");
    println!("  lease            {} requests", requests.lease);
    println!("  watches          {} opened", requests.watches);
    for (kind, count) in &requests.others {
        println!("  OTHER            {count} x {kind}");
    }
    println!("  rollouts         {changed} changed");
    for (what, count) in differences {
        println!("                   {count} x {what}");
    }
    let per_rollout = if args.hybrid == 0 { 0.0 } else { queries / minutes / args.hybrid as f64 };
    println!(
        "  Prometheus       {:.0} queries a minute, {per_rollout:.0} for each rollout in Hybrid",
        queries / minutes
    );
    let megabytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    for replica in replicas {
        let cpu = replica.cpu_since(before).map_or("RESTARTED".into(), |seconds| {
            format!("{:.1} % of a processor", seconds / (minutes * 60.0) * 100.0)
        });
        println!(
            "  {:<40} {:.1} MiB resident, at most {:.1} MiB since it started; {cpu}",
            replica.pod,
            megabytes(replica.resident),
            megabytes(replica.peak),
        );
    }
    let others: usize = requests.others.values().sum();
    let small = replicas.iter().all(|replica| replica.peak < MEMORY);
    let word = |met: bool| if met { "met" } else { "MISSED" };
    println!("\nno request but for the lease and watches: {others} others: {}", word(others == 0));
    println!("each replica under {:.0} MiB: {}", megabytes(MEMORY), word(small));
    others == 0 && small
}

async fn replicas(cluster: &Cluster) -> Result<Vec<Replica>> {
    let pods: Vec<String> = cluster.operator_pods().await?.iter().map(ResourceExt::name_any).collect();
    memory::replicas(&pods)
}

/// What differs in the status of the rollouts, counted by its place, with the values where they are words.
fn differences(before: &BTreeMap<String, Value>, after: &BTreeMap<String, Value>) -> BTreeMap<String, usize> {
    let mut differences = BTreeMap::new();
    for (name, now) in after {
        let then = &before.get(name).unwrap_or(&Value::Null)["status"];
        for operation in json_patch::diff(then, &now["status"]).0 {
            let path = operation.path();
            let word = |of: &Value| match of.pointer(path.as_str()) {
                Some(Value::String(text)) if !text.contains(' ') && !path.as_str().ends_with("Time") => {
                    text.clone()
                }
                Some(_) => "...".into(),
                None => "nothing".into(),
            };
            let what = format!("{path}: {} -> {}", word(then), word(&now["status"]));
            *differences.entry(what).or_default() += 1;
        }
    }
    differences
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_differs_is_counted_by_place() {
        let rollouts = |overall: &str, sentence: &str| {
            let seen = json!({"status": {"verdict": {"overall": overall, "sentence": sentence}}});
            BTreeMap::from([("a".to_owned(), seen.clone()), ("b".to_owned(), seen)])
        };
        let found = differences(&rollouts("Unknown", "39 of 300"), &rollouts("Clear", "300 of 300"));
        let expected = [("/verdict/overall: Unknown -> Clear", 2), ("/verdict/sentence: ... -> ...", 2)];
        assert_eq!(found, expected.map(|(what, count)| (what.to_owned(), count)).into());
        assert!(differences(&rollouts("Clear", "x"), &rollouts("Clear", "x")).is_empty());
    }
}
