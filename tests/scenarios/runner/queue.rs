//! The example with a queue: the standard pool works for a producer, and the books say what became of each order.

use std::collections::BTreeMap;

use freethread_rollout::api::Span;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::{Api, ResourceExt};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    Result,
    cluster::{Cluster, within},
    context,
    load::{Counts, PERIOD},
    stage::Stage,
    vocabulary::Pool,
    world::State,
};

/// Its manifests.
pub(crate) const MANIFESTS: &str = "examples/queue/orders.yaml";
/// Name of the producer, its Deployment and its Service.
pub(crate) const PRODUCER: &str = "producer";
const PRODUCER_PORT: u16 = 8080;
/// The Service of the operator's flags, in its own namespace.
const FLAGS: &str = "freethread-rollout-flags";

/// What the books have to say once no more orders come.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct ExpectedTasks {
    /// Orders that were done more than once.
    #[serde(default)]
    pub(crate) twice_at_most: u64,
    /// What the free-threaded pool has done of all, in percent, from and to.
    pub(crate) free_threaded: (f64, f64),
    /// Until all are done.
    pub(crate) within: Span,
}

/// The books, as the producer tells them.
#[derive(Debug, Deserialize)]
struct Ledger {
    taken: u64,
    missing: u64,
    twice: u64,
    pools: BTreeMap<String, u64>,
    gil: BTreeMap<String, u64>,
}

/// Applies the manifests and waits until everything runs.
pub(crate) async fn deploy(stage: &Stage, manifests: Vec<Value>) -> Result<()> {
    let (services, others): (Vec<Value>, Vec<Value>) =
        manifests.into_iter().partition(|manifest| manifest["kind"] == "Service");
    let (cluster, namespace) = (&stage.cluster, stage.namespace.as_str());
    let mut hosts = vec![json!({
        "ip": address(cluster, &cluster.operator_namespace, FLAGS).await?,
        "hostnames": [format!("{FLAGS}.{}.svc", cluster.operator_namespace)],
    })];
    for service in &services {
        cluster.apply(namespace, service).await?;
        let name = service["metadata"]["name"].as_str().unwrap_or_default();
        hosts.push(json!({"ip": address(cluster, namespace, name).await?, "hostnames": [name]}));
    }
    let mut wanted = Vec::new();
    for mut manifest in others {
        // The test cluster has no DNS.
        manifest["spec"]["template"]["spec"]["hostAliases"] = json!(hosts);
        cluster.apply(namespace, &manifest).await?;
        let replicas = manifest["spec"]["replicas"].as_i64().and_then(|replicas| replicas.try_into().ok());
        let name = manifest["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        wanted.push((name, replicas.unwrap_or(1)));
    }
    for (name, replicas) in wanted {
        stage.wait_for_ready(namespace, &name, replicas).await?;
    }
    Ok(())
}

async fn address(cluster: &Cluster, namespace: &str, name: &str) -> Result<String> {
    let services: Api<Service> = Api::namespaced(cluster.client.clone(), namespace);
    let service =
        within(services.get(name)).await.map_err(context(&format!("Service {namespace}/{name}")))?;
    Ok(service.spec.and_then(|spec| spec.cluster_ip).unwrap_or_default())
}

/// Waits until all orders are done, and looks at how.
pub(crate) async fn expect_tasks(
    stage: &Stage,
    expected: &ExpectedTasks,
    deadline: Instant,
) -> Result<String> {
    loop {
        stage.world.guard()?;
        let counts = stage.load.counts().await?;
        let producer = producer(&stage.world.now()).ok_or("the producer has no running pod")?;
        let text = stage.cluster.to_pod(&stage.namespace, &producer, PRODUCER_PORT, "/ledger", None).await?;
        let ledger: Ledger = serde_json::from_str(&text).map_err(context("the ledger"))?;
        match expected.check(&ledger, &counts) {
            Err(_) if ledger.missing > 0 && Instant::now() < deadline => tokio::time::sleep(PERIOD).await,
            seen => return seen.map_err(Into::into),
        }
    }
}

/// The producer's pod.
fn producer(state: &State) -> Option<String> {
    let running = |pod: &&Pod| {
        pod.labels().get("app").is_some_and(|app| app == PRODUCER)
            && pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running")
    };
    state.pods.objects.values().find(running).map(ResourceExt::name_any)
}

impl ExpectedTasks {
    fn check(&self, ledger: &Ledger, counts: &Counts) -> std::result::Result<String, String> {
        let by = |pool: Pool| ledger.pools.get(pool.word()).copied().unwrap_or(0);
        let (ours, theirs) = (by(Pool::FreeThreaded), by(Pool::Standard));
        let promised = counts.total.answered.saturating_sub(counts.total.failed);
        // Promised and not in the books would be lost too.
        let lost = ledger.missing + promised.saturating_sub(ledger.taken);
        let share = 100.0 * ours as f64 / (ours + theirs).max(1) as f64;
        let on = ledger.gil.get("free-threaded: on").copied().unwrap_or(0);
        let seen = format!(
            "{lost} of {} orders lost, {} done twice; {ours} done by the free-threaded pool ({share:.1} %), {on} of them with the GIL",
            ledger.taken, ledger.twice
        );
        let (from, to) = self.free_threaded;
        let fine = lost == 0 && ledger.twice <= self.twice_at_most && (from..=to).contains(&share) && on == 0;
        if fine { Ok(seen) } else { Err(format!("{seen}; expected {self:?}")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Tally;

    #[test]
    fn an_order_is_lost_that_was_promised_and_is_not_in_the_books() {
        let expected =
            ExpectedTasks { twice_at_most: 1, free_threaded: (20.0, 40.0), within: Span::from_secs(1) };
        let ledger = |taken, missing, twice, ours| Ledger {
            taken,
            missing,
            twice,
            pools: [("standard".into(), 70), ("free-threaded".into(), ours)].into(),
            gil: [("free-threaded: off".into(), ours)].into(),
        };
        let total = Tally { answered: 102, failed: 2, ..Tally::default() };
        let counts = Counts { window: total.clone(), total };
        let seen = "0 of 100 orders lost, 1 done twice; 30 done by the free-threaded pool (30.0 %), 0 of them with the GIL";
        assert_eq!(expected.check(&ledger(100, 0, 1, 30), &counts), Ok(seen.into()));
        assert!(expected.check(&ledger(99, 0, 1, 30), &counts).is_err(), "one is in no book");
        assert!(expected.check(&ledger(100, 1, 1, 30), &counts).is_err(), "one is not done");
        assert!(expected.check(&ledger(100, 0, 2, 30), &counts).is_err(), "two were done twice");
        assert!(expected.check(&ledger(100, 0, 1, 10), &counts).is_err(), "12.5 % were ours");
        let mut with_gil = ledger(100, 0, 1, 30);
        with_gil.gil.insert("free-threaded: on".into(), 1);
        assert!(expected.check(&with_gil, &counts).is_err());
    }
}
