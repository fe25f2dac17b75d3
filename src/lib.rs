//! `freethread-rollout`: moves Python workloads to free-threaded `CPython` on Kubernetes, and back when it must.
//!
//! One direction, five rooms; nothing flows back:
//!
//! ```text
//! kube watch ─┐                                                       ┌─> pool      (Deployment)
//! Prometheus ─┼─> observe ─> judge ─> decide ─> act ──────────────────┼─> route     (weight)
//! clock ──────┘    (IO)      (pure)   (pure)    (IO)                  └─> status, events, metrics
//!                    ▲                            │
//!                    └────── operator: the loop, queue, leader lease, health, shutdown
//! ```
//!
//! [`replay`] feeds the judge from a file instead, without a cluster. [`preflight`] is what happens before any traffic, [`report`]
//! is what remains when all is over. [`init`] writes the first rollout. [`flag`] serves the weight of those who ask for it.
//!
//! [`api`], [`judge`], [`decide`] and [`pool`] import no client, no runtime, no clock and no random source; `tests/purity.rs`
//! holds them to it.

pub mod act;
pub mod api;
pub mod cli;
pub mod decide;
pub mod flag;
pub mod init;
pub mod judge;
pub mod observe;
pub mod operator;
pub mod pool;
pub mod preflight;
pub mod replay;
pub mod report;
pub mod route;
mod svg;
