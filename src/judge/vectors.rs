//! The tests and their layers against vectors of an independent implementation: `ln M` after each cell to 1e-9, and the verdicts.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    counts::Counts,
    grid::{Cell, PodCounts},
    merge::{Merge, Standing},
    mixture::{Mixture, PARTS},
    noise::Noise,
    objective::Objective,
    regression::Regression,
    safe::Safe,
    samples::Pool,
    spec::{AttemptSpec, MetricSpec},
};

fn float(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

fn same(got: f64, want: f64, at: &str) {
    assert!((got - want).abs() <= 1e-9 * want.abs().max(1.0), "{at}: {got} {want}");
}

fn counts(value: &Value, metric: usize) -> Counts {
    Counts::new(float(&value[0]), float(&value[metric + 1]))
}

#[test]
fn the_clean_tests() {
    let cases: Value = serde_json::from_str(include_str!("../../tests/vectors/judge.json")).unwrap();
    let spec = |tolerate| {
        let metric = MetricSpec { noise: Noise::NONE, ..MetricSpec::errors(tolerate, None) };
        (AttemptSpec::new(0.01, 1000, 0, vec![metric.clone()]), metric)
    };
    let mut compared = 0;
    for case in list(&cases) {
        let dt = float(&case["dt"]);
        let regressions = [(1.0, 0.0), (1.1, 0.0002)].map(|(factor, margin)| Regression { factor, margin });
        let mut mixtures = [Mixture::new(PARTS), Mixture::new(PARTS)];
        let objective = Objective::new(0.01);
        let mut promised = Mixture::new(objective.used);
        let (attempt, metric) = spec(0.001);
        let mut safe = Safe::of(&attempt, &metric).unwrap();
        for (i, row) in list(&case["intervals"]).iter().enumerate() {
            let at = |name: &str| format!("{}, {name}, row {i}", case["case"]);
            let (ours, standard) = (counts(&row["canary"], 0), counts(&row["baseline"], 0));
            let names = ["regression", "regression rho=1.1 delta=0.0002"];
            for ((test, mixture), name) in regressions.iter().zip(&mut mixtures).zip(names) {
                mixture.begin(dt);
                let got = mixture.weigh(&test.gains(ours, standard, 1.0).of(ours, 1.0));
                same(got, float(&row["lnM"][name]), &at(name));
                compared += 1;
            }
            promised.begin(dt);
            let name = "objective p0=0.01";
            same(promised.weigh(&objective.gains(ours, 1.0)), float(&row["lnM"][name]), &at(name));
            safe.push((ours, 1), (standard, 1));
            let name = "safe rho=1.25 delta=0.001";
            same(safe.ln_m(), float(&row["lnM"][name]), &at(name));
            compared += 2;
        }
    }
    assert_eq!(compared, 1280);
}

/// A merge of the vectors' tests, which come as a regression and an objective per metric.
fn merge(case: &Value) -> Merge {
    let noise = Noise { phi: float(&case["phi"]), tau: float(&case["tau"]) };
    let metrics = list(&case["tests"]).chunks(2).enumerate().map(|(i, pair)| MetricSpec {
        name: format!("errors {i}"),
        noise,
        ..MetricSpec::errors(pair[0]["delta"].as_f64().unwrap_or(0.0), pair[1]["p0"].as_f64())
    });
    let spec = AttemptSpec::new(float(&case["alpha"]), 1000, 0, metrics.collect());
    let mut merge = Merge::new(&spec);
    for (term, test) in merge.terms.iter_mut().zip(list(&case["tests"])) {
        assert!((term.weight - float(&test["weight"])).abs() < 1e-12);
        if let Some(rho) = test["rho"].as_f64() {
            term.compare_with(rho);
        }
    }
    merge
}

fn cell(row: &Value, metric: usize) -> Cell {
    let ms = |value: &Value| value.as_i64().unwrap() * 1000;
    let pods =
        [(Pool::FreeThreaded, &row[2]), (Pool::Standard, &row[3])].into_iter().flat_map(|(pool, pods)| {
            let pod = move |(name, value): (&String, &Value)| {
                (name.clone(), PodCounts::new(pool, false, counts(value, metric)))
            };
            pods.as_object().unwrap().iter().map(pod)
        });
    Cell::plain(ms(&row[0]), ms(&row[1]), pods.collect::<BTreeMap<_, _>>())
}

fn word(merge: &Merge, case: &Value) -> String {
    match merge.standing() {
        Standing::Quiet => "None".to_owned(),
        Standing::Waiting { .. } => "Wait".to_owned(),
        Standing::Shared => "SharedIncident".to_owned(),
        Standing::Breach(crossing) => {
            format!("Breach {}", case["tests"][crossing.term]["name"].as_str().unwrap())
        }
    }
}

#[test]
fn the_layers() {
    let cases: Value = serde_json::from_str(include_str!("../../tests/vectors/judge-layers.json")).unwrap();
    let mut compared = 0;
    // Cases that come as samples have times with fractions, and are those of the grid.
    for case in list(&cases).iter().filter(|case| case.get("pods").is_none()) {
        let mut merge = merge(case);
        for (i, row) in list(&case["rows"]).iter().enumerate() {
            let given = &row["cell"];
            let unknown: Vec<u64> =
                given.get(4).map(list).unwrap_or_default().iter().filter_map(Value::as_u64).collect();
            let metrics = (0..list(&case["tests"]).len() / 2).filter(|m| !unknown.contains(&(*m as u64)));
            let cells: Vec<(usize, Cell)> = metrics.map(|m| (m, cell(given, m))).collect();
            let together: Vec<(usize, &Cell)> = cells.iter().map(|(m, cell)| (*m, cell)).collect();
            merge.push(given[1].as_i64().unwrap() * 1000, &together, false);
            assert_eq!(word(&merge, case), row["verdict"].as_str().unwrap(), "{}, row {i}", case["case"]);
            for (term, want) in merge.terms.iter().zip(list(&row["lnM"])) {
                same(term.ln_m(), float(want), &format!("{}, row {i}", case["case"]));
                compared += 1;
            }
        }
    }
    assert!(compared > 1000, "{compared}");
}
