//! The interface lists of many kinds of hosts, and the links that a search must ask on.

use std::net::Ipv4Addr;
use std::time::Instant;

use udp_discovery_client::{Config, Destination, Discovery, Family, Host, LastResort};
use udp_discovery_protocol::{Interface, InterfaceAddress, InterfaceFlags, InterfaceRoute, IpNet};

/// Parses a list with a line for each interface: its name, its flags and its addresses, separated by
/// `|` because names on Windows contain spaces. An address is `address/prefix`,
/// `address>peer/prefix` or `route:network`. An interface is up unless it is `down`.
fn interfaces(list: &str) -> Vec<Interface> {
    let lines = list.lines().map(str::trim).filter(|line| !line.is_empty());
    (1..)
        .zip(lines)
        .map(|(index, line)| interface(index, line))
        .collect()
}

fn interface(index: u32, line: &str) -> Interface {
    let fields: Vec<&str> = line.split('|').map(str::trim).collect();
    let [name, flags, addresses] = fields[..] else {
        panic!("{line} has three fields");
    };
    let mut interface = Interface::new(name, index);
    interface.flags = InterfaceFlags {
        up: true,
        ..InterfaceFlags::default()
    };
    for flag in flags.split_whitespace() {
        match flag {
            "down" => interface.flags.up = false,
            "loopback" => interface.flags.loopback = true,
            "broadcast" => interface.flags.broadcast = true,
            "p2p" => interface.flags.point_to_point = true,
            "noarp" => {}
            _ => panic!("unknown flag {flag}"),
        }
    }
    for address in addresses.split_whitespace() {
        if let Some(network) = address.strip_prefix("route:") {
            let route = InterfaceRoute::new(network.parse().unwrap(), None);
            interface.routes.push(route.unwrap());
            continue;
        }
        let (ip, network) = address.split_once('>').unwrap_or_else(|| {
            let (ip, _) = address.split_once('/').unwrap();
            (ip, address)
        });
        let (ip, network) = (ip.parse().unwrap(), network.parse::<IpNet>().unwrap());
        let address = InterfaceAddress::with_peer(ip, network.addr(), network.prefix_len());
        interface.addresses.push(address.unwrap());
    }
    interface
}

/// The links that a search asks on, such as `eth0 192.168.1.2`, and whether they are a last resort.
fn asked(list: &str) -> (Vec<String>, Option<LastResort>) {
    let config = Config::default().with_family(Family::V4);
    let search = Discovery::new(
        Instant::now(),
        &config,
        &Host::new(interfaces(list)),
        [0; 15],
    )
    .unwrap();
    let links = search.links().iter();
    let links = links.map(|link| format!("{} {}", link.interface, link.local));
    (links.collect(), search.report().last_resort)
}

#[track_caller]
fn asks_on(list: &str, links: &[&str]) {
    assert_eq!(
        asked(list),
        (links.iter().map(ToString::to_string).collect(), None)
    );
}

#[track_caller]
fn asks_as_a_last_resort_on(list: &str, links: &[&str], last_resort: LastResort) {
    let links = links.iter().map(ToString::to_string).collect();
    assert_eq!(asked(list), (links, Some(last_resort)));
}

#[test]
fn a_laptop_at_home() {
    asks_on(
        "lo        | loopback       | 127.0.0.1/8 ::1/128
         enp0s31f6 | broadcast      |
         wlp2s0    | broadcast      | 192.168.1.23/24 2001:db8::23/64 fe80::23/64",
        &["wlp2s0 192.168.1.23"],
    );
}

#[test]
fn an_openwrt_router() {
    asks_on(
        "lo       | loopback       | 127.0.0.1/8 ::1/128
         eth0     | broadcast      | fe80::1/64
         lan1     | broadcast      |
         lan2     | broadcast      |
         wan      | broadcast      | 203.0.113.20/22 fe80::2/64
         phy0-ap0 | broadcast      | fe80::3/64
         br-lan   | broadcast      | 192.168.1.1/24 fd00::1/60 fe80::4/64
         br-guest | broadcast      | 192.168.2.1/24",
        &[
            "wan 203.0.113.20",
            "br-lan 192.168.1.1",
            "br-guest 192.168.2.1",
        ],
    );
}

#[test]
fn an_openwrt_access_point_has_its_bridge_only() {
    asks_on(
        "lo     | loopback  | 127.0.0.1/8 ::1/128
         eth0   | broadcast | fe80::1/64
         br-lan | broadcast | 192.168.1.2/24",
        &["br-lan 192.168.1.2"],
    );
}

#[test]
fn a_server_with_a_plain_bridge() {
    asks_on(
        "lo     | loopback  | 127.0.0.1/8 ::1/128
         enp1s0 | broadcast |
         br0    | broadcast | 10.20.0.5/16 fe80::5/64
         vnet0  | broadcast | fe80::6/64",
        &["br0 10.20.0.5"],
    );
}

#[test]
fn a_docker_host() {
    asks_on(
        "lo              | loopback  | 127.0.0.1/8 ::1/128
         eth0            | broadcast | 192.168.1.7/24
         docker0         | broadcast | 172.17.0.1/16
         br-5f2a0c9b1d3e | broadcast | 172.18.0.1/16
         veth9f01c2d     | broadcast | fe80::9/64",
        &["eth0 192.168.1.7"],
    );
}

#[test]
fn a_docker_swarm_node() {
    asks_on(
        "lo              | loopback  | 127.0.0.1/8
         ens3            | broadcast | 10.0.5.11/24
         docker0         | broadcast | 172.17.0.1/16
         docker_gwbridge | broadcast | 172.18.0.1/16
         veth12ab34c     | broadcast |",
        &["ens3 10.0.5.11"],
    );
}

#[test]
fn a_container() {
    asks_on(
        "lo   | loopback  | 127.0.0.1/8
         eth0 | broadcast | 172.17.0.2/16",
        &["eth0 172.17.0.2"],
    );
}

#[test]
fn a_kubernetes_node_with_flannel() {
    asks_on(
        "lo           | loopback        | 127.0.0.1/8
         eth0         | broadcast       | 10.1.0.4/24
         flannel.1    | broadcast       | 10.42.0.0/32 fe80::1/64
         cni0         | broadcast       | 10.42.0.1/24
         veth8c3e21f0 | broadcast       | fe80::2/64",
        &["eth0 10.1.0.4", "flannel.1 10.42.0.0"],
    );
}

#[test]
fn a_kubernetes_node_with_calico() {
    asks_on(
        "lo              | loopback       | 127.0.0.1/8
         eth0            | broadcast      | 10.1.0.5/24
         kube-ipvs0      | down broadcast | 10.96.0.1/32 10.96.0.10/32
         vxlan.calico    | broadcast      | 10.244.7.0/32
         cali0e5b9f3ac41 | broadcast      | fe80::1/64 route:10.244.7.12/32
         nodelocaldns    | down broadcast | 169.254.25.10/32",
        &["eth0 10.1.0.5", "vxlan.calico 10.244.7.0"],
    );
}

#[test]
fn a_host_of_virtual_machines_by_libvirt() {
    asks_on(
        "lo         | loopback       | 127.0.0.1/8
         enp3s0     | broadcast      | 192.168.1.30/24
         virbr0     | broadcast      | 192.168.122.1/24
         virbr0-nic | down broadcast |
         vnet3      | broadcast      | fe80::3/64",
        &["enp3s0 192.168.1.30"],
    );
}

#[test]
fn a_proxmox_host() {
    asks_on(
        "lo        | loopback  | 127.0.0.1/8
         eno1      | broadcast |
         vmbr0     | broadcast | 192.168.10.2/24
         vmbr1     | broadcast | 10.10.10.1/24
         tap100i0  | broadcast |
         fwbr100i0 | broadcast |
         veth101i0 | broadcast |",
        &["vmbr0 192.168.10.2", "vmbr1 10.10.10.1"],
    );
}

#[test]
fn an_lxd_host() {
    asks_on(
        "lo           | loopback  | 127.0.0.1/8
         enp5s0       | broadcast | 192.168.1.31/24
         lxdbr0       | broadcast | 10.139.240.1/24
         veth4b1a9e77 | broadcast |",
        &["enp5s0 192.168.1.31"],
    );
}

#[test]
fn an_lxc_host() {
    asks_on(
        "lo     | loopback  | 127.0.0.1/8
         eth0   | broadcast | 192.168.1.32/24
         lxcbr0 | broadcast | 10.0.3.1/24",
        &["eth0 192.168.1.32"],
    );
}

#[test]
fn an_incus_host() {
    asks_on(
        "lo       | loopback  | 127.0.0.1/8
         enp5s0   | broadcast | 192.168.1.33/24
         incusbr0 | broadcast | 10.158.3.1/24",
        &["enp5s0 192.168.1.33"],
    );
}

#[test]
fn a_podman_host() {
    asks_on(
        "lo      | loopback  | 127.0.0.1/8
         wlan0   | broadcast | 192.168.1.34/24
         podman0 | broadcast | 10.88.0.1/16
         podman1 | broadcast | 10.89.0.1/24
         veth0   | broadcast | fe80::1/64",
        &["wlan0 192.168.1.34"],
    );
}

#[test]
fn a_linux_guest_of_wsl2() {
    asks_on(
        "lo   | loopback  | 127.0.0.1/8 10.255.255.254/32 ::1/128
         eth0 | broadcast | 172.28.112.34/20",
        &["eth0 172.28.112.34"],
    );
}

#[test]
fn a_windows_host_of_wsl2() {
    asks_on(
        "Loopback Pseudo-Interface 1        | loopback  | 127.0.0.1/8 ::1/128
         Wi-Fi                              | broadcast | 192.168.1.40/24
         vEthernet (WSL (Hyper-V firewall)) | broadcast | 172.28.112.1/20
         vEthernet (WSL)                    | broadcast | 172.29.0.1/20",
        &["Wi-Fi 192.168.1.40"],
    );
}

#[test]
fn a_windows_host_whose_network_card_belongs_to_a_hyper_v_switch() {
    asks_on(
        "Loopback Pseudo-Interface 1 | loopback  | 127.0.0.1/8
         vEthernet (External)        | broadcast | 192.168.1.41/24
         vEthernet (Default Switch)  | broadcast | 172.20.80.1/20",
        &["vEthernet (External) 192.168.1.41"],
    );
}

#[test]
fn a_laptop_with_wireguard_up() {
    asks_on(
        "lo    | loopback  | 127.0.0.1/8
         wlan0 | broadcast | 192.168.1.50/24
         wg0   | p2p noarp | 10.6.0.2/32 route:10.6.0.0/24",
        &["wlan0 192.168.1.50"],
    );
}

#[test]
fn a_laptop_with_openvpn_up() {
    asks_on(
        "lo    | loopback  | 127.0.0.1/8
         eth0  | broadcast | 192.168.1.51/24
         tun0  | p2p noarp | 10.8.0.6>10.8.0.5/32",
        &["eth0 192.168.1.51", "tun0 10.8.0.6"],
    );
}

#[test]
fn a_laptop_with_tailscale_and_zerotier_up() {
    asks_on(
        "lo         | loopback  | 127.0.0.1/8
         eth0       | broadcast | 192.168.1.52/24
         tailscale0 | p2p noarp | 100.64.0.5/32
         ztabcdefgh | broadcast | 10.147.17.5/24",
        &["eth0 192.168.1.52", "ztabcdefgh 10.147.17.5"],
    );
}

#[test]
fn a_laptop_tethered_to_a_telephone() {
    asks_on(
        "lo    | loopback       | 127.0.0.1/8
         wlan0 | down broadcast |
         usb0  | broadcast      | 192.168.42.129/24",
        &["usb0 192.168.42.129"],
    );
}

#[test]
fn a_small_computer_that_is_a_hotspot() {
    asks_on(
        "lo    | loopback  | 127.0.0.1/8
         eth0  | broadcast | 192.168.1.60/24
         wlan0 | broadcast | 10.42.0.1/24",
        &["eth0 192.168.1.60", "wlan0 10.42.0.1"],
    );
}

#[test]
fn a_server_with_bonds_and_vlans() {
    asks_on(
        "lo       | loopback  | 127.0.0.1/8
         eno1     | broadcast |
         eno2     | broadcast |
         bond0    | broadcast | fe80::1/64
         bond0.10 | broadcast | 10.10.0.9/24
         bond0.20 | broadcast | 10.20.0.9/24",
        &["bond0.10 10.10.0.9", "bond0.20 10.20.0.9"],
    );
}

#[test]
fn a_cloud_host_whose_prefix_has_32_bits() {
    let list = "lo   | loopback  | 127.0.0.1/8
                ens4 | broadcast | 10.128.0.2/32 route:10.128.0.1/32";
    asks_on(list, &["ens4 10.128.0.2"]);
    let config = Config::default().with_family(Family::V4);
    let search = Discovery::new(
        Instant::now(),
        &config,
        &Host::new(interfaces(list)),
        [0; 15],
    )
    .unwrap();
    let destinations = &search.links()[0].destinations;
    let gateway = |it: &Destination| it.ip == Ipv4Addr::new(10, 128, 0, 1);
    assert!(destinations.iter().any(gateway), "{destinations:?}");
}

#[test]
fn a_mac() {
    asks_on(
        "lo0       | loopback       | 127.0.0.1/8 ::1/128 fe80::1/64
         gif0      | down p2p       |
         en0       | broadcast      | 192.168.1.70/24 fe80::70/64
         awdl0     | broadcast      | fe80::71/64
         llw0      | broadcast      | fe80::71/64
         bridge0   | broadcast      |
         bridge100 | broadcast      | 192.168.64.1/24
         utun0     | p2p            | fe80::72/64
         utun4     | p2p            | 10.99.0.2>10.99.0.1/32",
        &[
            "en0 192.168.1.70",
            "bridge100 192.168.64.1",
            "utun4 10.99.0.2",
        ],
    );
}

#[test]
fn a_freebsd_jail_with_a_network_of_its_own() {
    asks_on(
        "lo0     | loopback  | 127.0.0.1/8 ::1/128
         epair3b | broadcast | 192.168.1.80/24",
        &["epair3b 192.168.1.80"],
    );
}

#[test]
fn a_freebsd_jail_with_an_address_of_its_host() {
    asks_on(
        "em0     | broadcast | 192.168.1.81/32
         lo0     | loopback  |
         bridge0 | broadcast |",
        &["em0 192.168.1.81"],
    );
}

#[test]
fn an_android_telephone() {
    asks_on(
        "lo          | loopback       | 127.0.0.1/8 ::1/128
         dummy0      | broadcast      | fe80::1/64
         wlan0       | broadcast      | 192.168.1.90/24 fe80::90/64
         p2p0        | down broadcast |
         rmnet_data0 | down           | 10.11.12.13/30",
        &["wlan0 192.168.1.90"],
    );
}

#[test]
fn a_host_with_two_networks_and_virtual_ones() {
    asks_on(
        "lo       | loopback  | 127.0.0.1/8
         eth0     | broadcast | 192.168.1.95/24 192.168.1.96/24
         eth1     | broadcast | 10.0.0.95/8
         vboxnet0 | broadcast | 192.168.56.1/24
         vmnet8   | broadcast | 172.16.77.1/24",
        &[
            "eth0 192.168.1.95",
            "eth0 192.168.1.96",
            "eth1 10.0.0.95",
            "vboxnet0 192.168.56.1",
            "vmnet8 172.16.77.1",
        ],
    );
}

#[test]
fn a_host_whose_only_network_is_a_container_bridge() {
    asks_as_a_last_resort_on(
        "lo      | loopback       | 127.0.0.1/8
         eth0    | down broadcast | 192.168.1.97/24
         docker0 | broadcast      | 172.17.0.1/16
         virbr0  | broadcast      | 192.168.122.1/24",
        &["docker0 172.17.0.1", "virbr0 192.168.122.1"],
        LastResort::ContainerBridges,
    );
}

#[test]
fn a_windows_machine_that_others_know_by_a_default_switch_only() {
    asks_as_a_last_resort_on(
        "Loopback Pseudo-Interface 1 | loopback  | 127.0.0.1/8
         vEthernet (Default Switch)  | broadcast | 172.20.80.1/20",
        &["vEthernet (Default Switch) 172.20.80.1"],
        LastResort::ContainerBridges,
    );
}

#[test]
fn a_host_without_a_network() {
    asks_as_a_last_resort_on(
        "lo    | loopback       | 127.0.0.1/8 ::1/128
         eth0  | broadcast      |
         wlan0 | down broadcast |",
        &["lo 127.0.0.1"],
        LastResort::Loopback,
    );
}
