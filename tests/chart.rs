//! The Helm chart: what it renders, what it refuses, and what its roles allow.
//!
//! What needs `helm` runs it from `$HELM`, else from the path or ~/go/bin, and says so where there is none; a `$HELM` that is set
//! and does not work fails. `UPDATE_GOLDEN=1 cargo test --test chart` writes the golden files anew.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are tests

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use freethread_rollout::{api::RouterKind, route::Dialect};
use serde::Deserialize;
use serde_json::Value;

const CASES: [(&str, &[&str]); 2] = [
    ("default", &["--set", "crds.install=false"]),
    ("everything", &["-f", "tests/chart/everything.values.yaml"]),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn helm() -> Option<PathBuf> {
    if let Some(helm) = env::var_os("HELM").filter(|h| !h.is_empty()) {
        return Some(helm.into());
    }
    let home = env::var_os("HOME").map(|home| PathBuf::from(home).join("go/bin"));
    let path = env::var_os("PATH").unwrap_or_default();
    let found =
        env::split_paths(&path).chain(home).map(|folder| folder.join("helm")).find(|helm| helm.is_file());
    if found.is_none() {
        eprintln!("not checked: there is no helm; set HELM to one");
    }
    found
}

fn template(helm: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(helm);
    command.args([
        "template",
        "ftr",
        "charts/freethread-rollout",
        "--namespace",
        "freethread-system",
        "--kube-version",
        "1.36.3",
    ]);
    command.args(more).current_dir(root());
    command.output().unwrap_or_else(|error| panic!("{} does not run: {error}", helm.display()))
}

fn rendered(helm: &Path, more: &[&str]) -> String {
    let output = template(helm, more);
    assert!(output.status.success(), "helm template {more:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn refusal(helm: &Path, more: &[&str]) -> String {
    let output = template(helm, more);
    assert!(!output.status.success(), "{more:?} was taken");
    String::from_utf8(output.stderr).unwrap()
}

fn objects(yaml: &str) -> Vec<Value> {
    let all = serde_yaml::Deserializer::from_str(yaml).map(|document| Value::deserialize(document).unwrap());
    all.filter(|object| !object.is_null()).collect()
}

fn of_kind<'a>(all: &'a [Value], kind: &str) -> Vec<&'a Value> {
    all.iter().filter(|object| object["kind"] == kind).collect()
}

#[test]
fn renders_the_golden_files() {
    let Some(helm) = helm() else { return };
    for (name, values) in CASES {
        let text = rendered(&helm, values);
        let path = root().join(format!("tests/chart/{name}.golden.yaml"));
        if env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&path, &text).unwrap();
        }
        let golden = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            golden == text,
            "{} differs; UPDATE_GOLDEN=1 writes it anew. It is now:\n{text}",
            path.display()
        );
    }
}

#[test]
fn lint_finds_nothing() {
    let Some(helm) = helm() else { return };
    let output = Command::new(helm)
        .args(["lint", "--strict", "charts/freethread-rollout"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn the_schema_refuses_what_cannot_work_and_names_it() {
    let Some(helm) = helm() else { return };
    for (set, named) in [
        ("replica=3", "'replica'"),
        ("replicas=two", "/replicas"),
        ("prometheus.default.url=ftp://prometheus", "/prometheus/default/url"),
        ("prometheus.default.url=http://user:pass@prometheus", "/prometheus/default/url"),
        ("prometheus.default.scrapeInterval=15", "/prometheus/default/scrapeInterval"),
        ("prometheus.default.userQueries=yes", "/prometheus/default/userQueries"),
        ("prometheus.other.scrapeInterval=15s", "'url'"),
        ("prometheus.Other.url=http://prometheus", "Other"),
        ("prometheus.default.secret.name=a", "/prometheus/default/secret"),
        ("prometheus.default.secret.name=a,prometheus.default.secret.passwordKey=b", "username"),
        ("watchNamespace=A_b", "/watchNamespace"),
        ("log.format=xml", "/log/format"),
        ("port=80", "/port"),
        ("crds.keep=false", "'keep'"),
        ("giveBack.timeoutSeconds=3m", "/giveBack/timeoutSeconds"),
        ("image.digest=latest", "/image/digest"),
    ] {
        let said = refusal(&helm, &["--set", set]);
        assert!(said.contains(named), "{set}: {said}");
    }
    let said = refusal(&helm, &["--set", "serviceMonitor.enabled=true,service.enabled=false"]);
    assert!(said.contains("needs service.enabled=true"), "{said}");
}

#[test]
fn an_old_kubernetes_is_refused() {
    let Some(helm) = helm() else { return };
    let said = refusal(&helm, &["--kube-version", "1.29.9"]);
    assert!(said.contains(">=1.30.0-0"), "{said}");
}

#[test]
fn the_crd_is_installed_whole_and_kept() {
    let Some(helm) = helm() else { return };
    let all = objects(&rendered(&helm, &[]));
    let [crd] = of_kind(&all, "CustomResourceDefinition")[..] else { panic!("one CRD") };
    assert_eq!(crd["metadata"]["annotations"]["helm.sh/resource-policy"], "keep");
    let file = fs::read_to_string(root().join("charts/freethread-rollout/files/crd.yaml")).unwrap();
    let wanted: Value = serde_yaml::from_str(&file).unwrap();
    assert_eq!(crd["metadata"]["name"], wanted["metadata"]["name"]);
    assert_eq!(
        numbers_as_floats(&crd["spec"]),
        numbers_as_floats(&wanted["spec"]),
        "Helm changed the CRD on its way"
    );
}

/// Helm's YAML has one kind of number.
fn numbers_as_floats(value: &Value) -> Value {
    match value {
        Value::Number(number) => Value::from(number.as_f64().unwrap()),
        Value::Array(all) => all.iter().map(numbers_as_floats).collect(),
        Value::Object(all) => {
            all.iter().map(|(name, value)| (name.clone(), numbers_as_floats(value))).collect()
        }
        other => other.clone(),
    }
}

/// Every right of the operator: (group, resource, verb).
fn allowed() -> BTreeSet<(&'static str, &'static str, &'static str)> {
    let read = ["list", "watch"];
    let mut all = BTreeSet::new();
    for (group, resource) in [
        ("freethreading.dev", "freethreadrollouts"),
        ("apps", "deployments"),
        ("", "pods"),
        ("", "services"),
        ("autoscaling", "horizontalpodautoscalers"),
        ("batch", "jobs"),
    ] {
        all.extend(read.map(|verb| (group, resource, verb)));
    }
    all.extend([
        ("freethreading.dev", "freethreadrollouts", "patch"),
        ("freethreading.dev", "freethreadrollouts/status", "patch"),
        ("batch", "jobs", "create"),
        ("batch", "jobs", "delete"),
        ("apps", "deployments", "create"),
        ("apps", "deployments", "patch"),
        ("apps", "deployments", "delete"),
        ("apps", "replicasets", "deletecollection"),
        ("", "pods/log", "get"),
        ("events.k8s.io", "events", "create"),
    ]);
    all
}

/// What each router adds that is switched on: its objects, and Services for our pools.
fn of_routers() -> BTreeSet<(&'static str, &'static str, &'static str)> {
    let kinds = RouterKind::ALL.into_iter().filter_map(Dialect::of);
    let objects = kinds.flat_map(|dialect| {
        ["get", "list", "watch", "patch"].map(|verb| (dialect.group, dialect.plural, verb))
    });
    // A route of its own.
    let created = [("gateway.networking.k8s.io", "httproutes", "create")];
    let services = ["create", "patch", "delete"].map(|verb| ("", "services", verb));
    objects.chain(created).chain(services).collect()
}

fn rights(role: &Value) -> BTreeSet<(String, String, String)> {
    let texts = |value: &Value| -> Vec<String> {
        value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
    };
    let mut all = BTreeSet::new();
    for rule in role["rules"].as_array().unwrap() {
        for group in texts(&rule["apiGroups"]) {
            for resource in texts(&rule["resources"]) {
                all.extend(
                    texts(&rule["verbs"]).into_iter().map(|verb| (group.clone(), resource.clone(), verb)),
                );
            }
        }
    }
    all
}

#[test]
fn the_operator_may_do_exactly_what_it_does() {
    let own = [
        ("coordination.k8s.io", "leases", "get"),
        ("coordination.k8s.io", "leases", "create"),
        ("coordination.k8s.io", "leases", "update"),
        // It stops itself before it is uninstalled.
        ("apps", "deployments/scale", "patch"),
    ];
    let owned = |all: BTreeSet<(&str, &str, &str)>| -> BTreeSet<(String, String, String)> {
        all.into_iter().map(|(g, r, v)| (g.to_owned(), r.to_owned(), v.to_owned())).collect()
    };
    // The golden files are what helm renders (checked above), and are here without it.
    for (name, _) in CASES {
        let golden = fs::read_to_string(root().join(format!("tests/chart/{name}.golden.yaml"))).unwrap();
        let all = objects(&golden);
        let (cluster, roles) = (of_kind(&all, "ClusterRole"), of_kind(&all, "Role"));
        let leader = roles.iter().find(|r| r["metadata"]["name"] == "ftr-freethread-rollout-leader").unwrap();
        assert_eq!(leader["metadata"]["namespace"], "freethread-system");
        assert_eq!(rights(leader), owned(BTreeSet::from(own)));
        for rule in leader["rules"].as_array().unwrap() {
            let names = rule.get("resourceNames");
            let create = rule["verbs"] == serde_json::json!(["create"]);
            assert!(
                create || names == Some(&serde_json::json!(["ftr-freethread-rollout"])),
                "{name}: {rule}"
            );
        }
        let operator = cluster.iter().chain(&roles).filter(|r| {
            let aggregated =
                r["metadata"]["labels"].as_object().unwrap().keys().any(|l| l.contains("aggregate-to"));
            !aggregated && r["metadata"]["name"] != "ftr-freethread-rollout-leader"
        });
        let operator: Vec<_> = operator.collect();
        assert_eq!(operator.len(), 1, "{name}");
        let mut may = allowed();
        if name == "everything" {
            may.extend(of_routers());
        }
        assert_eq!(rights(operator[0]), owned(may), "{name}");
        for role in cluster.iter().chain(&roles) {
            for (group, resource, verb) in rights(role) {
                assert!(
                    ![&group, &resource, &verb].iter().any(|t| t.contains('*')),
                    "{name}: a wildcard: {group} {resource} {verb}"
                );
                assert!(
                    !resource.starts_with("secrets") && !resource.starts_with("serviceaccounts"),
                    "{name}: {resource} {verb}"
                );
                assert!(
                    !["escalate", "bind", "impersonate", "proxy"].contains(&verb.as_str()),
                    "{name}: {verb}"
                );
            }
        }
    }
}

#[test]
fn in_one_namespace_nothing_is_cluster_wide() {
    let golden = fs::read_to_string(root().join("tests/chart/everything.golden.yaml")).unwrap();
    for object in objects(&golden) {
        let kind = object["kind"].as_str().unwrap();
        let namespace =
            object["metadata"]["namespace"].as_str().unwrap_or_else(|| panic!("{kind} is in no namespace"));
        assert!(["shop", "freethread-system"].contains(&namespace), "{kind} in {namespace}");
        assert!(
            namespace != "shop" || ["Role", "RoleBinding"].contains(&kind),
            "{kind} in the watched namespace"
        );
    }
}

#[test]
fn the_pods_pass_the_restricted_standard() {
    for (name, _) in CASES {
        let golden = fs::read_to_string(root().join(format!("tests/chart/{name}.golden.yaml"))).unwrap();
        let all = objects(&golden);
        for kind in ["Deployment", "Job"] {
            let [object] = of_kind(&all, kind)[..] else { panic!("{name}: one {kind}") };
            let pod = &object["spec"]["template"]["spec"];
            assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
            assert_eq!(pod["securityContext"]["runAsUser"], 65534);
            assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
            let container = &pod["containers"][0]["securityContext"];
            assert_eq!(container["allowPrivilegeEscalation"], false);
            assert_eq!(container["readOnlyRootFilesystem"], true);
            assert_eq!(container["capabilities"]["drop"], serde_json::json!(["ALL"]));
            for volume in pod["volumes"].as_array().into_iter().flatten() {
                let known = volume.get("configMap").is_some() || volume.get("secret").is_some();
                assert!(known, "{name}: {volume}");
            }
        }
    }
}

#[test]
fn before_it_is_uninstalled_and_at_no_other_time_everything_is_given_back() {
    for (name, _) in CASES {
        let golden = fs::read_to_string(root().join(format!("tests/chart/{name}.golden.yaml"))).unwrap();
        let all = objects(&golden);
        let ([job], [operator]) = (&of_kind(&all, "Job")[..], &of_kind(&all, "Deployment")[..]) else {
            panic!("{name}: one Job and one Deployment")
        };
        assert_eq!(job["metadata"]["annotations"]["helm.sh/hook"], "pre-delete");
        let (theirs, ours) = (&operator["spec"]["template"], &job["spec"]["template"]);
        for same in
            ["serviceAccountName", "nodeSelector", "tolerations", "imagePullSecrets", "securityContext"]
        {
            assert_eq!(theirs["spec"].get(same), ours["spec"].get(same), "{name}: {same}");
        }
        assert_eq!(theirs["spec"]["containers"][0]["image"], ours["spec"]["containers"][0]["image"]);
        let selector = operator["spec"]["selector"]["matchLabels"].as_object().unwrap();
        let labels = &ours["metadata"]["labels"];
        assert!(!selector.iter().all(|(key, value)| labels.get(key) == Some(value)), "the budget counts it");
        let args = |pod: &Value| -> BTreeSet<String> {
            let all = pod["spec"]["containers"][0]["args"].as_array().unwrap();
            all.iter().map(|arg| arg.as_str().unwrap().to_owned()).collect()
        };
        for shared in ["--lease=", "--watch-namespace=", "--log-format="] {
            let of = |pod| args(pod).into_iter().find(|arg| arg.starts_with(shared));
            assert_eq!(of(theirs), of(ours), "{name}");
        }
        let deployment = format!("--deployment={}", operator["metadata"]["name"].as_str().unwrap());
        let replicas = format!("--replicas={}", operator["spec"]["replicas"]);
        assert!(args(ours).is_superset(&BTreeSet::from([deployment, replicas])), "{name}: {:?}", args(ours));
    }
}

#[test]
fn without_giving_back_there_is_no_job_and_no_right() {
    let Some(helm) = helm() else { return };
    let text = rendered(&helm, &["--set", "giveBack.enabled=false"]);
    assert!(!text.contains("kind: Job") && !text.contains("deployments/scale"));
}

#[test]
fn a_changed_configuration_restarts_the_operator() {
    let Some(helm) = helm() else { return };
    let checksum = |set: &str| {
        let all = objects(&rendered(&helm, &["--set", set]));
        of_kind(&all, "Deployment")[0]["spec"]["template"]["metadata"]["annotations"]["checksum/config"]
            .clone()
    };
    assert_ne!(
        checksum("prometheus.default.scrapeInterval=5s"),
        checksum("prometheus.default.scrapeInterval=15s")
    );
    assert_eq!(checksum("replicas=1"), checksum("replicas=2"));
}

#[test]
fn one_replica_has_no_budget_that_would_block_drains() {
    let Some(helm) = helm() else { return };
    let budgets =
        |set: &str| of_kind(&objects(&rendered(&helm, &["--set", set])), "PodDisruptionBudget").len();
    assert_eq!((budgets("replicas=1"), budgets("replicas=2")), (0, 1));
}
