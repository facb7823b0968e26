//! The file of the servers that are known by name ([`Config::known_servers`]).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use udp_discovery_protocol::ServerId;

use crate::config::Config;
use crate::discovery::Discovery;
use crate::error::DiscoverError;
use crate::file::{self, MAX_BYTES};

/// The first line, with the name of the format.
const FORMAT: &str = "# udp-discovery known servers 1";

/// How many servers a file has at most.
const MAX_KNOWN: usize = 4096;

/// The file, and the servers that it had at the start of a search.
#[derive(Debug)]
pub(crate) struct KnownServers {
    file: PathBuf,
    servers: Vec<(String, ServerId)>,
}

impl KnownServers {
    /// Reads the file of a configuration that has one.
    pub(crate) fn of(config: &Config) -> Result<Option<Self>, DiscoverError> {
        let Some(file) = config.known_servers() else {
            return Ok(None);
        };
        let text = read(file).map_err(|error| failure(file, error))?;
        let servers = parse(&text).map_err(|error| failure(file, error))?;
        Ok(Some(Self {
            file: file.to_owned(),
            servers,
        }))
    }

    /// Names and ids.
    pub(crate) fn servers(&self) -> &[(String, ServerId)] {
        &self.servers
    }

    /// Adds the verified servers with new names, if there are any.
    pub(crate) fn save(&self, discovery: &Discovery) -> Result<(), DiscoverError> {
        let named = discovery.servers().filter(|server| server.verified);
        let named = named.filter_map(|server| Some((server.name.as_deref()?, server.id?)));
        let is_new = |name| self.servers.iter().all(|(known, _)| known != name);
        let new: Vec<(&str, ServerId)> = named.filter(|(name, _)| is_new(*name)).collect();
        if new.is_empty() {
            return Ok(());
        }
        self.add(&new).map_err(|error| failure(&self.file, error))
    }

    /// Adds servers to what the file has by now, because another search may have added some.
    fn add(&self, new: &[(&str, ServerId)]) -> io::Result<()> {
        let mut text = read(&self.file)?;
        let known = parse(&text)?;
        let is_new = |name: &str| known.iter().all(|(known, _)| known != name);
        let room = MAX_KNOWN.saturating_sub(known.len());
        for (name, id) in new.iter().filter(|(name, _)| is_new(name)).take(room) {
            text.extend([&id.to_string(), " ", *name, "\n"]);
        }
        file::replace(&self.file, &text)
    }
}

/// The text of a file. That of a missing one is the first line.
fn read(file: &Path) -> io::Result<String> {
    let Some(bytes) = file::read(file)? else {
        return Ok(format!("{FORMAT}\n"));
    };
    if bytes.len() as u64 > MAX_BYTES {
        return Err(damaged("it is larger than 1 MiB"));
    }
    String::from_utf8(bytes).map_err(|_| damaged("it is not UTF-8"))
}

fn parse(text: &str) -> io::Result<Vec<(String, ServerId)>> {
    let mut lines = text.lines();
    if lines.next() != Some(FORMAT) {
        return Err(damaged("it does not begin with the name of the format"));
    }
    if !text.ends_with('\n') {
        return Err(damaged("a line is cut off"));
    }
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let servers: Option<Vec<_>> = lines.map(server).collect();
    let servers = servers.ok_or_else(|| damaged("a line is not an id, a space and a name"))?;
    if servers.len() > MAX_KNOWN {
        return Err(damaged("it has more than 4,096 servers"));
    }
    Ok(servers)
}

fn server(line: &str) -> Option<(String, ServerId)> {
    let (id, name) = line.split_once(' ')?;
    Some((name.to_owned(), id.parse().ok()?))
}

fn damaged(reason: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

fn failure(file: &Path, error: io::Error) -> DiscoverError {
    DiscoverError::KnownServers {
        file: file.to_owned(),
        source: Arc::new(error),
    }
}
