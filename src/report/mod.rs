//! The report of a rollout: what was known before, what happened, what the verdicts rest on and what came of it. The thing that one attaches
//! to the decision.
//!
//! ```text
//! rollout's status ─┐
//! inventory (JSON) ─┼─> content ─> document ─> markdown | html
//! replay's plot ────┘      └─> plots
//! ```
//!
//! Pure. Everything in it may come from a stranger (names of packages, words of a log): nothing reaches a page as it came.

mod content;
mod document;
mod html;
mod inventory;
mod markdown;
mod plots;

pub use content::{Sources, content};
pub use document::{Block, Document, Plot, Section};
pub use html::html;
pub use inventory::{Inventory, Package};
pub use markdown::markdown;
