//! A load generator that counts every request and every answer by pool.
//!
//! It runs as a pod in the cluster and sends in an *open loop*: requests leave at times that were fixed beforehand, however slow the
//! answers are, so that a pool that hangs is not spared. A share of the requests goes over a few persistent connections, the
//! rest over a new connection each. Whatever could not be sent because too many requests were under way is counted too.
//!
//! What it saw is read over HTTP: see [`api`].

mod api;
mod connection;
mod counts;
mod schedule;
mod users;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use clap::Parser;

/// What to send, where, and for how long at most.
#[derive(Debug, Clone, Parser)]
pub(crate) struct Args {
    /// Address of the service: an IP address and a port (there may be no DNS).
    #[arg(long)]
    target: SocketAddr,
    /// Path of the requests.
    #[arg(long, default_value = "/orders")]
    path: String,
    /// Host that the requests name, where a gateway tells services apart by it.
    #[arg(long, default_value = "orders")]
    host: String,
    /// Requests per second.
    #[arg(long, default_value_t = 100.0)]
    rps: f64,
    /// Share of the requests that go over persistent connections, 0 to 1.
    #[arg(long, default_value_t = 0.5)]
    kept_share: f64,
    /// Persistent connections. Each is replaced when it is closed or fails, and after `--kept-requests` requests.
    #[arg(long, default_value_t = 16)]
    kept_connections: usize,
    /// Requests over one persistent connection before it is replaced, as clients with a maximal age do: new pods get their share.
    #[arg(long, default_value_t = 50)]
    kept_requests: u32,
    /// Milliseconds after which a request without a whole answer counts as timed out.
    #[arg(long, default_value_t = 5000)]
    timeout_ms: u64,
    /// Most requests under way at a time. Those above are not sent, and counted as `unsent`.
    #[arg(long, default_value_t = 1000)]
    max_in_flight: usize,
    /// Seconds after which it stops sending, whatever happens.
    #[arg(long, default_value_t = 1800)]
    duration_s: u64,
    /// People who send them in turns, each with the cookies that it was given; 0: every request is by itself.
    #[arg(long, default_value_t = 0)]
    users: usize,
    /// Address of the HTTP API that tells the counts.
    #[arg(long, default_value = "0.0.0.0:9000")]
    listen: SocketAddr,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Args::parse();
    if !(0.0..=1.0).contains(&args.kept_share) {
        return Err(
            format!("--kept-share {} is not a share: write a number from 0 to 1", args.kept_share).into()
        );
    }
    let rate = Arc::new(schedule::Rate::new(args.rps)?);
    let counts = Arc::new(counts::Counts::default());
    let always = Arc::new(schedule::Always::default());
    let listener = tokio::net::TcpListener::bind(args.listen)
        .await
        .map_err(|e| format!("cannot listen on {}: {e}", args.listen))?;

    println!("sending {} requests a second to {}{}", args.rps, args.target, args.path);
    let sender = {
        let (args, rate, always, counts) = (args.clone(), rate.clone(), always.clone(), counts.clone());
        async move {
            if !connection::settled(args.target).await {
                println!("{} takes no connections; sending all the same", args.target);
            }
            let stop = tokio::time::sleep(Duration::from_secs(args.duration_s));
            tokio::select! {
                () = schedule::send(&args, &rate, &always, &counts) => {}
                () = stop => println!("stopped sending after {} s", args.duration_s),
            }
        }
    };
    tokio::spawn(sender);

    axum::serve(listener, api::router(counts, rate, always))
        .with_graceful_shutdown(terminated())
        .await
        .map_err(|e| format!("the API on {} failed: {e}", args.listen).into())
}

async fn terminated() {
    let Ok(mut signal) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    signal.recv().await;
}
