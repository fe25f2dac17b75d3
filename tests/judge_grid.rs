//! Samples to cells: the grid against vectors of an independent implementation, and by hand.

#![allow(clippy::unwrap_used, clippy::panic, clippy::cast_possible_truncation)]

use freethread_rollout::judge::{At, Cell, Grid, PodSamples, Point, Pool, Series, WeightChange, Weights};
use serde_json::Value;

fn float(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

fn ms(value: &Value) -> i64 {
    (float(value) * 1000.0).round() as i64
}

/// Vectors give `n` and `k`; here they are a series of good requests and one of failed ones.
fn pod(name: &str, value: &Value) -> PodSamples {
    let samples = value["samples"].as_array().unwrap();
    let points =
        |of: &dyn Fn(&Value) -> f64| samples.iter().map(|s| Point { at: ms(&s[0]), value: of(s) }).collect();
    let good = points(&|s| float(&s[1]) - float(&s[2]));
    let bad = points(&|s| float(&s[2]));
    PodSamples {
        pod: name.to_owned(),
        pool: if name.starts_with('c') { Pool::FreeThreaded } else { Pool::Standard },
        started: ms(&value["started"]),
        counted_from: i64::MIN,
        series: vec![
            Series { id: "good".to_owned(), n: 1.0, k: 0.0, at: At::Everywhere, points: good },
            Series { id: "bad".to_owned(), n: 1.0, k: 1.0, at: At::Everywhere, points: bad },
        ],
        process_start: vec![],
    }
}

fn weights(changes: &[i64]) -> Weights {
    let mut weights = Weights::new();
    weights.learn(&changes.iter().map(|at| WeightChange { at: *at, share: 0.1 }).collect::<Vec<_>>());
    weights
}

#[test]
fn reproduces_the_vectors() {
    let cases: Value = serde_json::from_str(include_str!("vectors/judge-grid.json")).unwrap();
    for case in cases.as_array().unwrap() {
        let pods: Vec<_> =
            case["pods"].as_object().unwrap().iter().map(|(name, value)| pod(name, value)).collect();
        let changes: Vec<i64> = case["changes"].as_array().unwrap().iter().map(ms).collect();
        let mut grid = Grid::new(ms(&case["scrape"]), ms(&case["attempt"]));
        let got = grid.feed(10_000_000, &pods, &weights(&changes), |_, _| {});
        let want = case["grid"].as_array().unwrap();
        assert_eq!(got.len(), want.len(), "{}", case["case"]);
        for (i, (got, want)) in got.iter().zip(want).enumerate() {
            assert_eq!((got.start, got.end), (ms(&want["start"]), ms(&want["end"])));
            assert_eq!(got.held, want["held"].as_bool().unwrap());
            // The vectors were computed with all samples at hand: their first cell waits for a pod that is not born yet.
            if i > 0 {
                assert_eq!(got.closes, ms(&want["closes"]), "{}, cell {i}", case["case"]);
            }
            let counts = want["counts"].as_object().unwrap();
            assert_eq!(got.pods.keys().collect::<Vec<_>>(), counts.keys().collect::<Vec<_>>());
            for (name, want) in counts {
                let got = got.pods[name].counts;
                assert!(
                    (got.n - float(&want[0])).abs() < 1e-9,
                    "{}, cell {i}, {name}: {got:?}",
                    case["case"]
                );
                assert!(
                    (got.k - float(&want[1])).abs() < 1e-9,
                    "{}, cell {i}, {name}: {got:?}",
                    case["case"]
                );
            }
        }
    }
}

fn steady(name: &str, pool: Pool, at: impl IntoIterator<Item = i64>) -> PodSamples {
    let points = at.into_iter().map(|at| Point { at, value: at as f64 / 100.0 }).collect();
    PodSamples {
        pod: name.to_owned(),
        pool,
        started: 0,
        counted_from: 0,
        series: vec![Series { id: "good".to_owned(), n: 1.0, k: 0.0, at: At::Everywhere, points }],
        process_start: vec![],
    }
}

fn feed(grid: &mut Grid, pods: &[PodSamples]) -> Vec<Cell> {
    grid.feed(i64::MAX, pods, &Weights::new(), |_, _| {})
}

#[test]
fn a_cell_closes_with_the_last_pod() {
    let mut grid = Grid::new(1_000, 10_000);
    let a = steady("a", Pool::Standard, [9_100, 10_100, 11_100]);
    let b = steady("b", Pool::FreeThreaded, [9_900, 10_900]);
    assert_eq!(feed(&mut grid, &[a, b]), []);
    let cells = feed(&mut grid, &[steady("b", Pool::FreeThreaded, [10_900, 11_900])]);
    assert_eq!(cells.len(), 1);
    assert_eq!((cells[0].start, cells[0].end, cells[0].closes), (10_000, 11_000, 11_900));
    assert!((cells[0].sum(Pool::Standard, true).n - 10.0).abs() < 1e-9);
    assert!((cells[0].sum(Pool::FreeThreaded, true).n - 10.0).abs() < 1e-9);
}

#[test]
fn a_lost_pod_delays_two_scrapes_once_and_is_left_out() {
    let mut grid = Grid::new(1_000, 10_000);
    let a = steady("a", Pool::Standard, (0..20).map(|i| 9_100 + 1_000 * i));
    let mut lost: Vec<i64> = (0..20).map(|i| 9_500 + 1_000 * i).collect();
    lost.drain(4..12);
    let b = steady("b", Pool::FreeThreaded, lost);
    let cells = feed(&mut grid, &[a, b]);
    let closes: Vec<(i64, bool)> = cells.iter().map(|c| (c.closes, c.pods.contains_key("b"))).collect();
    assert_eq!(
        closes[..5],
        [(11_500, true), (12_500, true), (15_100, false), (14_100, false), (15_100, false)]
    );
    assert_eq!(cells[2].missing_free_threaded, 1);
    let back = cells.iter().skip(5).find(|c| c.pods.contains_key("b")).unwrap();
    assert_eq!(back.start, 22_000, "from the first cell after the sample at 21.5 s");
}

#[test]
fn young_is_what_a_pod_is_when_the_cell_begins() {
    let mut grid = Grid::new(1_000, 10_000);
    let mut a = steady("a", Pool::FreeThreaded, (0..6).map(|i| 9_500 + 1_000 * i));
    a.counted_from = 11_000;
    let young: Vec<bool> = feed(&mut grid, &[a]).iter().map(|c| c.pods["a"].young).collect();
    assert_eq!(young, [true, false, false, false]);
}

#[test]
fn stale_markers_are_no_samples() {
    let mut grid = Grid::new(1_000, 10_000);
    let mut a = steady("a", Pool::FreeThreaded, (0..6).map(|i| 9_500 + 1_000 * i));
    a.series[0].points[2].value = f64::NAN;
    let cells = feed(&mut grid, &[a]);
    assert!(cells.iter().all(|c| (c.sum(Pool::FreeThreaded, true).n - 10.0).abs() < 1e-9), "{cells:?}");
}

#[test]
fn several_processes_are_seen() {
    let mut grid = Grid::new(1_000, 10_000);
    let mut a = steady("a", Pool::Standard, (0..20).map(|i| 9_500 + 1_000 * i));
    for point in a.series[0].points.iter_mut().skip(5).step_by(2) {
        point.value /= 2.0;
    }
    let cells = feed(&mut grid, &[a]);
    assert_eq!(grid.several_processes(), Some("a"));
    assert!(!cells[0].several_processes && cells.last().unwrap().several_processes);
}

#[test]
fn a_pod_without_series_is_known_by_its_process() {
    let mut grid = Grid::new(1_000, 10_000);
    let mut a = steady("a", Pool::FreeThreaded, []);
    a.process_start = (0..6).map(|i| Point { at: 9_500 + 1_000 * i, value: 7.0 }).collect();
    a.series[0].points = vec![Point { at: 12_500, value: 4.0 }, Point { at: 13_500, value: 4.0 }];
    let cells = feed(&mut grid, &[a]);
    let total: f64 = cells.iter().map(|c| c.sum(Pool::FreeThreaded, true).n).sum();
    assert!((total - 4.0).abs() < 1e-9, "a new series counts from 0: {cells:?}");
}

#[test]
fn memory_does_not_grow_with_the_attempt() {
    let mut grid = Grid::new(1_000, 0);
    let mut most = 0;
    for minute in 0..600 {
        let at = |offset: i64| (0..80).map(move |i| (minute * 60 + i) * 1_000 + offset);
        let gone = steady(&format!("pod-{minute}"), Pool::FreeThreaded, at(700));
        feed(
            &mut grid,
            &[steady("a", Pool::Standard, at(100)), steady("b", Pool::FreeThreaded, at(300)), gone],
        );
        most = most.max(grid.size());
    }
    assert!(most < 400, "{most}");
}

#[test]
fn a_container_that_started_over_did_not_begin_at_zero() {
    let mut grid = Grid::new(1_000, 10_000);
    let mut a = steady("a", Pool::Standard, (0..20).map(|i| 9_999 + 1_000 * i));
    a.started = 20_000;
    let cells = feed(&mut grid, &[a]);
    assert!(cells.iter().all(|c| c.sum(Pool::Standard, true).n < 11.0), "not its whole life: {cells:?}");
    // But one born within the attempt did, and a clock that differs a little does not matter.
    let mut b = steady("b", Pool::FreeThreaded, (0..20).map(|i| 40_500 + 1_000 * i));
    b.started = 42_000;
    let mut grid = Grid::new(1_000, 10_000);
    let cells = feed(&mut grid, &[b, steady("s", Pool::Standard, (0..60).map(|i| 9_600 + 1_000 * i))]);
    let first = cells.iter().find(|c| c.pods.contains_key("b")).unwrap();
    assert_eq!(first.start, 41_000);
}
