//! Throughput per core: how often a benefit is seen that is none, and how often one that is.

use std::collections::BTreeMap;

use freethread_rollout::{
    api::{BenefitOutcome, Span},
    judge::{Benefit, BenefitSpec, Cell, Counts, PodCounts, Pool, Slower},
};

use crate::{
    Options, judge::on_two_threads, random::Random, rates::Rate, report::Section, targets::Check, timed,
};

/// A benefit that is none, at most.
const FALSE_BENEFIT: f64 = 0.05;

/// Why one target is known to be missed.
const LASTING: &str = "noise of the cost of a request that lasts for longer than two blocks: two hours are too short to see how much of the difference is chance";

const CELL_MS: i64 = 15_000;
const CELLS: i64 = 480;

/// A setting: pods, how much they differ for good, and the share of the noise that is left after a cell.
#[derive(Clone, Copy)]
struct Setting {
    what: &'static str,
    pods: (usize, usize),
    differ: f64,
    keeps: f64,
}

const SETTINGS: [Setting; 6] = [
    Setting { what: "noise of seconds", pods: (3, 9), differ: 0.03, keeps: 0.5 },
    Setting { what: "noise of minutes", pods: (3, 9), differ: 0.03, keeps: 0.9 },
    Setting { what: "noise of minutes, pods differ by 5 %", pods: (3, 9), differ: 0.05, keeps: 0.9 },
    Setting { what: "noise of minutes, pods differ by 5 %", pods: (1, 9), differ: 0.05, keeps: 0.9 },
    Setting { what: "noise of minutes, pods differ by 5 %", pods: (2, 2), differ: 0.05, keeps: 0.9 },
    Setting { what: "noise of a quarter of an hour", pods: (3, 9), differ: 0.03, keeps: 0.983 },
];

/// What is said after two hours, of a pool whose throughput per core is `ratio` times the standard one's.
fn measure(setting: Setting, ratio: f64, wanted: f64, mut random: Random) -> BenefitOutcome {
    let mut benefit = Benefit::new(BenefitSpec {
        cpu_times: 1.0,
        block: Span::from_secs(300),
        cell_ms: CELL_MS,
        from: 0,
        measure_for: Span::from_secs(7200),
        wanted,
        of: String::new(),
    });
    let all = setting.pods.0 + setting.pods.1;
    let own: Vec<f64> = (0..all).map(|_| random.factor(setting.differ)).collect();
    let mut pools = [0.1 * random.normal(), 0.1 * random.normal()];
    for cell in 0..CELLS {
        for noise in &mut pools {
            *noise = setting.keeps * *noise + 0.1 * (1.0 - setting.keeps.powi(2)).sqrt() * random.normal();
        }
        let mut pods = BTreeMap::new();
        for (pod, own) in own.iter().enumerate() {
            let ours = pod < setting.pods.0;
            let requests = random.poisson(300.0);
            let cost = if ours { pools[0].exp() / ratio } else { pools[1].exp() };
            let cpu = 0.02 * requests * cost * own * random.factor(0.05);
            let pool = if ours { Pool::FreeThreaded } else { Pool::Standard };
            let counts = Counts::new(requests + cpu, cpu);
            pods.insert(format!("{pod}"), PodCounts { pool, young: false, counts, slower: Slower::UNKNOWN });
        }
        benefit.feed_cell(&Cell::plain(cell * CELL_MS, (cell + 1) * CELL_MS, pods));
    }
    benefit.finding(i64::MAX).outcome
}

fn rate(id: &str, setting: Setting, of: (f64, f64), runs: usize, outcome: BenefitOutcome) -> Rate {
    let id = format!("benefit/{}/{:?}/{id}", setting.what, setting.pods);
    let all = timed(&id, || on_two_threads(runs, |run| measure(setting, of.0, of.1, Random::of(&id, run))));
    Rate::of(all.iter().filter(|said| **said == outcome).count(), runs)
}

/// False benefits, and what is found.
pub(crate) fn benefit(options: &Options) -> Section {
    let mut section = Section {
        title: "Benefit",
        words: "Throughput per core over two hours, in blocks of five minutes; 20 requests a second and pod. The logarithm of what a request costs has, in each \
                pool for itself, a standard deviation of 0.1, and keeps half of itself, 90 % (two and a half minutes) or 98.3 % (a quarter of an hour) from \
                cell to cell. *False*: both pools are equal, and a benefit of more than nothing is claimed. *Found*: ours does 1.3 times as much and 1.1 is \
                wanted; or it does as much, and `NoBenefit` is said where 1.2 is wanted."
            .to_owned(),
        header: vec!["setting", "pods", "false benefit (99 % interval)", "at most", "target", "1.3 times: found", "equal: no benefit"],
        ..Section::default()
    };
    for setting in SETTINGS {
        let wrong = rate("false", setting, (1.0, 1.0), options.runs, BenefitOutcome::Benefit);
        let found = rate("found", setting, (1.3, 1.1), options.delays, BenefitOutcome::Benefit);
        let none = rate("none", setting, (1.0, 1.2), options.delays, BenefitOutcome::NoBenefit);
        let pods = format!("{} of {}", setting.pods.0, setting.pods.0 + setting.pods.1);
        let known = (setting.keeps > 0.95).then_some(LASTING);
        let what = format!("false benefit, {}, {pods} pods", setting.what);
        let check = Check::rate(&what, wrong, FALSE_BENEFIT).or_known(known);
        section.rows.push(vec![
            setting.what.to_owned(),
            pods,
            wrong.to_string(),
            "5 %".to_owned(),
            check.word().to_owned(),
            format!("{:.0} %", found.share() * 100.0),
            format!("{:.0} %", none.share() * 100.0),
        ]);
        section.checks.push(check);
    }
    section
}
