//! The world as plain data. Gathers, never judges.

mod autoscaler;
mod cluster;
pub mod logs;
mod managed;
mod observation;
mod obstacles;
mod pods;
mod preflight;
pub mod presets;
pub mod profiles;
pub mod prometheus;
mod routes;
mod size;
mod stores;

pub use cluster::{Scene, foreign, observe};
pub use observation::*;
pub use pods::{pod, text};
pub use routes::RouteStores;
pub use stores::{Pokes, Stores, WatchScope, start_watches};
