//! What the cluster says of a Deployment.

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Container, PodSpec},
};

use super::traffic::Seen;

/// Everything that a proposal is made of.
#[derive(Debug, Clone)]
pub struct Found {
    /// The Deployment as it runs today.
    pub workload: Deployment,
    /// Names of the Services that select its pods.
    pub services: Vec<String>,
    /// What scales it, such as `HorizontalPodAutoscaler orders (2 to 10 pods)`.
    pub autoscalers: Vec<String>,
    /// What routes requests to those Services, such as `HTTPRoute shop`.
    pub routes: Vec<String>,
    /// Who else manages it, such as `Helm` or `Argo CD`.
    pub managers: Vec<String>,
    /// What a pod exports.
    pub metrics: Metrics,
    /// What could not be found out, and why.
    pub unknown: Vec<String>,
}

/// A pod's own metrics.
#[derive(Debug, Clone, PartialEq)]
pub enum Metrics {
    /// Of an exporter that is known.
    Seen(Seen),
    /// They could be read, and no exporter is known that calls things so. The names of some counters and histograms.
    Strange(Vec<String>),
    /// They could not be read, and why.
    Unread(String),
}

/// Names that say that a container does something for others.
const SIDECARS: [&str; 8] = ["proxy", "sidecar", "envoy", "agent", "exporter", "nginx", "fluent", "vault"];
/// Words of a command that runs Python.
const PYTHON: [&str; 10] = [
    "python",
    "gunicorn",
    "uvicorn",
    "granian",
    "hypercorn",
    "celery",
    "dramatiq",
    "waitress",
    "uwsgi",
    "rq",
];

/// The container that seems to run Python: the only one, the one whose command says so, or the first that looks like no helper.
pub fn container_of(pod: &PodSpec) -> Option<&Container> {
    let words = |container: &Container| {
        let command = container.command.iter().chain(&container.args).flatten();
        command.map(|word| word.to_lowercase()).collect::<Vec<_>>().join(" ")
    };
    let python = |container: &&Container| PYTHON.iter().any(|word| words(container).contains(word));
    let helper = |container: &&Container| SIDECARS.iter().any(|word| container.name.contains(word));
    let containers = &pod.containers;
    containers
        .iter()
        .find(|container| python(container) && !helper(container))
        .or_else(|| containers.iter().find(|container| !helper(container)))
        .or(containers.first())
}
