//! What can be wrong with what `replay` is given, and what to write instead.

use std::io;

use jiff::Timestamp;

use super::columns::KNOWN;
use crate::judge::SpecError;

/// Why nothing was judged.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// A file cannot be read.
    #[error("{file} cannot be read: {problem}")]
    Open {
        /// As named on the command line.
        file: String,
        /// What the system says.
        problem: io::Error,
    },
    /// A file cannot be written.
    #[error("{file} cannot be written: {problem}")]
    Write {
        /// As named on the command line.
        file: String,
        /// What the system says.
        problem: io::Error,
    },
    /// The file with the rollout holds none.
    #[error("{file}: {problem}")]
    Rollout {
        /// As named on the command line.
        file: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The rollout's analysis cannot be judged by.
    #[error("{file}: {problem}")]
    Spec {
        /// As named on the command line.
        file: String,
        /// What is wrong with it.
        problem: SpecError,
    },
    /// The counts cannot be read.
    #[error("{file}{problem}")]
    Input {
        /// As named on the command line.
        file: String,
        /// What is wrong with them.
        problem: InputProblem,
    },
    /// Options that do not fit each other, or the file.
    #[error("{0}")]
    Options(String),
}

/// What is wrong with a file of counts. Follows the name of the file in a sentence.
#[derive(Debug, thiserror::Error)]
pub enum InputProblem {
    /// One line of it.
    #[error(" line {line}: {problem}")]
    Row {
        /// Which, from 1.
        line: u64,
        /// What is wrong.
        problem: Box<RowProblem>,
    },
    /// It broke off.
    #[error(" cannot be read beyond line {line}: {problem}")]
    Read {
        /// The last line that could be read.
        line: u64,
        /// What the system says.
        problem: io::Error,
    },
    /// There is nothing in it, or only a header.
    #[error(
        " holds no counts: write a header such as time,pool,pod,requests,errors and a line for each interval and pod"
    )]
    Empty,
    /// There is nothing in it from the time on at which the history ends.
    #[error(" holds no counts at or after --history-until {}: it ends before", shown(*.0))]
    AllHistory(i64),
    /// Its intervals have no length.
    #[error(
        " line {0}: there is only one time in it, so that the length of its interval is unknown: give --interval"
    )]
    OneTime(u64),
}

impl InputProblem {
    pub(super) fn row(line: u64, problem: RowProblem) -> Self {
        Self::Row { line, problem: Box::new(problem) }
    }
}

/// What is wrong with one line.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RowProblem {
    /// The first line names no column.
    #[error(
        "this is no header: begin with a line such as time,pool,pod,requests,errors, separated by commas; known are {KNOWN}"
    )]
    NoHeader,
    /// A column that is needed is not there.
    #[error("there is no '{0}'{1}; known are {KNOWN}")]
    Missing(&'static str, &'static str),
    /// A column that nobody knows.
    #[error(
        "'{0}' is no column that replay knows: known are {KNOWN}; begin its name with x_, or give --ignore-unknown, to leave it out"
    )]
    Unknown(String),
    /// A column that is there twice.
    #[error("there are two columns '{0}'")]
    Twice(String),
    /// `slow` and buckets.
    #[error("both 'slow' and 'le_' buckets are there: keep one of them")]
    SlowAndBuckets,
    /// No bucket ends at or above the threshold.
    #[error(
        "no 'le_' bucket ends at or above the threshold of {0} s, so that nothing would ever be slow: add one, or lower the threshold"
    )]
    NoBucket(f64),
    /// More or fewer fields than the header has.
    #[error(
        "the header has {want} fields and this line {have}: was it cut off, or does a text hold a comma?"
    )]
    Fields {
        /// In this line.
        have: usize,
        /// In the header.
        want: usize,
    },
    /// A field without anything in it.
    #[error("{0} is empty: write {1}")]
    Nothing(String, &'static str),
    /// Not a count.
    #[error("{0} is '{1}': write a count, finite, not negative and at most 1e15, such as 120")]
    Count(String, String),
    /// More bad requests than requests.
    #[error("{bad} {what} of {requests} requests: requests are all of them, bad ones included")]
    MoreBad {
        /// Errors, or slow requests.
        what: &'static str,
        /// How many.
        bad: f64,
        /// Of how many.
        requests: f64,
    },
    /// Not a time.
    #[error(
        "time is '{0}': write RFC 3339 such as 2026-11-02T09:00:00Z, or seconds or milliseconds since 1970, such as 1793610000"
    )]
    Time(String),
    /// Not sorted.
    #[error("time goes back from {} to {}: sort the lines below the header by time: (head -n 1 FILE; tail -n +2 FILE | sort -s -t, -k1,1) > SORTED", shown(*before), shown(*at))]
    Backwards {
        /// Of the line before, ms.
        before: i64,
        /// Of this line, ms.
        at: i64,
    },
    /// The same twice.
    #[error("a second line for pod '{pod}' at {}: each pod has one line for each interval", shown(*at))]
    Repeated {
        /// The pod.
        pod: String,
        /// When, ms.
        at: i64,
    },
    /// One name in both pools.
    #[error("pod '{0}' is in both pools: pods of one name are one pod")]
    BothPools(String),
    /// Not a pool.
    #[error("pool is '{0}': write standard or free-threaded")]
    Pool(String),
    /// Not a weight.
    #[error("weight is '{0}': write the percent in force, from 0 to 100, without a percent sign")]
    Weight(String),
    /// Two weights at once.
    #[error("weight is {this} where another line of the same interval has {other}: it is one number for all")]
    Weights {
        /// Here.
        this: f64,
        /// There.
        other: f64,
    },
    /// Neither true nor false.
    #[error("young is '{0}': write true or false")]
    Young(String),
    /// A line without end.
    #[error("the line is longer than {0} bytes")]
    TooLong(usize),
    /// Bytes that are no text.
    #[error("the line is not UTF-8: save the file as UTF-8")]
    NotText,
    /// A quote that is opened and not closed.
    #[error("a quoted field does not end on its line")]
    Quote,
    /// Not an object of JSON.
    #[error("this is no JSON object: {0}, at column {1}")]
    Json(String, usize),
    /// An object in an object.
    #[error("'{0}' is a list, an object or null: write a text or a number")]
    NotFlat(String),
    /// More than anybody has.
    #[error("more than {0} pods at one time: give one line for each pod, not for each series")]
    TooManyPods(usize),
}

/// A time (ms) as people read it.
pub(super) fn shown(at: i64) -> String {
    Timestamp::from_millisecond(at).map_or_else(|_| format!("{at} ms"), |time| time.to_string())
}
