//! What a decision writes into the small world, in the order of `act`.

use freethread_rollout::{
    decide::{Decision, JobWanted, Movement, PoolWanted, StandardWanted, Target},
    observe::LiveJob,
};
use jiff::SignedDuration;

use super::{
    by_route::Route,
    world::{Live, World},
};

impl World {
    /// The writes in their order, as many as the crash allows. Returns whether all were made.
    #[allow(clippy::too_many_lines, reason = "one order, read from top to bottom")]
    pub(crate) fn act(&mut self, decision: &Decision, mut writes: usize) -> bool {
        let mut write = || {
            let alive = writes > 0;
            writes = writes.saturating_sub(1);
            alive
        };
        let target = &decision.target;
        let falls = target.movement == Movement::Fall && (self.live.is_some() || self.route.is_some());
        if falls {
            if !write() {
                return false;
            }
            self.weigh(target);
        }
        let grows = matches!(decision.standard, StandardWanted::Grow { .. });
        if grows {
            if !write() {
                return false;
            }
            self.scale_standard(decision.standard);
        }
        match decision.job {
            JobWanted::Create(check) if self.job.is_none() => {
                if !write() {
                    return false;
                }
                self.names += 1;
                let ends = self.now + SignedDuration::from_secs(5);
                let (uid, of) = (format!("job-{}", self.names), self.checks()[&check].clone());
                let started = Some(self.now);
                let job = LiveJob { uid, of, check: Some(check), started, ..LiveJob::default() };
                self.job = Some((job, ends));
            }
            JobWanted::Remove => {
                if !write() {
                    return false;
                }
                self.job = None;
            }
            JobWanted::Create(_) | JobWanted::Leave => {}
        }
        match decision.pool {
            PoolWanted::Leave => {}
            // Never in the pass in which the weight falls.
            PoolWanted::Apply if falls => {}
            PoolWanted::Apply if self.refuse_pool.is_some() => {}
            PoolWanted::Apply => {
                if !write() {
                    return false;
                }
                let hash = self.wanted_hash();
                let fresh = Live {
                    hash: String::new(),
                    replicas: 0,
                    rollback: None,
                    deleting: false,
                    edited_by: None,
                    edited_at: None,
                    scaled_by: None,
                };
                let live = self.live.get_or_insert(fresh);
                if !live.deleting {
                    live.hash = hash;
                    live.edited_by = None;
                }
            }
            PoolWanted::Remove => {
                let ready = self.pods.iter().any(|(pod, _)| pod.ready_since.is_some());
                let held = self.route.is_some() && ready;
                if self.written() == 0 && self.live.is_some() && !held {
                    if !write() {
                        return false;
                    }
                    self.live = None;
                }
            }
        }
        if let Some(pods) =
            decision.replicas.filter(|_| !falls && decision.pool != PoolWanted::Apply && self.live.is_some())
        {
            if !write() {
                return false;
            }
            self.scale(pods);
        }
        if matches!(target.movement, Movement::GiveBack | Movement::Renew) {
            if !write() {
                return false;
            }
            self.rewrite(target.movement);
        }
        let refused = std::mem::take(&mut self.refuse_rise);
        if target.movement == Movement::Rise && self.live.is_some() && !refused {
            if !write() {
                return false;
            }
            self.weigh(target);
        }
        if !grows && decision.standard != StandardWanted::Leave {
            if !write() {
                return false;
            }
            self.scale_standard(decision.standard);
        }
        if self.status != decision.status {
            if !write() {
                return false;
            }
            self.status = decision.status.clone();
        }
        true
    }

    /// The route without anything of ours, or a route of ours as it should be.
    fn rewrite(&mut self, movement: Movement) {
        let Some(route) = self.route.as_mut() else { return };
        *route = if movement == Movement::GiveBack {
            Route { managed: route.managed, sticky: route.sticky, ..Route::default() }
        } else {
            Route { stale: false, edited_by: None, edited_at: None, taken: self.now, ..route.clone() }
        };
    }

    /// The weight, wherever it is written.
    fn weigh(&mut self, target: &Target) {
        let delay =
            if self.ready_after.is_some() { 0 } else { i64::try_from(self.random.below(3000)).unwrap() };
        let soon = self.now + SignedDuration::from_millis(delay);
        if let Some(route) = self.route.as_mut() {
            if target.weight > 0 || route.written.is_some() {
                *route = Route {
                    written: Some(target.weight),
                    note: target.note.clone(),
                    taken: soon,
                    unusable: route.unusable.take(),
                    unseen: route.unseen,
                    managed: route.managed,
                    sticky: route.sticky,
                    ..Route::default()
                };
            }
            return;
        }
        self.scale(target.weight);
        if let (Some(live), Some(note)) = (self.live.as_mut(), &target.note) {
            live.rollback = Some(note.clone());
        }
    }
}
