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

#[cfg(test)]
mod tests {
    use std::time::Instant;
    use std::{env, fs, process};

    use bytes::BytesMut;
    use udp_discovery_protocol::{
        Codec, Details, EncodedDetails, Interface, InterfaceAddress, Nonce, Response, RunId,
        SigningKey,
    };

    use super::*;
    use crate::host::Host;

    const ID: &str = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc";

    /// A file in a folder that is removed at the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let folder = env::temp_dir().join(format!("known-{name}-{}", process::id()));
            fs::create_dir(&folder).unwrap();
            Self(folder)
        }

        fn config(&self) -> Config {
            Config::default().with_known_servers(self.0.join("known"))
        }

        fn write(&self, text: impl AsRef<[u8]>) {
            fs::write(self.0.join("known"), text).unwrap();
        }

        fn text(&self) -> String {
            fs::read_to_string(self.0.join("known")).unwrap()
        }

        fn known(&self) -> Result<KnownServers, String> {
            match KnownServers::of(&self.config()) {
                Ok(known) => Ok(known.unwrap()),
                Err(DiscoverError::KnownServers { file, source }) => {
                    assert_eq!(file, self.0.join("known"));
                    Err(source.to_string())
                }
                Err(other) => panic!("{other}"),
            }
        }

        /// Runs a search in which these servers answer, signed or not. Returns what saving returns.
        fn search(&self, servers: &[(u8, &str, bool)]) -> Result<(), DiscoverError> {
            let known = self.known().unwrap();
            let mut eth0 = Interface::new("eth0", 2);
            eth0.flags.up = true;
            eth0.flags.broadcast = true;
            let own = InterfaceAddress::new("10.0.0.200".parse().unwrap(), 24).unwrap();
            eth0.addresses.push(own);
            let host = Host::new([eth0]).with_known_servers(known.servers().iter().cloned());
            let now = Instant::now();
            let mut search = Discovery::new(now, &self.config(), &host, [0; 15]).unwrap();
            while search.poll_transmit(now).is_some() {}
            for (number, name, is_signed) in servers {
                let answer = answer(*number, name, *is_signed);
                let source = ([10, 0, 0, *number], 9999).into();
                search.handle_datagram(now, 0, source, &answer);
            }
            known.save(&search)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn key(number: u8) -> SigningKey {
        SigningKey::from_bytes(&[number; 32])
    }

    fn answer(number: u8, name: &str, is_signed: bool) -> BytesMut {
        let codec = Codec::default();
        let details = Details::new(key(number).id(), RunId::new([1; 8]));
        let details = details.with_name(name).unwrap();
        let encoded = EncodedDetails::new(&details, &codec, is_signed).unwrap();
        let nonce = Nonce::new([0; 15], 0);
        let (mut request, mut answer) = (BytesMut::new(), BytesMut::new());
        codec.encode_details_request(nonce, &mut request);
        let ip = format!("10.0.0.{number}").parse().unwrap();
        codec.encode_details(Response::new(ip, None), nonce, &encoded, &mut answer);
        if is_signed {
            key(number).sign(&request, &mut answer);
        }
        answer
    }

    #[test]
    fn names_and_ids_are_read_and_a_missing_file_has_none() {
        let folder = Folder::new("read");
        assert!(folder.known().unwrap().servers().is_empty());
        folder.write(format!(
            "{FORMAT}\n# mine\n\n{ID} db\r\n{ID}  two words \n{ID} \n"
        ));
        let known = folder.known().unwrap();
        let names = known.servers().iter().map(|(name, _)| name.as_str());
        assert_eq!(names.collect::<Vec<_>>(), ["db", " two words ", ""]);
        assert!(known.servers().iter().all(|(_, id)| id.to_string() == ID));
    }

    #[test]
    fn fault_65_a_damaged_file_is_an_error_and_stays_as_it_is() {
        let folder = Folder::new("damaged");
        for (text, reason) in [
            ("", "the name of the format"),
            ("something else\n", "the name of the format"),
            (FORMAT, "cut off"),
            (&format!("{FORMAT}\n{ID} db"), "cut off"),
            (&format!("{FORMAT}\n{ID}\n"), "a line is not"),
            (&format!("{FORMAT}\n{} db\n", &ID[1..]), "a line is not"),
            (
                &format!("{FORMAT}\n{}", format!("{ID} a\n").repeat(4097)),
                "4,096",
            ),
            (&format!("{FORMAT}\n{}", "#\n".repeat(1 << 19)), "1 MiB"),
        ] {
            folder.write(text);
            let error = folder.known().unwrap_err();
            assert!(error.contains(reason), "{error}");
            assert_eq!(folder.text(), text);
        }
        folder.write([FORMAT.as_bytes(), b"\n\xff\n"].concat());
        assert!(folder.known().unwrap_err().contains("UTF-8"));
    }

    #[test]
    fn fault_65_verified_servers_with_new_names_are_added_and_no_others() {
        let folder = Folder::new("save");
        folder
            .search(&[(1, "a", true), (2, "b", false), (3, "a", true)])
            .unwrap();
        let (one, three) = (key(1).id(), key(3).id());
        let text = format!("{FORMAT}\n{one} a\n{three} a\n");
        assert_eq!(folder.text(), text);
        folder.write(text.clone() + "# mine\n");
        // Not another id under a known name, nor one that is known.
        folder.search(&[(4, "a", true), (1, "a", true)]).unwrap();
        assert_eq!(folder.text(), text.clone() + "# mine\n");
        folder.search(&[(4, "A", true)]).unwrap();
        assert_eq!(folder.text(), format!("{text}# mine\n{} A\n", key(4).id()));
        let entries = fs::read_dir(&folder.0).unwrap();
        assert_eq!(entries.count(), 1, "nothing else remains");
    }

    #[test]
    fn what_another_search_added_meanwhile_remains() {
        let folder = Folder::new("meanwhile");
        let known = folder.known().unwrap();
        folder.search(&[(1, "a", true)]).unwrap();
        known
            .add(&[("a", key(2).id()), ("b", key(2).id())])
            .unwrap();
        let (one, two) = (key(1).id(), key(2).id());
        assert_eq!(folder.text(), format!("{FORMAT}\n{one} a\n{two} b\n"));
    }

    #[test]
    fn a_full_file_gets_no_more_servers() {
        let folder = Folder::new("full");
        let text = format!("{FORMAT}\n{}", format!("{ID} x\n").repeat(4096));
        folder.write(&text);
        folder.search(&[(1, "a", true)]).unwrap();
        assert_eq!(folder.text(), text);
    }

    #[test]
    fn a_file_that_cannot_be_written_is_an_error() {
        let folder = Folder::new("unwritable");
        let known = KnownServers {
            file: folder.0.join("missing").join("known"),
            servers: Vec::new(),
        };
        let error = known.add(&[("a", key(1).id())]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
