//! Lossy links, and a firewall that refuses to send, by nftables.

use std::io::Write;
use std::process::{Command, Stdio};

use super::namespace::Namespace;

/// Drops `percent` of the UDP packets that arrive at `device`, instead of what it dropped before.
///
/// Where a packet arrives nobody is told: a drop on the way out would be an error of the send.
pub(super) fn lose_arrivals(namespace: &Namespace, device: &str, percent: u8) {
    assert!(percent <= 100, "{percent} % is more than all");
    let rule = match percent {
        0 => String::new(),
        100 => "meta l4proto udp drop;".to_owned(),
        _ => format!("meta l4proto udp numgen random mod 100 < {percent} drop;"),
    };
    let table = format!("netdev loss_{device}");
    let hook = format!("type filter hook ingress device \"{device}\" priority 0;");
    replace_table(
        namespace,
        &table,
        &format!("chain arrivals {{\n{hook}\n{rule}\n}}"),
    );
}

/// Has the kernel refuse each UDP packet that it is to send, or not any more.
pub(super) fn refuse_sends(namespace: &Namespace, refuse: bool) {
    let rule = if refuse { "meta l4proto udp drop;" } else { "" };
    let hook = "type filter hook output priority 0;";
    replace_table(
        namespace,
        "inet refused_sends",
        &format!("chain sends {{\n{hook}\n{rule}\n}}"),
    );
}

fn replace_table(namespace: &Namespace, table: &str, chain: &str) {
    // A table can be deleted only where it is: the first line makes sure of that.
    let rules = format!("table {table}\ndelete table {table}\ntable {table} {{\n{chain}\n}}\n");
    let output = namespace
        .run(|| {
            let mut nft = Command::new("nft")
                .args(["-f", "-"])
                .stdin(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()?;
            let mut stdin = nft.stdin.take().expect("its input is a pipe");
            stdin.write_all(rules.as_bytes())?;
            drop(stdin);
            nft.wait_with_output()
        })
        .expect("`nft` can be started");
    assert!(
        output.status.success(),
        "`nft` failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
