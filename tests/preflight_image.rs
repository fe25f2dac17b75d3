//! The inspection of an image, from the Job to the sentence. The documents are what the script printed on real interpreters (3.13.5
//! free-threaded, and `standard` without), by `tests/preflight_image/documents.py`; `test_inspect.py` beside it runs the script itself.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail so")]
#![allow(clippy::needless_pass_by_value, reason = "json!() reads better in place")]

use freethread_rollout::{
    api::{FreeThreaded, PreflightVerdict, Span},
    pool::render,
    preflight::image::{ImageCheck, ImageFinding, MARKER, SCRIPT, render_job},
};
use k8s_openapi::api::apps::v1::Deployment;
use serde_json::{Value, json};

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
        let finding = ImageFinding::of_log(&log(name));
        assert_eq!(finding.verdict, verdict, "{name}: {finding:?}");
        assert!(finding.sentence.starts_with(sentence), "{name}: {}", finding.sentence);
        assert_eq!(finding.blockers.is_empty(), verdict != Blocked, "{name}: {finding:?}");
        assert!(finding.sentence.len() < 600, "{name}: {} characters", finding.sentence.len());
    }
    assert_eq!(ImageFinding::of_log(&log("gil")).blockers.len(), 2, "all of them, and not only the first");
    let hints = ImageFinding::of_log(&log("forced")).hints;
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
        let finding = ImageFinding::of_log(bad);
        assert_eq!(finding.verdict, PreflightVerdict::Unknown, "{bad:?}: {finding:?}");
    }
    // Every shorter log, down to nothing.
    for end in (0..whole.trim_end().len()).filter(|end| whole.is_char_boundary(*end)) {
        assert_eq!(ImageFinding::of_log(&whole[..end]).verdict, PreflightVerdict::Unknown, "cut at {end}");
    }
}

#[test]
fn a_missing_or_strange_part_is_no_pass() {
    let whole: Value = serde_json::from_str(log("clean").lines().last().unwrap()).unwrap();
    let verdict = |document: &Value| ImageFinding::of_log(&format!("{MARKER}\n{document}\n")).verdict;
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
fn the_script_is_the_one_that_the_python_tests_run() {
    let bundle = concat!(env!("CARGO_MANIFEST_DIR"), "/src/preflight/probe/bundle.py");
    let printed = std::process::Command::new("python3").arg("-I").arg(bundle).output().unwrap();
    assert!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
    assert_eq!(String::from_utf8(printed.stdout).unwrap(), SCRIPT);
    // Linux takes 128 KiB for one argument.
    assert!(SCRIPT.len() < 100_000, "{} bytes", SCRIPT.len());
}

fn job(pod: Value, check: &ImageCheck) -> Value {
    let mut template = json!({"metadata": {"labels": {"app": "orders", "tier": "web"}}, "spec": pod});
    template["spec"]["containers"][0]["name"] = json!("web");
    let standard: Deployment = serde_json::from_value(json!({"metadata": {"name": "orders"},
        "spec": {"selector": {"matchLabels": {"app": "orders"}}, "template": template}}))
    .unwrap();
    let spec: FreeThreaded =
        serde_json::from_value(json!({"image": "orders:{tag}-t", "container": "web"})).unwrap();
    let service = [("app".to_owned(), "orders".to_owned())].into();
    let rendered = render("orders", "shop", &standard, &spec, &[service]).unwrap();
    render_job("orders", "shop", "uid-1", &rendered, check)
}

fn check() -> ImageCheck {
    ImageCheck {
        python: "python3".into(),
        imports: vec!["orders.app".into()],
        warmup: vec!["python3".into(), "-m".into(), "orders.warm".into()],
        timeout: Span::from_secs(900),
    }
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
    let job = job(pod(), &check());
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
    assert_eq!(names("containers"), ["inspection"], "a proxy beside it would never end");

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
    let hash = |pod: Value, check: &ImageCheck| {
        job(pod, check).pointer("/metadata/annotations/freethreading.dev~1template-hash").cloned().unwrap()
    };
    let first = hash(pod(), &check());
    assert_eq!(first, hash(pod(), &check()));
    let mut image = pod();
    image["containers"][0]["image"] = json!("orders:2");
    assert_ne!(first, hash(image, &check()));
    assert_ne!(first, hash(pod(), &ImageCheck { imports: vec![], ..check() }));
    let mut probe = pod();
    probe["containers"][0]["readinessProbe"] = json!({"httpGet": {"port": 81}});
    assert_eq!(first, hash(probe, &check()), "what is about serving is not checked here");
}
