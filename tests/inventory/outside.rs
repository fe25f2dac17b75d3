//! Files, folders, an index and exit codes: the command as people run it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
};

use axum::{
    Router,
    extract::{Path as Segment, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use clap::Parser;
use freethread_rollout::preflight::inventory::{InventoryArgs, InventoryError, Report, Verdict, run};

use super::locks::path;

/// A folder of its own, which goes with it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("inventory-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    fn path(&self) -> String {
        self.0.display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: InventoryArgs,
}

async fn inventory(words: &[&str]) -> Result<Report, InventoryError> {
    let words = [&["inventory"], words].concat();
    run(&Line::try_parse_from(words).unwrap_or_else(|e| panic!("{e}")).args).await
}

fn verdicts(report: &Report) -> Vec<(&str, Verdict)> {
    let mut all: Vec<_> = report.packages.iter().map(|entry| (entry.name.as_str(), entry.verdict)).collect();
    all.sort();
    all
}

#[tokio::test]
async fn a_folder_of_wheels() {
    let folder = Folder::new();
    for name in [
        "a-1-py3-none-any.whl",
        "b-1-cp314-cp314t-linux_x86_64.whl",
        "c-1-cp39-abi3-linux_x86_64.whl",
        "c.txt",
    ] {
        folder.write(name, "");
    }
    let report = inventory(&[&folder.path()]).await.unwrap();
    assert_eq!(verdicts(&report), [("a", Verdict::Pure), ("b", Verdict::Ready), ("c", Verdict::AbiOnly)]);
    let other = inventory(&[&folder.path(), "--python", "3.15t", "--allow", "B,C"]).await.unwrap();
    assert_eq!(verdicts(&other)[1], ("b", Verdict::Missing));
    assert!(other.passes());
}

#[tokio::test]
async fn an_environment() {
    let folder = Folder::new();
    let installed = |name: &str, tag: &str, record: &str| {
        let at = format!("lib/python3.13t/site-packages/{name}.dist-info");
        folder.write(&format!("{at}/WHEEL"), &format!("Wheel-Version: 1.0\nTag: {tag}\n"));
        folder.write(&format!("{at}/RECORD"), record);
    };
    installed(
        "numpy-2.3.0",
        "cp313-cp313t-manylinux_2_17_x86_64",
        "numpy/x.cpython-313t-x86_64-linux-gnu.so,,\n",
    );
    installed("protobuf-7.36.2", "cp310-abi3-manylinux2014_x86_64", "google/_upb/_message.abi3.so,,\n");
    installed("six-1.17.0", "py2-none-any", "six.py,,\n");
    installed("idna-3.1", "py3-none-any", "idna/core.py,,\n");
    folder.write(
        "lib/python3.13t/site-packages/app-1.0.dist-info/direct_url.json",
        r#"{"url": "file:///app", "dir_info": {}}"#,
    );
    let report = inventory(&[&folder.path(), "--python", "3.13t"]).await.unwrap();
    assert_eq!(
        verdicts(&report),
        [
            ("app", Verdict::Unknown),
            ("idna", Verdict::Pure),
            ("numpy", Verdict::Ready),
            ("protobuf", Verdict::AbiOnly),
            ("six", Verdict::Unknown),
        ]
    );
    let protobuf = report.packages.iter().find(|entry| entry.name == "protobuf").unwrap();
    assert!(protobuf.why.ends_with("and crashes it at import"), "{}", protobuf.why);
}

#[tokio::test]
async fn requirements_include_each_other() {
    let folder = Folder::new();
    let first = folder.write("requirements.txt", "-r more/base.txt\nflask==3.1.3\n");
    folder.write("more/base.txt", "-r ../requirements.txt\nidna==3.1\n");
    let report = inventory(&[&first]).await.unwrap();
    assert_eq!(report.packages.len(), 2);
    folder.write("more/base.txt", "idna>=3.1\n");
    let problem = inventory(&[&first]).await.unwrap_err().to_string();
    assert!(problem.contains("base.txt line 1: idna is not pinned"), "{problem}");
    folder.write("more/base.txt", "-r away.txt\n");
    let problem = inventory(&[&first]).await.unwrap_err().to_string();
    assert!(problem.contains("away.txt cannot be read"), "{problem}");
}

#[tokio::test]
async fn what_cannot_be_read_is_named() {
    let folder = Folder::new();
    for (file, says) in [
        (folder.write("what", "hello"), "this is no file that inventory knows"),
        (folder.path(), "this is no file that inventory knows"),
        (format!("{}/none", folder.path()), "cannot be read"),
    ] {
        let problem = inventory(&[&file]).await.unwrap_err().to_string();
        assert!(problem.starts_with(&file) && problem.contains(says), "{problem}");
    }
    fs::write(folder.0.join("uv.lock"), b"\xff\xfe").unwrap();
    let problem = inventory(&[&format!("{}/uv.lock", folder.path())]).await.unwrap_err().to_string();
    assert!(problem.ends_with("save the file as UTF-8"), "{problem}");
    let two = inventory(&["a/uv.lock", "b/uv.lock", "--group", "dev"]).await.unwrap_err().to_string();
    assert!(two.contains("one file at a time"), "{two}");
}

/// An index in which each project behaves in its own way.
async fn index() -> (String, Arc<AtomicUsize>) {
    async fn page(
        State(asked): State<Arc<AtomicUsize>>,
        Segment(name): Segment<String>,
        headers: HeaderMap,
    ) -> Response {
        asked.fetch_add(1, Ordering::Relaxed);
        let json =
            headers.get(header::ACCEPT).is_some_and(|accept| accept == "application/vnd.pypi.simple.v1+json");
        let basic = headers.get(header::AUTHORIZATION).is_some_and(|basic| basic == "Basic bWU6c2VjcmV0");
        if !json || !basic {
            return StatusCode::FORBIDDEN.into_response();
        }
        let files = |files: &str| {
            ([(header::CONTENT_TYPE, "application/json")], format!("{{\"files\": [{files}]}}"))
                .into_response()
        };
        match name.as_str() {
            "flask" => files(r#"{"filename": "flask-3.1.3-py3-none-any.whl", "yanked": "by mistake"}"#),
            "lxml" => files(
                r#"{"filename": "lxml-5.3.0.tar.gz"}, {"filename": "lxml-6.0.0-cp314-cp314t-manylinux_2_17_x86_64.whl"}"#,
            ),
            "numpy" => Redirect::temporary("/simple/flask/").into_response(),
            "html" => "<!DOCTYPE html>".into_response(),
            "broken" => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
            _ => StatusCode::NOT_FOUND.into_response(),
        }
    }
    let asked = Arc::new(AtomicUsize::new(0));
    let app = Router::new().route("/simple/{name}/", get(page)).with_state(Arc::clone(&asked));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://me:secret@{}/simple", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (address, asked)
}

#[tokio::test]
async fn an_index_is_asked_only_when_it_is_named() {
    let (index, asked) = index().await;
    let folder = Folder::new();
    let text =
        "flask==3.1.3\nlxml==5.3.0\nnumpy==2\nhtml==1\nbroken==1\nabsent==1\n../x @ git+https://host/x\n";
    let file = folder.write("requirements.txt", &text.replace("../x", "x"));
    let alone = inventory(&[&file]).await.unwrap();
    assert_eq!((alone.failing, asked.load(Ordering::Relaxed)), (7, 0));
    let report = inventory(&[&file, "--index", &index]).await.unwrap();
    let of = |name: &str| report.packages.iter().find(|entry| entry.name == name).unwrap();
    assert_eq!((of("flask").verdict, of("flask").yanked.as_deref()), (Verdict::Pure, Some("by mistake")));
    assert_eq!((of("lxml").verdict, of("lxml").fixed_by.as_deref()), (Verdict::SourceOnly, Some("6.0.0")));
    assert_eq!(
        of("lxml").why,
        "no wheel for cp314t on linux x86_64 glibc 2.36; has an sdist; first release with one: 6.0.0"
    );
    for (name, says) in [
        ("absent", "the index does not have it"),
        ("numpy", "the index does not have this release"),
        ("broken", "it answered 500"),
        ("html", "speaks JSON"),
        ("x", "comes from version control"),
    ] {
        assert!(
            of(name).verdict == Verdict::Unknown && of(name).why.contains(says),
            "{name}: {}",
            of(name).why
        );
    }
    assert!(!report.text(true).contains("secret"));
    assert!(report.text(false).contains("yanked from the index: by mistake"));
}

#[tokio::test]
async fn a_wrong_index_is_one_error() {
    let folder = Folder::new();
    let file = folder.write("requirements.txt", "flask==3.1.3\nlxml==5.3.0\n");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = format!("http://me:secret@{}/", listener.local_addr().unwrap());
    drop(listener);
    for index in [closed.as_str(), "ftp://host/simple", "simple"] {
        let problem = inventory(&[&file, "--index", index]).await.unwrap_err().to_string();
        assert!(problem.starts_with("the index ") && !problem.contains("secret"), "{problem}");
    }
}

#[test]
fn exit_codes() {
    let run = |words: &[&str]| {
        let done = Command::new(env!("CARGO_BIN_EXE_freethread-rollout"))
            .arg("inventory")
            .args(words)
            .output()
            .unwrap();
        (done.status.code(), String::from_utf8(done.stdout).unwrap(), String::from_utf8(done.stderr).unwrap())
    };
    let starlette = path("locks/starlette/uv.lock");
    let (code, out, _) = run(&[&starlette]);
    assert_eq!(code, Some(0), "{out}");
    assert!(out.contains("nothing stands in the way of 3.14t-linux-x86_64-glibc2.36"), "{out}");
    let langchain = path("locks/langchain/uv.lock");
    let (code, out, _) = run(&[&langchain, "--format", "sarif"]);
    assert_eq!(code, Some(1));
    assert!(serde_json::from_str::<serde_json::Value>(&out).is_ok());
    let (code, out, err) = run(&["none"]);
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(err.starts_with("freethread-rollout: none cannot be read"), "{err}");
    assert_eq!(run(&[&starlette, "--target", "3.14-linux-x86_64-glibc2.36"]).0, Some(2));
    assert!(Path::new(&starlette).exists());
}
