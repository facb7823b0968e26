//! Whether everything went well.

use std::time::Duration;

use super::counts::{Count, Counts};
use super::sample::{ProcessSample, Sample};

/// How much the memory may grow after the warm-up, in KiB.
const MEMORY_GROWTH: u64 = 1024;
/// How many descriptors may be added: reading the interfaces takes one for a moment.
const DESCRIPTOR_GROWTH: u64 = 2;
/// How many threads may be added.
const THREAD_GROWTH: u64 = 0;

/// How many rounds of watched servers there must be for each one that is falsely called gone.
const ROUNDS_FOR_A_FALSE_GONE: u64 = 10_000;

/// The longest warm-up; that of a short run is a third of it.
const LONGEST_WARM_UP: Duration = Duration::from_secs(60);

/// A measurement of the process over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Level {
    pub(super) name: &'static str,
    pub(super) first: u64,
    /// At the end of the warm-up.
    pub(super) warm: u64,
    /// The highest after that.
    pub(super) max: u64,
    pub(super) last: u64,
    /// How much it may grow from `warm`.
    pub(super) allowed: u64,
}

impl Level {
    fn of(
        samples: &[Sample],
        (name, allowed): (&'static str, u64),
        measure: fn(&ProcessSample) -> u64,
    ) -> Option<Self> {
        let last = samples.last()?;
        let warm_up = warm_up(last.at);
        let of = |sample: &Sample| measure(&sample.process);
        let mut after = samples.iter().skip_while(|sample| sample.at < warm_up);
        let warm = of(after.next()?);
        Some(Self {
            name,
            first: of(samples.first()?),
            warm,
            max: after.map(of).fold(warm, u64::max),
            last: of(last),
            allowed,
        })
    }

    fn is_flat(&self) -> bool {
        self.max <= self.warm + self.allowed
    }
}

/// How long the start of a run of this length doesn't count.
pub(super) fn warm_up(length: Duration) -> Duration {
    (length / 3).min(LONGEST_WARM_UP)
}

/// Memory in KiB, descriptors and threads.
pub(super) fn levels(samples: &[Sample]) -> Vec<Level> {
    [
        Level::of(samples, ("memory, KiB", MEMORY_GROWTH), |it| it.memory),
        Level::of(samples, ("descriptors", DESCRIPTOR_GROWTH), |it| {
            it.descriptors
        }),
        Level::of(samples, ("threads", THREAD_GROWTH), |it| it.threads),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Everything that went wrong.
pub(super) fn findings(samples: &[Sample], counts: &Counts) -> Vec<String> {
    let count = |count: Count| counts[count as usize];
    let mut findings = Vec::new();
    let wrong = count(Count::Wrong);
    if wrong > 0 {
        findings.push(format!("{wrong} answers were wrong"));
    }
    let nothing_found = count(Count::NothingFound);
    if nothing_found > 0 {
        findings.push(format!(
            "{nothing_found} searches found nothing on a link that had been up for 5 s"
        ));
    }
    let (rounds, gone) = (count(Count::WatchedRounds), count(Count::FalselyGone));
    if gone * ROUNDS_FOR_A_FALSE_GONE > rounds {
        findings.push(format!(
            "{gone} watched servers were falsely called gone in {rounds} rounds"
        ));
    }
    if count(Count::Right) == 0 {
        findings.push("no request was answered".to_owned());
    }
    let levels = levels(samples);
    if levels.is_empty() {
        findings.push("the server's process was never seen".to_owned());
    }
    for level in levels.iter().filter(|level| !level.is_flat()) {
        let Level {
            name, warm, max, ..
        } = level;
        findings.push(format!("{name} grew from {warm} to {max}"));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run of a hundred seconds with this memory at each.
    fn run(memory: impl Fn(u64) -> u64) -> Vec<Sample> {
        let sample = |second| Sample {
            at: Duration::from_secs(second),
            process: ProcessSample {
                memory: memory(second),
                descriptors: 9,
                threads: 2,
                cpu: Duration::ZERO,
            },
            addresses: 3,
            server: Vec::new(),
            counts: Counts::default(),
        };
        (0..=99).map(sample).collect()
    }

    fn counts(changes: &[(Count, u64)]) -> Counts {
        let mut counts = Counts::default();
        counts[Count::Right as usize] = 1;
        for (count, number) in changes {
            counts[*count as usize] = *number;
        }
        counts
    }

    #[test]
    fn a_flat_run_with_right_answers_is_well() {
        // It may grow while it warms up, which ends at 33 s.
        let samples = run(|second| 1000 + 500 * second.min(33));
        assert_eq!(findings(&samples, &counts(&[])), [""; 0]);
    }

    #[test]
    fn each_fault_is_found() {
        let flat = run(|_| 5000);
        let leak = run(|second| 5000 + 20 * second);
        let late = run(|second| if second == 90 { 9000 } else { 5000 });
        for (samples, changes, word) in [
            (&flat, [(Count::Wrong, 1)], "wrong"),
            (&flat, [(Count::NothingFound, 1)], "found nothing"),
            (&flat, [(Count::FalselyGone, 1)], "falsely called gone"),
            (&flat, [(Count::Right, 0)], "no request"),
            (
                &leak,
                [(Count::Right, 1)],
                "memory, KiB grew from 5660 to 6980",
            ),
            (
                &late,
                [(Count::Right, 1)],
                "memory, KiB grew from 5000 to 9000",
            ),
            (&vec![], [(Count::Right, 1)], "never seen"),
        ] {
            let found = findings(samples, &counts(&changes));
            assert!(
                found.len() == 1 && found[0].contains(word),
                "{word}: {found:?}"
            );
        }
    }
}
