//! The inspection of an image, from the Job to the sentence. The documents are what the script printed on real interpreters (3.13.5
//! free-threaded, and `standard` without), by `tests/preflight_image/documents.py`; `test_inspect.py` beside it runs the script itself.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail so")]
#![allow(clippy::needless_pass_by_value, reason = "json!() reads better in place")]

use freethread_rollout::{
    api::{Check, FreeThreaded, Preflight, PreflightVerdict},
    pool::render,
    preflight::image::{CheckFinding, MARKER, Subject, render_job, script},
};
use k8s_openapi::api::apps::v1::Deployment;
use serde_json::{Value, json};

fn inspected(log: &str) -> CheckFinding {
    CheckFinding::of_log(Check::Inspect, log)
}

fn log(name: &str) -> String {
    let path = format!("{}/tests/preflight_image/documents/{name}.log", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
}

#[test]
fn each_document_gets_its_verdict_and_sentence() {
    use PreflightVerdict::{Blocked, Passed, Unknown};
    let cases = [
        (
            "clean",
            Passed,
            "CPython 3.13.5, free-threaded: imported app and ran the warm-up, and the GIL stayed off",
        ),
        ("gil", Blocked, "module first enables the GIL (imported by /app/app.py:1), and 1 more"),
        ("warmup-gil", Blocked, "module first enables the GIL"),
        ("standard", Blocked, "CPython 3.13.5 is not a free-threaded build"),
        ("crash", Blocked, "import app crashes with SIGABRT: "),
        ("hang", Blocked, "import app hangs, ended after 2 s: "),
        ("missing", Blocked, "import app fails: ModuleNotFoundError: No module named 'app'"),
        ("forced", Passed, "CPython 3.13.5, free-threaded: imported app, and the GIL stayed off"),
        (
            "unseen",
            Unknown,
            "whether the GIL stays off in the warm-up cannot be told: no Python said on stderr what it loads",
        ),
        ("bad-options", Unknown, "the inspection failed"),
        ("no-python", Unknown, "the interpreter did not start"),
    ];
    for (name, verdict, sentence) in cases {
        let finding = inspected(&log(name));
        assert_eq!(finding.verdict, verdict, "{name}: {finding:?}");
        assert!(finding.sentence.starts_with(sentence), "{name}: {}", finding.sentence);
        assert_eq!(finding.blockers.is_empty(), verdict != Blocked, "{name}: {finding:?}");
        assert!(finding.sentence.len() < 600, "{name}: {} characters", finding.sentence.len());
    }
    assert_eq!(inspected(&log("gil")).blockers.len(), 2, "all of them, and not only the first");
    let hints = inspected(&log("forced")).hints;
    assert!(hints.iter().any(|hint| hint.starts_with("PYTHON_GIL forces the GIL off")), "{hints:?}");
}

#[test]
fn a_log_without_a_whole_document_is_no_pass() {
    let whole = log("clean");
    let cut = &whole[..whole.len() / 2];
    let document = whole.lines().last().unwrap();
    let later = whole.replace("\"format\": 1", "\"format\": 2");
    // What an application prints is no document, however much it looks like one: it goes before ours.
    let fake = format!("{MARKER}\n{document}\nTraceback (most recent call last)\n");
    for bad in ["", "Killed\n", MARKER, cut, &later, &fake] {
        let finding = inspected(bad);
        assert_eq!(finding.verdict, PreflightVerdict::Unknown, "{bad:?}: {finding:?}");
    }
    // Every shorter log, down to nothing.
    for end in (0..whole.trim_end().len()).filter(|end| whole.is_char_boundary(*end)) {
        assert_eq!(inspected(&whole[..end]).verdict, PreflightVerdict::Unknown, "cut at {end}");
    }
}

#[test]
fn a_missing_or_strange_part_is_no_pass() {
    let whole: Value = serde_json::from_str(log("clean").lines().last().unwrap()).unwrap();
    let verdict = |document: &Value| inspected(&format!("{MARKER}\n{document}\n")).verdict;
    assert_eq!(verdict(&whole), PreflightVerdict::Passed);
    let changes = [
        ("/python", Value::Null),
        ("/python/freeThreadedBuild", json!(false)),
        ("/stopped", json!(true)),
        ("/imports/0/gil", json!("unknown")),
        ("/imports/0/gil", json!("on")),
        ("/imports/0/status", json!("skipped")),
        ("/imports/0/status", json!("a word of tomorrow")),
        ("/warmup/gil", json!("unknown")),
        ("/warmup/status", json!("error")),
        ("/gilEnabledBy", json!([{"module": "m", "importedBy": null}])),
        ("/gil/forced", json!("on")),
    ];
    for (place, value) in changes {
        let mut edited = whole.clone();
        *edited.pointer_mut(place).unwrap_or_else(|| panic!("no {place}")) = value;
        assert_ne!(verdict(&edited), PreflightVerdict::Passed, "{place}");
    }
}

#[test]
fn the_scripts_are_the_ones_that_the_python_tests_run() {
    let bundle = concat!(env!("CARGO_MANIFEST_DIR"), "/src/preflight/probe/bundle.py");
    for (check, name) in
        [(Check::Inspect, "inspect_image"), (Check::Stress, "stress"), (Check::Benchmark, "benchmark")]
    {
        let printed = std::process::Command::new("python3").args(["-I", bundle, name]).output().unwrap();
        assert!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
        assert_eq!(String::from_utf8(printed.stdout).unwrap(), script(check));
        // Linux takes 128 KiB for one argument.
        assert!(script(check).len() < 100_000, "{} bytes", script(check).len());
    }
}

#[test]
fn a_stress_that_races_is_told_with_its_stack() {
    let finding = CheckFinding::of_log(Check::Stress, &log("stress"));
    assert_eq!(finding.verdict, PreflightVerdict::Blocked, "{finding:?}");
    let starts = [
        "lost-update: run 2 ended with exit code 1 at app/lost_update.py:24 in <module>: AssertionError: lost ",
        "generator: run ",
        "deadlock: run 1 hung at app/dead.py:6 in transfer",
        "clock: run 2 printed something else than the first one",
        "missing: run 1 could not be started: ",
        "module first enables the GIL in gil",
    ];
    for (blocker, start) in finding.blockers.iter().zip(starts) {
        assert!(blocker.starts_with(start), "{blocker}");
    }
    assert_eq!(finding.blockers.len(), starts.len(), "{:?}", finding.blockers);
    let crash = &finding.blockers[1];
    assert!(crash.contains("crashed with SIG") && crash.contains("app/shared_generator.py:"), "{crash}");
    assert!(finding.hints.contains(&"fine: 3 of 3 runs in 0 s, 0 failed".to_owned()), "{:?}", finding.hints);

    let fine = CheckFinding::of_log(Check::Stress, &log("stress-fine"));
    assert_eq!(
        (fine.verdict, fine.sentence.as_str()),
        (PreflightVerdict::Passed, "3 runs of fine ended well")
    );
    let short = CheckFinding::of_log(Check::Stress, &log("stress-late"));
    assert_eq!(short.verdict, PreflightVerdict::Unknown, "{short:?}");
    assert!(short.sentence.starts_with("the time was over after "), "{}", short.sentence);
    let standard = CheckFinding::of_log(Check::Stress, &log("stress-standard"));
    assert!(standard.sentence.starts_with("not a free-threaded build"), "{}", standard.sentence);
}

/// A round whose runs took these seconds, in order, with some change.
fn round(seconds: [f64; 4], change: impl Fn(&mut Value)) -> CheckFinding {
    let images = ["standard", "free-threaded", "free-threaded", "standard"];
    let runs: Vec<Value> = std::iter::zip(images, seconds)
        .map(|(image, seconds)| {
            json!({"image": image, "status": "ok", "seconds": seconds, "cpu": seconds, "peak": 1_000_000, "settled": null,
                "numbers": {"operations": 100.0, "p99": 1.0}, "gilEnabledBy": []})
        })
        .collect();
    let mut document = json!({"format": 1, "runs": runs, "stopped": false});
    change(&mut document);
    CheckFinding::of_log(Check::Benchmark, &format!("{MARKER}\n{document}\n"))
}

#[test]
fn a_round_is_a_ratio_from_which_drift_falls_out() {
    // Each run of the machine's is a little slower than the one before, by the same factor: nothing of that is left.
    let drifts = round([8.0, 4.0 * 1.1, 4.0 * 1.21, 8.0 * 1.331], |_| {});
    let measured = drifts.round.unwrap();
    assert_eq!((measured.speed, measured.cpu, measured.peak), (693_147, -693_147, Some(0)));
    assert_eq!((measured.settled, measured.own["p99"]), (None, 0));
    // Twice the work in the same time is twice the speed.
    let twice = round([4.0; 4], |document| {
        document["runs"][1]["numbers"]["operations"] = json!(200.0);
        document["runs"][2]["numbers"]["operations"] = json!(200.0);
    });
    assert_eq!(twice.round.unwrap().speed, 693_147);
    assert!(round([0.2; 4], |_| {}).hints[0].contains("the interpreter's start"));
}

#[test]
fn a_round_that_is_not_whole_is_no_round() {
    use PreflightVerdict::{Blocked, Unknown};
    let cases: [(&str, Value, PreflightVerdict, &str); 9] = [
        ("/runs/1/numbers", json!({}), Unknown, "only 3 of 4 runs say how much work they did"),
        ("/runs/2/numbers/operations", json!(0.0), Unknown, "a run did no work"),
        (
            "/runs/0/status",
            json!("error"),
            Unknown,
            "the benchmark could not be started on the standard image",
        ),
        (
            "/runs/1/status",
            json!("crash"),
            Blocked,
            "the benchmark crashes with a signal on the free-threaded image",
        ),
        (
            "/runs/1/status",
            json!("hang"),
            Blocked,
            "the benchmark was not done in 2 s on the free-threaded image",
        ),
        ("/runs/2/status", json!("skipped"), Unknown, "the time for the round was over"),
        ("/runs/1/gilEnabledBy", json!(["first"]), Blocked, "module first enables the GIL in the benchmark"),
        ("/runs/3/cpu", json!(0.0), Unknown, "a run did no work, or took no time that could be measured"),
        ("/runs", json!([]), Unknown, "one of the two containers ended before its turn"),
    ];
    for (place, value, verdict, sentence) in cases {
        let found = round([2.0; 4], |document| *document.pointer_mut(place).unwrap() = value.clone());
        assert_eq!((found.verdict, found.round.as_ref()), (verdict, None), "{place} {value}");
        assert!(found.sentence.starts_with(sentence), "{}", found.sentence);
    }
    let real = CheckFinding::of_log(Check::Benchmark, &log("benchmark"));
    assert_eq!(real.verdict, PreflightVerdict::Measuring, "{real:?}");
    assert!(real.round.unwrap().own.contains_key("checksum"));
}

fn job_of(pod: Value, asked: Value, check: Check, rounds: usize) -> Value {
    let mut template = json!({"metadata": {"labels": {"app": "orders", "tier": "web"}}, "spec": pod});
    template["spec"]["containers"][0]["name"] = json!("web");
    let standard: Deployment = serde_json::from_value(json!({"metadata": {"name": "orders"},
        "spec": {"selector": {"matchLabels": {"app": "orders"}}, "template": template}}))
    .unwrap();
    let spec: FreeThreaded = serde_json::from_value(json!({"image": "orders:{tag}-t", "container": "web",
        "patch": {"spec": {"volumes": [{"name": "code", "emptyDir": {"medium": "Memory"}}],
            "containers": [{"name": "web", "resources": {"limits": {"memory": "2Gi"}}}]}}}))
    .unwrap();
    let service = [("app".to_owned(), "orders".to_owned())].into();
    let rendered = render("orders", "shop", &standard, &spec, &[service]).unwrap();
    let asked: Preflight = serde_json::from_value(asked).unwrap();
    let subject = Subject {
        rollout: "orders",
        namespace: "shop",
        uid: "uid-1",
        rendered: &rendered,
        standard: &template["spec"],
        python: "python3",
        asked: &asked,
    };
    render_job(&subject, check, rounds).unwrap()
}

fn job(pod: Value, asked: Value) -> Value {
    job_of(pod, asked, Check::Inspect, 0)
}

fn check() -> Value {
    json!({"import": ["orders.app"], "warmup": ["python3", "-m", "orders.warm"], "timeout": "15m"})
}

fn pod() -> Value {
    json!({
        "serviceAccountName": "orders",
        "nodeSelector": {"pool": "python"},
        "tolerations": [{"key": "python", "operator": "Exists"}],
        "securityContext": {"runAsNonRoot": true},
        "imagePullSecrets": [{"name": "pull"}],
        "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}],
        "affinity": {"nodeAffinity": {}, "podAntiAffinity": {}},
        "initContainers": [{"name": "config", "image": "busybox"}],
        "volumes": [{"name": "code", "emptyDir": {}}],
        "containers": [
            {"name": "web", "image": "orders:1", "args": ["-X", "gil=0", "serve"], "ports": [{"containerPort": 80}],
             "readinessProbe": {"httpGet": {"port": 80}}, "workingDir": "/app", "env": [{"name": "A", "value": "b"}],
             "volumeMounts": [{"name": "code", "mountPath": "/app"}], "resources": {"limits": {"memory": "1Gi"}},
             "securityContext": {"readOnlyRootFilesystem": true}},
            {"name": "proxy", "image": "envoy"}
        ],
    })
}

#[test]
fn the_job_runs_as_the_pool_does_and_nobody_takes_its_pod_for_the_pools() {
    let job = job(pod(), check());
    let at = |pointer: &str| job.pointer(pointer).cloned().unwrap_or_default();
    let spec = "/spec/template/spec";
    assert_eq!(at(&format!("{spec}/serviceAccountName")), "orders");
    assert_eq!(at(&format!("{spec}/nodeSelector")), json!({"pool": "python"}));
    assert_eq!(at(&format!("{spec}/tolerations/0/key")), "python");
    assert_eq!(at(&format!("{spec}/securityContext")), json!({"runAsNonRoot": true}));
    assert_eq!(at(&format!("{spec}/imagePullSecrets/0/name")), "pull");
    assert_eq!(at(&format!("{spec}/affinity")), json!({"nodeAffinity": {}}));
    assert_eq!(at(&format!("{spec}/topologySpreadConstraints")), Value::Null);
    let names = |list: &str| {
        let list = at(&format!("{spec}/{list}"));
        list.as_array().unwrap().iter().map(|c| c["name"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(
        names("initContainers"),
        ["config"],
        "not our own check, which would end the pod without an answer"
    );
    assert_eq!(names("containers"), ["preflight"], "a proxy beside it would never end");

    let container = at(&format!("{spec}/containers/0"));
    for kept in ["volumeMounts", "resources", "securityContext", "workingDir", "env"] {
        assert!(container.get(kept).is_some(), "{kept}");
    }
    for dropped in ["ports", "readinessProbe", "lifecycle", "args"] {
        assert!(container.get(dropped).is_none(), "{dropped}");
    }
    assert_eq!(container["image"], "orders:1-t");
    let command = container["command"].as_array().unwrap();
    assert_eq!(command[..3], [json!("python3"), json!("-I"), json!("-c")]);
    let options: Value = serde_json::from_str(command[4].as_str().unwrap()).unwrap();
    assert_eq!(options["imports"], json!(["orders.app"]));
    assert_eq!(options["workloadCommand"], json!(["-X", "gil=0", "serve"]));

    let labels = at("/spec/template/metadata/labels");
    let ours = ["app.kubernetes.io/managed-by", "freethreading.dev/preflight", "freethreading.dev/rollout"];
    assert_eq!(
        labels.as_object().unwrap().keys().collect::<Vec<_>>(),
        ours,
        "none of the workload's, nor the pool's"
    );
    assert_eq!((at("/spec/backoffLimit"), at("/spec/activeDeadlineSeconds")), (json!(0), json!(900)));
    assert_eq!(at("/metadata/ownerReferences/0/uid"), "uid-1");
    serde_json::from_value::<k8s_openapi::api::batch::v1::Job>(job).unwrap();
}

#[test]
fn the_same_check_has_the_same_hash_and_another_one_has_not() {
    let of =
        |job: Value| job.pointer("/metadata/annotations/freethreading.dev~1template-hash").cloned().unwrap();
    let hash = |pod: Value, asked: Value| of(job(pod, asked));
    let first = hash(pod(), check());
    assert_eq!(first, hash(pod(), check()));
    let mut image = pod();
    image["containers"][0]["image"] = json!("orders:2");
    assert_ne!(first, hash(image, check()));
    assert_ne!(first, hash(pod(), json!({"timeout": "15m"})));
    let mut probe = pod();
    probe["containers"][0]["readinessProbe"] = json!({"httpGet": {"port": 81}});
    assert_eq!(first, hash(probe, check()), "what is about serving is not checked here");
    // The rounds of a benchmark are one check, and what is wanted of it is none of what is done.
    let asked =
        |speedup: &str, command: &str| json!({"benchmark": {"command": [command], "minSpeedup": speedup}});
    let round = |asked: Value, rounds| of(job_of(pod(), asked, Check::Benchmark, rounds));
    assert_eq!(round(asked("10%", "a"), 0), round(asked("20%", "a"), 1));
    assert_ne!(round(asked("10%", "a"), 0), round(asked("10%", "b"), 0));
}

#[test]
fn a_benchmark_has_both_images_side_by_side_with_the_same_limits() {
    let asked = json!({
        "benchmark": {"command": ["work", "--threads=8"], "baseline": ["work", "--processes=8"]},
        "inputs": [{"mountPath": "/inputs", "configMap": "requests"}, {"mountPath": "/data", "persistentVolumeClaim": "data"}],
    });
    let job = job_of(pod(), asked.clone(), Check::Benchmark, 0);
    let spec = &job["spec"]["template"]["spec"];
    let containers = spec["containers"].as_array().unwrap();
    let of = |field: &str| containers.iter().map(|container| container[field].clone()).collect::<Vec<_>>();
    assert_eq!(of("name"), ["preflight", "standard"]);
    assert_eq!(of("image"), ["orders:1-t", "orders:1"]);
    assert_eq!(
        of("resources"),
        vec![json!({"limits": {"memory": "1Gi"}}); 2],
        "the standard pool's, both of them"
    );
    let options = |index: usize| -> Value {
        serde_json::from_str(containers[index]["command"][4].as_str().unwrap()).unwrap()
    };
    assert_eq!(options(0)["command"], json!(["work", "--threads=8"]));
    assert_eq!(options(1)["command"], json!(["work", "--processes=8"]));
    assert_eq!((&options(0)["first"], &options(1)["first"]), (&json!("standard"), &json!("standard")));
    let later: Value = job_of(pod(), asked, Check::Benchmark, 1);
    let later =
        later.pointer("/spec/template/spec/containers/0/command/4").unwrap().as_str().unwrap().to_owned();
    assert_eq!(
        serde_json::from_str::<Value>(&later).unwrap()["first"],
        "free-threaded",
        "from round to round"
    );
    // Each image has its own volume of that name, both have the inputs and the folder.
    let volumes: Vec<&str> =
        spec["volumes"].as_array().unwrap().iter().map(|volume| volume["name"].as_str().unwrap()).collect();
    assert_eq!(
        volumes,
        ["code", "std-code", "freethread-input-0", "freethread-input-1", "freethread-preflight"]
    );
    let mounts = |index: usize| -> Vec<&str> {
        let mounts = containers[index]["volumeMounts"].as_array().unwrap();
        mounts.iter().map(|mount| mount["name"].as_str().unwrap()).collect()
    };
    assert_eq!(mounts(0), ["code", "freethread-input-0", "freethread-input-1", "freethread-preflight"]);
    assert_eq!(mounts(1), ["std-code", "freethread-input-0", "freethread-input-1", "freethread-preflight"]);
    assert_eq!(job["metadata"]["labels"]["freethreading.dev/preflight"], "benchmark");
    serde_json::from_value::<k8s_openapi::api::batch::v1::Job>(job).unwrap();
}
