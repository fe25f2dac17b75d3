//! Shapes of latency, seen through a bucket that ends at 0.5 s. Pure.

/// Upper end of the bucket, s.
const THRESHOLD: f64 = 0.5;

/// A mixture of lognormals: share, median (s), standard deviation of the logarithm.
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    parts: &'static [(f64, f64, f64)],
}

/// From a narrow hump to one with stragglers.
pub(crate) const SHAPES: [Shape; 3] = [
    Shape { name: "one hump", parts: &[(1.0, 0.1, 0.7)] },
    Shape { name: "a long tail", parts: &[(1.0, 0.06, 1.0)] },
    Shape { name: "two humps", parts: &[(0.95, 0.06, 0.3), (0.05, 0.4, 0.3)] },
];

impl Shape {
    /// Share of requests above the threshold when every request takes `times` as long.
    pub(crate) fn slow(&self, times: f64) -> f64 {
        let tail = |median: f64, sd: f64| above((THRESHOLD / (median * times)).ln() / sd);
        self.parts.iter().map(|(share, median, sd)| share * tail(*median, *sd)).sum()
    }
}

/// `P(Z > z)` of a standard normal (Chebyshev fit of erfc from Numerical Recipes, relative error 1.2e-7).
fn above(z: f64) -> f64 {
    const FIT: [f64; 10] = [
        -1.265_512_23,
        1.000_023_68,
        0.374_091_96,
        0.096_784_18,
        -0.186_288_06,
        0.278_868_07,
        -1.135_203_98,
        1.488_515_87,
        -0.822_152_23,
        0.170_872_77,
    ];
    let x = z.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.5 * x);
    let tail = 0.5 * t * (-x * x + FIT.iter().rev().fold(0.0, |sum, c| sum * t + c)).exp();
    if z >= 0.0 { tail } else { 1.0 - tail }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_tails() {
        for (z, tail) in [(0.0, 0.5), (1.0, 0.158_655_25), (2.326_347_9, 0.01), (-1.0, 0.841_344_75)] {
            assert!((above(z) - tail).abs() < 2e-7, "{z}: {}", above(z));
        }
    }

    #[test]
    fn slower_is_more_above_the_threshold() {
        for shape in &SHAPES {
            let shares = [1.0, 1.25, 1.5, 2.0].map(|times| shape.slow(times));
            assert!((0.002..0.03).contains(&shares[0]), "{}: {shares:?}", shape.name);
            assert!(shares.is_sorted(), "{}: {shares:?}", shape.name);
        }
    }
}
