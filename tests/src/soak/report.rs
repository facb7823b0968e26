//! The report, as Markdown.

use std::fmt;
use std::fs;

use super::addresses::GRACE;
use super::checks::{levels, warm_up};
use super::counts::{Count, Counts};
use super::sample::Sample;
use super::{Args, server};

/// The report of a run.
pub(super) struct Report<'a> {
    pub(super) seed: u64,
    pub(super) args: &'a Args,
    pub(super) samples: &'a [Sample],
    pub(super) counts: Counts,
    /// The server's last counters.
    pub(super) server: Vec<u64>,
    /// The first failures, one by one.
    pub(super) failures: Vec<String>,
    /// Everything that went wrong.
    pub(super) findings: Vec<String>,
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_head(f)?;
        self.write_levels(f)?;
        writeln!(f, "| what | count |\n|---|--:|")?;
        for count in Count::ALL {
            writeln!(f, "| {} | {} |", count.name(), self.counts[*count as usize])?;
        }
        writeln!(f, "\n| the server's own counters | |\n|---|--:|")?;
        for (name, count) in server::names().zip(&self.server) {
            if *count > 0 {
                writeln!(f, "| {name} | {count} |")?;
            }
        }
        if !self.failures.is_empty() {
            writeln!(f, "\nThe first failures:")?;
        }
        for failure in &self.failures {
            writeln!(f, "- `{failure}`")?;
        }
        Ok(())
    }
}

impl Report<'_> {
    fn write_head(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.findings.is_empty() {
            writeln!(f, "**Everything went well.**\n")?;
        } else {
            writeln!(
                f,
                "**Not everything went well:** {}.\n",
                self.findings.join("; ")
            )?;
        }
        let seconds = self.samples.last().map_or(0, |last| last.at.as_secs());
        let cpu = self.samples.last().map_or(0.0, |last| {
            100.0 * last.process.cpu.as_secs_f64() / last.at.as_secs_f64()
        });
        let most = self.samples.iter().map(|it| it.addresses).max();
        writeln!(
            f,
            "{seconds} s on {}, seed {}, kernel filter {}; up to {} addresses at a time; the \
             server took {cpu:.1} % of a processor. An answer counts as right if the address it \
             names is its source, and is held on that network or was {GRACE:?} ago.\n",
            kernel(),
            self.seed,
            if self.args.without_kernel_filter {
                "off"
            } else {
                "on"
            },
            most.unwrap_or(0),
        )
    }

    fn write_levels(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = self
            .samples
            .last()
            .map_or_else(Default::default, |it| it.at);
        writeln!(
            f,
            "| the server's | first | after {} s | highest after that | allowed | last |\n\
             |---|--:|--:|--:|--:|--:|",
            warm_up(length).as_secs()
        )?;
        for level in levels(self.samples) {
            let allowed = level.warm + level.allowed;
            writeln!(
                f,
                "| {} | {} | {} | {} | {allowed} | {} |",
                level.name, level.first, level.warm, level.max, level.last
            )?;
        }
        writeln!(f)
    }
}

/// The kernel's name and version, without its distributor's suffix.
fn kernel() -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let version = release.trim().split('-').next().unwrap_or_default();
    format!("Linux {version}")
}
