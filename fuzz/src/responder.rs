//! One datagram with any bytes, source and interface, to a server with any configuration.
//!
//! The input: the configuration, the host's interfaces, the datagram's source and arrival, whether
//! details are offered and signed, and the datagram's bytes.

use std::net::{IpAddr, SocketAddr};
use std::num::{NonZeroU16, NonZeroU32};
use std::time::Instant;

use udp_discovery_protocol::{
    Codec, Details, HostIp, Interface, IpNet, RunId, ServerId, Settings, SigningKey, Word,
};
use udp_discovery_server::{Allow, Arrival, Config, Datagram, RateLimit, Reply, Responder};

use crate::details;
use crate::host;
use crate::input::Input;
use crate::wire::{self, Reading};

/// The port that the server listens on.
pub const PORT: u16 = 9999;

const WORDS: [(&str, &str); 3] = [
    ("DISCOVER_SERVER", "SERVER_IP:"),
    ("?", "!"),
    ("größe", "größte:"),
];

/// Checks the rules for one input.
///
/// # Panics
/// If one is broken.
pub fn check(data: &[u8]) {
    let mut input = Input::new(data);
    let config = config(&mut input);
    let interfaces = host::interfaces(&mut input);
    let source = source(&mut input);
    let arrival = arrival(&mut input);
    let truncated = input.byte() == 255;
    let kind = input.byte();
    let config = offering(config, kind & 4 != 0, kind & 8 != 0);
    let payload = payload(kind, &mut input, &config);
    let datagram = Datagram {
        payload: &payload,
        truncated,
        source,
        arrival,
    };
    let mut responder = Responder::new(config.clone(), PORT, [1, 2]).expect("the details fit");
    responder.set_interfaces(interfaces.clone());
    let reply = responder.handle_datagram(Instant::now(), &datagram).ok();
    let rules = Rules {
        config: &config,
        interfaces: &interfaces,
    };
    rules.check(&datagram, reply.as_ref(), true);
}

/// A configuration: words, what is advertised, who is allowed, and a limit that one datagram
/// can't reach.
fn config(input: &mut Input<'_>) -> Config {
    let word = |text| Word::new(text).expect("it is a word");
    let (message, prefix) = input.choose(&WORDS);
    let codec = Codec::new(word(message), word(prefix)).expect("they go together");
    let mut config = Config::from(Settings::default().with_codec(codec));
    if let Some(port) = input.port() {
        config = config.with_advertise_port(port.get());
    }
    if input.flag() {
        let ip = input.ip();
        match config.clone().with_advertise_ip(ip) {
            Ok(advertising) => config = advertising,
            Err(_) => assert!(!wire::is_host(ip), "{ip}"),
        }
    }
    let allow = allow(input);
    let limit = NonZeroU32::new(input.u32()).map(RateLimit::per_second);
    config
        .with_allow(allow)
        .with_rate_limit(limit)
        .with_total_limit(limit)
        .with_details_limit(limit)
        .with_signature_limit(limit)
}

/// The configuration with details, signed or not.
pub(crate) fn offering(config: Config, details: bool, signed: bool) -> Config {
    let key = SigningKey::from_bytes(&[9; 32]);
    let id = if signed {
        key.id()
    } else {
        ServerId::new([7; 32])
    };
    match (details, signed) {
        (false, _) => config,
        (true, false) => config.with_details(details_of(id)),
        (true, true) => config.with_details(details_of(id)).with_signing_key(key),
    }
}

fn details_of(id: ServerId) -> Details {
    Details::new(id, RunId::new([1; 8]))
        .with_name("größe")
        .and_then(|details| details.with_property("a b", "c=d"))
        .expect("they are valid")
}

/// The lines of those details, after that of the nonce.
const UNSIGNED_LINES: &str = "id=BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc\n\
    run=AQEBAQEBAQE\nname=größe\na b=c=d\n";
const SIGNED_LINES: &str = "id=_RckOFqgx1tk-3jNYC-h2ZH96_drE8WO1wLqyDXp9hg\n\
    run=AQEBAQEBAQE\nname=größe\na b=c=d\n";

pub(crate) fn allow(input: &mut Input<'_>) -> Allow {
    match input.byte() % 3 {
        0 => Allow::OnLink,
        1 => {
            let (ip, prefix_len) = (input.ip_among(&host::ADDRESSES), input.byte() % 33);
            let network = IpNet::new(ip, prefix_len).expect("an address has so many bits");
            Allow::Networks(vec![network])
        }
        _ => Allow::Any,
    }
}

pub(crate) fn source(input: &mut Input<'_>) -> SocketAddr {
    input.socket_address(&host::ADDRESSES, &[50_000, PORT, 0])
}

/// What the system reports: an interface of the host, one that is gone, or none, and addresses.
pub(crate) fn arrival(input: &mut Input<'_>) -> Arrival {
    let interface = match input.byte() {
        255 => None,
        index => Some(u32::from(index)),
    };
    let mut address = || input.flag().then(|| input.ip_among(&host::ADDRESSES));
    Arrival {
        interface,
        destination: address(),
        local: address(),
    }
}

/// Any bytes, the request, or a request for details, whose bytes from one on are those of the input.
fn payload(kind: u8, input: &mut Input<'_>, config: &Config) -> Vec<u8> {
    let message = config.settings().codec().message().as_str();
    match kind & 3 {
        0 => message.into(),
        2 => {
            let mut request = details_request(message, "YWJjZGVmZ2hpamtsbW5vAw");
            let at = usize::from(input.u16()) % request.len();
            let other = input.rest();
            for (byte, other) in request[at..].iter_mut().zip(other) {
                *byte = *other;
            }
            request
        }
        _ => input.rest().into(),
    }
}

/// A request for details.
pub(crate) fn details_request(message: &str, nonce: &str) -> Vec<u8> {
    format!("{:512}", format!("{message}\n1 {nonce}\n")).into()
}

/// What a server may and must do, by the documentation.
pub(crate) struct Rules<'a> {
    pub(crate) config: &'a Config,
    pub(crate) interfaces: &'a [Interface],
}

impl Rules<'_> {
    /// Checks the rules for `datagram` and its reply. If it is not `within_limits`, no reply is always
    /// right.
    pub(crate) fn check(
        &self,
        datagram: &Datagram<'_>,
        reply: Option<&Reply>,
        within_limits: bool,
    ) {
        match reply {
            Some(reply) => self.check_reply(datagram, reply),
            None => assert!(
                !within_limits || !self.must_answer(datagram),
                "no answer to {datagram:?}"
            ),
        }
    }

    fn check_reply(&self, datagram: &Datagram<'_>, reply: &Reply) {
        assert!(self.may_answer(datagram), "{reply:?} to {datagram:?}");
        let interfaces = self.arrival_interfaces(datagram);
        let names_it = |it: &&&Interface| reply.interface.is_none_or(|index| index == it.index);
        let local = reply.local;
        assert!(
            interfaces
                .iter()
                .filter(names_it)
                .any(|it| self.is_local(it, datagram, local)),
            "{local} is no address for {datagram:?}"
        );
        assert_eq!(reply.destination, datagram.source);
        let response = reply.response;
        let advertised = self.config.advertise_ip().map(HostIp::get);
        assert_eq!(response.ip(), advertised.unwrap_or(local));
        let advertised = self.config.advertise_port();
        assert_eq!(response.port().map(NonZeroU16::get), advertised);
        assert_eq!(reply.details, self.asks_for_details(datagram));
        self.check_payload(datagram, reply);
    }

    /// The payload is what the reply says, and is short.
    fn check_payload(&self, datagram: &Datagram<'_>, reply: &Reply) {
        let codec = self.config.settings().codec();
        let (message, prefix) = (codec.message().as_str(), codec.prefix().as_str());
        let response = reply.response;
        if reply.details {
            self.check_details(datagram, reply);
            return;
        }
        assert_eq!(
            wire::read(message, prefix, &reply.payload),
            Reading::Response(response.ip(), response.port())
        );
        let ip_len = if response.ip().is_ipv4() { 15 } else { 41 };
        let port_len = if response.port().is_some() { 6 } else { 0 };
        // With the default words, IPv4 and no port 25 bytes, and with a port 31.
        assert!(reply.payload.len() <= prefix.len() + ip_len + port_len);
    }

    /// The answer is the plain one, the nonce of the request, and the configured details. It is never
    /// longer than the request. A signature is that of the key.
    fn check_details(&self, datagram: &Datagram<'_>, reply: &Reply) {
        let codec = self.config.settings().codec();
        let nonce = details::nonce(codec.message().as_str(), datagram.payload);
        let nonce = str::from_utf8(nonce.expect("it has one")).expect("it is ASCII");
        let (ip, port) = (reply.response.ip(), reply.response.port());
        let host = if ip.is_ipv4() {
            ip.to_string()
        } else {
            format!("[{ip}]")
        };
        let port = port.map_or(String::new(), |port| format!(":{port}"));
        let is_signed = self.config.signing_key().is_some();
        let lines = if is_signed {
            SIGNED_LINES
        } else {
            UNSIGNED_LINES
        };
        let expected = format!(
            "{}{host}{port}\n1 {nonce}\n{lines}",
            codec.prefix().as_str()
        );
        let rest = reply.payload.strip_prefix(expected.as_bytes());
        let rest = rest.expect("it says what is configured");
        assert!(reply.payload.len() <= datagram.payload.len());
        if !is_signed {
            assert!(rest.is_empty());
            return;
        }
        let signature = rest
            .strip_prefix(b"sig=")
            .and_then(|it| it.strip_suffix(b"\n"));
        assert!(signature.is_some_and(|signature| details::is_base64(signature, 64)));
        let answer = codec.decode_details(&reply.payload);
        let answer = answer.expect("it is an answer with details");
        assert_eq!(answer.verify(datagram.payload), Ok(()));
    }

    /// Whether an answer is allowed at all, apart from the limits.
    pub(crate) fn may_answer(&self, datagram: &Datagram<'_>) -> bool {
        self.is_request(datagram)
            && self.is_client(datagram.source)
            && self
                .arrival_interfaces(datagram)
                .iter()
                .any(|interface| self.may_answer_by(interface, datagram.source.ip()))
    }

    /// Whether an answer is required, within the limits: the address to name is certain.
    fn must_answer(&self, datagram: &Datagram<'_>) -> bool {
        let arrival = datagram.arrival;
        // The system's reports must be consistent.
        let plausible = |ip: IpAddr| wire::is_host(ip) && host::holds(self.interfaces, ip);
        let plausible = [arrival.local, arrival.destination]
            .into_iter()
            .flatten()
            .all(plausible);
        plausible
            && self.may_answer(datagram)
            && self.arrival_interfaces(datagram).iter().all(|interface| {
                self.may_answer_by(interface, datagram.source.ip())
                    && interface
                        .addresses
                        .iter()
                        .all(|address| wire::is_host(address.ip()))
                    && host::on_link(interface, datagram.source.ip())
            })
    }

    fn is_request(&self, datagram: &Datagram<'_>) -> bool {
        let message = self.config.settings().codec().message().as_bytes();
        let is_plain = !datagram.truncated && datagram.payload == message;
        is_plain || self.asks_for_details(datagram)
    }

    /// Whether it is a request for details, and they are offered.
    pub(crate) fn asks_for_details(&self, datagram: &Datagram<'_>) -> bool {
        let message = self.config.settings().codec().message().as_str();
        self.config.details().is_some()
            && !datagram.truncated
            && details::nonce(message, datagram.payload).is_some()
    }

    /// Row 8 of the faults, without the parts about the interface: port 0, an address that no client
    /// has, the server itself.
    fn is_client(&self, source: SocketAddr) -> bool {
        let ip = source.ip();
        let is_ours = match scope_of(source) {
            Some(scope) => host::holds(&self.by_index(scope), ip),
            None => host::holds(self.interfaces, ip) || ip.is_loopback(),
        };
        source.port() != 0 && wire::is_host(ip) && !(is_ours && source.port() == PORT)
    }

    /// The interfaces with an index: one, or none.
    fn by_index(&self, index: u32) -> Vec<Interface> {
        let interfaces = self.interfaces.iter();
        interfaces.filter(|it| it.index == index).cloned().collect()
    }

    /// The rest of row 8, and whether the source is on the link or allowed.
    fn may_answer_by(&self, interface: &Interface, source: IpAddr) -> bool {
        let forged = (source.is_loopback() && !interface.flags.loopback)
            || interface
                .addresses
                .iter()
                .any(|address| host::is_broadcast(address, source));
        let on_link = self.is_on_link(interface, source);
        let allowed = match self.config.allow() {
            Allow::Networks(networks) => networks
                .iter()
                .any(|network| host::same_prefix(network.addr(), network.prefix_len(), source)),
            allow => *allow == Allow::Any,
        };
        !forged && (on_link || allowed)
    }

    fn is_on_link(&self, interface: &Interface, source: IpAddr) -> bool {
        host::on_link(interface, source)
            || (interface.flags.loopback && host::holds(self.interfaces, source))
    }

    /// Whether the source of `datagram` is on the link where it arrived.
    pub(crate) fn came_on_link(&self, datagram: &Datagram<'_>) -> bool {
        let source = datagram.source.ip();
        let interfaces = self.arrival_interfaces(datagram);
        interfaces.iter().any(|it| self.is_on_link(it, source))
    }

    /// The interface that the system reports, by itself or as the scope of the source (none if the
    /// two differ), or the possible ones: those with the source on their link, or else, for a source
    /// that is allowed, all but loopback.
    fn arrival_interfaces(&self, datagram: &Datagram<'_>) -> Vec<&Interface> {
        let among = |may_be: &dyn Fn(&Interface) -> bool| -> Vec<&Interface> {
            self.interfaces.iter().filter(|it| may_be(it)).collect()
        };
        let told = [datagram.arrival.interface, scope_of(datagram.source)];
        if told != [None, None] {
            return among(&|it| told.iter().flatten().all(|index| it.index == *index));
        }
        let on_link = among(&|it| it.flags.up && host::on_link(it, datagram.source.ip()));
        if on_link.is_empty() {
            return among(&|it| it.flags.up && !it.flags.loopback);
        }
        on_link
    }

    /// Whether an answer to `datagram`, which arrived on `interface`, may leave from `local`. That is
    /// the destination, if the interface has it or the system reports it as local, or if the system
    /// reports no local address and any interface has it; else an address on the source's network;
    /// else any address of the interface.
    fn is_local(&self, interface: &Interface, datagram: &Datagram<'_>, local: IpAddr) -> bool {
        let arrival = datagram.arrival;
        let is_reached = |ip: &IpAddr| match arrival.local {
            Some(local) => local == *ip || host::held_by(interface, *ip),
            None => host::holds(self.interfaces, *ip),
        };
        if let Some(reached) = arrival.destination.filter(is_reached) {
            return local == reached;
        }
        let towards = host::addresses_towards(interface, datagram.source.ip());
        if !towards.is_empty() {
            return towards.contains(&local);
        }
        host::held_by(interface, local)
            || (interface.flags.loopback && arrival.local == Some(local))
    }
}

/// The interface that a link-local source is valid on, if it has a scope.
fn scope_of(source: SocketAddr) -> Option<u32> {
    match source {
        SocketAddr::V6(source) if source.ip().is_unicast_link_local() => {
            Some(source.scope_id()).filter(|scope| *scope != 0)
        }
        _ => None,
    }
}
