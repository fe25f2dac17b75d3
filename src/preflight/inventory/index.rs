//! A package index by its simple API: one of the two parts of `inventory` that touch anything outside, and only with `--index`.

use std::{collections::BTreeMap, error::Error, time::Duration};

use futures::{StreamExt, stream};
use reqwest::{Client, StatusCode, Url, header::ACCEPT, redirect::Policy};

use super::{
    problem::{InventoryError, clipped, without_secrets},
    releases::{Answer, Project},
    session::Answers,
};

/// How long one answer may take, from the first byte to the last.
const PATIENCE: Duration = Duration::from_secs(30);

/// Largest answer. A project with ten thousand files has about 10 MB.
const LARGEST: usize = 64 << 20;

/// Requests under way at once.
const AT_ONCE: usize = 8;

/// Redirects that are followed, and never from https to http.
const REDIRECTS: usize = 5;

const JSON: &str = "application/vnd.pypi.simple.v1+json";

/// Asks for each project. One that cannot be had is said with its package, and does not spoil the others.
pub(super) async fn ask(
    index: &str,
    projects: impl IntoIterator<Item = String>,
) -> Result<Answers, InventoryError> {
    let unusable = |problem: String| InventoryError::Index { index: without_secrets(index), problem };
    let mut base =
        Url::parse(index).map_err(|why| unusable(format!("{why}: write such as https://pypi.org/simple")))?;
    if !matches!(base.scheme(), "https" | "http") || base.host_str().is_none() {
        return Err(unusable("write an address that begins with https://".to_owned()));
    }
    base.set_query(None);
    base.set_fragment(None);
    if !base.path().ends_with('/') {
        base.set_path(&format!("{}/", base.path()));
    }
    let client = client(&base).map_err(|why| unusable(causes(&why)))?;
    let answers = stream::iter(projects).map(|project| {
        let (client, base) = (&client, &base);
        async move {
            let answer = one(client, base, &project).await;
            (project, answer)
        }
    });
    let projects: BTreeMap<String, Answer> = answers.buffer_unordered(AT_ONCE).collect().await;
    // An index that answers nothing at all is a wrong address, and not a hundred packages without a verdict.
    let failed = |answer: &Answer| match answer {
        Answer::Failed(why) => Some(why.clone()),
        _ => None,
    };
    if let Some(why) = projects.values().next().and_then(failed)
        && projects.values().all(|answer| matches!(answer, Answer::Failed(_)))
    {
        return Err(unusable(why));
    }
    Ok(Answers { index: without_secrets(index), projects })
}

fn client(base: &Url) -> Result<Client, reqwest::Error> {
    // Other crates may bring a second provider; whoever comes first has chosen.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    Client::builder()
        .user_agent(concat!("freethread-rollout/", env!("CARGO_PKG_VERSION")))
        .https_only(base.scheme() == "https")
        .redirect(Policy::limited(REDIRECTS))
        .connect_timeout(PATIENCE)
        .timeout(PATIENCE)
        .pool_max_idle_per_host(AT_ONCE)
        .build()
}

async fn one(client: &Client, base: &Url, project: &str) -> Answer {
    // A name from a file must not become another address.
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if project.is_empty() || project.len() > 200 || !project.chars().all(plain) {
        return Answer::Failed("its name is none that an index may have".to_owned());
    }
    let Ok(url) = base.join(&format!("{project}/")) else {
        return Answer::Failed("its name makes no address".to_owned());
    };
    match fetch(client, url).await {
        Ok(Some(body)) => match Project::parse(&body, project) {
            Ok(project) => Answer::Project(project),
            Err(why) => Answer::Failed(format!("{why} (an index is needed that speaks JSON, PEP 691)")),
        },
        Ok(None) => Answer::Absent,
        Err(why) => Answer::Failed(clipped(&why)),
    }
}

async fn fetch(client: &Client, url: Url) -> Result<Option<Vec<u8>>, String> {
    let failed = |why: reqwest::Error| {
        if why.is_timeout() {
            format!("no answer within {} s", PATIENCE.as_secs())
        } else {
            causes(&why.without_url())
        }
    };
    let mut response = client.get(url).header(ACCEPT, JSON).send().await.map_err(failed)?;
    match response.status() {
        StatusCode::NOT_FOUND | StatusCode::GONE => return Ok(None),
        status if !status.is_success() => return Err(format!("it answered {status}")),
        _ => {}
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if body.len() + chunk.len() > LARGEST {
            return Err(format!("its answer is larger than {} MiB", LARGEST >> 20));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}

/// An error with its causes, which reqwest keeps to itself.
fn causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    for _ in 0..8 {
        let Some(one) = cause else { break };
        text = format!("{text}: {one}");
        cause = one.source();
    }
    text
}
