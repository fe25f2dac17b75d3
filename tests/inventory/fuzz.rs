//! Any bytes at all, and real locks with a wound: judged, or an error that names the file. Never a panic, and nothing that hangs.

use std::sync::LazyLock;

use freethread_rollout::preflight::inventory::{Content, Input, Installed, Policy, Wanted, take_stock};
use proptest::prelude::*;

use super::locks::{LOCKS, lock, wanted};

static TEXTS: LazyLock<Vec<String>> =
    LazyLock::new(|| LOCKS.iter().map(|(name, ..)| short(&lock(name))).collect());

/// The beginning of a lock is a lock: so that a wound is not lost in it.
fn short(text: &str) -> String {
    let end = text.match_indices("\n\n").map(|(at, _)| at).take_while(|at| *at < 12_000).last();
    text[..end.unwrap_or(text.len())].to_owned()
}

fn survives(name: &str, content: Content, wanted: &Wanted) {
    let input = Input { name: name.to_owned(), content };
    match take_stock(&[input], wanted) {
        Ok(stock) => {
            let report = stock.report(&Policy::default());
            for all in [true, false] {
                let text = report.text(all);
                let hostile = |c: char| c.is_control() && c != '\n';
                assert!(!text.contains(hostile), "{text:?}");
            }
            serde_json::to_string(&report).unwrap();
            serde_json::to_string(&report.sarif()).unwrap();
        }
        Err(problem) => {
            let words = problem.to_string();
            let at = words.strip_prefix(name).unwrap_or_else(|| panic!("{words}"));
            assert!(at.starts_with(" line ") || at.starts_with(": "), "{words}");
            assert!(!words.contains(char::is_control) && words.len() < 3000, "{words:?}");
        }
    }
}

/// One wound.
#[derive(Clone, Debug)]
enum Wound {
    Cut(prop::sample::Index),
    Drop(prop::sample::Index, usize),
    Twice(prop::sample::Index, usize),
    Write(prop::sample::Index, String),
}

impl Wound {
    fn hurt(&self, text: &str) -> String {
        let edge =
            |at: usize| (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        let span = |index: &prop::sample::Index, length: usize| {
            let from = edge(index.index(text.len() + 1));
            (from, edge(from + length).max(from))
        };
        match self {
            Self::Cut(at) => text[..span(at, 0).0].to_owned(),
            Self::Drop(at, length) => {
                let (from, to) = span(at, *length);
                format!("{}{}", &text[..from], &text[to..])
            }
            Self::Twice(at, length) => {
                let (from, to) = span(at, *length);
                format!("{}{}", &text[..to], &text[from..])
            }
            Self::Write(at, words) => {
                let (from, to) = span(at, words.len());
                format!("{}{words}{}", &text[..from], &text[to..])
            }
        }
    }
}

fn wound() -> impl Strategy<Value = Wound> {
    let at = any::<prop::sample::Index>;
    // What means something in one of the formats.
    let words = prop_oneof![
        "[-\\[\\]{}()='\",.#;:|<>!~*^%/ \n0-9a-z]{0,8}",
        prop::sample::select(vec![
            "[[package]]",
            "]]",
            "\"\"\"",
            "'''",
            "marker = \"",
            "(((((((((",
            "\u{202e}\u{1b}[2J",
            "99999999999999999999",
            "1!0",
            ".*",
            "%00",
            " and ",
            " or ",
            "extra",
            "\u{0}",
            "é",
            "null",
            "true",
            "[]",
            "{}",
            "name",
            "version",
            "==",
            "\\\n",
            "-r x",
            "--hash=sha256:",
        ])
        .prop_map(str::to_owned),
    ];
    prop_oneof![
        at().prop_map(Wound::Cut),
        (at(), 0..200_usize).prop_map(|(at, length)| Wound::Drop(at, length)),
        (at(), 0..2000_usize).prop_map(|(at, length)| Wound::Twice(at, length)),
        (at(), words).prop_map(|(at, words)| Wound::Write(at, words)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn wounded_locks(which in 0..LOCKS.len(), wounds in prop::collection::vec(wound(), 1..4)) {
        let (name, extras, groups) = LOCKS[which];
        let hurt = wounds.iter().fold(TEXTS[which].clone(), |text, wound| wound.hurt(&text));
        survives(name, Content::Text(hurt.clone()), &wanted("3.14t-linux-x86_64-glibc2.36", "", ""));
        survives(name, Content::Text(hurt), &wanted("3.15t-linux-aarch64-musl1.2", extras, groups));
    }

    #[test]
    fn any_text_in_any_format(text in "\\PC{0,300}|[\\[\\]{}='\",.\n a-z0-9]{0,300}") {
        for name in ["uv.lock", "pylock.toml", "poetry.lock", "Pipfile.lock", "requirements.txt", "what"] {
            survives(name, Content::Text(text.clone()), &Wanted::default());
        }
    }

    /// A marker, a version and the name of a wheel are small languages of their own.
    #[test]
    fn any_marker_version_and_name(
        marker in "(python_version|extra|os_name|'[a-z0-9.*]{0,6}'|\"3\\.1[0-9]\"|==|!=|~=|<|>=|===|in|not in|and|or|\\(|\\)| ){0,24}",
        version in "[0-9a-z.!+*-]{0,20}",
        wheel in "([a-z0-9._]{0,9}-?){0,7}(\\.whl|\\.tar\\.gz|)",
    ) {
        let quoted = |text: &str| serde_json::to_string(text).unwrap();
        let lock = format!(
            "lock-version = '1.0'\n[[packages]]\nname = 'a'\nversion = {}\nmarker = {}\nrequires-python = {}\nwheels = [{{name = {}}}, {{name = 'b'}}]\n",
            quoted(&version), quoted(&marker), quoted(&format!(">={version}")), quoted(&wheel),
        );
        survives("pylock.toml", Content::Text(lock), &Wanted::default());
        let text = format!("a=={version} ; {marker}\n{wheel}\n");
        survives("requirements.txt", Content::Text(text), &Wanted::default());
        survives("wheels", Content::Wheels(vec![wheel.clone()]), &Wanted::default());
        let installed = Installed {
            folder: wheel.clone(),
            wheel: Some(format!("Tag: {wheel}")),
            record: Some(format!("{wheel}.so,,\n\"{marker}")),
            direct_url: Some(marker.clone()),
        };
        survives("site-packages", Content::Installed(vec![installed]), &Wanted::default());
    }
}
