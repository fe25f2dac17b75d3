//! Whether a weight is in effect: the guards that ask the gateway, the pods, and the requests themselves.

use super::{
    guards::{Stop, before_deadline},
    pass::Pass,
    step::serve,
    text,
};
use crate::{api::Reason, observe::Drawn};

/// What was written serves, no more and no less.
pub(super) fn applied(pass: &Pass<'_>) -> Option<Stop> {
    let written = pass.written();
    let Some(serving) = pass.serving() else {
        let route = &pass.input.observation.route;
        let trouble = route.trouble.as_ref().map(|trouble| format!(": {trouble}")).unwrap_or_default();
        let message =
            format!("{}: {} is written and not in effect yet{trouble}", route.what, pass.amount(written));
        let stop = Stop::new(Reason::RouteNotAccepted, message, "the gateway takes it");
        return Some(before_deadline(pass, stop));
    };
    if serving == written {
        return None;
    }
    if serving < written && pass.input.observation.route.trouble.is_some() {
        let stop = Stop::new(Reason::RouteNotAccepted, serve(pass), "the gateway takes it");
        return Some(before_deadline(pass, stop));
    }
    if serving > written {
        let message = format!("{serving} serve and {written} are wanted: waiting until the others have gone");
        return Some(Stop::new(Reason::Converging, message, "the route is read back as written"));
    }
    let trouble = pass.trouble().map(|trouble| format!(" ({trouble})")).unwrap_or_default();
    let message = format!("{}{trouble}", serve(pass));
    Some(before_deadline(pass, Stop::new(Reason::WaitingForPods, message, "the pods become ready")))
}

/// A route of ours is what it should be before more of it is ours, and before what it shows counts.
pub(super) fn written(pass: &Pass<'_>) -> Option<Stop> {
    let route = &pass.input.observation.route;
    let message = format!("{} is written first{}", route.what, pass.refused());
    route.stale.then(|| Stop::new(Reason::Converging, message, "the route is read back as written"))
}

/// There are pods for the weight before it is written.
pub(super) fn pods_ready(pass: &Pass<'_>) -> Option<Stop> {
    let wanted = pass.pods_for(pass.reach().weight);
    let (ready, scaled) = (pass.ready(), pass.live().map_or(0, |live| live.replicas));
    // An autoscaler of its own has the last word on how many there are.
    let wanted = if pass.input.observation.free_threaded.autoscaler.is_some() {
        scaled.clamp(1, wanted.max(1))
    } else {
        wanted
    };
    if !pass.by_percent() || ready >= wanted {
        return None;
    }
    let keda =
        pass.input.observation.free_threaded.autoscaler.as_ref().filter(|autoscaler| autoscaler.by_keda);
    let keda = keda.filter(|_| scaled == 0).map(|autoscaler| {
        format!("KEDA ({}) makes none: set minReplicaCount of its ScaledObject to 1 or more", autoscaler.name)
    });
    let trouble = pass.trouble().or(keda).map(|trouble| format!(" ({trouble})")).unwrap_or_default();
    let message =
        format!("{}: {ready} of {} are ready for it{trouble}", pass.step_name(), text::pods(wanted));
    Some(before_deadline(pass, Stop::new(Reason::WaitingForPods, message, "the pods become ready")))
}

/// Configured is never taken for observed: where requests go elsewhere than the weight says (a second route, a cache, a session) nothing that they
/// show is about this weight. By pod counts connections alone decide, and the share is what it is.
pub(super) fn observed(pass: &Pass<'_>) -> Option<Stop> {
    let (written, route) = (pass.written(), &pass.input.observation.route);
    let share = pass.input.finding.observed?;
    // A flag has as many shares as it has keys, and a route as many as it has users who stay on one side: where those are few, it is what they
    // make, however many requests they send. Testers go where they like.
    if route.group.is_empty()
        || route.drawn != Drawn::Requests
        || !share.contradicts(f64::from(written) / 100.0)
    {
        return None;
    }
    let message = format!(
        "{}: {written} % is written and {} of {:.0} requests were answered by the free-threaded pool: they come another way than through {}",
        pass.step_name(),
        text::percent(share.ours),
        share.of,
        route.what
    );
    Some(Stop::new(Reason::RouteNotAccepted, message, "requests follow the weight"))
}
