//! Searches on a tokio runtime, beside other work in a `select!` loop.

use std::time::Duration;

use tokio::time;
use udp_discovery_client::Client;

mod loopback;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config = loopback::start_server()?;
    let client = Client::new(config);

    // `search` is a `Stream`; `next` is also a method of its own and needs no extension trait.
    let mut search = client.search_async().await?;
    let mut progress = time::interval(Duration::from_millis(100));
    let mut found = 0;
    loop {
        tokio::select! {
            server = search.next() => match server {
                Some(server) => {
                    found += 1;
                    println!("{server}");
                }
                None => break,
            },
            _ = progress.tick() => println!("searching"),
        }
    }
    search.outcome()?; // an error if no probe could be sent
    assert_eq!(found, 1);
    Ok(())
}
