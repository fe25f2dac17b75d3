//! Renders the free-threaded pool's Deployment.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::Deployment;
use serde_json::{Map, Value, json};

use super::{cpu, patch::strategic_merge, probe, safety::weakened};
use crate::api::{
    ANNOTATION_TEMPLATE_HASH, FreeThreaded, LABEL_MANAGED_BY, LABEL_POOL, LABEL_ROLLOUT, MANAGED_BY,
    POOL_FREE_THREADED, Resources, hash, pool_name,
};

/// Seconds that a pod of our pool keeps serving after it was told to end, where the template says nothing: endpoints take a moment
/// to disappear everywhere (measured: without it a rollback failed 8 of 1200 requests, with it none).
const PRE_STOP_SECONDS: i64 = 5;

/// Name of the init container that refuses an image without a free-threaded interpreter.
pub const CHECK_CONTAINER: &str = "freethread-check";

/// The check itself: standard library only, and it imports nothing that could enable the GIL.
const CHECK_SCRIPT: &str = "import sys, sysconfig
if not sysconfig.get_config_var('Py_GIL_DISABLED'):
    sys.exit('not a free-threaded build of Python: ' + sys.version.replace('\\n', ' '))";

/// The Deployment as it should be, and what identifies it.
#[derive(Debug, Clone, PartialEq)]
pub struct Rendered {
    /// The object for server-side apply: only what is ours, without `spec.replicas` (the router owns them).
    pub deployment: Value,
    /// Hash of what decides about new pods: everything but annotations.
    pub hash: String,
    /// The image that the Python container gets.
    pub image: String,
    /// The image that it has on the standard pool.
    pub standard_image: String,
    /// Name of the Python container.
    pub container: String,
    /// CPU that it asks for, over what it asks for in the standard pool; 1 where one of them asks for none.
    pub cpu_times: f64,
}

/// Why the pool cannot be rendered. Each says what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// The template could not be read as JSON.
    #[error("the standard pool's pod template cannot be read: {0}")]
    Template(String),
    /// Several containers and none named.
    #[error(
        "the pod has several containers ({0}): set spec.freeThreaded.container to the one that runs Python"
    )]
    WhichContainer(String),
    /// A container that is not there.
    #[error("spec.freeThreaded.container is '{wanted}', but the pod has only: {there}")]
    NoSuchContainer {
        /// What the spec names.
        wanted: String,
        /// What there is.
        there: String,
    },
    /// `{tag}` without a tag.
    #[error(
        "spec.freeThreaded.image uses {{tag}}, but the standard image '{0}' has no tag: write the whole image name"
    )]
    NoTag(String),
    /// The patch makes pods more powerful.
    #[error(
        "spec.freeThreaded.patch may not {0}: the free-threaded pool has the standard pool's rights, no more"
    )]
    Weakened(String),
    /// The patch makes no pod template.
    #[error("spec.freeThreaded.patch does not give a valid pod template: {0}")]
    Patch(String),
}

/// Render the pool of `rollout` from the standard Deployment. `serving` are the selectors of the Services that select the standard pods:
/// by pod counts our pods carry just those labels, so that the same Services find them.
///
/// # Errors
/// Where the spec does not fit the standard pool.
pub fn render(
    rollout: &str,
    namespace: &str,
    standard: &Deployment,
    spec: &FreeThreaded,
    serving: &[BTreeMap<String, String>],
) -> Result<Rendered, RenderError> {
    let template = standard.spec.as_ref().map(|s| &s.template);
    let base = serde_json::to_value(template).map_err(|e| RenderError::Template(e.to_string()))?;
    let container = python_container(&base, spec.container.as_deref())?;
    let standard_image = container_field(&base, &container, "image");
    let image = follow_tag(&spec.image, &standard_image)?;

    let mut ours = base.clone();
    strategic_merge(&mut ours, &changes(&container, &image, spec)?);
    let patch = spec.patch.clone().unwrap_or_else(|| json!({}));
    strategic_merge(&mut ours, &patch);
    let base_pod = base.get("spec").cloned().unwrap_or_default();
    let pod = ours.get("spec").cloned().unwrap_or_default();
    if let Some(what) = weakened(&base_pod, &pod, &container) {
        return Err(RenderError::Weakened(what));
    }
    serde_json::from_value::<k8s_openapi::api::core::v1::PodTemplateSpec>(ours.clone())
        .map_err(|e| RenderError::Patch(e.to_string()))?;
    add_pre_stop(&mut ours, &container);
    if let Some(check) = check(&ours, &container, &spec.python) {
        add_first(&mut ours, check.clone());
        if spec.probe {
            probe::add(&mut ours, &check, &container, &spec.python);
        }
    }

    let labels = labels(rollout, serving, &patch);
    let annotations = annotations(&ours);
    let metadata = json!({"labels": labels, "annotations": annotations});
    let pod = ours.get("spec").cloned().unwrap_or_default();
    let image = container_field(&json!({"spec": pod}), &container, "image");
    let hash = hash(&json!({"labels": labels, "spec": pod}));
    let cpu_times = cpu::times(&json!({"spec": pod}), &base, &container);
    let selector = json!({LABEL_ROLLOUT: rollout, LABEL_POOL: POOL_FREE_THREADED});
    let deployment = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": pool_name(rollout),
            "namespace": namespace,
            "labels": {LABEL_ROLLOUT: rollout, LABEL_POOL: POOL_FREE_THREADED, LABEL_MANAGED_BY: MANAGED_BY},
            "annotations": {ANNOTATION_TEMPLATE_HASH: hash},
        },
        "spec": {
            "selector": {"matchLabels": selector},
            "revisionHistoryLimit": 2,
            "template": {"metadata": metadata, "spec": pod},
        },
    });
    Ok(Rendered { deployment, hash, image, standard_image, container, cpu_times })
}

/// Hash of a pod template without annotations: `kubectl rollout restart` changes only those, and changes nothing here.
pub fn standard_hash(standard: &Deployment) -> String {
    let template = serde_json::to_value(standard.spec.as_ref().map(|s| &s.template)).unwrap_or_default();
    hash(&json!({"labels": template.pointer("/metadata/labels"), "spec": template.get("spec")}))
}

fn containers(template: &Value) -> impl Iterator<Item = &Value> {
    template
        .pointer("/spec/containers")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
        .iter()
}

fn name_of(container: &Value) -> &str {
    container.get("name").and_then(Value::as_str).unwrap_or_default()
}

fn container_field(template: &Value, container: &str, field: &str) -> String {
    containers(template)
        .find(|c| name_of(c) == container)
        .and_then(|c| c.get(field))
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

fn python_container(template: &Value, wanted: Option<&str>) -> Result<String, RenderError> {
    let names: Vec<&str> = containers(template).map(name_of).collect();
    match (wanted, names.as_slice()) {
        (Some(wanted), names) if names.contains(&wanted) => Ok(wanted.to_owned()),
        (Some(wanted), names) => {
            Err(RenderError::NoSuchContainer { wanted: wanted.to_owned(), there: names.join(", ") })
        }
        (None, [only]) => Ok((*only).to_owned()),
        (None, names) => Err(RenderError::WhichContainer(names.join(", "))),
    }
}

/// Replace `{tag}` by the tag of the standard image.
fn follow_tag(image: &str, standard: &str) -> Result<String, RenderError> {
    if !image.contains("{tag}") {
        return Ok(image.to_owned());
    }
    // A digest is no version that another image could follow, and a colon before the last slash is a registry's port.
    let name = standard.rsplit('/').next().unwrap_or_default();
    let tag = name.split('@').next().and_then(|name| name.split_once(':')).map(|(_, tag)| tag);
    tag.map(|tag| image.replace("{tag}", tag)).ok_or_else(|| RenderError::NoTag(standard.to_owned()))
}

/// `container`, `env` and `resources` of the spec as one patch.
fn changes(container: &str, image: &str, spec: &FreeThreaded) -> Result<Value, RenderError> {
    let mut change = Map::new();
    change.insert("name".into(), json!(container));
    change.insert("image".into(), json!(image));
    if !spec.env.is_empty() {
        let env = serde_json::to_value(&spec.env).map_err(|e| RenderError::Patch(e.to_string()))?;
        change.insert("env".into(), env);
    }
    if let Some(resources) = &spec.resources {
        let sides = json!({"$patch": "replace", "requests": Resources::quantities(&resources.requests),
            "limits": Resources::quantities(&resources.limits)});
        change.insert("resources".into(), sides);
    }
    Ok(json!({"spec": {"containers": [change]}}))
}

/// Our pods carry what the Services select, what the patch adds, and our own labels; nothing else of the template's, or selectors
/// that were never meant for them (the standard Deployment's, its HPA's, a PDB's) would match them.
fn labels(rollout: &str, serving: &[BTreeMap<String, String>], patch: &Value) -> BTreeMap<String, String> {
    let mut labels: BTreeMap<String, String> =
        serving.iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect();
    if let Some(added) = patch.pointer("/metadata/labels").and_then(Value::as_object) {
        labels.extend(added.iter().filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned()))));
    }
    labels.insert(LABEL_ROLLOUT.into(), rollout.into());
    labels.insert(LABEL_POOL.into(), POOL_FREE_THREADED.into());
    labels
}

/// The template's annotations (scraping is often configured there), without the mark of a restart.
fn annotations(template: &Value) -> Map<String, Value> {
    let all =
        template.pointer("/metadata/annotations").and_then(Value::as_object).cloned().unwrap_or_default();
    all.into_iter().filter(|(name, _)| name != "kubectl.kubernetes.io/restartedAt").collect()
}

fn add_pre_stop(template: &mut Value, container: &str) {
    let grace = template.pointer("/spec/terminationGracePeriodSeconds").and_then(Value::as_i64).unwrap_or(30);
    let seconds = PRE_STOP_SECONDS.min(grace - 1);
    let Some(list) = template.pointer_mut("/spec/containers").and_then(Value::as_array_mut) else { return };
    for object in list.iter_mut().filter(|c| name_of(c) == container).filter_map(Value::as_object_mut) {
        let lifecycle = object.entry("lifecycle").or_insert_with(|| json!({}));
        if seconds > 0 && lifecycle.get("preStop").is_none() {
            strategic_merge(lifecycle, &json!({"preStop": {"sleep": {"seconds": seconds}}}));
        }
    }
}

/// The init container that refuses an image without a free-threaded interpreter.
fn check(template: &Value, container: &str, python: &str) -> Option<Value> {
    let python_container = containers(template).find(|c| name_of(c) == container)?;
    let mut check = json!({"name": CHECK_CONTAINER, "command": [python, "-c", CHECK_SCRIPT],
        "terminationMessagePolicy": "FallbackToLogsOnError"});
    // As the container itself: same image, rights, mounts (the interpreter may come from one) and resources.
    for field in [
        "image",
        "imagePullPolicy",
        "env",
        "envFrom",
        "volumeMounts",
        "securityContext",
        "resources",
        "workingDir",
    ] {
        if let (Some(value), Some(object)) = (python_container.get(field), check.as_object_mut()) {
            object.insert(field.into(), value.clone());
        }
    }
    Some(check)
}

fn add_first(template: &mut Value, init: Value) {
    let Some(pod) = template.get_mut("spec").and_then(Value::as_object_mut) else { return };
    let list = pod.entry("initContainers").or_insert_with(|| json!([]));
    if let Some(list) = list.as_array_mut() {
        list.insert(0, init);
    }
}

#[cfg(test)]
#[allow(clippy::needless_pass_by_value, reason = "json!() reads better in place")]
mod tests {
    use super::*;

    fn standard(image: &str, extra: Value) -> Deployment {
        let mut template = json!({"metadata": {"labels": {"app": "orders", "version": "1"}, "annotations":
            {"prometheus.io/scrape": "true", "kubectl.kubernetes.io/restartedAt": "now"}},
            "spec": {"containers": [{"name": "web", "image": image}]}});
        strategic_merge(&mut template, &extra);
        serde_json::from_value(json!({"metadata": {"name": "orders"},
            "spec": {"selector": {"matchLabels": {"app": "orders"}}, "template": template}}))
        .unwrap()
    }

    fn spec(image: &str) -> FreeThreaded {
        serde_json::from_value(json!({"image": image})).unwrap()
    }

    fn rendered(standard: &Deployment, spec: &FreeThreaded) -> Result<Rendered, RenderError> {
        let service = BTreeMap::from([("app".to_owned(), "orders".to_owned())]);
        render("orders", "shop", standard, spec, &[service])
    }

    #[test]
    fn pods_carry_what_services_select_and_what_is_ours() {
        let mut standard = standard("r.example:5000/orders:1.2", json!({}));
        // What Argo CD and Flux know theirs by.
        let theirs = [
            "app.kubernetes.io/instance",
            "argocd.argoproj.io/tracking-id",
            "kustomize.toolkit.fluxcd.io/name",
        ];
        let theirs = BTreeMap::from(theirs.map(|name| (name.to_owned(), "shop".to_owned())));
        (standard.metadata.labels, standard.metadata.annotations) = (Some(theirs.clone()), Some(theirs));
        let pool = rendered(&standard, &spec("r.example:5000/orders:{tag}-py3.14t")).unwrap();
        let (labels, hash) =
            (&pool.deployment["metadata"]["labels"], json!({ANNOTATION_TEMPLATE_HASH: pool.hash}));
        assert_eq!(
            labels,
            &json!({LABEL_ROLLOUT: "orders", LABEL_POOL: "free-threaded", LABEL_MANAGED_BY: MANAGED_BY})
        );
        assert_eq!(pool.deployment["metadata"]["annotations"], hash);
        assert_eq!(pool.image, "r.example:5000/orders:1.2-py3.14t");
        let labels = pool.deployment.pointer("/spec/template/metadata/labels").unwrap();
        assert_eq!(labels, &json!({"app": "orders", LABEL_ROLLOUT: "orders", LABEL_POOL: "free-threaded"}));
        assert_eq!(pool.deployment.pointer("/spec/replicas"), None, "the router owns the replicas");
        assert_eq!(
            pool.deployment.pointer("/spec/template/metadata/annotations"),
            Some(&json!({"prometheus.io/scrape": "true"}))
        );
        let text = pool.deployment.to_string();
        assert!(!text.contains("PYTHON_GIL"), "the GIL is never forced");
    }

    #[test]
    fn annotations_alone_change_no_hash_and_a_real_change_does() {
        let plain = standard("o:1", json!({}));
        let again = json!({"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "later"}}});
        let restarted = standard("o:1", again);
        let hash = |standard: &Deployment| rendered(standard, &spec("o:{tag}-t")).unwrap().hash;
        assert_eq!((hash(&plain), standard_hash(&plain)), (hash(&restarted), standard_hash(&restarted)));
        let newer = standard("o:2", json!({}));
        assert_ne!(standard_hash(&plain), standard_hash(&newer));
        assert_ne!(hash(&plain), hash(&newer));
    }

    #[test]
    fn the_probe_is_written_by_the_image_itself_and_put_first_on_its_path() {
        let env = json!([{"name": "PYTHONPATH", "value": "/theirs"}, {"name": "A", "value": "b"}]);
        let extra = json!({"spec": {"containers": [{"name": "web", "env": env}, {"name": "proxy", "image": "p:1"}],
            "initContainers": [{"name": "migrate", "image": "m:1"}]}});
        let standard = standard("o:1", extra);
        let mut spec = spec("o:t");
        spec.container = Some("web".into());
        let plain = rendered(&standard, &spec).unwrap();
        assert!(!plain.deployment.to_string().contains("freethread-probe"), "only where it is asked for");
        spec.probe = true;
        let pool = rendered(&standard, &spec).unwrap();
        assert_ne!(pool.hash, plain.hash);
        let pod = pool.deployment.pointer("/spec/template/spec").unwrap();
        let names = |list: &str| -> Vec<&str> {
            pod[list].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect()
        };
        assert_eq!(names("initContainers"), ["freethread-check", "freethread-probe", "migrate"]);
        assert_eq!(names("volumes"), ["freethread-probe"]);
        let container =
            |name: &str| pod["containers"].as_array().unwrap().iter().find(|c| c["name"] == name).unwrap();
        let (web, proxy, writer) = (container("web"), container("proxy"), &pod["initContainers"][1]);
        let path = json!({"name": "PYTHONPATH", "value": "/freethread-probe/freethread_probe/inject"});
        assert_eq!(web["env"], json!([{"name": "A", "value": "b"}, path]));
        let mount = |read_only| json!([{"name": "freethread-probe", "mountPath": "/freethread-probe", "readOnly": read_only}]);
        assert_eq!((&web["volumeMounts"], &writer["volumeMounts"]), (&mount(true), &mount(false)));
        assert_eq!(proxy.get("volumeMounts"), None);
        assert_eq!(writer["env"], env, "it writes down what the image's own path is");
        let files: Value = serde_json::from_str(writer["command"][4].as_str().unwrap()).unwrap();
        assert!(files["inject/sitecustomize.py"].as_str().unwrap().contains("freethread_probe.start()"));
        let all =
            std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/probe/src/freethread_probe")).unwrap();
        for file in all.map(|file| file.unwrap().file_name().into_string().unwrap()) {
            let python = std::path::Path::new(&file).extension().is_some_and(|extension| extension == "py");
            assert!(!python || files.get(&file).is_some(), "{file} is left out");
        }
    }

    #[test]
    fn a_pre_stop_sleep_is_added_where_there_is_none() {
        let sleep = |extra: Value| {
            let pool = rendered(&standard("o:1", extra), &spec("o:t")).unwrap();
            pool.deployment.pointer("/spec/template/spec/containers/0/lifecycle/preStop").cloned()
        };
        assert_eq!(sleep(json!({})), Some(json!({"sleep": {"seconds": 5}})));
        assert_eq!(
            sleep(json!({"spec": {"terminationGracePeriodSeconds": 3}})),
            Some(json!({"sleep": {"seconds": 2}}))
        );
        let own = json!({"exec": {"command": ["drain"]}});
        assert_eq!(
            sleep(json!({"spec": {"containers": [{"name": "web", "lifecycle": {"preStop": own}}]}})),
            Some(own)
        );
    }

    #[test]
    fn the_image_is_checked_before_the_pod_may_be_ready() {
        let pool = rendered(&standard("o:1", json!({})), &spec("o:t")).unwrap();
        let check = pool.deployment.pointer("/spec/template/spec/initContainers/0").unwrap();
        assert_eq!(check.get("image"), Some(&json!("o:t")));
        assert_eq!(check.pointer("/command/0"), Some(&json!("python3")));
    }

    #[test]
    fn what_cannot_work_says_what_to_write() {
        let two = standard("o:1", json!({"spec": {"containers": [{"name": "proxy", "image": "p"}]}}));
        let error = rendered(&two, &spec("o:t")).unwrap_err().to_string();
        assert!(error.contains("set spec.freeThreaded.container"), "{error}");
        let mut named = spec("o:t");
        named.container = Some("app".into());
        assert!(rendered(&two, &named).unwrap_err().to_string().contains("proxy, web"));
        let digest = standard("r.example/o@sha256:00", json!({}));
        assert!(rendered(&digest, &spec("o:{tag}-t")).unwrap_err().to_string().contains("has no tag"));
        let mut strong = spec("o:t");
        strong.patch = Some(json!({"spec": {"serviceAccountName": "admin"}}));
        assert!(
            rendered(&standard("o:1", json!({})), &strong)
                .unwrap_err()
                .to_string()
                .contains("may not change serviceAccountName")
        );
        let mut odd = spec("o:t");
        odd.patch = Some(json!({"spec": {"containers": "web"}}));
        assert!(matches!(rendered(&standard("o:1", json!({})), &odd), Err(RenderError::Patch(_))));
    }
}
