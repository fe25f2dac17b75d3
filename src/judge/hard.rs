//! Hard signals: what Kubernetes and the pods' own logs know without any metrics. They stand outside the bound on false alarms, by
//! name, and are acted on at once.

use jiff::{SignedDuration, Timestamp};

use super::sentence::exposure;
use crate::{
    api::{AttemptStatus, Reason},
    observe::{LogSignal, LogSignalKind, Observation, Pod},
};

/// Crashes are compared over this time.
const WINDOW: SignedDuration = SignedDuration::from_hours(1);
/// Where the standard pool dies too, ours has to die this often ...
const LEAST: usize = 3;
/// ... and this many times as often per pod-hour.
const TIMES: f64 = 3.0;
/// Signals that a broken program gets; the others are sent to stop one.
const FATAL: [&str; 7] = ["SIGSEGV", "SIGABRT", "SIGBUS", "SIGILL", "SIGFPE", "SIGTRAP", "SIGSYS"];
/// A pod younger than this may still be on its way to ready: a replacement is no signal.
const STARTING: SignedDuration = SignedDuration::from_secs(60);

/// The first hard signal, with its sentence.
pub fn hard_signals(
    observation: &Observation,
    attempt: &AttemptStatus,
    now: Timestamp,
) -> Option<(Reason, String)> {
    let started = attempt.started_at.0;
    gil(observation, started)
        .or_else(|| deaths(observation, started, now, &CRASHES))
        .or_else(|| deaths(observation, started, now, &MEMORY))
        .or_else(|| crash_loop(observation))
        .or_else(|| no_ready_pod(observation, has_served(attempt), now))
}

/// The pool has served a weight: this step's, or one that it rose from (none rises that was not read back as applied).
fn has_served(attempt: &AttemptStatus) -> bool {
    let weights: Vec<i32> = attempt.weight_changes.iter().map(|change| change.written).collect();
    let since_zero = weights.rsplit(|weight| *weight == 0).next().unwrap_or_default();
    attempt.converged_at.is_some()
        || since_zero.windows(2).any(|pair| matches!(pair, [before, after] if before < after))
}

/// What a drain, a preemption or an eviction does to a pod says nothing about the runtime.
fn staying(pods: &[Pod]) -> impl Iterator<Item = &Pod> {
    pods.iter().filter(|pod| !pod.going)
}

fn standard_pods(observation: &Observation) -> &[Pod] {
    observation.standard.as_ref().map(|standard| standard.pods.as_slice()).unwrap_or_default()
}

/// A module that enabled the GIL stays loaded: seen once is enough, whatever became of the pod.
fn gil(observation: &Observation, attempt_started: Timestamp) -> Option<(Reason, String)> {
    let ours = observation
        .log_signals
        .iter()
        .filter(|signal| signal.at >= attempt_started && is_ours(observation, &signal.pod));
    // A gauge has no time of its own: of a pod that is on its way out it may be of the attempt before.
    let now = |signal: &&LogSignal| {
        let pod = observation.free_threaded.pods.iter().find(|pod| pod.name == signal.pod);
        // Kubernetes tells the second in which a pod was created, an attempt begins within one.
        let of_this = |pod: &Pod| pod.created.as_second() >= attempt_started.as_second();
        pod.is_some_and(|pod| !pod.going && of_this(pod))
    };
    ours.clone()
        .find_map(gil_log)
        .or_else(|| ours.clone().filter(now).find_map(gil_gauge))
        .map(|how| (Reason::GilEnabled, how))
}

fn gil_log(signal: &LogSignal) -> Option<String> {
    let LogSignalKind::GilEnabled { module } = &signal.kind else { return None };
    Some(format!("the GIL came back in pod {}: module {module} enabled it", signal.pod))
}

fn gil_gauge(signal: &LogSignal) -> Option<String> {
    let LogSignalKind::GilGauge { module } = &signal.kind else { return None };
    let module = module.as_ref().map_or_else(
        || "which module enabled it is not said; spec.freeThreaded.probe would know".to_owned(),
        |module| format!("module {module} enabled it"),
    );
    Some(format!(
        "the GIL came back in pod {}: python_gil_enabled is 1 at several scrapes; {module}",
        signal.pod
    ))
}

fn is_ours(observation: &Observation, name: &str) -> bool {
    let known = |pods: &[Pod]| pods.iter().any(|pod| pod.name == name);
    let ours = &observation.free_threaded;
    let prefix = name.strip_prefix(ours.name.as_str()).is_some_and(|rest| rest.starts_with('-'));
    known(&ours.pods) || (prefix && !known(standard_pods(observation)))
}

/// One death of a container or of a worker in it.
struct Death<'a> {
    pod: &'a str,
    at: Timestamp,
    how: String,
}

/// What is counted, and how it reads.
struct Kind {
    reason: Reason,
    one: &'static str,
    many: &'static str,
    exit: fn(&crate::observe::Exit) -> Option<String>,
    log: fn(&LogSignalKind) -> Option<String>,
}

const CRASHES: Kind =
    Kind { reason: Reason::Crash, one: "crash", many: "crashes", exit: crash_exit, log: crash_log };
const MEMORY: Kind = Kind {
    reason: Reason::OutOfMemory,
    one: "OOM kill",
    many: "OOM kills",
    exit: memory_exit,
    log: |_| None,
};

fn crash_exit(exit: &crate::observe::Exit) -> Option<String> {
    let signal = match exit.code {
        139 => "SIGSEGV",
        134 => "SIGABRT",
        _ => return None,
    };
    Some(format!("crashed with exit code {} ({signal})", exit.code))
}

fn crash_log(kind: &LogSignalKind) -> Option<String> {
    match kind {
        LogSignalKind::FatalError { error } => Some(format!("crashed: Fatal Python error: {error}")),
        LogSignalKind::WorkerKilled { signal } if FATAL.contains(&signal.as_str()) => {
            Some(format!("lost a worker to {signal}"))
        }
        _ => None,
    }
}

fn memory_exit(exit: &crate::observe::Exit) -> Option<String> {
    (exit.reason == "OOMKilled").then(|| "was killed for its memory (OOMKilled)".into())
}

/// Deaths of one pool since `from`, oldest first. A line and an exit of one pod within seconds are one death.
fn of_pool<'a>(pods: &'a [Pod], signals: &'a [LogSignal], from: Timestamp, kind: &Kind) -> Vec<Death<'a>> {
    let mut deaths: Vec<Death<'a>> = Vec::new();
    for pod in staying(pods) {
        let exits = pod.exits.iter().filter(|exit| exit.at >= from);
        deaths.extend(
            exits.filter_map(|exit| Some(Death { pod: &pod.name, at: exit.at, how: (kind.exit)(exit)? })),
        );
        for signal in signals.iter().filter(|signal| signal.pod == pod.name && signal.at >= from) {
            let Some(how) = (kind.log)(&signal.kind) else { continue };
            let near =
                |death: &Death<'_>| death.at.duration_since(signal.at).abs() <= SignedDuration::from_secs(10);
            if !deaths.iter().any(|death| death.pod == pod.name && near(death)) {
                deaths.push(Death { pod: &pod.name, at: signal.at, how });
            }
        }
    }
    deaths.sort_by_key(|death| death.at);
    deaths
}

/// Time that the pool's pods have existed within `from..until`, in hours.
fn pod_hours(pods: &[Pod], from: Timestamp, until: Timestamp) -> f64 {
    let lived = |pod: &Pod| until.duration_since(pod.created.max(from)).as_secs_f64().max(0.0);
    staying(pods).map(lived).sum::<f64>() / 3600.0
}

/// Deaths per pod-hour against the standard pool: at once where that has none, else only where ours are clearly more.
fn deaths(
    observation: &Observation,
    started: Timestamp,
    now: Timestamp,
    kind: &Kind,
) -> Option<(Reason, String)> {
    let hour_ago = now.checked_sub(WINDOW).unwrap_or(Timestamp::MIN);
    let (ours, standard) = (observation.free_threaded.pods.as_slice(), standard_pods(observation));
    let signals = observation.log_signals.as_slice();
    let since = hour_ago.max(started);
    let of_ours = of_pool(ours, signals, since, kind);
    let last = of_ours.last()?;
    let of_standard = of_pool(standard, signals, hour_ago, kind);
    // Up to the last death, not up to now: the sentence stays the same while nothing happens.
    let our_hours = pod_hours(ours, since, last.at);
    let standard_hours = pod_hours(standard, hour_ago, last.at.max(hour_ago));
    let (n, m) = (of_ours.len(), of_standard.len());
    let more = n >= LEAST && n as f64 * standard_hours > TIMES * m as f64 * our_hours;
    if m > 0 && !more {
        return None;
    }
    let sentence = format!(
        "pod {} {}, {n} {} in {} against {m} in {} on the standard pool",
        last.pod,
        last.how,
        if n == 1 { kind.one } else { kind.many },
        exposure(our_hours),
        exposure(standard_hours),
    );
    Some((kind.reason, sentence))
}

fn crash_loop(observation: &Observation) -> Option<(Reason, String)> {
    if observation.route.written.unwrap_or(0) <= 0
        || staying(standard_pods(observation)).any(|pod| pod.crash_loop)
    {
        return None;
    }
    let pod = staying(&observation.free_threaded.pods).find(|pod| pod.crash_loop)?;
    let exit = pod.exits.iter().max_by_key(|exit| exit.at);
    let exit =
        exit.map(|exit| format!(", last exit code {} ({})", exit.code, exit.reason)).unwrap_or_default();
    // What Kubernetes says of the back-off changes with every try; what the container itself said does not.
    let word = pod.trouble.as_ref().filter(|trouble| !trouble.starts_with("CrashLoopBackOff"));
    let word = word.map(|word| format!(": {word}")).unwrap_or_default();
    Some((
        Reason::CrashLoop,
        format!("pod {} restarts again and again (CrashLoopBackOff{exit}){word}", pod.name),
    ))
}

/// Pods that have had the time to be ready, and none of them is.
fn no_ready_pod(observation: &Observation, served: bool, now: Timestamp) -> Option<(Reason, String)> {
    let (written, ours) = (observation.route.written.unwrap_or(0), &observation.free_threaded.pods);
    let ready = ours.iter().any(|pod| pod.ready_since.is_some())
        || observation.route.serving.is_some_and(|serving| serving > 0);
    let stuck = |pod: &&Pod| pod.started.is_some() && now.duration_since(pod.created) >= STARTING;
    if !served || written <= 0 || ready {
        return None;
    }
    let pod = staying(ours).find(stuck)?;
    let trouble = pod.trouble.as_ref().map(|trouble| format!(" ({trouble})")).unwrap_or_default();
    let name = &pod.name;
    let pods = if observation.route.precision.is_percent() {
        staying(ours).count().to_string()
    } else {
        written.to_string()
    };
    Some((
        Reason::NoReadyPod,
        format!("none of the {pods} free-threaded pods is ready; pod {name} was before{trouble}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::{Exit, FreeThreadedPool, RouteState, StandardPool};

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + minutes * 60).unwrap()
    }

    fn pod(name: &str) -> Pod {
        Pod {
            name: name.into(),
            created: at(-24),
            started: Some(at(-24)),
            ready_since: Some(at(-23)),
            going: false,
            restarts: 0,
            exits: vec![],
            trouble: None,
            crash_loop: false,
            image_id: None,
        }
    }

    fn exit(code: i32, minutes: i64) -> Exit {
        Exit { code, reason: if code == 137 { "OOMKilled".into() } else { "Error".into() }, at: at(minutes) }
    }

    fn world() -> Observation {
        let standard = StandardPool {
            name: "orders".into(),
            image: String::new(),
            replicas: 2,
            pods: vec![pod("orders-a"), pod("orders-b")],
            template_hash: String::new(),
            autoscaler_counts_ours: None,
            scaled_by: None,
            before: None,
        };
        Observation {
            preflight: None,
            standard: Some(standard),
            free_threaded: FreeThreadedPool {
                name: "orders-ft".into(),
                pods: vec![pod("orders-ft-a")],
                ..FreeThreadedPool::default()
            },
            route: RouteState {
                written: Some(1),
                serving: Some(1),
                standard_serving: 2,
                ..RouteState::default()
            },
            log_signals: vec![],
            log_tails: vec![],
            obstacles: vec![],
            scrape_interval_ms: 1000,
        }
    }

    /// An attempt that began half an hour ago, with these pods one after the other.
    fn attempt(pods: &[i32]) -> AttemptStatus {
        let changes: Vec<_> = pods
            .iter()
            .map(|pods| serde_json::json!({"at": at(-29), "share": "10%", "written": pods}))
            .collect();
        let attempt = serde_json::json!({
            "number": 1, "startedAt": at(-30), "stepStartedAt": at(-30), "standardHash": "", "specHash": "",
            "cell": "1s", "weightChanges": changes,
        });
        serde_json::from_value(attempt).unwrap()
    }

    fn found(world: &Observation) -> Option<(Reason, String)> {
        hard_signals(world, &attempt(&[1, 3]), at(0))
    }

    fn log(pod: &str, minutes: i64, kind: LogSignalKind) -> LogSignal {
        LogSignal { pod: pod.into(), at: at(minutes), kind }
    }

    #[test]
    fn a_healthy_pool_has_none() {
        assert_eq!(found(&world()), None);
    }

    #[test]
    fn the_gil_names_module_and_pod() {
        let mut world = world();
        let gil = || LogSignalKind::GilEnabled { module: "legacyext".into() };
        world.log_signals = vec![log("orders-a", -1, gil()), log("orders-ft-a", -40, gil())];
        assert_eq!(found(&world), None, "neither the standard pool's nor from before the attempt");
        world.log_signals.push(log("orders-ft-a", -1, gil()));
        let sentence = "the GIL came back in pod orders-ft-a: module legacyext enabled it";
        assert_eq!(found(&world), Some((Reason::GilEnabled, sentence.into())));
    }

    #[test]
    fn the_gauge_says_it_too_and_the_log_knows_more() {
        let mut world = world();
        let gauge = |module: Option<&str>| LogSignalKind::GilGauge { module: module.map(str::to_owned) };
        world.log_signals = vec![log("orders-a", -1, gauge(None)), log("orders-ft-a", -40, gauge(None))];
        assert_eq!(found(&world), None);
        world.log_signals.push(log("orders-ft-a", -1, gauge(None)));
        let (reason, sentence) = found(&world).unwrap();
        assert_eq!(reason, Reason::GilEnabled);
        assert!(sentence.ends_with("is not said; spec.freeThreaded.probe would know"), "{sentence}");
        world.log_signals[2] = log("orders-ft-a", -1, gauge(Some("fast")));
        assert!(found(&world).unwrap().1.ends_with("module fast enabled it"));
        // Created in the second in which the attempt began, a moment after it; and before it, the pod of another attempt.
        let created = world.free_threaded.pods[0].created;
        world.free_threaded.pods[0].created = at(-30);
        let mut begun = attempt(&[1, 3]);
        begun.started_at.0 += SignedDuration::from_millis(900);
        assert!(hard_signals(&world, &begun, at(0)).is_some());
        world.free_threaded.pods[0].created = at(-31);
        assert_eq!(found(&world), None);
        world.free_threaded.pods[0].created = created;
        world.log_signals.push(log("orders-ft-a", 0, LogSignalKind::GilEnabled { module: "first".into() }));
        assert_eq!(found(&world).unwrap().1, "the GIL came back in pod orders-ft-a: module first enabled it");
    }

    #[test]
    fn one_crash_is_enough_where_the_standard_pool_has_none() {
        let mut world = world();
        world.free_threaded.pods[0].exits = vec![exit(139, 0)];
        let sentence = "pod orders-ft-a crashed with exit code 139 (SIGSEGV), 1 crash in 0.4 pod-hours against 0 in 0.8 pod-hours on the standard pool";
        assert_eq!(found(&world), Some((Reason::Crash, sentence.into())));
        world.free_threaded.pods[0].exits = vec![exit(1, 0), exit(143, 0), exit(139, -31)];
        assert_eq!(found(&world), None, "an error of its own, a stop, and one before the attempt");
        world.free_threaded.pods[0].exits = vec![exit(134, -1)];
        world.free_threaded.pods[0].going = true;
        assert_eq!(found(&world), None, "a drained pod");
    }

    #[test]
    fn where_the_standard_pool_crashes_too_ours_must_crash_clearly_more() {
        let mut world = world();
        world.standard.as_mut().unwrap().pods[0].exits = vec![exit(139, -20)];
        world.free_threaded.pods[0].exits = vec![exit(139, -1), exit(139, -2)];
        assert_eq!(found(&world), None);
        world.free_threaded.pods[0].exits.push(exit(134, -3));
        assert_eq!(found(&world).map(|found| found.0), Some(Reason::Crash), "3 against 1 on twice the pods");
        world.standard.as_mut().unwrap().pods[1].exits = vec![exit(139, -20)];
        assert_eq!(found(&world), None, "3 against 2 on twice the pods is just three times as often");
    }

    #[test]
    fn a_worker_that_died_counts_like_a_container() {
        let mut world = world();
        world.log_signals =
            vec![log("orders-ft-a", -1, LogSignalKind::WorkerKilled { signal: "SIGTERM".into() })];
        assert_eq!(found(&world), None, "a stop is no crash");
        world.log_signals.push(log(
            "orders-ft-a",
            0,
            LogSignalKind::WorkerKilled { signal: "SIGSEGV".into() },
        ));
        world.free_threaded.pods[0].exits = vec![exit(139, 0)];
        let sentence = found(&world).unwrap().1;
        assert!(sentence.contains("1 crash in"), "line and exit are one death: {sentence}");
    }

    #[test]
    fn out_of_memory() {
        let mut world = world();
        world.free_threaded.pods[0].exits = vec![exit(137, -1)];
        let (reason, sentence) = found(&world).unwrap();
        assert_eq!(reason, Reason::OutOfMemory);
        assert!(sentence.contains("1 OOM kill in 0.4 pod-hours against 0"), "{sentence}");
    }

    #[test]
    fn a_crash_loop_counts_unless_the_standard_pool_has_one() {
        let mut world = world();
        world.free_threaded.pods[0].crash_loop = true;
        assert_eq!(found(&world).map(|found| found.0), Some(Reason::CrashLoop));
        world.standard.as_mut().unwrap().pods[0].crash_loop = true;
        assert_eq!(found(&world), None);
    }

    #[test]
    fn no_ready_pod_is_news_only_for_pods_that_had_the_time() {
        let mut world = world();
        world.route.serving = Some(0);
        world.free_threaded.pods[0].ready_since = None;
        assert_eq!(found(&world).map(|found| found.0), Some(Reason::NoReadyPod));
        for never in [&[1][..], &[1, 3, 0, 1]] {
            assert_eq!(hard_signals(&world, &attempt(never), at(0)), None, "not before it ever served");
        }
        world.free_threaded.pods[0].going = true;
        let mut replacement = pod("orders-ft-b");
        (replacement.created, replacement.ready_since) = (at(0), None);
        world.free_threaded.pods.push(replacement);
        assert_eq!(found(&world), None, "a replacement on its way");
    }
}
