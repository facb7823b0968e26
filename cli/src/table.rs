//! Servers as a table for people.

use comfy_table::{CellAlignment, Table, presets};
use udp_discovery_client::DiscoveredServer;

/// Stands where a server names nothing.
const NONE: &str = "-";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Column {
    Address,
    Port,
    Url,
    Interface,
    RoundTrip,
}

use Column::{Address, Interface, Port, RoundTrip, Url};

/// What a table may have, from the widest to the narrowest.
const LAYOUTS: [&[Column]; 3] = [
    &[Address, Port, Url, Interface, RoundTrip],
    &[Address, Port, Interface, RoundTrip],
    &[Address, Port, Interface],
];

/// The table that fits into `width` columns of a terminal, or the narrowest.
pub(crate) fn table(servers: &[DiscoveredServer], width: Option<usize>) -> String {
    let fits = |text: &str| {
        let widest = text.lines().map(|line| line.chars().count()).max();
        width.is_none_or(|width| widest <= Some(width))
    };
    let tables = LAYOUTS.map(|columns| with_columns(servers, columns));
    let narrowest = tables.last().cloned().unwrap_or_default();
    tables
        .into_iter()
        .find(|text| fits(text))
        .unwrap_or(narrowest)
}

fn with_columns(servers: &[DiscoveredServer], columns: &[Column]) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_header(columns.iter().map(|column| column.title()))
        .add_rows(
            servers
                .iter()
                .map(|server| columns.iter().map(|column| column.cell(server))),
        );
    for (column, of) in table.column_iter_mut().zip(columns) {
        column.set_padding((0, 2));
        if matches!(of, Port | RoundTrip) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt()
}

impl Column {
    fn title(self) -> &'static str {
        match self {
            Address => "Address",
            Port => "Port",
            Url => "URL",
            Interface => "Interface",
            RoundTrip => "Round trip",
        }
    }

    fn cell(self, server: &DiscoveredServer) -> String {
        let if_port = |text: String| server.port.map_or(NONE.into(), |_| text);
        match self {
            Address => server.ip_text(),
            Port => server.port.map_or(NONE.into(), |port| port.to_string()),
            Url => if_port(server.url("http").to_string()),
            Interface => server.interface.clone(),
            RoundTrip => format!("{:.2} ms", server.rtt.as_secs_f64() * 1e3),
        }
    }
}
