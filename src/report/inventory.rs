//! The dependencies, as `freethread-rollout inventory --format json` printed them.

use serde::Deserialize;

/// What is shown of an inventory.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Inventory {
    /// For which image.
    pub target: String,
    /// How many let the check fail.
    pub failing: usize,
    /// Each package, worst first.
    pub packages: Vec<Package>,
}

/// One package.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version, if one is named.
    pub version: Option<String>,
    /// How it will fare, as one word.
    pub verdict: String,
    /// Why, in one sentence.
    pub why: String,
    /// The first release that would do better.
    pub fixed_by: Option<String>,
}
