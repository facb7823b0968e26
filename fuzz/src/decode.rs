//! Any bytes as a datagram. The codec must read them as the [plain reading](crate::wire) does, and
//! write them in the canonical form.
//!
//! The input: a byte that chooses the two words, and the datagram.

use bytes::BytesMut;
use udp_discovery_protocol::{Codec, DecodeError, Message, Request, Word};

use crate::input::Input;
use crate::wire::{self, Reading};

/// Words of every kind: the defaults, the shortest, the longest, and some that look like the text
/// after them.
const WORDS: [(&str, &str); 6] = [
    ("DISCOVER_SERVER", "SERVER_IP:"),
    ("?", "!"),
    ("[", "1"),
    ("1.2.3.4:", " "),
    ("größe", "größte:"),
    (
        "mmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmm",
        "pppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppp",
    ),
];

/// Checks the rules for one input.
///
/// # Panics
/// If one is broken.
pub fn check(data: &[u8]) {
    let mut input = Input::new(data);
    let (message, prefix) = input.choose(&WORDS);
    let word = |text| Word::new(text).expect("it is a word");
    let codec = Codec::new(word(message), word(prefix)).expect("they go together");
    check_datagram(&codec, input.rest());
}

/// Checks the rules for one datagram.
pub(crate) fn check_datagram(codec: &Codec, datagram: &[u8]) {
    let reading = wire::read(codec.message().as_str(), codec.prefix().as_str(), datagram);
    let decoded = codec.decode(datagram);
    let agree = match decoded {
        Ok(Message::Request(Request)) => reading == Reading::Request,
        Ok(Message::Response(it)) => reading == Reading::Response(it.ip(), it.port()),
        Err(DecodeError::Empty) => reading == Reading::Empty,
        Err(DecodeError::TooLong { len }) => reading == Reading::TooLong && len == datagram.len(),
        Err(DecodeError::UnknownMessage) => reading == Reading::Unknown,
        Err(DecodeError::NotAHost { ip }) => reading == Reading::NotAHost(ip),
        Err(_) => reading == Reading::Malformed,
    };
    assert!(agree, "{decoded:?} is {reading:?}");
    if let Ok(message) = decoded {
        check_canonical(codec, message, datagram);
    }
}

/// The canonical form has the same meaning, and is the datagram without its optional blanks.
fn check_canonical(codec: &Codec, message: Message, datagram: &[u8]) {
    let canonical = encoded(codec, message);
    assert_eq!(canonical.len(), codec.encoded_len(message));
    assert_eq!(codec.decode(&canonical), Ok(message));
    let is_ipv6 = matches!(message, Message::Response(response) if response.ip().is_ipv6());
    if !is_ipv6 {
        // An IPv6 address has several spellings; everything else has one.
        let prefix_len = codec.prefix().as_bytes().len().min(canonical.len());
        let (words, rest) = datagram.split_at(prefix_len);
        let blank = |byte: &u8| b" \t\r\n".contains(byte);
        let spelled = rest
            .iter()
            .filter(|byte| message == REQUEST || !blank(byte));
        assert!(words.iter().chain(spelled).eq(&canonical), "{canonical:?}");
    }
}

const REQUEST: Message = Message::Request(Request);

/// `message` as the codec appends it to a buffer.
pub(crate) fn encoded(codec: &Codec, message: Message) -> Vec<u8> {
    let mut buffer = BytesMut::from(&b"before"[..]);
    codec.encode(message, &mut buffer);
    let written = buffer.strip_prefix(b"before");
    written.expect("what was there is kept").to_vec()
}
