//! The charts, as SVG.

use plotters::coord::Shift;
use plotters::data::float::pretty_print_float;
use plotters::prelude::*;
use plotters::style::RGBColor;

use crate::bench::Failure;
use crate::results::{Line, Summary, float};

const SIZE: (u32, u32) = (870, 380);
const BAR: u32 = 44;
const COLOURS: [RGBColor; 4] = [
    RGBColor(0x1f, 0x6f, 0xb2),
    RGBColor(0xd1, 0x60, 0x2f),
    RGBColor(0x3a, 0x8f, 0x4d),
    RGBColor(0x8a, 0x5a, 0xab),
];
const FONT: (&str, i32) = ("sans-serif", 13);

/// How a chart looks.
struct Look {
    id: &'static str,
    title: &'static str,
    x: &'static str,
    y: &'static str,
    /// Whether the axes are logarithmic.
    logarithmic: (bool, bool),
    /// Whether the lines join the points: otherwise they are medians by x, with all points around.
    joined: bool,
}

const LOOKS: [Look; 5] = [
    Look {
        id: "throughput",
        title: "Answered requests a second, by contestant (median and quartiles)",
        x: "answers a second",
        y: "",
        logarithmic: (false, false),
        joined: false,
    },
    Look {
        id: "crowd",
        title: "Servers found, by the number that answer at once",
        x: "servers that answer",
        y: "found",
        logarithmic: (false, false),
        joined: false,
    },
    Look {
        id: "latency",
        title: "Time until the first answer: the share of searches that have it",
        x: "µs",
        y: "% of searches",
        logarithmic: (false, false),
        joined: true,
    },
    Look {
        id: "memory",
        title: "Resident memory",
        x: "sources that asked, or servers found",
        y: "MB",
        logarithmic: (true, false),
        joined: false,
    },
    Look {
        id: "sweep",
        title: "Time of a sweep, by the number of addresses",
        x: "addresses",
        y: "ms",
        logarithmic: (true, true),
        joined: false,
    },
];

fn look(id: &str) -> Result<&'static Look, Failure> {
    let look = LOOKS.iter().find(|look| look.id == id);
    look.ok_or_else(|| format!("unknown chart {id}").into())
}

/// The title, for those who can't see the chart.
pub(crate) fn title(id: &str) -> Result<&'static str, Failure> {
    Ok(look(id)?.title)
}

/// A chart of these lines, or `None` if there are no points.
pub(crate) fn draw(id: &str, lines: &[&Line]) -> Result<Option<String>, Failure> {
    let look = look(id)?;
    let lines: Vec<&Line> = lines
        .iter()
        .copied()
        .filter(|it| !it.points.is_empty())
        .collect();
    if lines.is_empty() {
        return Ok(None);
    }
    let mut svg = String::new();
    let size = match id {
        "throughput" => (SIZE.0, BAR * u32::try_from(lines.len())? + 110),
        _ => SIZE,
    };
    let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
    area.fill(&WHITE)?;
    if id == "throughput" {
        draw_bars(look, &lines, &area)?;
    } else {
        draw_lines(look, &lines, &area)?;
    }
    area.present()?;
    drop(area);
    Ok(Some(svg))
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// A bar for each contestant, to its median, and a line between its quartiles.
fn draw_bars(look: &Look, lines: &[&Line], area: &Area<'_>) -> Result<(), Failure> {
    let summary = |line: &Line| {
        let values: Vec<f64> = line.points.iter().map(|[_, value]| *value).collect();
        Summary::of(&values).expect("it has points")
    };
    let most = lines
        .iter()
        .map(|line| summary(line).high)
        .fold(1.0, f64::max);
    let count = float(lines.len());
    let mut chart = ChartBuilder::on(area)
        .caption(look.title, ("sans-serif", 16))
        .margin(12)
        .margin_right(40)
        .margin_left(290)
        .x_label_area_size(40)
        .build_cartesian_2d(0.0..1.1 * most, 0.0..count)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .light_line_style(TRANSPARENT)
        .x_desc(look.x)
        .x_label_formatter(&|value| pretty_print_float(*value, false))
        .label_style(FONT)
        .draw()?;
    for (at, line) in lines.iter().enumerate() {
        let (bottom, it) = (count - 1.0 - float(at), summary(line));
        let colour = COLOURS[usize::from(!line.name.starts_with("this project"))];
        let bar = [(0.0, bottom + 0.2), (it.median, bottom + 0.8)];
        let spread = [(it.low, bottom + 0.5), (it.high, bottom + 0.5)];
        chart.draw_series([Rectangle::new(bar, colour.mix(0.8).filled())])?;
        chart.draw_series([PathElement::new(spread, BLACK.stroke_width(2))])?;
        let (_, y) = chart.backend_coord(&(0.0, bottom + 0.5));
        area.draw_text(&line.name, &FONT.into_font().color(&BLACK), (10, y - 7))?;
    }
    Ok(())
}

/// A line for each series, and its name beside it.
fn draw_lines(look: &Look, lines: &[&Line], area: &Area<'_>) -> Result<(), Failure> {
    let points = || lines.iter().flat_map(|line| &line.points);
    let place = |value: f64, logarithmic: bool| {
        if logarithmic {
            value.max(0.1).log10()
        } else {
            value
        }
    };
    let at = |[x, y]: [f64; 2]| (place(x, look.logarithmic.0), place(y, look.logarithmic.1));
    let range = |values: &mut dyn Iterator<Item = f64>, logarithmic: bool| {
        let (low, high) = values.fold((f64::MAX, f64::MIN), |(low, high), it| {
            (low.min(it), high.max(it))
        });
        if logarithmic {
            low.floor()..high.ceil()
        } else {
            0.0..1.05 * high
        }
    };
    let x = range(&mut points().map(|it| at(*it).0), look.logarithmic.0);
    let y = range(&mut points().map(|it| at(*it).1), look.logarithmic.1);
    let mut chart = ChartBuilder::on(area)
        .caption(look.title, ("sans-serif", 16))
        .margin(12)
        .margin_right(230)
        .x_label_area_size(44)
        .y_label_area_size(70)
        .build_cartesian_2d(x, y)?;
    let label = |value: &f64, logarithmic: bool| {
        let value = if logarithmic {
            10_f64.powf(*value)
        } else {
            *value
        };
        pretty_print_float(value, false)
    };
    let ticks = |range: std::ops::Range<f64>, logarithmic: bool| {
        // One for each power of ten.
        let powers = (0..20).filter(|power| range.contains(&f64::from(*power)));
        if logarithmic { powers.count() + 1 } else { 8 }
    };
    let (x_ticks, y_ticks) = (
        ticks(chart.x_range(), look.logarithmic.0),
        ticks(chart.y_range(), look.logarithmic.1),
    );
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_desc(look.x)
        .y_desc(look.y)
        .x_labels(x_ticks)
        .y_labels(y_ticks)
        .x_label_formatter(&|value| label(value, look.logarithmic.0))
        .y_label_formatter(&|value| label(value, look.logarithmic.1))
        .label_style(FONT)
        .draw()?;
    for (number, (line, colour)) in lines.iter().zip(COLOURS).enumerate() {
        let medians = if look.joined {
            line.points.clone()
        } else {
            medians(&line.points)
        };
        chart.draw_series(LineSeries::new(
            medians.into_iter().map(at),
            colour.stroke_width(2),
        ))?;
        if !look.joined {
            let dots = line
                .points
                .iter()
                .map(|it| Circle::new(at(*it), 2, colour.filled()));
            chart.draw_series(dots)?;
        }
        let font = FONT.into_font().color(&colour);
        let place = (655, 50 + 20 * i32::try_from(number)?);
        area.draw_text(&line.name, &font, place)?;
    }
    Ok(())
}

/// The median of the values at each x, by x.
fn medians(points: &[[f64; 2]]) -> Vec<[f64; 2]> {
    let mut sorted = points.to_vec();
    sorted.sort_by(|a, b| a[0].total_cmp(&b[0]));
    let groups = sorted.chunk_by(|a, b| a[0].total_cmp(&b[0]).is_eq());
    let median = |group: &[[f64; 2]]| {
        let values: Vec<f64> = group.iter().map(|[_, value]| *value).collect();
        [
            group[0][0],
            Summary::of(&values).expect("a group has values").median,
        ]
    };
    groups.map(median).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_chart_has_its_title_and_the_names_of_its_lines() {
        for look in &LOOKS {
            let points = vec![[1.0, 2.0], [10.0, 30.0], [10.0, 40.0]];
            let line = Line::new("group/name", look.id, "a name", points);
            let svg = draw(look.id, &[&line]).unwrap().unwrap();
            assert!(svg.contains(look.title) && svg.contains("a name"), "{svg}");
            assert_eq!(draw(look.id, &[]).unwrap(), None);
        }
    }

    #[test]
    fn a_line_goes_through_the_medians() {
        let points = [[10.0, 3.0], [1.0, 7.0], [10.0, 1.0], [10.0, 2.0]];
        assert_eq!(medians(&points), [[1.0, 7.0], [10.0, 2.0]]);
    }
}
