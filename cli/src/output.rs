//! The servers found, on standard output.

use std::io::{self, IsTerminal as _, Write};
use std::mem;

use clap::ValueEnum;
use terminal_size::terminal_size;
use udp_discovery_client::DiscoveredServer;

use crate::table::table;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people, at the end
    Table,
    /// One object a line, as each answer comes; with details at the end
    Json,
    /// `ip` or `ip:port` a line, as each answer comes; with details at the end
    Plain,
}

/// Prints servers in a format, as each answers or all at the end.
#[derive(Debug)]
pub(crate) struct Output<W> {
    format: Format,
    /// Whether servers have details, which may come after their first answers.
    with_details: bool,
    out: W,
    /// How wide the table may be: the width of the terminal, if there is one.
    width: Option<usize>,
    /// The servers to print at the end.
    servers: Vec<DiscoveredServer>,
}

impl<W: Write> Output<W> {
    pub(crate) fn new(format: Format, with_details: bool, out: W) -> Self {
        Self {
            format,
            with_details,
            out,
            width: terminal_width(),
            servers: Vec::new(),
        }
    }

    /// Prints `server` at once, unless it is printed at the end.
    pub(crate) fn add(&mut self, server: DiscoveredServer) -> io::Result<()> {
        if self.format == Format::Table || self.with_details {
            self.servers.push(server);
            return Ok(());
        }
        self.print(&server)?;
        self.out.flush()
    }

    /// Prints the rest. What was found is complete in `servers`, unless the search was interrupted.
    pub(crate) fn finish(&mut self, servers: Option<Vec<DiscoveredServer>>) -> io::Result<()> {
        if self.with_details
            && let Some(servers) = servers
        {
            self.servers = servers;
        }
        let mut servers = mem::take(&mut self.servers);
        if self.format != Format::Table {
            servers.iter().try_for_each(|server| self.print(server))?;
        } else if !servers.is_empty() {
            servers.sort_by_key(|server| (server.ip, server.port));
            let table = table(&servers, self.width);
            writeln!(self.out, "{table}")?;
        }
        self.out.flush()
    }

    /// Prints a line.
    fn print(&mut self, server: &DiscoveredServer) -> io::Result<()> {
        match self.format {
            Format::Json => writeln!(self.out, "{}", serde_json::to_string(server)?),
            Format::Plain | Format::Table => writeln!(self.out, "{server}"),
        }
    }
}

/// The width of the terminal that standard output is, if it is one.
pub(crate) fn terminal_width() -> Option<usize> {
    let (width, _) = terminal_size().filter(|_| io::stdout().is_terminal())?;
    Some(width.0.into())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use udp_discovery_client::{Config, Discovery, Host};
    use udp_discovery_protocol::{Details, Interface, InterfaceAddress, RunId, ServerId};
    use unicode_width::UnicodeWidthStr as _;

    use super::*;

    /// What a client on 192.168.1.2 makes of these answers, each a millisecond after its probe.
    fn found(answers: &[(&str, &str)]) -> Vec<DiscoveredServer> {
        let mut eth0 = Interface::new("eth0", 2);
        eth0.flags.up = true;
        eth0.flags.broadcast = true;
        let address = InterfaceAddress::new("192.168.1.2".parse().unwrap(), 24).unwrap();
        eth0.addresses.push(address);
        let start = Instant::now();
        let mut discovery =
            Discovery::new(start, &Config::default(), &Host::new([eth0]), [0; 15]).unwrap();
        while discovery.poll_transmit(start).is_some() {}
        let now = start + Duration::from_micros(1234);
        for (source, answer) in answers {
            discovery.handle_datagram(now, 0, source.parse().unwrap(), answer.as_bytes());
        }
        std::iter::from_fn(|| discovery.poll_event()).collect()
    }

    fn servers() -> Vec<DiscoveredServer> {
        found(&[
            ("192.168.1.20:9999", "SERVER_IP:192.168.1.20"),
            ("192.168.1.7:9999", "SERVER_IP:172.17.0.1: 8000\n"),
            ("192.168.1.8:9999", "SERVER_IP:[2001:db8::8]:443"),
        ])
    }

    fn printed(format: Format) -> (String, String) {
        let mut output = Output::new(format, false, Vec::new());
        output.width = None;
        for server in servers() {
            output.add(server).unwrap();
        }
        let before = String::from_utf8(output.out.clone()).unwrap();
        output.finish(None).unwrap();
        (before, String::from_utf8(output.out).unwrap())
    }

    #[test]
    fn a_table_is_printed_at_the_end_sorted_by_address() {
        let (before, text) = printed(Format::Table);
        assert_eq!(before, "");
        let rows: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(
            rows,
            [
                vec!["Address", "Port", "URL", "Interface", "Round", "trip"],
                vec![
                    "192.168.1.7",
                    "8000",
                    "http://192.168.1.7:8000",
                    "eth0",
                    "1.23",
                    "ms"
                ],
                vec![
                    "192.168.1.8",
                    "443",
                    "http://192.168.1.8:443",
                    "eth0",
                    "1.23",
                    "ms"
                ],
                vec!["192.168.1.20", "-", "-", "eth0", "1.23", "ms"],
            ]
        );
    }

    #[test]
    fn a_table_that_is_too_wide_loses_the_url_then_the_round_trip() {
        let header = |width| {
            let text = table(&servers(), Some(width));
            assert!(text.lines().all(|line| line.len() <= width), "{text}");
            let header = text.lines().next().unwrap();
            header.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(header(80), "Address Port URL Interface Round trip");
        assert_eq!(header(60), "Address Port Interface Round trip");
        assert_eq!(header(40), "Address Port Interface");
        // Narrower than that there is nothing left to lose.
        let text = table(&servers(), Some(10));
        assert!(text.starts_with("Address"), "{text}");
    }

    /// Servers with details: the first has two addresses and signs, the others have long and strange
    /// names.
    fn servers_with_details() -> Vec<DiscoveredServer> {
        let details = |id, name: &str| {
            let details = Details::new(ServerId::new([id; 32]), RunId::new([1; 8]));
            details.with_name(name).unwrap()
        };
        let server = |host, details: &Details, verified| {
            let server = DiscoveredServer::new([192, 168, 1, host], 8000).with_interface("eth0");
            server.with_details(details, verified)
        };
        let mut first = server(7, &details(7, "printer"), true);
        first
            .endpoints
            .extend(server(17, &details(7, "printer"), true).endpoints);
        let strange = server(8, &details(8, "\u{2713} \u{202e}fdp"), false);
        let long = server(9, &details(9, &"打印机".repeat(7)), false);
        vec![first, strange, long]
    }

    #[test]
    fn a_table_with_details_has_names_marks_and_a_row_for_each_endpoint() {
        let servers = servers_with_details();
        let text = table(&servers[..2], Some(80));
        let rows: Vec<&str> = text.lines().collect();
        assert_eq!(
            rows,
            [
                "✓  Name           Address       Port  Interface  Round trip",
                "✓  printer        192.168.1.7   8000  eth0          0.00 ms",
                "                  192.168.1.17  8000  eth0          0.00 ms",
                "-  ✓ \\u{202e}fdp  192.168.1.8   8000  eth0          0.00 ms",
            ]
        );
    }

    #[test]
    fn a_table_with_details_that_is_too_wide_loses_columns_then_the_ends_of_names() {
        let servers = servers_with_details();
        for (width, header) in [
            (120, "✓ Name Address Port URL Interface Round trip"),
            (90, "✓ Name Address Port Interface Round trip"),
            (80, "✓ Name Address Port Interface"),
            (70, "✓ Name Address Port"),
            (40, "✓ Name Address Port"),
        ] {
            let text = table(&servers, Some(width));
            let lines: Vec<&str> = text.lines().collect();
            assert!(lines.iter().all(|line| line.width() <= width), "{text}");
            let words: Vec<&str> = lines[0].split_whitespace().collect();
            assert_eq!(words.join(" "), header);
            assert_eq!(text.contains('…'), width == 40, "{text}");
        }
    }

    #[test]
    fn with_details_everything_is_printed_at_the_end_as_it_is_then() {
        let complete = servers_with_details();
        for format in [Format::Json, Format::Plain] {
            let mut output = Output::new(format, true, Vec::new());
            output
                .add(DiscoveredServer::new([192, 168, 1, 7], 8000))
                .unwrap();
            assert!(output.out.is_empty());
            output.finish(Some(complete.clone())).unwrap();
            let text = String::from_utf8(output.out).unwrap();
            assert_eq!(text.lines().count(), 3, "{text}");
            assert_eq!(
                text.contains(r#""endpoints":[{"ip":"#),
                format == Format::Json
            );
        }
        // An interrupted search has what was found so far.
        let mut output = Output::new(Format::Plain, true, Vec::new());
        output.add(complete[0].clone()).unwrap();
        output.finish(None).unwrap();
        assert_eq!(output.out, b"192.168.1.7:8000\n");
    }

    #[test]
    fn plain_is_an_address_a_line_at_once() {
        let (before, text) = printed(Format::Plain);
        assert_eq!(before, text);
        assert_eq!(text, "192.168.1.20\n192.168.1.7:8000\n192.168.1.8:443\n");
    }

    #[test]
    fn json_is_an_object_a_line_at_once() {
        let (before, text) = printed(Format::Json);
        assert_eq!(before, text);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[0],
            r#"{"ip":"192.168.1.20","port":null,"claimed_ip":"192.168.1.20","source":"192.168.1.20:9999","interface":"eth0","rtt_ms":1.234,"raw":"SERVER_IP:192.168.1.20","origin":"answer","id":null,"run":null,"name":null,"properties":{},"verified":false,"endpoints":[]}"#
        );
        assert_eq!(
            lines[1],
            r#"{"ip":"192.168.1.7","port":8000,"claimed_ip":"172.17.0.1","source":"192.168.1.7:9999","interface":"eth0","rtt_ms":1.234,"raw":"SERVER_IP:172.17.0.1: 8000\n","origin":"answer","id":null,"run":null,"name":null,"properties":{},"verified":false,"endpoints":[]}"#
        );
    }

    #[test]
    fn an_error_of_the_output_is_returned() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        for format in [Format::Json, Format::Plain, Format::Table] {
            let mut output = Output::new(format, false, Closed);
            let server = servers().remove(0);
            let result = output.add(server).and_then(|()| output.finish(None));
            assert_eq!(result.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        }
    }
}
