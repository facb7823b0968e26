//! How much is answered: a bucket for each source, in a table that never grows.

use std::hash::Hasher as _;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use siphasher::sip::SipHasher13;

/// How many answers a second, and how many at once after a quiet time.
///
/// ```
/// use std::num::NonZeroU32;
/// use udp_discovery_server::RateLimit;
///
/// let limit = RateLimit::per_second(NonZeroU32::new(10).unwrap());
/// assert_eq!(limit.burst().get(), 20);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    per_second: NonZeroU32,
    burst: NonZeroU32,
}

impl RateLimit {
    /// `rate` answers a second, and twice as many at once.
    pub const fn per_second(rate: NonZeroU32) -> Self {
        let burst = rate.saturating_add(rate.get());
        Self {
            per_second: rate,
            burst,
        }
    }

    /// Sets how many answers there may be at once.
    pub const fn with_burst(self, burst: NonZeroU32) -> Self {
        Self { burst, ..self }
    }

    /// How many answers a second.
    pub const fn rate(&self) -> NonZeroU32 {
        self.per_second
    }

    /// How many answers at once.
    pub const fn burst(&self) -> NonZeroU32 {
        self.burst
    }

    /// What one answer costs of a second.
    fn interval(self) -> Duration {
        Duration::from_secs(1) / self.per_second.get()
    }

    /// How far ahead of the clock a bucket may run.
    fn tolerance(self) -> Duration {
        self.interval() * (self.burst.get() - 1)
    }
}

/// A bucket, kept as the time at which it will be full again (the generic cell rate algorithm of
/// ITU-T I.371), counted from the limiter's beginning. One that is full says nothing.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    full_at: Duration,
}

impl Bucket {
    /// Takes one answer out of the bucket, if there is one left.
    fn take(&mut self, now: Duration, limit: RateLimit) -> bool {
        let full_at = self.full_at.max(now);
        let left = full_at.saturating_sub(now) <= limit.tolerance();
        if left {
            self.full_at = full_at + limit.interval();
        }
        left
    }
}

/// A limit for everything together.
#[derive(Debug)]
pub(crate) struct TotalLimit {
    limit: RateLimit,
    bucket: Bucket,
    beginning: Option<Instant>,
}

impl TotalLimit {
    pub(crate) fn new(limit: RateLimit) -> Self {
        Self {
            limit,
            bucket: Bucket::default(),
            beginning: None,
        }
    }

    pub(crate) fn permits(&mut self, now: Instant) -> bool {
        let beginning = *self.beginning.get_or_insert(now);
        let now = now.saturating_duration_since(beginning);
        self.bucket.take(now, self.limit)
    }
}

/// How many sets of buckets the table has.
const SETS: usize = 2048;
/// How many sources a set has room for.
const WAYS: usize = 8;

/// A limit for each source.
///
/// The table has room for 16,384 sources and is made once, of 384 KiB. Where a source's bucket
/// stands depends on a secret, so that nobody can choose addresses that push out a given one. A
/// new source in a full set takes the place of the one that is nearest to a full bucket, which
/// loses the least by it: being forgotten means to be answered, so that no number of sources
/// keeps another from its answers.
#[derive(Debug)]
pub(crate) struct SourceLimit {
    limit: RateLimit,
    seed: [u64; 2],
    sets: Box<[[Entry; WAYS]]>,
    beginning: Option<Instant>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    source: u64,
    bucket: Bucket,
}

impl SourceLimit {
    pub(crate) fn new(limit: RateLimit, seed: [u64; 2]) -> Self {
        Self {
            limit,
            seed,
            sets: vec![[Entry::default(); WAYS]; SETS].into_boxed_slice(),
            beginning: None,
        }
    }

    /// Whether `source` is answered now; if so, it has one answer less.
    pub(crate) fn permits(&mut self, now: Instant, source: IpAddr) -> bool {
        let beginning = *self.beginning.get_or_insert(now);
        let now = now.saturating_duration_since(beginning);
        let source = key(source);
        let set = &mut self.sets[set_of(self.seed, source)];
        let at = match set.iter().position(|entry| entry.source == source) {
            Some(at) => at,
            None => replace_fullest(set, source),
        };
        set[at].bucket.take(now, self.limit)
    }
}

/// Puts `source` where the bucket is that is full first; where that is.
fn replace_fullest(set: &mut [Entry; WAYS], source: u64) -> usize {
    let fullest = (0..WAYS)
        .min_by_key(|&at| set[at].bucket.full_at)
        .unwrap_or(0);
    set[fullest] = Entry {
        source,
        bucket: Bucket::default(),
    };
    fullest
}

fn set_of(seed: [u64; 2], source: u64) -> usize {
    let mut hasher = SipHasher13::new_with_keys(seed[0], seed[1]);
    hasher.write_u64(source);
    usize::try_from(hasher.finish() % SETS as u64).unwrap_or(0)
}

/// What counts as one source: an IPv4 address, or an IPv6 network of 64 bits, all of which one
/// host may use. Never 0, which is an empty place.
fn key(source: IpAddr) -> u64 {
    match source {
        IpAddr::V4(ip) => u64::from(ip.to_bits()) | 1 << 32,
        IpAddr::V6(ip) => u64::try_from(ip.to_bits() >> 64).unwrap_or(0) | 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: [u64; 2] = [1, 2];

    fn limit(rate: u32) -> RateLimit {
        RateLimit::per_second(NonZeroU32::new(rate).unwrap())
    }

    fn ip(number: u32) -> IpAddr {
        IpAddr::from(number.to_be_bytes())
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
        assert_eq!(permitted(&mut limiter, start, Duration::ZERO, 1000), 100);
        // Ten seconds of 250,000 requests a second.
        let start = start + Duration::from_mins(1);
        let spacing = Duration::from_micros(4);
        let in_ten_seconds = permitted(&mut limiter, start, spacing, 2_500_000);
        assert!((599..=600).contains(&in_ten_seconds), "{in_ten_seconds}");
    }

    #[test]
    fn whoever_keeps_to_the_rate_is_always_answered() {
        let mut limiter = SourceLimit::new(limit(50), SEED);
        let spacing = Duration::from_millis(20);
        let all = permitted(&mut limiter, Instant::now(), spacing, 10_000);
        assert_eq!(all, 10_000);
    }

    #[test]
    fn one_source_does_not_use_up_anothers_answers() {
        let mut limiter = SourceLimit::new(limit(50), SEED);
        let now = Instant::now();
        assert_eq!(permitted(&mut limiter, now, Duration::ZERO, 1000), 100);
        assert!(limiter.permits(now, ip(8)));
    }

    #[test]
    fn a_million_sources_neither_grow_the_table_nor_starve_a_client() {
        let mut limiter = SourceLimit::new(limit(50), SEED);
        let size = size_of_val(&*limiter.sets);
        assert_eq!(size, 384 * 1024);
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
        assert!((149..=150).contains(&answered), "{answered}");
    }

    #[test]
    fn a_limit_in_total_holds_for_all_together() {
        let mut total = TotalLimit::new(limit(10));
        let now = Instant::now();
        let answered = (0..100).filter(|_| total.permits(now)).count();
        assert_eq!(answered, 20);
        assert!(total.permits(now + Duration::from_millis(100)));
        assert!(!total.permits(now + Duration::from_millis(101)));
    }

    #[test]
    fn one_network_of_64_bits_is_one_source_in_ipv6() {
        let key = |text: &str| super::key(text.parse().unwrap());
        assert_eq!(key("2001:db8::1"), key("2001:db8::ffff:1"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:2::1"));
        assert_ne!(key("0.0.0.0"), 0);
        assert_ne!(key("::"), 0);
    }
}
