//! Any bytes at all: judged, or an error that names a line. Never a panic.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::world::{ERRORS, World, csv, json_lines, judged, rollout};

/// A small file with everything in it: two steps, errors, a regression.
static WORLD: LazyLock<[String; 2]> = LazyLock::new(|| {
    let rows = World {
        intervals: 30,
        standard: 2,
        free_threaded: 2,
        rps: 20.0,
        weight: |i| if i < 15 { 25 } else { 50 },
        bad: |i, ours| if ours && i > 20 { 0.4 } else { 0.01 },
    }
    .rows();
    [csv(&rows), json_lines(&rows)]
});

static BOTH: LazyLock<String> =
    LazyLock::new(|| rollout("errorRate: {max: 1%}, latency: {threshold: 100ms, max: 5%}"));

const OPTIONS: [&str; 6] = [
    "",
    "--cumulative --against thresholds",
    "--interval 15s --against thresholds --window 1ms",
    "--interval 365d",
    "--ignore-unknown --history-until 2026-11-02T09:03:00Z",
    "--cumulative --interval 7s --history-until 2026-11-02T09:03:00Z",
];

fn survives(counts: &[u8], options: &str) {
    for yaml in [ERRORS, BOTH.as_str()] {
        match judged(counts, yaml, options) {
            Ok(replayed) => {
                let (text, svg) = (replayed.text(), replayed.svg());
                assert!(text.contains("would "), "{text}");
                assert!(svg.ends_with("</svg>\n") && !svg.contains("NaN") && !svg.contains("inf"), "{svg}");
                serde_json::to_string(&replayed.report).unwrap();
            }
            Err(problem) => {
                let words = problem.to_string();
                let located = words.contains(" line ")
                    || words.contains("holds no counts")
                    || words.starts_with("--interval");
                assert!(located && words.len() < 700, "{words}");
            }
        }
    }
}

/// One wound.
#[derive(Clone, Debug)]
enum Wound {
    Byte(usize, u8),
    Cut(usize),
    DropLine(usize),
    SwapLines(usize, usize),
    RepeatLine(usize),
    Field(usize, usize, String),
}

fn wound() -> impl Strategy<Value = Wound> {
    let odd = prop_oneof![
        Just("NaN".to_owned()),
        Just("-1".to_owned()),
        Just("1e308".to_owned()),
        Just("1e15".to_owned()),
        Just(String::new()),
        Just("0".to_owned()),
        Just("1793610000000".to_owned()),
        Just("99999999999".to_owned()),
        Just("\"".to_owned()),
        Just("free-threaded".to_owned()),
        "[0-9]{1,16}",
        "\\PC{0,8}",
    ];
    prop_oneof![
        (any::<usize>(), any::<u8>()).prop_map(|(at, byte)| Wound::Byte(at, byte)),
        any::<usize>().prop_map(Wound::Cut),
        any::<usize>().prop_map(Wound::DropLine),
        (any::<usize>(), any::<usize>()).prop_map(|(a, b)| Wound::SwapLines(a, b)),
        any::<usize>().prop_map(Wound::RepeatLine),
        (any::<usize>(), any::<usize>(), odd).prop_map(|(line, field, text)| Wound::Field(line, field, text)),
    ]
}

fn wounded(file: &str, wounds: &[Wound]) -> Vec<u8> {
    let mut lines: Vec<Vec<u8>> = file.lines().map(|line| line.as_bytes().to_vec()).collect();
    for wound in wounds {
        let of = |at: &usize| at % lines.len().max(1);
        match wound {
            Wound::DropLine(at) => {
                let at = of(at);
                if at < lines.len() {
                    lines.remove(at);
                }
            }
            Wound::SwapLines(a, b) => {
                let (a, b) = (of(a), of(b));
                if !lines.is_empty() {
                    lines.swap(a, b);
                }
            }
            Wound::RepeatLine(at) => {
                let at = of(at);
                if let Some(line) = lines.get(at).cloned() {
                    lines.insert(at, line);
                }
            }
            Wound::Field(at, field, text) => {
                let at = of(at);
                if let Some(line) = lines.get_mut(at) {
                    let mut fields: Vec<&[u8]> = line.split(|byte| *byte == b',').collect();
                    let field = field % fields.len();
                    fields[field] = text.as_bytes();
                    *line = fields.join(&b","[..]);
                }
            }
            Wound::Byte(..) | Wound::Cut(_) => {}
        }
    }
    let mut bytes = lines.join(&b"\n"[..]);
    for wound in wounds {
        let length = bytes.len().max(1);
        match wound {
            Wound::Byte(at, byte) if !bytes.is_empty() => bytes[at % length] = *byte,
            Wound::Cut(at) => bytes.truncate(at % length),
            _ => {}
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..600), options in 0..OPTIONS.len()) {
        survives(&bytes, OPTIONS[options]);
    }

    #[test]
    fn any_rows(rows in proptest::collection::vec("[0-9,.:TZ\"{}a-z_-]{0,40}", 0..20), options in 0..OPTIONS.len()) {
        survives(format!("time,pool,pod,requests,errors,slow\n{}", rows.join("\n")).as_bytes(), OPTIONS[options]);
        survives(rows.join("\n").as_bytes(), OPTIONS[options]);
    }

    #[test]
    fn wounded_files(
        wounds in proptest::collection::vec(wound(), 0..4), json in any::<bool>(), options in 0..OPTIONS.len(),
    ) {
        survives(&wounded(&WORLD[usize::from(json)], &wounds), OPTIONS[options]);
    }

    /// Counts of any size at any times.
    #[test]
    fn any_counts(
        rows in proptest::collection::vec((0..100_000_000i64, 0..2usize, 0..4usize, 0.0..1e15f64, 0.0..1.0f64, 0.0..100.0f64), 2..60),
        options in 0..OPTIONS.len(),
    ) {
        let (mut at, mut file) = (0, "time,pool,pod,requests,errors,slow,weight\n".to_owned());
        for (step, pool, pod, n, share, weight) in rows {
            at += step;
            let pool = ["standard", "free-threaded"][pool];
            file += &format!("{}.{:03},{pool},{pool}-{pod},{n},{},{},{weight}\n", at / 1000, at % 1000, n * share, n * (1.0 - share));
        }
        survives(file.as_bytes(), OPTIONS[options]);
    }
}
