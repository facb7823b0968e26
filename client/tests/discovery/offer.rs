//! What a simulated server offers.

use bytes::BytesMut;
#[cfg(feature = "signed")]
use udp_discovery_client::protocol::SigningKey;
use udp_discovery_client::protocol::{
    Codec, Details, EncodedDetails, Nonce, Response, RunId, ServerId,
};

use crate::sim::RANDOM;

/// A server with details.
#[derive(Clone)]
pub(crate) struct Offer {
    pub(crate) details: Details,
    #[cfg(feature = "signed")]
    pub(crate) key: Option<SigningKey>,
}

impl Offer {
    /// A server without a key, of which every byte of the id has this value.
    pub(crate) fn unsigned(id: u8) -> Self {
        Self {
            details: Details::new(ServerId::new([id; 32]), RunId::new([1; 8])),
            #[cfg(feature = "signed")]
            key: None,
        }
    }

    /// A server with a key that is made of this value.
    #[cfg(feature = "signed")]
    pub(crate) fn signed(key: u8) -> Self {
        let key = SigningKey::from_bytes(&[key; 32]);
        Self {
            details: Details::new(key.id(), RunId::new([1; 8])),
            key: Some(key),
        }
    }

    pub(crate) fn named(mut self, name: &str) -> Self {
        self.details = self.details.with_name(name).unwrap();
        self
    }

    pub(crate) fn with(mut self, key: &str, value: &str) -> Self {
        self.details = self.details.with_property(key, value).unwrap();
        self
    }

    pub(crate) fn run(mut self, run: u8) -> Self {
        self.details = self.details.with_run(RunId::new([run; 8]));
        self
    }

    /// The same without its signature.
    #[cfg(feature = "signed")]
    pub(crate) fn stripped(mut self) -> Self {
        self.key = None;
        self
    }

    pub(crate) fn id(&self) -> ServerId {
        self.details.id()
    }

    /// The answer to the probe with this number, which claims an address and perhaps a port.
    pub(crate) fn answer(&self, probe: u8, claim: &str) -> Vec<u8> {
        self.answer_to(&request(RANDOM, probe), claim)
    }

    /// The answer to a request.
    pub(crate) fn answer_to(&self, request: &[u8], claim: &str) -> Vec<u8> {
        let codec = Codec::default();
        let nonce = codec.decode_details_request(request).unwrap();
        let claim: std::net::SocketAddr = claim.parse().unwrap();
        let response = Response::new(
            claim.ip().to_string().parse().unwrap(),
            std::num::NonZeroU16::new(claim.port()),
        );
        let encoded = EncodedDetails::new(&self.details, &codec, self.is_signed()).unwrap();
        let mut answer = BytesMut::new();
        codec.encode_details(response, nonce, &encoded, &mut answer);
        #[cfg(feature = "signed")]
        if let Some(key) = &self.key {
            key.sign(request, &mut answer);
        }
        answer.to_vec()
    }

    #[cfg(feature = "signed")]
    fn is_signed(&self) -> bool {
        self.key.is_some()
    }

    #[cfg(not(feature = "signed"))]
    #[allow(clippy::unused_self, reason = "it depends on the feature")]
    fn is_signed(&self) -> bool {
        false
    }
}

/// A request for details.
pub(crate) fn request(random: [u8; 15], probe: u8) -> Vec<u8> {
    let mut request = BytesMut::new();
    Codec::default().encode_details_request(Nonce::new(random, probe), &mut request);
    request.to_vec()
}
