//! Plays the steps of a scenario.

use std::time::Duration;

use freethread_rollout::api::{Span, pool_name};
use futures::future::join_all;
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, DynamicObject, PropagationPolicy},
};
use tokio::time::Instant;

use crate::{
    Result,
    cluster::within,
    context, examples, expect,
    load::{Checked, Counts, PERIOD},
    plugin, queue,
    route::{ExpectedShare, Route, counts_in, last_answer},
    stage::{NAME, Stage},
    vocabulary::{
        Across, Delete, Elsewhere, ExpectedCounts, ExpectedGone, ExpectedNext, Fault, Kill, Patch, Pool,
        Propagation, Scale, Since, Step, Which,
    },
};

/// Port of the example service.
const SERVICE_PORT: u16 = 8080;

/// A scenario under way.
pub(crate) struct Play<'a> {
    pub(crate) stage: &'a mut Stage,
    pub(crate) started: Instant,
    /// When something was last done to it, and what.
    pub(crate) disturbed: Option<(Instant, &'static str)>,
    /// What the expectations measured, in words.
    pub(crate) measured: Vec<String>,
    /// The counts as last read: the load generator goes with its namespace.
    pub(crate) counts: Option<Counts>,
    /// Where the last deletion (or uninstallation) stands in the timeline.
    pub(crate) deleted_from: usize,
}

impl<'a> Play<'a> {
    pub(crate) fn new(stage: &'a mut Stage) -> Self {
        Self {
            stage,
            started: Instant::now(),
            disturbed: None,
            measured: Vec::new(),
            counts: None,
            deleted_from: 0,
        }
    }

    /// Plays one step and says what was seen or done.
    pub(crate) async fn step(&mut self, step: &Step) -> Result<String> {
        let seen = match step {
            Step::Wait(expected) => {
                let deadline = after(Instant::now(), expected.within);
                self.stage.world.until(deadline, |state| expect::status(expected, state)).await?
            }
            Step::Expect(expected) => {
                let deadline = self.deadline(expected.within);
                let seen = self.stage.world.until(deadline, |state| expect::status(expected, state)).await?;
                self.note(expect::short(expected));
                seen
            }
            Step::ExpectEndpoints(expected) => {
                let deadline = self.deadline(expected.within);
                let seen = self
                    .stage
                    .world
                    .until(deadline, |state| expect::endpoints(expected, &state.view()))
                    .await?;
                self.note(seen.clone());
                seen
            }
            Step::ExpectHistory(expected) => {
                let deadline = after(Instant::now(), Some(Span::from_secs(2)));
                self.stage.world.until(deadline, |state| expect::history(expected, state)).await?
            }
            Step::ExpectEvent(expected) => {
                let deadline = after(Instant::now(), Some(expected.within));
                let seen = self.stage.world.until(deadline, |state| expect::event(expected, state)).await?;
                self.measured.push(seen.clone());
                seen
            }
            Step::ExpectObject(expected) => {
                let deadline = after(Instant::now(), Some(expected.within));
                self.stage.world.until(deadline, |state| expect::object(expected, state)).await?
            }
            Step::ExpectShare(expected) => self.expect_share(expected).await?,
            Step::ExpectRoute(expected) => {
                let deadline = after(Instant::now(), Some(expected.within));
                let seen = self.route()?.as_left(deadline).await?;
                self.measured.push(seen.clone());
                seen
            }
            Step::ExpectPlugin(expected) => self.stage.expect_plugin(expected).await?,
            Step::ExpectOrder(order) => {
                let seen = expect::order(order, &self.stage.world.now().timeline[self.deleted_from..])?;
                self.measured.push(seen.clone());
                seen
            }
            Step::ExpectCounts(expected) => self.expect_counts(expected).await?,
            Step::ExpectJudged(Across::Mark) => self.expect_judged().await?,
            Step::ExpectTasks(expected) => {
                let deadline = after(Instant::now(), Some(expected.within));
                let seen = queue::expect_tasks(self.stage, expected, deadline).await?;
                self.measured.push(seen.clone());
                seen
            }
            Step::ExpectNext(expected) => self.expect_next(expected).await?,
            Step::ExpectGone(expected) => self.expect_gone(expected).await?,
            Step::ExpectElsewhere(Elsewhere::Untouched) => self.stage.expect_elsewhere_untouched().await?,
            Step::Never(forbidden) => {
                self.stage.world.forbid(forbidden.clone());
                "watched from here on".into()
            }
            Step::Lift => {
                self.stage.world.guard()?;
                self.stage.world.lift();
                "it never happened".into()
            }
            doing => self.act(doing).await?,
        };
        self.stage.world.guard()?;
        Ok(seen)
    }

    async fn act(&mut self, step: &Step) -> Result<String> {
        match step {
            Step::Fault(fault) => self.fault(fault).await,
            Step::Kill(Kill { operator: Which::Leader }) => {
                self.disturb("kill").await;
                self.stage.kill_leader().await
            }
            Step::Scale(scale) => self.scale(scale).await,
            Step::Patch(patch) => self.patch(patch).await,
            Step::Apply(name) => {
                self.stage.apply(name).await?;
                Ok(name.clone())
            }
            Step::Delete(delete) => self.delete(delete).await,
            Step::ApplyExamples(examples) => {
                let deadline = after(Instant::now(), Some(examples.within));
                let seen = examples::apply(self.stage, deadline).await?;
                self.measured.push(seen.clone());
                Ok(seen)
            }
            Step::Operator(operator) => self.operator(operator).await,
            Step::ApplyElsewhere => {
                self.stage.apply_elsewhere().await?;
                Ok(String::new())
            }
            Step::Command(verb) => {
                self.disturb("command").await;
                plugin::give(&self.stage.namespace, verb).await
            }
            Step::Rate(rps) => {
                self.stage.load.rate(*rps).await?;
                Ok(format!("{rps} requests a second"))
            }
            Step::Headers(headers) => {
                self.stage.load.headers(headers).await?;
                Ok(format!("{headers:?} on every request"))
            }
            Step::TeamEdits(operations) => {
                self.disturb("edit").await;
                self.route()?.edit(operations).await
            }
            Step::RouteReverted(by) => {
                self.disturb("revert").await;
                self.route()?.revert(&by.manager).await
            }
            Step::Mark(name) => {
                self.stage.load.mark(name).await?;
                Ok(String::new())
            }
            other => Err(format!("the runner has no way to do {other:?}").into()),
        }
    }

    /// Notes that something is done now, and counts from here.
    pub(crate) async fn disturb(&mut self, what: &'static str) {
        // Without a mark the counts since then would be wrong, and the expectations about them say so.
        if let Err(error) = self.stage.load.mark(what).await {
            println!("  (no mark at the {what}: {error})");
        }
        self.stage.world.disturb();
        self.disturbed = Some((Instant::now(), what));
    }

    async fn fault(&mut self, fault: &Fault) -> Result<String> {
        self.disturb("fault").await;
        let pods = {
            let state = self.stage.world.now();
            let mut pods = Vec::new();
            for (pool, free_threaded) in [(Pool::Standard, false), (Pool::FreeThreaded, true)] {
                if fault.pool == pool || fault.pool == Pool::None {
                    pods.extend(
                        state.pods_of(free_threaded).into_iter().take(fault.pods.unwrap_or(usize::MAX)),
                    );
                }
            }
            pods
        };
        if pods.is_empty() {
            return Err(format!("the {} pool has no running pod", fault.pool.word()).into());
        }
        let tell = |pod: String| {
            let (cluster, namespace) = (&self.stage.cluster, &self.stage.namespace);
            async move {
                let told = cluster.to_pod(namespace, &pod, SERVICE_PORT, "/faults", Some(&fault.set)).await;
                told.map_err(|error| format!("fault of pod {pod}: {error}"))
            }
        };
        // A pod that is told to crash may not get to its answer.
        let deadly = fault.set.as_object().is_some_and(|set| {
            set.keys().any(|key| key.starts_with("crash") || key == "oom" || key == "hang")
        });
        for told in join_all(pods.iter().cloned().map(tell)).await {
            if let Err(error) = told
                && !deadly
            {
                return Err(error.into());
            }
        }
        Ok(format!("told {}", pods.join(", ")))
    }

    async fn patch(&mut self, patch: &Patch) -> Result<String> {
        self.disturb("patch").await;
        let Patch { kind, name, manager, set, applied } = patch;
        let patched =
            self.stage.cluster.patch(&self.stage.namespace, kind, name, manager, set, *applied).await?;
        if kind == "Deployment" {
            // What comes next looks at what the watch shows: it must not be from before the patch.
            let deadline = after(Instant::now(), Some(Span::from_secs(10)));
            self.stage.world.until(deadline, |state| expect::seen_since(name, patched, state)).await?;
        }
        Ok(format!("as {manager}"))
    }

    async fn scale(&mut self, scale: &Scale) -> Result<String> {
        self.disturb("scale").await;
        match scale {
            Scale::Standard(replicas) => {
                let had = self.stage.cluster.scale(&self.stage.namespace, NAME, *replicas).await?;
                Ok(format!("standard pool from {had} to {replicas}"))
            }
            Scale::Prometheus(replicas) => {
                let (namespace, name) = self.stage.cluster.prometheus().await?;
                self.stage.scale_for_now(namespace, name, *replicas).await?;
                Ok(format!("Prometheus to {replicas}"))
            }
            Scale::Operator(replicas) => {
                let name = self.stage.cluster.operator().await?;
                let namespace = self.stage.cluster.operator_namespace.clone();
                self.stage.scale_for_now(namespace, name, *replicas).await?;
                Ok(format!("operator to {replicas}"))
            }
        }
    }

    async fn delete(&mut self, delete: &Delete) -> Result<String> {
        self.read_counts().await?;
        self.disturb("delete").await;
        self.deleted_from = self.stage.world.now().timeline.len();
        let client = self.stage.cluster.client.clone();
        let rollouts = |name: &str| (name.to_owned(), "freethreading.dev", "v1alpha1", "FreeThreadRollout");
        let ((name, group, version, kind), propagation) = match delete {
            Delete::Rollout(propagation) => (rollouts(NAME), propagation),
            Delete::Pool(propagation) => ((pool_name(NAME), "apps", "v1", "Deployment"), propagation),
            Delete::Standard(propagation) => ((NAME.to_owned(), "apps", "v1", "Deployment"), propagation),
            Delete::Namespace(propagation) => {
                let namespaces: Api<Namespace> = Api::all(client);
                within(namespaces.delete(&self.stage.namespace, &params(*propagation))).await?;
                return Ok(format!("namespace, {propagation:?}"));
            }
        };
        let resource =
            kube::api::ApiResource::from_gvk(&kube::api::GroupVersionKind::gvk(group, version, kind));
        let api: Api<DynamicObject> = Api::namespaced_with(client, &self.stage.namespace, &resource);
        within(api.delete(&name, &params(*propagation)))
            .await
            .map_err(context(&format!("delete {kind} {name}")))?;
        Ok(format!("{kind} {name}, {propagation:?}"))
    }

    /// Reads the counts and remembers them.
    pub(crate) async fn read_counts(&mut self) -> Result<Counts> {
        let counts = self.stage.load.counts().await?;
        self.counts = Some(counts.clone());
        Ok(counts)
    }

    async fn expect_counts(&mut self, expected: &ExpectedCounts) -> Result<String> {
        let deadline = after(Instant::now(), expected.within);
        loop {
            self.stage.world.guard()?;
            let counts = self.read_counts().await?;
            match expected.check(&counts) {
                Checked::Met(seen) => {
                    let since =
                        if expected.since == Since::Mark { self.since_words() } else { String::new() };
                    self.measured.push(format!("{seen}{since}"));
                    return Ok(seen);
                }
                Checked::Broken(seen) => return Err(seen.into()),
                Checked::NotYet(seen) if Instant::now() > deadline => return Err(seen.into()),
                Checked::NotYet(_) => tokio::time::sleep(PERIOD).await,
            }
        }
    }

    fn route(&mut self) -> Result<&mut Route> {
        self.stage.route.as_mut().ok_or_else(|| "the scenario has no route".into())
    }

    /// From here on: what is under way belongs to what was before.
    async fn expect_share(&mut self, expected: &ExpectedShare) -> Result<String> {
        let deadline = after(Instant::now(), Some(expected.within));
        loop {
            let waits = counts_in(&self.stage.world.now());
            let Some(why) = waits else { break };
            if Instant::now() > deadline {
                return Err(why.into());
            }
            tokio::time::sleep(PERIOD).await;
        }
        self.stage.load.mark("share").await?;
        loop {
            self.stage.world.guard()?;
            let counts = self.read_counts().await?;
            if let Some(seen) = expected.check(&counts) {
                let last =
                    last_answer(&counts, &self.stage.world.now()).filter(|_| expected.free_threaded == 0.0);
                let seen = seen.map(|seen| last.map_or(seen.clone(), |last| format!("{seen}; {last}")))?;
                self.measured.push(seen.clone());
                return Ok(seen);
            }
            if Instant::now() > deadline {
                return Err(format!("too few requests: {}", counts.window.describe()).into());
            }
            tokio::time::sleep(PERIOD).await;
        }
    }

    async fn expect_judged(&mut self) -> Result<String> {
        let judged = expect::judged(&self.stage.world.now())?;
        let counts = self.read_counts().await?;
        let answered = |since: Since| counts.since(since).pool(Pool::FreeThreaded).answered;
        let after = answered(Since::Mark);
        let before = answered(Since::Start).saturating_sub(after);
        let seen = format!(
            "the verdict rests on {judged} requests of the free-threaded pool, which answered {before} before and {after} since"
        );
        if judged <= before.max(after) as f64 {
            return Err(seen.into());
        }
        self.measured.push(seen.clone());
        Ok(seen)
    }

    async fn expect_next(&mut self, expected: &ExpectedNext) -> Result<String> {
        let deadline = after(Instant::now(), Some(expected.within));
        self.stage.load.mark("next").await?;
        loop {
            self.stage.world.guard()?;
            let tally = self.read_counts().await?.window;
            let pool = tally.pool(expected.pool);
            let (new, kept) = pool.by_connection();
            let seen = format!(
                "{new} over new and {kept} over persistent connections by the {} pool",
                expected.pool.word()
            );
            if pool.answered != tally.answered || tally.failed > 0 {
                return Err(format!(
                    "not all the next requests were answered well by one pool: {}",
                    tally.describe()
                )
                .into());
            }
            if tally.answered >= expected.answers && new > 0 && kept > 0 {
                let seen = format!("the next {} requests were answered, {seen}", tally.answered);
                self.measured.push(seen.clone());
                return Ok(seen);
            }
            if Instant::now() > deadline {
                return Err(format!("only {seen}").into());
            }
            tokio::time::sleep(PERIOD).await;
        }
    }

    async fn expect_gone(&mut self, expected: &ExpectedGone) -> Result<String> {
        let deadline = self.deadline(expected.within);
        let world = self.stage.world.clone();
        if expected.rollout || expected.pool {
            world.until(deadline, |state| expect::gone(expected, &state.view())).await?;
        }
        if expected.operator {
            match self.stage.cluster.operator().await {
                Ok(name) => return Err(format!("the operator's Deployment {name} is still there").into()),
                Err(error) if error.to_string().starts_with("no Deployment") => {}
                Err(error) => return Err(error),
            }
        }
        if expected.namespace {
            let namespaces: Api<Namespace> = Api::all(self.stage.cluster.client.clone());
            if let Some(found) = within(namespaces.get_opt(&self.stage.namespace)).await? {
                let patience = deadline.saturating_duration_since(Instant::now());
                let name = &self.stage.namespace;
                self.stage.until_namespace_gone(name, found.uid().unwrap_or_default(), patience).await?;
            }
        }
        self.note("gone".into());
        Ok("gone".into())
    }

    /// From the last disturbance on; from now on if there was none.
    fn deadline(&self, within: Option<Span>) -> Instant {
        after(self.disturbed.map_or_else(Instant::now, |(at, _)| at), within)
    }

    fn since_words(&self) -> String {
        self.disturbed.map(|(_, what)| format!(" since the {what}")).unwrap_or_default()
    }

    /// Notes what was measured, and how long after the last disturbance.
    fn note(&mut self, what: String) {
        self.measured.push(match self.disturbed {
            Some((at, disturbance)) => {
                format!("{what} {:.1} s after the {disturbance}", at.elapsed().as_secs_f64())
            }
            None => what,
        });
    }
}

fn after(start: Instant, within: Option<Span>) -> Instant {
    let millis = within.map_or(0, Span::millis);
    start + Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}

fn params(propagation: Propagation) -> DeleteParams {
    let policy = match propagation {
        Propagation::Background => PropagationPolicy::Background,
        Propagation::Foreground => PropagationPolicy::Foreground,
        Propagation::Orphan => PropagationPolicy::Orphan,
    };
    DeleteParams { propagation_policy: Some(policy), ..DeleteParams::default() }
}
