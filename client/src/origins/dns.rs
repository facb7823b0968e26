//! Services that a DNS server knows (DNS-SD, RFC 6763).

use std::collections::HashSet;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::thread;
use std::time::Duration;

use futures_util::future::{self, Either};
use futures_util::{StreamExt as _, stream};
use hickory_resolver::config::ResolverOpts;
use hickory_resolver::net::NetError;
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::{Resolver, TokioResolver};
use tokio::runtime::{self, Runtime};
use tokio::sync::oneshot;
use tokio::time;

use super::engines::{Event, NOT_IN_TIME, Plan, Running, Sender};
use super::instance::Instance;

#[cfg(test)]
mod tests;

/// How many instances are looked up at the same time.
const AT_ONCE: usize = 8;

/// How many times a DNS server is asked that does not answer.
const ATTEMPTS: u32 = 2;

/// A running search in the DNS. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Browse {
    #[expect(dead_code, reason = "dropping it tells the engine")]
    end: oneshot::Sender<()>,
}

impl Running for Browse {}

/// Looks up the instances of a service in a thread, and sends them to the search.
pub(super) fn start(
    service: String,
    plan: &Plan,
    sender: Sender,
) -> Result<Box<dyn Running>, String> {
    let (end, ended) = oneshot::channel();
    let Plan {
        timeout,
        max_servers,
        ..
    } = *plan;
    let runtime = runtime().map_err(|error| error.to_string())?;
    let run = move || {
        let found = |instance| {
            sender.send(Event::Found(instance));
        };
        let browse = async {
            let dns = Dns::of_system(timeout)?;
            dns.browse(&service, max_servers, &found).await
        };
        let result = runtime.block_on(async {
            let browse = pin!(time::timeout(timeout, browse));
            match future::select(browse, ended).await {
                Either::Left((Ok(result), _)) => result.map_err(|error| error.to_string()),
                Either::Left((Err(_), _)) => Err(NOT_IN_TIME.to_owned()),
                // The search is over.
                Either::Right(_) => Ok(()),
            }
        });
        if let Err(error) = result {
            sender.send(Event::Failed(error));
        }
        sender.send(Event::Ended);
    };
    let thread = thread::Builder::new().name("udp-discovery-dns".into());
    thread.spawn(run).map_err(|error| error.to_string())?;
    Ok(Box::new(Browse { end }))
}

fn runtime() -> io::Result<Runtime> {
    let mut builder = runtime::Builder::new_current_thread();
    builder.enable_all().build()
}

fn options(mut options: ResolverOpts, timeout: Duration) -> ResolverOpts {
    options.timeout = timeout / ATTEMPTS;
    // The times that it tries again.
    options.attempts = ATTEMPTS as usize - 1;
    options
}

/// A stub resolver.
struct Dns(TokioResolver);

impl Dns {
    /// A resolver that asks the system's DNS servers, for at most `timeout`.
    fn of_system(timeout: Duration) -> Result<Self, NetError> {
        let mut builder = Resolver::builder_tokio()?;
        *builder.options_mut() = options(builder.options_mut().clone(), timeout);
        Ok(Self(builder.build()?))
    }

    /// Looks up the instances of a service, at most `max_instances`, and calls `found` with each.
    ///
    /// # Errors
    /// The first error, if something could not be looked up. That there is no such service is none.
    async fn browse(
        &self,
        service: &str,
        max_instances: usize,
        found: &impl Fn(Instance),
    ) -> Result<(), NetError> {
        let mut service = Name::from_utf8(service)?;
        // The system's list of domains to search is for hosts.
        service.set_fqdn(true);
        let mut names = HashSet::new();
        for data in self.records(&service, RecordType::PTR).await? {
            if let RData::PTR(name) = data
                && names.len() < max_instances
            {
                names.insert(name.0);
            }
        }
        if names.is_empty() {
            // Consul and Kubernetes answer so.
            return self.instance(&service, None, found).await;
        }
        let instances = names.iter().map(|name| {
            let label = name.iter().next().unwrap_or_default();
            self.instance(name, Some(label), found)
        });
        first_error(instances).await
    }

    /// Looks up where an instance is. Without a `label` its name is that of its host.
    async fn instance(
        &self,
        name: &Name,
        label: Option<&[u8]>,
        found: &impl Fn(Instance),
    ) -> Result<(), NetError> {
        let (services, texts) = futures_util::join!(
            self.records(name, RecordType::SRV),
            self.records(name, RecordType::TXT),
        );
        let mut services: Vec<SRV> = services?
            .into_iter()
            .filter_map(|data| match data {
                // RFC 2782: a root target means that there is no such service.
                RData::SRV(service) if !service.target.is_root() => Some(service),
                _ => None,
            })
            .collect();
        // Properties are good to have, but not needed.
        let texts: Vec<_> = texts.unwrap_or_default();
        let texts = || {
            let records = texts.iter().filter_map(|data| match data {
                RData::TXT(record) => Some(record.txt_data.iter()),
                _ => None,
            });
            records.flatten().map(|text| &**text)
        };
        services.sort_by_key(|it| (it.priority, std::cmp::Reverse(it.weight)));
        let hosts = services.iter().map(async |service| {
            let addresses = self.addresses(&service.target).await?;
            let host = service.target.to_utf8();
            let name = label.unwrap_or(host.trim_end_matches('.').as_bytes());
            let instance = Instance::new(name, service.port, addresses, texts());
            if !instance.addresses.is_empty() {
                found(instance);
            }
            Ok(())
        });
        first_error(hosts).await
    }

    async fn addresses(&self, host: &Name) -> Result<Vec<(IpAddr, u32)>, NetError> {
        let (v4, v6) = futures_util::join!(
            self.records(host, RecordType::A),
            self.records(host, RecordType::AAAA),
        );
        let records = match (v4, v6) {
            (Ok(v4), Ok(v6)) => [v4, v6].concat(),
            (Ok(records), Err(_)) | (Err(_), Ok(records)) if !records.is_empty() => records,
            (Err(error), _) | (_, Err(error)) => return Err(error),
        };
        Ok(records
            .iter()
            .filter_map(|data| Some((data.ip_addr()?, 0)))
            .collect())
    }

    /// The data of the records of a type. A name that does not exist has none.
    async fn records(&self, name: &Name, kind: RecordType) -> Result<Vec<RData>, NetError> {
        match self.0.lookup(name.clone(), kind).await {
            Ok(lookup) => {
                let records = lookup.answers().iter();
                let records = records.filter(|record| record.record_type() == kind);
                Ok(records.map(|record| record.data.clone()).collect())
            }
            Err(error) if error.is_no_records_found() => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}

/// Runs all of them, some at a time. Returns the first error.
async fn first_error(
    all: impl IntoIterator<Item = impl Future<Output = Result<(), NetError>>>,
) -> Result<(), NetError> {
    let mut running = stream::iter(all).buffer_unordered(AT_ONCE);
    let mut first = Ok(());
    while let Some(result) = running.next().await {
        first = first.and(result);
    }
    first
}
