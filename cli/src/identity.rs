//! The files that keep who a server is: its id, or the key whose public key is its id.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

use thiserror::Error;
use udp_discovery_protocol::{ServerId, SigningKey};

use crate::failure::Failure;

/// No file with a key or an id is larger.
const MAX_BYTES: u64 = 4096;

/// What a file with a key begins with.
const PEM: &str = "-----BEGIN";

/// Why a file with a key or an id cannot be used.
#[derive(Debug, Error)]
#[cfg_attr(
    not(unix),
    allow(dead_code, reason = "owners and modes are checked only on Unix")
)]
enum IdentityError {
    #[error("{} exists", path.display())]
    Exists { path: PathBuf },
    #[error("the folder {} does not exist", folder.display())]
    NoFolder { folder: PathBuf },
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("{} does not exist", path.display())]
    Missing { path: PathBuf },
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is not a regular file", path.display())]
    NotAFile { path: PathBuf },
    #[error("{} belongs to another user", path.display())]
    OtherOwner { path: PathBuf },
    #[error("others can read or write the key {}", path.display())]
    NotPrivate { path: PathBuf },
    #[error("{} is not an Ed25519 key in PEM (PKCS #8), or not all of it", path.display())]
    NotAKey { path: PathBuf },
    #[error("{} is not the id of a server, or not all of it", path.display())]
    NotAnId { path: PathBuf },
    #[error("the system gave no random bytes")]
    NoRandomBytes { source: getrandom::Error },
}

/// Creates a file with a key, which only its owner can read. A file that exists is never changed.
pub(crate) fn create_key(path: &Path) -> Result<SigningKey, Failure> {
    let create = || {
        let key = SigningKey::from_bytes(&random()?);
        create_file(path, &key.to_pem(), Readers::Owner)?;
        Ok(key)
    };
    create().map_err(explain)
}

/// Reads a key.
pub(crate) fn read_key(path: &Path) -> Result<SigningKey, Failure> {
    read(path)
        .and_then(|text| parse_key(path, &text))
        .map_err(explain)
}

/// Reads an id, or that of a key.
pub(crate) fn read_id(path: &Path) -> Result<ServerId, Failure> {
    let id = |text: String| {
        if text.starts_with(PEM) {
            parse_key(path, &text).map(|key| key.id())
        } else {
            parse_id(path, &text)
        }
    };
    read(path).and_then(id).map_err(explain)
}

/// Reads the id in a file. If there is no file, creates it with a new id.
pub(crate) fn read_or_create_id(path: &Path) -> Result<ServerId, Failure> {
    let read_id = || read(path).and_then(|text| parse_id(path, &text));
    let create = || {
        let id = ServerId::new(random()?);
        match create_file(path, &format!("{id}\n"), Readers::Everybody) {
            // Another server was faster.
            Err(IdentityError::Exists { .. }) => read_id(),
            other => other.map(|()| id),
        }
    };
    match read_id() {
        Err(IdentityError::Missing { .. }) => create(),
        other => other,
    }
    .map_err(explain)
}

/// An id that nobody else has.
pub(crate) fn new_id() -> Result<ServerId, Failure> {
    random().map(ServerId::new).map_err(explain)
}

fn random() -> Result<[u8; 32], IdentityError> {
    let mut bytes = [0; 32];
    match getrandom::fill(&mut bytes) {
        Ok(()) => Ok(bytes),
        Err(source) => Err(IdentityError::NoRandomBytes { source }),
    }
}

fn parse_key(path: &Path, text: &str) -> Result<SigningKey, IdentityError> {
    let path = path.into();
    SigningKey::from_pem(text).map_err(|_| IdentityError::NotAKey { path })
}

fn parse_id(path: &Path, text: &str) -> Result<ServerId, IdentityError> {
    let path = path.into();
    let id = text.trim_ascii_end().parse();
    id.map_err(|_| IdentityError::NotAnId { path })
}

/// The text of a file that this user or the superuser owns, and that nobody else can read if it is a
/// key. Of more than 4 KiB, the beginning.
fn read(path: &Path) -> Result<String, IdentityError> {
    let failed = |source: io::Error| match source.kind() {
        ErrorKind::NotFound => IdentityError::Missing { path: path.into() },
        _ => IdentityError::Read {
            path: path.into(),
            source,
        },
    };
    // Opening a pipe would wait for its other end.
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(IdentityError::NotAFile { path: path.into() });
    }
    let file = File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    (&file)
        .take(MAX_BYTES)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    #[cfg(unix)]
    check_access(path, &file.metadata().map_err(failed)?, &text)?;
    Ok(text)
}

#[cfg(unix)]
fn check_access(path: &Path, metadata: &fs::Metadata, text: &str) -> Result<(), IdentityError> {
    use std::os::unix::fs::MetadataExt as _;

    let is_trusted = [0, rustix::process::geteuid().as_raw()].contains(&metadata.uid());
    if !is_trusted {
        return Err(IdentityError::OtherOwner { path: path.into() });
    }
    let others = metadata.mode() & 0o077;
    // Root's group is no stranger. A credential of systemd's has this mode: its access control list
    // names the user of the service, and the bits of the group are its mask (acl(5)).
    let is_of_root = metadata.uid() == 0 && metadata.gid() == 0 && others == 0o040;
    if text.starts_with(PEM) && others != 0 && !is_of_root {
        return Err(IdentityError::NotPrivate { path: path.into() });
    }
    Ok(())
}

/// Who can read a new file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Readers {
    Owner,
    Everybody,
}

/// Creates a file, with all of `text` or not at all.
fn create_file(path: &Path, text: &str, readers: Readers) -> Result<(), IdentityError> {
    let failed = |source: io::Error| match source.kind() {
        ErrorKind::AlreadyExists => IdentityError::Exists { path: path.into() },
        _ => IdentityError::Write {
            path: path.into(),
            source,
        },
    };
    let folder = folder(path);
    if !folder.is_dir() {
        let folder = folder.into();
        return Err(IdentityError::NoFolder { folder });
    }
    let mut file = new_file(readers).tempfile_in(folder).map_err(failed)?;
    let written = file.write_all(text.as_bytes());
    written
        .and_then(|()| file.as_file().sync_all())
        .map_err(failed)?;
    file.persist_noclobber(path)
        .map_err(|error| failed(error.error))?;
    Ok(())
}

/// A file beside the one to create. On Unix, only its owner can read it unless its mode is set.
fn new_file(readers: Readers) -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".udp-discovery-");
    #[cfg(unix)]
    if readers == Readers::Everybody {
        use std::os::unix::fs::PermissionsExt as _;
        builder.permissions(fs::Permissions::from_mode(0o644));
    }
    #[cfg(not(unix))]
    let _ = readers;
    builder
}

fn folder(path: &Path) -> &Path {
    let parent = path.parent().filter(|it| !it.as_os_str().is_empty());
    parent.unwrap_or(Path::new("."))
}

/// Adds what to do.
fn explain(error: IdentityError) -> Failure {
    let hint = match &error {
        IdentityError::Exists { .. } => {
            "a key is never overwritten: choose another file, or delete this one if no client pins \
             or knows its id"
                .into()
        }
        IdentityError::NoFolder { folder } => format!("mkdir -p {}", folder.display()),
        IdentityError::Write { path, source } => match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                "nothing was written: free some space, or choose a file on another disk".into()
            }
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => format!(
                "choose a file in a folder that this user may write to, not in {}",
                folder(path).display()
            ),
            _ => return error.into(),
        },
        IdentityError::Missing { path } => {
            let path = path.display();
            format!("make a key: udp-discovery keygen {path}")
        }
        IdentityError::Read { source, .. } if source.kind() == ErrorKind::PermissionDenied => {
            "run this as the user that the file belongs to".into()
        }
        IdentityError::OtherOwner { .. } => {
            "run this as that user, or change the owner with chown(1)".into()
        }
        IdentityError::NotPrivate { path } => format!("chmod 600 {}", path.display()),
        IdentityError::NotAKey { .. } => {
            "restore it from a copy, or make another key with `udp-discovery keygen`; clients must \
             then pin the new id"
                .into()
        }
        IdentityError::NotAnId { .. } => {
            "restore it from a copy, or delete it to get a new id, which is another server to clients"
                .into()
        }
        IdentityError::Read { .. }
        | IdentityError::NotAFile { .. }
        | IdentityError::NoRandomBytes { .. } => return error.into(),
    };
    Failure::from(error).with_hint(hint)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Barrier;
    use std::{env, process, thread};

    use super::*;

    #[test]
    fn servers_that_start_at_once_with_one_file_have_one_id() {
        const SERVERS: usize = 8;
        let folder = env::temp_dir().join(format!("udp-discovery-identity-{}", process::id()));
        fs::create_dir(&folder).unwrap();
        let file = folder.join("id");
        let start = Barrier::new(SERVERS);
        let id = || {
            start.wait();
            read_or_create_id(&file).unwrap()
        };
        let ids: HashSet<ServerId> = thread::scope(|scope| {
            let servers = [(); SERVERS].map(|()| scope.spawn(id));
            servers.map(|it| it.join().unwrap()).into_iter().collect()
        });
        assert_eq!(ids.len(), 1);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        fs::remove_dir_all(&folder).unwrap();
    }
}
