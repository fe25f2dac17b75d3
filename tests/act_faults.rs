//! An API server that is away, slow, or says 409, 429, 500: what `act` sends, in which order, and what it leaves undone. The decisions are
//! real, the server is in the process and keeps just enough (one rollout, its pool) to go on after a crash; time stands still but for what
//! is waited for.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

#[path = "act_faults/crash.rs"]
mod crash;
#[path = "act_faults/deletion.rs"]
mod deletion;
#[path = "act_faults/fall.rs"]
mod fall;
#[path = "laws/findings.rs"]
mod findings;
#[path = "act_faults/lease.rs"]
mod lease;
#[path = "act_faults/pool.rs"]
mod pool;
#[path = "act_faults/rise.rs"]
mod rise;
#[path = "act_faults/server.rs"]
mod server;
#[path = "act_faults/world.rs"]
mod world;
