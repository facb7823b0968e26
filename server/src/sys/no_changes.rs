//! Changes of addresses and routes, on the systems that are not asked to report them.

use std::io;

use mio::{Registry, Token};

use super::GoneLinks;

#[derive(Debug)]
pub(crate) enum Changes {}

impl Changes {
    #[allow(clippy::unnecessary_wraps, reason = "fails on Linux")]
    pub(crate) fn watch(_registry: &Registry, _token: Token) -> io::Result<Option<Self>> {
        Ok(None)
    }

    pub(crate) fn routes_changed(&self) -> bool {
        match *self {}
    }

    pub(crate) fn drain(&self, _gone: &mut GoneLinks) {
        match *self {}
    }
}
