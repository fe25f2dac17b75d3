//! One request over a new or over a persistent connection, and what became of it.

use std::{
    collections::VecDeque,
    io::ErrorKind,
    net::SocketAddr,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http_body_util::{BodyExt, Empty};
use hyper::{
    Request, StatusCode,
    body::Bytes,
    client::conn::http1::{SendRequest, handshake},
    header::{HeaderName, HeaderValue},
};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::net::TcpStream;

use crate::Args;

/// The kind of connection a request goes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// A connection of its own.
    New,
    /// One of the persistent connections.
    Kept,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// Answered with a status under 400.
    Ok,
    /// Answered with a status of 500 or more.
    HttpError,
    /// No connection could be made.
    Refused,
    /// No whole answer in time.
    Timeout,
    /// The connection broke before the answer was whole.
    Reset,
    /// Anything else: a status from 400 to 499, an answer that is no HTTP.
    Other,
}

impl Outcome {
    pub(crate) const ALL: [Self; 6] =
        [Self::Ok, Self::HttpError, Self::Refused, Self::Timeout, Self::Reset, Self::Other];
}

/// The pool that answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Pool {
    /// `X-Pool: standard`.
    Standard,
    /// `X-Pool: free-threaded`.
    FreeThreaded,
    /// No answer, or one that does not say.
    None,
}

impl Pool {
    pub(crate) const ALL: [Self; 3] = [Self::Standard, Self::FreeThreaded, Self::None];
}

/// Waits until the address has taken connections for a second without a miss, a minute at most: a Service that was created
/// just now refuses them until every node knows it, and that says nothing about the pools. Nothing of this is counted.
pub(crate) async fn settled(target: SocketAddr) -> bool {
    let mut in_a_row = 0;
    for _ in 0..1200 {
        let taken = tokio::time::timeout(Duration::from_millis(500), TcpStream::connect(target)).await;
        in_a_row = if matches!(taken, Ok(Ok(_))) { in_a_row + 1 } else { 0 };
        if in_a_row == 20 {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    false
}

/// One request's end.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) pool: Pool,
    pub(crate) outcome: Outcome,
    /// `X-Pod`, where there was an answer.
    pub(crate) pod: Option<String>,
    /// What the error was, where there was one.
    pub(crate) detail: Option<String>,
    /// A persistent connection turned out to be closed before the request was written to it, and another one was taken.
    pub(crate) reconnected: bool,
    /// `Set-Cookie`, as it came.
    pub(crate) cookies: Vec<String>,
    /// Its user was answered by another pool before.
    pub(crate) moved: Option<Moved>,
}

/// How a user changed the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moved {
    /// From the standard to the free-threaded one.
    Joined,
    /// From the free-threaded to the standard one.
    Left,
}

/// Headers that a request has beside the usual ones.
pub(crate) type Headers = Vec<(HeaderName, HeaderValue)>;

impl Answer {
    fn failed((outcome, detail): Failure, reconnected: bool) -> Self {
        Self {
            pool: Pool::None,
            outcome,
            pod: None,
            detail: Some(detail),
            reconnected,
            cookies: Vec::new(),
            moved: None,
        }
    }
}

/// How it failed, and the error's words.
type Failure = (Outcome, String);

type Sender = SendRequest<Empty<Bytes>>;

struct Kept {
    sender: Sender,
    requests: u32,
}

/// The persistent connections: those that wait for a request, and how many there are with those under way.
#[derive(Default)]
struct KeptPool {
    idle: VecDeque<Kept>,
    open: usize,
}

/// Opens connections and keeps the persistent ones.
pub(crate) struct Connections {
    args: Args,
    authority: String,
    kept: Mutex<KeptPool>,
}

impl Connections {
    pub(crate) fn new(args: &Args) -> Self {
        Self { args: args.clone(), authority: args.host.clone(), kept: Mutex::default() }
    }

    /// Sends one request. Never longer than the timeout.
    pub(crate) async fn request(&self, kind: Kind, headers: &Headers) -> Answer {
        let timeout = Duration::from_millis(self.args.timeout_ms);
        let connected = AtomicBool::new(false);
        let attempt = async {
            match kind {
                Kind::New => self.over_new(&connected, headers).await,
                Kind::Kept => self.over_kept(&connected, headers).await,
            }
        };
        tokio::time::timeout(timeout, attempt).await.unwrap_or_else(|_| {
            let waited = if connected.load(Ordering::Relaxed) { "no answer" } else { "no connection" };
            Answer::failed((Outcome::Timeout, format!("{waited} within {} ms", timeout.as_millis())), false)
        })
    }

    async fn over_new(&self, connected: &AtomicBool, headers: &Headers) -> Answer {
        match self.connect().await {
            Ok(mut sender) => {
                connected.store(true, Ordering::Relaxed);
                match exchange(&mut sender, self.build(Kind::New, headers)).await {
                    Exchange::Answered { answer, .. } => answer,
                    Exchange::NotWritten(error) => Answer::failed((Outcome::Reset, error), false),
                }
            }
            Err(failure) => Answer::failed(failure, false),
        }
    }

    /// Takes the persistent connections in turn, so that all of them stay in use. One that was closed while it was idle is dropped and
    /// the request, which was never written, goes over another. A request that *was* written is never sent again.
    async fn over_kept(&self, connected: &AtomicBool, headers: &Headers) -> Answer {
        let mut reconnected = false;
        loop {
            let taken = self.take();
            // However this ends, a timeout from outside included: a connection that is not put back has made room for another.
            let mut place = Place { connections: self, held: true };
            let fresh = taken.is_none();
            let mut kept = match taken {
                Some(kept) => kept,
                None => match self.connect().await {
                    Ok(sender) => Kept { sender, requests: 0 },
                    Err(failure) => return Answer::failed(failure, reconnected),
                },
            };
            connected.store(true, Ordering::Relaxed);
            match exchange(&mut kept.sender, self.build(Kind::Kept, headers)).await {
                Exchange::Answered { mut answer, reusable } => {
                    kept.requests += 1;
                    if reusable && kept.requests < self.args.kept_requests {
                        self.lock().idle.push_back(kept);
                        place.held = false;
                    }
                    answer.reconnected = reconnected;
                    return answer;
                }
                Exchange::NotWritten(error) if fresh => {
                    return Answer::failed((Outcome::Reset, error), reconnected);
                }
                Exchange::NotWritten(_) => reconnected = true,
            }
        }
    }

    /// The connection that has waited longest; none while there are too few, or when all are under way.
    fn take(&self) -> Option<Kept> {
        let mut pool = self.lock();
        while pool.open >= self.args.kept_connections {
            match pool.idle.pop_front() {
                Some(kept) if kept.sender.is_closed() => pool.open -= 1,
                Some(kept) => return Some(kept),
                None => break,
            }
        }
        pool.open += 1;
        None
    }

    fn lock(&self) -> MutexGuard<'_, KeptPool> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connect(&self) -> Result<Sender, Failure> {
        let stream = TcpStream::connect(self.args.target).await.map_err(|error| {
            let outcome = match error.kind() {
                ErrorKind::ConnectionReset => Outcome::Reset,
                ErrorKind::TimedOut => Outcome::Timeout,
                _ => Outcome::Refused,
            };
            (outcome, error.to_string())
        })?;
        stream.set_nodelay(true).map_err(|error| (Outcome::Reset, error.to_string()))?;
        let (sender, connection) =
            handshake(TokioIo::new(stream)).await.map_err(|error| (Outcome::Reset, error.to_string()))?;
        tokio::spawn(async move {
            // Its failures surface at the request.
            let _ = connection.await;
        });
        Ok(sender)
    }

    fn build(&self, kind: Kind, headers: &Headers) -> Request<Empty<Bytes>> {
        let mut request = Request::new(Empty::new());
        request.headers_mut().extend(headers.iter().cloned());
        // The path and the authority were accepted at the start or give a 400: both are visible in the counts.
        if let Ok(uri) = self.args.path.parse() {
            *request.uri_mut() = uri;
        }
        if let Ok(host) = self.authority.parse() {
            request.headers_mut().insert(hyper::header::HOST, host);
        }
        if kind == Kind::New {
            request.headers_mut().insert(hyper::header::CONNECTION, HeaderValue::from_static("close"));
        }
        request
    }
}

/// The place of a connection in the pool, given up at the end unless the connection is put back.
struct Place<'a> {
    connections: &'a Connections,
    held: bool,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if self.held {
            self.connections.lock().open -= 1;
        }
    }
}

enum Exchange {
    Answered { answer: Answer, reusable: bool },
    NotWritten(String),
}

async fn exchange(sender: &mut Sender, request: Request<Empty<Bytes>>) -> Exchange {
    if let Err(error) = sender.ready().await {
        return Exchange::NotWritten(error.to_string());
    }
    let response = match sender.try_send_request(request).await {
        Ok(response) => response,
        Err(error) if error.message().is_some() => return Exchange::NotWritten(error.error().to_string()),
        Err(error) => {
            let answer = Answer::failed(failure_of(error.error()), false);
            return Exchange::Answered { answer, reusable: false };
        }
    };
    let (parts, body) = response.into_parts();
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let pool = match header("x-pool") {
        Some("standard") => Pool::Standard,
        Some("free-threaded") => Pool::FreeThreaded,
        _ => Pool::None,
    };
    let pod = header("x-pod").map(str::to_owned);
    let cookies = parts.headers.get_all("set-cookie").iter().filter_map(|value| value.to_str().ok());
    let cookies = cookies.map(str::to_owned).collect();
    let reusable = header("connection").is_none_or(|value| !value.eq_ignore_ascii_case("close"));
    let (outcome, detail, reusable) = match body.collect().await {
        Ok(_) => (outcome_of_status(parts.status), None, reusable),
        Err(error) => {
            let (outcome, detail) = failure_of(&error);
            (outcome, Some(detail), false)
        }
    };
    let answer = Answer { pool, outcome, pod, detail, reconnected: false, cookies, moved: None };
    Exchange::Answered { answer, reusable }
}

fn outcome_of_status(status: StatusCode) -> Outcome {
    match status.as_u16() {
        ..400 => Outcome::Ok,
        400..500 => Outcome::Other,
        500.. => Outcome::HttpError,
    }
}

fn failure_of(error: &hyper::Error) -> Failure {
    let outcome = if error.is_parse() {
        Outcome::Other
    } else if error.is_timeout() {
        Outcome::Timeout
    } else {
        Outcome::Reset
    };
    (outcome, error.to_string())
}
