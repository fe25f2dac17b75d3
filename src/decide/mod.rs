//! What to do: a pure function of spec, status, observation, finding and time.
//!
//! Rules are asked in one fixed order, each either settles the pass or hands it on. Everything that takes the weight down comes before
//! anything that could hold it; the forward gates ([`Guards`]) are asked only by the last rule, on the way up.

mod benchmark;
mod benefit;
mod change;
mod commands;
mod conditions;
mod decision;
mod effect;
mod estimate;
mod finish;
mod gitops;
mod give_back;
mod guards;
mod hand_over;
mod hash;
mod ours;
mod pass;
mod preflight;
mod reach;
mod rules;
mod sizing;
mod step;
mod text;

use std::ops::ControlFlow;

pub use decision::*;
pub use estimate::estimates;
pub use guards::Guards;
pub use hash::spec_hash;
pub use reach::{Reach, reach};
pub use step::SETTLE;

use pass::Pass;

type Rule = fn(&mut Pass<'_>) -> ControlFlow<()>;

/// In the order in which they are asked; the first that breaks settles the pass.
const RULES: &[Rule] = &[
    // Weight 0, whatever else is wrong.
    rules::deleting,
    rules::adopt_note,
    give_back::giving_back,
    rules::rolled_back,
    rules::obstacle,
    rules::suspended,
    rules::baseline,
    rules::checkpoint,
    rules::preflight,
    rules::observing,
    rules::workload_missing,
    rules::first_attempt,
    rules::finding,
    rules::route_unusable,
    benefit::benefit,
    // What people say, then what became of the world.
    commands::running,
    rules::blind,
    ours::deleted,
    change::changed,
    ours::drift,
    change::held,
    // The way up.
    step::step,
];

/// What to do now.
pub fn decide(input: &Input<'_>) -> Decision {
    decide_with(Guards::ALL, input)
}

/// As [`decide`], with a choice of guards: tests leave one out and see the properties fail.
pub fn decide_with(guards: Guards, input: &Input<'_>) -> Decision {
    let mut pass = Pass::new(guards, input);
    for rule in RULES {
        if rule(&mut pass).is_break() {
            break;
        }
    }
    finish::finish(pass)
}
