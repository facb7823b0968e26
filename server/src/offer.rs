//! Details: what a server offers to clients that ask who it is, and how often it answers them.

use std::time::Instant;

#[cfg(feature = "signed")]
use udp_discovery_protocol::SigningKey;
use udp_discovery_protocol::{Codec, EncodedDetails, Nonce, Response};

use crate::config::Config;
use crate::error::OfferError;
use crate::payload::{Payload, Payloads};
use crate::rate_limit::{Source, SourceLimit, TotalLimit};
use crate::stats::DropReason;

/// Details, encoded once, and the limits of the answers with them. Plain answers have limits of their
/// own, and neither touches the other.
#[derive(Debug)]
pub(crate) struct Offer {
    details: EncodedDetails,
    source_limit: Option<SourceLimit>,
    total_limit: Option<TotalLimit>,
    #[cfg(feature = "signed")]
    signer: Option<Signer>,
    payloads: Payloads,
}

#[cfg(feature = "signed")]
#[derive(Debug)]
struct Signer {
    key: SigningKey,
    limit: Option<TotalLimit>,
}

impl Offer {
    /// What `config` offers, or `None` if it has neither details nor a key.
    pub(crate) fn new(config: &Config, seed: [u64; 2]) -> Result<Option<Self>, OfferError> {
        let Some(details) = config.offered_details() else {
            return Ok(None);
        };
        #[cfg(feature = "signed")]
        if let Some(key) = config.signing_key().map(SigningKey::id)
            && details.id() != key
        {
            let id = details.id();
            return Err(OfferError::OtherId { id, key });
        }
        #[cfg(feature = "signed")]
        let signed = config.signing_key().is_some();
        #[cfg(not(feature = "signed"))]
        let signed = false;
        let source_limit = |limit| SourceLimit::new(limit, seed);
        Ok(Some(Self {
            details: EncodedDetails::new(&details, config.settings().codec(), signed)?,
            source_limit: config.details_limit().map(source_limit),
            total_limit: config.total_limit().map(TotalLimit::new),
            #[cfg(feature = "signed")]
            signer: config.signing_key().map(|key| Signer {
                key: key.clone(),
                limit: config.signature_limit().map(TotalLimit::new),
            }),
            payloads: Payloads::new(),
        }))
    }

    /// Checks the limits: of the source, in total, and of signatures, so that one source does not use
    /// up what all share.
    pub(crate) fn check_limits(&mut self, now: Instant, source: Source) -> Result<(), DropReason> {
        if let Some(limit) = &mut self.source_limit
            && !limit.permits(now, source)
        {
            return Err(DropReason::DetailsLimited);
        }
        if let Some(limit) = &mut self.total_limit
            && !limit.permits(now)
        {
            return Err(DropReason::TotalLimited);
        }
        #[cfg(feature = "signed")]
        if let Some(Signer { limit, .. }) = &mut self.signer
            && let Some(limit) = limit
            && !limit.permits(now)
        {
            return Err(DropReason::SignatureLimited);
        }
        Ok(())
    }

    /// The answer to `request`, whose nonce is `nonce`, signed if there is a key.
    #[cfg_attr(
        not(feature = "signed"),
        allow(unused_variables, reason = "it is signed")
    )]
    pub(crate) fn encode(
        &mut self,
        codec: &Codec,
        response: Response,
        nonce: Nonce,
        request: &[u8],
    ) -> Payload {
        self.payloads.write(|out| {
            codec.encode_details(response, nonce, &self.details, out);
            #[cfg(feature = "signed")]
            if let Some(signer) = &self.signer {
                signer.key.sign(request, out);
            }
        })
    }
}
