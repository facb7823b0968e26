//! Asks the server's addresses one by one, the held and the others, and sees every answer.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use udp_discovery_server::protocol::{Codec, HostIp, Message, Response};

use super::ledger::Ledger;
use super::tally::{Count, Tally};
use super::world::{ALIASES, PORT, alias_address, asker_address, at, broadcast_address};
use crate::lab::Stop;

/// How long an answer is waited for. A later one comes to a closed port, and the server's host
/// gets an ICMP message back.
const PATIENCE: Duration = Duration::from_millis(30);
const PAUSE: Duration = Duration::from_millis(20);

pub(super) struct Asker {
    pub(super) network: usize,
    pub(super) ledger: Arc<Ledger>,
    pub(super) tally: Arc<Tally>,
}

impl Asker {
    /// Asks again and again, mostly one address, sometimes all.
    pub(super) fn run(&self, mut rng: Rng, stop: &Stop) {
        while !stop.wait(PAUSE) {
            let asked = match rng.u8(0..8) {
                0 => Ipv4Addr::BROADCAST,
                1 => broadcast_address(self.network),
                _ => alias_address(self.network, rng.u8(0..ALIASES[self.network])).0,
            };
            self.tally.count(Count::Asked);
            match self.ask(asked) {
                Ok(0) => {}
                Ok(1) => self.tally.count(Count::AskedAnswered),
                Ok(several) => self.tally.fault(Count::Wrong, || {
                    format!("{several} answers to one request to {asked}")
                }),
                Err(error) => panic!("{asked} can't be asked: {error}"),
            }
        }
    }

    /// How many answers came to a socket that asked once.
    fn ask(&self, asked: Ipv4Addr) -> io::Result<usize> {
        let socket = UdpSocket::bind((asker_address(self.network), 0))?;
        socket.set_broadcast(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
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
        if self.is_right(asked, answer, source) {
            self.tally.count(Count::Right);
            return;
        }
        self.tally.fault(Count::Wrong, || {
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
        HostIp::new(source.ip()).map(|ip| Response::new(ip, None)) == Ok(response)
            && source.port() == PORT
            && (to_all || source.ip() == asked)
            && self
                .ledger
                .permits(Instant::now(), self.network, source.ip())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soak::world::server_address;

    #[test]
    fn an_answer_names_its_source_which_is_held_there_and_was_asked() {
        let ledger = Arc::new(Ledger::default());
        let asker = Asker {
            network: 0,
            ledger: Arc::clone(&ledger),
            tally: Arc::new(Tally::new(Instant::now())),
        };
        let (first, alias) = (server_address(0), alias_address(0, 7).0);
        let right = |asked, claim: Ipv4Addr, source: Ipv4Addr, port| {
            let answer = format!("SERVER_IP:{claim}");
            asker.is_right(asked, answer.as_bytes(), (source, port).into())
        };
        assert!(!right(first, first, first, PORT), "nothing is held");
        ledger.comes(0, first);
        ledger.comes(1, alias);
        assert!(right(first, first, first, PORT));
        assert!(right(Ipv4Addr::BROADCAST, first, first, PORT));
        assert!(right(broadcast_address(0), first, first, PORT));
        assert!(!right(first, first, first, PORT + 1));
        assert!(!right(first, alias, first, PORT));
        assert!(!right(alias, alias, alias, PORT), "held elsewhere");
        ledger.comes(0, alias);
        assert!(right(alias, alias, alias, PORT));
        assert!(!right(first, alias, alias, PORT), "another was asked");
    }
}
