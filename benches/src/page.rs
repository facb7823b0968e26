//! The page: the prose of `performance.md` here, with tables and charts in its gaps.

use std::fs;
use std::path::Path;

use crate::bench::Failure;
use crate::charts;
use crate::results::{Goal, Results, Row, Unit};

/// The prose. `{{table: group/table}}` is a table of rows, `{{chart: name}}` a chart,
/// `{{median: id}}` a figure, and `{{about}}` the machine.
const TEMPLATE: &str = include_str!("performance.md");

/// Writes the page and its charts into a folder.
///
/// It fails if the results lack something that the template wants, after it has written the rest.
pub(crate) fn write(results: &Results, folder: &Path) -> Result<(), Failure> {
    let charts = folder.join("performance");
    fs::create_dir_all(&charts)?;
    let mut page = String::new();
    let mut missing = Vec::new();
    let mut rest = TEMPLATE;
    while let Some((text, after)) = rest.split_once("{{") {
        let (gap, after) = after.split_once("}}").ok_or("a gap is not closed")?;
        page.push_str(text);
        let filling = fill(gap, results, &charts)?;
        if filling.is_none() {
            missing.push(gap);
        }
        page.push_str(filling.as_deref().unwrap_or("(not measured)"));
        rest = after;
    }
    page.push_str(rest);
    fs::write(folder.join("performance.md"), page)?;
    if missing.is_empty() {
        return Ok(());
    }
    Err(format!("the page lacks {}", missing.join(", ")).into())
}

/// What stands in a gap, or `None` if it was not measured.
fn fill(gap: &str, results: &Results, charts: &Path) -> Result<Option<String>, Failure> {
    let (kind, id) = gap.split_once(": ").unwrap_or((gap, ""));
    Ok(match kind {
        "about" => Some(about(results)),
        "table" => table(results, id),
        "median" => results
            .rows
            .iter()
            .find(|row| row.id == id)
            .and_then(median),
        "chart" => {
            let lines: Vec<_> = results.lines.iter().filter(|it| it.chart == id).collect();
            let name = format!("{id}.svg");
            match charts::draw(id, &lines)? {
                Some(svg) => {
                    fs::write(charts.join(&name), svg)?;
                    Some(format!("![{}](performance/{name})", charts::title(id)?))
                }
                None => None,
            }
        }
        _ => return Err(format!("unknown gap {gap}").into()),
    })
}

fn about(results: &Results) -> String {
    let line = |(name, value): (&String, &String)| format!("| {name} | {value} |\n");
    let lines: String = results.about.iter().map(line).collect();
    format!("| | |\n|---|---|\n{lines}").trim_end().to_owned()
}

fn table(results: &Results, id: &str) -> Option<String> {
    let prefix = format!("{id}/");
    let mut rows = results
        .rows
        .iter()
        .filter(|row| row.id.starts_with(&prefix))
        .peekable();
    rows.peek()?;
    let head = "| what | goal | median | quartiles | runs | |\n|---|--:|--:|--:|--:|---|\n";
    let lines: String = rows.map(line).collect();
    Some(format!("{head}{lines}").trim_end().to_owned())
}

fn line(row: &Row) -> String {
    let goal = match row.goal {
        Some(Goal::AtLeast(least)) => format!("≥ {}", figure(least, row.unit)),
        Some(Goal::AtMost(most)) => format!("≤ {}", figure(most, row.unit)),
        None => String::new(),
    };
    let (median, quartiles) = match row.summary() {
        Some(it) => {
            let [low, median, high] = [it.low, it.median, it.high].map(|it| figure(it, row.unit));
            (median, format!("{low} to {high}"))
        }
        None => ("–".to_owned(), String::new()),
    };
    let met = match row.is_met() {
        Some(true) => "reached",
        Some(false) => "**not reached**",
        None => "",
    };
    let remark = [met, &row.note].into_iter().filter(|it| !it.is_empty());
    let remark = remark.collect::<Vec<_>>().join("; ");
    format!(
        "| {} | {goal} | {median} | {quartiles} | {} | {remark} |\n",
        row.what,
        row.samples.len()
    )
}

fn median(row: &Row) -> Option<String> {
    Some(figure(row.summary()?.median, row.unit))
}

/// A number as text, with its unit.
pub(crate) fn figure(number: f64, unit: Unit) -> String {
    match unit {
        Unit::Ratio => format!("{number:.2}"),
        Unit::Count => thousands(number),
        Unit::PerSecond => format!("{}/s", thousands(number)),
        Unit::Seconds => seconds(number),
        Unit::Bytes => bytes(number),
    }
}

fn seconds(number: f64) -> String {
    match number {
        0.0 => "0 s".to_owned(),
        1.0.. => format!("{number:.2} s"),
        0.1.. => format!("{:.0} ms", number * 1e3),
        1e-3.. => format!("{:.1} ms", number * 1e3),
        1e-4.. => format!("{:.0} µs", number * 1e6),
        1e-6.. => format!("{:.1} µs", number * 1e6),
        _ => format!("{:.0} ns", number * 1e9),
    }
}

fn bytes(number: f64) -> String {
    if number >= 1e6 {
        format!("{:.1} MB", number / 1e6)
    } else {
        format!("{:.0} kB", number / 1e3)
    }
}

/// A number with commas, and with one digit after the point if it is small and not whole.
fn thousands(number: f64) -> String {
    if number < 100.0 && number.fract() != 0.0 {
        return format!("{number:.1}");
    }
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_few_digits_and_a_unit() {
        for (number, unit, text) in [
            (0.949, Unit::Ratio, "0.95"),
            (1_234_567.0, Unit::Count, "1,234,567"),
            (2.5, Unit::Count, "2.5"),
            (178_000.4, Unit::PerSecond, "178,000/s"),
            (0.000_159, Unit::Seconds, "159 µs"),
            (0.25, Unit::Seconds, "250 ms"),
            (3_700_000.0, Unit::Bytes, "3.7 MB"),
        ] {
            assert_eq!(figure(number, unit), text);
        }
    }

    #[test]
    fn a_row_without_a_figure_says_why() {
        let row = Row::missing("a/b/c", "what", "not yet");
        assert_eq!(line(&row), "| what |  | – |  | 0 | not yet |\n");
    }

    #[test]
    fn a_page_that_lacks_a_row_is_an_error() {
        let folder = std::env::temp_dir().join("udp-discovery-page");
        let error = write(&Results::default(), &folder).unwrap_err();
        assert!(
            error.to_string().contains("table: throughput/ratio"),
            "{error}"
        );
        fs::remove_dir_all(folder).unwrap();
    }
}
