//! Large and hostile locks: the time grows with the size, and with nothing else.

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use freethread_rollout::preflight::inventory::Wanted;

use super::locks::report;

/// A `uv.lock` of about so many bytes: a chain of packages with forty wheels each, every one reached.
fn lock_of(bytes: usize) -> (String, usize) {
    let mut text = "version = 1\nrevision = 3\nrequires-python = \">=3.11\"\n\n[[package]]\nname = \"app\"\nsource = { virtual = \".\" }\ndependencies = [{ name = \"p0\" }]\n".to_owned();
    let mut count = 0;
    while text.len() < bytes {
        let _ = write!(
            text,
            "\n[[package]]\nname = \"p{count}\"\nversion = \"1.{count}\"\nsource = {{ registry = \"https://pypi.org/simple\" }}\ndependencies = [\n    {{ name = \"p{}\", marker = \"python_full_version >= '3.11' and (sys_platform == 'linux' or platform_machine == 'arm64')\" }},\n]\nwheels = [\n",
            count + 1
        );
        for minor in 0..40 {
            let _ = writeln!(
                text,
                "    {{ url = \"https://files.pythonhosted.org/packages/aa/bb/0123456789abcdef0123456789abcdef/p{count}-1.{count}-cp3{minor}-cp3{minor}t-manylinux_2_17_x86_64.manylinux2014_x86_64.whl\", hash = \"sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\", size = 123456, upload-time = \"2026-01-01T00:00:00Z\" }},"
            );
        }
        text.push_str("]\n");
        count += 1;
    }
    let _ = write!(
        text,
        "\n[[package]]\nname = \"p{count}\"\nversion = \"1\"\nsource = {{ registry = \"https://pypi.org/simple\" }}\nwheels = [{{ url = \"https://x/p{count}-1-py3-none-any.whl\" }}]\n"
    );
    (text, count)
}

fn took(text: &str, packages: usize) -> Duration {
    let runs = (0..3).map(|_| {
        let begin = Instant::now();
        let found = report("uv.lock", text, &Wanted::default()).unwrap();
        assert_eq!(found.packages.len(), packages + 1);
        assert_eq!(found.counts.get("Ready"), Some(&packages));
        begin.elapsed()
    });
    runs.min().unwrap()
}

#[test]
fn ten_megabytes_take_ten_times_as_long_as_one() {
    let (small, few) = lock_of(1 << 20);
    let (large, many) = lock_of(10 << 20);
    let (short, long) = (took(&small, few), took(&large, many));
    println!("1 MiB, {few} packages: {short:?}; 10 MiB, {many} packages: {long:?}");
    // A machine that others use too may be slow for a while; what is quadratic would be a hundred times as long.
    assert!(long < short * 40, "{short:?} and {long:?}");
}

#[test]
fn what_is_made_to_take_long_does_not() {
    let deep = "(".repeat(200_000);
    let many = "x.".repeat(200_000);
    let lock =
        |package: &str| format!("lock-version = '1.0'\n[[packages]]\nname = 'a'\nversion = '1'\n{package}\n");
    let begin = Instant::now();
    for text in [
        lock(&format!("marker = \"{deep}\"")),
        lock(&format!("marker = \"{}os_name == 'posix'\"", "os_name == 'nt' or ".repeat(50_000))),
        lock(&format!("requires-python = \"{}\"", ">=3,".repeat(100_000))),
        lock(&format!("wheels = [{{name = 'a-1-{many}x-{many}x-{many}x.whl'}}]")),
        lock(&format!("wheels = {}", "[".repeat(100_000))),
        lock(&format!("x = {}1", "{ a = ".repeat(100_000))),
        lock(&format!("version{} = 1", ".a".repeat(100_000))),
        lock(&"[packages.dependencies]\n".repeat(50_000)),
        format!("a==1{}", " \\\n".repeat(200_000)),
        format!("a=={}", "1.".repeat(200_000)),
        "a==1\n".repeat(200_000),
        format!("{{\"_meta\": {}", "[".repeat(200_000)),
    ] {
        for name in ["pylock.toml", "uv.lock", "poetry.lock", "Pipfile.lock", "requirements.txt"] {
            let _ = report(name, &text, &Wanted::default());
        }
    }
    // Generous: all of it together takes well under a second alone on a machine.
    assert!(begin.elapsed() < Duration::from_mins(1), "{:?}", begin.elapsed());
}
