//! The free-threaded pool's Deployment, the standard pod template plus the spec's changes, and its Service.
//!
//! Pure. `observe` renders it to know what the pool should be, `act` applies what was rendered.

mod cpu;
mod patch;
mod probe;
mod render;
mod safety;
mod service;

pub use probe::PROBE_CONTAINER;
pub use render::{CHECK_CONTAINER, RenderError, Rendered, render, standard_hash};
pub use service::{is_like, service};
