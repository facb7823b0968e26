//! `serve` and `discover` with details, between hosts of a laboratory.
#![cfg(target_os = "linux")]

use std::fs;
use std::net::UdpSocket;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use serde_json::Value;
use udp_discovery_tests::lab::{self, Host, Lab, Process};

mod program;
use program::command;

/// Longer than anything takes here.
const ENOUGH: Duration = Duration::from_secs(20);

/// A path of one test where nothing is yet.
fn file(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("cli-details-{name}"));
    let _ = fs::remove_file(&path);
    path.to_str().unwrap().to_owned()
}

/// A new key, and its id.
fn key(name: &str) -> (String, String) {
    let file = file(name);
    let output = command(&["keygen", &file]).output().unwrap();
    let id = String::from_utf8(output.stdout).unwrap();
    (file, id.trim_end().to_owned())
}

/// Starts a server, and waits until it answers.
fn serve(host: &Host, arguments: &[&str]) -> Process {
    let process = host.spawn(command(&[&["serve"], arguments].concat()));
    process.wait_for_line("listening", ENOUGH);
    process
}

/// What a search printed, and its exit code.
#[derive(Debug)]
struct Found {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Found {
    fn on(host: &Host, arguments: &[&str]) -> Self {
        let all = [&["discover", "--timeout=1s"], arguments].concat();
        let mut process = host.spawn(command(&all));
        Self {
            code: process.wait(ENOUGH).code().expect("it is not killed"),
            stdout: process.stdout().join("\n"),
            stderr: process.stderr().join("\n"),
        }
    }

    fn json(host: &Host, arguments: &[&str]) -> Vec<Value> {
        let found = Self::on(host, &[&["--format=json"], arguments].concat());
        let lines = found.stdout.lines();
        lines.map(|it| serde_json::from_str(it).unwrap()).collect()
    }

    /// Asserts the exit code, and that standard error has these parts.
    fn assert(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, code, "{self:#?}");
        for part in parts {
            assert!(self.stderr.contains(part), "no {part:?}: {self:#?}");
        }
    }
}

fn three_hosts() -> [Host; 3] {
    Lab::new().hosts(["10.77.1.1/24", "10.77.1.2/24", "10.77.1.3/24"])
}

#[test]
fn a_server_is_found_by_its_name_properties_and_id() {
    lab::run(|| {
        let [a, b, c] = three_hosts();
        let (key, id) = key("found.pem");
        let offer = [
            "--name=printer",
            "--property=room=214",
            "--property=note=a, b",
        ];
        let _server = serve(&b, &[&offer[..], &["--key", &key]].concat());
        let _other = serve(&c, &["--advertise-port=8000"]);

        let servers = Found::json(&a, &["--details"]);
        let [one, other] = [2, 3].map(|host| {
            let ip = format!("10.77.1.{host}");
            servers.iter().find(|it| it["ip"] == *ip).unwrap()
        });
        assert_eq!(one["id"], *id);
        assert_eq!(one["name"], "printer");
        assert_eq!(one["verified"], true);
        let properties = serde_json::json!({"room": "214", "note": "a, b"});
        assert_eq!(one["properties"], properties);
        assert_eq!(one["run"].as_str().map(str::len), Some(11));
        assert_eq!(one["endpoints"][0]["ip"], "10.77.1.2");
        assert_eq!(one["endpoints"].as_array().map(Vec::len), Some(1));
        // One without details is found as without the option.
        assert_eq!((&other["id"], &other["name"]), (&Value::Null, &Value::Null));
        assert_eq!(other["endpoints"], serde_json::json!([]));

        for options in [
            &["--pin", &id][..],
            &["--name=print*"],
            &["--where=ROOM=214", "--where=note=a, b"],
        ] {
            let found = Found::on(&a, &[&["--format=plain", "--expect=1"], options].concat());
            assert_eq!((found.code, &*found.stdout), (0, "10.77.1.2"), "{found:#?}");
        }
        let nobody = format!("-{}", "A".repeat(42));
        for (options, why) in [
            (["--pin", &*nobody], "none of those that are wanted"),
            (["--name", "scanner"], "none with the wanted name"),
            (["--where", "room=215"], "none with the wanted name"),
        ] {
            Found::on(&a, &options).assert(1, &[why, "dropped: "]);
        }
        fs::remove_file(key).unwrap();
    });
}

#[test]
fn a_table_has_names_and_marks_and_no_name_can_look_like_more_than_it_is() {
    lab::run(|| {
        let [a, b, c] = three_hosts();
        let (key, _) = key("table.pem");
        let _server = serve(&b, &["--name=printer", "--key", &key]);
        let _other = serve(&c, &["--name=\u{2713} printer \u{202e}"]);
        let found = Found::on(&a, &["--details"]);
        let lines: Vec<Vec<&str>> = found
            .stdout
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(lines[0][..3], ["✓", "Name", "Address"]);
        assert_eq!(lines[1][..3], ["✓", "printer", "10.77.1.2"]);
        let expected = ["-", "✓", "printer", r"\u{202e}", "10.77.1.3"];
        assert_eq!(lines[2][..5], expected);
        fs::remove_file(key).unwrap();
    });
}

#[test]
fn fault_65_another_server_in_the_place_of_a_known_one_is_exit_code_3() {
    lab::run(|| {
        let [a, b, c] = three_hosts();
        let (key, id) = key("known.pem");
        let (other_key, other_id) = self::key("other.pem");
        let known = file("known");
        let find = || Found::on(&a, &["--known-servers", &known, "--format=plain"]);
        let server = serve(&b, &["--name=printer", "--key", &key]);
        find().assert(0, &[]);

        // While the known one answers, the other is left out.
        let other = serve(&c, &["--name=printer", "--key", &other_key]);
        let both = find();
        both.assert(
            0,
            &["warning: left out another server", "printer", &other_id],
        );
        assert_eq!(both.stdout, "10.77.1.2");

        drop(server);
        let replaced = find();
        replaced.assert(
            3,
            &[
                "error: ",
                "printer",
                &id,
                &other_id,
                "10.77.1.3",
                &known,
                "delete",
            ],
        );
        assert_eq!(replaced.stdout, "");
        let quiet = Found::on(&a, &["--known-servers", &known, "--quiet"]);
        quiet.assert(3, &[&other_id]);

        // Servers with other names are found, and the exit code is the same.
        let _third = serve(&b, &["--name=scanner"]);
        let found = find();
        found.assert(3, &[&other_id]);
        assert_eq!(found.stdout, "10.77.1.2");
        drop(other);
        find().assert(0, &[]);

        // If it was meant: the line of the known one is deleted.
        let _other = serve(&c, &["--name=printer", "--key", &other_key]);
        let lines = fs::read_to_string(&known).unwrap();
        let line = format!("{id} printer\n");
        fs::write(&known, lines.replace(&line, "")).unwrap();
        find().assert(0, &[]);
        assert!(fs::read_to_string(&known).unwrap().contains(&other_id));
        for file in [key, other_key, known] {
            fs::remove_file(file).unwrap();
        }
    });
}

#[test]
fn a_damaged_file_of_known_servers_is_an_error_with_what_to_do() {
    lab::run(|| {
        let [a, ..] = three_hosts();
        let known = file("damaged");
        fs::write(&known, "root:x:0:0\n").unwrap();
        let found = Found::on(&a, &["--known-servers", &known]);
        found.assert(2, &[&known, "format", "restore it"]);
        fs::remove_file(known).unwrap();
    });
}

#[test]
fn fault_63_a_copied_id_file_is_two_servers_and_a_warning() {
    lab::run(|| {
        let [a, b, c] = three_hosts();
        let id = file("id");
        let _servers = [b, c].map(|host| serve(&host, &["--id-file", &id]));
        let found = Found::on(&a, &["--details", "--format=plain"]);
        let text = fs::read_to_string(&id).unwrap();
        found.assert(0, &["warning: several servers", text.trim_end(), "copied"]);
        let mut lines: Vec<&str> = found.stdout.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, ["10.77.1.2", "10.77.1.3"]);
        fs::remove_file(id).unwrap();
    });
}

/// To the byte: what a search sends without details is what it always sent.
#[test]
fn without_details_only_the_plain_request_is_sent() {
    lab::run(|| {
        let [a, b, _] = three_hosts();
        let socket = b.run(|| UdpSocket::bind("0.0.0.0:9999")).unwrap();
        let listener = thread::spawn(move || {
            let mut buffer = [0; 600];
            let mut seen = Vec::new();
            loop {
                let (len, source) = socket.recv_from(&mut buffer).unwrap();
                if &buffer[..len] == b"stop" {
                    return seen;
                }
                seen.push(buffer[..len].to_vec());
                socket.send_to(b"SERVER_IP:10.77.1.2", source).unwrap();
            }
        });
        let found = Found::on(&a, &["--format=plain"]);
        assert_eq!(found.stdout, "10.77.1.2");
        b.run(|| {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.send_to(b"stop", "127.0.0.1:9999").unwrap();
        });
        let seen = listener.join().unwrap();
        assert!(!seen.is_empty());
        assert!(seen.iter().all(|it| it == b"DISCOVER_SERVER"), "{seen:?}");
    });
}
