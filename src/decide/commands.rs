//! What a person said: `VERB@TIME`, acted on once and answered in the status.

use std::ops::ControlFlow::{self, Break, Continue};

use jiff::Timestamp;

use super::{change, pass::Pass, preflight};
use crate::api::{CommandStatus, Phase, Reason};

/// The verbs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Promote,
    Abort,
    Pause,
    Resume,
    Retry,
}

impl Verb {
    fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "promote" => Self::Promote,
            "abort" => Self::Abort,
            "pause" => Self::Pause,
            "resume" => Self::Resume,
            "retry" => Self::Retry,
            _ => return None,
        })
    }
    fn name(self) -> &'static str {
        match self {
            Self::Promote => "promote",
            Self::Abort => "abort",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Retry => "retry",
        }
    }
}

const ABORTED: &str = "aborted: traffic is back on the standard pool";

/// The command that is not answered yet. One that makes no sense, or is older than the attempt, is answered here.
fn take(pass: &mut Pass<'_>) -> Option<Verb> {
    let text = given(pass)?;
    if pass.next.command.as_ref().is_some_and(|command| command.given == text) {
        return None;
    }
    let parsed =
        text.split_once('@').and_then(|(verb, at)| Some((Verb::parse(verb)?, at.parse::<Timestamp>().ok()?)));
    let Some((verb, at)) = parsed else {
        answer(
            pass,
            "not understood: write VERB@TIME with promote, abort, pause, resume or retry and an RFC 3339 time, such as promote@2026-11-23T19:00:00Z",
        );
        return None;
    };
    // To the second, as people's clocks write it.
    let stale =
        pass.next.attempt.as_ref().is_some_and(|attempt| at.as_second() < attempt.started_at.0.as_second());
    if stale {
        answer(pass, "ignored: it was given before the current attempt began");
        return None;
    }
    Some(verb)
}

fn answer(pass: &mut Pass<'_>, result: impl Into<String>) {
    let Some(given) = given(pass) else { return };
    pass.next.command = Some(CommandStatus { given: given.to_owned(), result: result.into() });
}

/// The command's text; no command is longer than this.
fn given<'a>(pass: &Pass<'a>) -> Option<&'a str> {
    let text = pass.input.command?;
    Some(text.char_indices().nth(64).and_then(|(end, _)| text.get(..end)).unwrap_or(text))
}

fn pause(pass: &mut Pass<'_>, state: &str) {
    if pass.next.paused_since.is_some() {
        return answer(pass, "paused already");
    }
    pass.next.paused_since = Some(pass.stamp());
    answer(pass, format!("paused: {state}"));
}

/// Where nothing is under way: pause and resume are remembered, the rest has nothing to act on.
pub(super) fn idle(pass: &mut Pass<'_>, why: &str) {
    match take(pass) {
        Some(Verb::Pause) => pause(pass, "the weight will not rise until a person resumes"),
        Some(Verb::Resume) => {
            let paused = pass.next.paused_since.take().is_some();
            answer(
                pass,
                if paused { format!("resumed; {why}") } else { format!("nothing to resume: {why}") },
            );
        }
        Some(verb) => answer(pass, format!("nothing to {}: {why}", verb.name())),
        None => {}
    }
}

/// A command that a rollback came before: a `retry` said of what was still under way is none of what comes after.
pub(super) fn overtaken(pass: &mut Pass<'_>, message: &str) {
    if let Some(verb) = take(pass) {
        answer(pass, format!("nothing to {}: {message}", verb.name()));
    }
}

/// After a rollback only `retry` means something: whether it was said. It is answered when the attempt begins.
pub(super) fn rolled_back(pass: &mut Pass<'_>) -> bool {
    let message = pass.next.message.clone();
    match take(pass) {
        Some(Verb::Retry) => return true,
        Some(Verb::Abort) if pass.next.reason == Reason::Aborted => answer(pass, ABORTED),
        Some(verb) => answer(pass, format!("nothing to {}: {message}", verb.name())),
        None => {}
    }
    false
}

pub(super) fn acknowledge_retry(pass: &mut Pass<'_>) {
    let number = pass.next.attempt.as_ref().map_or(0, |attempt| attempt.number) + 1;
    pass.next.paused_since = None;
    answer(pass, format!("attempt {number} begins, with fresh evidence"));
}

/// The rollback was done, and the operator died before it could answer.
pub(super) fn adopted(pass: &mut Pass<'_>, reason: Reason, message: &str) {
    match take(pass) {
        Some(Verb::Abort) if reason == Reason::Aborted => answer(pass, ABORTED),
        Some(verb) => answer(pass, format!("nothing to {}: {message}", verb.name())),
        None => {}
    }
}

/// While an attempt is under way.
pub(super) fn running(pass: &mut Pass<'_>) -> ControlFlow<()> {
    match take(pass) {
        Some(Verb::Promote) => promote(pass),
        Some(Verb::Abort) => {
            answer(pass, ABORTED);
            pass.roll_back(Reason::Aborted, "aborted by a person");
            return Break(());
        }
        Some(Verb::Pause) => pause(pass, "the weight stays where it is; rollbacks still happen"),
        Some(Verb::Resume) => resume(pass),
        Some(Verb::Retry) => return retry(pass),
        None => {}
    }
    Continue(())
}

/// Stays until a person says `resume` or `retry`.
fn stuck(pass: &Pass<'_>) -> bool {
    let reasons =
        [Reason::StandardChanged, Reason::PoolDeleted, Reason::PoolContested, Reason::RouteContested];
    pass.next.phase == Phase::Paused && reasons.contains(&pass.next.reason) || inspected(pass)
}

/// Stays as it is because of what an inspection of the image said, or could not say.
fn inspected(pass: &Pass<'_>) -> bool {
    matches!(pass.next.reason, Reason::PreflightFailed | Reason::PreflightUnknown)
}

/// Approves what waits for approval, or ends the hold. Never instead of evidence.
fn promote(pass: &mut Pass<'_>) {
    let (name, message) = (pass.step_name(), pass.next.message.clone());
    let (phase, reason) = (pass.next.phase, pass.next.reason);
    let paused =
        if pass.next.paused_since.is_some() { "; still paused by a person until resume" } else { "" };
    let early = matches!(phase, Phase::Pending | Phase::Preflight);
    let nothing = stuck(pass) || pass.base_phase() != Phase::Progressing || early;
    let Some(attempt) = pass.next.attempt.as_mut() else { return };
    let result = if reason == Reason::AwaitingOvershootConsent {
        attempt.overshoot_approved = true;
        format!("{name}: the overshoot is allowed{paused}")
    } else if nothing {
        format!("nothing to promote: {message}")
    } else if reason == Reason::AwaitingApproval {
        attempt.approved = true;
        format!("{name} is approved{paused}")
    } else {
        attempt.approved = true;
        format!(
            "{name}: approved, and the rest of the hold is skipped; a clear verdict is still needed{paused}"
        )
    };
    answer(pass, result);
}

fn resume(pass: &mut Pass<'_>) {
    let by_person = pass.next.paused_since.take().is_some();
    let ours = stuck(pass) && pass.next.reason != Reason::StandardChanged && !inspected(pass);
    if ours {
        pass.next.drift = None;
        pass.next.phase = Phase::Progressing;
        pass.next.reason = Reason::Stepping;
    }
    let message = pass.next.message.clone();
    if by_person || ours {
        answer(pass, "resumed");
    } else {
        answer(pass, format!("nothing to resume: not paused by a person: {message}"));
    }
}

/// A new attempt, once the weight is read back as 0; answered only then, so that a crash on the way forgets nothing.
fn retry(pass: &mut Pass<'_>) -> ControlFlow<()> {
    let message = pass.next.message.clone();
    if !stuck(pass) {
        answer(pass, format!("nothing to retry: the attempt is under way (abort it first): {message}"));
        return Continue(());
    }
    if change::given_back(pass) {
        if inspected(pass) {
            preflight::again(pass);
        }
        acknowledge_retry(pass);
        change::start_again(pass, Reason::Stepping, "a person said retry");
        return Break(());
    }
    // Phase and reason stay, so that the next pass still knows what is retried.
    pass.target = 0;
    pass.say(
        pass.next.phase,
        pass.next.reason,
        "a person said retry: traffic goes back first, then the steps start again",
    );
    pass.expect("a new attempt begins, once traffic is back on the standard pool", None);
    if pass.empty() {
        pass.wake(pass.now());
    }
    Break(())
}
