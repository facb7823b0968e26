//! Servers as a table for people.

use std::borrow::Cow;

use comfy_table::{CellAlignment, Table, presets};
use udp_discovery_client::{DiscoveredServer, Endpoint};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::escape::escaped;

/// Stands where a server names nothing.
const NONE: &str = "-";

/// Stands before a server that proved its id with a signature. It has a column of its own, so that no
/// name can look like it.
const VERIFIED: &str = "✓";

/// How much of a name is left at least.
const SHORTEST_NAME: usize = 8;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Column {
    Verified,
    Name,
    Address,
    Port,
    Url,
    Interface,
    RoundTrip,
}

use Column::{Address, Interface, Name, Port, RoundTrip, Url, Verified};

/// What a table may have, from the widest to the narrowest.
const LAYOUTS: [&[Column]; 3] = [
    &[Address, Port, Url, Interface, RoundTrip],
    &[Address, Port, Interface, RoundTrip],
    &[Address, Port, Interface],
];

/// The same with details.
const LAYOUTS_WITH_DETAILS: [&[Column]; 4] = [
    &[Verified, Name, Address, Port, Url, Interface, RoundTrip],
    &[Verified, Name, Address, Port, Interface, RoundTrip],
    &[Verified, Name, Address, Port, Interface],
    &[Verified, Name, Address, Port],
];

/// An endpoint of a server.
struct Row<'a> {
    server: Cow<'a, DiscoveredServer>,
    /// Whether it is the first one, which has the name.
    is_first: bool,
}

/// The table that fits into `width` columns of a terminal, or the narrowest. If a server has details, it has
/// names, and a row for each endpoint.
pub(crate) fn table(servers: &[DiscoveredServer], width: Option<usize>) -> String {
    let rows: Vec<Row<'_>> = servers.iter().flat_map(rows).collect();
    let layouts: &[&[Column]] = if servers
        .iter()
        .any(|server| server.name.is_some() || server.id.is_some())
    {
        &LAYOUTS_WITH_DETAILS
    } else {
        &LAYOUTS
    };
    let mut narrowest = String::new();
    for columns in layouts {
        narrowest = with_columns(&rows, columns, usize::MAX);
        if width.is_none_or(|width| widest_line(&narrowest) <= width) {
            return narrowest;
        }
    }
    let excess = widest_line(&narrowest) - width.unwrap_or_default();
    let longest = rows.iter().map(|row| Name.cell(row).width()).max();
    let shorter = longest.unwrap_or_default().saturating_sub(excess);
    let columns = layouts.last().expect("there are layouts");
    with_columns(&rows, columns, shorter.max(SHORTEST_NAME))
}

/// The endpoints of a server. One without details has one.
fn rows(server: &DiscoveredServer) -> impl Iterator<Item = Row<'_>> {
    let first = Row {
        server: Cow::Borrowed(server),
        is_first: true,
    };
    let others = server.endpoints.iter().skip(1);
    let others = others.map(move |endpoint| Row {
        server: Cow::Owned(at(server, endpoint)),
        is_first: false,
    });
    [first].into_iter().chain(others)
}

/// The server as it is at `endpoint`.
fn at(server: &DiscoveredServer, endpoint: &Endpoint) -> DiscoveredServer {
    let mut server = server.clone();
    server.ip = endpoint.ip;
    server.scope_id = endpoint.scope_id;
    server.port = endpoint.port;
    server.interface.clone_from(&endpoint.interface);
    server.rtt = endpoint.rtt;
    server
}

fn widest_line(text: &str) -> usize {
    text.lines().map(str::width).max().unwrap_or(0)
}

fn with_columns(rows: &[Row<'_>], columns: &[Column], longest_name: usize) -> String {
    let cell = |row: &Row<'_>, column: Column| match column {
        Name => shortened(column.cell(row), longest_name),
        _ => column.cell(row),
    };
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_header(columns.iter().map(|column| column.title()))
        .add_rows(
            rows.iter()
                .map(|row| columns.iter().map(move |column| cell(row, *column))),
        );
    for (column, of) in table.column_iter_mut().zip(columns) {
        column.set_padding((0, 2));
        if matches!(of, Port | RoundTrip) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt()
}

/// The beginning of a text, with `…` if something is missing.
fn shortened(text: String, longest: usize) -> String {
    if text.width() <= longest {
        return text;
    }
    let mut width = 1;
    let fits = |it: &char| {
        width += it.width().unwrap_or(0);
        width <= longest
    };
    text.chars().take_while(fits).chain(['…']).collect()
}

impl Column {
    fn title(self) -> &'static str {
        match self {
            Verified => VERIFIED,
            Name => "Name",
            Address => "Address",
            Port => "Port",
            Url => "URL",
            Interface => "Interface",
            RoundTrip => "Round trip",
        }
    }

    fn cell(self, row: &Row<'_>) -> String {
        let server = &*row.server;
        let if_port = |text: String| server.port.map_or(NONE.into(), |_| text);
        match self {
            Verified | Name if !row.is_first => String::new(),
            Verified if server.verified => VERIFIED.into(),
            Verified => NONE.into(),
            Name => server.name.as_deref().map_or(NONE.into(), escaped),
            Address => server.ip_text(),
            Port => server.port.map_or(NONE.into(), |port| port.to_string()),
            Url => if_port(server.url("http").to_string()),
            Interface if server.interface.is_empty() => NONE.into(),
            Interface => server.interface.clone(),
            RoundTrip => server.rtt.map_or(NONE.into(), |rtt| {
                format!("{:.2} ms", rtt.as_secs_f64() * 1e3)
            }),
        }
    }
}
