//! The command line of `replay`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{fields::moment, range::RangeArgs};
use crate::api::{Percent, Span};

/// How the report is printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// What the judge is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Rival {
    /// A success rate under a threshold, so many times.
    Thresholds,
}

/// Arguments of `freethread-rollout replay`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Ends with 0 when the counts could be judged, whatever the verdict, and with 2 when they could not.

Columns: time, pool (standard or free-threaded), pod, requests, errors; slow or le_<seconds>; weight; young.
docs/replay.md has the format, examples, and how to read the plot.")]
pub struct ReplayArgs {
    /// Counts per interval, pool and pod, as CSV or JSON Lines; - reads standard input.
    #[arg(value_name = "FILE", required_unless_present = "prometheus", conflicts_with = "prometheus")]
    pub counts: Option<PathBuf>,
    /// The `FreeThreadRollout` to judge by. Of a file with several documents, the first that is one.
    #[arg(long, value_name = "FILE")]
    pub rollout: PathBuf,
    /// The counts are running counters as scraped: what counts is their increase, and a fall is a restart.
    #[arg(long)]
    pub cumulative: bool,
    /// Length of an interval, such as 15s. Rows of one interval are added up. Default: as the times have it.
    #[arg(long, value_name = "DURATION")]
    pub interval: Option<Span>,
    /// Counts of the standard pool from before, in the same format, to learn its noise from.
    #[arg(long, value_name = "FILE", conflicts_with = "history_until")]
    pub history: Option<PathBuf>,
    /// Rows before this time are such a history and are not judged.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub history_until: Option<i64>,
    /// Leave out columns that are not known, instead of refusing the file.
    #[arg(long)]
    pub ignore_unknown: bool,
    /// A Prometheus instead of a file.
    #[command(flatten)]
    pub range: RangeArgs,
    /// How to print the report.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Also draw evidence against bound, and both pools' bad requests, into this SVG file.
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PathBuf>,
    /// Also say what another rule would have done.
    #[arg(long, value_enum)]
    pub against: Option<Rival>,
    /// Thresholds: a check fails under this share of good requests.
    #[arg(long, value_name = "PERCENT", default_value = "99%")]
    pub success_rate: Percent,
    /// Thresholds: one check each, on the requests of as long.
    #[arg(long, value_name = "DURATION", default_value = "1m")]
    pub window: Span,
    /// Thresholds: roll back at so many failed checks.
    #[arg(long, value_name = "NUMBER", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub failures: u32,
}

impl ReplayArgs {
    /// The counts are running counters: said to be, or as Prometheus has them.
    pub(super) fn runs_on(&self) -> bool {
        self.cumulative || self.range.prometheus.is_some()
    }

    /// What the counts are called in a report.
    pub(super) fn counts_name(&self) -> String {
        match (&self.counts, &self.range.prometheus) {
            (Some(path), _) if path.as_os_str() == "-" => "standard input".to_owned(),
            (Some(path), _) => path.display().to_string(),
            (None, Some(url)) => url.clone(),
            (None, None) => String::new(),
        }
    }
}
