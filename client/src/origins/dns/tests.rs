use std::cell::RefCell;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::op::{Message, MessageType, ResponseCode};
use hickory_resolver::proto::rr::Record;
use hickory_resolver::proto::rr::rdata::{A, CNAME, PTR, TXT};

use super::*;

const SERVICE: &str = "_http._tcp.example";
const TIMEOUT: Duration = Duration::from_secs(1);

/// What a DNS server answers to a request, by UDP or not. `None` is silence.
type Script = dyn Fn(&Message, bool) -> Option<Message> + Send + Sync;

/// Starts a DNS server on loopback, by UDP and TCP.
fn server(
    script: impl Fn(&Message, bool) -> Option<Message> + Send + Sync + 'static,
) -> SocketAddr {
    let script: Arc<Script> = Arc::new(script);
    let (udp, tcp) = loop {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        // The port may be taken there.
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()) {
            break (udp, tcp);
        }
    };
    let address = udp.local_addr().unwrap();
    let by_udp = Arc::clone(&script);
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok((len, client)) = udp.recv_from(&mut buffer) {
            let request = Message::from_vec(&buffer[..len]).unwrap();
            if let Some(answer) = by_udp(&request, true) {
                let _ = udp.send_to(&answer.to_vec().unwrap(), client);
            }
        }
    });
    thread::spawn(move || {
        for stream in tcp.incoming() {
            let mut stream = stream.unwrap();
            let script = Arc::clone(&script);
            thread::spawn(move || {
                let mut len = [0; 2];
                while stream.read_exact(&mut len).is_ok() {
                    let mut request = vec![0; u16::from_be_bytes(len).into()];
                    stream.read_exact(&mut request).unwrap();
                    let request = Message::from_vec(&request).unwrap();
                    if let Some(answer) = script(&request, false) {
                        let answer = answer.to_vec().unwrap();
                        let len = u16::try_from(answer.len()).unwrap();
                        let _ = stream.write_all(&len.to_be_bytes());
                        let _ = stream.write_all(&answer);
                    }
                }
            });
        }
    });
    address
}

/// What a search finds that asks `server`, and its error.
fn browse_up_to(server: SocketAddr, max_instances: usize) -> (Vec<Instance>, Result<(), NetError>) {
    let [mut udp, mut tcp] = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
    (udp.port, tcp.port) = (server.port(), server.port());
    let mut name_server = NameServerConfig::udp(server.ip());
    name_server.connections = vec![udp, tcp];
    let config = ResolverConfig::from_name_servers(vec![name_server]);
    let provider = TokioRuntimeProvider::default();
    let mut builder = Resolver::builder_with_config(config, provider);
    *builder.options_mut() = options(ResolverOpts::default(), TIMEOUT);
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    runtime.block_on(async {
        let dns = Dns(builder.build().unwrap());
        let found = RefCell::new(Vec::new());
        let push = |instance| found.borrow_mut().push(instance);
        let browse = dns.browse(SERVICE, max_instances, &push);
        let result = tokio::time::timeout(TIMEOUT * 3, browse).await;
        (found.take(), result.expect("it ends by itself"))
    })
}

fn browse(server: SocketAddr) -> (Vec<Instance>, Result<(), NetError>) {
    browse_up_to(server, 4096)
}

fn name(text: &str) -> Name {
    Name::from_utf8(text).unwrap()
}

/// The name of an instance of the service.
fn instance(label: &[u8]) -> Name {
    Name::from_labels([label, b"_http", b"_tcp", b"example"]).unwrap()
}

fn answer(request: &Message, records: impl IntoIterator<Item = RData>) -> Message {
    let name = &request.queries[0].name;
    let mut answer = Message::new(request.id, MessageType::Response, request.op_code);
    answer.add_queries(request.queries.clone());
    answer.add_answers(
        records
            .into_iter()
            .map(|it| Record::from_rdata(name.clone(), 60, it)),
    );
    answer
}

fn fails(request: &Message, code: ResponseCode) -> Message {
    let mut answer = answer(request, []);
    answer.metadata.response_code = code;
    answer
}

/// Answers for one instance at 10.0.0.7:8000, and with `pointers` for the service.
fn honest(request: &Message, pointers: impl IntoIterator<Item = Name>) -> Message {
    match request.queries[0].query_type {
        RecordType::PTR => answer(request, pointers.into_iter().map(|it| RData::PTR(PTR(it)))),
        RecordType::SRV => answer(
            request,
            [RData::SRV(SRV::new(0, 0, 8000, name("host.example.")))],
        ),
        RecordType::TXT => answer(request, [RData::TXT(TXT::from_bytes(vec![b"version=1"]))]),
        RecordType::A => answer(request, [RData::A(A(Ipv4Addr::new(10, 0, 0, 7)))]),
        _ => answer(request, []),
    }
}

#[test]
fn an_instance_has_its_address_port_and_properties() {
    let (found, result) = browse(server(|request, _| {
        Some(honest(request, [instance(b"My printer")]))
    }));
    result.unwrap();
    let expected = Instance::new(
        b"My printer",
        8000,
        [(Ipv4Addr::new(10, 0, 0, 7).into(), 0)],
        [&b"version=1"[..]],
    );
    assert_eq!(found, [expected]);
}

#[test]
fn a_service_without_instances_is_looked_up_as_one_itself() {
    let (found, result) = browse(server(|request, _| match request.queries[0].query_type {
        RecordType::PTR => Some(fails(request, ResponseCode::NXDomain)),
        _ => Some(honest(request, [])),
    }));
    result.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].name, "host.example");
    assert_eq!(found[0].port.unwrap().get(), 8000);
}

#[test]
fn a_service_that_does_not_exist_is_no_error() {
    let (found, result) = browse(server(|request, _| {
        Some(fails(request, ResponseCode::NXDomain))
    }));
    result.unwrap();
    assert_eq!(found, []);
}

#[test]
fn fault_54_a_server_that_is_down_silent_or_refuses_is_an_error_in_time() {
    let down = UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let silent = server(|_, _| None);
    let refusing = server(|request, _| Some(fails(request, ResponseCode::Refused)));
    let failing = server(|request, _| Some(fails(request, ResponseCode::ServFail)));
    for server in [down, silent, refusing, failing] {
        let start = Instant::now();
        let (found, result) = browse(server);
        assert_eq!(found, []);
        result.unwrap_err();
        assert!(start.elapsed() < TIMEOUT * 5 / 2, "{:?}", start.elapsed());
    }
}

#[test]
fn fault_54_answers_to_other_questions_are_no_answers() {
    let (found, result) = browse(server(|request, _| {
        let mut lie = honest(request, [instance(b"a")]);
        lie.metadata.id = lie.metadata.id.wrapping_add(1);
        Some(lie)
    }));
    assert_eq!(found, []);
    result.unwrap_err();

    let (found, _) = browse(server(|request, _| {
        let mut lie = honest(request, [instance(b"a")]);
        lie.queries[0].name = name("other.example.");
        Some(lie)
    }));
    assert_eq!(found, []);
}

#[test]
fn fault_54_a_truncated_answer_is_asked_for_by_tcp() {
    let (found, result) = browse(server(|request, is_udp| {
        let honest = honest(request, [instance(b"a")]);
        Some(if is_udp { honest.truncate() } else { honest })
    }));
    result.unwrap();
    assert_eq!(found.len(), 1);
}

#[test]
fn fault_54_aliases_that_loop_end() {
    let start = Instant::now();
    let (found, _) = browse(server(|request, _| {
        let asked = &request.queries[0].name;
        let other = if *asked == name("a.example.") {
            "b.example."
        } else {
            "a.example."
        };
        Some(answer(request, [RData::CNAME(CNAME(name(other)))]))
    }));
    assert_eq!(found, []);
    assert!(start.elapsed() < TIMEOUT * 5 / 2, "{:?}", start.elapsed());
}

#[test]
fn fault_54_of_more_instances_than_are_kept_the_others_are_left_out() {
    let names = || (0..1000u32).map(|it| instance(format!("{it}").as_bytes()));
    let server = server(move |request, is_udp| {
        let is_large = request.queries[0].query_type == RecordType::PTR;
        let honest = honest(request, names());
        Some(if is_udp && is_large {
            honest.truncate()
        } else {
            honest
        })
    });
    let (found, result) = browse_up_to(server, 100);
    result.unwrap();
    assert_eq!(found.len(), 100);
}

#[test]
fn fault_54_names_with_control_characters_are_text() {
    let (found, result) = browse(server(|request, _| {
        Some(honest(request, [instance(b"\x1b[31m\"\n\xff")]))
    }));
    result.unwrap();
    assert_eq!(found[0].name, "\u{fffd}[31m\"\u{fffd}\u{fffd}");
}
