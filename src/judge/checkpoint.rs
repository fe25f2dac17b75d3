//! What a restart must not lose, in few bytes: the judge's state over an attempt, with how far each series was read.
//!
//! Without it a restart reads the attempt from its start, for as long as Prometheus keeps that. With it the reading goes on where it
//! was, and what is said is the same, bit for bit.

use serde::{Deserialize, Serialize};

use super::{attempt::Attempt, spec::AttemptSpec};

/// Of the bytes. Another layout of any of the judge's types is another number: a test knows the bytes.
const FORMAT: u8 = 2;

/// Most bytes of a checkpoint: it is kept in the status, which everybody who watches the rollout is sent.
const MOST: usize = 48 * 1024;

/// An attempt as bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Checkpoint {
    /// Everything up to here was read, ms since the epoch.
    pub until: i64,
    /// The bytes.
    pub data: Vec<u8>,
}

/// Why a checkpoint is not gone on from: the attempt is read from its start instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// Another version of the operator wrote it.
    #[error("it was written by another version of the operator")]
    Format,
    /// Its bytes are not those that were written.
    #[error("it is damaged")]
    Damaged,
    /// The attempt is judged by other rules than it was.
    #[error("it was judged by other rules")]
    OtherRules,
}

#[derive(Serialize, Deserialize)]
struct Kept<A> {
    until: i64,
    attempt: A,
}

impl Attempt {
    /// Its state after everything up to `until` (ms since the epoch) was fed. `None` where there is nothing to go on with: it is over, or
    /// too much for a status.
    pub fn checkpoint(&self, until: i64) -> Option<Checkpoint> {
        if self.is_over() {
            return None;
        }
        let mut data = postcard::to_allocvec(&Kept { until, attempt: self }).ok()?;
        let sum = checksum(&data).to_le_bytes();
        data.extend(sum);
        data.push(FORMAT);
        (data.len() <= MOST).then_some(Checkpoint { until, data })
    }

    /// The attempt that was kept, and until when (ms since the epoch) it had been fed.
    ///
    /// # Errors
    /// If it cannot be gone on with under `spec`.
    pub fn restore(data: &[u8], spec: &AttemptSpec) -> Result<(Self, i64), RestoreError> {
        let (format, rest) = data.split_last().ok_or(RestoreError::Damaged)?;
        if *format != FORMAT {
            return Err(RestoreError::Format);
        }
        let (kept, sum) = rest.split_last_chunk::<8>().ok_or(RestoreError::Damaged)?;
        if checksum(kept) != u64::from_le_bytes(*sum) {
            return Err(RestoreError::Damaged);
        }
        let Kept { until, attempt } =
            postcard::from_bytes::<Kept<Self>>(kept).map_err(|_| RestoreError::Damaged)?;
        if attempt.spec() == spec { Ok((attempt, until)) } else { Err(RestoreError::OtherRules) }
    }
}

/// FNV-1a: against accidents, not against whoever may write the status.
fn checksum(data: &[u8]) -> u64 {
    data.iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::{
        At, MetricSamples, MetricSpec, Observed, PodSamples, Point, Pool, Series, WeightChange,
    };

    fn spec() -> AttemptSpec {
        let metrics = vec![MetricSpec::errors(0.001, Some(0.01)), MetricSpec::latency(0.0, Some(0.05))];
        AttemptSpec::new(0.01, 15_000, 0, metrics)
    }

    /// Twenty pods, ten minutes.
    fn attempt() -> Attempt {
        let mut attempt = Attempt::new(spec()).unwrap();
        let pod = |i: i64| {
            let pool = if i < 4 { Pool::FreeThreaded } else { Pool::Standard };
            let series = |id: &str, k: f64, step: f64| Series {
                id: id.to_owned(),
                n: 1.0,
                k,
                at: At::Everywhere,
                points: (0..40).map(|s| Point { at: s * 15_000 + i * 100, value: s as f64 * step }).collect(),
            };
            PodSamples {
                pod: format!("orders-69fff7f8cf-{i:05}"),
                pool,
                started: -1,
                counted_from: 0,
                series: vec![series("ok", 0.0, 100.0), series("bad", 1.0, 0.25)],
                process_start: vec![],
            }
        };
        let pods: Vec<_> = (0..20).map(pod).collect();
        let metric = |name: &str| MetricSamples { name: name.to_owned(), pods: pods.clone(), problem: None };
        attempt.feed(&Observed {
            now: 600_000,
            metrics: &[metric("errors"), metric("latency")],
            weight_changes: &[WeightChange { at: 0, share: 0.2 }],
            step_started: 0,
        });
        attempt
    }

    #[test]
    fn comes_back_as_it_was() {
        let attempt = attempt();
        let kept = attempt.checkpoint(600_000).unwrap();
        let (back, until) = Attempt::restore(&kept.data, &spec()).unwrap();
        assert_eq!(until, 600_000);
        assert_eq!(format!("{back:?}"), format!("{attempt:?}"));
        assert!(kept.data.len() < 16 * 1024, "{} bytes for 20 pods", kept.data.len());
    }

    /// Should this fail, the judge's types have other fields than when this number was noted: raise [`FORMAT`], so that an upgrade reads
    /// from the start instead of misreading, and note the new number.
    #[test]
    fn the_layout_has_not_changed_behind_the_formats_back() {
        let text = format!("{:#?}", attempt());
        let mut fields: Vec<&str> = Vec::new();
        for field in text.lines().filter_map(|line| Some(line.trim().split_once(": ")?.0)) {
            if !fields.contains(&field) {
                fields.push(field);
            }
        }
        assert_eq!(
            (FORMAT, checksum(fields.join(" ").as_bytes())),
            (2, 8_102_065_790_593_943_433),
            "{fields:?}"
        );
    }

    #[test]
    fn what_is_not_what_was_written_is_refused() {
        let kept = attempt().checkpoint(600_000).unwrap().data;
        assert_eq!(Attempt::restore(&[], &spec()).err(), Some(RestoreError::Damaged));
        assert_eq!(Attempt::restore(&kept[..40], &spec()).err(), Some(RestoreError::Format));
        let mut flipped = kept.clone();
        flipped[20] ^= 1;
        assert_eq!(Attempt::restore(&flipped, &spec()).err(), Some(RestoreError::Damaged));
        let other = AttemptSpec { alpha: 0.02, ..spec() };
        assert_eq!(Attempt::restore(&kept, &other).err(), Some(RestoreError::OtherRules));
    }
}
