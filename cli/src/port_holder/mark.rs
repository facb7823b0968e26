//! How a udp-discovery service is recognized: it keeps an empty file in memory open that is named
//! for its port (`memfd_create(2)`). The file ends with the process, no child inherits it, and
//! neither an upgrade nor another name of the program changes it.

use std::os::fd::OwnedFd;

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::Errno;

/// What Linux appends to the name of a file that is in no folder.
const DELETED: &str = " (deleted)";

/// Marks this process as a service on a port until it is dropped.
#[derive(Debug)]
pub(crate) struct Mark {
    _file: OwnedFd,
}

impl Mark {
    pub(crate) fn new(port: u16) -> Result<Self, Errno> {
        let name = name(port);
        let create = |flags| memfd_create(&name, MemfdFlags::CLOEXEC | flags);
        // Linux before 6.3 doesn't know the flag; a later one may require it.
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
