//! The file of addresses that answered, which the next search asks first.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicUsize, Ordering};

use udp_discovery_protocol::HostIp;

use crate::report::needs_scope;

/// How many addresses are kept.
const MAX_ADDRESSES: usize = 4096;

/// How much is read of a file, in bytes. The longest address and its line end have 48 bytes.
const MAX_LEN: u64 = 1 << 18;

/// The first line of a file, after which there is an address and a port in each line.
const HEADER: &str = "# udp-discovery: addresses that answered, version 1";

/// Reads a file. One that does not exist is empty.
///
/// A line that is not an address is an error, with the addresses before it.
pub(crate) fn read(path: &Path) -> (Vec<SocketAddr>, Option<io::Error>) {
    match read_text(path) {
        Ok(text) => parse(&text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => (Vec::new(), None),
        Err(error) => (Vec::new(), Some(error)),
    }
}

fn read_text(path: &Path) -> io::Result<String> {
    // Opening a pipe would block.
    if !fs::metadata(path)?.is_file() {
        let text = "it is not a regular file";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    let mut text = String::new();
    let len = File::open(path)?
        .take(MAX_LEN + 1)
        .read_to_string(&mut text)?;
    if len as u64 > MAX_LEN {
        let text = "it is longer than 256 KiB";
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    Ok(text)
}

fn parse(text: &str) -> (Vec<SocketAddr>, Option<io::Error>) {
    let mut addresses = Vec::new();
    if text.lines().next() != Some(HEADER) {
        let text = "it is not a file of addresses that answered";
        return (
            addresses,
            Some(io::Error::new(io::ErrorKind::InvalidData, text)),
        );
    }
    for (number, line) in text.lines().enumerate().skip(1) {
        match line.parse().ok().filter(can_be_asked) {
            Some(address) if addresses.len() < MAX_ADDRESSES => addresses.push(address),
            Some(_) => break,
            None => {
                let text = format!("line {} is not an address and a port", number + 1);
                let error = io::Error::new(io::ErrorKind::InvalidData, text);
                return (addresses, Some(error));
            }
        }
    }
    (addresses, None)
}

/// Replaces a file as a whole: other readers see the old one or the new one.
pub(crate) fn write(path: &Path, addresses: &[SocketAddr]) -> io::Result<()> {
    let mut text = format!("{HEADER}\n");
    let addresses = addresses.iter().filter(|it| can_be_asked(it));
    for address in addresses.take(MAX_ADDRESSES) {
        text.push_str(&address.to_string());
        text.push('\n');
    }
    let new = beside(path)?;
    let written = write_new(&new, &text).and_then(|()| fs::rename(&new, path));
    if written.is_err() {
        // It may not exist.
        let _ = fs::remove_file(&new);
    }
    written
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// The name of a new file in the same folder, which no other search uses.
fn beside(path: &Path) -> io::Result<PathBuf> {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut new = name.to_owned();
    new.push(format!(".{}-{number}.new", process::id()));
    Ok(path.with_file_name(new))
}

/// Whether an address can be asked by unicast without naming an interface.
fn can_be_asked(address: &SocketAddr) -> bool {
    let needs_scope = matches!(address, SocketAddr::V6(it) if needs_scope(*it.ip()));
    HostIp::new(address.ip()).is_ok() && address.port() != 0 && !needs_scope
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// A folder of its own, removed at the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("remember-{name}-{}", process::id()));
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn file(&self) -> PathBuf {
            self.0.join("known")
        }

        /// The names of its files.
        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(&self.0).unwrap();
            let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name();
            entries.map(|it| name(it).into_string().unwrap()).collect()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = Folder::new("round-trip");
        assert!(matches!(read(&folder.file()), (none, None) if none.is_empty()));
        let known = addresses(&["10.15.0.7:9999", "[fd00::7]:80"]);
        write(&folder.file(), &known).unwrap();
        let other = addresses(&["10.15.0.8:9999"]);
        assert!(matches!(read(&folder.file()), (read, None) if read == known));
        write(&folder.file(), &other).unwrap();
        assert!(matches!(read(&folder.file()), (read, None) if read == other));
        assert_eq!(folder.names(), ["known"]);
    }

    #[test]
    fn an_address_that_needs_an_interface_is_not_kept() {
        let folder = Folder::new("scope");
        let known = addresses(&["[fe80::7%3]:9999", "10.15.0.7:9999"]);
        write(&folder.file(), &known).unwrap();
        assert!(matches!(read(&folder.file()), (read, None) if read == known[1..]));
    }

    #[test]
    fn fault_48_a_broken_file_is_an_error_with_what_can_be_read() {
        let header = HEADER;
        let folder = Folder::new("broken");
        let error = |content: &[u8]| {
            fs::write(folder.file(), content).unwrap();
            let (addresses, error) = read(&folder.file());
            (addresses.len(), error.map(|error| error.to_string()))
        };
        let says = |count, text: &str| (count, Some(text.to_owned()));
        let foreign = "it is not a file of addresses that answered";
        assert_eq!(error(b""), says(0, foreign));
        assert_eq!(error(b"[package]\nname = \"x\"\n"), says(0, foreign));
        let torn = format!("{header}\n10.15.0.7:9999\n10.15.0.8:99999");
        let line_3 = "line 3 is not an address and a port";
        assert_eq!(error(torn.as_bytes()), says(1, line_3));
        let multicast = format!("{header}\n10.15.0.7:9999\n224.0.0.1:9999\n");
        assert_eq!(error(multicast.as_bytes()), says(1, line_3));
        assert!(error(b"\xff\xfe").1.unwrap().contains("UTF-8"));
        let huge = vec![b'#'; 10 << 20];
        assert_eq!(error(&huge), says(0, "it is longer than 256 KiB"));
        let many = format!("{header}\n{}", "10.15.0.7:9999\n".repeat(MAX_ADDRESSES + 9));
        assert_eq!(error(many.as_bytes()), (MAX_ADDRESSES, None));
    }

    #[test]
    fn fault_48_a_folder_or_a_folder_that_is_not_there_is_an_error() {
        let folder = Folder::new("folder");
        let (none, error) = read(&folder.0);
        assert!(none.is_empty());
        assert_eq!(error.unwrap().to_string(), "it is not a regular file");
        let known = addresses(&["10.15.0.7:9999"]);
        fs::create_dir(folder.file()).unwrap();
        assert!(write(&folder.file(), &known).is_err());
        assert_eq!(folder.names(), ["known"], "the new file is removed");
        assert!(write(&folder.0.join("no/known"), &known).is_err());
    }

    #[test]
    fn fault_48_of_two_writers_one_file_remains_whole() {
        let folder = Folder::new("writers");
        let of = |host: u8| -> Vec<SocketAddr> {
            (1..2000)
                .map(|port| ([10, 15, 0, host], port).into())
                .collect()
        };
        thread::scope(|scope| {
            for host in [1, 2] {
                let path = folder.file();
                scope.spawn(move || {
                    for _ in 0..20 {
                        let written = write(&path, &of(host));
                        let (read, error) = read(&path);
                        // Windows does not replace a file that somebody reads.
                        if cfg!(windows) && (written.is_err() || error.is_some()) {
                            continue;
                        }
                        assert!(written.is_ok() && error.is_none());
                        assert!(read == of(1) || read == of(2));
                    }
                });
            }
        });
        assert_eq!(folder.names(), ["known"]);
    }
}
