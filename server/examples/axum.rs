//! A web server that can be found on the network: axum and the discovery server on one tokio
//! runtime. Both stop gracefully on the same signal.
//!
//! `cargo run -p udp-discovery-server --example axum --features tokio` finds itself on loopback
//! addresses and ends. With the argument `--network` it serves on every address for a minute.

use std::error::Error;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use axum::{Router, routing::get};
use tokio::net::TcpListener;
use tokio::sync::watch;
use udp_discovery_server::{Config, Server};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let network = std::env::args().any(|argument| argument == "--network");
    let address = if network {
        Ipv4Addr::UNSPECIFIED
    } else {
        Ipv4Addr::LOCALHOST
    };
    let listener = TcpListener::bind((address, 0)).await?;
    let web_port = listener.local_addr()?.port();
    let app = Router::new().route("/", get(|| async { "Hello" }));

    // Clients learn the web server's port.
    let config = Config::default().with_advertise_port(web_port);
    let discovery = if network {
        Server::bind(config)?
    } else {
        Server::from_socket(UdpSocket::bind("127.0.0.1:0")?, config)?
    };
    let discovery_address = discovery.local_addr();

    let (stop, stopped) = watch::channel(());
    let signal = || {
        let mut stopped = stopped.clone();
        async move {
            // An error says that the sender was dropped, which is the signal.
            while stopped.changed().await.is_ok() {}
        }
    };
    let web = axum::serve(listener, app).with_graceful_shutdown(signal());
    let discovery = tokio::spawn(discovery.serve_with_shutdown(signal()));
    let web = tokio::spawn(async { web.await });

    if network {
        tokio::time::sleep(Duration::from_secs(60)).await;
    } else {
        let client = tokio::net::UdpSocket::bind("127.0.0.1:0").await?;
        client
            .send_to(b"DISCOVER_SERVER", discovery_address)
            .await?;
        let mut answer = [0; 1024];
        let len = client.recv(&mut answer).await?;
        let expected = format!("SERVER_IP:127.0.0.1:{web_port}");
        assert_eq!(&answer[..len], expected.as_bytes());
        println!("found {expected}");
    }

    drop(stop);
    discovery.await??;
    web.await??;
    Ok(())
}
