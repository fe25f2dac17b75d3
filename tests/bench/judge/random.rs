//! Seeded random numbers, the same on every machine and in whatever order the runs are played.

use std::f64::consts::TAU;

/// Below this mean Poisson counts are drawn by inversion, above by rejection.
const SMALL_MEAN: f64 = 10.0;

/// xoshiro256++ (Blackman and Vigna), seeded by splitmix64.
pub(crate) struct Random {
    state: [u64; 4],
    spare: Option<f64>,
}

impl Random {
    /// The generator of run `run` of what is called `name`.
    pub(crate) fn of(name: &str, run: u64) -> Self {
        // FNV-1a, so that a row keeps its numbers when others are added.
        let name = name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let mut seed: u64 = name ^ run.wrapping_mul(0xd134_2543_de82_ef95);
        let mut next = || {
            seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = seed;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        };
        Self { state: [next(), next(), next(), next()], spare: None }
    }

    fn next(&mut self) -> u64 {
        let s = &mut self.state;
        let result = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let shifted = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= shifted;
        s[3] = s[3].rotate_left(45);
        result
    }

    /// Uniform in `[0, 1)`.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Uniform in `[from, to)`.
    pub(crate) fn between(&mut self, from: f64, to: f64) -> f64 {
        from + (to - from) * self.unit()
    }

    /// One of `0..count`.
    pub(crate) fn below(&mut self, count: usize) -> usize {
        ((self.unit() * count as f64) as usize).min(count.saturating_sub(1))
    }

    /// Exponential with this mean.
    pub(crate) fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (-self.unit()).ln_1p()
    }

    /// Standard normal (Box and Muller).
    pub(crate) fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let radius = (-2.0 * (-self.unit()).ln_1p()).sqrt();
        let (sin, cos) = (TAU * self.unit()).sin_cos();
        self.spare = Some(radius * sin);
        radius * cos
    }

    /// Lognormal with mean 1, whose logarithm has this standard deviation.
    pub(crate) fn factor(&mut self, sd: f64) -> f64 {
        (sd * self.normal() - sd * sd / 2.0).exp()
    }

    /// Poisson, exact at every mean.
    pub(crate) fn poisson(&mut self, mean: f64) -> f64 {
        if mean <= 0.0 {
            0.0
        } else if mean < SMALL_MEAN {
            self.poisson_by_inversion(mean)
        } else {
            self.poisson_by_rejection(mean)
        }
    }

    fn poisson_by_inversion(&mut self, mean: f64) -> f64 {
        let mut left = self.unit();
        let (mut count, mut chance) = (0.0, (-mean).exp());
        while left >= chance && chance > 0.0 {
            left -= chance;
            count += 1.0;
            chance *= mean / count;
        }
        count
    }

    /// PTRS: transformed rejection with squeeze (Hörmann 1993).
    fn poisson_by_rejection(&mut self, mean: f64) -> f64 {
        let b = 0.931 + 2.53 * mean.sqrt();
        let a = -0.059 + 0.02483 * b;
        let inverse_alpha = 1.1239 + 1.1328 / (b - 3.4);
        let v_r = 0.9277 - 3.6224 / (b - 2.0);
        loop {
            let u = self.unit() - 0.5;
            let v = 1.0 - self.unit();
            let us = 0.5 - u.abs();
            let count = ((2.0 * a / us + b) * u + mean + 0.43).floor();
            if us >= 0.07 && v <= v_r {
                return count;
            }
            if count < 0.0 || (us < 0.013 && v > us) {
                continue;
            }
            let chance = count * mean.ln() - mean - ln_gamma(count + 1.0);
            if (v * inverse_alpha / (a / (us * us) + b)).ln() <= chance {
                return count;
            }
        }
    }
}

/// `ln Γ(x)` for `x > 0` (Stirling's series after a shift; good to 1e-12).
pub(crate) fn ln_gamma(x: f64) -> f64 {
    let (mut x, mut shift) = (x, 0.0);
    if x < 10.0 {
        let mut product = 1.0;
        while x < 10.0 {
            product *= x;
            x += 1.0;
        }
        shift = f64::ln(product);
    }
    let square = x * x;
    let series =
        (1.0 / 12.0 - (1.0 / 360.0 - (1.0 / 1260.0 - 1.0 / (1680.0 * square)) / square) / square) / x;
    (x - 0.5) * x.ln() - x + 0.5 * TAU.ln() + series - shift
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(count: u32, mut draw: impl FnMut() -> f64) -> (f64, f64) {
        let draws: Vec<f64> = (0..count).map(|_| draw()).collect();
        let mean = draws.iter().sum::<f64>() / f64::from(count);
        (mean, draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / f64::from(count - 1))
    }

    #[test]
    fn poisson_has_its_mean_and_variance_at_every_size() {
        for mean in [0.02f64, 0.7, 4.0, 9.9, 10.1, 60.0, 2_500.0, 1e6] {
            let mut random = Random::of("poisson", mean.to_bits());
            let (got, variance) = moments(40_000, || random.poisson(mean));
            assert!((got - mean).abs() < 4.0 * (mean / 40_000.0).sqrt(), "mean {mean}: {got}");
            let error = ((2.0 + 1.0 / mean) / 40_000.0).sqrt();
            assert!((variance / mean - 1.0).abs() < 4.0 * error, "variance at {mean}: {variance}");
        }
    }

    #[test]
    fn poisson_has_the_tail_that_a_normal_has_not() {
        // P(K ≥ 24 | 12) = 0.001 43; a normal with the same moments has 0.000 45.
        let mut random = Random::of("tail", 1);
        let tail = (0..400_000).filter(|_| random.poisson(12.0) >= 24.0).count() as f64 / 400_000.0;
        assert!((tail - 0.001_43).abs() < 0.000_25, "{tail}");
    }

    #[test]
    fn others_have_their_moments() {
        let mut random = Random::of("others", 1);
        let (mean, variance) = moments(100_000, || random.normal());
        assert!(mean.abs() < 0.013 && (variance - 1.0).abs() < 0.02, "{mean} {variance}");
        let (mean, variance) = moments(100_000, || random.exponential(3.0));
        assert!((mean - 3.0).abs() < 0.04 && (variance - 9.0).abs() < 0.35, "{mean} {variance}");
        let (mean, variance) = moments(100_000, || random.factor(0.4));
        assert!((mean - 1.0).abs() < 0.006 && (variance - 0.1735).abs() < 0.01, "{mean} {variance}");
        let (mean, _) = moments(100_000, || random.below(4) as f64);
        assert!((mean - 1.5).abs() < 0.015, "{mean}");
    }

    #[test]
    fn gamma_is_a_factorial() {
        for (x, factorial) in [(1.0, 1.0), (2.0, 1.0), (5.0, 24.0), (11.0, 3_628_800.0f64)] {
            assert!((ln_gamma(x) - f64::ln(factorial)).abs() < 1e-11, "{x}");
        }
        assert!((ln_gamma(0.5) - std::f64::consts::PI.sqrt().ln()).abs() < 1e-11);
    }

    #[test]
    fn a_run_has_its_own_numbers_and_keeps_them() {
        let first = |name, run| Random::of(name, run).next();
        assert_eq!(first("a", 1), first("a", 1));
        assert_ne!(first("a", 1), first("a", 2));
        assert_ne!(first("a", 1), first("b", 1));
    }
}
