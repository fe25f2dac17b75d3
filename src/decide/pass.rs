//! One pass: what came in, and what is being decided. Every rule reads the one and writes the other.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use super::{Guards, Input, JobWanted, Note, PoolWanted, Reach, SETTLE, hash::spec_hash, preflight, reach};
use crate::{
    api::{
        AttemptStatus, FreeThreadRolloutStatus, LAST_LOGS_LIMIT, LastLog, NextStatus, Phase, Reason, Span,
        Step,
    },
    observe::{LivePool, Pod, StandardPool},
};

/// How a sentence ends after which no traffic is ours.
pub(super) const BACK: &str = "; traffic is back on the standard pool";

/// How long the word of a gateway is waited for after a weight of 0.
const UNHEARD: Span = Span::from_secs(60);

/// What is being decided.
pub(super) struct Pass<'a> {
    pub(super) input: &'a Input<'a>,
    pub(super) guards: Guards,
    /// The status to persist; starts as the one persisted before.
    pub(super) next: FreeThreadRolloutStatus,
    /// Share that is wanted, in percent.
    pub(super) wanted: i32,
    /// Weight that the route is to have, in the router's unit.
    pub(super) target: i32,
    /// Pods of the pool that are made ready ahead of a weight; by pod counts the weight itself brings them.
    pub(super) ahead: i32,
    /// The weight stays, and is written once more: a place of the route has less of it.
    pub(super) level: bool,
    pub(super) job: JobWanted,
    pub(super) pool: PoolWanted,
    /// Events besides the one of a changed phase or weight.
    pub(super) notes: Vec<Note>,
    pub(super) wake_at: Option<Timestamp>,
    /// Somebody else raised our weight: what it should be.
    pub(super) cap: Option<i32>,
    /// Why the weight cannot fall as far as it should: the standard pool is not back yet.
    pub(super) held: Option<String>,
}

impl<'a> Pass<'a> {
    pub(super) fn new(guards: Guards, input: &'a Input<'a>) -> Self {
        let mut next = input.status.clone();
        next.next = None;
        let steps = input.spec.steps.len();
        // Steps may have become fewer: the position stays within them.
        next.step = next.step.clamp(0, i32::try_from(steps.saturating_sub(1)).unwrap_or(i32::MAX));
        let mut pass = Self {
            input,
            guards,
            next,
            wanted: 0,
            target: 0,
            ahead: 0,
            level: false,
            job: JobWanted::Leave,
            pool: PoolWanted::Leave,
            notes: Vec::new(),
            wake_at: None,
            cap: None,
            held: None,
        };
        pass.heal_clock();
        pass
    }

    /// A clock that stepped back must not stretch a hold by that much: what began later than now began now.
    fn heal_clock(&mut self) {
        let now = self.stamp();
        let Some(attempt) = self.next.attempt.as_mut() else { return };
        let heal = |at: &mut MicroTime| {
            if *at > now {
                *at = now.clone();
            }
        };
        heal(&mut attempt.step_started_at);
        [&mut attempt.converged_at, &mut attempt.waiting_since, &mut attempt.blind_since]
            .into_iter()
            .flatten()
            .for_each(heal);
        // This one is a moment ahead where all is well.
        let served = MicroTime(after(now.0, SETTLE));
        if let Some(from) = attempt.step_counts_from.as_mut().filter(|from| **from > served) {
            *from = served;
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.input.now
    }

    /// Now, as precise as the API keeps it.
    pub(super) fn stamp(&self) -> MicroTime {
        MicroTime(Timestamp::from_microsecond(self.input.now.as_microsecond()).unwrap_or(self.input.now))
    }

    /// The weight as it stands in the route; where several places differ, the highest.
    pub(super) fn written(&self) -> i32 {
        self.input.observation.route.written.unwrap_or(0).max(0)
    }

    /// Some place of the route has less than the others: a rule that the team added, say.
    pub(super) fn uneven(&self) -> bool {
        self.input.observation.route.least < self.written()
    }

    /// The weight that is known to be in effect, as far as it is known.
    pub(super) fn serving(&self) -> Option<i32> {
        self.input.observation.route.serving.map(|serving| serving.max(0))
    }

    /// What is written is in effect, no more and no less. A gateway that says nothing for long after a weight of 0 (it was taken down, say) holds up
    /// nothing.
    pub(super) fn applied(&self) -> bool {
        let route = &self.input.observation.route;
        let last = self.next.attempt.as_ref().and_then(|attempt| attempt.weight_changes.last());
        let unheard = !route.unseen && last.is_none_or(|change| after(change.at.0, UNHEARD) <= self.now());
        self.serving() == Some(self.written()) || (self.written() == 0 && self.serving().is_none() && unheard)
    }

    /// Weight 0, read back as applied.
    pub(super) fn empty(&self) -> bool {
        self.written() == 0 && self.applied()
    }

    /// The weight that we wrote last in this attempt.
    pub(super) fn last_written(&self) -> i32 {
        self.next
            .attempt
            .as_ref()
            .and_then(|attempt| attempt.weight_changes.last())
            .map_or(0, |change| change.written)
    }

    /// The weight is a number of percent, and pods follow it.
    pub(super) fn by_percent(&self) -> bool {
        self.input.observation.route.precision.is_percent()
    }

    /// `3 pods`, `25 %`: a weight in the router's unit.
    pub(super) fn amount(&self, weight: i32) -> String {
        if self.by_percent() { format!("{weight} %") } else { super::text::pods(weight) }
    }

    /// Pods of ours that are ready and stay.
    pub(super) fn ready(&self) -> i32 {
        i32::try_from(self.our_pods().filter(|pod| pod.ready_since.is_some()).count()).unwrap_or(i32::MAX)
    }

    /// Pods of ours that `weight` takes.
    pub(super) fn pods_for(&self, weight: i32) -> i32 {
        if self.by_percent() { reach(self.input.observation.route.precision, weight).pods } else { weight }
    }

    /// The attempt's pool had traffic at some time, or may have.
    pub(super) fn had_weight(&self) -> bool {
        let changes =
            self.next.attempt.as_ref().map(|attempt| attempt.weight_changes.as_slice()).unwrap_or_default();
        !self.empty() || changes.iter().any(|change| change.written > 0)
    }

    pub(super) fn standard(&self) -> Option<&'a StandardPool> {
        self.input.observation.standard.as_ref()
    }

    pub(super) fn live(&self) -> Option<&'a LivePool> {
        self.input.observation.free_threaded.live.as_ref()
    }

    pub(super) fn our_pods(&self) -> impl Iterator<Item = &'a Pod> + use<'a> {
        self.input.observation.free_threaded.pods.iter().filter(|pod| !pod.going)
    }

    /// The first word that Kubernetes has on why a pod of ours does not serve, or why there is none.
    pub(super) fn trouble(&self) -> Option<String> {
        let pod =
            self.our_pods().find_map(|pod| Some(format!("pod {}: {}", pod.name, pod.trouble.as_ref()?)));
        pod.or_else(|| self.input.observation.free_threaded.trouble.clone())
    }

    /// What the API server has against what we do with our pool, to be put after a sentence.
    pub(super) fn refused(&self) -> String {
        let trouble = self.input.observation.free_threaded.trouble.as_ref();
        trouble.map(|trouble| format!(" ({trouble})")).unwrap_or_default()
    }

    /// When the youngest of our ready pods stops being young, if that is still to come.
    pub(super) fn warm_at(&self) -> Option<Timestamp> {
        let warm_up = self.input.spec.free_threaded.warm_up;
        let warm = |pod: &Pod| pod.ready_since.map(|ready| after(ready, warm_up));
        self.our_pods().filter_map(warm).max().filter(|at| *at > self.now())
    }

    /// When the oldest of our ready pods stopped being young, or will.
    pub(super) fn first_warm_at(&self) -> Option<Timestamp> {
        let warm_up = self.input.spec.free_threaded.warm_up;
        self.our_pods().filter_map(|pod| Some(after(pod.ready_since?, warm_up))).min()
    }

    pub(super) fn steps(&self) -> usize {
        self.input.spec.steps.len()
    }

    pub(super) fn step_index(&self) -> usize {
        usize::try_from(self.next.step).unwrap_or(0)
    }

    pub(super) fn step(&self) -> Option<&'a Step> {
        self.input.spec.steps.get(self.step_index())
    }

    pub(super) fn on_last_step(&self) -> bool {
        self.step_index() + 1 >= self.steps()
    }

    /// `step 2/3`.
    pub(super) fn step_name(&self) -> String {
        format!("step {}/{}", self.next.step + 1, self.steps())
    }

    /// What the current step can have. A standard pool that is scaled to zero means zero for ours: it never serves alone.
    pub(super) fn reach(&self) -> Reach {
        let precision = self.input.observation.route.precision;
        let weight = self.step().map_or(0, |step| step.weight);
        let weight = match precision.standard() {
            1.. => weight,
            // Scaled to 0 by somebody while the traffic is here: what there is stays where it is served.
            _ if self.by_percent() => weight.min(self.written()),
            _ => 0,
        };
        reach(precision, weight)
    }

    /// The phase when nothing is in the way.
    pub(super) fn base_phase(&self) -> Phase {
        let settled =
            self.on_last_step() && self.next.attempt.as_ref().is_some_and(|a| a.guard_since.is_some());
        match self.step() {
            Some(step) if settled && step.weight >= 100 => Phase::Promoted,
            Some(_) if settled => Phase::Hybrid,
            _ => Phase::Progressing,
        }
    }

    pub(super) fn say(&mut self, phase: Phase, reason: Reason, message: impl Into<String>) {
        self.next.phase = phase;
        self.next.reason = reason;
        self.next.message = message.into();
    }

    pub(super) fn expect(&mut self, what: impl Into<String>, at: Option<Timestamp>) {
        self.next.next = Some(NextStatus { what: what.into(), at: at.map(MicroTime) });
        if let Some(at) = at {
            self.wake(at);
        }
    }

    /// Look again at `at` at the latest.
    pub(super) fn wake(&mut self, at: Timestamp) {
        if at < self.now() {
            return;
        }
        self.wake_at = Some(self.wake_at.map_or(at, |before| before.min(at)));
    }

    /// Weight 0 and the end of the attempt.
    pub(super) fn roll_back(&mut self, reason: Reason, sentence: &str) {
        let message = format!("{}{}", super::text::open(sentence), super::hand_over::back(self));
        super::commands::overtaken(self, &message);
        self.say(Phase::RolledBack, reason, message);
        self.rest();
        // What else came in with this pass is looked at next.
        self.wake(self.now());
    }

    /// Weight 0 until something new happens.
    pub(super) fn rest(&mut self) {
        self.target = 0;
        self.wanted = 0;
        if let Some(attempt) = self.next.attempt.as_mut() {
            attempt.waiting_since = None;
            attempt.blind_since = None;
            attempt.checkpoint = None;
        }
        self.expect("nothing, until a person retries, or the spec or the standard pool changes", None);
        if self.next.phase == Phase::RolledBack {
            self.keep_logs();
        }
    }

    /// What the pods said last: once when traffic is taken from them, and once when they are gone.
    fn keep_logs(&mut self) {
        let observation = self.input.observation;
        let (fresh, gone) =
            (self.input.status.phase != Phase::RolledBack, observation.free_threaded.pods.is_empty());
        if observation.log_tails.is_empty() || !(fresh || gone) {
            return;
        }
        // Not those of an earlier attempt's pods.
        let of_this_attempt = |pod: &str| {
            self.next.last_logs.iter().any(|log| log.pod == pod)
                || observation.free_threaded.pods.iter().any(|ours| ours.name == pod)
                || (fresh && observation.log_signals.iter().any(|signal| signal.pod == pod))
        };
        // The same ones both times: of those that are there now first who showed why, then who has trouble.
        let rank = |pod: &str| {
            let known = self.next.last_logs.iter().position(|log| log.pod == pod);
            let spoke = observation.log_signals.iter().any(|signal| signal.pod == pod);
            let ours = observation.free_threaded.pods.iter().find(|ours| ours.name == pod);
            let hurt = ours.is_some_and(|pod| !pod.exits.is_empty() || pod.trouble.is_some());
            (known.unwrap_or(LAST_LOGS_LIMIT), ours.is_none(), !spoke, !hurt)
        };
        let mut tails: Vec<_> =
            observation.log_tails.iter().filter(|tail| of_this_attempt(&tail.pod)).collect();
        tails.sort_by_key(|tail| rank(&tail.pod));
        let kept = tails.into_iter().take(LAST_LOGS_LIMIT);
        self.next.last_logs =
            kept.map(|tail| LastLog { pod: tail.pod.clone(), lines: tail.lines.clone() }).collect();
    }

    /// Steps from the first one, evidence kept.
    pub(super) fn reset_steps(&mut self) {
        self.next.step = 0;
        self.restart_dwell();
        if let Some(attempt) = self.next.attempt.as_mut() {
            attempt.blind_since = None;
        }
    }

    /// The current step begins anew.
    pub(super) fn restart_dwell(&mut self) {
        let now = self.stamp();
        if let Some(attempt) = self.next.attempt.as_mut() {
            if attempt.converged_at.is_some() || attempt.approved || attempt.guard_since.is_some() {
                attempt.step_started_at = now;
            }
            attempt.converged_at = None;
            attempt.waiting_since = None;
            attempt.approved = false;
            attempt.overshoot_approved = false;
            attempt.guard_since = None;
        }
    }

    /// A new attempt: fresh evidence, steps from the first one.
    pub(super) fn begin_attempt(&mut self, standard_hash: &str, why: &str) {
        let number = self.open_attempt(standard_hash);
        self.target = 0;
        self.wanted = 0;
        self.say(Phase::Pending, Reason::Stepping, format!("attempt {number} begins: {why}"));
        self.expect("the free-threaded pool is built", None);
        self.wake(self.now());
        self.want_pool();
    }

    /// Fresh evidence from now on, and its number.
    pub(super) fn open_attempt(&mut self, standard_hash: &str) -> i32 {
        let noted = self.input.observation.route.note.as_ref().map_or(0, |note| note.attempt);
        let number = self.next.attempt.as_ref().map_or(noted, |attempt| attempt.number).saturating_add(1);
        self.next.attempt = Some(self.new_attempt(number, standard_hash));
        self.next.step = 0;
        self.next.drift = None;
        self.next.benefit = None;
        self.next.last_logs = Vec::new();
        // What is known of the time before it may be known already.
        self.wake(self.now());
        number
    }

    /// An attempt of which nothing is known yet.
    pub(super) fn new_attempt(&self, number: i32, standard_hash: &str) -> AttemptStatus {
        let now = self.stamp();
        AttemptStatus {
            number,
            started_at: now.clone(),
            step_started_at: now,
            converged_at: None,
            step_counts_from: None,
            waiting_since: None,
            blind_since: None,
            approved: false,
            overshoot_approved: false,
            standard_hash: standard_hash.to_owned(),
            spec_hash: spec_hash(self.input.spec),
            cell: Span::from_millis(self.input.observation.scrape_interval_ms),
            baseline: Vec::new(),
            estimates: Vec::new(),
            checkpoint: None,
            weight_changes: Vec::new(),
            answered_before: None,
            sizing: None,
            guard_since: None,
        }
    }

    /// Apply our objects where they are missing or not as they should be. An existing pool with traffic is left as it is:
    /// an upgrade of the operator alone redeploys nothing. One without traffic is built once its image is known.
    pub(super) fn want_pool(&mut self) {
        let wanted = &self.input.observation.free_threaded.wanted_hash;
        let open = self.written() > 0 || preflight::open(self);
        let needed = match self.live() {
            None => open,
            Some(live) if live.deleting => false,
            Some(live) => {
                live.edited_by.is_some() || (self.written() == 0 && live.template_hash != *wanted && open)
            }
        };
        if !open {
            preflight::arrange(self);
        }
        // Without its Service a route has nothing to send to.
        let there = self.live().is_some_and(|live| !live.deleting);
        if needed || (there && self.input.observation.free_threaded.service_missing) {
            self.pool = PoolWanted::Apply;
        }
    }
}

/// `at` plus `span`.
pub(super) fn after(at: Timestamp, span: Span) -> Timestamp {
    at.checked_add(SignedDuration::from_millis(span.millis())).unwrap_or(Timestamp::MAX)
}
