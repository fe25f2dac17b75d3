//! Requests and bad ones of both pools.

use serde::Serialize;

/// Requests and bad ones of both pools in one cell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Tally {
    /// Requests of the free-threaded pool.
    pub ours: f64,
    /// Bad ones among them.
    pub ours_bad: f64,
    /// Requests of the standard pool.
    pub standard: f64,
    /// Bad ones among them.
    pub standard_bad: f64,
}
