//! Servers as a table for people.

use std::net::SocketAddr;

use comfy_table::{CellAlignment, Table, presets};
use udp_discovery_client::DiscoveredServer;

/// Stands where a server told nothing.
const NONE: &str = "-";

pub(super) fn table(servers: &[DiscoveredServer]) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_header(["Address", "Port", "URL", "Interface", "Round trip"])
        .add_rows(servers.iter().map(row));
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    for number in [1, 4] {
        if let Some(column) = table.column_mut(number) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt()
}

fn row(server: &DiscoveredServer) -> [String; 5] {
    let port = server.port.map(|port| port.to_string());
    let url = server
        .port
        .map(|port| format!("http://{}", SocketAddr::new(server.ip, port.get())));
    [
        server.ip.to_string(),
        port.unwrap_or_else(|| NONE.into()),
        url.unwrap_or_else(|| NONE.into()),
        server.interface.clone(),
        format!("{:.2} ms", server.rtt.as_secs_f64() * 1e3),
    ]
}
