//! The connections that flags are asked over. No client, however slow, has a place for ever or takes those of the others.

use std::{io, net::SocketAddr, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};

use super::{FlagMetrics, Flags, Tls, metrics::Cut, paced::Paced, places::Places, router};

/// Largest head of a request, and what is kept for one connection while it is read.
const MOST_HEAD: usize = 16 << 10;
/// After this time a connection is closed once its answer is given: its client comes back, and perhaps to another replica.
const LIFE: Duration = Duration::from_mins(5);

/// Why flags are not served.
#[derive(Debug, thiserror::Error)]
pub enum FlagError {
    /// The address cannot be used.
    #[error("flags cannot be served on {address}: {source}")]
    Address {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// TLS cannot be spoken.
    #[error("flags cannot be served over TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// The socket that flags are served on.
///
/// # Errors
/// When the address cannot be used.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, FlagError> {
    TcpListener::bind(address).await.map_err(|source| FlagError::Address { address, source })
}

/// Serve, over TLS where there is a certificate. Never ends.
pub async fn serve(listener: TcpListener, flags: Flags, tls: Option<Tls>) {
    let renewed = async {
        match &tls {
            Some(tls) => tls.keep(&flags.metrics).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = accept(listener, router(flags.clone()), &flags.metrics, tls.as_ref()) => {}
        () = renewed => {}
    }
}

async fn accept(listener: TcpListener, router: Router, metrics: &FlagMetrics, tls: Option<&Tls>) {
    let places = Places::default();
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, say: it passes, and until then asking again at once would only burn the processor.
                tracing::warn!(%error, "a connection for flags could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        // Closed at once and not kept waiting: the caller takes its default now, and not after its timeout.
        let place = match places.take(peer.ip()) {
            Ok(place) => place,
            Err(full) => {
                metrics.cut(full);
                continue;
            }
        };
        // An answer is one small packet.
        let _ = stream.set_nodelay(true);
        let (router, metrics, tls) = (router.clone(), metrics.clone(), tls.cloned());
        tokio::spawn(async move {
            connected(stream, router, &metrics, tls).await;
            drop(place);
        });
    }
}

/// One connection, until its end.
async fn connected(stream: TcpStream, router: Router, metrics: &FlagMetrics, tls: Option<Tls>) {
    let ended = match tls {
        None => answer(stream, router, metrics).await,
        Some(tls) => match tls.accept(stream).await {
            Ok(stream) => answer(stream, router, metrics).await,
            Err(error) => {
                tracing::debug!(%error, "no TLS was agreed on for flags");
                return metrics.cut(Cut::Handshake);
            }
        },
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection for flags ended");
    }
}

/// The requests of one connection.
async fn answer<S>(stream: S, router: Router, metrics: &FlagMetrics) -> hyper::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut http = http1::Builder::new();
    // Pacing bounds the head too, and whatever comes after it.
    http.max_buf_size(MOST_HEAD).header_read_timeout(None);
    let stream = TokioIo::new(Paced::new(stream, metrics.clone()));
    let connection = http.serve_connection(stream, TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        ended = &mut connection => return ended,
        () = tokio::time::sleep(LIFE) => connection.as_mut().graceful_shutdown(),
    }
    connection.await
}

#[cfg(test)]
mod tests {
    use axum::{body::Bytes, routing::post};
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
        task::JoinHandle,
        time::Instant,
    };

    use super::*;
    use crate::flag::paced::{EXCHANGE, SILENCE};

    /// A client's end, and a server that answers every body with `size` bytes. The clock goes on where everything waits.
    fn connected(size: usize) -> (DuplexStream, Server) {
        let ((client, server), metrics) = (duplex(1 << 10), FlagMetrics::default());
        let router = Router::new().route("/", post(async move |_: Bytes| "x".repeat(size)));
        let counted = metrics.clone();
        let task = tokio::spawn(async move { answer(server, router, &counted).await });
        (client, Server { task, metrics })
    }

    struct Server {
        task: JoinHandle<hyper::Result<()>>,
        metrics: FlagMetrics,
    }

    impl Server {
        async fn ends(self, after: Duration, slow: u64) {
            let begun = Instant::now();
            let _ = self.task.await.unwrap();
            let took = begun.elapsed();
            assert!(took <= after + Duration::from_secs(1), "it took {took:?} and not {after:?}");
            assert_eq!(self.metrics.slow(), slow);
        }
    }

    fn request(body: usize) -> String {
        format!("POST / HTTP/1.1\r\nhost: flags\r\ncontent-length: {body}\r\n\r\n")
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_or_a_body_that_does_not_end_is_cut() {
        for said in [String::new(), "POST / HT".into(), request(100), request(100) + "some of it"] {
            let (mut client, server) = connected(1);
            client.write_all(said.as_bytes()).await.unwrap();
            server.ends(EXCHANGE, 1).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_not_read_is_cut() {
        let (mut client, server) = connected(1 << 20);
        client.write_all(request(0).as_bytes()).await.unwrap();
        server.ends(EXCHANGE, 1).await;
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_read_by_the_byte_is_cut() {
        let (mut client, server) = connected(1 << 20);
        client.write_all(request(0).as_bytes()).await.unwrap();
        let reader = tokio::spawn(async move {
            while client.read_u8().await.is_ok() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        server.ends(EXCHANGE, 1).await;
        reader.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_cut_and_a_long_life_ends() {
        let (mut client, server) = connected(1);
        let begun = Instant::now();
        let (mut answers, mut part) = (0, [0; 512]);
        // Asking all the time.
        while client.write_all(request(0).as_bytes()).await.is_ok() {
            if client.read(&mut part).await.is_ok_and(|read| read > 0) {
                answers += 1;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert!((299..=301).contains(&answers), "{answers} answers");
        assert!(begun.elapsed() <= LIFE + Duration::from_secs(2), "{:?}", begun.elapsed());
        server.ends(Duration::ZERO, 0).await;

        let (mut client, server) = connected(1);
        client.write_all(request(0).as_bytes()).await.unwrap();
        assert!(client.read(&mut part).await.unwrap() > 0);
        server.ends(SILENCE, 0).await;
    }
}
