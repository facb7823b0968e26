//! The plot over time, as SVG.

use std::error::Error;
use std::ops::Range;

use plotters::data::float::pretty_print_float;
use plotters::prelude::*;
use plotters::style::RGBColor;
use udp_discovery_server::Counter;

use super::counts::Count;
use super::sample::Sample;
use super::server;

/// The most points that a line has.
const POINTS: usize = 240;
const WIDTH: u32 = 870;
/// Of one panel.
const HEIGHT: u32 = 190;
/// The room beside the lines, for their names.
const RIGHT: u32 = 200;
/// Where the names begin.
const LEGEND: i32 = 680;
const COLOURS: [RGBColor; 4] = [
    RGBColor(0x1f, 0x6f, 0xb2),
    RGBColor(0xd1, 0x60, 0x2f),
    RGBColor(0x3a, 0x8f, 0x4d),
    RGBColor(0x8a, 0x5a, 0xab),
];

/// One set of axes: lines over the same time, in the same unit.
pub(super) struct Panel {
    title: &'static str,
    seconds: f64,
    lines: Vec<(String, Vec<f64>)>,
}

/// The panels of a run.
pub(super) fn panels(samples: &[Sample]) -> Vec<Panel> {
    let seconds = samples.last().map_or(1.0, |last| last.at.as_secs_f64());
    let panel = |title, lines| Panel {
        title,
        seconds,
        lines,
    };
    let levels = |name: &str, value: fn(&Sample) -> f64| {
        let values: Vec<f64> = samples.iter().map(value).collect();
        (name.to_owned(), highest(&values))
    };
    let rates = |name: &str, value: &dyn Fn(&Sample) -> f64| {
        (name.to_owned(), mean(&per_second(samples, value)))
    };
    let count = |count: Count| {
        rates(count.name(), &|it: &Sample| {
            whole(it.counts[count as usize])
        })
    };
    let counter = |counter: Counter| {
        let at = server::position(counter);
        rates(counter.name(), &|it: &Sample| whole(it.server[at]))
    };
    vec![
        panel(
            "Memory of the server (resident, MiB)",
            vec![levels("memory", |it| whole(it.process.memory) / 1024.0)],
        ),
        panel(
            "Descriptors and threads of the server",
            vec![
                levels("descriptors", |it| whole(it.process.descriptors)),
                levels("threads", |it| whole(it.process.threads)),
            ],
        ),
        panel(
            "Processor time of the server (% of one)",
            vec![rates("processor", &|it: &Sample| {
                100.0 * it.process.cpu.as_secs_f64()
            })],
        ),
        panel(
            "At the server (datagrams per second)",
            vec![
                counter(Counter::Received),
                counter(Counter::Answered),
                counter(Counter::KernelDrops),
            ],
        ),
        panel("Dropped by the server (per second)", drops(samples)),
        panel(
            "At the clients (answers per second)",
            vec![count(Count::Right), count(Count::Wrong)],
        ),
        panel(
            "Addresses of the server's host",
            vec![levels("addresses", |it| whole(it.addresses as u64))],
        ),
    ]
}

/// The most frequent reasons, one for each colour.
fn drops(samples: &[Sample]) -> Vec<(String, Vec<f64>)> {
    let Some(last) = samples.last() else {
        return Vec::new();
    };
    let mut reasons: Vec<(usize, String)> = server::names()
        .enumerate()
        .skip(Counter::ALL.len())
        .filter(|(at, _)| last.server[*at] > 0)
        .collect();
    reasons.sort_by_key(|(at, _)| std::cmp::Reverse(last.server[*at]));
    reasons.truncate(COLOURS.len());
    let line = |(at, name): (usize, String)| {
        let name = name.trim_start_matches("dropped: ").to_owned();
        let values = per_second(samples, &|it: &Sample| whole(it.server[at]));
        (name, mean(&values))
    };
    reasons.into_iter().map(line).collect()
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a plot doesn't need more than 52 bits"
)]
fn whole(number: u64) -> f64 {
    number as f64
}

/// The growth of a value per second, from each sample to the next.
fn per_second(samples: &[Sample], value: &dyn Fn(&Sample) -> f64) -> Vec<f64> {
    let growth = |pair: &[Sample]| {
        let seconds = pair[1]
            .at
            .saturating_sub(pair[0].at)
            .as_secs_f64()
            .max(0.001);
        (value(&pair[1]) - value(&pair[0])) / seconds
    };
    samples.windows(2).map(growth).collect()
}

fn highest(values: &[f64]) -> Vec<f64> {
    bins(values, |bin| bin.iter().copied().fold(f64::MIN, f64::max))
}

fn mean(values: &[f64]) -> Vec<f64> {
    bins(values, |bin| {
        bin.iter().sum::<f64>() / whole(bin.len() as u64)
    })
}

fn bins(values: &[f64], fold: fn(&[f64]) -> f64) -> Vec<f64> {
    let size = values.len().div_ceil(POINTS).max(1);
    values.chunks(size).map(fold).collect()
}

/// Draws the panels, one below the other.
pub(super) fn svg(panels: &[Panel]) -> Result<String, Box<dyn Error + Send + Sync>> {
    let mut svg = String::new();
    let count = u32::try_from(panels.len())?;
    let area = SVGBackend::with_string(&mut svg, (WIDTH, HEIGHT * count)).into_drawing_area();
    area.fill(&WHITE)?;
    for (panel, area) in panels.iter().zip(area.split_evenly((panels.len(), 1))) {
        panel.draw(&area)?;
    }
    area.present()?;
    drop(area);
    Ok(svg)
}

impl Panel {
    fn draw(
        &self,
        area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        let (unit, name) = if self.seconds < 180.0 {
            (1.0, "s")
        } else {
            (60.0, "min")
        };
        let length = self.seconds / unit;
        let mut chart = ChartBuilder::on(area)
            .caption(self.title, ("sans-serif", 14))
            .margin(10)
            .margin_right(RIGHT)
            .x_label_area_size(24)
            .y_label_area_size(56)
            .build_cartesian_2d(0.0..length, self.values())?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .x_label_formatter(&|time| format!("{} {name}", pretty_print_float(*time, false)))
            .y_label_formatter(&|value| pretty_print_float(*value, false))
            .y_labels(5)
            .draw()?;
        for (at, ((name, values), colour)) in (0..).zip(self.lines.iter().zip(COLOURS)) {
            let last = whole(values.len().saturating_sub(1).max(1) as u64);
            let points = (0..).zip(values);
            let points = points.map(|(at, value)| (length * whole(at) / last, *value));
            chart.draw_series(LineSeries::new(points, &colour))?;
            let font = ("sans-serif", 13).into_font().color(&colour);
            area.draw_text(name, &font, (LEGEND, 36 + 18 * at))?;
        }
        Ok(())
    }

    /// From 0 to a little more than the highest value.
    fn values(&self) -> Range<f64> {
        let values = self.lines.iter().flat_map(|(_, values)| values);
        let highest = values.copied().fold(0.0, f64::max);
        0.0..if highest > 0.0 { 1.1 * highest } else { 1.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_many_values_keeps_its_peaks_or_its_mean() {
        let values: Vec<f64> = (0..2400)
            .map(|at| f64::from(u8::from(at == 1234)))
            .collect();
        assert_eq!(highest(&values).len(), POINTS);
        assert!(highest(&values).contains(&1.0));
        let mean = mean(&values);
        assert!((mean[123] - 0.1).abs() < 1e-9, "{}", mean[123]);
    }

    #[test]
    fn a_panel_has_a_title_and_a_line_for_each_series() {
        let lines = |count: usize| {
            let line = |at: usize| (format!("line {at}"), vec![0.0, whole(at as u64)]);
            let panel = Panel {
                title: "Title",
                seconds: 20.0,
                lines: (0..count).map(line).collect(),
            };
            let svg = svg(&[panel]).unwrap();
            assert!(svg.contains("Title") && svg.contains("20 s"), "{svg}");
            COLOURS
                .iter()
                .filter(|RGBColor(r, g, b)| {
                    let colour = format!("stroke=\"#{r:02X}{g:02X}{b:02X}\"");
                    svg.contains(&colour)
                })
                .count()
        };
        assert_eq!([0, 1, 4].map(lines), [0, 1, 4]);
    }
}
