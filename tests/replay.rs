//! `replay`: the judge on files, good ones, damaged ones and any bytes at all.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::float_cmp,
    clippy::format_collect,
    clippy::format_push_string
)]

#[path = "replay/damaged.rs"]
mod damaged;
#[path = "replay/example.rs"]
mod example;
#[path = "replay/fuzz.rs"]
mod fuzz;
#[path = "replay/golden.rs"]
mod golden;
#[path = "replay/same.rs"]
mod same;
#[path = "replay/world.rs"]
mod world;
