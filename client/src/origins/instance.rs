//! A server that another engine than the search found.

use std::net::IpAddr;
use std::num::NonZeroU16;

use udp_discovery_protocol::HostIp;

use crate::address::is_link_local;
use crate::server::{DiscoveredServer, Endpoint, Origin};

/// How many bytes a name may have, as in [details](udp_discovery_protocol::Details).
const MAX_NAME_LEN: usize = 63;

/// How many bytes of properties are kept (RFC 6763, section 6.2: more is not recommended).
const MAX_PROPERTIES_LEN: usize = 1300;

/// How many addresses of a server are kept.
const MAX_ADDRESSES: usize = 16;

/// A server that another engine found, such as the DNS, for
/// [`Discovery::handle_instance`](crate::Discovery::handle_instance).
///
/// What comes from the network is bounded. A name has at most 63 bytes. Of the properties (RFC 6763,
/// section 6.4) at most 1,300 bytes are kept, and of the addresses 16 that a host can have. What is not UTF-8,
/// and control characters, are replaced by U+FFFD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    pub(crate) name: String,
    pub(crate) port: Option<NonZeroU16>,
    /// Addresses that a host can have, each once, with the index of the interface of a link-local one.
    pub(crate) addresses: Vec<(IpAddr, u32)>,
    pub(crate) properties: Vec<(String, String)>,
}

impl Instance {
    /// An instance of a service. `name` is for people. With each address comes the index of its interface,
    /// which counts for a link-local one. `texts` are the strings of the TXT record.
    pub fn new<'a>(
        name: &[u8],
        port: u16,
        addresses: impl IntoIterator<Item = (IpAddr, u32)>,
        texts: impl IntoIterator<Item = &'a [u8]>,
    ) -> Self {
        Self {
            name: cut(text(name), MAX_NAME_LEN),
            port: NonZeroU16::new(port),
            addresses: usable(addresses),
            properties: properties(texts),
        }
    }
}

impl Instance {
    /// The server at the addresses that `is_wanted`, if there are any: first its IPv4 addresses, and
    /// link-local ones only if there is no other. `interface` is the name of an interface by its index.
    pub(crate) fn server(
        mut self,
        origin: Origin,
        is_wanted: impl Fn(IpAddr) -> bool,
        interface: impl Fn(u32) -> String,
    ) -> Option<DiscoveredServer> {
        self.addresses.retain(|(ip, _)| is_wanted(*ip));
        if self.addresses.iter().any(|(ip, _)| !is_link_local(*ip)) {
            self.addresses.retain(|(ip, _)| !is_link_local(*ip));
        }
        let endpoint = |(ip, scope_id)| Endpoint {
            ip,
            scope_id,
            port: self.port,
            claimed_ip: ip,
            source: None,
            interface: interface(scope_id),
            rtt: None,
        };
        let mut endpoints: Vec<Endpoint> = self.addresses.into_iter().map(endpoint).collect();
        endpoints.sort_by_key(|it| it.ip.is_ipv6());
        let first = endpoints.first()?.clone();
        Some(DiscoveredServer {
            ip: first.ip,
            scope_id: first.scope_id,
            port: first.port,
            claimed_ip: first.claimed_ip,
            source: None,
            interface: first.interface,
            rtt: None,
            raw: None,
            origin,
            id: None,
            run: None,
            name: Some(self.name),
            properties: self.properties,
            verified: false,
            endpoints,
        })
    }
}

/// The text of bytes from the network. What is not UTF-8, and control characters, become U+FFFD.
fn text(bytes: &[u8]) -> String {
    let replace = |it: char| if it.is_control() { '\u{fffd}' } else { it };
    String::from_utf8_lossy(bytes)
        .chars()
        .map(replace)
        .collect()
}

/// The beginning of a text, at most `max` bytes of it.
fn cut(mut text: String, max: usize) -> String {
    let is_end = |&end: &usize| text.is_char_boundary(end);
    let end = (0..=max.min(text.len())).rev().find(is_end);
    text.truncate(end.unwrap_or(0));
    text
}

fn usable(addresses: impl IntoIterator<Item = (IpAddr, u32)>) -> Vec<(IpAddr, u32)> {
    let mut usable = Vec::new();
    for (ip, scope_id) in addresses {
        // A link-local address means nothing without its interface.
        let is_local = is_link_local(ip);
        let address = (ip, if is_local { scope_id } else { 0 });
        let is_usable = HostIp::new(ip).is_ok() && !(is_local && scope_id == 0);
        if is_usable && usable.len() < MAX_ADDRESSES && !usable.contains(&address) {
            usable.push(address);
        }
    }
    usable
}

/// The properties of a TXT record (RFC 6763, section 6.4).
fn properties<'a>(texts: impl IntoIterator<Item = &'a [u8]>) -> Vec<(String, String)> {
    let mut properties: Vec<(String, String)> = Vec::new();
    let mut left = MAX_PROPERTIES_LEN;
    for bytes in texts {
        // A key without a value is like one with an empty value.
        let end = bytes.iter().position(|&byte| byte == b'=');
        let (key, value) = bytes.split_at(end.unwrap_or(bytes.len()));
        let value = text(value.strip_prefix(b"=").unwrap_or_default());
        let is_key = |byte: &u8| (b' '..=b'~').contains(byte);
        let len = key.len() + value.len();
        if key.is_empty() || !key.iter().all(is_key) || len > left {
            continue;
        }
        let key = text(key);
        let is_repeated = |(other, _): &(String, String)| other.eq_ignore_ascii_case(&key);
        if !properties.iter().any(is_repeated) {
            left -= len;
            properties.push((key, value));
        }
    }
    properties
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_not_text_is_replaced_and_what_is_too_long_is_cut() {
        let instance = Instance::new(b"a\n\x1b[31m\"\xff", 0, [], []);
        assert_eq!(instance.name, "a\u{fffd}\u{fffd}[31m\"\u{fffd}");
        assert_eq!(instance.port, None);
        let long = "ä".repeat(100);
        let instance = Instance::new(long.as_bytes(), 80, [], []);
        assert_eq!(instance.name, "ä".repeat(31));
        assert_eq!(instance.port, NonZeroU16::new(80));
    }

    #[test]
    fn only_addresses_that_lead_to_a_host_are_kept_each_once_and_not_too_many() {
        let addresses = [
            ("10.0.0.7", 3),
            ("10.0.0.7", 0),
            ("0.0.0.0", 0),
            ("224.0.0.1", 0),
            ("::ffff:10.0.0.7", 0),
            ("fe80::7", 0),
            ("fe80::7", 2),
            ("fe80::7", 3),
            ("2001:db8::7", 2),
        ];
        let addresses = addresses.map(|(text, scope)| (address(text), scope));
        let kept = Instance::new(b"", 0, addresses, []).addresses;
        let expected = [
            ("10.0.0.7", 0),
            ("fe80::7", 2),
            ("fe80::7", 3),
            ("2001:db8::7", 0),
        ];
        assert_eq!(kept, expected.map(|(text, scope)| (address(text), scope)));

        let many = (1..=200u8).map(|it| (IpAddr::from([10, 0, 0, it]), 0));
        assert_eq!(Instance::new(b"", 0, many, []).addresses.len(), 16);
    }

    #[test]
    fn properties_are_those_of_rfc_6763() {
        let texts: [&[u8]; 9] = [
            b"a=1",
            b"A=2",
            b"empty=",
            b"flag",
            b"=no key",
            b"",
            b"k\xc3\xa9y=1",
            b"x=a=b",
            b"v=\x00\xff",
        ];
        let kept = Instance::new(b"", 0, [], texts).properties;
        let expected = [
            ("a", "1"),
            ("empty", ""),
            ("flag", ""),
            ("x", "a=b"),
            ("v", "\u{fffd}\u{fffd}"),
        ];
        assert_eq!(
            kept,
            expected.map(|(key, value)| (key.to_owned(), value.to_owned()))
        );
        let many: Vec<String> = (0..10_000).map(|it| format!("k{it}=v")).collect();
        let kept = Instance::new(b"", 0, [], many.iter().map(String::as_bytes)).properties;
        let len: usize = kept
            .iter()
            .map(|(key, value)| key.len() + value.len())
            .sum();
        assert!((1290..=1300).contains(&len), "{len}");
    }
}
