//! Whose answers count.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use udp_discovery_client::protocol::ServerId;
use udp_discovery_client::{Alarm, Config, Counts, Discovery, Host};

use crate::offer::{Offer, request};
use crate::sim::{MS, RANDOM, Sim, eth0, server};

const CLAIM: &str = "10.0.1.7:8000";

/// A search of which every probe was sent.
fn asking(config: &Config, known: &[(&str, ServerId)]) -> Sim {
    let known = known.iter().map(|(name, id)| ((*name).to_owned(), *id));
    let host = Host::new([eth0()]).with_known_servers(known);
    let mut sim = Sim::of(Instant::now(), |now| {
        Discovery::new(now, config, &host, RANDOM).unwrap()
    });
    sim.send();
    sim
}

/// A search that trusts only this server.
fn pinning(offer: &Offer) -> Sim {
    asking(&Config::default().with_pinned_ids([offer.id()]), &[])
}

impl Sim {
    /// Whether each server in the end is verified.
    fn verified(&self) -> Vec<bool> {
        self.search.servers().map(|it| it.verified).collect()
    }

    fn alarms(&self) -> &[Alarm] {
        &self.search.report().alarms
    }
}

/// An answer with one character of its signature changed.
fn broken(offer: &Offer) -> Vec<u8> {
    let mut answer = offer.answer(0, CLAIM);
    let at = answer.len() - 40;
    answer[at] = if answer[at] == b'A' { b'B' } else { b'A' };
    answer
}

/// A point of small order as an id, and a signature that a verifier which is not strict accepts.
fn small_order() -> Vec<u8> {
    let mut id = [0; 32];
    id[0] = 1;
    let mut offer = Offer::unsigned(0);
    offer.details = offer.details.with_id(ServerId::new(id));
    let mut signature = [0; 64];
    signature[0] = 1;
    let text = ServerId::new(signature[..32].try_into().unwrap()).to_string();
    let mut answer = offer.answer(0, CLAIM);
    // R is the neutral element and S is 0.
    answer.extend(format!("sig={}", &text[..42]).into_bytes());
    answer.extend([b'A'; 44]);
    answer.push(b'\n');
    answer
}

/// What becomes of forgeries of a server: the answer, and which count it has if the server is pinned.
type Forgery = (&'static str, Vec<u8>, fn(&Counts) -> u64);

fn forgeries(offer: &Offer) -> Vec<Forgery> {
    let with_id = |mut other: Offer| {
        other.details = other.details.with_id(offer.id());
        other.answer(0, CLAIM)
    };
    let of_another_request = {
        let answer = offer.answer_to(&request(*b"another search!", 0), CLAIM);
        let text = String::from_utf8(answer).unwrap();
        let nonce = |text: &str| text.lines().nth(1).unwrap().to_owned();
        let own = String::from_utf8(offer.answer(0, CLAIM)).unwrap();
        text.replace(&nonce(&text), &nonce(&own)).into_bytes()
    };
    let moved = String::from_utf8(offer.answer(0, CLAIM)).unwrap();
    vec![
        ("plain", format!("SERVER_IP:{CLAIM}").into(), |it| {
            it.unsigned
        }),
        (
            "stripped",
            offer.clone().stripped().answer(0, CLAIM),
            |it| it.unsigned,
        ),
        ("wrong", broken(offer), |it| it.wrong_signature),
        ("another key", with_id(Offer::signed(1)), |it| {
            it.wrong_signature
        }),
        ("another id", Offer::signed(2).answer(0, CLAIM), |it| {
            it.not_pinned
        }),
        ("another request", of_another_request, |it| {
            it.wrong_signature
        }),
        (
            "moved",
            moved.replace("1.7:8000", "1.9:8000").into(),
            |it| it.wrong_signature,
        ),
        ("small order", small_order(), |it| it.not_pinned),
    ]
}

#[test]
fn fault_60_with_pins_a_forgery_is_dropped_and_counted_by_its_reason() {
    let offer = Offer::signed(9);
    for (at, (name, answer, count)) in (1..).zip(forgeries(&offer)) {
        let mut sim = pinning(&offer);
        sim.receive(0, server(at), &answer);
        assert_eq!(count(&sim.counts()), 1, "{name}");
        assert_eq!(sim.search.servers().count(), 0, "{name}");
        sim.receive(0, server(7), &offer.answer(0, CLAIM));
        assert_eq!(
            (sim.found(), sim.verified()),
            (vec![CLAIM.into()], vec![true])
        );
    }
}

#[test]
fn fault_60_without_pins_a_forgery_is_not_verified() {
    let offer = Offer::signed(9);
    for (name, answer, _) in forgeries(&offer) {
        let mut sim = asking(&Config::default().with_details(true), &[]);
        sim.receive(0, server(7), &answer);
        sim.search.handle_timeout(sim.search.deadline());
        let is_valid = name == "another id";
        assert_eq!(sim.verified(), [is_valid], "{name}");
    }
}

/// The budget of verifications is for the whole search, and a source has two failures.
#[test]
fn fault_61_of_a_hundred_thousand_forgeries_from_one_source_the_pinned_server_is_found() {
    let offer = Offer::signed(9);
    let mut sim = pinning(&offer);
    let forged = broken(&offer);
    for _ in 0..100_000 {
        sim.receive(0, server(8), &forged);
    }
    sim.receive(0, server(7), &offer.answer(0, CLAIM));
    assert_eq!(
        (sim.found(), sim.verified()),
        (vec![CLAIM.into()], vec![true])
    );
    let counts = sim.counts();
    assert_eq!((counts.wrong_signature, counts.not_verified), (2, 99_998));
}

#[test]
fn fault_61_a_hundred_thousand_forgeries_from_forged_sources_impersonate_nobody() {
    let offer = Offer::signed(9);
    let mut sim = pinning(&offer);
    let forged = broken(&offer);
    for number in 0..100_000_u32 {
        let [_, high, middle, low] = number.to_be_bytes();
        let source = SocketAddr::from(([10, high + 3, middle, low], 9999));
        sim.receive(0, source, &forged);
    }
    let counts = sim.counts();
    assert_eq!(
        (counts.wrong_signature, counts.not_verified),
        (1000, 99_000)
    );
    // The forgers suppress the server, but nobody else is found.
    sim.receive(0, server(7), &offer.answer(0, CLAIM));
    assert_eq!(
        (sim.search.servers().count(), sim.counts().accepted),
        (0, 0)
    );
}

#[test]
fn a_verified_server_is_not_verified_again_for_each_probe() {
    let offer = Offer::signed(9);
    let mut sim = pinning(&offer);
    for _ in 0..2000 {
        sim.receive(0, server(7), &offer.answer(0, CLAIM));
    }
    sim.receive(0, server(8), &offer.answer(0, "10.0.1.8:8000"));
    let server = sim.search.servers().next().unwrap();
    assert_eq!((server.verified, server.endpoints.len()), (true, 2));
}

#[test]
fn the_address_in_the_answer_of_a_pinned_server_is_preferred_to_its_source() {
    let offer = Offer::signed(9);
    for (claim, pinned, other) in [
        ("203.0.113.9:1", "203.0.113.9:1", "10.0.1.7:1"),
        ("127.0.0.1:1", "10.0.1.7:1", "10.0.1.7:1"),
        ("10.0.1.8:1", "10.0.1.8:1", "10.0.1.8:1"),
    ] {
        let mut sim = pinning(&offer);
        sim.receive(0, server(7), &offer.answer(0, claim));
        assert_eq!(sim.found(), [pinned]);
        let mut sim = asking(&Config::default().with_details(true), &[]);
        sim.receive(0, server(7), &offer.answer(0, claim));
        assert_eq!(sim.found(), [other]);
    }
}

#[test]
fn fault_63_an_unsigned_answer_with_a_public_key_as_its_id_is_another_server() {
    let offer = Offer::signed(9);
    let stripped = offer.clone().stripped();
    let answers = [
        offer.answer(0, CLAIM),
        stripped.answer(0, CLAIM),
        stripped.answer(0, "10.0.1.8:8000"),
    ];
    for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2]] {
        let mut sim = asking(&Config::default().with_details(true), &[]);
        for at in order {
            sim.receive(0, server(7), &answers[at]);
        }
        let mut servers: Vec<_> = sim.search.servers().collect();
        servers.sort_by_key(|it| it.verified);
        let endpoints: Vec<usize> = servers.iter().map(|it| it.endpoints.len()).collect();
        assert_eq!(endpoints, [2, 1]);
        assert!(servers[1].verified && servers[1].to_string() == CLAIM);
        assert!(sim.search.report().repeated_ids.is_empty());
    }
}

#[test]
fn fault_65_another_id_under_a_known_name_is_an_alarm_and_no_result() {
    let (known, other) = (Offer::signed(9).named("db"), Offer::signed(8).named("db"));
    let config = Config::default().with_details(true);
    let alarm = |sim: &Sim| {
        let [alarm] = sim.alarms() else {
            panic!("one alarm")
        };
        assert_eq!((&*alarm.name, alarm.id), ("db", other.id()));
        assert_eq!((alarm.known_id, alarm.source), (known.id(), server(8)));
        alarm.known_answered
    };
    let [first, second] = [&known, &other].map(|it| it.answer(0, CLAIM));
    let mut sim = asking(&config, &[("db", known.id())]);
    sim.receive(0, server(8), &second);
    sim.receive(0, server(8), &second);
    assert!(!alarm(&sim));
    assert_eq!((sim.counts().other_id, sim.counts().accepted), (2, 0));
    // The known server answers after it, or before.
    sim.receive(0, server(7), &first);
    assert!(alarm(&sim));
    let mut sim = asking(&config, &[("db", known.id())]);
    sim.receive(0, server(7), &first);
    sim.receive(0, server(8), &second);
    assert!(alarm(&sim));
    let ids: Vec<_> = sim.search.servers().map(|it| it.id).collect();
    assert_eq!(ids, [Some(known.id())]);
}

#[test]
fn fault_65_what_is_not_verified_is_dropped_under_a_known_name() {
    let known = Offer::signed(9).named("db");
    let mut sim = asking(
        &Config::default().with_details(true),
        &[("db", known.id()), ("db", Offer::signed(1).id())],
    );
    let unsigned = Offer::unsigned(7);
    sim.receive(0, server(8), &unsigned.clone().named("db").answer(0, CLAIM));
    sim.receive(0, server(8), &known.clone().stripped().answer(0, CLAIM));
    for _ in 0..3 {
        sim.receive(0, server(8), &broken(&known));
    }
    let counts = sim.counts();
    assert_eq!((counts.unsigned, counts.wrong_signature), (2, 2));
    assert_eq!((counts.not_verified, counts.accepted), (1, 0));
    assert!(sim.alarms().is_empty());
    // Names are compared by byte, and a name may have several ids.
    for (at, offer) in [
        unsigned.clone().named("DB"),
        unsigned.run(3),
        Offer::signed(1).named("db"),
        Offer::signed(2).named("db2"),
    ]
    .into_iter()
    .enumerate()
    {
        sim.receive(0, server(7), &offer.answer(0, CLAIM));
        assert_eq!(sim.search.servers().count(), at + 1);
    }
}

/// Its plain answer would be a result without a word about it.
#[test]
fn fault_65_the_plain_answer_of_another_id_under_a_known_name_is_dropped_too() {
    let (known, other) = (Offer::signed(9).named("db"), Offer::signed(8).named("db"));
    let plain = format!("SERVER_IP:{CLAIM}").into_bytes();
    for other in [other.answer(0, CLAIM), other.stripped().answer(0, CLAIM)] {
        for is_released in [false, true] {
            let config = Config::default().with_details(true);
            let mut sim = asking(&config, &[("db", known.id())]);
            sim.receive(0, server(8), &plain);
            if is_released {
                sim.now += 125 * MS;
                sim.search.handle_timeout(sim.now);
            }
            sim.receive(0, server(8), &other);
            sim.receive(0, server(8), &plain);
            assert_eq!(sim.search.servers().count(), 0);
            let held = u64::from(!is_released);
            assert_eq!(sim.counts().accepted, 1 - held);
            assert!(sim.counts().unsigned > held);
            // The plain answer of somebody else at this address counts.
            sim.receive(0, server(7), &plain);
            sim.search.handle_timeout(sim.search.deadline());
            assert_eq!(sim.search.servers().count(), 1);
        }
    }
}

/// The cost of one verification, by hand: `cargo test --release -- --ignored --nocapture cost`.
#[test]
#[ignore = "it measures"]
fn the_cost_of_a_thousand_verifications() {
    let offer = Offer::signed(9);
    let mut sim = pinning(&offer);
    let forged = broken(&offer);
    let flood = |sim: &mut Sim| {
        let start = Instant::now();
        for number in 0..1000_u16 {
            sim.receive(0, server(number), &forged);
        }
        start.elapsed()
    };
    let (verified, dropped): (Duration, Duration) = (flood(&mut sim), flood(&mut sim));
    println!("verified {verified:?}, dropped {dropped:?}");
    assert!(sim.elapsed() < MS);
}
