//! Watches for three seconds which servers come and go, and then stops.

use std::time::{Duration, Instant};

use udp_discovery_client::Client;

mod loopback;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config = loopback::start_server()?;

    let mut watch = Client::new(config).watch()?;
    let end = Instant::now() + Duration::from_secs(3);
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        if let Some(event) = watch.next_timeout(left) {
            println!("{event}");
        }
    }

    println!("{} there at the end", watch.servers().len());
    assert_eq!(watch.servers().len(), 1);
    Ok(())
}
