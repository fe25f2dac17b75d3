//! Whether this replica still hears from the API server. One that is cut off does not know of a rollback: it had better say nothing, for then each
//! caller takes its default, the standard pool.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use kube::Client;

/// Time between two questions.
const EVERY: Duration = Duration::from_secs(2);
/// Longest time for an answer.
const WITHIN: Duration = Duration::from_secs(2);
/// From the last answer on, after this time the replica is cut off.
const LOST: Duration = Duration::from_secs(10);

/// When the API server answered last.
#[derive(Debug, Clone)]
pub struct Pulse(Arc<Mutex<Instant>>);

impl Default for Pulse {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }
}

impl Pulse {
    /// It answered.
    pub fn heard(&self, at: Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }

    /// Nothing was heard for too long, as of `now`.
    pub fn is_lost(&self, now: Instant) -> bool {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        now.duration_since(last) > LOST
    }

    /// Asks for the version, which everybody may, again and again. Never ends.
    pub async fn keep(&self, client: &Client) {
        loop {
            if matches!(tokio::time::timeout(WITHIN, client.apiserver_version()).await, Ok(Ok(_))) {
                self.heard(Instant::now());
            }
            tokio::time::sleep(EVERY).await;
        }
    }
}
