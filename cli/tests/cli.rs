//! The command as its users run it. Everything is on loopback.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::UdpSocket;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// The path of the command, which cargo passes to tests.
fn program() -> OsString {
    env::var_os("CARGO_BIN_EXE_udp-discovery").expect("cargo runs the tests")
}

/// The command without the environment's settings. It never leaves loopback.
fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(arguments);
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("DISCOVERY_") || name == "RESPONSE_PREFIX" || name == "ENABLE_LOGGING" {
            command.env_remove(name.as_ref());
        }
    }
    command.env("DISCOVERY_CLIENT_INTERFACES_WHITELIST", "lo*");
    command
}

fn run(arguments: &[&str]) -> Output {
    command(arguments).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A file of this test run that holds `text`.
fn file(name: &str, text: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, text).unwrap();
    path
}

/// Answers the first request on loopback with each of `answers`; the port to ask.
fn answer_once(answers: &'static [&'static str]) -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    thread::spawn(move || {
        let (_, client) = socket.recv_from(&mut [0; 64]).unwrap();
        for answer in answers {
            socket.send_to(answer.as_bytes(), client).unwrap();
        }
        // The later probes find the port taken still.
        while socket.recv_from(&mut [0; 64]).is_ok() {}
    });
    port.to_string()
}

/// A search on loopback alone.
fn discover(port: &str, more: &[&str]) -> Output {
    let arguments = ["discover", "--interface", "lo*", "--port", port];
    run(&[&arguments, more].concat())
}

#[test]
fn help_has_every_option() {
    for (command, options) in [
        (
            "serve",
            "--port --message --prefix --buffer-size --advertise-ip --advertise-port --allow \
             --rate-limit --total-limit --no-kernel-filter --name --property --id-file --key \
             --details-limit --signature-limit --duration --replace --config --verbose --quiet -v -q",
        ),
        (
            "discover",
            "--timeout --port --default-port --message --prefix --first --expect --interface \
             --exclude-interface --loopback --probes --max-servers --address-policy \
             --any-source-port --details --name --where --pin --known-servers --format --config \
             --verbose --quiet",
        ),
        (
            "watch",
            "--interval --timeout --port --interface --target --probes --max-servers --format --config --quiet",
        ),
    ] {
        let output = run(&[command, "--help"]);
        assert!(output.status.success());
        let text = stdout(&output);
        for option in options.split_whitespace() {
            let is_there = text
                .split(|it: char| !it.is_alphanumeric() && it != '-')
                .any(|word| word == option);
            assert!(is_there, "{command} {option}:\n{text}");
        }
    }
    for command in [
        "serve", "discover", "watch", "doctor", "keygen", "id", "demo",
    ] {
        assert!(stdout(&run(&["--help"])).contains(command));
    }
}

#[test]
fn wrong_arguments_exit_with_2() {
    for arguments in [
        vec![],
        vec!["--nothing"],
        vec!["serve", "--port", "0"],
        vec!["serve", "--port", "65536"],
        vec!["serve", "--message", ""],
        vec!["serve", "--message", "two\nlines"],
        vec![
            "serve",
            "--prefix",
            "DISCOVER",
            "--message",
            "DISCOVER_SERVER",
        ],
        vec!["serve", "--buffer-size", "256"],
        vec!["serve", "--advertise-ip", "0.0.0.0"],
        vec!["serve", "--advertise-ip", "300.1.1.1"],
        vec!["serve", "--advertise-port", "0"],
        vec!["serve", "--allow", "10.15.0.0/33"],
        vec!["serve", "--rate-limit", "0"],
        vec!["serve", "--advertise-port", "70000"],
        vec!["discover", "--default-port", "0"],
        vec!["completions", "tcsh"],
        vec!["man"],
        vec!["man", "/dev/null/folder"],
        vec!["serve", "--total-limit", "many"],
        vec!["serve", "-v", "-q"],
        vec!["serve", "--property", "room"],
        vec!["serve", "--property", "sig=1"],
        vec!["serve", "--key", "no-such-file"],
        vec!["serve", "--key", "a", "--id-file", "b"],
        vec!["serve", "--details-limit", "0"],
        vec!["keygen"],
        vec!["id", "no-such-file"],
        vec!["discover", "--pin", "AAA"],
        vec!["discover", "--where", "room"],
        vec!["discover", "--first", "--expect", "2"],
        vec!["discover", "--expect", "0"],
        vec!["discover", "--probes", "0"],
        vec!["discover", "--probes", "256"],
        vec!["discover", "--max-servers", "0"],
        vec!["discover", "--format", "xml"],
        vec!["discover", "--address-policy", "none"],
        vec!["discover", "--interface", "no-such-interface"],
    ] {
        let output = run(&arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn an_invalid_duration_exits_with_2() {
    for (command, option, values) in [
        (
            "serve",
            "--duration",
            ["0", "-1", "abc", "nan", "1x", "99999999999999999999", ""],
        ),
        (
            "discover",
            "--timeout",
            ["0", "-1", "abc", "nan", "inf", "99999999999999999999", ""],
        ),
    ] {
        for value in values {
            for arguments in [
                vec![command, option, value],
                vec![command, &format!("{option}={value}")],
            ] {
                let output = run(&arguments);
                assert_eq!(output.status.code(), Some(2), "{arguments:?}");
                let text = stderr(&output);
                assert!(text.contains(option), "{arguments:?}: {text}");
            }
        }
    }
}

#[test]
fn the_demo_finds_a_server_on_loopback() {
    let output = run(&["demo"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = stdout(&output);
    assert!(text.contains("found 127.0.0.1:8000"), "{text}");
    assert!(text.contains(" ms"), "{text}");
}

#[test]
fn a_wrong_setting_is_an_error_on_one_line() {
    let wrong = file("wrong.toml", "port = 70000\n");
    let broken = file("broken.toml", "port = \n");
    for (path, names) in [
        (wrong, vec!["`port`", "70000", "wrong.toml", "65535"]),
        (broken, vec!["broken.toml", "line 1"]),
        ("missing.toml".into(), vec!["missing.toml"]),
    ] {
        for command in ["serve", "discover"] {
            let output = run(&[command, "--config", path.to_str().unwrap()]);
            assert_eq!(output.status.code(), Some(2));
            let text = stderr(&output);
            assert!(text.starts_with("error: "), "{text}");
            assert_eq!(text.lines().count(), 1, "{text}");
            assert!(names.iter().all(|name| text.contains(name)), "{text}");
        }
    }
}

#[test]
fn options_override_the_environment_and_that_overrides_the_file() {
    let config = file(
        "order.toml",
        "port = 1\nprefix = \"FILE:\"\nmessage = \"FILE_ASKS\"\n",
    );
    let port = answer_once(&["ENVIRONMENT:127.0.0.1:8000"]);
    let output = command(&[
        "discover",
        "--interface=lo*",
        "--first",
        "--timeout=10",
        "--format=plain",
    ])
    .args(["--port", &port, "--config"])
    .arg(config)
    .env("DISCOVERY_CLIENT_PORT", "2")
    .env("RESPONSE_PREFIX", "ENVIRONMENT:")
    .output()
    .unwrap();
    assert_eq!(stdout(&output), "127.0.0.1:8000\n", "{}", stderr(&output));
}

#[test]
fn nothing_found_exits_with_1_and_says_what_was_tried() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port().to_string();
    let output = discover(&port, &["--timeout", "500ms", "--probes", "2"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stdout(&output), "");
    let text = stderr(&output);
    assert!(text.contains(&format!("no server on UDP port {port} within 500ms")));
    assert!(text.contains("127.0.0.1; probes sent: 2"), "{text}");
    assert!(text.lines().count() <= 6, "{text}");

    let output = discover(&port, &["--timeout", "100ms", "--quiet"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stderr(&output), "");
}

#[test]
fn each_format_prints_what_was_found() {
    let search = |format: &str| {
        let port = answer_once(&["SERVER_IP:127.0.0.1:8000", "SERVER_IP:127.0.0.1"]);
        let output = discover(&port, &["--expect=2", "--timeout=10", "--format", format]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        (port, stdout(&output))
    };
    let (_, table) = search("table");
    assert!(table.contains("http://127.0.0.1:8000"), "{table}");
    assert_eq!(table.lines().count(), 3, "{table}");
    let (_, plain) = search("plain");
    assert_eq!(plain, "127.0.0.1:8000\n127.0.0.1\n");

    let (asked, json) = search("json");
    let objects: Vec<serde_json::Value> = json
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(objects.len(), 2);
    assert_eq!(objects[0]["ip"], "127.0.0.1");
    assert_eq!(objects[0]["port"], 8000);
    assert_eq!(objects[0]["source"], format!("127.0.0.1:{asked}"));
    assert_eq!(objects[0]["raw"], "SERVER_IP:127.0.0.1:8000");
    assert!(objects[0]["rtt_ms"].as_f64().unwrap() > 0.0);
    assert!(objects[1]["port"].is_null());
}

/// What prints, in all ways, and a port that answers where it is needed.
fn printing() -> Vec<Vec<String>> {
    let mut commands: Vec<Vec<String>> = ["demo", "--help", "--version", "serve --help"]
        .iter()
        .map(|line| line.split(' ').map(Into::into).collect())
        .collect();
    for format in ["table", "json", "plain"] {
        let port = answer_once(&["SERVER_IP:127.0.0.1:8000"]);
        let line = format!("discover --first --timeout=10 --format {format} --port {port}");
        commands.push(line.split(' ').map(Into::into).collect());
    }
    commands
}

fn run_printing_to(output: impl Into<Stdio>, arguments: &[String]) -> Output {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut command = command(&arguments);
    command.stdout(output).stderr(Stdio::piped());
    command.spawn().unwrap().wait_with_output().unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn output_to_a_full_device_is_an_error() {
    for arguments in printing() {
        let full = fs::OpenOptions::new().write(true).open("/dev/full");
        let output = run_printing_to(full.unwrap(), &arguments);
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
        assert!(
            text.starts_with("error: cannot write to standard output: "),
            "{arguments:?}: {text}"
        );
    }
}

#[test]
fn output_that_nobody_reads_ends_it_quietly() {
    for arguments in printing() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let output = run_printing_to(writer, &arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert_eq!(stderr(&output), "", "{arguments:?}");
    }
}

#[test]
fn fewer_than_expected_exit_with_1() {
    let port = answer_once(&["SERVER_IP:127.0.0.1:8000"]);
    let output = discover(&port, &["--expect=2", "--timeout=1", "--format=plain"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stdout(&output), "127.0.0.1:8000\n");
    assert!(
        stderr(&output).contains("1 of the 2"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn the_first_server_ends_the_search() {
    let port = answer_once(&["SERVER_IP:127.0.0.1:8000"]);
    let start = Instant::now();
    let output = discover(&port, &["--first", "--timeout=60"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(30));
}

#[test]
fn more_servers_than_are_kept_cause_a_warning() {
    let port = answer_once(&["SERVER_IP:127.0.0.1:1", "SERVER_IP:127.0.0.1:2"]);
    let more = ["--max-servers=1", "--timeout=1", "--format=plain"];
    let output = discover(&port, &more);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(stdout(&output), "127.0.0.1:1\n");
    assert!(stderr(&output).contains("--max-servers"));
}

#[test]
fn the_policy_chooses_the_address() {
    for (policy, printed) in [
        ("claim", "203.0.113.9:80\n"),
        ("source", "127.0.0.1:80\n"),
        ("auto", "127.0.0.1:80\n"),
        ("match", ""),
    ] {
        let port = answer_once(&["SERVER_IP:203.0.113.9:80"]);
        let more = [
            "--first",
            "--timeout=1",
            "--format=plain",
            "--address-policy",
            policy,
        ];
        assert_eq!(stdout(&discover(&port, &more)), printed, "{policy}");
    }
}

#[test]
fn the_names_of_the_python_commands_and_options_work() {
    let port = answer_once(&["IP=127.0.0.1:8000"]);
    let output = run(&[
        "discover-servers",
        "--interfaces-whitelist=lo*,Loopback*",
        "--interfaces-blacklist=eth0,wlan0",
        "--response-prefix=IP=",
        "--first",
        "--timeout=10",
        "--format=plain",
        "--port",
        &port,
    ]);
    assert_eq!(stdout(&output), "127.0.0.1:8000\n", "{}", stderr(&output));
    assert!(stdout(&run(&["start-discovery", "--help"])).contains("--advertise-port"));
}

#[test]
fn the_version_has_the_name_of_the_command() {
    let version = stdout(&run(&["--version"]));
    assert!(version.starts_with("udp-discovery "), "{version}");
}

#[test]
fn each_shell_gets_a_completion_script() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = stdout(&run(&["completions", shell]));
        assert!(script.contains("advertise-port"), "{shell}");
    }
}

#[test]
fn each_command_gets_a_manual_page() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("man");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir(&folder).unwrap();
    let output = run(&["man", folder.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    for (page, part) in [
        ("udp-discovery.1", "udp\\-discovery"),
        ("udp-discovery-serve.1", "advertise\\-port"),
        ("udp-discovery-discover.1", "default\\-port"),
    ] {
        let text = fs::read_to_string(folder.join(page)).unwrap();
        assert!(text.contains(part), "{page}:\n{text}");
    }
}

#[test]
fn a_default_port_is_that_of_servers_that_name_none() {
    let port = answer_once(&["SERVER_IP:127.0.0.1", "SERVER_IP:127.0.0.1:80"]);
    let more = ["--default-port=8000", "--expect=2", "--timeout=10"];
    let table = stdout(&discover(&port, &more));
    assert!(table.contains("http://127.0.0.1:8000 "), "{table}");
    assert!(table.contains("http://127.0.0.1:80 "), "{table}");
}

#[test]
fn a_wrong_prefix_is_named() {
    let port = answer_once(&["SERVER_IP:127.0.0.1:8000"]);
    let output = discover(&port, &["--prefix=FOO:", "--timeout=500ms"]);
    assert_eq!(output.status.code(), Some(1));
    let expected = format!(
        "127.0.0.1:{port} answered \"SERVER_IP:127.0.0.1:8000\", which does not start with \"FOO:\""
    );
    let text = stderr(&output);
    assert!(text.lines().any(|line| line == expected), "{text}");
}

#[cfg(unix)]
#[test]
fn a_signal_ends_the_search_and_what_was_found_so_far_is_printed() {
    use std::io::Read as _;

    use rustix::process::{Pid, Signal, kill_process};

    for (signal, format) in [(Signal::INT, "table"), (Signal::TERM, "json")] {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port().to_string();
        let line = format!("discover --timeout 60 --probes 255 --format {format} --port {port}");
        let arguments: Vec<&str> = line.split(' ').collect();
        let mut search = command(&arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let receive = || socket.recv_from(&mut [0; 64]).unwrap().1;
        socket
            .send_to(b"SERVER_IP:127.0.0.1:8000", receive())
            .unwrap();
        // When the next probe comes, the answer has been read.
        receive();
        let pid = Pid::from_raw(i32::try_from(search.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
        assert_eq!(search.wait().unwrap().code(), Some(130));
        let mut found = String::new();
        search.stdout.unwrap().read_to_string(&mut found).unwrap();
        assert!(
            found.contains("127.0.0.1") && found.contains("8000"),
            "{found}"
        );
        let mut text = String::new();
        search.stderr.unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "interrupted; found so far: 1\n");
    }
}

#[test]
fn a_target_is_asked_without_a_broadcast() {
    let target = format!("127.0.0.1:{}", answer_once(&["SERVER_IP:127.0.0.1:8000"]));
    let output = run(&[
        "discover",
        "--target",
        &target,
        "--no-broadcast",
        "--first",
        "--format=plain",
        "--timeout=10s",
    ]);
    assert_eq!(stdout(&output), "127.0.0.1:8000\n");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
#[cfg(target_os = "linux")]
fn a_target_that_refuses_is_named() {
    let free = UdpSocket::bind("127.0.0.1:0").unwrap();
    let target = free.local_addr().unwrap().to_string();
    drop(free);
    let output = run(&["discover", "--target", &target, "--no-broadcast"]);
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    let refused =
        format!("target {target}: 1 of 1 address asked, 0 answered, 1 refused (port unreachable)");
    assert!(text.contains(&refused), "{text}");
    assert!(text.contains("no server listens on that port"), "{text}");
}

#[test]
fn a_quiet_time_ends_a_search_that_has_found_something() {
    let port = answer_once(&["SERVER_IP:127.0.0.1:8000"]);
    let start = Instant::now();
    let output = discover(
        &port,
        &["--quiet-for=200ms", "--timeout=60s", "--format=plain"],
    );
    assert_eq!(stdout(&output), "127.0.0.1:8000\n");
    assert!(start.elapsed() < Duration::from_secs(30));
}

#[test]
fn a_source_port_in_use_is_an_error_that_names_it() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let source = taken.local_addr().unwrap().port().to_string();
    let port = answer_once(&["SERVER_IP:127.0.0.1"]);
    let output = discover(&port, &["--source-port", &source]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains(&source), "{}", stderr(&output));
}

#[test]
fn an_empty_interface_is_an_error_and_not_every_interface() {
    for option in ["--interface", "--exclude-interface", "--target"] {
        let output = run(&["discover", option, ""]);
        assert_eq!(output.status.code(), Some(2), "{option}");
        let text = stderr(&output);
        assert!(text.contains(option), "{text}");
    }
}

/// FAULTS R47
#[test]
fn fault_47_a_large_network_needs_force() {
    let output = run(&["discover", "--no-broadcast", "--target", "127.0.0.0/15"]);
    assert_eq!(output.status.code(), Some(2));
    let error = stderr(&output);
    assert!(
        error.contains("`127.0.0.0/15` has more than 65536 addresses"),
        "{error}"
    );
    assert!(error.contains("add --force"), "{error}");
    for target in ["127.0.0.0/33", "0.0.0.0/0", "127.0.0.0/"] {
        let output = run(&["discover", "--force", "--target", target]);
        assert_eq!(output.status.code(), Some(2), "{target}");
        assert!(stderr(&output).contains(target), "{target}");
    }
}

#[test]
fn a_sweep_that_the_timeout_ends_says_how_long_it_takes() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port().to_string();
    let arguments = [
        "discover",
        "--no-broadcast",
        "--port",
        &port,
        "--timeout",
        "200ms",
    ];
    let output = command(&arguments)
        .args(["--target", "127.7.3.9/20"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = stderr(&output);
    let before = "there are 4,096 addresses to ask; to ask each once takes 3s: --timeout 4s\n";
    assert!(error.starts_with(before), "{error}");
    assert!(
        error.contains(" of 4,096 addresses in 200ms; to ask each once takes 3s"),
        "{error}"
    );
}

/// FAULTS R48
#[test]
fn fault_48_a_broken_file_of_remembered_addresses_is_a_warning() {
    let text = "hosts = [\"10.0.0.1\"]\n";
    let foreign = file("remembered", text);
    let port = answer_once(&["SERVER_IP:127.0.0.1:8000"]);
    let arguments = ["discover", "--first", "--port", &port, "--remember"];
    let output = command(&arguments).arg(&foreign).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(stdout(&output).contains("127.0.0.1"));
    let error = stderr(&output);
    assert!(
        error.contains("warning: cannot use ") && error.contains("remembered"),
        "{error}"
    );
    assert_eq!(
        fs::read_to_string(foreign).unwrap(),
        text,
        "it is not replaced"
    );
}
