//! Events with the same sentence as the status.
//!
//! Not by kube's `Recorder`: its cache leaves the note out of the key, so that a second event with another sentence would be
//! recorded as a repeat of the first. Each of ours is one change and is published once.

use jiff::Timestamp;
use k8s_openapi::{api::events::v1::Event, apimachinery::pkg::apis::meta::v1::MicroTime};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{ObjectMeta, PostParams},
};

use super::error::bounded;
use crate::{api::FreeThreadRollout, decide::Note};

/// Longest note that the API server takes, in bytes.
const NOTE_LIMIT: usize = 1024;

/// Publish `notes` about `rollout`. A failure is logged and nothing more: events tell, they do not act.
pub(super) async fn publish(client: &Client, rollout: &FreeThreadRollout, notes: &[Note], instance: &str) {
    let namespace = rollout.namespace().unwrap_or_default();
    let api: Api<Event> = Api::namespaced(client.clone(), &namespace);
    for note in notes {
        let event = event(rollout, note, instance);
        if let Err(error) = bounded("publishing an event", api.create(&PostParams::default(), &event)).await {
            tracing::warn!(%error, reason = %note.reason.as_str(), "event not published");
        }
    }
}

fn event(rollout: &FreeThreadRollout, note: &Note, instance: &str) -> Event {
    let mut end = note.message.len().min(NOTE_LIMIT);
    while !note.message.is_char_boundary(end) {
        end -= 1;
    }
    Event {
        metadata: ObjectMeta {
            generate_name: Some(format!("{}-", rollout.name_any())),
            namespace: rollout.namespace(),
            ..ObjectMeta::default()
        },
        action: Some("Decide".to_owned()),
        // The API wants a time here; nothing decides by it.
        event_time: Some(MicroTime(Timestamp::now())),
        note: note.message.get(..end).map(str::to_owned),
        reason: Some(note.reason.as_str()),
        regarding: Some(rollout.object_ref(&())),
        reporting_controller: Some("freethreading.dev/freethread-rollout".to_owned()),
        reporting_instance: Some(instance.chars().take(128).collect()),
        type_: Some(if note.warning { "Warning" } else { "Normal" }.to_owned()),
        ..Event::default()
    }
}
