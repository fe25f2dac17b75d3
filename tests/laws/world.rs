//! A small world: what a decision does to a cluster, without one. Only the persisted status and the cluster survive a crash.

use std::collections::BTreeMap;

use freethread_rollout::{
    api::{
        BenchmarkRound, Check, FreeThreadRolloutSpec, FreeThreadRolloutStatus, PreflightPolicy,
        PreflightVerdict, hash,
    },
    decide::{Decision, Guards, Input, decide_with},
    judge::Finding,
    observe::{
        Autoscaler, FreeThreadedPool, LiveJob, LivePool, LogTail, Observation, Obstacle, Pod, Precision,
        PreflightSeen, RollbackNote, RouteState, StandardPool,
    },
    preflight::image::{CheckFinding, asked},
};
use jiff::{SignedDuration, Timestamp};

use super::{by_route::Route, findings::clear};

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
    /// Of those that are not ready: on their way.
    pub(crate) starting: i32,
    pub(crate) hash: String,
    /// What it had before it was handed over.
    pub(crate) before: Option<i32>,
    /// Who decides about its replicas.
    pub(crate) scaled_by: Option<String>,
}

impl Standard {
    pub(crate) fn new() -> Self {
        Self { replicas: 9, unready: 0, starting: 0, hash: "t1".into(), before: None, scaled_by: None }
    }
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
    /// An autoscaler of our pool's own.
    pub(crate) autoscaler: Option<Autoscaler>,
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
    pub(crate) names: u64,
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
            standard: Some(Standard::new()),
            live: None,
            route: None,
            pods: vec![],
            finding: clear(),
            obstacles: vec![],
            tails: vec![],
            random: Random(seed),
            ready_after: None,
            refuse_rise: false,
            autoscaler: None,
            refuse_pool: None,
            job: None,
            image: PreflightVerdict::Passed,
            speed: 300_000,
            image_id: "orders@sha256:a".into(),
            names: 0,
        }
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
            scaled_by: standard.scaled_by.clone(),
            before: standard.before,
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
            Some(route) => self.route_state(route, serving, standard_serving),
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
                autoscaler: self.autoscaler.clone(),
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
            let (stale, edited_at) = (route.managed, route.managed.then_some(taken));
            *route =
                Route { written, edited_by: Some(manager.into()), edited_at, stale, taken, ..route.clone() };
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
        if millis > 0 {
            self.bring_up_standard();
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
