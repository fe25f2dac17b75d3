//! Reads lines within bounds: of a line only its beginning, and never more than so many bytes in a second.

use std::{io, time::Duration};

use futures::AsyncBufReadExt as _;
use tokio::time::{Instant, sleep_until};

use super::source::LogStream;

/// Of a longer line only the beginning is looked at, the time in front of it included.
pub(super) const MAX_LINE: usize = 8 << 10;
/// Most bytes of one log in one second. A pod that writes more is read later, not more.
pub(super) const BYTES_PER_SECOND: usize = 2 << 20;

/// Counts bytes by the second.
pub(super) struct Throttle {
    since: Instant,
    taken: usize,
}

impl Throttle {
    pub(super) fn new() -> Self {
        Self { since: Instant::now(), taken: 0 }
    }

    /// Counts bytes, and waits for the next second when they are too many.
    async fn take(&mut self, bytes: usize) {
        let second = Duration::from_secs(1);
        if self.since.elapsed() >= second {
            *self = Self::new();
        }
        self.taken += bytes;
        if self.taken > BYTES_PER_SECOND {
            sleep_until(self.since + second).await;
            *self = Self::new();
        }
    }
}

/// The next line without its end; `None` at the end of the log. A last line without an end counts as one.
pub(super) async fn next_line(
    stream: &mut LogStream,
    line: &mut Vec<u8>,
    throttle: &mut Throttle,
) -> io::Result<Option<()>> {
    line.clear();
    let mut any = false;
    loop {
        let buffer = stream.fill_buf().await?;
        if buffer.is_empty() {
            return Ok(any.then_some(()));
        }
        any = true;
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let piece = &buffer[..end.unwrap_or(buffer.len())];
        let room = MAX_LINE.saturating_sub(line.len()).min(piece.len());
        line.extend_from_slice(&piece[..room]);
        let used = end.map_or(buffer.len(), |end| end + 1);
        stream.as_mut().consume_unpin(used);
        throttle.take(used).await;
        if end.is_some() {
            return Ok(Some(()));
        }
    }
}
