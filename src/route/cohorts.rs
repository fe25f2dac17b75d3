//! Users who stay on one side, by a cookie that the drawing sets on both: one that only the free-threaded side sets would draw everybody over in time.
//! Pure.
//!
//! The cookie says the weight at which its user was drawn. At a higher one who was drawn to the free-threaded pool stays there, and of the others
//! just so many join that all together make the new share: from 10 to 50 % it is 40 of 90. Sessions of the Gateway API cannot do this: they hold
//! even at weight 0.

use serde_json::{Value, json};

/// How long a browser keeps the side that it was given, in seconds: a rollout of weeks. A cookie of an earlier rise from 0 has another name.
const KEPT: u32 = 30 * 24 * 3600;
/// Earlier weights whose users are drawn by what is missing, the latest ones: a route has at most 16 rules. Those of more are drawn anew.
const MOST_EARLIER: usize = 10;

/// The sides that a cookie names.
const OURS: &str = "ft";
const STANDARD: &str = "std";

/// The users of one rise from 0.
pub(super) struct Cohorts<'a> {
    /// Names the rise.
    pub(super) id: &'a str,
    /// The weight now, 1 to 100.
    pub(super) weight: i32,
    /// Weights that users may have been drawn at: those of the steps.
    pub(super) weights: &'a [i32],
}

/// What becomes of the users with some cookie.
pub(super) enum Side {
    /// They stay on the free-threaded pool.
    Ours,
    /// They stay on the standard one.
    Standard,
    /// They are drawn, at these weights of the standard pool and of ours.
    Drawn(i32, i32),
}

impl Cohorts<'_> {
    /// Header matches and what they mean, in the order in which they are asked. Whoever has no such cookie is drawn at the weight.
    pub(super) fn matches(&self) -> Vec<(Value, Side)> {
        let mut all: Vec<i32> = self.weights.iter().copied().chain([self.weight]).collect();
        all.sort_unstable();
        all.dedup();
        all.retain(|weight| *weight < self.weight);
        let earlier = all.split_off(all.len().saturating_sub(MOST_EARLIER));
        let missing = |drawn_at: i32| Side::Drawn(100 - self.weight, self.weight - drawn_at);
        // Whatever weight it was: steps are edited, and what somebody else wrote stays for a moment.
        [
            (self.cookie(OURS, 1, self.weight), Side::Ours),
            (self.cookie(STANDARD, self.weight, 100), Side::Standard),
        ]
        .into_iter()
        .chain(earlier.into_iter().map(|at| (self.cookie(STANDARD, at, at), missing(at))))
        .collect()
    }

    /// A match for a cookie that says a weight of `from` to `to`, among others or alone. Whole: some gateways match a part and some the whole.
    fn cookie(&self, side: &str, from: i32, to: i32) -> Value {
        let value = format!("^(.*; ?)?{}={side}-({})(;.*)?$", self.name(), numbers(from, to));
        json!({"type": "RegularExpression", "name": "cookie", "value": value})
    }

    fn name(&self) -> String {
        format!("ftr-{}", self.id)
    }

    /// Filters of a backend that users are drawn to: they are told their side.
    pub(super) fn told(&self, ours: bool) -> Value {
        let (name, side) = (self.name(), if ours { OURS } else { STANDARD });
        // Added: what the application sets is its own.
        let cookie = format!("{name}={side}-{}; Path=/; Max-Age={KEPT}; HttpOnly; SameSite=Lax", self.weight);
        json!([{"type": "ResponseHeaderModifier", "responseHeaderModifier": {"add": [{"name": "set-cookie", "value": cookie}]}}])
    }
}

/// The numbers of `from` to `to`, of 1 to 100, as a regular expression. By tens: gateways bound how long a program it may be.
fn numbers(from: i32, to: i32) -> String {
    let tens = (from / 10..=to / 10).map(|ten| {
        let (low, high) = (from.max(10 * ten) % 10, to.min(10 * ten + 9) % 10);
        let ones = if low == high { low.to_string() } else { format!("[{low}-{high}]") };
        if ten == 0 { ones } else { format!("{ten}{ones}") }
    });
    tens.collect::<Vec<_>>().join("|")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use regex::Regex;

    use super::*;

    /// What a gateway does with a user who has `cookie`: the chance of the free-threaded pool, in percent.
    fn chance(cohorts: &Cohorts<'_>, cookie: &str) -> f64 {
        let hit = cohorts.matches().into_iter().find(|(header, _)| {
            Regex::new(header.pointer("/value").and_then(Value::as_str).unwrap()).unwrap().is_match(cookie)
        });
        match hit {
            None => f64::from(cohorts.weight),
            Some((_, Side::Ours)) => 100.0,
            Some((_, Side::Standard)) => 0.0,
            Some((_, Side::Drawn(standard, ours))) => 100.0 * f64::from(ours) / f64::from(standard + ours),
        }
    }

    #[test]
    fn users_only_join_as_the_weight_grows_and_all_together_make_the_share() {
        let weights = [1, 5, 25, 50, 100];
        // Shares of the users, by the weight and side that their cookie says.
        let mut users = vec![(String::new(), 1.0_f64)];
        for weight in weights {
            let cohorts = Cohorts { id: "a1", weight, weights: &weights };
            let mut next = Vec::new();
            for (cookie, part) in users {
                let chance = chance(&cohorts, &cookie) / 100.0;
                if cookie.contains("=ft-") {
                    assert!((chance - 1.0).abs() < 1e-9, "{cookie} leaves at {weight} %");
                    next.push((cookie, part));
                    continue;
                }
                next.push((format!("theme=dark; ftr-a1=ft-{weight}"), part * chance));
                next.push((format!("theme=dark; ftr-a1=std-{weight}; lang=en"), part * (1.0 - chance)));
            }
            users = next;
            let share: f64 = users.iter().filter(|(c, _)| c.contains("=ft-")).map(|(_, part)| part).sum();
            assert!((share * 100.0 - f64::from(weight)).abs() < 1e-9, "{share} at {weight} %");
            // And who has been drawn stays, for as long as the weight does.
            for (cookie, part) in users.iter().filter(|(_, part)| *part > 0.0) {
                let stays = if cookie.contains("=ft-") { 100.0 } else { 0.0 };
                assert!((chance(&cohorts, cookie) - stays).abs() < 1e-9, "{cookie} {part} at {weight} %");
            }
        }
    }

    #[test]
    fn a_cookie_of_another_rise_or_of_an_unknown_weight_is_drawn_anew() {
        let cohorts = Cohorts { id: "a1", weight: 25, weights: &[5, 25, 50] };
        for cookie in [
            "ftr-b2=ft-5",
            "xftr-a1=ft-5",
            "ftr-a1=ft-50",
            "ftr-a1=std-7",
            "ftr-a1=ft-55",
            "ftr-a1=ft-0",
            "a=ftr-a1",
        ] {
            assert!((chance(&cohorts, cookie) - 25.0).abs() < 1e-9, "{cookie}");
        }
        assert!(chance(&cohorts, "ftr-a1=std-50").abs() < 1e-9, "standard at more is standard at less");
        assert!(
            (chance(&cohorts, "ftr-a1=ft-7") - 100.0).abs() < 1e-9,
            "of a step that is gone, and yet nobody leaves"
        );
    }

    #[test]
    fn numbers_are_all_from_one_to_another_and_no_other() {
        for (from, to) in (1..=100).flat_map(|from| (from..=100).map(move |to| (from, to))) {
            let these = Regex::new(&format!("^({})$", numbers(from, to))).unwrap();
            let all: Vec<i32> = (0..=1000).filter(|number| these.is_match(&number.to_string())).collect();
            assert_eq!(all, (from..=to).collect::<Vec<_>>(), "{from} to {to}");
        }
    }

    #[test]
    fn a_route_has_no_more_rules_than_it_may() {
        let weights: Vec<i32> = (1..=20).collect();
        let cohorts = Cohorts { id: "a1", weight: 20, weights: &weights };
        assert_eq!(cohorts.matches().len(), 2 + MOST_EARLIER);
        assert!((chance(&cohorts, "ftr-a1=std-19") - 100.0 / 81.0).abs() < 1e-9, "the latest ones");
        assert!((chance(&cohorts, "ftr-a1=std-9") - 20.0).abs() < 1e-9, "the earliest are drawn anew");
    }
}
