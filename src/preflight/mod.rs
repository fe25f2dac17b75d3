//! Before any traffic: what can be known of a free-threaded image before its pool exists.
//!
//! [`image`] looks at it from the inside: a Job's pod imports the application and says whether the GIL stayed off, and if not, for whom.
//! [`inventory`] reads lock files and says which dependencies have wheels for the free-threaded interpreter.

pub mod image;
pub mod inventory;
