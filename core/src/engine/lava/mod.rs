//! Workers that are lava's own: they run what they are sent and keep no records. All that the engine does otherwise for their
//! sake is here.

pub(super) mod adopt;
pub(super) mod follow;
pub(super) mod message;

use crate::ids::WorkerName;
use crate::job_type::Site;

/// Whose a worker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WorkerKind {
    /// Pumice's: it reads and writes records.
    Pumice,
    /// lava's: it runs whatever it is sent, as often as it is sent, and tells of it in a table of its own.
    Lava,
}

impl WorkerKind {
    /// Whose a worker of a realm is, as the realm's settings say. Where lava's table cannot be asked there is none of lava's.
    pub(super) fn of(site: &Site, worker: &WorkerName) -> Self {
        let is_lavas = site.ports.lava_events.is_some() && site.settings.is_foreign(worker);
        if is_lavas { Self::Lava } else { Self::Pumice }
    }

    pub(super) const fn is_lavas(self) -> bool {
        matches!(self, Self::Lava)
    }
}
