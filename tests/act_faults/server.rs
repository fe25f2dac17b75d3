//! An API server made for failing on purpose. It knows one rollout and its pool, and of server-side apply only what those need.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard},
};

use freethread_rollout::api::{ANNOTATION_ROLLBACK, MANAGER_HAND_OVER, MANAGER_POOL, MANAGER_ROUTE};
use http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use kube::{Client, client::Body};
use serde_json::{Value, json};
use tokio::{sync::Notify, time::Instant};

/// What a request is for, by nothing but itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Lower,
    Raise,
    Create,
    PutBack,
    Apply,
    TakeReplicas,
    Remove,
    Orphans,
    Standard,
    Status,
    Finalizer,
    Event,
}

/// How a request ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Refused with this code.
    Code(u16),
    /// No connection.
    Away,
    /// Never done, never answered.
    Hang,
    /// Done, and never answered.
    Silence,
    /// Answered well, and not done: a webhook that changed it.
    Ignored,
}

/// What may come in the way of a write and go away again.
pub(crate) const PASSING: [Fault; 7] = [
    Fault::Code(409),
    Fault::Code(429),
    Fault::Code(500),
    Fault::Code(503),
    Fault::Away,
    Fault::Hang,
    Fault::Silence,
];

/// One request.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) call: Call,
    /// `METHOD path?query`.
    pub(crate) line: String,
    pub(crate) body: Value,
    pub(crate) at: Instant,
}

#[derive(Default)]
struct State {
    version: u64,
    uids: u64,
    rollout: Option<Value>,
    pool: Option<Value>,
    seen: Vec<Seen>,
    faults: Vec<(Call, Fault, usize)>,
    /// The operator dies at the request with this number, events not counted.
    dies_at: Option<(usize, Fault)>,
}

/// The server. Clones are the same one.
#[derive(Clone, Default)]
pub(crate) struct Server {
    state: Arc<Mutex<State>>,
    pub(crate) died: Arc<Notify>,
}

impl Server {
    pub(crate) fn with(rollout: Value) -> Self {
        let server = Self::default();
        server.state().rollout = Some(rollout);
        server.state().touch_rollout();
        server
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// A client of its own, as every process has.
    pub(crate) fn client(&self) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request| {
            let server = server.clone();
            async move { server.answer(request).await }
        });
        Client::new(service, "shop")
    }

    async fn answer(&self, request: Request<Body>) -> Result<Response<Body>, io::Error> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let path = parts.uri.path_and_query().unwrap().as_str();
        let call = call(&parts.method, parts.uri.path(), path, &body);
        let seen = Seen { call, line: format!("{} {path}", parts.method), body, at: Instant::now() };
        let fault = self.state().fault(&seen);
        let dies = self.state().dies(&seen);
        let (code, body) = match dies.or(fault) {
            None => self.state().carry_out(&seen),
            Some(Fault::Code(code)) => (code, failure(code, "made to fail")),
            Some(Fault::Ignored) => (200, self.state().pool.clone().unwrap_or_default()),
            Some(Fault::Away) => return Err(io::ErrorKind::ConnectionRefused.into()),
            Some(unanswered) => {
                if unanswered == Fault::Silence {
                    self.state().carry_out(&seen);
                }
                if dies.is_some() {
                    self.died.notify_one();
                }
                std::future::pending().await
            }
        };
        Ok(Response::builder().status(code).body(Body::from(body.to_string().into_bytes())).unwrap())
    }

    /// The next `times` requests of this kind end so.
    pub(crate) fn fail(&self, call: Call, fault: Fault, times: usize) {
        self.state().faults.push((call, fault, times));
    }

    /// All is well again.
    pub(crate) fn mend(&self) {
        self.state().faults.clear();
        self.state().dies_at = None;
    }

    /// The operator dies at the request with this number.
    pub(crate) fn dies_at(&self, number: usize, fault: Fault) {
        self.state().dies_at = Some((number, fault));
    }

    /// The requests until now, which are then forgotten.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.state().seen)
    }

    pub(crate) fn rollout(&self) -> Option<Value> {
        self.state().rollout.clone()
    }

    pub(crate) fn pool(&self) -> Option<Value> {
        self.state().pool.clone()
    }

    /// Pods that are written, if there is a pool.
    pub(crate) fn written(&self) -> Option<i64> {
        self.state().pool.as_ref()?.pointer("/spec/replicas")?.as_i64()
    }

    /// Somebody writes the rollout.
    pub(crate) fn edit_rollout(&self, edit: impl FnOnce(&mut Value)) {
        let mut state = self.state();
        edit(state.rollout.as_mut().unwrap());
        state.touch_rollout();
    }

    /// Somebody writes the pool.
    pub(crate) fn edit_pool(&self, edit: impl FnOnce(&mut Value)) {
        let mut state = self.state();
        edit(state.pool.as_mut().unwrap());
        state.touch_pool();
    }

    /// Somebody deletes the pool.
    pub(crate) fn lose_pool(&self) {
        self.state().pool = None;
    }
}

impl State {
    /// The fault that waits for such a request.
    fn fault(&mut self, seen: &Seen) -> Option<Fault> {
        self.seen.push(seen.clone());
        let (_, fault, times) =
            self.faults.iter_mut().find(|(call, _, times)| *call == seen.call && *times > 0)?;
        *times -= 1;
        Some(*fault)
    }

    fn dies(&self, seen: &Seen) -> Option<Fault> {
        let (number, fault) = self.dies_at?;
        let now = self.seen.iter().filter(|seen| seen.call != Call::Event).count();
        (seen.call != Call::Event && now > number).then_some(fault)
    }

    fn next_version(&mut self) -> Value {
        self.version += 1;
        json!(self.version.to_string())
    }

    fn touch_rollout(&mut self) {
        let version = self.next_version();
        if let Some(rollout) = &mut self.rollout {
            rollout["metadata"]["resourceVersion"] = version;
        }
    }

    fn touch_pool(&mut self) {
        let version = self.next_version();
        if let Some(pool) = &mut self.pool {
            pool["metadata"]["resourceVersion"] = version;
        }
    }

    fn carry_out(&mut self, seen: &Seen) -> (u16, Value) {
        match seen.call {
            Call::Lower | Call::Raise | Call::Create | Call::Apply | Call::TakeReplicas => {
                self.apply(&seen.body, seen.line.contains("freethread-rollout%2Froute"))
            }
            Call::PutBack => self.put_back(&seen.body),
            Call::Remove => self.remove(&seen.body),
            Call::Status => self.write_status(&seen.body),
            Call::Finalizer => self.write_finalizers(&seen.body),
            // Only that it is asked for: what a patch does to it is a test of its own.
            Call::Standard => (200, json!({"metadata": {"name": "orders"}})),
            Call::Orphans => (200, success()),
            Call::Event => (201, seen.body.clone()),
        }
    }

    /// Server-side apply of the pool's Deployment, by the router's manager or by the pool's.
    fn apply(&mut self, sent: &Value, router: bool) -> (u16, Value) {
        let wants = |field: &str| sent["metadata"][field].as_str().map(str::to_owned);
        let has = |pool: &Option<Value>, field: &str| {
            pool.as_ref().and_then(|p| p["metadata"][field].as_str().map(str::to_owned))
        };
        if wants("uid").is_some() && wants("uid") != has(&self.pool, "uid") {
            return (409, failure(409, "uid mismatch: the provided object specified another uid"));
        }
        if wants("resourceVersion").is_some()
            && wants("resourceVersion") != has(&self.pool, "resourceVersion")
        {
            return (409, failure(409, "the object has been modified"));
        }
        let before = self.pool.clone();
        let pool = self.pool.get_or_insert_with(|| json!({"metadata": {}, "spec": {}}));
        for field in ["apiVersion", "kind"] {
            pool[field] = sent[field].clone();
        }
        for part in ["metadata", "spec"] {
            for (field, value) in sent[part].as_object().unwrap() {
                if field == "annotations" {
                    pool[part].as_object_mut().unwrap().entry(field).or_insert_with(|| json!({}));
                    pool[part][field].as_object_mut().unwrap().extend(value.as_object().unwrap().clone());
                } else {
                    pool[part][field] = value.clone();
                }
            }
        }
        // What its owner leaves out is gone.
        if router && sent["metadata"]["annotations"].is_null() && pool["metadata"]["annotations"].is_object()
        {
            pool["metadata"]["annotations"].as_object_mut().unwrap().remove(ANNOTATION_ROLLBACK);
        }
        pool["metadata"]["namespace"] = json!("shop");
        if before.is_none() {
            self.uids += 1;
            pool["metadata"]["uid"] = json!(format!("pool-{}", self.uids));
            pool["metadata"]["creationTimestamp"] = json!("2026-11-23T19:00:00Z");
        }
        pool["metadata"]["resourceVersion"] =
            before.as_ref().map(|p| p["metadata"]["resourceVersion"].clone()).unwrap_or_default();
        if before.as_ref() != self.pool.as_ref() {
            self.touch_pool();
        }
        (if before.is_none() { 201 } else { 200 }, self.pool.clone().unwrap())
    }

    /// A JSON patch that replaces the template: nobody else owns a part of it any more.
    fn put_back(&mut self, patch: &Value) -> (u16, Value) {
        let Some(pool) = &mut self.pool else { return (404, failure(404, "not found")) };
        let patch: json_patch::Patch = serde_json::from_value(patch.clone()).unwrap();
        if json_patch::patch(pool, &patch).is_err() {
            return (422, failure(422, "the server rejected our request due to an error in our request"));
        }
        self.touch_pool();
        (200, self.pool.clone().unwrap())
    }

    fn remove(&mut self, options: &Value) -> (u16, Value) {
        let Some(pool) = &self.pool else { return (404, failure(404, "not found")) };
        if options["preconditions"]["uid"] != pool["metadata"]["uid"] {
            return (409, failure(409, "Precondition failed: UID in precondition"));
        }
        self.pool = None;
        (200, success())
    }

    fn write_status(&mut self, sent: &Value) -> (u16, Value) {
        let Some(rollout) = &mut self.rollout else { return (404, failure(404, "not found")) };
        if sent["metadata"]["resourceVersion"] != rollout["metadata"]["resourceVersion"] {
            return (409, failure(409, "the object has been modified"));
        }
        rollout["status"] = sent["status"].clone();
        self.touch_rollout();
        (200, self.rollout.clone().unwrap())
    }

    fn write_finalizers(&mut self, patch: &Value) -> (u16, Value) {
        let Some(rollout) = &mut self.rollout else { return (404, failure(404, "not found")) };
        if patch[0]["value"] != rollout["metadata"]["resourceVersion"] {
            return (422, failure(422, "the server rejected our request due to an error in our request"));
        }
        rollout["metadata"]["finalizers"] = patch[1]["value"].clone();
        let over = patch[1]["value"] == json!([]) && rollout["metadata"]["deletionTimestamp"].is_string();
        let answer = rollout.clone();
        self.touch_rollout();
        if over {
            self.rollout = None;
        }
        (200, answer)
    }
}

fn call(method: &Method, path: &str, whole: &str, body: &Value) -> Call {
    const POOL: &str = "/apis/apps/v1/namespaces/shop/deployments/orders-ft";
    const STANDARD: &str = "/apis/apps/v1/namespaces/shop/deployments/orders";
    const ROLLOUT: &str = "/apis/freethreading.dev/v1alpha1/namespaces/shop/freethreadrollouts/orders";
    let by = |manager: &str| whole.ends_with(&format!("fieldManager={}", manager.replace('/', "%2F")));
    match (method.as_str(), path.strip_prefix(ROLLOUT)) {
        ("PATCH", Some("/status")) => Call::Status,
        ("PATCH", Some("")) => Call::Finalizer,
        ("PATCH", _) if path == POOL && body.is_array() => Call::PutBack,
        ("PATCH", _) if path == POOL && by(MANAGER_POOL) => Call::Apply,
        ("PATCH", _) if path == POOL && by(MANAGER_ROUTE) => match (&body["metadata"], &body["spec"]) {
            (_, spec) if spec["template"].is_object() => Call::Create,
            (metadata, _) if metadata["uid"].is_null() => Call::TakeReplicas,
            (metadata, _) if metadata["resourceVersion"].is_null() => Call::Lower,
            _ => Call::Raise,
        },
        ("PATCH", _) if path == STANDARD && by(MANAGER_HAND_OVER) => Call::Standard,
        ("DELETE", _) if path == POOL => Call::Remove,
        ("DELETE", _) if path == "/apis/apps/v1/namespaces/shop/replicasets" => Call::Orphans,
        ("POST", _) if path == "/apis/events.k8s.io/v1/namespaces/shop/events" => Call::Event,
        _ => panic!("nothing should ask for {method} {whole}"),
    }
}

fn success() -> Value {
    json!({"apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Success"})
}

/// As the API server says it: a `test` that failed names no kind and no cause, an admission that refused does.
fn failure(code: u16, message: &str) -> Value {
    let details =
        if message.starts_with("made to fail") { json!({"kind": "deployments"}) } else { json!({}) };
    json!({"apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure", "code": code,
        "reason": "Made", "message": message, "details": details})
}
