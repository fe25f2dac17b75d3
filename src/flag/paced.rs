//! A stream that has to go on: a peer that sends or reads slowly, or not at all, holds no task for ever.
//!
//! One bound for a request from its first byte to the last of its answer, head, body and writing together; another for the silence between two.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

use super::{FlagMetrics, metrics::Cut};

/// Longest time from the first byte of a request, or from the connection's begin, to the last byte of the answer.
pub(super) const EXCHANGE: Duration = Duration::from_secs(10);
/// Longest silence between an answer and the next request.
pub(super) const SILENCE: Duration = Duration::from_secs(30);

/// A stream that ends with [`io::ErrorKind::TimedOut`] where its peer is too slow.
pub(super) struct Paced<S> {
    stream: S,
    until: Instant,
    /// A request is under way.
    busy: bool,
    /// Some of its answer was taken.
    wrote: bool,
    /// Rings at `until` or earlier: it is only set anew where the stream has to wait, not for each request.
    alarm: Pin<Box<Sleep>>,
    /// Who is told, once.
    metrics: Option<FlagMetrics>,
}

impl<S> Paced<S> {
    /// The first request is awaited as if it had begun: whoever connects has something to ask.
    pub(super) fn new(stream: S, metrics: FlagMetrics) -> Self {
        let until = Instant::now() + EXCHANGE;
        let alarm = Box::pin(sleep_until(until));
        Self { stream, until, busy: true, wrote: false, alarm, metrics: Some(metrics) }
    }

    fn begun(&mut self) {
        if !self.busy {
            (self.busy, self.until) = (true, Instant::now() + EXCHANGE);
        }
    }

    fn answered(&mut self) {
        if self.wrote {
            (self.busy, self.wrote, self.until) = (false, false, Instant::now() + SILENCE);
        }
    }

    /// The stream has to wait: until when?
    fn wait<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if self.alarm.deadline() > self.until {
            self.alarm.as_mut().reset(self.until);
        }
        loop {
            ready!(self.alarm.as_mut().poll(context));
            if self.until <= Instant::now() {
                if let Some(metrics) = self.metrics.take().filter(|_| self.busy) {
                    metrics.cut(Cut::Slow);
                }
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            self.alarm.as_mut().reset(self.until);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Pending => self.wait(context),
            done @ Poll::Ready(_) => {
                if buffer.filled().len() > before {
                    self.begun();
                }
                done
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> Paced<S> {
    fn written(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Pending => self.wait(context),
            done @ Poll::Ready(_) => {
                self.wrote = true;
                done
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.written(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_flush(context) {
            Poll::Pending => self.wait(context),
            done @ Poll::Ready(_) => {
                self.answered();
                done
            }
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_shutdown(context) {
            Poll::Pending => self.wait(context),
            done @ Poll::Ready(_) => done,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;

    /// The clock stands still but where everything waits, and then goes to the next alarm.
    fn pair() -> (DuplexStream, Paced<DuplexStream>, Instant) {
        let (client, server) = duplex(16);
        (client, Paced::new(server, FlagMetrics::default()), Instant::now())
    }

    fn timed_out<T: std::fmt::Debug>(result: io::Result<T>, begun: Instant, after: Duration) {
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::TimedOut);
        let took = begun.elapsed();
        assert!(took >= after && took < after + Duration::from_millis(100), "{took:?} and not {after:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_says_nothing_is_cut() {
        let (_client, mut server, begun) = pair();
        timed_out(server.read_u8().await, begun, EXCHANGE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_byte_now_and_then_gains_no_time() {
        let (mut client, mut server, begun) = pair();
        tokio::spawn(async move {
            while client.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        let mut all = Vec::new();
        timed_out(server.read_to_end(&mut all).await, begun, EXCHANGE);
        assert!((9..=11).contains(&all.len()), "{} bytes", all.len());
    }

    #[tokio::test(start_paused = true)]
    async fn who_never_reads_is_cut() {
        let (mut client, mut server, begun) = pair();
        client.write_all(b"x").await.unwrap();
        server.read_u8().await.unwrap();
        timed_out(server.write_all(&[0; 64]).await, begun, EXCHANGE);
    }

    #[tokio::test(start_paused = true)]
    async fn between_two_requests_there_is_more_time() {
        let (mut client, mut server, _) = pair();
        for _ in 0..3 {
            client.write_all(b"x").await.unwrap();
            server.read_u8().await.unwrap();
            server.write_all(b"y").await.unwrap();
            server.flush().await.unwrap();
            client.read_u8().await.unwrap();
            tokio::time::sleep(SILENCE.saturating_sub(Duration::from_secs(1))).await;
        }
        client.write_all(b"x").await.unwrap();
        let begun = Instant::now();
        server.read_u8().await.unwrap();
        timed_out(server.read_u8().await, begun, EXCHANGE);
    }

    #[tokio::test(start_paused = true)]
    async fn silence_after_an_answer_ends_too() {
        let (_client, mut server, begun) = pair();
        server.write_all(b"y").await.unwrap();
        server.flush().await.unwrap();
        timed_out(server.read_u8().await, begun, SILENCE);
    }
}
