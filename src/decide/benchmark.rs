//! What the rounds of the benchmark come to: fast enough, not worth it, or not known yet.

use super::pass::Pass;
use crate::{
    api::{Benchmark, CheckStatus, Preflight, PreflightVerdict},
    preflight::image::{LOOKS, ROUNDS_LIMIT, Speedup, beside},
};

/// Says anew what the rounds come to. What is wanted may have been edited since they were measured.
pub(super) fn weigh(pass: &mut Pass<'_>, asked: &Preflight) {
    let known = pass.next.preflight.as_mut().and_then(|known| known.benchmark.as_mut());
    let (Some(known), Some(asked)) = (known, &asked.benchmark) else { return };
    // A round that could not be had, or a command that fails, says more than the rounds before it.
    let measured = known.unknown == 0 && known.verdict != PreflightVerdict::Blocked;
    if measured && !known.rounds.is_empty() {
        (known.verdict, known.sentence) = word(known, asked);
    }
}

fn word(known: &CheckStatus, asked: &Benchmark) -> (PreflightVerdict, String) {
    let (rounds, wanted) = (known.rounds.len(), format!("{:.2}", asked.wanted()));
    let over = rounds >= ROUNDS_LIMIT || out_of_time(known, asked);
    let Some(speedup) = Speedup::of(&known.rounds, asked.wanted()) else {
        let (least, _) = LOOKS[0];
        let sentence = format!("{rounds} of at least {least} rounds are measured");
        return if over {
            let why = format!("{sentence}, and the budget of {} is used up", asked.budget);
            (PreflightVerdict::Unknown, why)
        } else {
            (PreflightVerdict::Measuring, sentence)
        };
    };
    let (verdict, end) = match speedup.enough {
        Some(true) => (PreflightVerdict::Passed, format!("at least the {wanted} wanted")),
        Some(false) => (PreflightVerdict::NoBenefit, format!("less than the {wanted} wanted")),
        None if over => {
            let used = format!(
                "{rounds} rounds in {} did not suffice to tell it from the {wanted} wanted",
                asked.budget
            );
            (PreflightVerdict::Unknown, used)
        }
        None => (PreflightVerdict::Measuring, format!("not decided yet, {wanted} is wanted")),
    };
    let rounds = known.rounds.get(..speedup.rounds).unwrap_or_default();
    (verdict, format!("{}: {end}; {}", speedup.sentence(), beside(rounds)))
}

/// No other round begins.
fn out_of_time(known: &CheckStatus, asked: &Benchmark) -> bool {
    known.spent.is_some_and(|spent| spent >= asked.budget)
}

/// To be put after a sentence that says that it is measured.
pub(super) fn so_far(pass: &Pass<'_>) -> Option<String> {
    let known = pass.next.preflight.as_ref()?.benchmark.as_ref()?;
    (known.verdict == PreflightVerdict::Measuring && !known.again).then(|| format!("; {}", known.sentence))
}
