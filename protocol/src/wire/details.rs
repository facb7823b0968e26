//! Details, version 1: who answers, besides where. docs/details.md specifies them.

mod answer;
mod ids;
mod offer;
mod request;
#[cfg(feature = "signed")]
mod signature;

pub use answer::{DetailsAnswer, DetailsError, Properties};
pub use ids::{Nonce, ParseIdError, RunId, ServerId};
pub use offer::{Details, DetailsTooLong, EncodedDetails, InvalidDetails};
pub use request::{DETAILS_LEN, DetailsRequestError};
#[cfg(feature = "signed")]
pub use signature::{KeyError, SigningKey, VerifyError};

/// The version, and the space after it, which begin the second line of a request and of an answer.
const VERSION: &[u8] = b"1 ";

/// The names that no property may have, in any case.
const RESERVED: [&str; 4] = ["id", "run", "name", "sig"];

/// The longest name of a server, in bytes.
const MAX_NAME_LEN: usize = 63;

/// Whether `text` can be a name or the value of a property.
fn is_text(text: &str) -> bool {
    !text.contains(char::is_control)
}

/// Whether `key` can be the key of a property (RFC 6763, section 6.4).
fn is_key(key: &str) -> bool {
    let is_allowed = |byte| (b' '..=b'~').contains(&byte) && byte != b'=';
    !key.is_empty() && key.bytes().all(is_allowed)
}

fn is_reserved(key: &str) -> bool {
    RESERVED.iter().any(|name| name.eq_ignore_ascii_case(key))
}
