//! What the operator's replicas take of the machine, as its own `/proc` says: the box runs on this machine. (Its kubelet has no summary: it does
//! not know the file system.)

use std::fs;

use crate::{Result, context};

/// Clock ticks of `/proc/PID/stat` in a second.
const TICKS: f64 = 100.0;

/// One replica at one time.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Replica {
    pub(super) pod: String,
    pid: String,
    /// Resident memory in bytes: now, and at most since it started.
    pub(super) resident: u64,
    pub(super) peak: u64,
    /// Processor time in seconds since it started.
    cpu: f64,
}

impl Replica {
    /// Seconds of processor time since `before`; nothing if it is not the same process.
    pub(super) fn cpu_since(&self, before: &[Self]) -> Option<f64> {
        let same = before.iter().find(|other| (&other.pod, &other.pid) == (&self.pod, &self.pid))?;
        Some(self.cpu - same.cpu)
    }
}

/// The processes of these pods.
pub(super) fn replicas(pods: &[String]) -> Result<Vec<Replica>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").map_err(context("/proc"))? {
        let path = entry?.path();
        // Processes come and go while they are read.
        let Ok(environ) = fs::read(path.join("environ")) else { continue };
        let is_of = |pod: &&String| {
            environ.split(|byte| *byte == 0).any(|variable| variable == format!("HOSTNAME={pod}").as_bytes())
        };
        let Some(pod) = pods.iter().find(is_of) else { continue };
        let text = |name: &str| fs::read_to_string(path.join(name)).unwrap_or_default();
        let pid = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        found.extend(replica(pod, &pid, &text("status"), &text("stat")));
    }
    found.sort_by(|a, b| a.pod.cmp(&b.pod));
    let missing = pods.iter().find(|pod| found.iter().all(|replica| &replica.pod != *pod));
    missing.map_or(Ok(found), |pod| Err(format!("no process of pod {pod} on this machine").into()))
}

fn replica(pod: &str, pid: &str, status: &str, stat: &str) -> Option<Replica> {
    let kilobytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
    };
    // The name, in parentheses, may hold anything. After it: state, and eleventh and twelfth after that the times.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index)?.parse::<f64>().ok();
    Some(Replica {
        pod: pod.to_owned(),
        pid: pid.to_owned(),
        resident: kilobytes("VmRSS:")? << 10,
        peak: kilobytes("VmHWM:")? << 10,
        cpu: (ticks(11)? + ticks(12)?) / TICKS,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Name:\toperator\nVmPeak:\t  900000 kB\nVmHWM:\t   30000 kB\nVmRSS:\t   20000 kB\n";

    fn stat(user: u32, system: u32) -> String {
        format!("7 (a ) b) S 1 7 7 0 -1 4194560 2000 0 0 0 {user} {system} 0 0 20 0 8 0 100\n")
    }

    #[test]
    fn memory_and_time_are_read_whatever_the_name_is() {
        let read = replica("p", "7", STATUS, &stat(150, 50)).unwrap();
        assert_eq!((read.resident, read.peak), (20_000 << 10, 30_000 << 10));
        assert!((read.cpu - 2.0).abs() < 1e-9);
        assert_eq!(replica("p", "7", "Name:\tkernel thread\n", &stat(1, 1)), None);
    }

    #[test]
    fn time_is_that_of_one_process() {
        let at = |pid, user| replica("p", pid, STATUS, &stat(user, 0)).unwrap();
        let spent = at("7", 400).cpu_since(&[at("7", 100)]).unwrap();
        assert!((spent - 3.0).abs() < 1e-9);
        assert_eq!(at("8", 400).cpu_since(&[at("7", 100)]), None);
    }
}
