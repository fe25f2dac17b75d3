//! What users write and read: the `FreeThreadRollout` resource, and nothing that acts.
//!
//! Pure: no client, no runtime, no clock. The CRD in `crds/` is generated from these types.

mod analysis;
mod attempt;
mod benefit;
mod compared;
mod hand_over;
mod hash;
mod http_route;
mod metrics;
mod names;
mod preflight;
mod preflight_status;
mod quantity;
mod replicas;
mod schema;
mod spec;
mod status;
mod step;
mod traffic;

pub use analysis::*;
pub use attempt::*;
pub use benefit::*;
pub use compared::*;
pub use hand_over::*;
pub use hash::hash;
pub use http_route::*;
pub use metrics::*;
pub use names::*;
pub use preflight::*;
pub use preflight_status::*;
pub use quantity::{ByteSize, ParseQuantityError, Percent, Span};
pub use replicas::*;
pub use spec::*;
pub use status::*;
pub use step::*;
pub use traffic::*;
