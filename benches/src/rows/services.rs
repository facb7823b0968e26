//! How long it takes to find all of 1 to 1,000 services, beside two implementations of multicast DNS
//! and the Python client.
//!
//! All services are on one host, each with a port of its own.

use std::process::Command;

use udp_discovery_tests::lab::{Host, Lab, Process};

use crate::bench::{Bench, CLIENT_CPU, Failure, SERVER_CPU, output, pinned, role, start};
use crate::results::{Results, Row, Unit};
use crate::roles::Found;

/// Publishes so many services by python-zeroconf.
const PUBLISH: &str = r#"
import asyncio, socket, sys
from zeroconf import IPVersion
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf
async def main():
    count = int(sys.argv[1])
    zeroconf = AsyncZeroconf(interfaces=["10.77.3.2"], ip_version=IPVersion.V4Only)
    infos = [AsyncServiceInfo("_bench._udp.local.", f"service {n}._bench._udp.local.",
        port=10000 + n, server="publisher.local.", addresses=[socket.inet_aton("10.77.3.2")])
        for n in range(count)]
    tasks = await asyncio.gather(*[zeroconf.async_register_service(info) for info in infos])
    await asyncio.gather(*tasks)
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await zeroconf.async_close()
asyncio.run(main())
"#;
/// Searches for so many services by python-zeroconf, for so many seconds.
const BROWSE: &str = r#"
import asyncio, json, sys, time
from zeroconf import IPVersion, ServiceStateChange
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf
async def main():
    count, limit = int(sys.argv[1]), float(sys.argv[2])
    start, found, times, tasks, done = time.monotonic(), set(), [], set(), asyncio.Event()
    async def resolve(zeroconf, kind, name):
        info = AsyncServiceInfo(kind, name)
        if await info.async_request(zeroconf, 1000 * limit) and name not in found:
            found.add(name)
            times.append(time.monotonic() - start)
            if len(found) == count:
                done.set()
    def change(zeroconf, service_type, name, state_change):
        if state_change is ServiceStateChange.Added:
            task = asyncio.ensure_future(resolve(zeroconf, service_type, name))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
    zeroconf = AsyncZeroconf(interfaces=["10.77.3.1"], ip_version=IPVersion.V4Only)
    browser = AsyncServiceBrowser(zeroconf.zeroconf, "_bench._udp.local.", handlers=[change])
    try:
        await asyncio.wait_for(done.wait(), limit)
    except asyncio.TimeoutError:
        pass
    end = time.monotonic() - start
    print(json.dumps({"servers": len(found), "first": min(times, default=0),
        "last": max(times, default=0), "end": end, "memory": 0}), flush=True)
    import os
    os._exit(0)
asyncio.run(main())
"#;
/// Searches with the Python client, which reports what it found at the end of its time.
const CLIENT: &str = r#"
import json, sys, time
from discovery_client import ClientConfig, discover
start = time.monotonic()
found = len(discover(ClientConfig(timeout=1.0)))
end = time.monotonic() - start
print(json.dumps({"servers": found, "first": end, "last": end, "end": end, "memory": 0}), flush=True)
"#;
/// How long multicast DNS may search, in seconds.
const LIMIT: &str = "5";

pub(crate) fn measure(bench: &Bench, results: &mut Results) -> Result<(), Failure> {
    let lab = Lab::new();
    let site = Site {
        bench,
        publisher: lab.host("publisher"),
        client: lab.host("client"),
    };
    site.publisher
        .connect(&site.client, "eth0", ["10.77.3.2/24", "10.77.3.1/24"]);
    for count in bench.either(&[1, 10, 100, 1000][..], &[1, 100]) {
        let count = *count;
        let number = &count.to_string();
        let ours = site.publish(role(SERVER_CPU, &["servers", number])?);
        let most = (count + 1).to_string();
        let words = ["search", "9999", "1000", &most, "9998"];
        site.find(results, count, "this project", || role(CLIENT_CPU, &words))?;
        site.find(results, count, "the Python client", || {
            site.python(CLIENT_CPU, CLIENT, &[])
        })?;
        drop(ours);
        let rival = site.publish(role(SERVER_CPU, &["mdns-publish", number])?);
        let words = ["mdns-browse", number, LIMIT];
        site.find(results, count, "mdns-sd", || role(CLIENT_CPU, &words))?;
        drop(rival);
        let publish = site.python(SERVER_CPU, PUBLISH, &[number]);
        let rival = publish.map(|command| site.publish(command));
        site.find(results, count, "python-zeroconf", || {
            site.python(CLIENT_CPU, BROWSE, &[number, LIMIT])
        })?;
        drop(rival);
    }
    Ok(())
}

struct Site<'a> {
    bench: &'a Bench,
    publisher: Host,
    client: Host,
}

impl Site<'_> {
    fn publish(&self, command: Command) -> Process {
        start(&self.publisher, command)
    }

    fn python(&self, cpu: usize, script: &str, words: &[&str]) -> Result<Command, Failure> {
        let python = self.bench.python.as_ref().map_err(String::as_str)?;
        let mut command = pinned(cpu, python);
        command.args(["-c", script]).args(words);
        Ok(command)
    }

    /// Searches several times, as long as all services are found.
    fn find(
        &self,
        results: &mut Results,
        count: usize,
        name: &str,
        searcher: impl Fn() -> Result<Command, Failure>,
    ) -> Result<(), Failure> {
        let (mut times, mut note) = (Vec::new(), String::new());
        for _ in 0..self.bench.either(3, 1) {
            let command = match searcher() {
                Ok(command) => command,
                Err(why) => {
                    note = why.to_string();
                    break;
                }
            };
            let found: Found = serde_json::from_str(&output(&self.client, command)?)?;
            if found.servers < count {
                note = format!("found {} in {:.1} s", found.servers, found.end);
                break;
            }
            times.push(found.last);
        }
        let id = format!("services/time/{count} {name}");
        let what = format!("services: {count}; {name}");
        results
            .rows
            .push(Row::new(&id, what, Unit::Seconds, times).with_note(note));
        Ok(())
    }
}
