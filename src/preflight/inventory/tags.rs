//! The tags that a free-threaded interpreter takes, best first, as `packaging.tags` orders them.
//!
//! ```text
//! cp314-cp314t-PLATFORM    built for it                     Ready
//! cp314-abi3t-PLATFORM     the stable ABI without a GIL     Ready
//! cp314-none-PLATFORM      a program in a wheel             Native
//! cp313-abi3t-PLATFORM     ... and down to cp32             Ready
//! py314-none-PLATFORM      py3, py313 ... py30              Native
//! cp314-none-any           then py314, py3, py313 ... py30  Pure
//! ```
//!
//! Within each line the platforms have their own order; the line decides first. So a rank is a pair, and a wheel whose file name
//! lists thousands of tags is ranked without multiplying them out.

use std::collections::BTreeMap;

use super::{
    target::{Libc, Target},
    wheel::Wheel,
};

/// Why a wheel fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fit {
    /// Built for this very interpreter.
    Own,
    /// Built for the stable ABI of free-threaded builds.
    Stable,
    /// Binary, but nothing that the interpreter loads as an extension by its tag.
    Native,
    /// Nothing of it is binary.
    Any,
}

/// How good a wheel fits: the smaller the better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank(usize, usize);

/// The tags of one target.
#[derive(Debug, Clone)]
pub(super) struct Tags {
    /// Interpreter, then ABI.
    lines: BTreeMap<String, BTreeMap<String, Vec<(usize, Fit)>>>,
    platforms: BTreeMap<String, usize>,
    minor: u64,
}

impl Tags {
    pub(super) fn new(target: &Target) -> Self {
        let mut lines: BTreeMap<String, BTreeMap<String, Vec<(usize, Fit)>>> = BTreeMap::new();
        for (i, (python, abi, fit)) in lines_of(target.interpreter.minor).into_iter().enumerate() {
            lines.entry(python).or_default().entry(abi).or_default().push((i, fit));
        }
        let platforms = platforms(target).into_iter().enumerate().map(|(i, name)| (name, i)).collect();
        Self { lines, platforms, minor: target.interpreter.minor }
    }

    /// How good a wheel fits, if it does.
    pub(super) fn rank(&self, wheel: &Wheel) -> Option<(Rank, Fit)> {
        let platform = self.platform(wheel);
        let any = wheel.platforms().any(|name| name == "any");
        let mut best: Option<(Rank, Fit)> = None;
        for of_python in wheel.pythons().filter_map(|python| self.lines.get(python)) {
            for lines in wheel.abis().filter_map(|abi| of_python.get(abi)) {
                for (line, fit) in lines {
                    let place = if *fit == Fit::Any { any.then_some(0) } else { platform };
                    let Some(place) = place else { continue };
                    let rank = (Rank(*line, place), *fit);
                    if best.is_none_or(|best| rank < best) {
                        best = Some(rank);
                    }
                }
            }
        }
        best
    }

    /// Whether it is for the target's platform at all, whatever its interpreter.
    pub(super) fn on_platform(&self, wheel: &Wheel) -> bool {
        self.platform(wheel).is_some()
    }

    /// Whether it is an `abi3` wheel that a build of the same version with the GIL takes: `cpAB` is not newer.
    pub(super) fn stable_with_gil(&self, wheel: &Wheel) -> bool {
        self.on_platform(wheel)
            && wheel.abis().any(|abi| abi == "abi3")
            && wheel.pythons().any(|python| minor(python).is_some_and(|minor| minor <= self.minor))
    }

    fn platform(&self, wheel: &Wheel) -> Option<usize> {
        wheel.platforms().filter_map(|name| self.platforms.get(name)).min().copied()
    }
}

/// 10 of `cp310`.
pub(super) fn minor(python: &str) -> Option<u64> {
    python.strip_prefix("cp3").and_then(|minor| minor.parse().ok())
}

fn lines_of(minor: u64) -> Vec<(String, String, Fit)> {
    let own = format!("cp3{minor}");
    let older = |least: u64| (least..minor).rev();
    let line = |python: &str, abi: &str, fit| (python.to_owned(), abi.to_owned(), fit);
    let mut lines = vec![
        line(&own, &format!("{own}t"), Fit::Own),
        line(&own, "abi3t", Fit::Stable),
        line(&own, "none", Fit::Native),
    ];
    lines.extend(older(2).map(|minor| line(&format!("cp3{minor}"), "abi3t", Fit::Stable)));
    let pythons: Vec<String> = [format!("py3{minor}"), "py3".to_owned()]
        .into_iter()
        .chain(older(0).map(|minor| format!("py3{minor}")))
        .collect();
    lines.extend(pythons.iter().map(|python| line(python, "none", Fit::Native)));
    lines.push(line(&own, "none", Fit::Any));
    lines.extend(pythons.iter().map(|python| line(python, "none", Fit::Any)));
    lines
}

/// The platforms, best first: the system's own, then down from the newest C library that it has.
fn platforms(target: &Target) -> Vec<String> {
    let machine = &target.machine;
    let mut all = vec![format!("linux_{machine}")];
    match target.libc {
        Libc::Glibc(major, newest) => {
            let oldest = if matches!(machine.as_str(), "x86_64" | "i686") { 5 } else { 17 };
            for minor in (oldest..=newest).rev() {
                all.push(format!("manylinux_{major}_{minor}_{machine}"));
                let legacy = match minor {
                    17 => "manylinux2014",
                    12 => "manylinux2010",
                    5 => "manylinux1",
                    _ => continue,
                };
                all.push(format!("{legacy}_{machine}"));
            }
        }
        Libc::Musl(major, newest) => {
            all.extend((0..=newest).rev().map(|minor| format!("musllinux_{major}_{minor}_{machine}")));
        }
    }
    all
}

/// Every tag, best first, as `packaging.tags` lists them. Only its length stands in the way of using it.
pub fn all_tags(target: &Target) -> Vec<String> {
    let platforms = platforms(target);
    let mut all = Vec::new();
    for (python, abi, fit) in lines_of(target.interpreter.minor) {
        if fit == Fit::Any {
            all.push(format!("{python}-{abi}-any"));
        } else {
            all.extend(platforms.iter().map(|platform| format!("{python}-{abi}-{platform}")));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn best<'a>(target: &str, wheels: &[&'a str]) -> Option<&'a str> {
        let tags = Tags::new(&target.parse().unwrap());
        wheels
            .iter()
            .filter_map(|name| tags.rank(&Wheel::parse(name).unwrap()).map(|rank| (rank, *name)))
            .min()
            .map(|(_, name)| name)
    }

    #[test]
    fn the_wheel_that_pip_takes_is_the_best() {
        let linux = "3.14t-linux-x86_64-glibc2.36";
        let own = "a-1-cp314-cp314t-manylinux_2_17_x86_64.manylinux2014_x86_64.whl";
        let newer = "a-1-cp314-cp314t-manylinux_2_28_x86_64.whl";
        let pure = "a-1-py3-none-any.whl";
        let gil = "a-1-cp314-cp314-manylinux_2_17_x86_64.whl";
        let stable = "a-1-cp310-abi3-manylinux_2_17_x86_64.whl";
        let both = "a-1-cp315-abi3.abi3t-manylinux_2_17_x86_64.whl";
        assert_eq!(best(linux, &[pure, own, newer, gil]), Some(newer));
        assert_eq!(best(linux, &[pure, own, gil]), Some(own));
        assert_eq!(best(linux, &[pure, gil, stable]), Some(pure));
        assert_eq!(best(linux, &[gil, stable, both]), None);
        assert_eq!(best("3.15t-linux-x86_64-glibc2.36", &[gil, stable, both]), Some(both));
        assert_eq!(best("3.14t-linux-x86_64-glibc2.17", &[newer]), None);
        assert_eq!(best("3.14t-linux-x86_64-musl1.2", &[own, newer]), None);
        assert_eq!(best("3.14t-linux-aarch64-glibc2.36", &[own, newer, pure]), Some(pure));
    }

    #[test]
    fn a_name_with_thousands_of_tags_is_ranked_at_once() {
        let many = |tag: &str| vec![tag; 1000].join(".");
        let name = format!("a-1-{}.cp314-{}.cp314t-{}.linux_x86_64.whl", many("x"), many("y"), many("z"));
        // 10^9 tags, were they multiplied out: the name is refused for its length before that.
        assert!(Wheel::parse(&name).is_none());
        let few = "a-1-x.cp314-y.cp314t-z.linux_x86_64.whl";
        assert_eq!(best("3.14t-linux-x86_64-glibc2.36", &[few]), Some(few));
    }
}
