//! The benchmark's decision, by simulation: how often it says *benefit* of equal images, and how often it finds one that is there.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail so")]
#![allow(clippy::cast_possible_truncation, reason = "a cast stays within its type")]

use freethread_rollout::{
    api::BenchmarkRound,
    preflight::image::{LOOKS, ROUNDS_LIMIT, Speedup, beside},
};

const RUNS: u32 = 10_000;

/// A linear congruential generator (Knuth's constants): the same on every machine.
struct Random(u64);

impl Random {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.unit().max(1e-300).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }
}

/// How the times of runs vary on a machine that others use too, as logarithms.
#[derive(Clone, Copy)]
struct Noise {
    /// From run to run.
    run: f64,
    /// Of the machine, which is much the same from one run to the next (0.9), through all rounds.
    machine: f64,
    /// From pod to pod: where memory lies, which core. The same for both images' runs in a round, but not quite.
    pod: f64,
    /// Share of runs during which somebody else wants the processor.
    disturbed: f64,
    /// The first run of an image in a pod reads its files from disk.
    cold: f64,
}

const QUIET: Noise = Noise { run: 0.03, machine: 0.02, pod: 0.02, disturbed: 0.01, cold: 0.02 };
const SHARED: Noise = Noise { run: 0.08, machine: 0.10, pod: 0.04, disturbed: 0.05, cold: 0.05 };

/// Rounds of which the free-threaded image is so much faster.
fn rounds(random: &mut Random, noise: Noise, faster: f64) -> Vec<BenchmarkRound> {
    let mut machine = 0.0;
    (0..ROUNDS_LIMIT)
        .map(|round| {
            let pods = [noise.pod * random.normal(), noise.pod * random.normal()];
            let first = round % 2;
            let mut time = [0.0; 2];
            for (turn, image) in [first, 1 - first, 1 - first, first].into_iter().enumerate() {
                machine = 0.9 * machine + noise.machine * (1.0_f64 - 0.81).sqrt() * random.normal();
                let disturbed =
                    if random.unit() < noise.disturbed { (1.0 + random.unit()).ln() } else { 0.0 };
                let cold = if turn < 2 { noise.cold } else { 0.0 };
                time[image] += machine + pods[image] + noise.run * random.normal() + disturbed + cold;
            }
            let speed = (time[0] - time[1]) / 2.0 + faster.ln();
            BenchmarkRound { speed: (speed * 1e6).round() as i64, ..BenchmarkRound::default() }
        })
        .collect()
}

/// How many of [`RUNS`] benchmarks say that it is enough, and that it is not, and the median of the rounds that took.
fn outcomes(noise: Noise, faster: f64, wanted: f64) -> (f64, f64, usize) {
    let (mut yes, mut no, mut took) = (0, 0, Vec::new());
    for seed in 0..RUNS {
        let mut random = Random(u64::from(seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let found = Speedup::of(&rounds(&mut random, noise, faster), wanted).unwrap();
        match found.enough {
            Some(true) => yes += 1,
            Some(false) => no += 1,
            None => {}
        }
        took.push(found.rounds);
    }
    took.sort_unstable();
    let share = |count: u32| f64::from(count) / f64::from(RUNS);
    (share(yes), share(no), took[took.len() / 2])
}

/// The ends of the 99 % interval of a rate (Wilson).
fn wilson(rate: f64) -> (f64, f64) {
    let (n, z) = (f64::from(RUNS), 2.576_f64);
    let middle = (rate + z * z / (2.0 * n)) / (1.0 + z * z / n);
    let half = z / (1.0 + z * z / n) * (rate * (1.0 - rate) / n + z * z / (4.0 * n * n)).sqrt();
    (middle - half, middle + half)
}

#[test]
fn benefit_is_hardly_ever_said_of_equal_images() {
    for (name, noise) in [("quiet", QUIET), ("shared", SHARED)] {
        for wanted in [1.0, 1.05, 1.1] {
            let (yes, no, took) = outcomes(noise, 1.0, wanted);
            let (_, most) = wilson(yes);
            println!(
                "{name}: equal images, {wanted} wanted: benefit {:.2} %, none {:.1} %, {took} rounds",
                yes * 100.0,
                no * 100.0
            );
            assert!(most <= 0.05, "{name}, {wanted} wanted: benefit in {:.2} % of the runs", yes * 100.0);
        }
    }
}

#[test]
fn benefit_is_hardly_ever_said_of_what_is_just_not_enough() {
    // The hardest case: exactly what is wanted, so that neither answer is right.
    for noise in [QUIET, SHARED] {
        let (yes, no, _) = outcomes(noise, 1.1, 1.1);
        assert!(wilson(yes).1 <= 0.05 && wilson(no).1 <= 0.05, "{yes} {no}");
    }
}

#[test]
fn a_speed_up_that_is_there_is_found() {
    for (name, noise) in [("quiet", QUIET), ("shared", SHARED)] {
        let (yes, no, took) = outcomes(noise, 1.3, 1.1);
        println!(
            "{name}: 1.3 times as fast, 1.1 wanted: benefit {:.2} %, none {:.2} %, {took} rounds",
            yes * 100.0,
            no * 100.0
        );
        assert!(wilson(yes).0 >= 0.9, "{name}: found in {:.1} % of the runs", yes * 100.0);
        let (_, no, took) = outcomes(noise, 1.0, 1.1);
        println!("{name}: as fast, 1.1 wanted: none {:.2} %, {took} rounds", no * 100.0);
    }
}

#[test]
fn the_quantiles_are_students() {
    for (rounds, quantile) in LOOKS {
        let freedom = rounds as f64 - 1.0;
        // Simpson's rule on the density without its constant, from 0 to the quantile and from there far out.
        let density = |x: f64| (1.0 + x * x / freedom).powf(-f64::midpoint(freedom, 1.0));
        let simpson = |from: f64, to: f64| {
            let step = (to - from) / 200_000.0;
            let weight = |i: i32| if i == 0 || i == 200_000 { 1.0 } else { f64::from(2 + 2 * (i % 2)) };
            (0..=200_000).map(|i| weight(i) * density(from + f64::from(i) * step)).sum::<f64>() * step / 3.0
        };
        let (inside, outside) = (simpson(0.0, quantile), simpson(quantile, 2_000.0));
        let tail = outside / (2.0 * (inside + outside));
        assert!((tail - 0.05 / 12.0).abs() < 2e-6, "{rounds} rounds: {tail}");
    }
    assert_eq!(LOOKS.last().unwrap().0, ROUNDS_LIMIT);
}

#[test]
fn it_is_looked_at_at_six_times_and_the_first_that_decides_stands() {
    let round =
        |speed| BenchmarkRound { speed, cpu: 100_000, peak: Some(-50_000), ..BenchmarkRound::default() };
    let mut all = vec![round(300_000), round(310_000), round(290_000)];
    assert_eq!(Speedup::of(&all, 1.1), None, "not before the first look");
    all.push(round(300_000));
    let first = Speedup::of(&all, 1.1).unwrap();
    assert_eq!((first.rounds, first.enough), (4, Some(true)));
    assert_eq!(
        first.sentence(),
        "1.35 times as fast as the standard image (95 % interval 1.32 to 1.38, 4 rounds)"
    );
    assert_eq!(beside(&all), "CPU for the same work 1.11 times, peak memory 0.95 times");
    // Rounds that come later change nothing of it.
    all.extend([round(-900_000), round(-900_000)]);
    assert_eq!(Speedup::of(&all, 1.1).unwrap(), first);
    // Where it decides nothing, the next look does.
    assert_eq!(Speedup::of(&all, 1.35).map(|found| (found.rounds, found.enough)), Some((6, None)));
    let equal = vec![round(0); 4];
    assert_eq!(Speedup::of(&equal, 1.1).unwrap().enough, Some(false));
}
