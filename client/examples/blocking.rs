//! Searches on the calling thread, and prints each server as it answers.

use udp_discovery_client::Client;

mod loopback;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config = loopback::start_server()?;
    let client = Client::new(config);

    let mut search = client.search()?;
    for server in &mut search {
        println!("{} after {:?}", server.url("http"), server.rtt);
    }

    // The report explains why nothing was found.
    let report = search.report();
    for link in &report.links {
        println!("{} probes on {}", link.probes_sent, link.interface);
    }
    for skipped in &report.skipped {
        println!("skipped {skipped}");
    }
    assert_eq!(report.counts.accepted, 1);
    Ok(())
}
