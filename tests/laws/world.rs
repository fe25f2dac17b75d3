//! A small world: what a decision does to a cluster, without one. Only the persisted status and the cluster survive a crash.

use std::collections::BTreeMap;

use freethread_rollout::{
    api::{
        BenchmarkRound, Check, FreeThreadRolloutSpec, FreeThreadRolloutStatus, PreflightPolicy,
        PreflightVerdict, hash,
    },
    decide::{Decision, Guards, Input, JobWanted, Movement, PoolWanted, Target, decide_with},
    judge::Finding,
    observe::{
        FreeThreadedPool, LiveJob, LivePool, LogTail, Observation, Obstacle, Pod, Precision, PreflightSeen,
        RollbackNote, RouteState, StandardPool,
    },
    preflight::image::{CheckFinding, asked},
};
use jiff::{SignedDuration, Timestamp};

use super::findings::clear;

/// `SplitMix64`: the same histories on every machine.
pub(crate) struct Random(pub u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
    pub(crate) fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }
    pub(crate) fn pick<T: Clone>(&mut self, all: &[T]) -> T {
        all[usize::try_from(self.below(all.len() as u64)).unwrap()].clone()
    }
}

pub(crate) struct Standard {
    pub(crate) replicas: i32,
    pub(crate) unready: i32,
    pub(crate) hash: String,
}

#[derive(Clone)]
pub(crate) struct Live {
    pub(crate) hash: String,
    pub(crate) replicas: i32,
    pub(crate) rollback: Option<RollbackNote>,
    pub(crate) deleting: bool,
    pub(crate) edited_by: Option<String>,
    pub(crate) edited_at: Option<Timestamp>,
    pub(crate) scaled_by: Option<String>,
}

/// The team's route, where traffic goes by weights.
#[derive(Clone, Default)]
pub(crate) struct Route {
    /// What is written; `None` where nothing is ours.
    pub(crate) written: Option<i32>,
    pub(crate) note: Option<RollbackNote>,
    pub(crate) edited_by: Option<String>,
    /// When the gateway takes it.
    pub(crate) taken: Timestamp,
    pub(crate) unusable: Option<String>,
}

pub(crate) struct World {
    pub(crate) now: Timestamp,
    pub(crate) spec: FreeThreadRolloutSpec,
    pub(crate) generation: i64,
    pub(crate) status: FreeThreadRolloutStatus,
    pub(crate) command: Option<String>,
    pub(crate) deleting: bool,
    pub(crate) giving_back: bool,
    pub(crate) standard: Option<Standard>,
    pub(crate) live: Option<Live>,
    /// `None`: by pod counts.
    pub(crate) route: Option<Route>,
    /// Our pods, with the time when each becomes ready.
    pub(crate) pods: Vec<(Pod, Option<Timestamp>)>,
    pub(crate) finding: Finding,
    pub(crate) obstacles: Vec<Obstacle>,
    /// What our pods said last.
    pub(crate) tails: Vec<LogTail>,
    pub(crate) random: Random,
    /// Time that a pod takes to become ready, in milliseconds; `None`: chance.
    pub(crate) ready_after: Option<i64>,
    /// The API server refuses the next rise; everything else of that pass happens.
    pub(crate) refuse_rise: bool,
    /// The API server refuses our Deployment, in these words.
    pub(crate) refuse_pool: Option<String>,
    /// The Job that checks the image, and when it ends.
    pub(crate) job: Option<(LiveJob, Timestamp)>,
    /// What the inspections will say.
    pub(crate) image: PreflightVerdict,
    /// How much faster the next round of a benchmark is, in millionths of a logarithm.
    pub(crate) speed: i64,
    /// What our pods run, as the node names it.
    pub(crate) image_id: String,
    names: u64,
}

pub(crate) fn spec(json: serde_json::Value) -> FreeThreadRolloutSpec {
    serde_json::from_value(json).unwrap()
}

/// Three steps, the second with a pause.
pub(crate) fn plain_spec() -> FreeThreadRolloutSpec {
    spec(serde_json::json!({
        "workloadRef": {"name": "orders"},
        "freeThreaded": {"image": "orders:{tag}-ft", "warmUp": "5s"},
        "traffic": {"podCount": {}},
        "steps": [{"weight": 10, "hold": "10s"}, {"weight": 25, "hold": "10s", "pause": true}, {"weight": 50, "hold": "20s"}],
        "analysis": {"preset": "fastapi-instrumentator", "errorRate": {"max": "1%"}, "blindFor": "30s"},
        "progressDeadline": "1m",
    }))
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            now: Timestamp::from_second(1_800_000_000).unwrap(),
            spec: plain_spec(),
            generation: 1,
            status: FreeThreadRolloutStatus::default(),
            command: None,
            deleting: false,
            giving_back: false,
            standard: Some(Standard { replicas: 9, unready: 0, hash: "t1".into() }),
            live: None,
            route: None,
            pods: vec![],
            finding: clear(),
            obstacles: vec![],
            tails: vec![],
            random: Random(seed),
            ready_after: None,
            refuse_rise: false,
            refuse_pool: None,
            job: None,
            image: PreflightVerdict::Passed,
            speed: 300_000,
            image_id: "orders@sha256:a".into(),
            names: 0,
        }
    }

    /// Traffic by a route's weights, of which any percent can be had.
    pub(crate) fn by_route(seed: u64) -> Self {
        let mut world = Self::new(seed);
        world.spec.traffic =
            serde_json::from_value(serde_json::json!({"httpRoute": {"name": "orders"}})).unwrap();
        world.route = Some(Route::default());
        world
    }

    pub(crate) fn written(&self) -> i32 {
        if let Some(route) = &self.route {
            return route.written.unwrap_or(0);
        }
        self.live.as_ref().map_or(0, |live| live.replicas)
    }

    pub(crate) fn wanted_hash(&self) -> String {
        let standard = self.standard.as_ref().map_or("-", |standard| &standard.hash);
        format!("{standard}/{}", freethread_rollout::api::hash(&self.spec.free_threaded))
    }

    /// Fingerprint of each check that is asked for.
    pub(crate) fn checks(&self) -> BTreeMap<Check, String> {
        let Some(wanted) = self.spec.preflight.as_ref().filter(|_| self.standard.is_some()) else {
            return BTreeMap::new();
        };
        let checks = Check::ALL.into_iter().filter(|check| asked(wanted, *check) != PreflightPolicy::Skip);
        checks.map(|check| (check, hash(&(check, self.wanted_hash(), &wanted.import)))).collect()
    }

    pub(crate) fn observe(&self) -> Observation {
        let standard = self.standard.as_ref().map(|standard| StandardPool {
            name: "orders".into(),
            image: "orders:1".into(),
            replicas: standard.replicas,
            pods: (0..standard.replicas)
                .map(|index| {
                    let created = Timestamp::from_second(1_700_000_000).unwrap();
                    let ready = (index >= standard.unready).then_some(created);
                    pod(format!("orders-{index}"), created, ready)
                })
                .collect(),
            template_hash: standard.hash.clone(),
            autoscaler_counts_ours: None,
        });
        let replicas = self.standard.as_ref().map_or(0, |standard| standard.replicas);
        let pods: Vec<Pod> = self.pods.iter().map(|(pod, _)| pod.clone()).collect();
        let serving = i32::try_from(pods.iter().filter(|pod| pod.ready_since.is_some()).count()).unwrap();
        let standard_serving = replicas - self.standard.as_ref().map_or(0, |standard| standard.unready);
        let max = self.spec.free_threaded.max_replicas;
        let route = match &self.route {
            None => RouteState {
                what: "Deployment orders-ft".into(),
                written: self.live.as_ref().map(|live| live.replicas),
                least: self.written(),
                serving: Some(serving),
                standard_serving,
                precision: Precision::Pods { standard: replicas, max },
                edited_by: self.live.as_ref().and_then(|live| live.scaled_by.clone()),
                note: self.live.as_ref().and_then(|live| live.rollback.clone()),
                ..RouteState::default()
            },
            Some(route) => RouteState {
                what: "HTTPRoute orders".into(),
                group: "gateway.networking.k8s.io".into(),
                jq: ".spec.rules[].backendRefs".into(),
                written: route.written,
                least: route.written.unwrap_or(0),
                serving: match route.written {
                    Some(_) if self.now < route.taken => None,
                    Some(written) if serving > 0 => Some(written),
                    _ => Some(0),
                },
                standard_serving,
                precision: Precision::Percent { standard: replicas, fixed: None, max },
                edited_by: route.edited_by.clone(),
                note: route.note.clone(),
                unusable: route.unusable.clone(),
                ..RouteState::default()
            },
        };
        Observation {
            route,
            standard,
            free_threaded: FreeThreadedPool {
                name: "orders-ft".into(),
                image: "orders:1-ft".into(),
                live: self.live.as_ref().map(|live| LivePool {
                    uid: "u".into(),
                    resource_version: "1".into(),
                    template_hash: live.hash.clone(),
                    deleting: live.deleting,
                    edited_by: live.edited_by.clone(),
                    edited_at: live.edited_at,
                    replicas: live.replicas,
                }),
                wanted_hash: self.wanted_hash(),
                pods,
                trouble: self.refuse_pool.clone(),
                ..FreeThreadedPool::default()
            },
            preflight: Some(PreflightSeen {
                wanted: self.checks(),
                name: "orders-preflight".into(),
                job: self.job.as_ref().map(|(job, _)| job.clone()),
            }),
            log_signals: vec![],
            log_tails: self.tails.clone(),
            obstacles: self.obstacles.clone(),
            scrape_interval_ms: 1000,
        }
    }

    pub(crate) fn input<'a>(&'a self, observation: &'a Observation) -> Input<'a> {
        Input {
            name: "orders",
            spec: &self.spec,
            generation: self.generation,
            deleting: self.deleting,
            giving_back: self.giving_back,
            command: self.command.as_deref(),
            status: &self.status,
            observation,
            finding: &self.finding,
            now: self.now,
        }
    }

    pub(crate) fn decide(&self, guards: Guards) -> (Observation, Decision) {
        let observation = self.observe();
        let decision = decide_with(guards, &self.input(&observation));
        (observation, decision)
    }

    /// The writes in their order, as many as the crash allows. Returns whether all were made.
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
        if target.movement == Movement::GiveBack {
            if !write() {
                return false;
            }
            self.route = Some(Route::default());
        }
        let refused = std::mem::take(&mut self.refuse_rise);
        if target.movement == Movement::Rise && self.live.is_some() && !refused {
            if !write() {
                return false;
            }
            self.weigh(target);
        }
        if self.status != decision.status {
            if !write() {
                return false;
            }
            self.status = decision.status.clone();
        }
        true
    }

    /// The weight, wherever it is written.
    fn weigh(&mut self, target: &Target) {
        let delay =
            if self.ready_after.is_some() { 0 } else { i64::try_from(self.random.below(3000)).unwrap() };
        let soon = self.now + SignedDuration::from_millis(delay);
        if let Some(route) = self.route.as_mut() {
            if target.weight > 0 || route.written.is_some() {
                let unusable = route.unusable.take();
                *route = Route {
                    written: Some(target.weight),
                    note: target.note.clone(),
                    taken: soon,
                    unusable,
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

    /// Our Deployment's replicas, and its pods with them.
    pub(crate) fn scale(&mut self, replicas: i32) {
        let Some(live) = self.live.as_mut() else { return };
        live.replicas = replicas;
        live.scaled_by = None;
        let wanted = usize::try_from(replicas).unwrap();
        self.pods.truncate(wanted);
        while self.pods.len() < wanted {
            self.names += 1;
            let created = self.now;
            let delay = match self.ready_after {
                Some(delay) => Some(delay),
                None if self.random.percent(4) => None,
                None => Some(i64::try_from(self.random.below(6000)).unwrap()),
            };
            let ready = delay.map(|delay| created + SignedDuration::from_millis(delay));
            let mut pod = pod(format!("orders-ft-{}", self.names), created, None);
            pod.image_id = Some(self.image_id.clone());
            pod.trouble = ready.is_none().then(|| "ImagePullBackOff: not found".into());
            self.pods.push((pod, ready));
        }
    }

    /// Somebody else changes the weight, under their own name.
    pub(crate) fn scaled_by(&mut self, manager: &str, replicas: i32) {
        let taken = self.now;
        if let Some(route) = self.route.as_mut() {
            let written = (replicas > 0).then_some(replicas * 10);
            *route = Route { written, edited_by: Some(manager.into()), taken, ..route.clone() };
            return;
        }
        self.scale(replicas);
        if let Some(live) = self.live.as_mut() {
            live.scaled_by = Some(manager.into());
        }
    }

    pub(crate) fn tick(&mut self, millis: i64) {
        self.now += SignedDuration::from_millis(millis.max(0));
        // The reader learns of a new step some time after it began.
        if self.finding.counts_from.is_some() && self.random.percent(70) {
            self.hear_of_the_step();
        }
        for (pod, ready) in &mut self.pods {
            if pod.ready_since.is_none() && ready.is_some_and(|ready| ready <= self.now) {
                pod.ready_since = *ready;
            }
        }
        if let Some((job, _)) = self.job.as_mut().filter(|(_, ends)| *ends <= self.now) {
            job.ended = Some("Complete".into());
            job.image_id = Some(self.image_id.clone());
            let round = BenchmarkRound { speed: self.speed, ..BenchmarkRound::default() };
            let measured = job.check == Some(Check::Benchmark) && self.image == PreflightVerdict::Passed;
            job.finding.get_or_insert(CheckFinding {
                verdict: if measured { PreflightVerdict::Measuring } else { self.image },
                sentence: format!("the image: {:?}", self.image),
                blockers: vec![],
                hints: vec![],
                round: measured.then_some(round),
            });
            // No two rounds are the same.
            self.speed += if job.uid.ends_with(['1', '3', '5', '7', '9']) { 10_000 } else { -10_000 };
        }
        // A Deployment that is being deleted and has no pods is gone.
        // By a route nobody scales it for that: Kubernetes ends its pods.
        let by_route = self.route.is_some();
        if self.live.as_ref().is_some_and(|live| live.deleting && (live.replicas == 0 || by_route)) {
            self.live = None;
            self.pods.clear();
        }
    }

    pub(crate) fn hear_of_the_step(&mut self) {
        let from = self.status.attempt.as_ref().and_then(|attempt| attempt.step_counts_from.as_ref());
        self.finding.counts_from = Some(from.map_or(Timestamp::UNIX_EPOCH, |from| from.0));
    }

    pub(crate) fn say(&mut self, verb: &str) {
        self.command = Some(format!("{verb}@{}", self.now));
    }
}

fn pod(name: String, created: Timestamp, ready_since: Option<Timestamp>) -> Pod {
    Pod {
        name,
        created,
        started: Some(created),
        ready_since,
        going: false,
        restarts: 0,
        exits: vec![],
        trouble: None,
        crash_loop: false,
        image_id: None,
    }
}
