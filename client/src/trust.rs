//! Whose answers count: pinned ids, signatures, and servers known by name.

#[cfg(feature = "signed")]
pub(crate) use signed::Trust;
#[cfg(not(feature = "signed"))]
pub(crate) use unsigned::Trust;

#[cfg(feature = "signed")]
mod signed {
    use std::collections::{HashMap, HashSet};
    use std::net::{IpAddr, SocketAddr};

    use udp_discovery_protocol::{DetailsAnswer, ServerId};

    use crate::config::Config;
    use crate::host::Host;
    use crate::report::{Alarm, DropReason, Report};

    /// How many signatures are verified in a search. It takes about 0.1 s.
    const MAX_VERIFICATIONS: u32 = 1000;

    /// How many wrong signatures from one source are verified.
    const MAX_FAILURES: u8 = 2;

    /// What a search trusts.
    #[derive(Debug)]
    pub(crate) struct Trust {
        pinned: HashSet<ServerId>,
        known: HashMap<String, Vec<ServerId>>,
        /// The known names whose servers answered.
        answered: HashSet<String>,
        verifications: u32,
        /// The wrong signatures of each source, at most one entry for each verification.
        failures: HashMap<IpAddr, u8>,
    }

    impl Trust {
        pub(crate) fn new(config: &Config, host: &Host) -> Self {
            let mut known: HashMap<String, Vec<ServerId>> = HashMap::new();
            for (name, id) in &host.known_servers {
                known.entry(name.clone()).or_default().push(*id);
            }
            Self {
                pinned: config.pinned_ids().iter().copied().collect(),
                known,
                answered: HashSet::new(),
                verifications: 0,
                failures: HashMap::new(),
            }
        }

        /// Whether only pinned servers count.
        pub(crate) fn pins(&self) -> bool {
            !self.pinned.is_empty()
        }

        /// Whether a server with this name may be listed that another engine found, which nobody signed.
        pub(crate) fn accepts_unsigned(&self, name: Option<&str>) -> bool {
            !self.pins() && !name.is_some_and(|name| self.known.contains_key(name))
        }

        /// Drops what cannot be of a pinned server, before its signature is verified.
        pub(crate) fn check_pins(&self, answer: &DetailsAnswer<'_>) -> Result<(), DropReason> {
            if !self.pins() {
                Ok(())
            } else if answer.signature.is_none() {
                Err(DropReason::Unsigned)
            } else if !self.pinned.contains(&answer.id) {
                Err(DropReason::NotPinned)
            } else {
                Ok(())
            }
        }

        /// Returns whether the signature is right. An answer that needs one is dropped without.
        pub(crate) fn verify(
            &mut self,
            answer: &DetailsAnswer<'_>,
            request: &[u8],
            source: SocketAddr,
            report: &mut Report,
        ) -> Result<bool, DropReason> {
            let known = answer.name.and_then(|name| self.known.get(name));
            let is_known = known.is_none_or(|ids| ids.contains(&answer.id));
            let is_needed = self.pins() || known.is_some();
            let has_alarm = !is_known && answer.signature.is_some() && is_alarm(answer, report);
            let verified = if has_alarm {
                Err(DropReason::OtherId)
            } else {
                self.verify_signature(answer, request, source.ip())
            };
            match verified {
                Ok(()) if !is_known => {
                    self.alarm(answer, source, report);
                    Err(DropReason::OtherId)
                }
                Ok(()) => {
                    self.note_known(answer, report);
                    Ok(true)
                }
                Err(reason) if is_needed => Err(reason),
                Err(_) => Ok(false),
            }
        }

        fn verify_signature(
            &mut self,
            answer: &DetailsAnswer<'_>,
            request: &[u8],
            source: IpAddr,
        ) -> Result<(), DropReason> {
            if answer.signature.is_none() {
                return Err(DropReason::Unsigned);
            }
            let failures = self.failures.get(&source).copied().unwrap_or_default();
            if failures >= MAX_FAILURES || self.verifications >= MAX_VERIFICATIONS {
                return Err(DropReason::NotVerified);
            }
            self.verifications += 1;
            answer.verify(request).map_err(|_| {
                self.failures.insert(source, failures + 1);
                DropReason::WrongSignature
            })
        }

        /// Reports that another id answered under a known name.
        fn alarm(&self, answer: &DetailsAnswer<'_>, source: SocketAddr, report: &mut Report) {
            let Some((name, known)) = answer.name.and_then(|name| self.known.get_key_value(name))
            else {
                return;
            };
            report.alarms.push(Alarm {
                name: name.clone(),
                id: answer.id,
                source,
                known_id: known[0],
                known_answered: self.answered.contains(name),
            });
        }

        /// Notes that a verified server answered, if it is known by its name.
        fn note_known(&mut self, answer: &DetailsAnswer<'_>, report: &mut Report) {
            let Some(name) = answer.name.filter(|name| self.known.contains_key(*name)) else {
                return;
            };
            if self.answered.insert(name.to_owned()) {
                for alarm in report.alarms.iter_mut().filter(|it| it.name == name) {
                    alarm.known_answered = true;
                }
            }
        }
    }

    /// Whether the id of an answer was reported under its name before.
    fn is_alarm(answer: &DetailsAnswer<'_>, report: &Report) -> bool {
        let mut alarms = report.alarms.iter();
        alarms.any(|it| it.id == answer.id && Some(it.name.as_str()) == answer.name)
    }
}

#[cfg(not(feature = "signed"))]
mod unsigned {
    use std::net::SocketAddr;

    use udp_discovery_protocol::DetailsAnswer;

    use crate::config::Config;
    use crate::host::Host;
    use crate::report::{DropReason, Report};

    /// What a search trusts without the feature `signed`: everybody, and nobody is verified.
    #[derive(Debug)]
    pub(crate) struct Trust;

    #[allow(
        clippy::unused_self,
        clippy::unnecessary_wraps,
        reason = "they are those of the feature `signed`"
    )]
    impl Trust {
        pub(crate) fn new(_: &Config, _: &Host) -> Self {
            Self
        }

        pub(crate) fn pins(&self) -> bool {
            false
        }

        pub(crate) fn accepts_unsigned(&self, _: Option<&str>) -> bool {
            true
        }

        pub(crate) fn check_pins(&self, _: &DetailsAnswer<'_>) -> Result<(), DropReason> {
            Ok(())
        }

        pub(crate) fn verify(
            &mut self,
            _: &DetailsAnswer<'_>,
            _: &[u8],
            _: SocketAddr,
            _: &mut Report,
        ) -> Result<bool, DropReason> {
            Ok(false)
        }
    }
}
