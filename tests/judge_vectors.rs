//! The clean tests against vectors of an independent implementation: `ln M` after each cell, to 1e-9.

#![allow(clippy::unwrap_used, reason = "a test may fail so")]

use freethread_rollout::judge::{Objective, Regression, Tally};
use serde_json::Value;

fn pair(value: &Value) -> (f64, f64) {
    (value[0].as_f64().unwrap(), value[1].as_f64().unwrap())
}

#[test]
fn reproduce_the_vectors() {
    let cases: Value = serde_json::from_str(include_str!("vectors/judge.json")).unwrap();
    let mut compared = 0;
    for case in cases.as_array().unwrap() {
        let dt = case["dt"].as_f64().unwrap();
        let (mut plain, mut margin, mut objective) =
            (Regression::new(1.0, 0.0), Regression::new(1.1, 0.0002), Objective::new(0.01));
        for (i, row) in case["intervals"].as_array().unwrap().iter().enumerate() {
            let ((ours, ours_bad), (standard, standard_bad)) = (pair(&row["canary"]), pair(&row["baseline"]));
            let cell = Tally { ours, ours_bad, standard, standard_bad };
            for (name, got) in [
                ("regression", plain.update(&cell, dt)),
                ("regression rho=1.1 delta=0.0002", margin.update(&cell, dt)),
                ("objective p0=0.01", objective.update(ours, ours_bad, dt)),
            ] {
                let want = row["lnM"][name].as_f64().unwrap();
                let off = (got - want).abs();
                assert!(off <= 1e-9 * want.abs().max(1.0), "{}, {name}, row {i}: {got} {want}", case["case"]);
                compared += 1;
            }
        }
    }
    assert_eq!(compared, 960);
}
