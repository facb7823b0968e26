//! What this process and its threads use.

use std::fs;
use std::time::Duration;

/// The memory of this process, in KiB (`smaps_rollup` of proc(5)).
pub(crate) fn resident_kib() -> i64 {
    let rollup = fs::read_to_string("/proc/self/smaps_rollup").expect("/proc shows the memory");
    let line = rollup.lines().find_map(|line| line.strip_prefix("Rss:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.expect("it is a number of KiB")
}

/// The thread of the one server of this process.
pub(crate) struct ServerThread(String);

impl ServerThread {
    pub(crate) fn find() -> Self {
        let tasks = fs::read_dir("/proc/self/task").expect("/proc shows the threads");
        let is_server = |task: &String| {
            fs::read_to_string(format!("{task}/comm")).is_ok_and(|it| it == "udp-discovery\n")
        };
        let task = tasks
            .map(|task| task.expect("a thread has a folder").path())
            .map(|path| path.display().to_string())
            .find(is_server);
        Self(task.expect("the server has a thread of this name"))
    }

    /// The processor's time that it has had so far (the kernel's scheduler statistics).
    pub(crate) fn cpu(&self) -> Duration {
        let text = fs::read_to_string(format!("{}/schedstat", self.0));
        let text = text.expect("/proc shows what a thread has used");
        let nanoseconds = text
            .split_whitespace()
            .next()
            .and_then(|it| it.parse().ok());
        Duration::from_nanos(nanoseconds.expect("it is a number of nanoseconds"))
    }
}
