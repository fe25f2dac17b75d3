//! Evaluations at a fixed rate over a few persistent connections.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use clap::Args;
use freethread_rollout::flag;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, runtime::Runtime, sync::mpsc};

use crate::{Result, Served};

/// How much is asked.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// Evaluations a second.
    #[arg(long, default_value_t = 5000)]
    rate: u32,
    /// For how long.
    #[arg(long, default_value_t = 10)]
    seconds: u32,
    /// Persistent connections.
    #[arg(long, default_value_t = 16)]
    connections: u32,
    /// Fails where the 99th percentile is above this, in milliseconds.
    #[arg(long, default_value_t = 2.0)]
    p99_ms: f64,
}

impl Bench {
    /// The server on a thread of its own, the clients on this one.
    pub(crate) fn run(&self, clients: &Runtime) -> Result<()> {
        let mut served = Served::new()?;
        served.weight(25)?;
        let flags = served.flags.clone();
        let (told, address) = std::sync::mpsc::channel();
        std::thread::spawn(move || -> Result<()> {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let listener = flag::bind("127.0.0.1:0".parse()?).await?;
                told.send(listener.local_addr()?)?;
                flag::serve(listener, flags, None).await;
                Ok(())
            })
        });
        let address = address.recv()?;
        let mut took = clients.block_on(self.ask(address))?;
        took.sort_by(f64::total_cmp);
        // In thousandths of all.
        let at = |share: usize| took.get((took.len() - 1) * share / 1000).copied().unwrap_or(f64::NAN);
        let (p50, p99, p999) = (at(500), at(990), at(999));
        println!(
            "{} evaluations at {} a second over {} connections: p50 {p50:.2} ms, p99 {p99:.2} ms, p99.9 {p999:.2} ms, all at most {:.2} ms",
            took.len(),
            self.rate,
            self.connections,
            at(1000)
        );
        if p99 <= self.p99_ms {
            Ok(())
        } else {
            Err(format!("p99 {p99:.2} ms is above {} ms", self.p99_ms).into())
        }
    }

    async fn ask(&self, address: SocketAddr) -> Result<Vec<f64>> {
        let (told, mut heard) = mpsc::unbounded_channel();
        let (begun, each) =
            (Instant::now() + Duration::from_millis(500), self.rate * self.seconds / self.connections);
        for connection in 0..self.connections {
            let (told, rate, connections) = (told.clone(), f64::from(self.rate), self.connections);
            tokio::spawn(async move {
                let mut sender = connect(address).await.ok()?;
                for number in 0..each {
                    let nth = f64::from(number * connections + connection);
                    let due = begun + Duration::from_secs_f64(nth / rate);
                    tokio::time::sleep_until(due.into()).await;
                    let body = format!("{{\"context\":{{\"targetingKey\":\"user-{nth}\"}}}}");
                    let request = Request::post("/namespaces/shop/ofrep/v1/evaluate/flags/orders")
                        .header("host", "flags")
                        .header("content-type", "application/json")
                        .body(Full::new(Bytes::from(body)))
                        .ok()?;
                    // From when it leaves. The runtime's timer is a millisecond coarse, and what it oversleeps is not the server's; whoever is
                    // kept waiting by the answer before leaves late, and shows up as a rate that is not reached.
                    let sent = Instant::now();
                    let answer = sender.send_request(request).await.ok()?;
                    let well = answer.status().is_success();
                    answer.into_body().collect().await.ok()?;
                    let _ = told.send((well, sent.elapsed().as_secs_f64() * 1000.0));
                }
                Some(())
            });
        }
        drop(told);
        let mut took = Vec::new();
        while let Some((well, ms)) = heard.recv().await {
            if !well {
                return Err("an evaluation failed".into());
            }
            took.push(ms);
        }
        let late = begun.elapsed().as_secs_f64() - f64::from(self.seconds);
        if late > 0.5 {
            return Err(format!("the rate was not reached: the last answer came {late:.1} s late").into());
        }
        let wanted = usize::try_from(each * self.connections)?;
        if took.len() == wanted {
            Ok(took)
        } else {
            Err(format!("{} of {wanted} were answered", took.len()).into())
        }
    }
}

async fn connect(address: SocketAddr) -> Result<http1::SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}
