//! What other engines find, beside the answers of servers.

use std::net::IpAddr;
use std::num::{NonZeroU8, NonZeroUsize};

use udp_discovery_client::{Config, Family, Instance, Origin};

use crate::offer::Offer;
use crate::sim::{MS, Sim, eth0, server};

/// An instance at these addresses, port 8000, with the property `version`.
fn instance(name: &str, addresses: &[&str]) -> Instance {
    let addresses = addresses.iter().map(|it| (it.parse().unwrap(), 0));
    Instance::new(name.as_bytes(), 8000, addresses, [&b"version=1"[..]])
}

/// A search of which the first probe was sent.
fn asking(config: &Config) -> Sim {
    let mut sim = Sim::new(config);
    sim.send();
    sim
}

impl Sim {
    fn tells(&mut self, origin: Origin, instance: Instance) {
        self.search.handle_instance(self.now, origin, instance);
        while let Some(server) = self.search.poll_event() {
            self.found.push(server);
        }
    }

    /// The servers in the end: the address, who told first, the name, and the endpoints.
    fn told(&self) -> Vec<(String, Origin, Option<&str>, usize)> {
        let servers = self.search.servers();
        servers
            .map(|it| {
                (
                    it.to_string(),
                    it.origin,
                    it.name.as_deref(),
                    it.endpoints.len(),
                )
            })
            .collect()
    }
}

const PLAIN: &[u8] = b"SERVER_IP:10.0.1.0:8000";

#[test]
fn an_instance_is_a_server_at_its_best_address() {
    let mut sim = asking(&Config::default());
    sim.tells(
        Origin::Dns,
        instance("printer", &["2001:db8::7", "192.0.2.7"]),
    );
    let found = &sim.found[0];
    assert_eq!(found.to_string(), "192.0.2.7:8000");
    assert_eq!((found.origin, found.verified), (Origin::Dns, false));
    assert_eq!(found.property("VERSION"), Some("1"));
    let endpoints: Vec<String> = found.endpoints.iter().map(|it| it.ip.to_string()).collect();
    assert_eq!(endpoints, ["192.0.2.7", "2001:db8::7"]);
    assert_eq!(
        (found.source, found.rtt, found.raw.as_ref()),
        (None, None, None)
    );
}

#[test]
fn a_link_local_address_counts_only_if_there_is_no_other_and_has_its_interface() {
    let with = |addresses: &[(&str, u32)]| {
        let addresses = addresses
            .iter()
            .map(|(ip, scope)| (ip.parse().unwrap(), *scope));
        Instance::new(b"printer", 8000, addresses, [])
    };
    let mut sim = asking(&Config::default());
    sim.tells(Origin::Mdns, with(&[("fe80::7", 2), ("192.0.2.7", 0)]));
    sim.tells(Origin::Mdns, with(&[("fe80::8", 2)]));
    assert_eq!(sim.found(), ["192.0.2.7:8000", "[fe80::8%eth0]:8000"]);
    assert_eq!(sim.found[0].endpoints.len(), 1);
}

#[test]
fn addresses_of_another_family_than_the_search_has_are_left_out() {
    let addresses = ["2001:db8::7", "192.0.2.7"];
    for (family, expected) in [(Family::V4, "192.0.2.7"), (Family::V6, "2001:db8::7")] {
        let mut interface = eth0();
        let local = "2001:db8::1".parse::<IpAddr>().unwrap();
        let local = udp_discovery_protocol::InterfaceAddress::new(local, 64).unwrap();
        interface.addresses.push(local);
        let config = Config::default().with_family(family);
        let mut sim = Sim::on(&config, &[interface]);
        sim.tells(Origin::Mdns, instance("printer", &addresses));
        assert_eq!(sim.found[0].ip.to_string(), expected);
        assert_eq!(sim.found[0].endpoints.len(), 1);
    }
}

#[test]
fn an_answer_and_an_instance_with_one_address_and_port_are_one_server() {
    let at = ["10.0.1.0", "2001:db8::7"];
    let mut sim = asking(&Config::default());
    sim.receive(0, server(0), PLAIN);
    sim.tells(Origin::Mdns, instance("printer", &at));
    sim.tells(Origin::Dns, instance("another name", &at));
    let expected = (
        "10.0.1.0:8000".to_owned(),
        Origin::Answer,
        Some("printer"),
        2,
    );
    assert_eq!(sim.told(), [expected]);
    assert_eq!(sim.found.len(), 1);

    let mut sim = asking(&Config::default());
    sim.tells(Origin::Mdns, instance("printer", &at));
    sim.receive(0, server(0), PLAIN);
    let expected = ("10.0.1.0:8000".to_owned(), Origin::Mdns, Some("printer"), 2);
    assert_eq!(sim.told(), [expected]);
    assert_eq!(sim.counts().duplicates, 1);
}

#[test]
fn another_port_is_another_server() {
    let mut sim = asking(&Config::default());
    sim.receive(0, server(0), b"SERVER_IP:10.0.1.0:8001");
    sim.tells(Origin::Mdns, instance("printer", &["10.0.1.0"]));
    assert_eq!(sim.found(), ["10.0.1.0:8001", "10.0.1.0:8000"]);
}

#[test]
fn a_held_answer_is_completed_by_an_instance_and_listed() {
    let mut sim = asking(&Config::default().with_details(true));
    sim.receive(0, server(0), PLAIN);
    assert!(sim.found.is_empty());
    sim.tells(Origin::Mdns, instance("printer", &["10.0.1.0"]));
    let expected = (
        "10.0.1.0:8000".to_owned(),
        Origin::Answer,
        Some("printer"),
        1,
    );
    assert_eq!(sim.told(), [expected]);
    sim.run();
    assert_eq!(sim.found.len(), 1);
}

#[test]
fn details_without_a_signature_replace_an_instance_that_was_first() {
    let offer = Offer::unsigned(1).named("by details");
    let mut sim = asking(&Config::default().with_details(true));
    sim.tells(Origin::Dns, instance("by dns", &["10.0.1.0"]));
    sim.receive(0, server(0), &offer.answer(0, "10.0.1.0:8000"));
    let expected = (
        "10.0.1.0:8000".to_owned(),
        Origin::Dns,
        Some("by details"),
        1,
    );
    assert_eq!(sim.told(), [expected]);
    sim.tells(Origin::Dns, instance("by dns", &["10.0.1.0"]));
    assert_eq!(sim.told().len(), 1);
}

#[cfg(feature = "signed")]
#[test]
fn a_verified_server_is_never_one_with_an_instance() {
    let offer = Offer::signed(1).named("by details");
    let answer = offer.answer(0, "10.0.1.0:8000");
    let config = Config::default().with_details(true);
    let expected = |origins: [Origin; 2]| {
        origins.map(|origin| {
            let is_answer = origin == Origin::Answer;
            let name = if is_answer { "by details" } else { "by dns" };
            ("10.0.1.0:8000".to_owned(), origin, Some(name), 1)
        })
    };
    let mut sim = asking(&config);
    sim.tells(Origin::Dns, instance("by dns", &["10.0.1.0"]));
    sim.receive(0, server(0), &answer);
    assert_eq!(sim.told(), expected([Origin::Dns, Origin::Answer]));
    let mut sim = asking(&config);
    sim.receive(0, server(0), &answer);
    sim.tells(Origin::Dns, instance("by dns", &["10.0.1.0"]));
    assert_eq!(sim.told(), expected([Origin::Answer, Origin::Dns]));
    assert!(sim.search.servers().next().unwrap().verified);
}

#[cfg(feature = "signed")]
#[test]
fn what_nobody_signed_is_dropped_where_signatures_are_needed() {
    use std::time::Instant;

    use udp_discovery_client::{Discovery, Host};

    use crate::sim::RANDOM;

    let offer = Offer::signed(1);
    let pinning = Config::default().with_pinned_ids([offer.id()]);
    let mut sim = asking(&pinning);
    sim.tells(Origin::Dns, instance("printer", &["10.0.1.0"]));
    sim.run();
    assert!(sim.found.is_empty());
    assert_eq!(sim.counts().unwanted, 1);

    let host = Host::new([eth0()]).with_known_servers([("printer".to_owned(), offer.id())]);
    let mut sim = Sim::of(Instant::now(), |now| {
        Discovery::new(now, &Config::default().with_details(true), &host, RANDOM).unwrap()
    });
    sim.tells(Origin::Mdns, instance("printer", &["10.0.1.0"]));
    sim.tells(Origin::Mdns, instance("scanner", &["10.0.1.1"]));
    assert_eq!(sim.found(), ["10.0.1.1:8000"]);
}

#[test]
fn instances_are_wanted_by_their_names_and_properties() {
    let named = Config::default().with_wanted_name("print*");
    let with_property = Config::default().with_wanted_properties([("Version", "1")]);
    let with_another = Config::default().with_wanted_properties([("version", "2")]);
    for (config, name, is_found) in [
        (&named, "printer", true),
        (&named, "scanner", false),
        (&with_property, "scanner", true),
        (&with_another, "scanner", false),
    ] {
        let mut sim = asking(config);
        sim.tells(Origin::Dns, instance(name, &["10.0.1.0"]));
        assert_eq!(!sim.found.is_empty(), is_found, "{name}");
        assert_eq!(sim.counts().unwanted, u64::from(!is_found));
    }
}

#[test]
fn instances_count_for_the_end_of_a_search_as_answers_do() {
    let two = NonZeroUsize::new(2).unwrap();
    let mut sim = asking(&Config::default().with_expect(two));
    sim.receive(0, server(0), PLAIN);
    assert!(sim.search.poll_timeout().is_some());
    sim.tells(Origin::Dns, instance("printer", &["192.0.2.7"]));
    assert_eq!(sim.search.poll_timeout(), None);
    // It is over.
    sim.tells(Origin::Dns, instance("late", &["192.0.2.8"]));
    assert_eq!(sim.found.len(), 2);

    let quiet = Config::default()
        .with_timeout(1000 * MS)
        .with_probes(NonZeroU8::MIN)
        .with_quiet_for(100 * MS);
    let mut sim = asking(&quiet);
    sim.now += 80 * MS;
    sim.tells(Origin::Dns, instance("printer", &["192.0.2.7"]));
    sim.run();
    assert_eq!(sim.elapsed(), 180 * MS);
}

#[test]
fn no_more_servers_are_kept_than_the_limit() {
    let mut sim = asking(&Config::default().with_max_servers(NonZeroUsize::MIN));
    sim.tells(Origin::Dns, instance("first", &["192.0.2.7"]));
    sim.tells(Origin::Dns, instance("second", &["192.0.2.8"]));
    assert_eq!(sim.found.len(), 1);
    assert!(sim.search.report().capped());
}

#[cfg(feature = "dns")]
#[test]
fn a_search_in_the_dns_alone_needs_no_network() {
    let config = Config::default().with_targets(["dns:_http._tcp.example".parse().unwrap()]);
    for (config, interfaces) in [
        (config.clone().with_broadcast(false), vec![eth0()]),
        (config, Vec::new()),
    ] {
        let mut sim = Sim::on(&config, &interfaces);
        let report = &sim.search.report().engines[0];
        assert_eq!(report.service, "_http._tcp.example");
        assert!(sim.search.poll_timeout().is_some());
        sim.run();
        assert!(sim.elapsed() >= 500 * MS);
        let error = sim.search.outcome().unwrap_err().to_string();
        assert!(error.contains("_http._tcp.example"), "{error}");
    }
}
