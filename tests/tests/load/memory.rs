//! The memory of this process.

use std::fs;

/// The resident memory of this process, in KiB (`smaps_rollup` of proc(5)).
pub(crate) fn resident_kib() -> i64 {
    let rollup = fs::read_to_string("/proc/self/smaps_rollup").expect("/proc shows the memory");
    let line = rollup.lines().find_map(|line| line.strip_prefix("Rss:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.expect("it is a number of KiB")
}
