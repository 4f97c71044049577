//! Hosts: the processes that take the runs of a worker, where there may be several. Each is known by its heartbeat.
//!
//! An entry of a schedule with `nodes: all` starts its job once on each host that is alive. Such a run names its host
//! ([`Run::host`](crate::run::Run::host)), and no other host starts it.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Timestamp;
use crate::duration::Span;
use crate::ids::{HostId, RunKey, WorkerName};
use crate::ports::StoreError;

/// How often a host writes its heartbeat and looks for runs of its own.
pub const BEAT: Span = Span::from_secs(10);
/// How long after its last heartbeat a host counts as alive: three heartbeats may be lost.
pub const ALIVE: Span = Span::from_secs(45);
/// How long the record of a host is kept after its last heartbeat.
pub const KEPT: Span = Span::from_days(7);
/// Most hosts of a worker on which an entry with `nodes: all` starts its job: the timetable is one record, and names the
/// run of each host.
pub const MAX_HOSTS: usize = 200;
/// Most bytes of a machine's name in the id of a host.
const MAX_MACHINE: usize = 63;

/// The record of a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Its id: another one each time that the process is started.
    pub id: HostId,
    /// The worker whose jobs it runs.
    pub worker: WorkerName,
    /// When it was started.
    #[serde(with = "chrono::serde::ts_microseconds")]
    pub started: Timestamp,
    /// Its last heartbeat.
    #[serde(with = "chrono::serde::ts_microseconds")]
    pub seen: Timestamp,
    /// When it was stopped, if it was stopped in order.
    #[serde(
        default,
        with = "chrono::serde::ts_microseconds_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub ended: Option<Timestamp>,
}

impl Host {
    /// A host that starts now, on the machine of this name. `chance` distinguishes it from all others.
    #[must_use]
    pub fn new(worker: WorkerName, machine: &str, chance: Uuid, now: Timestamp) -> Self {
        Self { id: HostId::of(machine, chance), worker, started: now, seen: now, ended: None }
    }

    /// Whether it is alive, as far as its heartbeat says.
    #[must_use]
    pub fn is_alive(&self, now: Timestamp) -> bool {
        self.ended.is_none() && now - self.seen <= ALIVE.delta()
    }

    /// When the record expires.
    #[must_use]
    pub fn expires(&self) -> Timestamp {
        self.seen + KEPT.delta()
    }
}

impl HostId {
    /// The id of a process on the machine of this name. `chance` distinguishes it from all others.
    #[must_use]
    pub fn of(machine: &str, chance: Uuid) -> Self {
        let allowed = |c: char| if c.is_ascii_alphanumeric() || c == '.' || c == '_' { c } else { '-' };
        let machine: String = machine.chars().map(allowed).take(MAX_MACHINE).collect();
        let machine = machine.trim_matches('-');
        let machine = if machine.is_empty() { "host" } else { machine };
        // The last digits of a UUID of version 7 are its random ones.
        let chance = chance.simple().to_string();
        Self::known(format!("{machine}-{}", &chance[chance.len() - 12..]))
    }
}

/// The hosts on which an entry with `nodes: all` starts its job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Hosts {
    /// A single host runs all jobs, or nothing asked for the hosts: the job is started once.
    #[default]
    Single,
    /// These are alive, in order of their ids.
    Alive(Vec<HostId>),
    /// Hosts were there, and none of them is alive: a slot starts nothing.
    Gone(String),
    /// The job cannot be started on each host: the entry halts.
    Never(String),
}

impl Hosts {
    /// The hosts of a worker at a time, by their records.
    #[must_use]
    pub fn of(worker: &WorkerName, records: &[Host], now: Timestamp) -> Self {
        let mut alive: Vec<HostId> =
            records.iter().filter(|host| host.is_alive(now)).map(|host| host.id.clone()).collect();
        alive.sort();
        alive.dedup();
        if records.is_empty() {
            return Self::Never(format!(
                "nodes: all needs `pumice worker {worker}`, and none was there in the last {KEPT}: a function has no hosts"
            ));
        }
        if alive.len() > MAX_HOSTS {
            let count = alive.len();
            return Self::Never(format!(
                "{count} hosts of worker {worker} are alive, and nodes: all takes {MAX_HOSTS} at most"
            ));
        }
        if alive.is_empty() {
            let last = records.iter().map(|host| host.seen).max().unwrap_or_default();
            let last = crate::clock::utc(last);
            return Self::Gone(format!("no host of worker {worker} is alive: the last was seen at {last}"));
        }
        Self::Alive(alive)
    }
}

/// The hosts of workers, and the runs that are for one of them alone.
#[async_trait]
pub trait HostStore: Send + Sync {
    /// Writes the record of a host over the one that may be there.
    async fn put_host(&self, host: &Host) -> Result<(), StoreError>;
    /// The record of a host.
    async fn host(&self, worker: &WorkerName, id: &HostId) -> Result<Option<Host>, StoreError>;
    /// All hosts of a worker whose records have not expired, alive or not.
    async fn hosts(&self, worker: &WorkerName) -> Result<Vec<Host>, StoreError>;
    /// The runs for a host that have not ended. Runs made within the last seconds may be missing.
    async fn runs_for(&self, host: &HostId) -> Result<Vec<RunKey>, StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        chrono::DateTime::from_timestamp(1_767_225_600 + seconds, 0).unwrap()
    }

    fn host(number: u128, seen: i64) -> Host {
        let core = WorkerName::new("core").unwrap();
        Host { seen: at(seen), ..Host::new(core, "box", Uuid::from_u128(number), at(0)) }
    }

    fn hosts(records: &[Host], now: i64) -> Hosts {
        Hosts::of(&WorkerName::new("core").unwrap(), records, at(now))
    }

    #[test]
    fn host_is_alive_for_so_long_after_its_heartbeat() {
        let seen = host(1, 100);
        assert!(seen.is_alive(at(145)));
        assert!(!seen.is_alive(at(146)));
        assert!(!Host { ended: Some(at(101)), ..seen }.is_alive(at(101)), "it was stopped");
    }

    #[test]
    fn hosts_alive_are_named_once_and_in_order() {
        let (one, two, gone) = (host(1, 100), host(2, 110), host(3, 10));
        let alive = Hosts::Alive(vec![one.id.clone(), two.id.clone()]);
        assert_eq!(hosts(&[two, gone, one.clone(), one], 120), alive);
    }

    #[test]
    fn hosts_missing_say_why() {
        let Hosts::Never(why) = hosts(&[], 0) else { panic!("a function has no hosts") };
        assert!(why.contains("`pumice worker core`"), "{why}");
        let Hosts::Gone(why) = hosts(&[host(1, 0)], 60) else { panic!("it is gone") };
        assert!(why.ends_with("the last was seen at 2026-01-01T00:00:00Z"), "{why}");
        let many: Vec<Host> = (0..=200).map(|number| host(number, 0)).collect();
        let Hosts::Never(why) = hosts(&many, 1) else { panic!("there are too many") };
        assert!(why.starts_with("201 hosts of worker core are alive"), "{why}");
        assert!(matches!(hosts(&many[1..], 1), Hosts::Alive(alive) if alive.len() == MAX_HOSTS));
    }

    #[test]
    fn host_ids_are_read_back_whatever_the_machine_is_called() {
        for machine in ["ip-10-0-0-1.eu-west-1.compute.internal", "", "büro/@1", &"x".repeat(300)] {
            let id = HostId::of(machine, Uuid::from_u128(7));
            assert_eq!(HostId::new(id.as_str()), Ok(id.clone()), "{machine}");
            assert_ne!(id, HostId::of(machine, Uuid::from_u128(8)), "{machine}");
        }
    }
}
