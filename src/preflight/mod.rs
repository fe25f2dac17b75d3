//! Before any traffic: what can be known of a free-threaded image without running the application in the cluster.
//!
//! [`inventory`] reads lock files and says which dependencies have wheels for the free-threaded interpreter.

pub mod inventory;
