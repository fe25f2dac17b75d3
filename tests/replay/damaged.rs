//! Files that are wrong, each with the exact words it is told.

use super::world::{ERRORS, judged, rollout, text};

const HEAD: &str = "time,pool,pod,requests,errors\n";
const A: &str = "100,standard,a,10,0\n";
const B: &str = "100,free-threaded,b,10,0\n";

fn problem(counts: impl AsRef<[u8]>, more: &str) -> String {
    judged(counts.as_ref(), ERRORS, more).map(|replayed| replayed.text()).unwrap_err().to_string()
}

#[test]
fn each_is_told_its_line_and_what_to_write() {
    let known = "known are time, pool, pod, requests, errors, slow, le_<seconds>, weight and young";
    let empty = "holds no counts: write a header such as time,pool,pod,requests,errors and a line for each interval and pod";
    let second = |line: &str| format!("{HEAD}{A}{line}\n130,standard,a,10,0\n");
    let count = |what: &str| {
        format!("line 3: {what}: write a count, finite, not negative and at most 1e15, such as 120")
    };
    let cases: Vec<(String, String)> = vec![
        (String::new(), empty.into()),
        (HEAD.into(), empty.into()),
        ("\n \r\n".into(), empty.into()),
        ("time,pool,pod,requests\n".into(), format!("line 1: there is no 'errors', which the rollout's errorRate needs; {known}")),
        ("time,pool,requests,errors\n".into(), format!("line 1: there is no 'pod'; {known}")),
        (
            "time,pool,pod,requests,errors,foo\n".into(),
            format!("line 1: 'foo' is no column that replay knows: {known}; begin its name with x_, or give --ignore-unknown, to leave it out"),
        ),
        ("time,pool,pod,requests,errors,pod\n".into(), "line 1: there are two columns 'pod'".into()),
        (A.into(), format!("line 1: this is no header: begin with a line such as time,pool,pod,requests,errors, separated by commas; {known}")),
        (second("115,standard,a,10"), "line 3: the header has 5 fields and this line 4: was it cut off, or does a text hold a comma?".into()),
        (second("115,standard,a,1,000,0"), "line 3: the header has 5 fields and this line 6: was it cut off, or does a text hold a comma?".into()),
        (second("115,standard,a,NaN,0"), count("requests is 'NaN'")),
        (second("115,standard,a,10,-1"), count("errors is '-1'")),
        (second("115,standard,a,inf,0"), count("requests is 'inf'")),
        (second("115,standard,a,1e16,0"), count("requests is '1e16'")),
        (second("115,standard,a,ten,0"), count("requests is 'ten'")),
        (second("115,standard,a,,0"), "line 3: requests is empty: write a count; 0 if there was none".into()),
        (second("115,standard,,10,0"), "line 3: pod is empty: write the pod's name".into()),
        (second("115,standard,a,10,12"), "line 3: 12 errors of 10 requests: requests are all of them, bad ones included".into()),
        (second("115,canary,a,10,0"), "line 3: pool is 'canary': write standard or free-threaded".into()),
        (
            second("soon,standard,a,10,0"),
            "line 3: time is 'soon': write RFC 3339 such as 2026-11-02T09:00:00Z, or seconds or milliseconds since 1970, such as 1793610000".into(),
        ),
        (
            second("85,standard,a,10,0"),
            "line 3: time goes back from 1970-01-01T00:01:40Z to 1970-01-01T00:01:25Z: sort the lines below the header by time: (head -n 1 FILE; tail -n +2 FILE | sort -s -t, -k1,1) > SORTED".into(),
        ),
        (second("100,standard,a,10,0"), "line 3: a second line for pod 'a' at 1970-01-01T00:01:40Z: each pod has one line for each interval".into()),
        (second("100,free-threaded,a,10,0"), "line 3: pod 'a' is in both pools: pods of one name are one pod".into()),
        (second("115,standard,\"a,10,0"), "line 3: a quoted field does not end on its line".into()),
        (format!("{HEAD}{A}{B}"), "line 2: there is only one time in it, so that the length of its interval is unknown: give --interval".into()),
        ("{\"time\": 1".into(), "line 1: this is no JSON object: EOF while parsing an object, at column 10".into()),
        ("{\"time\":1,\"pool\":\"standard\",\"pod\":\"a\",\"requests\":[1],\"errors\":0}".into(), "line 1: 'requests' is a list, an object or null: write a text or a number".into()),
        ("{\"time\":1,\"pool\":\"standard\",\"pod\":\"a\",\"requests\":1,\"errors\":0}\n{\"time\":2}".into(), format!("line 2: there is no 'requests'; {known}")),
        ("{\"time\":1,\"pool\":\"standard\",\"pod\":\"a\",\"requests\":1,\"errors\":0}\n[]".into(), "line 2: this is no JSON object: invalid type: sequence, expected an object in braces, at column 0".into()),
    ];
    for (counts, words) in cases {
        assert_eq!(problem(&counts, ""), format!("counts.csv {words}"), "{counts}");
    }
}

#[test]
fn weights_and_youth() {
    let head = "time,pool,pod,requests,errors,weight,young\n";
    for (row, words) in [
        (
            "115,standard,a,1,0,150,",
            "weight is '150': write the percent in force, from 0 to 100, without a percent sign",
        ),
        (
            "115,standard,a,1,0,5%,",
            "weight is '5%': write the percent in force, from 0 to 100, without a percent sign",
        ),
        (
            "100,standard,b,1,0,20,",
            "weight is 20 where another line of the same interval has 10: it is one number for all",
        ),
        ("115,standard,a,1,0,5,maybe", "young is 'maybe': write true or false"),
    ] {
        let counts = format!("{head}100,standard,a,1,0,10,true\n{row}\n130,standard,a,1,0,,\n");
        assert_eq!(problem(&counts, ""), format!("counts.csv line 3: {words}"));
    }
}

#[test]
fn bytes_that_are_no_text_and_lines_without_end() {
    assert_eq!(
        problem([HEAD.as_bytes(), b"\xff\xfe,\n"].concat(), ""),
        "counts.csv line 2: the line is not UTF-8: save the file as UTF-8"
    );
    assert_eq!(problem("x".repeat(1_000_000), ""), "counts.csv line 1: the line is longer than 65536 bytes");
    let many: String = (0..10_001).map(|i| format!("100,standard,pod-{i},1,0\n")).collect();
    let words = "counts.csv line 10002: more than 10000 pods at one time: give one line for each pod, not for each series";
    assert_eq!(problem(format!("{HEAD}{many}"), ""), words);
}

#[test]
fn latency_needs_a_bucket() {
    let yaml = rollout("latency: {threshold: 300ms, max: 5%}");
    let problem = |head: &str| judged(head.as_bytes(), &yaml, "").unwrap_err().to_string();
    let none = problem("time,pool,pod,requests\n");
    assert!(none.starts_with("counts.csv line 1: there is no 'slow' nor any 'le_', one of which the rollout's latency needs; known are"), "{none}");
    assert_eq!(
        problem("time,pool,pod,requests,le_0.1,le_+Inf\n"),
        "counts.csv line 1: no 'le_' bucket ends at or above the threshold of 0.3 s, so that nothing would ever be slow: add one, or \
         lower the threshold"
    );
    assert_eq!(
        problem("time,pool,pod,requests,le_0.5,slow\n"),
        "counts.csv line 1: both 'slow' and 'le_' buckets are there: keep one of them"
    );
    let above = "time,pool,pod,requests,le_0.1,le_0.5\n100,standard,a,10,9,10\n115,standard,a,10,9,10\n";
    let report = judged(above.as_bytes(), &yaml, "").unwrap().report;
    assert_eq!(
        report.notes[0],
        "latency: slow is over 0.5 s instead of over 0.3 s: no bucket ends at the threshold"
    );
    assert_eq!(
        judged(above.as_bytes(), &yaml, "--against thresholds").unwrap_err().to_string(),
        "--against thresholds compares the success rate, and the rollout's analysis has no errorRate"
    );
}

#[test]
fn options_that_do_not_fit_the_file() {
    let counts = format!("{HEAD}{A}115,standard,a,10,0\n");
    assert_eq!(
        problem(&counts, "--interval 5s"),
        "--interval 5s is shorter than the 15s from one row of a pod to its next"
    );
    assert_eq!(
        problem(&counts, "--history-until 200"),
        "counts.csv holds no counts at or after --history-until 1970-01-01T00:03:20Z: it ends before"
    );
    assert_eq!(problem(&counts, "--against thresholds --window 0s"), "--window must be longer than 0");
}

#[test]
fn a_rollout_that_is_none() {
    let counts = format!("{HEAD}{A}115,standard,a,10,0\n");
    let problem = |yaml: &str| judged(counts.as_bytes(), yaml, "").unwrap_err().to_string();
    assert_eq!(
        problem("kind: Deployment\n"),
        "rollout.yaml: no document in it is of kind: FreeThreadRollout"
    );
    assert_eq!(
        problem(&rollout("falseRollback: 1%")),
        "rollout.yaml: spec.analysis has nothing to compare: set errorRate, for example errorRate: {max: 1%}, or latency"
    );
    assert_eq!(
        problem(&rollout("errorRate: {max: 80%}")),
        "rollout.yaml: the objective of errors must be over 0 and at most 50 %"
    );
    let several = format!("kind: Service\n---\n{ERRORS}---\nkind: Deployment\n");
    assert!(judged(counts.as_bytes(), &several, "").is_ok());
}

#[test]
fn one_pool_only_is_unknown() {
    let row = |i: i64, pool: &str| format!("{},{pool},a,100,0\n", 100 + 15 * i);
    for (pool, sentence) in [
        ("standard", "errors unknown: no samples of the free-threaded pool"),
        ("free-threaded", "errors unknown: no samples of the standard pool"),
    ] {
        let counts: String = (0..100).map(|i| row(i, pool)).collect();
        let answer = text(&format!("{HEAD}{counts}"), ERRORS, "");
        assert!(answer.contains(sentence), "{answer}");
        assert!(answer.contains("note: no interval holds both pools"), "{answer}");
        assert!(answer.contains("\nwould not have rolled back; "), "{answer}");
    }
}

#[test]
fn a_pool_that_the_file_never_holds_is_not_taken_for_silent() {
    let counts: String = (0..100).map(|i| format!("{},standard,a,100,0,50\n", 100 + 15 * i)).collect();
    let answer = text(&format!("time,pool,pod,requests,errors,weight\n{counts}"), ERRORS, "");
    assert!(answer.contains("\nwould not have rolled back; "), "{answer}");
}

#[test]
fn marks_and_line_ends_of_other_systems_are_fine() {
    let unix = format!("{HEAD}{A}{B}115,standard,a,10,0\n115,free-threaded,b,10,0");
    let windows = format!("\u{feff}{}\r\n\r\n", unix.replace('\n', "\r\n"));
    assert_eq!(text(&unix, ERRORS, ""), text(&windows, ERRORS, ""));
    let quoted = unix.replace("standard", "\"standard\"").replace(",a,", ", \"a\",");
    assert!(judged(quoted.as_bytes(), ERRORS, "").is_ok());
    let extra =
        unix.replace("errors\n", "errors,x_region,other\n").replace(",0\n", ",0,eu,\"1,2\"\n") + ",eu,2";
    assert_eq!(text(&unix, ERRORS, ""), text(&extra, ERRORS, "--ignore-unknown"));
}

#[test]
fn a_gap_says_so_and_the_evidence_waits() {
    let row = |at: i64| format!("{at},standard,a,1000,1\n{at},free-threaded,b,1000,1\n");
    let counts: String =
        (0..40).map(|i| row(1000 + 15 * i)).chain((0..40).map(|i| row(10_000 + 15 * i))).collect();
    let report = judged(format!("{HEAD}{counts}").as_bytes(), ERRORS, "").unwrap().report;
    let stale = report
        .changes
        .iter()
        .find(|change| change.sentence.contains("no fresh samples of both pools"))
        .unwrap();
    assert_eq!(stale.at.as_second(), 10_000);
    assert_eq!(report.acted, None);
}
