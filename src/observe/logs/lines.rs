//! The lines that are understood. Pure.
//!
//! Applications echo what their users send, so that nothing but an exact, whole line counts, and whatever is taken out of one is bounded.

use crate::observe::LogSignalKind;

const GIL_BEFORE: &str =
    "RuntimeWarning: The global interpreter lock (GIL) has been enabled to load module '";
const GIL_AFTER: &str = "', which has not declared that it can run safely without the GIL. To override this behavior and keep the GIL disabled (at your own risk), run with PYTHON_GIL=0 or -Xgil=0.";
const FATAL: &str = "Fatal Python error: ";
/// What faulthandler writes after [`FATAL`].
const FATAL_SIGNALS: [&str; 5] =
    ["Segmentation fault", "Aborted", "Bus error", "Floating-point exception", "Illegal instruction"];
/// Signals that a process sends itself by a bug. SIGKILL is none of them: a server's own time limits and shutdown send it, and the
/// kernel's for memory is seen in the pod's status. Numbers are those of Linux on x86-64 and arm64.
const CRASHES: [(&str, &str); 7] = [
    ("SIGILL", "4"),
    ("SIGTRAP", "5"),
    ("SIGABRT", "6"),
    ("SIGBUS", "7"),
    ("SIGFPE", "8"),
    ("SIGSEGV", "11"),
    ("SIGSYS", "31"),
];
/// Longest error text that is kept.
const MAX_ERROR: usize = 128;

/// What a line of a container's log says, if it is one of the lines that are understood.
pub fn parse_line(line: &str) -> Option<LogSignalKind> {
    let line = line.strip_suffix('\r').unwrap_or(line);
    gil_enabled(line).or_else(|| fatal_error(line)).or_else(|| worker_killed(line))
}

/// `<frozen importlib._bootstrap>:491: RuntimeWarning: The global interpreter lock (GIL) has been enabled ...`
fn gil_enabled(line: &str) -> Option<LogSignalKind> {
    let (place, rest) = line.split_once(GIL_BEFORE)?;
    let (place, module) = (place.strip_suffix(": ")?, rest.strip_suffix(GIL_AFTER)?);
    // `path:line`; a path may hold spaces and colons of its own.
    let (path, number) = place.rsplit_once(':')?;
    let sound = (1..=1024).contains(&path.len()) && !path.contains(char::is_control) && digits(number, 9);
    // `\w` as Python means it: letters of any alphabet.
    let name = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
    let named = !module.is_empty() && module.chars().nth(128).is_none() && module.chars().all(name);
    (sound && named).then(|| LogSignalKind::GilEnabled { module: module.to_owned() })
}

/// `Fatal Python error: Segmentation fault` or `Fatal Python error: function: what happened`
fn fatal_error(line: &str) -> Option<LogSignalKind> {
    let error = line.strip_prefix(FATAL)?;
    let by_function = || {
        let (function, what) = error.split_once(": ")?;
        let sound = word(function, 100, |b| b.is_ascii_alphanumeric() || b == b'_')
            && !what.is_empty()
            && !what.contains(char::is_control);
        sound.then_some(())
    };
    if !FATAL_SIGNALS.contains(&error) && by_function().is_none() {
        return None;
    }
    Some(LogSignalKind::FatalError { error: error.chars().take(MAX_ERROR).collect() })
}

/// A server's word that a worker died of a signal.
fn worker_killed(line: &str) -> Option<LogSignalKind> {
    let signal = gunicorn(line).or_else(|| dramatiq(line)).or_else(|| celery(line))?;
    Some(LogSignalKind::WorkerKilled { signal: signal.to_owned() })
}

/// `[2026-11-23 19:00:00 +0000] [7] [WARNING] Worker (pid:8) was sent SIGSEGV!`, before version 22
/// `... Worker with pid 8 was terminated due to signal 11`
fn gunicorn(line: &str) -> Option<&'static str> {
    let (time, rest) = line.strip_prefix('[')?.split_once("] [")?;
    let (pid, rest) = rest.split_once("] [")?;
    let (level, message) = rest.split_once("] ")?;
    let dated = shaped(time, "0000-00-00 00:00:00 ~0000");
    if !dated || !digits(pid, 10) || !matches!(level, "INFO" | "WARNING" | "ERROR") {
        return None;
    }
    if let Some(rest) = message.strip_prefix("Worker (pid:") {
        let (worker, signal) = rest.strip_suffix('!')?.split_once(") was sent ")?;
        return digits(worker, 10).then(|| named(signal)).flatten();
    }
    let (worker, signal) =
        message.strip_prefix("Worker with pid ")?.split_once(" was terminated due to signal ")?;
    digits(worker, 10).then(|| numbered(signal)).flatten()
}

/// `[2026-11-23 19:00:00,123] [PID 7] [MainThread] [dramatiq.MainProcess] [CRITICAL] Worker with PID 8 exited unexpectedly (code -11). Shutting down...`
fn dramatiq(line: &str) -> Option<&'static str> {
    let (time, rest) = line.strip_prefix('[')?.split_once("] [PID ")?;
    let (pid, message) =
        rest.split_once("] [MainThread] [dramatiq.MainProcess] [CRITICAL] Worker with PID ")?;
    let (worker, rest) = message.split_once(" exited unexpectedly (code -")?;
    let signal = rest.strip_suffix("). Shutting down...")?;
    let sound = shaped(time, "0000-00-00 00:00:00,000") && digits(pid, 10) && digits(worker, 10);
    sound.then(|| numbered(signal)).flatten()
}

/// `[2026-11-23 19:00:00,123: ERROR/MainProcess] Process 'ForkPoolWorker-1' pid:8 exited with 'signal 11 (SIGSEGV)'`
fn celery(line: &str) -> Option<&'static str> {
    let (time, rest) = line.strip_prefix('[')?.split_once(": ERROR/MainProcess] Process '")?;
    let (process, rest) = rest.split_once("' pid:")?;
    let (worker, status) = rest.split_once(" exited with 'signal ")?;
    let (number, name) = status.strip_suffix(")'")?.split_once(" (")?;
    let sound = shaped(time, "0000-00-00 00:00:00,000")
        && word(process, 64, |b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b':'))
        && digits(worker, 10);
    sound.then(|| named(name)).flatten().filter(|_| digits(number, 3))
}

fn named(signal: &str) -> Option<&'static str> {
    CRASHES.iter().find(|(name, _)| *name == signal).map(|(name, _)| *name)
}

fn numbered(signal: &str) -> Option<&'static str> {
    CRASHES.iter().find(|(_, number)| *number == signal).map(|(name, _)| *name)
}

fn digits(text: &str, most: usize) -> bool {
    word(text, most, |b| b.is_ascii_digit())
}

fn word(text: &str, most: usize, fits: impl Fn(u8) -> bool) -> bool {
    (1..=most).contains(&text.len()) && text.bytes().all(fits)
}

/// `0` stands for a digit, `~` for a sign, everything else for itself.
fn shaped(text: &str, shape: &str) -> bool {
    text.len() == shape.len()
        && text.bytes().zip(shape.bytes()).all(|(b, wanted)| match wanted {
            b'0' => b.is_ascii_digit(),
            b'~' => matches!(b, b'+' | b'-'),
            other => b == other,
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn gil(place: &str, module: &str) -> String {
        format!("{place}: {GIL_BEFORE}{module}{GIL_AFTER}")
    }
    fn worker(signal: &str) -> LogSignalKind {
        LogSignalKind::WorkerKilled { signal: signal.into() }
    }
    fn fatal(error: &str) -> LogSignalKind {
        LogSignalKind::FatalError { error: error.into() }
    }

    #[test]
    fn the_gil_warning_names_the_module() {
        let long = "m".repeat(128);
        for (place, module) in [
            ("<frozen importlib._bootstrap>:488", "legacyext"),
            ("<frozen importlib._bootstrap>:491", "a_b.c._d2"),
            ("/srv/my app/x.py:7", "größe"),
            ("/srv/a: b/x.py:7", long.as_str()),
        ] {
            let wanted = LogSignalKind::GilEnabled { module: module.into() };
            assert_eq!(parse_line(&gil(place, module)), Some(wanted.clone()));
            assert_eq!(parse_line(&format!("{}\r", gil(place, module))), Some(wanted));
        }
    }

    #[test]
    fn only_the_exact_whole_warning_counts() {
        let good = gil("<frozen importlib._bootstrap>:488", "legacyext");
        for line in [
            format!("{good} "),
            format!("{good}x"),
            good[..good.len() - 1].to_owned(),
            good.replace("GIL)", "gil)"),
            gil("<frozen importlib._bootstrap>", "legacyext"),
            gil("<frozen importlib._bootstrap>:", "legacyext"),
            gil("x:1a", "legacyext"),
            gil(":1", "legacyext"),
            gil("x\t:1", "legacyext"),
            gil("x:1", ""),
            gil("x:1", "two words"),
            gil("x:1", "a' or 'b"),
            gil("x:1", &"m".repeat(129)),
            format!("{GIL_BEFORE}m{GIL_AFTER}"),
        ] {
            assert_eq!(parse_line(&line), None, "{line}");
        }
    }

    #[test]
    fn fatal_errors_start_their_line() {
        assert_eq!(parse_line("Fatal Python error: Segmentation fault"), Some(fatal("Segmentation fault")));
        let cache = "_PyEval_EvalFrameDefault: Executing a cache.";
        assert_eq!(parse_line(&format!("Fatal Python error: {cache}")), Some(fatal(cache)));
        let long = format!("f: {}", "ü".repeat(500));
        assert_eq!(
            parse_line(&format!("Fatal Python error: {long}")),
            Some(fatal(&long.chars().take(128).collect::<String>()))
        );
        for line in [
            " Fatal Python error: Aborted",
            "GET /?q=Fatal Python error: Aborted",
            "Fatal Python error: ",
            "Fatal Python error: whatever a user likes",
            "Fatal Python error: two words: x",
            "Fatal Python error: f: ",
            "Fatal Python error:Aborted",
        ] {
            assert_eq!(parse_line(line), None, "{line}");
        }
    }

    #[test]
    fn servers_say_that_a_worker_died() {
        let gunicorn = "[2026-11-23 19:00:00 +0000] [7] [WARNING] ";
        let dramatiq = "[2026-11-23 19:00:00,123] [PID 7] [MainThread] [dramatiq.MainProcess] [CRITICAL] ";
        let celery = "[2026-11-23 19:00:00,123: ERROR/MainProcess] ";
        for (prefix, message, signal) in [
            (gunicorn, "Worker (pid:8) was sent SIGSEGV!", "SIGSEGV"),
            (gunicorn, "Worker (pid:12345) was sent SIGABRT!", "SIGABRT"),
            (gunicorn, "Worker with pid 8 was terminated due to signal 11", "SIGSEGV"),
            (dramatiq, "Worker with PID 8 exited unexpectedly (code -6). Shutting down...", "SIGABRT"),
            (celery, "Process 'ForkPoolWorker-1' pid:8 exited with 'signal 11 (SIGSEGV)'", "SIGSEGV"),
        ] {
            assert_eq!(parse_line(&format!("{prefix}{message}")), Some(worker(signal)), "{message}");
            assert_eq!(parse_line(message), None, "{message}");
            assert_eq!(parse_line(&format!("x{prefix}{message}")), None, "{message}");
            assert_eq!(parse_line(&format!("{prefix}{message}.")), None, "{message}");
        }
        for message in [
            "Worker (pid:8) was sent SIGTERM!",
            "Worker (pid:8) was sent SIGKILL! Perhaps out of memory?",
            "Worker (pid:8) was sent SIGKILL!",
            "Worker (pid:x) was sent SIGSEGV!",
            "Worker (pid:8) exited with code 1.",
            "Worker with pid 8 was terminated due to signal 15",
        ] {
            assert_eq!(parse_line(&format!("{gunicorn}{message}")), None, "{message}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(line in ".*") {
            let _ = parse_line(&line);
        }

        #[test]
        fn no_text_around_the_known_pieces_panics_or_passes_as_unbounded(
            a in ".{0,20}", b in ".{0,200}", c in ".{0,20}",
        ) {
            for line in [gil(&a, &b), format!("{FATAL}{b}"), format!("[{a}] [{c}] [WARNING] Worker (pid:{c}) was sent {b}!")] {
                match parse_line(&line) {
                    Some(LogSignalKind::GilEnabled { module }) => prop_assert!(module.chars().count() <= 128),
                    Some(LogSignalKind::FatalError { error }) => prop_assert!(error.chars().count() <= 128),
                    Some(LogSignalKind::WorkerKilled { signal }) => prop_assert!(named(&signal).is_some()),
                    Some(LogSignalKind::GilGauge { .. }) => prop_assert!(false, "no line is a gauge"),
                    None => {}
                }
            }
        }
    }
}
