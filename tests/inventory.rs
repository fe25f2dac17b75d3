//! `inventory`: real lock files against what pip, packaging and uv make of them; damaged ones, and any bytes at all.

#![allow(clippy::unwrap_used, clippy::panic, clippy::cast_possible_truncation, reason = "a test may fail so")]

#[path = "inventory/agree.rs"]
mod agree;
#[path = "inventory/fuzz.rs"]
mod fuzz;
#[path = "inventory/golden.rs"]
mod golden;
#[path = "inventory/large.rs"]
mod large;
#[path = "inventory/locks.rs"]
mod locks;
#[path = "inventory/outside.rs"]
mod outside;
