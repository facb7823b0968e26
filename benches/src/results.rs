//! What a run measured. It is written as JSON, so that the page can be drawn again without a run.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Everything that the page shows, except its prose.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct Results {
    /// The machine and the versions, by name.
    pub(crate) about: BTreeMap<String, String>,
    pub(crate) rows: Vec<Row>,
    pub(crate) lines: Vec<Line>,
}

/// A row of a table.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Row {
    /// `group/table/name`.
    pub(crate) id: String,
    pub(crate) what: String,
    pub(crate) unit: Unit,
    pub(crate) goal: Option<Goal>,
    pub(crate) samples: Vec<f64>,
    /// Why there are no samples, or what to know about them.
    pub(crate) note: String,
}

/// A line of a chart, or the bars of one contestant.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Line {
    /// `group/name`.
    pub(crate) id: String,
    pub(crate) chart: String,
    pub(crate) name: String,
    pub(crate) points: Vec<[f64; 2]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
pub(crate) enum Goal {
    AtLeast(f64),
    AtMost(f64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) enum Unit {
    Ratio,
    Count,
    PerSecond,
    Seconds,
    Bytes,
}

/// The median of samples, and the quartiles around it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Summary {
    pub(crate) low: f64,
    pub(crate) median: f64,
    pub(crate) high: f64,
}

impl Row {
    pub(crate) fn new(id: &str, what: impl Into<String>, unit: Unit, samples: Vec<f64>) -> Self {
        Self {
            id: id.to_owned(),
            what: what.into(),
            unit,
            goal: None,
            samples,
            note: String::new(),
        }
    }

    /// A row without a figure, and why.
    pub(crate) fn missing(id: &str, what: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(id, what, Unit::Count, Vec::new()).with_note(why)
    }

    pub(crate) fn with_goal(self, goal: Goal) -> Self {
        Self {
            goal: Some(goal),
            ..self
        }
    }

    pub(crate) fn with_note(self, note: impl Into<String>) -> Self {
        Self {
            note: note.into(),
            ..self
        }
    }

    pub(crate) fn summary(&self) -> Option<Summary> {
        Summary::of(&self.samples)
    }

    /// Whether the median reaches the goal, if there are both.
    pub(crate) fn is_met(&self) -> Option<bool> {
        let median = self.summary()?.median;
        Some(match self.goal? {
            Goal::AtLeast(least) => median >= least,
            Goal::AtMost(most) => median <= most,
        })
    }
}

impl Line {
    pub(crate) fn new(
        id: &str,
        chart: &str,
        name: impl Into<String>,
        points: Vec<[f64; 2]>,
    ) -> Self {
        Self {
            id: id.to_owned(),
            chart: chart.to_owned(),
            name: name.into(),
            points,
        }
    }
}

impl Summary {
    /// `None` without samples.
    pub(crate) fn of(samples: &[f64]) -> Option<Self> {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        (!sorted.is_empty()).then(|| Self {
            low: quantile(&sorted, 1, 4),
            median: quantile(&sorted, 2, 4),
            high: quantile(&sorted, 3, 4),
        })
    }
}

/// The value below which `part` of `whole` equal parts of the sorted samples are, by linear
/// interpolation between the two nearest.
pub(crate) fn quantile(sorted: &[f64], part: usize, whole: usize) -> f64 {
    let steps = (sorted.len() - 1) * part;
    let (at, rest) = (steps / whole, steps % whole);
    let next = sorted[(at + 1).min(sorted.len() - 1)];
    sorted[at] + (next - sorted[at]) * float(rest) / float(whole)
}

/// A number as a sample.
#[expect(
    clippy::cast_precision_loss,
    reason = "no measurement here needs more than 52 bits"
)]
pub(crate) fn float(number: usize) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_are_interpolated() {
        let summary = Summary::of(&[4.0, 1.0, 3.0, 2.0]).unwrap();
        assert_eq!(
            (summary.low, summary.median, summary.high),
            (1.75, 2.5, 3.25)
        );
        let one = Summary::of(&[7.0]).unwrap();
        assert_eq!((one.low, one.high), (7.0, 7.0));
        assert_eq!(Summary::of(&[]), None);
    }

    #[test]
    fn a_goal_is_compared_with_the_median() {
        let row = Row::new("a/b/c", "what", Unit::Ratio, vec![0.9, 1.0, 1.1]);
        assert_eq!(row.is_met(), None);
        assert_eq!(
            row.clone().with_goal(Goal::AtLeast(1.0)).is_met(),
            Some(true)
        );
        assert_eq!(row.with_goal(Goal::AtMost(0.99)).is_met(), Some(false));
        let missing = Row::missing("a/b/c", "what", "not yet").with_goal(Goal::AtLeast(1.0));
        assert_eq!(missing.is_met(), None);
    }
}
