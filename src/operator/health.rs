//! `/live`, `/ready` and `/metrics`.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{Router, extract::State, http::StatusCode, routing::get};

use super::Metrics;
use crate::observe::Stores;

/// What the endpoints answer by.
#[derive(Clone)]
pub(super) struct Health {
    /// Every cache has been filled once: this replica could lead at once.
    pub(super) warm: Arc<AtomicBool>,
    pub(super) stores: Stores,
    pub(super) metrics: Metrics,
}

/// Serve until the process ends.
///
/// # Errors
/// When the address cannot be used.
pub(super) async fn serve(address: SocketAddr, health: Health) -> std::io::Result<()> {
    let router = Router::new()
        // Answering at all is the sign of life: a lost lease or a dead watch ends the process by itself.
        .route("/live", get(async || "live\n"))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .with_state(health);
    let listener = tokio::net::TcpListener::bind(address).await?;
    axum::serve(listener, router).await
}

async fn ready(State(health): State<Health>) -> (StatusCode, &'static str) {
    if health.warm.load(Ordering::Relaxed) {
        (StatusCode::OK, "ready\n")
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "waiting for the first answer of every watch (is the CRD installed, are the roles bound?)\n",
        )
    }
}

async fn metrics(State(health): State<Health>) -> ([(&'static str, &'static str); 1], String) {
    let kind = [("content-type", "application/openmetrics-text; version=1.0.0; charset=utf-8")];
    (kind, health.metrics.render(&health.stores.rollouts))
}
