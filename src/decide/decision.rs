//! The decision as plain data: one type for the operator, golden files, property tests and people's views.

use jiff::Timestamp;
use serde::Serialize;

use crate::{
    api::{Check, FreeThreadRolloutSpec, FreeThreadRolloutStatus, Percent, Reason},
    judge::Finding,
    observe::{Observation, RollbackNote},
};

/// Everything that a decision may depend on.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// The rollout's name.
    pub name: &'a str,
    /// What the user wants.
    pub spec: &'a FreeThreadRolloutSpec,
    /// Generation of that spec.
    pub generation: i64,
    /// The rollout is being deleted.
    pub deleting: bool,
    /// The operator is being uninstalled: everything is given back, and the rollout stays.
    pub giving_back: bool,
    /// The text of the command annotation, if there is one.
    pub command: Option<&'a str>,
    /// What was decided before: the only memory.
    pub status: &'a FreeThreadRolloutStatus,
    /// The world.
    pub observation: &'a Observation,
    /// What the judge says of it.
    pub finding: &'a Finding,
    /// Now.
    pub now: Timestamp,
}

/// What to do, in the order in which `act` does it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Decision {
    /// Where the route should be. A fall is written before anything else.
    pub target: Target,
    /// What should become of the standard pool's replicas. What brings them back is written right after a weight that falls, or would not.
    pub standard: StandardWanted,
    /// Pods that our Deployment is to have, where the router does not count pods; `None`: as it is. Never fewer in the pass in which the
    /// weight falls.
    pub replicas: Option<i32>,
    /// What should become of the Job that checks the image.
    pub job: JobWanted,
    /// What should become of the free-threaded pool's objects.
    pub pool: PoolWanted,
    /// The status to persist: phase, sentence, memory.
    pub status: FreeThreadRolloutStatus,
    /// What to tell people, after everything else.
    pub events: Vec<Note>,
    /// When to look again at the latest; absolute, so that a restart changes nothing. `None`: only when something changes.
    pub wake_at: Option<Timestamp>,
}

/// Where the route should be.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Target {
    /// Against what is written now.
    pub movement: Movement,
    /// Share that it makes, as far as can be reached.
    pub share: Percent,
    /// The weight in the router's unit: pods of our pool by pod counts, percent everywhere else.
    pub weight: i32,
    /// Why the weight is 0, written in the same request: it outlives the operator. Set exactly when a phase ends the attempt.
    pub note: Option<RollbackNote>,
}

/// Direction of a write of the weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Movement {
    /// Down: first of all writes, unconditional.
    Fall,
    /// Nothing to write.
    Stay,
    /// Weight 0 is in effect and persisted: what else is ours goes out of the team's route.
    GiveBack,
    /// A route of ours becomes what it should be, at the weight that it has.
    Renew,
    /// Up: last, only on top of the state that was decided on.
    Rise,
}

/// What should become of the standard pool's replicas. Anything else than [`Self::Leave`] only where `spec.handOver` asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum StandardWanted {
    /// As they are: whoever scales it decides.
    Leave,
    /// Handed over: fewer, and what it had is written on it.
    Shrink {
        /// Pods that it has.
        had: i32,
        /// Pods that it keeps.
        to: i32,
    },
    /// On the way home.
    Grow {
        /// Pods that it has now.
        seen: i32,
        /// Pods that all of the traffic needs.
        to: i32,
    },
    /// It is whole: what was written on it goes.
    Release,
}

/// What should become of the free-threaded pool's objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum PoolWanted {
    /// As they are, or as they are not.
    Leave,
    /// As the spec and the standard template render them.
    Apply,
    /// Gone, once the weight is read back as 0.
    Remove,
}

/// What should become of the Job that checks the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum JobWanted {
    /// As it is, or as it is not.
    Leave,
    /// There is one, and it does this.
    Create(Check),
    /// Gone, with its pod.
    Remove,
}

/// What people are told once: the same sentence as in the status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Note {
    /// Something that a person should look at.
    pub warning: bool,
    /// One word.
    pub reason: Reason,
    /// One sentence.
    pub message: String,
}
