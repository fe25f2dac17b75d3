//! The lease is lost while a weight is being written: the write is given up at once, and nothing is written after it.
//!
//! With the operator's own parts (its lease, its controller, its router) and a server that stops answering; `src/operator/run.rs` puts them
//! together in the same way, with longer times.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use freethread_rollout::{
    api::{FreeThreadRollout, Percent},
    decide::{Movement, Target},
    observe::LivePool,
    route::{PodCount, RouteError, Router},
};
use futures::{StreamExt as _, future};
use http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use k8s_controller::LeaderElection;
use kube::{
    Api, Client,
    client::Body,
    runtime::{Controller, controller::Action, watcher},
};
use serde_json::{Value, json};

const LEASE: Duration = Duration::from_millis(400);
const RENEW_DEADLINE: Duration = Duration::from_millis(200);
const RETRY: Duration = Duration::from_millis(50);

#[derive(Default)]
struct State {
    lease: Option<Value>,
    /// From the first write of a weight on, nothing is answered.
    cut: bool,
    writes: Vec<&'static str>,
}

type Server = Arc<Mutex<State>>;

/// Says when the future that holds it is dropped.
struct Open(Server);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.lock().unwrap().writes.push("given up");
    }
}

async fn answer(server: Server, request: Request<Body>) -> Result<Response<Body>, io::Error> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let (path, query) = (parts.uri.path(), parts.uri.query().unwrap_or_default());
    let ok = |body: &Value| Ok(Response::new(Body::from(body.to_string().into_bytes())));
    if path.ends_with("/deployments/orders-ft") && parts.method == Method::PATCH {
        {
            let mut state = server.lock().unwrap();
            state.writes.push("weight");
            state.cut = true;
        }
        let _open = Open(server);
        return future::pending().await;
    }
    if server.lock().unwrap().cut || query.contains("watch=true") {
        return future::pending().await;
    }
    if path.contains("/leases") {
        let mut state = server.lock().unwrap();
        if parts.method != Method::GET {
            state.lease = serde_json::from_slice(&body).ok();
        }
        if let Some(lease) = &state.lease {
            return ok(lease);
        }
        let none = json!({"apiVersion": "v1", "kind": "Status", "status": "Failure", "message": "none",
            "reason": "NotFound", "code": 404});
        return Ok(Response::builder().status(404).body(Body::from(none.to_string().into_bytes())).unwrap());
    }
    ok(&json!({"apiVersion": "freethreading.dev/v1alpha1", "kind": "FreeThreadRolloutList",
        "metadata": {"resourceVersion": "1"}, "items": [rollout()]}))
}

fn rollout() -> Value {
    json!({"apiVersion": "freethreading.dev/v1alpha1", "kind": "FreeThreadRollout",
        "metadata": {"name": "orders", "namespace": "shop", "uid": "u", "resourceVersion": "1"},
        "spec": {"workloadRef": {"name": "orders"}, "freeThreaded": {"image": "orders:t"}, "traffic": {"podCount": {}},
            "steps": [{"weight": 50, "hold": "1m"}],
            "analysis": {"preset": "fastapi-instrumentator", "errorRate": {"max": "1%"}}}})
}

async fn raise(client: Client) -> Result<Action, RouteError> {
    let target = Target { movement: Movement::Rise, share: Percent::from_ratio(0.2), weight: 1, note: None };
    let pool = LivePool { uid: "p".into(), resource_version: "1".into(), ..LivePool::default() };
    let router = Router::PodCount(PodCount::new(client, "shop", "orders-ft"));
    router.raise(&target, &pool).await?;
    Ok(Action::await_change())
}

#[tokio::test]
async fn lost_in_the_middle_of_a_write_ends_the_write() {
    let server = Server::default();
    let shared = server.clone();
    let service = tower::service_fn(move |request| answer(shared.clone(), request));
    let client = Client::new(service, "shop");
    let election = LeaderElection::new(client.clone(), "shop", "lease", "a")
        .with_lease_duration(LEASE)
        .with_renew_deadline(RENEW_DEADLINE)
        .with_retry_period(RETRY);
    let lead = || {
        let rollouts = Api::<FreeThreadRollout>::namespaced(client.clone(), "shop");
        Controller::new(rollouts, watcher::Config::default())
            .run(
                |_, client| raise(client.as_ref().clone()),
                |_, _: &RouteError, _| Action::await_change(),
                Arc::new(client.clone()),
            )
            .for_each(|_| future::ready(()))
    };
    // On a busy machine the lease may be lost before anything is written: then it is taken again.
    let until_written = async {
        while !server.lock().unwrap().cut {
            assert_eq!(election.with_lease(lead()).await, None, "the lease is lost");
        }
    };
    tokio::time::timeout(Duration::from_secs(30), until_written).await.unwrap();
    // The task ends at its next turn, and nothing follows.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(server.lock().unwrap().writes, ["weight", "given up"]);
}
