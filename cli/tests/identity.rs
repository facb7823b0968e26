//! The commands `keygen` and `id`, and the files with which `serve` keeps who it is.
#![cfg(unix)]

use std::env;
use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::net::UdpSocket;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::process::{Command, Output};

/// The path of the command, which cargo passes to tests.
fn program() -> OsString {
    env::var_os("CARGO_BIN_EXE_udp-discovery").expect("cargo runs the tests")
}

/// A folder of one test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("identity-{name}"));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    /// The names of its files, sorted.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap();
        let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
        let mut names: Vec<_> = entries.map(|it| name(it).into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// A key, which `keygen` made, and its id.
    fn key(&self, name: &str) -> (String, String) {
        let file = self.file(name);
        let output = run(&["keygen", &file]);
        assert!(output.status.success(), "{output:?}");
        (file, stdout(&output).trim_end().to_owned())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn run(arguments: &[&str]) -> Output {
    Command::new(program()).args(arguments).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn mode(file: &str) -> u32 {
    fs::metadata(file).unwrap().mode() & 0o777
}

/// Runs a command that must fail, and checks what it says.
fn fails(arguments: &[&str], expected: &[&str]) {
    let output = run(arguments);
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
    assert!(output.stdout.is_empty(), "{output:?}");
    for part in expected {
        assert!(
            text.contains(part),
            "{arguments:?}: no {part:?} in:\n{text}"
        );
    }
}

/// What `serve` prints with these options.
fn serving(options: &[&str]) -> Vec<String> {
    loop {
        // A port that the system chose and that is free again, unless another program is faster.
        let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr();
        let port = port.unwrap().port().to_string();
        let serve = [
            "serve",
            "--duration=100ms",
            "--no-multicast",
            "--port",
            &port,
        ];
        let output = run(&[&serve, options].concat());
        if output.status.success() {
            return stdout(&output).lines().map(ToOwned::to_owned).collect();
        }
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains("in use"), "{error}");
    }
}

/// The id in what `serve` says.
fn id(printed: &[String]) -> &str {
    let line = printed.iter().find(|line| line.starts_with("id  "));
    let line = line.expect("there is an id");
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .trim_end_matches(',')
}

#[test]
fn a_key_is_readable_by_its_owner_only_and_its_id_is_printed() {
    let folder = Folder::new("key");
    let (file, id) = folder.key("key.pem");
    assert_eq!(id.len(), 43);
    assert_eq!(mode(&file), 0o600);
    assert_eq!(stdout(&run(&["id", &file])), format!("{id}\n"));
    assert_eq!(folder.names(), ["key.pem"]);
    let (_, another) = folder.key("another.pem");
    assert_ne!(another, id);
}

#[test]
fn without_a_key_or_an_id_file_the_id_is_new_at_each_start_and_serve_says_so() {
    let printed = [0, 1].map(|_| serving(&["--name=printer"]));
    for lines in &printed {
        let said = lines
            .iter()
            .filter(|line| line.contains("new at each start"));
        assert_eq!(said.count(), 1, "{lines:?}");
    }
    assert_ne!(id(&printed[0]), id(&printed[1]));
    let text = serving(&[]).join("\n");
    assert!(
        !text.contains("new at each start") && !text.contains("\nid "),
        "{text}"
    );
}

#[test]
fn an_id_file_is_made_once_and_kept() {
    let folder = Folder::new("id");
    let file = folder.file("id");
    let [first, second] = [0, 1].map(|_| serving(&["--id-file", &file]));
    assert_eq!(id(&first), id(&second));
    assert_eq!(stdout(&run(&["id", &file])), format!("{}\n", id(&first)));
    assert_eq!(mode(&file) & 0o600, 0o600);
    assert_eq!(mode(&file) & 0o133, 0);
    assert_eq!(folder.names(), ["id"]);
}

#[test]
fn a_key_makes_the_id_and_an_id_file_beside_it_is_refused() {
    let folder = Folder::new("both");
    let (key, of_key) = folder.key("key.pem");
    let printed = serving(&["--key", &key, "--name=printer", "--property=room=3"]);
    assert_eq!(id(&printed), of_key);
    let text = printed.join("\n");
    for part in ["signed", "printer", "room=3"] {
        assert!(text.contains(part), "{part}:\n{text}");
    }
    let config = folder.file("config.toml");
    let id_file = folder.file("id");
    fs::write(&config, format!("[server]\nid_file = {id_file:?}\n")).unwrap();
    let arguments = ["serve", "--key", &key, "--config", &config];
    fails(
        &arguments,
        &["cannot be used together", "leave out the id file"],
    );
    assert_eq!(folder.names(), ["config.toml", "key.pem"]);
}

#[test]
fn details_that_do_not_fit_are_refused_with_how_much_is_too_much() {
    let property = format!("--property=text={}", "x".repeat(400));
    fails(
        &["serve", &property],
        &["bytes too many", "of 512", "shorten"],
    );
}

#[test]
fn fault_64_a_key_that_exists_is_never_overwritten() {
    let folder = Folder::new("exists");
    let (file, id) = folder.key("key.pem");
    fails(&["keygen", &file], &[&file, "exists", "never overwritten"]);
    assert_eq!(stdout(&run(&["id", &file])), format!("{id}\n"));
    let empty = folder.file("empty");
    fs::write(&empty, "").unwrap();
    fails(&["keygen", &empty], &["exists"]);
    assert_eq!(fs::read(&empty).unwrap(), b"");
    assert_eq!(folder.names(), ["empty", "key.pem"]);
}

#[test]
fn fault_64_a_folder_that_is_missing_is_named() {
    let folder = Folder::new("missing");
    let missing = folder.file("missing");
    let file = format!("{missing}/file");
    let make = format!("mkdir -p {missing}");
    fails(&["keygen", &file], &["does not exist", &make]);
    fails(&["serve", "--id-file", &file], &["does not exist", &make]);
    fails(
        &["serve", "--key", &file],
        &["does not exist", "udp-discovery keygen"],
    );
    fails(&["id", &file], &["does not exist", "udp-discovery keygen"]);
    fails(&["id", &folder.file(".")], &["not a regular file"]);
    assert!(folder.names().is_empty());
}

#[test]
fn fault_64_a_key_that_others_can_read_is_refused_with_what_mends_it() {
    let folder = Folder::new("open");
    let (file, id) = folder.key("key.pem");
    for mode in [0o660, 0o604, 0o620, 0o601] {
        fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
        for arguments in [&["serve", "--key", &file][..], &["id", &file]] {
            fails(
                arguments,
                &["others can read", &format!("chmod 600 {file}")],
            );
        }
    }
    fs::set_permissions(&file, Permissions::from_mode(0o400)).unwrap();
    assert_eq!(stdout(&run(&["id", &file])), format!("{id}\n"));
}

#[test]
fn a_key_of_root_and_its_group_is_accepted_as_systemd_hands_it_over() {
    if !rustix::process::geteuid().is_root() {
        return eprintln!("skipped: only root can make files of root");
    }
    let folder = Folder::new("credential");
    let (file, id) = folder.key("key.pem");
    fs::set_permissions(&file, Permissions::from_mode(0o440)).unwrap();
    assert_eq!(stdout(&run(&["id", &file])), format!("{id}\n"));
    std::os::unix::fs::chown(&file, None, Some(1000)).unwrap();
    fails(&["id", &file], &["others can read"]);
}

#[test]
fn fault_64_a_damaged_file_is_refused_and_left_as_it_is() {
    let folder = Folder::new("damaged");
    let (file, _) = folder.key("key.pem");
    let key = fs::read(&file).unwrap();
    let damaged = folder.file("damaged");
    let write = |content: &[u8]| {
        fs::write(&damaged, content).unwrap();
        fs::set_permissions(&damaged, Permissions::from_mode(0o600)).unwrap();
    };
    for content in [&key[..60], &key[1..], b"", b"\xff\xfe", &[b'x'; 10_000]] {
        write(content);
        fails(
            &["serve", "--key", &damaged],
            &["not an Ed25519 key", "restore it"],
        );
        assert_eq!(fs::read(&damaged).unwrap(), content);
    }
    let id = format!("{}\n", "B".repeat(43));
    for content in [
        "",
        &id[..42],
        &id[1..],
        "\n",
        &format!("{id}{id}"),
        "root:x:0:0\n",
    ] {
        write(content.as_bytes());
        fails(
            &["serve", "--id-file", &damaged],
            &["not the id", "delete it"],
        );
        fails(&["id", &damaged], &["not the id"]);
        assert_eq!(fs::read(&damaged).unwrap(), content.as_bytes());
    }
    // A key is not an id file.
    fails(&["serve", "--id-file", &file], &["not the id"]);
}

#[test]
fn fault_64_a_file_of_another_user_is_refused() {
    if !rustix::process::geteuid().is_root() {
        return eprintln!("skipped: only root can give files away");
    }
    let folder = Folder::new("foreign");
    let (key, _) = folder.key("key.pem");
    let id = folder.file("id");
    serving(&["--id-file", &id]);
    for file in [&key, &id] {
        std::os::unix::fs::chown(file, Some(1000), None).unwrap();
    }
    for arguments in [
        &["serve", "--key", &key][..],
        &["serve", "--id-file", &id],
        &["id", &key],
    ] {
        fails(arguments, &["belongs to another user", "chown"]);
    }
}

/// On a file system of 4 KiB, in a mount namespace.
#[cfg(target_os = "linux")]
#[test]
fn fault_64_on_a_full_disk_nothing_is_written_and_what_is_there_stays() {
    use udp_discovery_tests::lab::{self, Lab};

    lab::run(|| {
        let folder = Folder::new("full");
        let [host] = Lab::new().hosts(["10.77.1.1/24"]);
        let script = format!(
            "mount -t tmpfs -o size=8k none {folder} && cd {folder} && $0 keygen old && \
             {{ head -c 100000 /dev/zero > rest; $0 keygen new; echo \"code $?\"; \
             $0 serve --id-file id; echo \"code $?\"; ls -A; $0 id old; }}",
            folder = folder.0.display()
        );
        let mut unshare = Command::new("unshare");
        unshare
            .args(["--mount", "sh", "-c", &script])
            .arg(program());
        let mut shell = host.spawn(unshare);
        assert!(shell.wait(std::time::Duration::from_secs(20)).success());
        let (printed, errors) = (shell.stdout(), shell.stderr().join("\n"));
        assert_eq!(printed[0].len(), 43, "{printed:?} {errors}");
        let rest = [printed[0].as_str()];
        let expected = ["code 2", "code 2", "old", "rest"];
        assert_eq!(printed[1..], [&expected[..], &rest].concat(), "{errors}");
        assert_eq!(errors.matches("nothing was written").count(), 2, "{errors}");
    });
}
