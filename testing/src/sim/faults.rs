//! The faults that may occur, and how often.

use chrono::TimeDelta;

use super::world::Version;
use crate::prng::Prng;

/// How long a claim of the simulated workers holds, in seconds.
pub(crate) const LEASE: u64 = 300;

/// How often the simulated workers look after what they run, in seconds.
pub(crate) const WATCH: u64 = 20;

/// The kind of a port call: decides which faults it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Port {
    /// A read of a store.
    Read,
    /// A run is made.
    Create,
    /// A record is written.
    Commit,
    /// Messages are sent, or scheduled.
    Send,
    /// Time passes.
    Sleep,
    /// An action's or a job's own side effect.
    Effect,
}

/// The outcome of one port call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fate {
    /// It goes well.
    Well,
    /// The invocation is gone before it takes place.
    CrashBefore,
    /// The invocation is gone after it took place.
    CrashAfter,
    /// The invocation stands still before it takes place.
    FreezeBefore(TimeDelta),
    /// The invocation stands still after it took place.
    FreezeAfter(TimeDelta),
    /// It does not take place, and the caller gets an error that says so.
    Refused,
    /// It takes place, and the caller gets an error of unknown outcome.
    Unknown,
    /// It takes place, and the caller gets a conflict: the answer to a repeated request whose first
    /// answer was lost.
    FalseConflict,
}

/// How often each thing goes wrong, in one simulation.
#[derive(Clone, Debug, Default)]
pub(crate) struct Profile {
    crash: f64,
    freeze: f64,
    refuse: f64,
    unknown: f64,
    conflict: f64,
    drop: f64,
    duplicate: f64,
    /// How late a message may come, in seconds.
    late: u64,
    stale: f64,
    /// How far clocks are apart, in seconds.
    skew: u64,
    /// How often the sweeper is out for its turn.
    outage: f64,
    versions: bool,
    /// Whether the store sends a message within its write.
    pub(crate) transactional: bool,
}

impl Profile {
    fn random(prng: &mut Prng) -> Self {
        Self {
            crash: prng.pick(&[0.0, 0.0, 0.002, 0.01, 0.04]),
            freeze: prng.pick(&[0.0, 0.0, 0.002, 0.01]),
            refuse: prng.pick(&[0.0, 0.0, 0.01, 0.05]),
            unknown: prng.pick(&[0.0, 0.01, 0.05, 0.15]),
            conflict: prng.pick(&[0.0, 0.0, 0.02]),
            drop: prng.pick(&[0.0, 0.02, 0.2]),
            duplicate: prng.pick(&[0.0, 0.05, 0.3]),
            late: prng.pick(&[0, 1, 5, 120]),
            stale: prng.pick(&[0.0, 0.3]),
            skew: prng.pick(&[0, 0, 1, 20]),
            outage: prng.pick(&[0.0, 0.0, 0.3, 0.9]),
            versions: prng.below(8) == 0,
            transactional: prng.below(2) == 0,
        }
    }
}

/// Crashes at chosen port calls: the number of the call, and whether after it took place.
pub(crate) type Crashes = Vec<(u64, bool)>;

/// The faults of one simulation.
#[derive(Clone, Debug)]
pub(crate) enum Faults {
    /// Nothing. The store sends messages within its writes, or not.
    None { transactional: bool },
    /// Each thing by chance.
    Random(Profile),
    /// Crashes at these calls, and nothing else.
    At { crashes: Crashes, transactional: bool },
}

impl Faults {
    /// One in eight simulations is without faults: there everything must be prompt.
    pub(crate) fn random(prng: &mut Prng) -> Self {
        if prng.below(8) == 0 {
            return Self::None { transactional: prng.below(2) == 0 };
        }
        Self::Random(Profile::random(prng))
    }

    /// From now on nothing goes wrong.
    pub(crate) fn calm(&mut self) {
        *self = Self::None { transactional: self.transactional() };
    }

    pub(crate) fn is_none(&self) -> bool {
        matches!(self, Self::None { .. })
    }

    pub(crate) fn transactional(&self) -> bool {
        match self {
            Self::None { transactional } | Self::At { transactional, .. } => *transactional,
            Self::Random(profile) => profile.transactional,
        }
    }

    /// The outcome of a port call, the `number`th of the simulation.
    pub(crate) fn fate(&self, port: Port, number: u64, prng: &mut Prng) -> Fate {
        match self {
            Self::None { .. } => Fate::Well,
            Self::At { crashes, .. } => match crashes.iter().find(|(at, _)| *at == number) {
                Some((_, false)) => Fate::CrashBefore,
                Some((_, true)) => Fate::CrashAfter,
                None => Fate::Well,
            },
            Self::Random(profile) => profile.fate(port, prng),
        }
    }

    /// How many copies of a message arrive.
    pub(crate) fn copies(&self, prng: &mut Prng) -> u32 {
        match self {
            Self::Random(profile) if prng.happens(profile.drop) => 0,
            Self::Random(profile) if prng.happens(profile.duplicate) => 2,
            _ => 1,
        }
    }

    /// How long a message takes.
    pub(crate) fn delivery(&self, prng: &mut Prng) -> TimeDelta {
        let late = match self {
            Self::Random(profile) => profile.late * 1_000,
            _ => 0,
        };
        TimeDelta::milliseconds(prng.within(1, 20 + late).cast_signed())
    }

    /// How far a new task's clock is ahead.
    pub(crate) fn skew(&self, prng: &mut Prng) -> TimeDelta {
        match self {
            Self::Random(profile) if profile.skew > 0 => {
                let range = prng.within(0, 2 * profile.skew * 1_000).cast_signed();
                TimeDelta::milliseconds(range - (profile.skew * 1_000).cast_signed())
            }
            _ => TimeDelta::zero(),
        }
    }

    /// Which version a new task runs.
    pub(crate) fn version(&self, prng: &mut Prng) -> Version {
        match self {
            Self::Random(profile) if profile.versions => {
                prng.pick(&[Version::Old, Version::Current, Version::New])
            }
            _ => Version::Current,
        }
    }

    /// Whether the sweeper is out for this turn.
    pub(crate) fn sweeper_is_out(&self, prng: &mut Prng) -> bool {
        matches!(self, Self::Random(profile) if prng.happens(profile.outage))
    }

    /// Whether the index shows a record as it was before.
    pub(crate) fn is_stale(&self, prng: &mut Prng) -> bool {
        matches!(self, Self::Random(profile) if prng.happens(profile.stale))
    }
}

impl Profile {
    fn fate(&self, port: Port, prng: &mut Prng) -> Fate {
        if prng.happens(self.crash) {
            return prng.pick(&[Fate::CrashBefore, Fate::CrashAfter]);
        }
        if prng.happens(self.freeze) {
            let seconds = prng.pick(&[5, LEASE - 60, LEASE + 20, LEASE + 200, 3 * LEASE]);
            let pause = TimeDelta::seconds(seconds.cast_signed());
            return prng.pick(&[Fate::FreezeBefore(pause), Fate::FreezeAfter(pause)]);
        }
        match port {
            Port::Sleep | Port::Effect => Fate::Well,
            Port::Read if prng.happens(self.refuse) => Fate::Refused,
            Port::Read => Fate::Well,
            Port::Create | Port::Commit | Port::Send if prng.happens(self.refuse) => Fate::Refused,
            Port::Create | Port::Commit | Port::Send if prng.happens(self.unknown) => Fate::Unknown,
            Port::Commit if prng.happens(self.conflict) => Fate::FalseConflict,
            Port::Create | Port::Commit | Port::Send => Fate::Well,
        }
    }
}
