//! What a service of ours has open, and nothing else has: an empty file in memory, named for its
//! port (`memfd_create(2)`). It goes with the process, no child inherits it, and neither an
//! upgrade nor another name of the program changes it.

use std::os::fd::OwnedFd;

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::Errno;

/// What Linux writes behind the name of a file that is in no folder.
const DELETED: &str = " (deleted)";

/// Marks this process as a service of ours on a port, as long as it is kept.
#[derive(Debug)]
pub(crate) struct Mark {
    _file: OwnedFd,
}

impl Mark {
    pub(crate) fn new(port: u16) -> Result<Self, Errno> {
        let name = name(port);
        let create = |flags| memfd_create(&name, MemfdFlags::CLOEXEC | flags);
        // Linux before 6.3 doesn't know the flag; later, a system may insist on it.
        let file = create(MemfdFlags::NOEXEC_SEAL).or_else(|_| create(MemfdFlags::empty()))?;
        Ok(Self { _file: file })
    }
}

/// Whether `file`, an open file in memory by its name in `/proc`, is the mark of a service on
/// `port`.
pub(super) fn is_mark(file: &str, port: u16) -> bool {
    file.strip_suffix(DELETED) == Some(&name(port))
}

fn name(port: u16) -> String {
    format!("udp-discovery serve {port}")
}
