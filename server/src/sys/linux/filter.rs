//! A socket filter with which the kernel drops every datagram that is no request before it is
//! queued (socket(7), `SO_ATTACH_FILTER`), so that junk does not wake the server. The responder
//! has the same rule, for other systems and to count what is dropped.

use std::io;

use nix::libc::{BPF_ABS, BPF_B, BPF_H, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_LEN, BPF_RET, BPF_W};
use socket2::{SockFilter, SockRef};
use udp_discovery_protocol::{DETAILS_LEN, Word};

/// The filter sees the datagram from its UDP header on.
const UDP_HEADER: u32 = 8;

/// One instruction of the classic Berkeley packet filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Instruction {
    code: u32,
    /// How many instructions to skip if a comparison fails.
    if_not: u8,
    operand: u32,
}

/// Attaches the filter for the request `message` to `socket`, and with `details` for requests for them.
pub(crate) fn attach(
    socket: &impl std::os::fd::AsFd,
    message: &Word,
    details: bool,
) -> io::Result<()> {
    let filter: Vec<SockFilter> = program(message.as_bytes(), details)
        .into_iter()
        .map(|it| {
            let code = u16::try_from(it.code).expect("every code is less than 256");
            SockFilter::new(code, 0, it.if_not, it.operand)
        })
        .collect();
    SockRef::from(socket).attach_filter(&filter)
}

/// Accepts a datagram whose payload is `request` and, with `details`, one that has the length and the
/// beginning of a request for details. Drops any other.
fn program(request: &[u8], details: bool) -> Vec<Instruction> {
    let mut program = accept(request.len(), request);
    if details {
        let beginning = [request, b"\n1 "].concat();
        program.extend(accept(DETAILS_LEN, &beginning));
    }
    program.push(instruction(BPF_RET | BPF_K, 0, 0));
    program
}

/// Accepts a datagram whose payload has `len` bytes and begins with `beginning`. For any other, what
/// follows decides.
fn accept(len: usize, beginning: &[u8]) -> Vec<Instruction> {
    let len = u32::try_from(len).expect("it is at most 512");
    let mut comparisons = vec![(BPF_LD | BPF_W | BPF_LEN, 0, UDP_HEADER + len)];
    let mut at = UDP_HEADER;
    let mut rest = beginning;
    while !rest.is_empty() {
        let (size, width) = match rest.len() {
            4.. => (BPF_W, 4),
            2.. => (BPF_H, 2),
            _ => (BPF_B, 1),
        };
        let (bytes, others) = rest.split_at(width);
        let number = bytes
            .iter()
            .fold(0, |number, byte| number << 8 | u32::from(*byte));
        comparisons.push((BPF_LD | BPF_ABS | size, at, number));
        at += u32::try_from(width).expect("at most 4");
        rest = others;
    }

    let count = comparisons.len();
    let mut program = Vec::with_capacity(2 * count + 1);
    for (done, (load, from, expected)) in comparisons.into_iter().enumerate() {
        // Past the acceptance: over two for each remaining comparison, and the acceptance.
        let past = 2 * (count - done - 1) + 1;
        program.push(instruction(load, 0, from));
        program.push(instruction(BPF_JMP | BPF_JEQ | BPF_K, past, expected));
    }
    program.push(instruction(BPF_RET | BPF_K, 0, u32::MAX));
    program
}

fn instruction(code: u32, if_not: usize, operand: u32) -> Instruction {
    // The length is compared, and 67 bytes by four, the last three by two and one.
    let if_not = u8::try_from(if_not).expect("there are at most 19 comparisons");
    Instruction {
        code,
        if_not,
        operand,
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use proptest::prelude::*;
    use udp_discovery_protocol::{Codec, Nonce};

    use super::*;

    /// Runs `program` as the kernel does. Returns whether it accepts the datagram.
    fn accepts(program: &[Instruction], payload: &[u8]) -> bool {
        let datagram = [&[0; UDP_HEADER as usize], payload].concat();
        let bytes = |from: u32, width: usize| {
            let from = from as usize;
            let bytes = datagram.get(from..from + width)?;
            Some(
                bytes
                    .iter()
                    .fold(0, |number, byte| number << 8 | u32::from(*byte)),
            )
        };
        let mut accumulator = 0;
        let mut at = 0;
        loop {
            let it = program[at];
            at += 1;
            let loaded = match it.code {
                code if code == BPF_RET | BPF_K => return it.operand > 0,
                code if code == BPF_JMP | BPF_JEQ | BPF_K => {
                    if accumulator != it.operand {
                        at += usize::from(it.if_not);
                    }
                    continue;
                }
                code if code == BPF_LD | BPF_W | BPF_LEN => u32::try_from(datagram.len()).ok(),
                code if code == BPF_LD | BPF_ABS | BPF_W => bytes(it.operand, 4),
                code if code == BPF_LD | BPF_ABS | BPF_H => bytes(it.operand, 2),
                code if code == BPF_LD | BPF_ABS | BPF_B => bytes(it.operand, 1),
                code => panic!("no such instruction: {code}"),
            };
            match loaded {
                Some(number) => accumulator = number,
                None => return false, // a load beyond the end
            }
        }
    }

    #[test]
    fn only_the_request_is_accepted_whatever_its_length() {
        for len in 1..=Word::MAX_LEN {
            let request: Vec<u8> = (0..len)
                .map(|at| b'A' + u8::try_from(at).unwrap())
                .collect();
            let program = program(&request, false);
            assert!(accepts(&program, &request));
            assert!(!accepts(&program, &request[..len - 1]));
            assert!(!accepts(&program, &[&request[..], b"\n"].concat()));
            for bit in 0..len * 8 {
                let mut flipped = request.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert!(!accepts(&program, &flipped), "bit {bit} of {len} bytes");
            }
        }
    }

    #[test]
    fn where_details_are_offered_512_bytes_that_begin_like_a_request_for_them_are_accepted_too() {
        for len in 1..=Word::MAX_LEN {
            let request: Vec<u8> = (0..len)
                .map(|at| b'A' + u8::try_from(at % 26).unwrap())
                .collect();
            let offering = program(&request, true);
            assert!(accepts(&offering, &request));
            let details = details_request(&request);
            assert!(accepts(&offering, &details));
            assert!(!accepts(&program(&request, false), &details));
            assert!(!accepts(&offering, &details[..DETAILS_LEN - 1]));
            assert!(!accepts(&offering, &[&details[..], b" "].concat()));
            for bit in 0..(len + 3) * 8 {
                let mut flipped = details.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert!(!accepts(&offering, &flipped), "bit {bit} of {len} bytes");
            }
        }
    }

    fn details_request(message: &[u8]) -> Vec<u8> {
        let message = Word::new(std::str::from_utf8(message).unwrap()).unwrap();
        let codec = Codec::new(message, Word::new("~").unwrap()).unwrap();
        let mut request = BytesMut::new();
        codec.encode_details_request(Nonce::new([7; 15], 3), &mut request);
        request.to_vec()
    }

    proptest! {
        #[test]
        fn the_filter_and_the_codec_agree(payload in proptest::collection::vec(any::<u8>(), 0..80)) {
            let request = b"DISCOVER_SERVER";
            for details in [false, true] {
                prop_assert_eq!(accepts(&program(request, details), &payload), payload == request);
            }
        }
    }
}
