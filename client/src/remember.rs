//! The file of the addresses that answered ([`Config::remember`]).

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use udp_discovery_protocol::HostIp;

use crate::config::Config;
use crate::discovery::{Discovery, MAX_REMEMBERED};

/// The first line, with the name of the format.
const FORMAT: &str = "# udp-discovery addresses 1";

/// How many bytes are read. A file of the most addresses has a quarter of it.
const MAX_BYTES: u64 = 1 << 20;

/// The file, and what it had at the start of a search.
#[derive(Debug)]
pub(crate) struct Memory {
    file: PathBuf,
    addresses: Vec<SocketAddr>,
    /// How often the search asks an address that does not answer, until it is forgotten.
    probes: u32,
    /// Why it was not read, or not as a whole.
    error: Option<Arc<io::Error>>,
    /// Whether the file may be replaced: it is missing or has the format.
    is_ours: bool,
}

impl Memory {
    /// Reads the file of a configuration that has one.
    pub(crate) fn of(config: &Config) -> Option<Self> {
        let file = config.remember()?;
        let mut memory = Self {
            file: file.to_owned(),
            addresses: Vec::new(),
            probes: config.probes().get().into(),
            error: None,
            is_ours: true,
        };
        match read(file) {
            Ok(Some(bytes)) => memory.parse(&bytes),
            Ok(None) => {}
            Err(error) => {
                memory.is_ours = false;
                memory.error = Some(Arc::new(error));
            }
        }
        Some(memory)
    }

    /// What an earlier search remembered.
    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Reports what was read.
    pub(crate) fn report(&self, discovery: &mut Discovery) {
        if let Some(report) = discovery.remembered_mut() {
            report.addresses = u32::try_from(self.addresses.len()).unwrap_or(u32::MAX);
            report.error.clone_from(&self.error);
        }
    }

    /// Remembers what answered, if anything did. Reports an error.
    pub(crate) fn save(&self, discovery: &mut Discovery) {
        if discovery.answered().is_empty() || !self.is_ours {
            return;
        }
        if let Err(error) = replace(&self.file, &self.after(discovery))
            && let Some(report) = discovery.remembered_mut()
        {
            report.error = Some(Arc::new(error));
        }
    }

    /// The text of the file after a search.
    fn after(&self, discovery: &Discovery) -> String {
        let answered = discovery.answered();
        let distinct: HashSet<&SocketAddr> = answered.iter().collect();
        let keep =
            |it: &&SocketAddr| !distinct.contains(it) && discovery.times_asked(**it) < self.probes;
        let silent = self.addresses.iter().filter(keep);
        let addresses = answered.iter().chain(silent).take(MAX_REMEMBERED);
        addresses.fold(format!("{FORMAT}\n"), |text, it| format!("{text}{it}\n"))
    }

    /// Takes the lines that are whole.
    fn parse(&mut self, bytes: &[u8]) {
        // An empty file has nothing to lose.
        let Some(rest) = bytes.strip_prefix(FORMAT.as_bytes()) else {
            self.is_ours = bytes.is_empty();
            if !self.is_ours {
                self.fail("it does not begin with the name of the format");
            }
            return;
        };
        let Some(last) = rest.iter().rposition(|byte| *byte == b'\n') else {
            self.fail("a line is cut off");
            return;
        };
        if last + 1 < rest.len() {
            self.fail("a line is cut off");
        }
        let mut distinct = HashSet::new();
        for line in rest[..last].split(|byte| *byte == b'\n') {
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            match address(line) {
                Some(address) if self.addresses.len() < MAX_REMEMBERED => {
                    if distinct.insert(address) {
                        self.addresses.push(address);
                    }
                }
                Some(_) => break,
                None => self.fail("a line is not an address and a port"),
            }
        }
        if bytes.len() as u64 > MAX_BYTES {
            self.fail("it is larger than 1 MiB");
        }
    }

    fn fail(&mut self, reason: &'static str) {
        let error = io::Error::new(io::ErrorKind::InvalidData, reason);
        self.error = Some(Arc::new(error));
    }
}

/// The content, at most one byte more than [`MAX_BYTES`]. `None` if there is no file.
fn read(file: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::metadata(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        // Opening a pipe would wait for its other end.
        Ok(metadata) if !metadata.is_file() => {
            let reason = "it is not a regular file";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        }
        other => other?,
    };
    let mut bytes = Vec::new();
    File::open(file)?
        .take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// An address that can be asked by unicast on any link.
fn address(line: &[u8]) -> Option<SocketAddr> {
    let address: SocketAddr = str::from_utf8(line).ok()?.parse().ok()?;
    let link_local = matches!(address.ip(), IpAddr::V6(ip) if ip.is_unicast_link_local());
    let is_plain = !link_local && address.port() != 0 && HostIp::new(address.ip()).is_ok();
    is_plain.then(|| SocketAddr::new(address.ip(), address.port()))
}

/// Replaces the file as a whole: writes another one beside it and renames that.
fn replace(file: &Path, text: &str) -> io::Result<()> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let name = file.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut other = std::ffi::OsString::from(".");
    other.push(name);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    other.push(format!(".{}-{number}.tmp", process::id()));
    let other = file.with_file_name(other);
    let mut created = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&other)?;
    let written = created
        .write_all(text.as_bytes())
        .and_then(|()| created.sync_data());
    drop(created);
    written
        .and_then(|()| fs::rename(&other, file))
        .inspect_err(|_| {
            // Nothing more can be done about it.
            let _ = fs::remove_file(&other);
        })
}
