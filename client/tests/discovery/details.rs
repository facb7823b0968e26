//! Servers that say who they are.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use udp_discovery_client::protocol::Codec;
use udp_discovery_client::{Config, Discovery, Host, ResolvedTarget, Route, Transmit};

use crate::offer::{Offer, request};
use crate::sim::{Faults, MS, RANDOM, Sim, eth0, server};

fn details() -> Config {
    Config::default().with_details(true)
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

impl Sim {
    /// The servers in the end, as they are displayed, each with its name and endpoints.
    fn listed(&self) -> Vec<String> {
        let servers = self.search.servers().map(|server| {
            let endpoints: Vec<String> = server.endpoints.iter().map(ToString::to_string).collect();
            let name = server.name.as_deref().unwrap_or("-");
            format!("{server} {name} {}", endpoints.join(","))
        });
        servers.collect()
    }
}

/// Every datagram of a search in which nobody answers, with the time that it is sent at.
fn sent(config: &Config, host: &Host) -> Vec<(Duration, Transmit)> {
    let start = Instant::now();
    let mut search = Discovery::new(start, config, host, RANDOM).unwrap();
    let (mut now, mut sent) = (start, Vec::new());
    loop {
        while let Some(transmit) = search.poll_transmit(now) {
            sent.push((now - start, transmit));
        }
        match search.poll_timeout() {
            Some(at) => now = at,
            None => return sent,
        }
        search.handle_timeout(now);
    }
}

/// A host with a target.
fn asking_a_host() -> Host {
    let route = Route {
        remote: address("10.15.0.7:7777"),
        local: "10.0.0.2".parse().unwrap(),
    };
    let target = ResolvedTarget::new("10.15.0.7:7777".parse().unwrap(), [route]);
    Host::new([eth0()]).with_targets([target])
}

/// A host that sweeps 10.15.0.1 to 10.15.0.6.
fn sweeping() -> Host {
    let route = Route {
        remote: address("10.15.0.1:9999"),
        local: "10.0.0.2".parse().unwrap(),
    };
    let target = ResolvedTarget::new("10.15.0.0/29".parse().unwrap(), [route]);
    Host::new([eth0()]).with_targets([target])
}

#[test]
fn without_details_every_datagram_is_the_plain_request() {
    for host in [asking_a_host(), sweeping()] {
        let sent = sent(&Config::default(), &host);
        assert!(sent.len() > 3);
        for (_, transmit) in sent {
            assert_eq!(&transmit.payload[..], b"DISCOVER_SERVER");
        }
    }
}

#[test]
fn a_request_for_details_with_the_number_of_the_probe_follows_each_request() {
    let plain = sent(&Config::default(), &asking_a_host());
    let both = sent(&details(), &asking_a_host());
    assert_eq!((plain.len(), both.len()), (6, 12));
    for (at, (pair, plain)) in both.chunks(2).zip(&plain).enumerate() {
        for (time, transmit) in pair {
            assert_eq!((time, transmit.link), (&plain.0, plain.1.link));
            assert_eq!(transmit.destination, plain.1.destination);
        }
        let [(_, first), (_, transmit)] = pair else {
            panic!("{pair:?}")
        };
        assert_eq!(first.payload, plain.1.payload);
        let probe = u8::try_from(at / 2).unwrap();
        assert_eq!(&transmit.payload[..], request(RANDOM, probe));
    }
}

#[test]
fn in_a_sweep_requests_for_details_count_against_the_pace() {
    let config = |details| {
        Config::default()
            .with_details(details)
            .with_broadcast(false)
            .with_timeout(Duration::from_secs(10))
            .with_pace(NonZeroU32::new(10).unwrap())
    };
    let plain = sent(&config(false), &sweeping());
    let both = sent(&config(true), &sweeping());
    assert_eq!(both.len(), 2 * plain.len());
    for (at, (time, _)) in both.iter().take(12).enumerate() {
        assert_eq!(*time, 100 * MS * u32::try_from(at).unwrap());
    }
    for (pass, pairs) in both.chunks(12).enumerate() {
        for pair in pairs.chunks(2) {
            assert_eq!(&pair[0].1.payload[..], b"DISCOVER_SERVER");
            assert_eq!(pair[0].1.destination, pair[1].1.destination);
            let pass = u8::try_from(pass).unwrap();
            assert_eq!(&pair[1].1.payload[..], request(RANDOM, pass));
        }
    }
    let estimate = |details| {
        let search = Discovery::new(Instant::now(), &config(details), &sweeping(), RANDOM);
        search.unwrap().report().sweep.unwrap().estimate
    };
    assert_eq!(estimate(true), 2 * estimate(false));
}

#[test]
fn without_room_for_a_request_for_details_both_are_sent_again() {
    let start = Instant::now();
    let config = details().with_broadcast(false);
    let mut search = Discovery::new(start, &config, &sweeping(), RANDOM).unwrap();
    let first = search.poll_transmit(start).unwrap();
    let second = search.poll_transmit(start).unwrap();
    assert_eq!(second.payload.len(), 512);
    let requests = [&first, &second].map(|it| (it.destination, it.payload.clone()));
    search.handle_send_error(second, std::io::ErrorKind::OutOfMemory.into());
    let report = search.report().sweep.unwrap();
    assert_eq!((report.asked, report.no_room), (0, 1));
    assert!(search.poll_transmit(start).is_none());
    let later = start + 50 * MS;
    for request in requests {
        let transmit = search.poll_transmit(later).unwrap();
        assert_eq!((transmit.destination, transmit.payload), request);
    }
    assert_eq!(search.report().sweep.unwrap().asked, 1);
}

#[test]
fn a_request_that_cannot_be_sent_is_not_followed_by_one_for_details() {
    let start = Instant::now();
    let host = Host::new([eth0()]);
    let mut search = Discovery::new(start, &details(), &host, RANDOM).unwrap();
    let directed = search.poll_transmit(start).unwrap();
    let directed_to = directed.destination;
    search.handle_send_error(directed, std::io::ErrorKind::NetworkUnreachable.into());
    let limited = search.poll_transmit(start).unwrap();
    assert_ne!(limited.destination, directed_to);
    assert_eq!(&limited.payload[..], b"DISCOVER_SERVER");
    let following = search.poll_transmit(start).unwrap();
    assert_eq!(following.destination, limited.destination);
    // Neither does it take back the request before it.
    search.handle_send_error(following, std::io::ErrorKind::NetworkUnreachable.into());
    assert_eq!(search.links()[0].probes_sent, 1);
    assert!(search.poll_transmit(start).is_none());
    let answer = Offer::unsigned(7).answer(0, "10.0.1.7:8000");
    search.handle_datagram(start, 0, server(7), &answer);
    assert_eq!(search.report().counts.wrong_nonce, 1);
}

#[test]
fn an_answer_with_details_replaces_the_plain_one_and_is_returned_at_once() {
    let mut sim = Sim::new(&details().with_first(true));
    sim.arrives(MS, server(7), "SERVER_IP:10.0.1.7:8000");
    let offer = Offer::unsigned(7).named("printer").with("room", "2");
    sim.arrives(3 * MS, server(7), offer.answer(0, "10.0.1.7:8000"));
    sim.run();
    assert_eq!(sim.elapsed(), 3 * MS);
    let [found] = &sim.found[..] else {
        panic!("one server")
    };
    assert_eq!(found.to_string(), "10.0.1.7:8000");
    assert_eq!((found.id, found.rtt), (Some(offer.id()), Some(3 * MS)));
    assert_eq!(found.run, Some(offer.details.run()));
    assert_eq!(found.name.as_deref(), Some("printer"));
    assert_eq!(found.property("ROOM"), Some("2"));
    assert!(!found.verified);
    assert_eq!(
        found.raw.as_deref(),
        Some(&offer.answer(0, "10.0.1.7:8000")[..])
    );
    let counts = sim.counts();
    assert_eq!((counts.accepted, counts.duplicates), (1, 1));
    assert_eq!(sim.listed(), ["10.0.1.7:8000 printer 10.0.1.7:8000"]);
}

#[test]
fn a_plain_answer_is_held_until_the_next_probe_is_due_or_the_search_ends() {
    let mut sim = Sim::new(&details());
    sim.arrives(MS, server(7), "SERVER_IP:10.0.1.7");
    sim.arrives(400 * MS, server(8), "SERVER_IP:10.0.1.8");
    let mut released = Vec::new();
    while sim.search.poll_timeout().is_some() {
        sim.now += MS;
        if sim.now == sim.start + MS {
            sim.receive(0, server(7), b"SERVER_IP:10.0.1.7");
        } else if sim.now == sim.start + 400 * MS {
            sim.receive(0, server(8), b"SERVER_IP:10.0.1.8");
        }
        sim.send();
        sim.search.handle_timeout(sim.now);
        while let Some(server) = sim.search.poll_event() {
            released.push((server.ip.to_string(), sim.elapsed()));
        }
    }
    let expected = [("10.0.1.7", 125 * MS), ("10.0.1.8", 500 * MS)];
    assert_eq!(released, expected.map(|(ip, at)| (ip.to_owned(), at)));
}

#[test]
fn the_search_ends_when_enough_servers_were_released() {
    let two = NonZeroUsize::new(2).unwrap();
    for (config, found) in [
        (details().with_first(true), 1),
        (details().with_expect(two), 2),
        (details().with_quiet_for(100 * MS), 3),
    ] {
        let mut sim = Sim::new(&config);
        for number in 0..3 {
            let answer = format!("SERVER_IP:10.0.1.{number}");
            sim.arrives(MS, server(number), answer);
        }
        sim.run();
        while let Some(server) = sim.search.poll_event() {
            sim.found.push(server);
        }
        assert_eq!(sim.found.len(), found);
        let counts = sim.counts();
        assert_eq!(counts.accepted + counts.late, 3);
        assert!(sim.elapsed() < 500 * MS);
    }
}

#[test]
fn one_server_with_several_addresses_is_one_result_and_the_reachable_one_is_first() {
    let mut sim = Sim::new(&details());
    let offer = Offer::unsigned(7).named("printer");
    // A claim on our network, from another address.
    sim.arrives(MS, server(7), offer.answer(0, "10.0.9.9:8000"));
    sim.arrives(2 * MS, server(7), offer.answer(0, "10.0.1.7:8000"));
    sim.arrives(3 * MS, server(8), offer.answer(0, "10.0.1.8:8000"));
    sim.arrives(4 * MS, server(8), "SERVER_IP:10.0.1.8:8000");
    sim.run();
    assert_eq!(sim.found(), ["10.0.9.9:8000"], "the first when it answered");
    let all = "10.0.1.7:8000 printer 10.0.1.7:8000,10.0.1.8:8000,10.0.9.9:8000";
    assert_eq!(sim.listed(), [all]);
    let server = sim.search.servers().next().unwrap();
    assert_eq!(
        (server.source, server.rtt),
        (Some(self::server(7)), Some(2 * MS))
    );
    assert_eq!(sim.counts().accepted, 1);
    assert_eq!(sim.counts().duplicates, 3);
}

#[test]
fn details_that_come_later_replace_the_plain_answer_in_its_place() {
    let mut sim = Sim::new(&details());
    let offer = Offer::unsigned(7).named("printer");
    sim.arrives(MS, server(7), "SERVER_IP:10.0.1.7:8000");
    sim.arrives(2 * MS, server(9), "SERVER_IP:10.0.1.9:8000");
    sim.arrives(3 * MS, server(8), "SERVER_IP:10.0.1.8:8000");
    sim.arrives(200 * MS, server(7), offer.answer(1, "10.0.1.7:8000"));
    sim.arrives(201 * MS, server(8), offer.answer(1, "10.0.1.8:8000"));
    sim.run();
    assert_eq!(sim.found.len(), 3, "none is returned twice");
    assert_eq!(
        sim.listed(),
        [
            "10.0.1.7:8000 printer 10.0.1.7:8000,10.0.1.8:8000",
            "10.0.1.9:8000 - "
        ]
    );
}

#[test]
fn a_round_trip_is_measured_from_the_probe_that_the_answer_names() {
    let mut sim = Sim::new(&details());
    sim.arrives(
        240 * MS,
        server(7),
        Offer::unsigned(7).answer(0, "10.0.1.7:1"),
    );
    sim.arrives(
        240 * MS,
        server(8),
        Offer::unsigned(8).answer(1, "10.0.1.8:1"),
    );
    sim.arrives(
        245 * MS,
        server(7),
        Offer::unsigned(7).answer(1, "10.0.1.7:1"),
    );
    sim.run();
    let rtts: Vec<Duration> = sim
        .search
        .servers()
        .filter_map(|server| server.rtt)
        .collect();
    assert_eq!(rtts, [240 * MS, 115 * MS]);
}

#[test]
fn in_a_sweep_a_round_trip_is_measured_from_the_request_to_that_address() {
    let config = details()
        .with_broadcast(false)
        .with_timeout(Duration::from_secs(10))
        .with_pace(NonZeroU32::new(10).unwrap());
    let start = Instant::now();
    let mut search = Discovery::new(start, &config, &sweeping(), RANDOM).unwrap();
    let mut now = start;
    let mut second = None;
    while second.is_none() {
        while let Some(transmit) = search.poll_transmit(now) {
            let is_second = transmit.destination == address("10.15.0.2:9999");
            second = second.or((is_second && transmit.payload.len() == 512).then_some(now));
        }
        now = search.poll_timeout().unwrap();
        search.handle_timeout(now);
    }
    let offer = Offer::unsigned(7);
    let arrival = now + 30 * MS;
    let (asked, unasked) = (address("10.15.0.2:9999"), address("10.15.0.5:9999"));
    search.handle_datagram(arrival, 0, asked, &offer.answer(1, "10.15.0.2:1"));
    search.handle_datagram(arrival, 0, unasked, &offer.answer(0, "10.15.0.5:1"));
    assert_eq!(search.report().counts.wrong_nonce, 2);
    search.handle_datagram(arrival, 0, asked, &offer.answer(0, "10.15.0.2:1"));
    let rtt = search.servers().next().unwrap().rtt;
    assert_eq!(rtt, Some(arrival - second.unwrap()));
}

#[test]
fn fault_58_an_answer_to_another_search_or_to_a_probe_that_was_not_sent_is_dropped() {
    let offer = Offer::unsigned(7);
    let other = request(*b"another search!", 0);
    let host = asking_a_host();
    let target = address("10.15.0.7:7777");
    let mut sim = Sim::of(Instant::now(), |now| {
        Discovery::new(now, &details(), &host, RANDOM).unwrap()
    });
    sim.send();
    sim.receive(0, server(7), &offer.answer_to(&other, "10.0.1.7:1"));
    for probe in [1, 2, 3, 255] {
        sim.receive(0, server(7), &offer.answer(probe, "10.0.1.7:1"));
        sim.receive(0, target, &offer.answer(probe, "10.15.0.7:1"));
    }
    assert_eq!((sim.counts().wrong_nonce, sim.counts().accepted), (9, 0));
    sim.receive(0, target, &offer.answer(0, "10.15.0.7:1"));
    assert_eq!(sim.found(), ["10.15.0.7:1"]);

    // Without details, an answer with them is no answer.
    let sim = Sim::answered(
        &Config::default(),
        "10.0.1.7:9999",
        &offer.answer(0, "10.0.1.7:1"),
    );
    assert_eq!((sim.counts().malformed, sim.found.len()), (1, 0));
}

#[test]
fn fault_59_an_answer_that_breaks_a_rule_is_dropped_as_a_whole() {
    let answer = Offer::unsigned(7).named("a").with("k", "v");
    let answer = String::from_utf8(answer.answer(0, "10.0.1.7:8000")).unwrap();
    let mut sim = Sim::new(&details());
    sim.send();
    for (from, to) in [
        ("\n1 ", "\n2 "),
        ("id=", "ID="),
        ("run=", "name="),
        ("name=a", "name=a\nname=b"),
        ("name=a", "name=\u{7f}"),
        ("k=v", "sig=v"),
        ("k=v", "kv"),
        ("k=v", "=v"),
        ("k=v\n", "k=v"),
        ("SERVER_IP:", "SERVER_IP: "),
    ] {
        let changed = answer.replacen(from, to, 1);
        assert_ne!(changed, answer);
        sim.receive(0, server(7), changed.as_bytes());
    }
    sim.receive(
        0,
        server(7),
        &answer.replacen('v', "\u{e9}", 1).into_bytes()[..answer.len()],
    );
    let counts = sim.counts();
    assert_eq!((counts.malformed, counts.too_long), (11, 0));
    let long = answer.clone() + &"x=y\n".repeat(128);
    sim.receive(0, server(7), long.as_bytes());
    assert_eq!((sim.counts().too_long, sim.found.len()), (1, 0));
    // Keys that stand twice or have no value are allowed, and the first counts.
    let twice = answer.replacen("k=v\n", "k=v\nK=w\ne=\n", 1);
    sim.receive(0, server(7), twice.as_bytes());
    let found = &sim.found[0];
    assert_eq!(found.properties.len(), 2);
    assert_eq!(
        (found.property("k"), found.property("e")),
        (Some("v"), Some(""))
    );
}

#[test]
fn fault_63_two_runs_of_one_id_are_two_servers_and_reported() {
    let offer = Offer::unsigned(7).named("printer");
    let mut sim = Sim::new(&details());
    for run in [1, 2, 3, 2] {
        let source = server(run.into());
        let answer = offer.clone().run(run).answer(0, &format!("{source}"));
        sim.arrives(MS, source, answer);
    }
    sim.arrives(MS, server(9), Offer::unsigned(9).answer(0, "10.0.1.9:1"));
    sim.run();
    assert_eq!(sim.found.len(), 4);
    assert_eq!(sim.search.report().repeated_ids, [offer.id()]);
}

#[test]
fn only_servers_with_the_wanted_name_and_properties_are_found_and_counted() {
    let config = Config::default()
        .with_wanted_name("print*")
        .with_wanted_properties([("Room", "2"), ("color", "")])
        .with_first(true);
    let printer = |id| Offer::unsigned(id).named("printer");
    let mut sim = Sim::new(&config);
    sim.arrives(MS, server(1), "SERVER_IP:10.0.1.1:8000");
    for (id, offer) in [
        (1, Offer::unsigned(1).with("room", "2").with("color", "")),
        (
            2,
            Offer::unsigned(2)
                .named("Printer")
                .with("room", "2")
                .with("color", ""),
        ),
        (3, printer(3).with("room", "2")),
        (4, printer(4).with("room", "22").with("color", "")),
        (
            5,
            printer(5)
                .with("ROOM", "2")
                .with("color", "")
                .with("x", "y"),
        ),
    ] {
        let source = server(id);
        sim.arrives(2 * MS, source, offer.answer(0, &source.to_string()));
    }
    sim.run();
    assert_eq!(sim.found(), ["10.0.1.5:9999"]);
    assert_eq!((sim.counts().unwanted, sim.elapsed()), (5, 2 * MS));
}

#[test]
fn what_a_server_can_make_a_search_keep_is_bounded() {
    let mut sim = Sim::new(&details().with_max_servers(NonZeroUsize::new(3).unwrap()));
    sim.send();
    for port in 1..1000 {
        sim.receive(
            0,
            server(7),
            &Offer::unsigned(7).answer(0, &format!("10.0.1.7:{port}")),
        );
    }
    let server_7 = sim.search.servers().next().unwrap();
    assert_eq!(server_7.endpoints.len(), 16);
    for port in 1..1000 {
        sim.receive(
            0,
            server(8),
            format!("SERVER_IP:10.0.1.8:{port}").as_bytes(),
        );
    }
    assert_eq!(sim.counts().over_the_cap, 997);
    for id in 10..20 {
        sim.receive(0, server(8), &Offer::unsigned(id).answer(0, "10.0.1.9:1"));
    }
    sim.now = sim.search.deadline();
    sim.search.handle_timeout(sim.now);
    assert_eq!(sim.search.servers().count(), 3);
    assert!(sim.search.report().capped());
}

#[test]
fn of_a_network_with_and_without_details_every_server_is_found_once() {
    let offers = |server: Ipv4Addr, request: &[u8]| {
        let [.., host] = server.octets();
        let offer = Offer::unsigned(host % 7).run(host % 2);
        let claim = SocketAddr::from((server, 8000)).to_string();
        (host % 3 != 0).then(|| offer.answer_to(request, &claim))
    };
    let faults = Faults {
        loss: 10,
        duplicates: 10,
        delay: 200 * MS,
    };
    let config = details()
        .with_timeout(4 * Duration::from_secs(1))
        .with_probes(20.try_into().unwrap());
    let mut expected = None;
    for seed in 0..20 {
        let mut sim = Sim::new(&config)
            .with_servers(60)
            .with_faults(seed, faults)
            .offering(offers);
        sim.run();
        let mut servers: Vec<_> = sim.search.servers().map(summary).collect();
        servers.sort();
        assert_eq!(servers.len(), 20 + 14, "seed {seed}");
        assert_eq!(expected.get_or_insert_with(|| servers.clone()), &servers);
        let counts = sim.counts();
        assert!(counts.accepted >= 34);
        assert_eq!(counts.malformed + counts.wrong_nonce + counts.late, 0);
    }
}

/// What does not depend on the order of the answers.
fn summary(server: &udp_discovery_client::DiscoveredServer) -> (Option<String>, Vec<String>) {
    let id = server.id.zip(server.run);
    let mut endpoints: Vec<String> = server.endpoints.iter().map(ToString::to_string).collect();
    endpoints.sort();
    if endpoints.is_empty() {
        endpoints = vec![server.to_string()];
    }
    (id.map(|(id, run)| format!("{id} {run}")), endpoints)
}

/// Five servers on twelve addresses. Those at every fourth address have no details.
fn answers() -> Vec<(SocketAddr, Vec<u8>)> {
    let mut answers = Vec::new();
    for number in 0..12_u8 {
        let source = server(number.into());
        answers.push((source, format!("SERVER_IP:{source}").into_bytes()));
        if !number.is_multiple_of(4) {
            let offer = Offer::unsigned(number % 5);
            answers.push((source, offer.answer(0, &source.to_string())));
        }
    }
    answers
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Plain answers may be lost if their details are not, and time may pass anywhere.
    #[test]
    fn any_order_duplication_and_loss_of_answers_gives_the_same_servers(
        order in Just(answers().into_iter().chain(answers()).enumerate().collect::<Vec<_>>())
            .prop_shuffle(),
        pauses in proptest::collection::vec(0..40_u32, 40),
        lost in proptest::collection::vec(any::<bool>(), 40),
    ) {
        let start = Instant::now();
        let host = Host::new([eth0()]);
        let mut search = Discovery::new(start, &details(), &host, RANDOM).unwrap();
        while search.poll_transmit(start).is_some() {}
        let (mut now, mut received, mut found) = (start, 0, 0);
        for (at, (source, answer)) in order {
            now = (now + MS * pauses[at % 40] / 4).min(start + 499 * MS);
            search.handle_timeout(now);
            while search.poll_transmit(now).is_some() {}
            let has_details = !source_number(source).is_multiple_of(4);
            let is_plain = Codec::default().decode(&answer).is_ok();
            if is_plain && has_details && lost[at % 40] {
                continue;
            }
            received += 1;
            search.handle_datagram(now, 0, source, &answer);
            found += u64::from(search.poll_event().is_some());
        }
        search.handle_timeout(start + 500 * MS);
        while search.poll_event().is_some() {
            found += 1;
        }
        let counts = search.report().counts;
        prop_assert_eq!(counts.accepted + counts.duplicates, received);
        prop_assert!(found <= counts.accepted);
        let mut servers: Vec<_> = search.servers().map(summary).collect();
        servers.sort();
        let plain = servers.iter().filter(|(id, _)| id.is_none()).count();
        prop_assert_eq!((servers.len(), plain), (8, 3));
        let endpoints: usize = servers.iter().map(|(_, endpoints)| endpoints.len()).sum();
        prop_assert_eq!(endpoints, 12);
        // Plain answers that were not merged would be listed by their own endpoint twice.
        let mut all: Vec<&String> = servers.iter().flat_map(|(_, endpoints)| endpoints).collect();
        all.sort();
        all.dedup();
        prop_assert_eq!(all.len(), 12);
    }
}

/// The number of a [`server`].
fn source_number(source: SocketAddr) -> u8 {
    match source.ip() {
        std::net::IpAddr::V4(ip) => ip.octets()[3],
        std::net::IpAddr::V6(_) => unreachable!("they have IPv4"),
    }
}
