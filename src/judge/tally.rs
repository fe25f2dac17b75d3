//! Requests and bad ones of both pools.

use serde::Serialize;

/// Requests and bad ones of both pools, over one cell or many. Never a basis for a test when it is over many: weights change.
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

impl Tally {
    /// Adds another one.
    pub(super) fn add(&mut self, other: &Self) {
        self.ours += other.ours;
        self.ours_bad += other.ours_bad;
        self.standard += other.standard;
        self.standard_bad += other.standard_bad;
    }
}
