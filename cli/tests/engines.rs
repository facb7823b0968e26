//! `serve` and `discover` with multicast DNS and the DNS, between hosts of a laboratory.
#![cfg(target_os = "linux")]

use std::time::Duration;

use serde_json::Value;
use udp_discovery_tests::lab::{self, Host, Lab, Process};

mod program;
use program::command;

/// Longer than anything takes here.
const ENOUGH: Duration = Duration::from_secs(20);

fn start(host: &Host, arguments: &[&str]) -> Process {
    host.spawn(command(arguments))
}

/// The exit code of a command, and what it printed.
fn run(host: &Host, arguments: &[&str]) -> (i32, String, String) {
    let mut process = start(host, arguments);
    let code = process.wait(ENOUGH).code().expect("it is not killed");
    (
        code,
        process.stdout().join("\n"),
        process.stderr().join("\n"),
    )
}

fn two_hosts() -> [Host; 2] {
    Lab::new().hosts(["10.77.1.1/24", "10.77.1.2/24"])
}

#[test]
fn a_server_that_announces_itself_is_found_by_multicast_dns_alone() {
    lab::run(|| {
        let [client, server] = two_hosts();
        let arguments =
            "serve --mdns _http._tcp --advertise-port 8000 --name Printer --property version=1.2";
        let arguments: Vec<&str> = arguments.split(' ').collect();
        let serving = start(&server, &arguments);
        serving.wait_for_line("announces    Printer._http._tcp by multicast DNS", ENOUGH);
        let arguments =
            "discover --mdns _http._tcp --no-broadcast --first --timeout 15s --format json";
        let arguments: Vec<&str> = arguments.split(' ').collect();
        let (code, stdout, stderr) = run(&client, &arguments);
        assert_eq!((code, stderr.as_str()), (0, ""), "{stdout}");
        let found: Value = serde_json::from_str(&stdout).unwrap();
        let expected = serde_json::json!({
            "ip": "10.77.1.2", "port": 8000, "origin": "mdns", "name": "Printer",
            "properties": {"version": "1.2"}, "source": null, "raw": null, "rtt_ms": null,
            "verified": false, "id": null,
        });
        for (key, value) in expected.as_object().unwrap() {
            assert_eq!(&found[key], value, "{key}: {found:#}");
        }
        let (code, stdout, _) = run(&client, &["discover", "--mdns=_http._tcp", "--timeout=3s"]);
        assert_eq!(code, 0);
        assert!(
            stdout.contains("Printer") && stdout.lines().count() == 2,
            "{stdout}"
        );
    });
}

#[test]
fn what_other_engines_cannot_do_is_told_and_the_rest_works() {
    lab::run(|| {
        let [client, server] = two_hosts();
        let serving = start(&server, &["serve", "--port=9998"]);
        serving.wait_for_line("listening", ENOUGH);
        let dns = [
            "discover",
            "--target=dns:_http._tcp.example.org",
            "--port=9998",
        ];
        let (code, stdout, stderr) = run(&client, &dns);
        assert_eq!((code, stdout.contains("10.77.1.2")), (0, true), "{stderr}");
        let warning = "warning: looked for _http._tcp.example.org in the DNS: ";
        assert!(stderr.starts_with(warning), "{stderr}");
        let (code, _, stderr) = run(&client, &[&dns[..], &["--no-broadcast"]].concat());
        assert_eq!(code, 2);
        assert!(
            stderr.starts_with("error: cannot look for `_http._tcp.example.org`: "),
            "{stderr}"
        );

        // Nobody shares the port of multicast DNS then.
        let _own = client
            .run(|| std::net::UdpSocket::bind("0.0.0.0:5353"))
            .unwrap();
        let (code, _, stderr) = run(&client, &["discover", "--mdns=_http._tcp", "--port=9998"]);
        assert_eq!(code, 0);
        let warning =
            "warning: looked for _http._tcp by multicast DNS: UDP port 5353 cannot be shared";
        assert!(stderr.starts_with(warning), "{stderr}");
        let serving = start(
            &client,
            &["serve", "--mdns=_http._tcp", "--advertise-port=8000"],
        );
        serving.wait_for_line("cannot announce", ENOUGH);
        serving.wait_for_line("listening", ENOUGH);
    });
}

#[test]
fn an_announcement_needs_a_port_and_a_type_of_service() {
    lab::run(|| {
        let [host, _] = two_hosts();
        for (arguments, says) in [
            (&["serve", "--mdns=_http._tcp"][..], "--advertise-port"),
            (
                &["serve", "--mdns=http", "--advertise-port=80"],
                "_http._tcp",
            ),
            (&["discover", "--mdns=http"], "_http._tcp"),
            (&["discover", "--target=dns:a..b"], "dns:a..b"),
        ] {
            let (code, _, stderr) = run(&host, arguments);
            assert_eq!(code, 2);
            assert!(stderr.contains(says), "{stderr}");
        }
    });
}
