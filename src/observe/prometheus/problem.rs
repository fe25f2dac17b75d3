//! What can go wrong between the operator and Prometheus. Each text says what was asked and what came back.

use std::fmt;

/// Why there are no samples. Cloned into every answer while a profile is left alone after failures.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum QueryProblem {
    /// No connection, or it broke.
    #[error("Prometheus '{profile}' cannot be reached: {why}; asked for {query}")]
    Unreachable {
        /// The profile.
        profile: String,
        /// What was asked.
        query: String,
        /// Why.
        why: String,
    },
    /// No answer in time.
    #[error("Prometheus '{profile}' did not answer within {within} ms; asked for {query}")]
    Timeout {
        /// The profile.
        profile: String,
        /// What was asked.
        query: String,
        /// The bound.
        within: u128,
    },
    /// An answer that is no success.
    #[error("Prometheus '{profile}' answered {code}: {body}; asked for {query}")]
    Status {
        /// The profile.
        profile: String,
        /// What was asked.
        query: String,
        /// HTTP status.
        code: u16,
        /// Its error, or the beginning of what it sent.
        body: String,
    },
    /// A success that is not understood.
    #[error("Prometheus '{profile}' sent an answer that is not understood: {why}; asked for {query}")]
    BadAnswer {
        /// The profile.
        profile: String,
        /// What was asked.
        query: String,
        /// What is wrong with it.
        why: String,
    },
    /// There is no such series.
    #[error("Prometheus '{profile}' has no samples of {query}: the answer was empty, {}", why_empty(*scraped))]
    Empty {
        /// The profile.
        profile: String,
        /// What was asked.
        query: String,
        /// The pods themselves are known to it.
        scraped: bool,
    },
    /// More than is read.
    #[error("Prometheus '{profile}' has too much to say ({what}) to {query}; narrow it: {advice}")]
    TooLarge {
        /// The profile.
        profile: String,
        /// What was asked.
        query: String,
        /// How much.
        what: String,
        /// What to narrow.
        advice: String,
    },
    /// The histogram cannot tell slow requests from others.
    #[error("no bucket of {query} has a boundary at or above {wanted}; there are: {known}")]
    NoBucket {
        /// What was asked.
        query: String,
        /// The threshold in the histogram's unit.
        wanted: f64,
        /// The boundaries that exist.
        known: String,
    },
    /// A boundary that the attempt is judged by is gone.
    #[error(
        "no bucket of {query} ends at {wanted} in both pools, where slow begins in this attempt; there are: {known}; give both pools \
         the same buckets"
    )]
    LostBucket {
        /// What was asked.
        query: String,
        /// The boundary in the histogram's unit.
        wanted: f64,
        /// The boundaries that exist.
        known: String,
    },
    /// The rollout names a profile that the operator does not have.
    #[error("there is no Prometheus profile '{name}' in the operator's configuration; there are: {known}")]
    UnknownProfile {
        /// The name.
        name: String,
        /// Names that exist.
        known: String,
    },
    /// A credential or CA file cannot be used.
    #[error("Prometheus '{profile}': {why}")]
    Configuration {
        /// The profile.
        profile: String,
        /// What is wrong.
        why: String,
    },
}

impl QueryProblem {
    /// Whether Prometheus as a whole is away: both pools are blind, and nothing about either can be said.
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::Timeout { .. }
            | Self::BadAnswer { .. }
            | Self::Configuration { .. } => true,
            Self::Status { code, .. } => !matches!(code, 400 | 422),
            Self::Empty { .. }
            | Self::TooLarge { .. }
            | Self::NoBucket { .. }
            | Self::LostBucket { .. }
            | Self::UnknownProfile { .. } => false,
        }
    }
}

fn why_empty(scraped: bool) -> &'static str {
    if scraped {
        "although the pods are scraped; either there was no request yet, or the metric has another name or labels"
    } else {
        "and nothing else of these pods is known; look at whether and with which labels they are scraped"
    }
}

/// A query as it is shown: queries may name hundreds of pods.
pub(crate) fn shown(query: impl fmt::Display) -> String {
    clip(&query.to_string(), 300)
}

/// At most `most` characters on one line, without control characters.
pub(crate) fn clip(text: &str, most: usize) -> String {
    let mut out: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(most).collect();
    if text.chars().nth(most).is_some() {
        out.push('…');
    }
    out
}
