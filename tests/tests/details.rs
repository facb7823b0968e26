//! The codec and a second implementation of docs/details.md, in Python, understand each other.
#![cfg(target_os = "linux")]

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use bytes::BytesMut;
use udp_discovery_protocol::{
    Codec, Details, EncodedDetails, Nonce, Response, RunId, ServerId, SigningKey,
};
use udp_discovery_tests::python;

const RANDOM: [u8; 15] = *b"abcdefghijklmno";
const RUN: &str = "AQEBAQEBAQE";
const OFFER: [&str; 8] = [
    "--claim=[fe80::1]:8000",
    "--run",
    RUN,
    "--name=Küche",
    "--property",
    "path=/a=b",
    "--property",
    "X y=",
];

/// The second implementation, with a key.
struct Other {
    interpreter: PathBuf,
    key: SigningKey,
    pem: PathBuf,
}

impl Other {
    /// None if Python is missing. `test` names the file of the key.
    fn new(test: &str) -> Option<Self> {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let interpreter = python::peers(folder)?;
        let key = SigningKey::from_bytes(&[9; 32]);
        let pem = folder.join(format!("details-{test}.pem"));
        fs::write(&pem, key.to_pem()).unwrap();
        Some(Self {
            interpreter,
            key,
            pem,
        })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        python::details(&self.interpreter, arguments)
    }

    /// What a command prints, line by line, with `input` on standard input.
    fn run(&self, arguments: &[&str], input: String) -> Vec<String> {
        let mut command = self.command(arguments);
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let writer = thread::spawn(move || stdin.write_all(input.as_bytes()));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap().unwrap();
        assert!(output.status.success(), "{arguments:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// Its answers to requests; an empty one is silence.
    fn answers(&self, offer: &[&str], requests: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let arguments = [&["answer"], offer].concat();
        let lines = self.run(&arguments, lines_of(requests));
        lines.iter().map(|line| from_hex(line)).collect()
    }

    /// What it reads in answers to `request`, as lines of JSON.
    fn read(&self, request: &[u8], answers: &[Vec<u8>]) -> Vec<String> {
        let request = format!("--request={}", hex(request));
        self.run(&["read", &request], lines_of(answers))
    }

    fn signed(&self) -> [&str; 2] {
        ["--key", self.pem.to_str().unwrap()]
    }
}

fn lines_of(datagrams: &[Vec<u8>]) -> String {
    datagrams.iter().map(|it| hex(it) + "\n").collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes any text");
        text
    })
}

fn from_hex(text: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(byte).collect()
}

fn request() -> Vec<u8> {
    let mut request = BytesMut::new();
    Codec::default().encode_details_request(Nonce::new(RANDOM, 3), &mut request);
    request.to_vec()
}

fn details(id: ServerId) -> Details {
    let details = Details::new(id, RUN.parse::<RunId>().unwrap());
    let details = details.with_name("Küche").unwrap();
    let details = details.with_property("path", "/a=b").unwrap();
    details.with_property("X y", "").unwrap()
}

/// Our answer, with what [`OFFER`] says.
fn answer(request: &[u8], id: ServerId, key: Option<&SigningKey>) -> Vec<u8> {
    let codec = Codec::default();
    let nonce = codec.decode_details_request(request).unwrap();
    let response = Response::new("fe80::1".parse().unwrap(), NonZeroU16::new(8000));
    let encoded = EncodedDetails::new(&details(id), &codec, key.is_some()).unwrap();
    let mut answer = BytesMut::new();
    codec.encode_details(response, nonce, &encoded, &mut answer);
    if let Some(key) = key {
        key.sign(request, &mut answer);
    }
    answer.to_vec()
}

#[test]
fn the_other_implementation_answers_our_request_with_the_same_bytes() {
    let Some(other) = Other::new("answers") else {
        return;
    };
    let id = ServerId::new([7; 32]);
    let text = id.to_string();
    let unsigned = [&OFFER[..], &["--id", &text]].concat();
    let answers = other.answers(&unsigned, &[request()]);
    assert_eq!(answers, [answer(&request(), id, None)]);
    let read = Codec::default().decode_details(&answers[0]).unwrap();
    assert_eq!(read.nonce, Nonce::new(RANDOM, 3));
    assert_eq!(read.details(), details(id));

    let signed = [&OFFER[..], &other.signed()].concat();
    let answers = other.answers(&signed, &[request()]);
    let key = &other.key;
    assert_eq!(answers, [answer(&request(), key.id(), Some(key))]);
    let read = Codec::default().decode_details(&answers[0]).unwrap();
    assert_eq!(read.details(), details(key.id()));
    assert_eq!(read.verify(&request()), Ok(()));
}

#[test]
fn the_other_implementation_reads_our_answer_to_its_request() {
    let Some(other) = Other::new("reads") else {
        return;
    };
    let random = format!("--random={}", hex(&RANDOM));
    let requests = other.run(&["request", &random, "--probe=3"], String::new());
    assert_eq!(requests, [hex(&request())]);
    let key = &other.key;
    let request = from_hex(&requests[0]);
    let signed = answer(&request, key.id(), Some(key));
    let unsigned = answer(&request, key.id(), None);
    let lines = other.read(&request, &[signed, unsigned]);
    for (line, verified) in lines.iter().zip([true, false]) {
        let expected = format!(
            r#"{{"ip": "fe80::1", "port": 8000, "nonce": "YWJjZGVmZ2hpamtsbW5vAw", "id": "{}", "run": "{RUN}", "name": "K\u00fcche", "properties": {{"path": "/a=b", "X y": ""}}, "verified": {verified}}}"#,
            key.id()
        );
        assert_eq!(*line, expected);
    }
    assert_eq!(lines.len(), 2);
}

/// Every beginning of `datagram`, and `datagram` with each bit changed.
fn changed(datagram: &[u8]) -> Vec<Vec<u8>> {
    let beginnings = (0..=datagram.len()).map(|len| datagram[..len].to_vec());
    let flipped = (0..datagram.len() * 8).map(|bit| {
        let mut flipped = datagram.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        flipped
    });
    beginnings.chain(flipped).collect()
}

fn corpus() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/details");
    let files = fs::read_dir(folder).unwrap();
    files
        .map(|file| fs::read(file.unwrap().path()).unwrap())
        .collect()
}

/// Answers in which lines stand twice, in another order, or are odd.
fn odd_lines(signed: &[u8]) -> Vec<Vec<u8>> {
    let lines: Vec<&[u8]> = signed.split_inclusive(|byte| *byte == b'\n').collect();
    let mut odd = Vec::new();
    for from in 0..lines.len() {
        for to in 0..lines.len() {
            let mut moved = lines.clone();
            let line = moved.remove(from);
            moved.insert(to, line);
            odd.push(moved.concat());
            let mut twice = lines.clone();
            twice.insert(to, lines[from]);
            odd.push(twice.concat());
        }
        for line in [
            "id=\n",
            "ID=a\n",
            "Run=a\n",
            "NAME=a\n",
            "SIG=a\n",
            "name=\n",
            "a\n",
            "\n",
            "=\n",
            "a=\n",
            "a==\n",
            "a=\r\n",
            "a=\0\n",
            "a=\t\n",
            "a=\u{7f}\n",
            "a=\u{85}\n",
            "a=\u{2028}\n",
            "a=\u{feff}\n",
            "é=\n",
            " =\n",
            "~=\n",
            "!= \n",
            "sig=\n",
            "SIGN=a\n",
        ] {
            let mut more = lines.clone();
            more.insert(from, line.as_bytes());
            odd.push(more.concat());
        }
    }
    for invalid in [
        &b"a=\xff\n"[..],
        b"a=\xc0\x80\n",
        b"a=\xed\xa0\x80\n",
        b"a=\xe9\n",
    ] {
        odd.push([&lines[..4].concat(), invalid].concat());
    }
    odd
}

/// Answers with other first lines.
fn odd_responses(signed: &[u8]) -> Vec<Vec<u8>> {
    let at = signed.iter().position(|byte| *byte == b'\n').unwrap();
    let with = |first: &str| [format!("SERVER_IP:{first}").as_bytes(), &signed[at..]].concat();
    let responses = [
        "10.0.0.7",
        "10.0.0.07",
        "10.0.0.7:80",
        "10.0.0.7:080",
        "10.0.0.7:0",
        "10.0.0.7:65535",
        "10.0.0.7:65536",
        "10.0.0.7:",
        "10.0.0.7 ",
        " 10.0.0.7",
        "10.0.0.7\r",
        "10.0.0.7:+80",
        "10.0.0",
        "10.0.0.7.8",
        "0.0.0.0",
        "0.1.2.3",
        "240.0.0.1",
        "255.255.255.255",
        "224.0.0.1",
        "127.0.0.1",
        "169.254.1.1",
        "[::]",
        "[::1]",
        "[ff02::1]",
        "[::ffff:10.0.0.7]",
        "[::ffff:a00:7]",
        "[::a00:7]",
        "[::10.0.0.7]",
        "[FE80::1]",
        "[fe80::1%1]",
        "[fe80:0::1]",
        "[1:0:2:3:4:5:6:7]",
        "[1::2:3:4:5:6:7]",
        "[1:0:0:2:0:0:0:3]",
        "[1::2:0:0:0:3]",
        "[1:0:0:2::3]",
        "[2001:db8::0001]",
        "fe80::1",
        "[10.0.0.7]",
        "[fe80::1",
        "[fe80::1]80",
        "[fe80::1]:80",
        "[64:ff9b::a00:7]",
        "١0.0.0.7",
        "10.0.0.7:٨",
        "",
    ];
    responses.map(with).to_vec()
}

#[test]
fn fault_59_both_implementations_refuse_the_same_answers() {
    let Some(other) = Other::new("refuses") else {
        return;
    };
    let key = &other.key;
    let signed = answer(&request(), key.id(), Some(key));
    let unsigned = answer(&request(), ServerId::new([7; 32]), None);
    let longest = |len: usize| [&unsigned, &b"v="[..], &vec![b'x'; len], b"\n"].concat();
    let room = 512 - longest(0).len();
    let answers = [
        changed(&signed),
        changed(&unsigned),
        odd_lines(&signed),
        odd_responses(&signed),
        corpus(),
        vec![longest(room), longest(room + 1)],
    ];
    let answers = answers.concat();
    let lines = other.read(&request(), &answers);
    assert_eq!(lines.len(), answers.len());
    let mut accepted = 0;
    let mut verified = 0;
    for (answer, line) in answers.iter().zip(lines) {
        let ours = Codec::default().decode_details(answer);
        let text = String::from_utf8_lossy(answer);
        let is_refused = line.starts_with(r#"{"refused""#);
        assert_eq!(ours.is_err(), is_refused, "{text}\n{ours:?}\n{line}");
        let is_verified = ours.is_ok_and(|it| it.verify(&request()).is_ok());
        assert_eq!(
            is_verified,
            line.contains(r#""verified": true"#),
            "{text}\n{line}"
        );
        accepted += usize::from(!is_refused);
        verified += usize::from(is_verified);
    }
    // What is compared is not all refused, and not all accepted.
    let refused = answers.len() - accepted;
    assert!(accepted > 100 && refused > 1000, "{accepted} {refused}");
    assert!(verified > 0, "the signed answer itself");
}

#[test]
fn fault_57_both_implementations_refuse_the_same_requests() {
    let Some(other) = Other::new("requests") else {
        return;
    };
    let long = [&request()[..], b" "].concat();
    let padded = b"\t\n\r\0\x0b".map(|byte| [&request()[..511], &[byte]].concat());
    let requests = [changed(&request()), corpus(), padded.to_vec(), vec![long]].concat();
    let answers = other.answers(&[], &requests);
    assert_eq!(answers.len(), requests.len());
    for (request, answer) in requests.iter().zip(answers) {
        let nonce = Codec::default().decode_details_request(request);
        // A beginning of a request is a plain request, which gets a plain answer.
        let answered = (!answer.is_empty() && request != b"DISCOVER_SERVER")
            .then(|| Codec::default().decode_details(&answer).unwrap().nonce);
        assert_eq!(nonce.ok(), answered, "{}", String::from_utf8_lossy(request));
    }
}

#[test]
fn fault_60_both_implementations_refuse_the_same_signatures() {
    let Some(other) = Other::new("signatures") else {
        return;
    };
    let signed = answer(&request(), other.key.id(), Some(&other.key));
    let mut another_request = request();
    another_request[20] ^= 1;
    let forged = answer(
        &request(),
        other.key.id(),
        Some(&SigningKey::from_bytes(&[8; 32])),
    );
    let sum = with_the_order_added_to_s(&signed);
    let mut answers = vec![signed, forged, sum];
    // The identities and halves of signatures of small order, and some that are written oddly.
    let points: Vec<[u8; 32]> = [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000080",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    ]
    .map(|text| from_hex(text).try_into().unwrap())
    .to_vec();
    for id in &points {
        for r in &points {
            let mut answer = answer(&request(), ServerId::new(*id), None);
            answer.extend_from_slice(b"sig=");
            answer.extend_from_slice(base64(&[&r[..], &[0; 32]].concat()).as_bytes());
            answer.push(b'\n');
            answers.push(answer);
        }
    }
    for (request, right) in [(request(), true), (another_request, false)] {
        let lines = other.read(&request, &answers);
        assert_eq!(lines.len(), answers.len());
        for (at, (answer, line)) in answers.iter().zip(lines).enumerate() {
            let ours = Codec::default().decode_details(answer).unwrap();
            assert_eq!(ours.verify(&request).is_ok(), at == 0 && right, "{at}");
            assert_eq!(
                line.contains(r#""verified": true"#),
                at == 0 && right,
                "{line}"
            );
        }
    }
}

/// The same signature in another form, S plus the order of the group, which strict verification refuses.
fn with_the_order_added_to_s(signed: &[u8]) -> Vec<u8> {
    let order = from_hex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
    let read = Codec::default().decode_details(signed).unwrap();
    let mut signature = read.signature.unwrap();
    let mut carry = 0;
    for (byte, more) in signature[32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(more) + carry;
        *byte = sum.to_le_bytes()[0];
        carry = sum >> 8;
    }
    let lines = &signed[..signed.len() - 91];
    let text = format!("sig={}\n", base64(&signature));
    [lines, text.as_bytes()].concat()
}

/// Base64url without padding.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let bit = |at: usize| bytes.get(at / 8).map_or(0, |byte| byte >> (7 - at % 8) & 1);
    let digit = |at| (at..at + 6).fold(0, |digit, at| digit << 1 | bit(at));
    let digits = (0..bytes.len() * 8).step_by(6).map(digit);
    digits
        .map(|digit| char::from(ALPHABET[usize::from(digit)]))
        .collect()
}

#[test]
fn both_ends_of_the_other_implementation_meet_on_loopback() {
    let Some(other) = Other::new("meet") else {
        return;
    };
    let mut server = other.command(&[&["serve", "--port=0"], &OFFER[..], &other.signed()].concat());
    let server = server.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut server = server.spawn().unwrap();
    let mut ready = String::new();
    let mut stdout = BufReader::new(server.stdout.take().unwrap());
    stdout.read_line(&mut ready).unwrap();
    let (_, port) = ready.split_once(r#""port": "#).unwrap();
    let (port, _) = port.split_once(',').unwrap();
    let id = other.key.id().to_string();
    let arguments = ["discover", "127.0.0.1", "--timeout=2", "--port", port];
    let found = other.run(&[&arguments[..], &["--pin", &id]].concat(), String::new());
    let strange = ServerId::new([7; 32]).to_string();
    let pinned = other.run(
        &[&arguments[..], &["--pin", &strange]].concat(),
        String::new(),
    );
    drop(server.stdin.take());
    assert!(server.wait().unwrap().success());
    assert!(found[0].contains(r#""verified": true"#), "{found:?}");
    assert!(found[0].contains(r#""name": "K\u00fcche""#), "{found:?}");
    assert!(pinned[0].starts_with(r#"{"servers": []"#), "{pinned:?}");
}
