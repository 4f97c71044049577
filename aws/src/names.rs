//! Names on AWS: lava's, with a prefix of the user's.

use pumice_core::ids::{RealmName, WorkerName};
use pumice_core::ports::DeadQueue;

/// The prefix of lava's names.
pub const DEFAULT_PREFIX: &str = "lava";
/// The alias of a realm's functions by which they are invoked (template.yaml, `AutoPublishAlias`).
pub(crate) const LIVE: &str = "live";

/// The names of a realm's tables and queues (lava guide, Lava Naming).
#[derive(Clone, Debug)]
pub struct Names {
    prefix: String,
    realm: RealmName,
}

impl Names {
    /// The names of a realm under a prefix.
    #[must_use]
    pub fn new(prefix: impl Into<String>, realm: RealmName) -> Self {
        Self { prefix: prefix.into(), realm }
    }

    /// The realm.
    #[must_use]
    pub fn realm(&self) -> &RealmName {
        &self.realm
    }

    /// The table of all realms; its key is `realm`.
    #[must_use]
    pub fn realms(&self) -> String {
        format!("{}.realms", self.prefix)
    }

    /// The realm's table of jobs; its key is `job_id`.
    #[must_use]
    pub fn jobs(&self) -> String {
        self.table("jobs")
    }

    /// The realm's table of runs; its keys are `run_id` and `path`.
    #[must_use]
    pub fn runs(&self) -> String {
        self.table("runs")
    }

    /// The realm's table of state items; its key is `state_id`.
    #[must_use]
    pub fn state(&self) -> String {
        self.table("state")
    }

    /// The realm's table of triggers; its key is `trigger_id`.
    #[must_use]
    pub fn triggers(&self) -> String {
        self.table("s3triggers")
    }

    /// The realm's table of connections; its key is `conn_id`.
    #[must_use]
    pub fn connections(&self) -> String {
        self.table("connections")
    }

    /// The table in which lava's workers record their runs; its keys are `job_id` and `run_id`.
    #[must_use]
    pub fn events(&self) -> String {
        self.table("events")
    }

    /// The tables of Pumice's that a realm has, with the keys of each.
    #[must_use]
    pub fn tables(&self) -> [(String, &'static [&'static str]); 5] {
        [
            (self.jobs(), &["job_id"]),
            (self.state(), &["state_id"]),
            (self.triggers(), &["trigger_id"]),
            (self.connections(), &["conn_id"]),
            (self.runs(), &["run_id", "path"]),
        ]
    }

    fn table(&self, name: &str) -> String {
        format!("{}.{}.{name}", self.prefix, self.realm)
    }

    /// A worker's queue.
    #[must_use]
    pub fn queue(&self, worker: &WorkerName) -> String {
        format!("{}-{}-{worker}", self.prefix, self.realm)
    }

    /// The secret with which what runs use is signed. It is not below the names of the secrets that jobs may read.
    #[must_use]
    pub fn signing_secret(&self) -> String {
        format!("{}-{}-pumice-signing", self.prefix, self.realm)
    }

    /// The dead letters of the dispatcher: requests that it did not take.
    #[must_use]
    pub fn dispatcher_dead_letters(&self) -> String {
        format!("{}-{}-pumice-dispatcher-dlq", self.prefix, self.realm)
    }

    /// The function that takes requests; `live` is the alias by which it is invoked.
    #[must_use]
    pub fn dispatcher(&self) -> String {
        format!("{}-{}-pumice-dispatcher", self.prefix, self.realm)
    }

    /// A dead-letter queue.
    #[must_use]
    pub fn dead_queue(&self, queue: &DeadQueue) -> String {
        match queue {
            DeadQueue::Worker(worker) => self.dead_letters(worker),
            DeadQueue::Dispatcher => self.dispatcher_dead_letters(),
        }
    }

    /// The dead letters of a worker's queue.
    #[must_use]
    pub fn dead_letters(&self, worker: &WorkerName) -> String {
        format!("{}-dlq", self.queue(worker))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn tables_of_the_template_are_those_of_a_realm() {
        let template = include_str!("../../template.yaml");
        let made = template.lines().filter_map(|line| line.trim().strip_prefix("TableName: !Sub ${Prefix}."));
        let made: BTreeSet<String> =
            made.filter_map(|name| Some(format!("p.r.{}", name.strip_prefix("${Realm}.")?))).collect();
        let names = Names::new("p", RealmName::new("r").unwrap());
        let known = names.tables().into_iter().map(|(name, _)| name).collect();
        assert_eq!(made, known, "`Names::tables` (aws/src/names.rs) and template.yaml");
    }
}
