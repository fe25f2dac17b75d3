//! What users write and read: the `FreeThreadRollout` resource, and nothing that acts.
//!
//! Pure: no client, no runtime, no clock. The CRD in `crds/` is generated from these types.

mod hash;
mod names;
mod quantity;
mod spec;
mod status;

pub use hash::hash;
pub use names::*;
pub use quantity::{ParseQuantityError, Percent, Span};
pub use spec::*;
pub use status::*;
