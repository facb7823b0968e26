//! A client that asks the server's addresses one by one, those it has and others, and checks
//! every answer.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use fastrand::Rng;
use udp_discovery_server::protocol::{Codec, HostIp, Message, Response};

use super::counts::Count;
use super::run::Shared;
use super::topology::{ALIASES, PORT, alias_address, asker_address, at, broadcast_address};
use crate::lab::Stop;

/// How long to wait for an answer. A later one meets a closed port, and the server's host gets an
/// ICMP message.
const TIMEOUT: Duration = Duration::from_millis(30);
const PAUSE: Duration = Duration::from_millis(20);

pub(super) struct Asker<'a> {
    pub(super) network: usize,
    pub(super) shared: &'a Shared,
}

impl Asker<'_> {
    /// Asks again and again, mostly one address, sometimes all.
    pub(super) fn run(&self, mut rng: Rng, stop: &Stop) {
        let counters = &self.shared.counters;
        while !stop.wait(PAUSE) {
            let asked = match rng.u8(0..8) {
                0 => Ipv4Addr::BROADCAST,
                1 => broadcast_address(self.network),
                _ => alias_address(self.network, rng.u8(0..ALIASES[self.network])).0,
            };
            counters.count(Count::Requests);
            match self.ask(asked) {
                Ok(0) => {}
                Ok(1) => counters.count(Count::Answered),
                Ok(several) => counters.failure(Count::Wrong, || {
                    format!("{several} answers to one request to {asked}")
                }),
                Err(error) => panic!("{asked} can't be asked: {error}"),
            }
        }
    }

    /// Asks once from a new socket, and returns the number of answers.
    fn ask(&self, asked: Ipv4Addr) -> io::Result<usize> {
        let socket = UdpSocket::bind((asker_address(self.network), 0))?;
        socket.set_broadcast(true)?;
        socket.set_read_timeout(Some(TIMEOUT))?;
        socket.send_to(b"DISCOVER_SERVER", at(asked))?;
        let mut buffer = [0; 2048];
        let mut answers = 0;
        loop {
            match socket.recv_from(&mut buffer) {
                Ok((len, source)) => {
                    answers += 1;
                    self.check(asked, &buffer[..len], source);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(answers),
                Err(error) => return Err(error),
            }
        }
    }

    fn check(&self, asked: Ipv4Addr, answer: &[u8], source: SocketAddr) {
        let counters = &self.shared.counters;
        if self.is_right(asked, answer, source) {
            counters.count(Count::Right);
            return;
        }
        counters.failure(Count::Wrong, || {
            let (network, answer) = (self.network, answer.escape_ascii());
            format!("on network {network}, asked {asked}: {answer} from {source}")
        });
    }

    /// An answer names the address it comes from, which is the one asked, or one held there.
    fn is_right(&self, asked: Ipv4Addr, answer: &[u8], source: SocketAddr) -> bool {
        let Ok(Message::Response(response)) = Codec::default().decode(answer) else {
            return false;
        };
        let to_all = asked.is_broadcast() || asked == broadcast_address(self.network);
        let addresses = &self.shared.addresses;
        HostIp::new(source.ip()).map(|ip| Response::new(ip, None)) == Ok(response)
            && source.port() == PORT
            && (to_all || source.ip() == asked)
            && addresses.permits(Instant::now(), self.network, source.ip())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soak::topology::server_address;

    #[test]
    fn an_answer_names_its_source_which_is_held_there_and_was_asked() {
        let asker = Asker {
            network: 0,
            shared: &Shared::new(),
        };
        let (first, alias) = (server_address(0), alias_address(0, 7).0);
        let elsewhere = server_address(1);
        let right = |asked, claim: Ipv4Addr, source: Ipv4Addr, port| {
            let answer = format!("SERVER_IP:{claim}");
            asker.is_right(asked, answer.as_bytes(), (source, port).into())
        };
        assert!(right(first, first, first, PORT));
        assert!(right(Ipv4Addr::BROADCAST, first, first, PORT));
        assert!(right(broadcast_address(0), first, first, PORT));
        assert!(!right(first, first, first, PORT + 1));
        assert!(!right(first, elsewhere, first, PORT));
        assert!(!right(alias, first, first, PORT), "another was asked");
        assert!(!right(alias, alias, alias, PORT), "not held");
        assert!(
            !right(elsewhere, elsewhere, elsewhere, PORT),
            "held elsewhere"
        );
    }
}
