//! Services that hosts announce by multicast DNS (RFC 6762).

use std::fmt;
use std::thread;

use mdns_sd::{DaemonEvent, IfKind, ResolvedService, ScopedIp, ServiceDaemon, ServiceEvent};
use udp_discovery_protocol::{MDNS_PORT, check_mdns_port};

use super::engines::{Event, Plan, Running, Sender};
use super::instance::Instance;

/// A running search by multicast DNS. Dropping it ends it.
struct Browse(ServiceDaemon);

impl Running for Browse {}

/// Asks for the instances of a type of service, and sends them to the search.
pub(super) fn start(
    service: &str,
    plan: &Plan,
    sender: Sender,
) -> Result<Box<dyn Running>, String> {
    check_mdns_port().map_err(|error| format!("UDP port {MDNS_PORT} cannot be shared: {error}"))?;
    let browse = Browse::start(service, &plan.interfaces, sender);
    let browse = browse.map_err(|error| error.to_string())?;
    Ok(Box::new(browse))
}

impl Browse {
    fn start(service: &str, interfaces: &[String], sender: Sender) -> mdns_sd::Result<Self> {
        let browse = Self(ServiceDaemon::new()?);
        let daemon = &browse.0;
        let errors = daemon.monitor()?;
        daemon.disable_interface(IfKind::All)?;
        for name in interfaces {
            daemon.enable_interface(name.as_str())?;
        }
        let found = daemon.browse(&format!("{service}.local."))?;
        let failed = sender.clone();
        // Both end with the daemon.
        thread::spawn(move || {
            for event in errors {
                if let DaemonEvent::Error(error) = event {
                    failed.send(Event::Failed(error.to_string()));
                }
            }
        });
        thread::spawn(move || {
            for event in found {
                if let ServiceEvent::ServiceResolved(service) = event
                    && !sender.send(Event::Found(instance(&service)))
                {
                    break;
                }
            }
        });
        Ok(browse)
    }
}

impl fmt::Debug for Browse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Browse").finish_non_exhaustive()
    }
}

impl Drop for Browse {
    fn drop(&mut self) {
        // If it cannot be told, it has ended.
        let _ = self.0.shutdown();
    }
}

fn instance(service: &ResolvedService) -> Instance {
    let name = service.fullname.strip_suffix(&service.ty_domain);
    let name = name.unwrap_or(&service.fullname).trim_end_matches('.');
    let addresses = service.addresses.iter().map(|address| match address {
        ScopedIp::V6(ip) => (address.to_ip_addr(), ip.scope_id().index),
        _ => (address.to_ip_addr(), 0),
    });
    let texts: Vec<Vec<u8>> = service
        .txt_properties
        .iter()
        .map(|property| match property.val() {
            Some(value) => [property.key().as_bytes(), b"=", value].concat(),
            None => property.key().into(),
        })
        .collect();
    let texts = texts.iter().map(Vec::as_slice);
    Instance::new(name.as_bytes(), service.port, addresses, texts)
}
