//! Lava workers: they run what they are sent and keep no records. The engine makes all its exceptions for them here.

pub(super) mod adopt;
pub(super) mod follow;
pub(super) mod message;

use crate::ids::WorkerName;
use crate::job_type::Site;

/// The kind of a worker: Pumice's or lava's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WorkerKind {
    /// Pumice's: it reads and writes records.
    Pumice,
    /// lava's: it runs whatever it is sent, as often as it is sent, and reports in a table of its own.
    Lava,
}

impl WorkerKind {
    /// The kind of a realm's worker, by the realm's settings. Where lava's table cannot be asked, none is lava's.
    pub(super) fn of(site: &Site, worker: &WorkerName) -> Self {
        let is_lavas = site.ports.lava_events.is_some() && site.settings.is_foreign(worker);
        if is_lavas { Self::Lava } else { Self::Pumice }
    }

    pub(super) const fn is_lavas(self) -> bool {
        matches!(self, Self::Lava)
    }
}
