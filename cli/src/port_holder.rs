//! The programs that have a UDP port, as far as this user may see them.

use std::fmt;

use thiserror::Error;

#[cfg(target_os = "linux")]
pub(crate) mod linux;
#[cfg(target_os = "linux")]
pub(crate) mod mark;

/// A program that has the port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) pid: i32,
    /// Its name, on one line.
    pub(crate) name: String,
    /// Whether it is a udp-discovery service of the same user.
    pub(crate) is_ours: bool,
}

/// The programs that have the port.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Holders {
    pub(crate) seen: Vec<Holder>,
    /// Whether there are sockets whose programs this user cannot see.
    pub(crate) more: bool,
    /// Whether the port is free again.
    pub(crate) ended: bool,
}

impl Holders {
    /// The programs that have a port. Only Linux reports them.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn of(_port: u16) -> Self {
        Self::default()
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn within(port: u16, _limit: std::time::Duration) -> Self {
        Self::of(port)
    }

    /// Whether there is more than one.
    pub(crate) fn are_several(&self) -> bool {
        self.seen.len() + usize::from(self.more) > 1
    }

    /// Whether they are known, and all are udp-discovery services of the same user.
    pub(crate) fn are_all_ours(&self) -> bool {
        !self.more && !self.seen.is_empty() && self.seen.iter().all(|holder| holder.is_ours)
    }
}

/// The port is in use, or was.
#[derive(Debug, Error)]
pub(crate) enum PortTaken {
    #[error("UDP port {port} is in use{holders}")]
    Now { port: u16, holders: Holders },
    /// It was free after `--replace`.
    #[error("UDP port {port} was taken in the meantime{holders}")]
    Meanwhile { port: u16, holders: Holders },
    #[error("UDP port {port} was in use by a program that has ended in the meantime")]
    Ended { port: u16 },
}

/// `python3 (pid 1234)`
impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pid {})", self.name, self.pid)
    }
}

/// ` by python3 (pid 1234), nc (pid 1235)`, or nothing.
impl fmt::Display for Holders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, holder) in self.seen.iter().enumerate() {
            write!(f, "{}{holder}", if at == 0 { " by " } else { ", " })?;
        }
        match (self.more, self.seen.is_empty()) {
            (false, _) => Ok(()),
            (true, true) => f.write_str(" by a program that this user may not see"),
            (true, false) => f.write_str(" and a program that this user may not see"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(pid: i32, is_ours: bool) -> Holder {
        Holder {
            pid,
            name: "python3".into(),
            is_ours,
        }
    }

    #[test]
    fn the_error_names_the_port_and_who_has_it() {
        let text = |seen: &[Holder], more| {
            let holders = Holders {
                seen: seen.to_vec(),
                more,
                ended: false,
            };
            let port = 9999;
            PortTaken::Now { port, holders }.to_string()
        };
        assert_eq!(text(&[], false), "UDP port 9999 is in use");
        assert_eq!(
            text(&[holder(12, false)], false),
            "UDP port 9999 is in use by python3 (pid 12)"
        );
        assert_eq!(
            text(&[holder(12, false), holder(13, true)], true),
            "UDP port 9999 is in use by python3 (pid 12), python3 (pid 13) and a program that \
             this user may not see"
        );
        assert_eq!(
            text(&[], true),
            "UDP port 9999 is in use by a program that this user may not see"
        );
    }

    #[test]
    fn one_that_is_not_ours_or_not_seen_makes_them_others() {
        let are_all_ours = |seen, more| {
            let holders = Holders {
                seen,
                more,
                ended: false,
            };
            holders.are_all_ours()
        };
        assert!(are_all_ours(vec![holder(1, true)], false));
        assert!(!are_all_ours(vec![], false));
        assert!(!are_all_ours(vec![holder(1, true)], true));
        assert!(!are_all_ours(
            vec![holder(1, true), holder(2, false)],
            false
        ));
    }
}
