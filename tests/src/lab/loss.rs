//! Lossy links, and a firewall that refuses to send, by nftables.

use super::namespace::Namespace;

/// Drops `percent` of the UDP packets that arrive at `device`, in place of an earlier share.
///
/// The sender of a packet that is dropped on arrival gets no error.
pub(super) fn lose_arrivals(namespace: &Namespace, device: &str, percent: u8) {
    assert!(percent <= 100, "{percent} % is more than all");
    let rule = match percent {
        0 => String::new(),
        100 => "meta l4proto udp drop;".to_owned(),
        _ => format!("meta l4proto udp numgen random mod 100 < {percent} drop;"),
    };
    let hook = format!("type filter hook ingress device \"{device}\" priority 0;");
    replace_table(namespace, &format!("netdev loss_{device}"), &hook, &rule);
}

/// Has the kernel refuse each UDP packet that is sent, or stops that.
pub(super) fn refuse_sends(namespace: &Namespace, refuse: bool) {
    let rule = if refuse { "meta l4proto udp drop;" } else { "" };
    let hook = "type filter hook output priority 0;";
    replace_table(namespace, "inet refused_sends", hook, rule);
}

fn replace_table(namespace: &Namespace, table: &str, hook: &str, rule: &str) {
    // Only a table that exists can be deleted: the first line creates it if need be.
    let rules = format!(
        "table {table}\n\
         delete table {table}\n\
         table {table} {{\nchain drops {{\n{hook}\n{rule}\n}}\n}}\n"
    );
    namespace.command("nft", "-f -", &rules);
}
