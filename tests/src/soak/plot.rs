//! The plot over time, as SVG.

use std::fmt::Write as _;

use udp_discovery_server::Counter;

use super::sample::Sample;
use super::server;
use super::tally::Count;

/// How many points a line has at the most.
const POINTS: usize = 240;
const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 110.0;
const LEFT: f64 = 70.0;
const TOP: f64 = 34.0;
/// From one panel to the next.
const STEP: f64 = 170.0;
const COLOURS: [&str; 4] = ["#1f6fb2", "#d1602f", "#3a8f4d", "#8a5aab"];

/// One set of axes: lines over the same time, in the same unit.
pub(super) struct Panel {
    title: &'static str,
    seconds: f64,
    lines: Vec<(String, Vec<f64>)>,
}

/// What is plotted of a run.
pub(super) fn panels(samples: &[Sample]) -> Vec<Panel> {
    let seconds = samples.last().map_or(1.0, |last| last.at.as_secs_f64());
    let panel = |title, lines| Panel {
        title,
        seconds,
        lines,
    };
    let levels = |name: &str, figure: fn(&Sample) -> f64| {
        let values: Vec<f64> = samples.iter().map(figure).collect();
        (name.to_owned(), highest(&values))
    };
    let rates = |name: &str, figure: &dyn Fn(&Sample) -> f64| {
        (name.to_owned(), mean(&per_second(samples, figure)))
    };
    let tally = |count: Count| rates(count.name(), &|it: &Sample| whole(it.tally[count as usize]));
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
            vec![tally(Count::Right), tally(Count::Wrong)],
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

#[expect(clippy::cast_precision_loss, reason = "a plot is no place for 2^53")]
fn whole(number: u64) -> f64 {
    number as f64
}

/// How much a figure grew from each sample to the next.
fn per_second(samples: &[Sample], figure: &dyn Fn(&Sample) -> f64) -> Vec<f64> {
    let growth = |pair: &[Sample]| {
        let seconds = pair[1]
            .at
            .saturating_sub(pair[0].at)
            .as_secs_f64()
            .max(0.001);
        (figure(&pair[1]) - figure(&pair[0])) / seconds
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
pub(super) fn svg(panels: &[Panel]) -> String {
    let width = LEFT + WIDTH + 30.0;
    let height = STEP * whole(panels.len() as u64) + 30.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\" fill=\"#333\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n"
    );
    for (at, panel) in panels.iter().enumerate() {
        let y = STEP * whole(at as u64) + TOP;
        let _ = writeln!(svg, "<g transform=\"translate({LEFT} {y})\">");
        panel.draw(&mut svg);
        svg.push_str("</g>\n");
    }
    svg.push_str("</svg>\n");
    svg
}

impl Panel {
    fn draw(&self, svg: &mut String) {
        let values = self.lines.iter().flat_map(|(_, values)| values);
        let (step, top) = scale(values.copied().fold(0.0, f64::max));
        let _ = writeln!(
            svg,
            "<text y=\"-12\" font-weight=\"bold\">{}</text>",
            self.title
        );
        let mut value = 0.0;
        while value <= top + step / 2.0 {
            let y = HEIGHT * (1.0 - value / top);
            let _ = writeln!(
                svg,
                "<path d=\"M0 {y:.1}H{WIDTH}\" stroke=\"#ddd\"/>\
                 <text x=\"-6\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                y + 4.0,
                label(value)
            );
            value += step;
        }
        self.draw_time(svg);
        for (at, (name, values)) in self.lines.iter().enumerate() {
            let colour = COLOURS[at % COLOURS.len()];
            draw_line(svg, values, top, colour);
            let x = WIDTH - 130.0 * whole((self.lines.len() - 1 - at) as u64);
            let _ = writeln!(
                svg,
                "<text x=\"{x}\" y=\"-12\" text-anchor=\"end\" font-size=\"10\" \
                 fill=\"{colour}\">{name}</text>"
            );
        }
    }

    fn draw_time(&self, svg: &mut String) {
        let (unit, name) = if self.seconds < 180.0 {
            (1.0, "s")
        } else {
            (60.0, "min")
        };
        let length = self.seconds / unit;
        let (step, _) = scale(length);
        let mut time = 0.0;
        while time <= length {
            let x = WIDTH * time / length;
            let _ = writeln!(
                svg,
                "<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{} {name}</text>",
                HEIGHT + 16.0,
                label(time)
            );
            time += step;
        }
    }
}

fn draw_line(svg: &mut String, values: &[f64], top: f64, colour: &str) {
    let last = whole(values.len().saturating_sub(1).max(1) as u64);
    let mut points = String::new();
    for (at, value) in values.iter().enumerate() {
        let x = WIDTH * whole(at as u64) / last;
        let y = HEIGHT * (1.0 - value / top);
        let _ = write!(points, "{x:.1},{y:.1} ");
    }
    let _ = writeln!(
        svg,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.3\"/>",
        points.trim_end()
    );
}

/// The distance of the marks, a round number, and the last one: for values up to `max`.
fn scale(max: f64) -> (f64, f64) {
    let max = if max > 0.0 { max } else { 1.0 };
    let power = 10_f64.powf((max / 4.0).log10().floor());
    let round = [1.0, 2.0, 5.0, 10.0].map(|it| it * power);
    let step = round.into_iter().find(|step| max / step <= 5.0);
    let step = step.unwrap_or(round[3]);
    (step, (max / step).ceil() * step)
}

fn label(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_round_and_few_and_reach_the_highest_value() {
        for max in [0.3, 1.0, 3.7, 9.0, 20.0, 99.0, 100.0, 4321.0] {
            let (step, top) = scale(max);
            assert!(top >= max && top - step < max, "{max}: {step}, {top}");
            assert!(
                (2.0..=5.0).contains(&(top / step).round()),
                "{max}: {step}, {top}"
            );
        }
        assert_eq!(scale(20.0), (5.0, 20.0));
    }

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
    fn a_panel_has_a_line_for_each_series_within_its_axes() {
        let panel = Panel {
            title: "Title",
            seconds: 20.0,
            lines: vec![("a".into(), vec![0.0, 5.0]), ("b".into(), vec![10.0, 10.0])],
        };
        let svg = svg(&[panel]);
        assert!(svg.contains("points=\"0.0,110.0 760.0,55.0\""), "{svg}");
        assert!(svg.contains("points=\"0.0,0.0 760.0,0.0\""), "{svg}");
        assert!(svg.contains(">20 s<") && svg.contains(">Title<"), "{svg}");
    }
}
