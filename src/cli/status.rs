//! Fetch what a view is made of, once or as it changes.

use std::{
    borrow::Borrow,
    io::{IsTerminal, Write, stdout},
    time::Duration,
};

use futures::{FutureExt, StreamExt, stream};
use jiff::Timestamp;
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod as KubePod};
use kube::{
    Api, ResourceExt,
    api::ListParams,
    runtime::{WatchStreamExt, reflector, watcher},
};

use super::{CliError, Colour, Output, StatusArgs, Style, View, connect::Connection, line, render, view};
use crate::{
    api::{FreeThreadRollout, LABEL_POOL, LABEL_ROLLOUT},
    observe::{Pod, pod},
};

/// Show it once.
pub(super) async fn once(connection: &Connection, args: &StatusArgs) -> Result<(), CliError> {
    let rollout = rollout(connection, &args.name).await?;
    let selector = selector(connection, &rollout).await?;
    let ours = list(connection, &ours(&args.name)).await?;
    let standard = match &selector {
        Some(selector) => list(connection, selector).await?,
        None => Vec::new(),
    };
    let seen = view(&rollout, &reduced(&standard, false), &reduced(&ours, true), Timestamp::now());
    let text = match args.output {
        Output::Tree => render(&seen, style(args.color)),
        Output::Json => serde_json::to_string_pretty(&seen)? + "\n",
    };
    Ok(stdout().write_all(text.as_bytes())?)
}

/// Show it as it changes, until it is gone or the person has seen enough.
pub(super) async fn watch(connection: &Connection, args: &StatusArgs) -> Result<(), CliError> {
    // Whatever is wrong with name, rights and cluster is said here and at once; later the watches retry.
    let first = rollout(connection, &args.name).await?;
    let selector = selector(connection, &first).await?;
    let (rollouts, rollouts_writer) = reflector::store::<FreeThreadRollout>();
    let (ours_seen, ours_writer) = reflector::store::<KubePod>();
    let (standard_seen, standard_writer) = reflector::store::<KubePod>();
    let named = watcher::Config::default().fields(&format!("metadata.name={}", args.name));
    let mut events = stream::select_all([
        changes(connection.rollouts(), named, rollouts_writer),
        changes(pods(connection), watcher::Config::default().labels(&ours(&args.name)), ours_writer),
        match &selector {
            Some(selector) => {
                changes(pods(connection), watcher::Config::default().labels(selector), standard_writer)
            }
            None => stream::pending().boxed(),
        },
    ]);
    let mut screen = Screen::new(style(args.color));
    let mut second = tokio::time::interval(Duration::from_secs(1));
    let (mut latest, mut interrupted) = (first, None);
    loop {
        tokio::select! {
            _ = second.tick() => {}
            event = events.next() => interrupted = event.flatten(),
        }
        if rollouts.wait_until_ready().now_or_never().is_some() {
            match rollouts.state().first() {
                Some(rollout) => latest = FreeThreadRollout::clone(rollout),
                None => return screen.last(&format!("{} is gone", args.name)),
            }
        }
        let now = Timestamp::now();
        let seen =
            view(&latest, &reduced(&standard_seen.state(), false), &reduced(&ours_seen.state(), true), now);
        screen.show(&seen, now, interrupted.as_deref())?;
    }
}

/// `None` for a change, the reason for an interruption.
fn changes<K>(
    api: Api<K>,
    config: watcher::Config,
    writer: reflector::store::Writer<K>,
) -> stream::BoxStream<'static, Option<String>>
where
    K: kube::Resource<DynamicType = ()>
        + Clone
        + serde::de::DeserializeOwned
        + std::fmt::Debug
        + Send
        + Sync
        + 'static,
{
    watcher(api, config)
        .default_backoff()
        .reflect(writer)
        .map(|event| event.err().map(|e| e.to_string()))
        .boxed()
}

async fn rollout(connection: &Connection, name: &str) -> Result<FreeThreadRollout, CliError> {
    let api = connection.rollouts();
    connection
        .bounded("reading the rollout", api.get(name))
        .await
        .map_err(|error| connection.explain(name, error))
}

/// Selector of the standard pool's pods; `None` when there is no such workload.
async fn selector(connection: &Connection, rollout: &FreeThreadRollout) -> Result<Option<String>, CliError> {
    let api: Api<Deployment> = Api::namespaced(connection.client.clone(), &connection.namespace);
    let workload =
        connection.bounded("reading the workload", api.get_opt(&rollout.spec.workload_ref.name)).await?;
    let selector =
        workload.and_then(|w| w.spec).and_then(|s| kube::core::Selector::try_from(s.selector).ok());
    // Nothing selects everything: not what a Deployment can mean.
    Ok(selector.map(|s| s.to_string()).filter(|s| !s.is_empty()))
}

fn ours(name: &str) -> String {
    format!("{LABEL_POOL},{LABEL_ROLLOUT}={name}")
}

fn pods(connection: &Connection) -> Api<KubePod> {
    Api::namespaced(connection.client.clone(), &connection.namespace)
}

async fn list(connection: &Connection, labels: &str) -> Result<Vec<KubePod>, CliError> {
    let params = ListParams::default().labels(labels);
    Ok(connection.bounded("listing pods", pods(connection).list(&params)).await?.items)
}

/// The standard pool's selector may match our pods too: the label tells them apart.
fn reduced<P: Borrow<KubePod>>(all: &[P], ours: bool) -> Vec<Pod> {
    all.iter()
        .map(Borrow::borrow)
        .filter(|p| p.labels().contains_key(LABEL_POOL) == ours)
        .map(|p| pod(p, ""))
        .collect()
}

fn style(colour: Colour) -> Style {
    let no = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
    let plain = colour == Colour::Never || colour == Colour::Auto && (no || !stdout().is_terminal());
    if plain { Style::Plain } else { Style::Colour }
}

/// Where a watch shows itself: redrawn in place on a terminal; elsewhere one line for each change.
struct Screen {
    terminal: bool,
    style: Style,
    drawn: Option<String>,
}

impl Screen {
    fn new(style: Style) -> Self {
        Self { terminal: stdout().is_terminal(), style, drawn: None }
    }

    fn show(&mut self, seen: &View, now: Timestamp, interrupted: Option<&str>) -> Result<(), CliError> {
        let mut text = if self.terminal { render(seen, self.style) } else { line(seen) };
        if let Some(reason) = interrupted {
            let gap = if self.terminal { "\n" } else { "  " };
            text = format!(
                "{}{gap}! the watch was interrupted and is taken up again: {reason}",
                text.trim_end_matches('\n')
            );
        }
        if self.drawn.as_ref() == Some(&text) {
            return Ok(());
        }
        if self.terminal {
            // Home, each line over the old one, and away with what is left of it: no flicker.
            let clear = if self.drawn.is_none() { "\u{1b}[2J" } else { "" };
            let lines: String = text.lines().flat_map(|line| [line, "\u{1b}[K\n"]).collect();
            write!(stdout(), "{clear}\u{1b}[H{lines}\u{1b}[J")?;
        } else {
            writeln!(stdout(), "{}  {text}", now.strftime("%Y-%m-%dT%H:%M:%SZ"))?;
        }
        stdout().flush()?;
        self.drawn = Some(text);
        Ok(())
    }

    fn last(&self, text: &str) -> Result<(), CliError> {
        let gap = if self.terminal { "\n" } else { "" };
        Ok(writeln!(stdout(), "{gap}{text}")?)
    }
}
