//! The example is made here, and nowhere else: `UPDATE_GOLDEN=1 cargo test --test replay`.

use std::{env, fs, path::Path};

use super::world::{Row, World};

/// Forty minutes of 400 requests a second. At 09:25 the free-threaded pool begins to fail 0.6 % more of its requests.
pub const EXAMPLE: World = World {
    intervals: 160,
    standard: 9,
    free_threaded: 3,
    rps: 400.0,
    weight: |i| if i < 40 { 5 } else { 10 },
    bad: |i, ours| if ours && i >= 100 { 0.007 } else { 0.001 },
};

/// With times for people.
fn csv(rows: &[Row]) -> String {
    let mut out = "time,pool,pod,requests,errors,weight\n".to_owned();
    for Row { at, pool, pod, requests, errors, weight, .. } in rows {
        let time = jiff::Timestamp::from_second(*at).unwrap();
        out += &format!("{time},{pool},{pod},{requests},{errors},{weight}\n");
    }
    out
}

pub fn golden(path: &str, now: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, now).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == now, "{} is another now:\n{now}", path.display());
}

#[test]
fn the_example_is_what_it_says() {
    let now = csv(&EXAMPLE.rows());
    assert!(now.len() < 200_000, "{}", now.len());
    golden("examples/replay/regression.csv", &now);
}
