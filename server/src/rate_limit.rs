//! Rate limits: a bucket for each source, in a table of fixed size.

use std::hash::Hash;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Instant;

use siphasher::sip128::{Hasher128 as _, SipHasher13};

/// A number of answers per second, and a burst: how many answers may follow each other at once after
/// a quiet time.
///
/// ```
/// use std::num::NonZeroU32;
/// use udp_discovery_server::RateLimit;
///
/// let limit = RateLimit::per_second(NonZeroU32::new(10).unwrap());
/// assert_eq!(limit.burst().get(), 50);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    per_second: NonZeroU32,
    burst: NonZeroU32,
}

/// The default burst, in seconds of the rate.
const BURST_SECONDS: NonZeroU32 = NonZeroU32::new(5).unwrap();

impl RateLimit {
    /// `rate` answers per second, with a burst of as many answers as in 5 seconds.
    pub const fn per_second(rate: NonZeroU32) -> Self {
        Self {
            per_second: rate,
            burst: rate.saturating_mul(BURST_SECONDS),
        }
    }

    /// Sets the [`burst`](Self::burst).
    pub const fn with_burst(self, burst: NonZeroU32) -> Self {
        Self { burst, ..self }
    }

    /// The number of answers per second.
    pub const fn rate(&self) -> NonZeroU32 {
        self.per_second
    }

    /// The number of answers at once after a quiet time.
    pub const fn burst(&self) -> NonZeroU32 {
        self.burst
    }
}

/// A rate limit, in nanoseconds.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// The time in which a bucket regains one answer.
    interval: u64,
    /// How far ahead of the clock a bucket's time may be.
    tolerance: u64,
}

impl From<RateLimit> for Pace {
    fn from(limit: RateLimit) -> Self {
        let interval = 1_000_000_000 / u64::from(limit.per_second.get());
        Self {
            interval,
            tolerance: interval * u64::from(limit.burst.get() - 1),
        }
    }
}

/// A bucket, stored as the time at which it is full again (the generic cell rate algorithm of ITU-T
/// I.371), in nanoseconds of a [`Clock`].
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    full_at: u64,
}

impl Bucket {
    /// Takes one answer out of the bucket, if one is left. Returns whether one was.
    fn take(&mut self, now: u64, pace: Pace) -> bool {
        let full_at = self.full_at.max(now);
        let left = full_at - now <= pace.tolerance;
        if left {
            self.full_at = full_at.saturating_add(pace.interval);
        }
        left
    }
}

/// Counts nanoseconds from its first use, for 584 years.
#[derive(Debug, Default)]
struct Clock {
    beginning: Option<Instant>,
}

impl Clock {
    fn read(&mut self, now: Instant) -> u64 {
        let beginning = *self.beginning.get_or_insert(now);
        let since = now.saturating_duration_since(beginning);
        since.as_nanos().try_into().unwrap_or(u64::MAX)
    }
}

/// A limit for all sources together.
#[derive(Debug)]
pub(crate) struct TotalLimit {
    pace: Pace,
    bucket: Bucket,
    clock: Clock,
}

impl TotalLimit {
    pub(crate) fn new(limit: RateLimit) -> Self {
        Self {
            pace: limit.into(),
            bucket: Bucket::default(),
            clock: Clock::default(),
        }
    }

    pub(crate) fn permits(&mut self, now: Instant) -> bool {
        self.bucket.take(self.clock.read(now), self.pace)
    }
}

/// The number of sets in the table.
const SETS: usize = 2048;
/// The number of sources in a set.
const WAYS: usize = 8;

/// What counts as one source.
///
/// On the link, hosts share a /64, so each IPv6 address is a source. Off the link a /64 is the
/// smallest network of a site, and one host may use all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Source {
    /// The address, as an IPv6 address, or the network of one.
    bits: u128,
    /// The scope of an address on the link, or [`NETWORK`].
    scope: u64,
}

/// Not a scope, which has 32 bits.
const NETWORK: u64 = 1 << 32;

impl Source {
    pub(crate) fn of(address: SocketAddr, on_link: bool) -> Self {
        match address {
            // No host has such an IPv6 address.
            SocketAddr::V4(address) => Self {
                bits: address.ip().to_ipv6_mapped().to_bits(),
                scope: 0,
            },
            SocketAddr::V6(address) if on_link => Self {
                bits: address.ip().to_bits(),
                scope: address.scope_id().into(),
            },
            SocketAddr::V6(address) => Self {
                bits: address.ip().to_bits() >> 64,
                scope: NETWORK,
            },
        }
    }
}

/// A limit for each source.
///
/// The table has room for 16,384 sources and a fixed size of 256 KiB. A source is identified by a
/// 128-bit hash with a secret key: one half chooses the set, the other identifies the source in it.
/// Nobody can choose addresses that evict a given source or share its bucket.
///
/// A new source in a full set replaces the source with the fullest bucket, which loses the least. A
/// source that was replaced starts with a full bucket, so no number of sources keeps another from
/// its answers.
#[derive(Debug)]
pub(crate) struct SourceLimit {
    pace: Pace,
    seed: [u64; 2],
    sets: Box<[[Entry; WAYS]]>,
    clock: Clock,
}

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    /// Half of the source's hash. 0 is an empty entry.
    source: u64,
    bucket: Bucket,
}

impl SourceLimit {
    pub(crate) fn new(limit: RateLimit, seed: [u64; 2]) -> Self {
        Self {
            pace: limit.into(),
            seed,
            sets: vec![[Entry::default(); WAYS]; SETS].into_boxed_slice(),
            clock: Clock::default(),
        }
    }

    /// Takes one answer out of the bucket of `source`. Returns whether one was left.
    pub(crate) fn permits(&mut self, now: Instant, source: Source) -> bool {
        let now = self.clock.read(now);
        let (set, source) = self.place_of(source);
        let set = &mut self.sets[set];
        let at = match set.iter().position(|entry| entry.source == source) {
            Some(at) => at,
            None => replace_fullest(set, source),
        };
        set[at].bucket.take(now, self.pace)
    }

    /// The set of `source`, and its identifier there.
    fn place_of(&self, source: Source) -> (usize, u64) {
        let [key0, key1] = self.seed;
        let mut hasher = SipHasher13::new_with_keys(key0, key1);
        source.hash(&mut hasher);
        let hash = hasher.finish128();
        let set = usize::try_from(hash.h1 % SETS as u64).expect("there are 2048 sets");
        (set, hash.h2.max(1))
    }
}

/// Replaces the entry with the fullest bucket by `source`. Returns its index.
fn replace_fullest(set: &mut [Entry; WAYS], source: u64) -> usize {
    let fullest = (0..WAYS)
        .min_by_key(|&at| set[at].bucket.full_at)
        .expect("a set has entries");
    set[fullest] = Entry {
        source,
        bucket: Bucket::default(),
    };
    fullest
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV6};
    use std::time::Duration;

    use super::*;

    const SEED: [u64; 2] = [1, 2];

    fn limit(rate: u32) -> RateLimit {
        RateLimit::per_second(NonZeroU32::new(rate).unwrap())
    }

    fn ip(number: u32) -> Source {
        Source::of((Ipv4Addr::from_bits(number), 1).into(), true)
    }

    /// How many of `count` requests, `spacing` apart, are permitted.
    fn permitted(
        limiter: &mut SourceLimit,
        start: Instant,
        spacing: Duration,
        count: u32,
    ) -> usize {
        (0..count)
            .filter(|&at| limiter.permits(start + spacing * at, ip(7)))
            .count()
    }

    #[test]
    fn after_a_quiet_time_a_burst_is_answered_then_the_rate() {
        let mut limiter = SourceLimit::new(limit(50), SEED);
        let start = Instant::now();
        assert_eq!(permitted(&mut limiter, start, Duration::ZERO, 1000), 250);
        // Ten seconds of 50,000 requests a second.
        let start = start + Duration::from_secs(60);
        let spacing = Duration::from_micros(20);
        let in_ten_seconds = permitted(&mut limiter, start, spacing, 500_000);
        assert!((749..=750).contains(&in_ten_seconds), "{in_ten_seconds}");
    }

    #[test]
    fn a_source_that_keeps_to_the_rate_is_always_answered() {
        let mut limiter = SourceLimit::new(limit(50), SEED);
        let spacing = Duration::from_millis(20);
        let all = permitted(&mut limiter, Instant::now(), spacing, 10_000);
        assert_eq!(all, 10_000);
    }

    #[test]
    fn one_source_does_not_use_up_anothers_answers() {
        let mut limiter = SourceLimit::new(limit(50), SEED);
        let now = Instant::now();
        assert_eq!(permitted(&mut limiter, now, Duration::ZERO, 1000), 250);
        assert!(limiter.permits(now, ip(8)));
    }

    #[test]
    fn a_million_sources_neither_grow_the_table_nor_starve_a_client() {
        let mut limiter = SourceLimit::new(limit(50), SEED);
        let size = size_of_val(&*limiter.sets);
        assert_eq!(size, 256 * 1024);
        let start = Instant::now();
        let client = ip(u32::MAX);
        for number in 0..1_000_000_u32 {
            let now = start + Duration::from_micros(4) * number;
            limiter.permits(now, ip(number + 1));
            // A client that asks a hundred times in these four seconds.
            if number % 10_000 == 0 {
                assert!(limiter.permits(now, client), "{number}");
            }
        }
        assert_eq!(size_of_val(&*limiter.sets), size);
    }

    #[test]
    fn a_busy_source_is_not_forgotten_for_idle_ones() {
        let mut limiter = SourceLimit::new(limit(50), SEED);
        let start = Instant::now();
        let mut answered = 0;
        for number in 0..100_000_u32 {
            let now = start + Duration::from_micros(10) * number;
            answered += usize::from(limiter.permits(now, ip(7)));
            limiter.permits(now, ip(1000 + number));
        }
        // A second: the burst, and the rate. Each of the others came once.
        assert!((299..=300).contains(&answered), "{answered}");
    }

    #[test]
    fn a_limit_in_total_holds_for_all_together() {
        let mut total = TotalLimit::new(limit(10));
        let now = Instant::now();
        let answered = (0..100).filter(|_| total.permits(now)).count();
        assert_eq!(answered, 50);
        assert!(total.permits(now + Duration::from_millis(100)));
        assert!(!total.permits(now + Duration::from_millis(101)));
    }

    #[test]
    fn an_ipv6_source_is_an_address_with_its_scope_on_the_link_and_a_network_of_64_bits_off_it() {
        let source = |text: &str, on_link| Source::of(text.parse().unwrap(), on_link);
        let same = |a, b, on_link| source(a, on_link) == source(b, on_link);
        assert!(same("[2001:db8::1]:1", "[2001:db8::ffff:1]:1", false));
        assert!(!same("[2001:db8::1]:1", "[2001:db8:0:1::1]:1", false));
        assert!(!same("[2001:db8::1]:1", "[2001:db8::ffff:1]:1", true));
        assert!(same("[fe80::1%2]:1", "[fe80::1%2]:2", true));
        assert!(!same("[fe80::1%2]:1", "[fe80::1%3]:1", true));
        assert!(same("10.0.0.1:1", "10.0.0.1:2", true));
    }

    #[test]
    fn sources_of_every_kind_with_the_same_bits_have_buckets_of_their_own() {
        let mut limiter = SourceLimit::new(limit(1).with_burst(NonZeroU32::MIN), SEED);
        let now = Instant::now();
        for bits in [0, 1, 0x0a00_0001, u32::MAX] {
            let v6 = |bits, scope| SocketAddrV6::new(Ipv6Addr::from_bits(bits), 1, 0, scope).into();
            for source in [
                ip(bits),
                Source::of(v6(bits.into(), 0), true),
                Source::of(v6(bits.into(), 1), true),
                Source::of(v6(u128::from(bits) << 64, 0), false),
            ] {
                assert!(limiter.permits(now, source), "{source:?}");
                assert!(!limiter.permits(now, source), "{source:?}");
            }
        }
    }

    #[test]
    fn where_a_source_stands_depends_on_the_secret() {
        let place = |seed, number| SourceLimit::new(limit(50), seed).place_of(ip(number));
        let places = |seed| {
            (0..64)
                .map(|number| place(seed, number))
                .collect::<Vec<_>>()
        };
        let (ours, theirs) = (places(SEED), places([1, 3]));
        assert_eq!(ours, places(SEED));
        let same = ours
            .iter()
            .zip(&theirs)
            .filter(|(a, b)| a.0 == b.0 || a.1 == b.1);
        assert!(same.count() < 4);
    }

    #[test]
    fn a_burst_is_what_it_is_set_to_and_one_at_least() {
        for burst in [1, 2, 7] {
            let limit = limit(1).with_burst(NonZeroU32::new(burst).unwrap());
            let mut limiter = SourceLimit::new(limit, SEED);
            let start = Instant::now();
            let answered = permitted(&mut limiter, start, Duration::ZERO, 100);
            assert_eq!(answered, burst as usize);
        }
        let most = RateLimit::per_second(NonZeroU32::MAX);
        assert_eq!(
            (most.rate(), most.burst()),
            (NonZeroU32::MAX, NonZeroU32::MAX)
        );
    }

    #[test]
    fn a_full_set_forgets_the_source_with_the_fullest_bucket() {
        let mut limiter = SourceLimit::new(limit(1), SEED);
        let set = limiter.place_of(ip(0)).0;
        let mut there = (0..)
            .map(ip)
            .filter(|source| limiter.place_of(*source).0 == set);
        let sources: Vec<Source> = there.by_ref().take(WAYS + 1).collect();
        drop(there);
        let now = Instant::now();
        // The third has taken the least.
        for (at, source) in sources[..WAYS].iter().enumerate() {
            let times = if at == 2 { 1 } else { 5 };
            (0..times).for_each(|_| assert!(limiter.permits(now, *source)));
        }
        assert!(limiter.permits(now, sources[WAYS]));
        for (at, source) in sources[..WAYS].iter().enumerate() {
            let known = limiter.place_of(*source).1;
            let is_there = limiter.sets[set].iter().any(|entry| entry.source == known);
            assert_eq!(is_there, at != 2, "{at}");
        }
    }
}
