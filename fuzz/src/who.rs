//! The model of a search that asks for details: who must be found in the end, whatever the order of the
//! answers.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::IpAddr;
use std::num::NonZeroU16;

use bytes::BytesMut;
use udp_discovery_client::{Config, DiscoveredServer, Discovery, ServerKey};
use udp_discovery_protocol::{
    Codec, Details, DetailsAnswer, EncodedDetails, Nonce, Response, RunId, ServerId, SigningKey,
};

use crate::host;
use crate::input::Input;

/// The random bytes of every search.
pub(crate) const RANDOM: [u8; 15] = [0; 15];

/// How many endpoints a server has at most.
const MAX_ENDPOINTS: usize = 16;

/// The key of the only server that can sign.
fn key() -> SigningKey {
    SigningKey::from_bytes(&[9; 32])
}

/// The address to use and its port.
pub(crate) type Key = (IpAddr, u32, Option<NonZeroU16>);

/// The pinned or unpinned configuration with details.
pub(crate) fn config(config: Config, pinned: bool) -> Config {
    if pinned {
        config.with_pinned_ids([key().id()])
    } else {
        config.with_details(true)
    }
}

/// What was asked, and what was answered.
#[derive(Debug, Default)]
pub(crate) struct Who {
    /// The requests that were sent: the link, the address of a unicast destination, the probe.
    sent: HashSet<(usize, Option<IpAddr>, u8)>,
    /// The keys of the answers that count, by id and run.
    answers: BTreeMap<(ServerId, RunId), BTreeSet<Key>>,
    /// Those of them that are signed.
    genuine: BTreeSet<(RunId, Key)>,
    plain: BTreeSet<Key>,
    /// How many datagrams there were.
    pub(crate) datagrams: u64,
}

impl Who {
    pub(crate) fn sent(&mut self, link: usize, unicast: Option<IpAddr>, request: &[u8]) {
        let nonce = Codec::default().decode_details_request(request);
        let nonce = nonce.expect("it is a request for details");
        assert_eq!(nonce.random(), RANDOM);
        self.sent.insert((link, unicast, nonce.probe()));
    }

    /// Whether `answer` is one to a request of this search.
    pub(crate) fn is_asked(&self, link: usize, source: IpAddr, answer: &DetailsAnswer<'_>) -> bool {
        let sent = |ip| self.sent.contains(&(link, ip, answer.nonce.probe()));
        answer.nonce.random() == RANDOM && (sent(Some(source)) || sent(None))
    }

    /// Takes an answer that counts.
    pub(crate) fn answered(&mut self, answer: &DetailsAnswer<'_>, key: Key) {
        let keys = self.answers.entry((answer.id, answer.run)).or_default();
        keys.insert(key);
        let mut request = BytesMut::new();
        Codec::default().encode_details_request(answer.nonce, &mut request);
        if answer.verify(&request).is_ok() {
            self.genuine.insert((answer.run, key));
        }
    }

    pub(crate) fn answered_plain(&mut self, key: Key) {
        self.plain.insert(key);
    }

    /// A server has details or none, and nobody is impersonated.
    pub(crate) fn check_server(&self, server: &DiscoveredServer) {
        let (Some(id), Some(run)) = (server.id, server.run) else {
            assert!(self.plain.contains(&of(server.key())));
            assert!(server.endpoints.is_empty() && !server.verified);
            return;
        };
        let keys: Vec<Key> = server.endpoints.iter().map(|it| of(it.key())).collect();
        assert!(keys.len() <= MAX_ENDPOINTS);
        assert_eq!(keys.first(), Some(&of(server.key())));
        let distinct: BTreeSet<&Key> = keys.iter().collect();
        assert_eq!(distinct.len(), keys.len(), "an endpoint twice");
        let reachable = server
            .endpoints
            .iter()
            .map(|it| it.ip == it.source.expect("it answered").ip());
        assert!(reachable.is_sorted_by(|a, b| a >= b), "the reachable first");
        let answers = &self.answers[&(id, run)];
        assert!(keys.iter().all(|key| answers.contains(key)));
        if server.verified {
            assert_eq!(id, key().id());
            let is_genuine = |key: &Key| self.genuine.contains(&(run, *key));
            assert!(keys.iter().all(is_genuine), "somebody is impersonated");
        }
    }

    /// Everybody is found who answered, and nobody else.
    pub(crate) fn finish(&self, search: &Discovery, config: &Config) {
        let mut identities = BTreeSet::new();
        let (mut plain, mut keys) = (BTreeSet::new(), BTreeSet::new());
        let mut found = BTreeMap::<(ServerId, RunId), BTreeSet<Key>>::new();
        for server in search.servers() {
            self.check_server(server);
            match server.id.zip(server.run) {
                Some(identity) => {
                    let is_new = identities.insert((identity, server.verified));
                    assert!(is_new, "a server twice");
                    let endpoints = server.endpoints.iter().map(|it| of(it.key()));
                    found.entry(identity).or_default().extend(endpoints.clone());
                    keys.extend(endpoints);
                }
                None => assert!(plain.insert(of(server.key())), "an address twice"),
            }
        }
        assert!(
            plain.is_disjoint(&keys),
            "a plain answer beside its details"
        );
        assert!(search.servers().count() <= config.max_servers().get());
        let counts = search.report().counts;
        if !config.pinned_ids().is_empty() {
            let verified = |(_, verified): &(_, bool)| *verified;
            assert!(plain.is_empty() && identities.iter().all(verified));
        } else if !search.report().capped() {
            for (identity, answers) in &self.answers {
                let found = &found[identity];
                assert!(found == answers || found.len() >= MAX_ENDPOINTS);
            }
            assert!(
                self.plain
                    .iter()
                    .all(|it| plain.contains(it) || keys.contains(it))
            );
        }
        let counted = counts.accepted + counts.duplicates + counts.malformed + counts.too_long;
        let counted = counted + counts.wrong_source_port + counts.not_asked + counts.late;
        let counted = counted + counts.refused_address + counts.over_the_cap + counts.wrong_nonce;
        let counted = counted + counts.unsigned + counts.not_pinned + counts.wrong_signature;
        assert_eq!(
            counted + counts.not_verified,
            self.datagrams,
            "each is counted once"
        );
    }
}

fn of(key: ServerKey) -> Key {
    (key.ip, key.scope_id, key.port)
}

/// An answer: of three servers or of one with a key, to this search or another, signed or forged, whole or
/// cut.
pub(crate) fn answer(input: &mut Input<'_>) -> Vec<u8> {
    let codec = Codec::default();
    let ip = input.ip_among(&host::ADDRESSES).to_string().parse();
    let port = NonZeroU16::new(input.byte().into());
    let form = input.byte();
    let random = if form & 0x80 == 0 { RANDOM } else { [1; 15] };
    let nonce = Nonce::new(random, input.byte() % 4);
    let id = match form >> 2 & 3 {
        3 => key().id(),
        other => ServerId::new([other; 32]),
    };
    let details = Details::new(id, RunId::new([form >> 4 & 1; 8]));
    let details = details.with_name("a").expect("it is a name");
    let encoded = EncodedDetails::new(&details, &codec, true).expect("they are short");
    let Ok(ip) = ip else { return Vec::new() };
    let (mut request, mut answer) = (BytesMut::new(), BytesMut::new());
    codec.encode_details_request(nonce, &mut request);
    codec.encode_details(Response::new(ip, port), nonce, &encoded, &mut answer);
    match form & 3 {
        0 => {}
        1 => key().sign(&request, &mut answer),
        // It signs what is changed then.
        2 => {
            key().sign(&request, &mut answer);
            let start = b"SERVER_IP:".len();
            let digit = answer[start..].iter().position(|it| *it == b'1');
            if let Some(at) = digit {
                answer[start + at] = b'2';
            }
        }
        _ => answer.truncate(usize::from(input.byte())),
    }
    answer.to_vec()
}
