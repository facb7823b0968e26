//! The file of the addresses that answered ([`Config::remember`]).

use std::collections::HashSet;
use std::io;
use std::iter;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use crate::address::is_of_any_link;
use crate::config::Config;
use crate::discovery::{Discovery, MAX_REMEMBERED};
use crate::file::{self, MAX_BYTES};

/// The first line, with the name of the format.
const FORMAT: &str = "# udp-discovery addresses 1";

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
        match file::read(file) {
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
        if let Err(error) = file::replace(&self.file, &self.after(discovery))
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
        let lines = addresses.map(|address| format!("{address}\n"));
        iter::once(format!("{FORMAT}\n")).chain(lines).collect()
    }

    /// Takes the lines that are whole.
    fn parse(&mut self, bytes: &[u8]) {
        // An empty file has nothing to lose.
        if bytes.is_empty() {
            return;
        }
        let mut lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        if lines.next() != Some(FORMAT.as_bytes()) {
            self.is_ours = false;
            self.fail("it does not begin with the name of the format");
            return;
        }
        // What follows the last line end is nothing, or a line that was cut off.
        if lines.next_back().is_none_or(|line| !line.is_empty()) {
            self.fail("a line is cut off");
        }
        let mut distinct = HashSet::new();
        for line in lines {
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

/// An address that can be asked by unicast on any link.
fn address(line: &[u8]) -> Option<SocketAddr> {
    let address: SocketAddr = str::from_utf8(line).ok()?.parse().ok()?;
    let is_plain = is_of_any_link(address.ip()) && address.port() != 0;
    is_plain.then(|| SocketAddr::new(address.ip(), address.port()))
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::fs;
    use std::path::Path;
    use std::process;
    use std::thread;
    use std::time::Instant;

    use udp_discovery_protocol::{Interface, InterfaceAddress};

    use super::*;
    use crate::host::{Host, Route};

    /// A folder that is removed at the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let folder = env::temp_dir().join(format!("remember-{name}-{}", process::id()));
            fs::create_dir(&folder).unwrap();
            Self(folder)
        }

        fn file(&self) -> PathBuf {
            self.0.join("servers")
        }

        /// What is read from a file with this content: the addresses, and the error.
        fn read(&self, content: impl AsRef<[u8]>) -> (Vec<String>, Option<String>) {
            fs::write(self.file(), content).unwrap();
            let memory = memory(&self.file());
            let addresses = memory.addresses.iter().map(ToString::to_string);
            (addresses.collect(), memory.error.map(|it| it.to_string()))
        }

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(&self.0).unwrap();
            let name = |it: io::Result<fs::DirEntry>| it.unwrap().file_name();
            entries.map(|it| name(it).into_string().unwrap()).collect()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn config(file: &Path) -> Config {
        Config::default().with_remember(file).with_broadcast(false)
    }

    fn memory(file: &Path) -> Memory {
        Memory::of(&config(file)).unwrap()
    }

    fn address(host: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, host], 9999))
    }

    /// 10.0.0.200/24.
    fn eth0() -> Interface {
        let mut eth0 = Interface::new("eth0", 2);
        eth0.flags.up = true;
        eth0.flags.broadcast = true;
        let own = InterfaceAddress::new("10.0.0.200".parse().unwrap(), 24).unwrap();
        eth0.addresses.push(own);
        eth0
    }

    /// A search that asked what is remembered `passes` times, and that these hosts answered.
    fn search(memory: &Memory, passes: u32, answers: impl IntoIterator<Item = u8>) -> Discovery {
        let eth0 = eth0();
        let local = eth0.addresses[0].ip();
        let route = |remote: &SocketAddr| Route {
            remote: *remote,
            local,
        };
        let host = Host::new([eth0]).with_remembered(memory.addresses.iter().map(route));
        let mut now = Instant::now();
        let config = config(&memory.file).with_broadcast(true);
        let mut search = Discovery::new(now, &config, &host, [0; 15]).unwrap();
        memory.report(&mut search);
        loop {
            while search.poll_transmit(now).is_some() {}
            if search.report().sweep.is_none_or(|it| it.passes >= passes) {
                break;
            }
            now = search.poll_timeout().expect("the search is not over");
            search.handle_timeout(now);
        }
        for host in answers {
            let answer = format!("SERVER_IP:10.0.0.{host}");
            search.handle_datagram(now, 0, address(host), answer.as_bytes());
        }
        search
    }

    fn text(hosts: &[u8]) -> String {
        let lines = hosts.iter().map(|host| format!("10.0.0.{host}:9999\n"));
        iter::once(format!("{FORMAT}\n")).chain(lines).collect()
    }

    #[test]
    fn fault_48_of_a_damaged_file_the_lines_that_are_whole_count() {
        let folder = Folder::new("damaged");
        let good = ["10.0.0.1:9999", "[fd00::1]:7777"];
        let lines = good.join("\n");
        for (content, error) in [
            (format!("{FORMAT}\n{lines}\n"), None),
            (
                format!("{FORMAT}\r\n# a comment\n\n{lines}\n{lines}\n"),
                None,
            ),
            (
                format!("{FORMAT}\n{lines}\n10.0.0.2:99"),
                Some("a line is cut off"),
            ),
            (
                format!("{FORMAT}\n{}\nx\n{}\n", good[0], good[1]),
                Some("a line is not an address and a port"),
            ),
        ] {
            let read = folder.read(&content);
            assert_eq!(
                read,
                (good.map(String::from).to_vec(), error.map(String::from)),
                "{content}"
            );
        }
        let not_utf_8 = [FORMAT.as_bytes(), b"\n\xff\xfe:9999\n10.0.0.1:9999\n"].concat();
        assert_eq!(folder.read(not_utf_8).0, [good[0]]);
        assert_eq!(folder.read(FORMAT).1.as_deref(), Some("a line is cut off"));
        assert_eq!(folder.read(""), (vec![], None));
        for no_host in [
            "10.0.0.1",
            "10.0.0.1:0",
            "0.0.0.0:1",
            "224.0.0.1:1",
            "[fe80::1]:1",
            "[fe80::1%2]:1",
            "host:9999",
            "255.255.255.255:9999",
        ] {
            let (addresses, error) = folder.read(format!("{FORMAT}\n{no_host}\n"));
            assert!(addresses.is_empty() && error.is_some(), "{no_host}");
        }
    }

    #[test]
    fn fault_48_a_file_of_something_else_is_neither_read_nor_replaced() {
        let folder = Folder::new("other");
        let content = "root:x:0:0\n10.0.0.1:9999\n";
        let (addresses, error) = folder.read(content);
        assert!(addresses.is_empty());
        assert!(error.unwrap().contains("format"));
        let memory = memory(&folder.file());
        let mut search = search(&memory, 0, [7]);
        memory.save(&mut search);
        assert_eq!(fs::read_to_string(folder.file()).unwrap(), content);
        assert!(search.report().remembered.as_ref().unwrap().error.is_some());
    }

    #[test]
    fn fault_48_of_a_huge_file_the_first_addresses_count() {
        let folder = Folder::new("huge");
        let line = |at: u32| format!("10.{}.{}.7:9999\n", at / 256, at % 256);
        let many: String = (0..5000).map(line).collect();
        let (addresses, error) = folder.read(format!("{FORMAT}\n{many}"));
        assert_eq!((addresses.len(), error), (MAX_REMEMBERED, None));
        let comments = format!("{FORMAT}\n10.0.0.1:9999\n{}", "#\n".repeat(1 << 20));
        let (addresses, error) = folder.read(comments);
        assert_eq!(addresses, ["10.0.0.1:9999"]);
        assert!(error.unwrap().contains("1 MiB"));
    }

    #[test]
    fn fault_48_a_folder_or_a_pipe_is_reported_at_once_and_a_missing_file_is_not() {
        let folder = Folder::new("folder");
        let memory = memory(&folder.0);
        assert!(
            memory
                .error
                .as_ref()
                .unwrap()
                .to_string()
                .contains("regular")
        );
        let mut search = search(&memory, 0, [7]);
        memory.save(&mut search);
        assert!(folder.0.is_dir());
        assert!(super::tests::memory(&folder.file()).error.is_none());
        #[cfg(target_os = "linux")]
        assert!(super::tests::memory(Path::new("/dev/zero")).error.is_some());
    }

    #[test]
    fn fault_48_a_file_that_cannot_be_written_is_reported() {
        let folder = Folder::new("unwritable");
        let memory = memory(&folder.0.join("missing").join("servers"));
        assert!(memory.error.is_none());
        let mut search = search(&memory, 0, [7]);
        memory.save(&mut search);
        let error = search.report().remembered.as_ref().unwrap().error.clone();
        assert_eq!(error.unwrap().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn what_answered_comes_first_and_what_was_not_asked_often_enough_is_kept() {
        let folder = Folder::new("order");
        let after = |passes, answers: &[u8]| {
            fs::write(folder.file(), text(&[1, 2, 3])).unwrap();
            let memory = memory(&folder.file());
            let mut search = search(&memory, passes, answers.iter().copied());
            memory.save(&mut search);
            let report = search.report().remembered.as_ref().unwrap();
            assert!(report.error.is_none() && report.addresses == 3);
            fs::read_to_string(folder.file()).unwrap()
        };
        assert_eq!(after(1, &[9, 2, 9]), text(&[9, 2, 1, 3]));
        assert_eq!(after(2, &[2]), text(&[2, 1, 3]));
        // Three probes.
        assert_eq!(after(3, &[9, 2]), text(&[9, 2]));
        assert_eq!(after(3, &[]), text(&[1, 2, 3]));
        assert_eq!(folder.names(), ["servers"]);
    }

    #[test]
    fn fault_48_of_two_searches_that_write_at_once_one_wins() {
        let folder = Folder::new("writers");
        let file = folder.file();
        let [first, second] = [1, 101].map(|from| (from..from + 99).collect::<Vec<u8>>());
        fs::write(&file, text(&first)).unwrap();
        thread::scope(|scope| {
            let writers = [&first, &second].map(|hosts| {
                let file = &file;
                scope.spawn(move || {
                    for _ in 0..50 {
                        // Windows does not replace a file that somebody reads.
                        let replaced = crate::file::replace(file, &text(hosts));
                        assert!(replaced.is_ok() || cfg!(windows));
                    }
                })
            });
            while !writers.iter().all(thread::ScopedJoinHandle::is_finished) {
                match fs::read_to_string(&file) {
                    Ok(content) => assert!(content == text(&first) || content == text(&second)),
                    // Nor does it open one that is being replaced.
                    Err(_) if cfg!(windows) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        });
        assert_eq!(folder.names(), ["servers"]);
    }

    #[test]
    fn an_answer_from_another_port_is_remembered_with_the_port_that_is_asked() {
        let folder = Folder::new("port");
        let memory = memory(&folder.file());
        let config = config(&folder.file()).with_any_source_port(true);
        let config = config.with_broadcast(true);
        let mut search =
            Discovery::new(Instant::now(), &config, &Host::new([eth0()]), [0; 15]).unwrap();
        let source = SocketAddr::from(([10, 0, 0, 7], 40_000));
        search.handle_datagram(Instant::now(), 0, source, b"SERVER_IP:10.0.0.7");
        memory.save(&mut search);
        assert_eq!(fs::read_to_string(folder.file()).unwrap(), text(&[7]));
    }
}
