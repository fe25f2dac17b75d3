//! The open loop: when each request leaves, over which kind of connection.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Semaphore, time::Instant};

use crate::{
    Args,
    connection::{Connections, Headers, Kind},
    counts::Counts,
    users::Users,
};

/// Requests per second, changeable while it runs.
pub(crate) struct Rate(AtomicU64);

impl Rate {
    /// A rate from 0 (pause) to 5000.
    pub(crate) fn new(rps: f64) -> Result<Self, String> {
        let rate = Self(AtomicU64::new(0));
        rate.set(rps)?;
        Ok(rate)
    }
    pub(crate) fn set(&self, rps: f64) -> Result<(), String> {
        if !(0.0..=5000.0).contains(&rps) {
            return Err(format!("{rps} requests a second are out of bounds: write a number from 0 to 5000"));
        }
        self.0.store(rps.to_bits(), Ordering::Relaxed);
        Ok(())
    }
    pub(crate) fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }
}

/// Headers that every request has from now on, changeable while it runs.
#[derive(Default)]
pub(crate) struct Always(Mutex<Headers>);

impl Always {
    pub(crate) fn set(&self, headers: Headers) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = headers;
    }
    fn get(&self) -> Headers {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Sends for ever; the caller bounds it.
pub(crate) async fn send(args: &Args, rate: &Rate, always: &Always, counts: &Arc<Counts>) {
    let users = (args.users > 0).then(|| Arc::new(Users::new(args.users)));
    let connections = Arc::new(Connections::new(args));
    let in_flight = Arc::new(Semaphore::new(args.max_in_flight));
    let mut kinds = Kinds { kept_share: args.kept_share, owed: 0.0 };
    let mut due = Instant::now();
    loop {
        let rps = rate.get();
        if rps <= 0.0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            due = Instant::now();
            continue;
        }
        // A low rate must not sleep through a change of it.
        let next = due + Duration::from_secs_f64(1.0 / rps);
        if next > Instant::now() + Duration::from_secs(1) {
            tokio::time::sleep(Duration::from_millis(200)).await;
            continue;
        }
        tokio::time::sleep_until(next).await;
        due = next;

        let kind = kinds.next();
        let Ok(permit) = in_flight.clone().try_acquire_owned() else {
            counts.unsent();
            continue;
        };
        let turn = users.as_ref().map(|users| users.next());
        if turn.as_ref().is_some_and(Option::is_none) {
            counts.unsent();
            continue;
        }
        let user = turn.flatten();
        let mut headers = always.get();
        headers.extend(user.iter().filter_map(|user| Some((hyper::header::COOKIE, user.header()?))));
        let (connections, counts, users) = (connections.clone(), counts.clone(), users.clone());
        tokio::spawn(async move {
            let window = counts.sent();
            let mut answer = connections.request(kind, &headers).await;
            answer.moved = users.zip(user).and_then(|(users, user)| users.back(user, &answer));
            // From the time when it was due: a late start is the client's waiting time as well.
            counts.answered(window, kind, &answer, due.elapsed());
            drop(permit);
        });
    }
}

/// Deals out kinds of connection so that the share holds over any stretch.
struct Kinds {
    kept_share: f64,
    owed: f64,
}

impl Kinds {
    fn next(&mut self) -> Kind {
        self.owed += self.kept_share;
        if self.owed >= 1.0 - 1e-9 {
            self.owed -= 1.0;
            Kind::Kept
        } else {
            Kind::New
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_requests_are_kept_over_any_stretch() {
        let mut kinds = Kinds { kept_share: 0.5, owed: 0.0 };
        let kept = (0..1001).filter(|_| kinds.next() == Kind::Kept).count();
        assert_eq!(kept, 500);
    }

    #[test]
    fn a_rate_out_of_bounds_is_refused_and_changes_nothing() {
        let rate = Rate::new(100.0).unwrap();
        assert!(rate.set(-1.0).is_err());
        assert!(rate.set(f64::NAN).is_err());
        assert!((rate.get() - 100.0).abs() < 1e-9);
    }
}
