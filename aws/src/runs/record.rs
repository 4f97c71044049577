//! A run's record as an item of the table of runs.
//!
//! An item is small, for DynamoDB charges by the kilobyte: a small pinned spec stands in the record
//! itself. Keys: `run_id`, and `path`, which is `/` for a run that was dispatched and
//! `/<attempt>.<step>…` for a child, so that a run and all its children stand together.

use aws_sdk_dynamodb::types::AttributeValue;
use chrono::TimeDelta;
use pumice_core::Timestamp;
use pumice_core::ids::RunKey;
use pumice_core::ports::{StoreError, StoreErrorKind};
use pumice_core::run::{NEVER, Run, Status};
use pumice_core::spec::RunSpec;
use serde::Serialize;
use serde_json::{Map, Value, json};

#[cfg(test)]
use crate::attribute::object;
use crate::attribute::{Item, item, json as to_json, text, whole};
use crate::store::text_of;

/// How many partitions the index on what is due is spread over.
pub(crate) const DUE_SHARDS: u8 = 8;
/// Largest pinned spec, in bytes of JSON, that stands in the record itself.
pub(super) const MAX_EMBEDDED: usize = 1024;
/// The attribute of a record that holds its spec, and the prefix of the path of a spec's own item.
pub(super) const SPEC: &str = "spec";
/// The attribute next to a spec's text that holds its signature.
pub(super) const SIGNATURE: &str = "spec_signature";
/// The attributes of the index on what is due.
pub(crate) const DUE_SHARD: &str = "due_shard";
pub(crate) const DUE_AT: &str = "due_at";
/// The attribute that puts a run into the index on those that ended, but not well. Runs that end well never have it, so
/// that the index costs them nothing.
pub(crate) const BAD_END: &str = "bad_end";
/// How many partitions of that index each status is spread over.
pub(super) const BAD_SHARDS: u8 = 4;
/// The attributes by which the runs of a job, and of a run that dispatched them, are found. Either may be a key's part.
pub(super) const JOB: &str = "job_id";
pub(super) const ORIGIN: &str = "dispatched_by";
/// The attribute of a record which says that its run's children are in parts of the index, too.
pub(super) const ORIGIN_PARTS: &str = "origin_parts";
/// The separator before the number of a part: no id and no key contains it.
const PART: char = '\u{1f}';
/// The attribute that puts a run in the line for its job's lock.
pub(super) const LINE: &str = "line_job";
/// The attribute that shows a run to the host that it is for, until it has ended.
pub(crate) const FOR_HOST: &str = "for_host";

/// How much later than its `expires` says, in seconds, DynamoDB may remove the record of a run that has not ended: ten years.
const UNENDED: i64 = 10 * 365 * 86_400;

/// Attributes that a record may lack: a write removes those that the new record does not have.
pub(super) const OPTIONAL: [&str; 40] = [
    BAD_END,
    "below",
    "cancel",
    "crashes",
    ORIGIN,
    "due",
    DUE_AT,
    DUE_SHARD,
    "duties",
    "first_due",
    FOR_HOST,
    "foreach_index",
    "gathers",
    "handed_over",
    "host",
    "hostname",
    "kept",
    "keyed",
    "late",
    "lease",
    LINE,
    "lineage",
    "overlap",
    "permit",
    "reason",
    "redo",
    "rendered",
    "rendered_at",
    "replaced_by",
    "result",
    "result_at",
    "retry",
    "scheduled",
    "stopped_by",
    "trigger",
    "ts_attempt",
    "ts_end",
    "ts_start",
    "turn",
    "work",
];

/// The key of a run's item.
pub(super) fn run_key(key: &RunKey) -> Item {
    let (run_id, path) = key.as_str().split_once('/').unwrap_or((key.as_str(), ""));
    item_key(run_id, &format!("/{path}"))
}

/// The key of the item that holds a run's spec, where it is too large for the record.
pub(super) fn spec_key(key: &RunKey) -> Item {
    let (run_id, path) = key.as_str().split_once('/').unwrap_or((key.as_str(), ""));
    item_key(run_id, &format!("{SPEC}/{path}"))
}

pub(super) fn item_key(run_id: &str, path: &str) -> Item {
    Item::from([("run_id".to_owned(), text(run_id)), ("path".to_owned(), text(path))])
}

/// The key of the run that an item is about; `None` for an item of another kind.
pub(crate) fn key_of(item: &Item) -> Option<RunKey> {
    let (run_id, path) = (text_of(item, "run_id")?, text_of(item, "path")?);
    let path = path.strip_prefix('/')?;
    if path.is_empty() { run_id.parse().ok() } else { format!("{run_id}/{path}").parse().ok() }
}

/// In which part of the index a run that is due stands.
pub(super) fn due_shard(key: &RunKey) -> String {
    let last = key.run_id().map_or(0, |run_id| run_id.0.as_bytes()[15]);
    (last % DUE_SHARDS).to_string()
}

/// Whether a run in this status stands in the index on those that ended, but not well.
pub(super) const fn is_bad_end(status: Status) -> bool {
    status.is_end() && !matches!(status, Status::Complete)
}

/// In which part of that index runs of a status stand.
pub(super) fn bad_end(status: Status, shard: u8) -> String {
    format!("{status}.{shard}")
}

/// A key of an index for one part of what stands under it.
pub(super) fn part_key(key: &str, part: u8) -> String {
    format!("{key}{PART}{part}")
}

/// The key that a key is a part of, or the key itself.
pub(super) fn without_part(key: &str) -> &str {
    key.split_once(PART).map_or(key, |(key, _)| key)
}

pub(super) fn micros(at: Timestamp) -> i64 {
    at.timestamp_micros()
}

fn fields<T: Serialize>(value: &T) -> Result<Map<String, Value>, StoreError> {
    match serde_json::to_value(value) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Ok(Map::new()),
        Err(error) => Err(StoreError::invalid(format!("a record cannot be written: {error}"))),
    }
}

/// A record's attributes without its key, all that index it included.
pub(super) fn run_item(run: &Run) -> Result<Item, StoreError> {
    let mut fields = fields(run)?;
    // They follow from the key.
    fields.remove("key");
    fields.remove("run_id");
    // Where its parts are has attributes of its own.
    fields.remove("offloaded");
    fields.remove("expires");
    if let Some(due) = fields.remove("due_at") {
        fields.insert("due".to_owned(), due);
    }
    let mut item = item(fields);
    item.insert("ttl".to_owned(), whole(ttl(run)));
    if let Some(due) = run.due_at {
        item.insert(DUE_SHARD.to_owned(), text(due_shard(&run.key)));
        item.insert(DUE_AT.to_owned(), whole(micros(due)));
    }
    if is_bad_end(run.status) {
        let last = run.key.run_id().map_or(0, |run_id| run_id.0.as_bytes()[15]);
        item.insert(BAD_END.to_owned(), text(bad_end(run.status, last % BAD_SHARDS)));
    }
    if run.is_in_line() {
        item.insert(LINE.to_owned(), text(run.job_id.as_str()));
    }
    if let Some(host) = run.host.as_ref().filter(|_| run.is_addressed()) {
        item.insert(FOR_HOST.to_owned(), text(host.as_str()));
    }
    Ok(item)
}

/// Reads a record. Attributes that a newer version has put there are left alone.
pub(super) fn read_run(item: &Item) -> Result<Run, StoreError> {
    let Some(key) = key_of(item) else {
        return Err(StoreError::of(
            StoreErrorKind::Corrupt,
            "an item of the table of runs has no key of a run",
        ));
    };
    let bad = |error: &dyn std::fmt::Display| {
        StoreError::of(StoreErrorKind::Corrupt, format!("the record of run {key} cannot be read: {error}"))
    };
    let mut fields = Map::new();
    for (name, value) in item {
        let name = match name.as_str() {
            SPEC | SIGNATURE | BAD_END | DUE_SHARD | DUE_AT | LINE | FOR_HOST | ORIGIN_PARTS | "path"
            | "run_id" | "rendered_at" | "result_at" => {
                continue;
            }
            JOB | ORIGIN => {
                let key = text_of(item, name).map(without_part);
                fields.insert(name.clone(), json!(key));
                continue;
            }
            "ttl" => "expires",
            "due" => "due_at",
            other => other,
        };
        fields.insert(name.to_owned(), to_json(value.clone()));
    }
    fields.insert("key".to_owned(), json!(key));
    fields.insert("run_id".to_owned(), json!(key.run_id()));
    let mut run: Run = serde_json::from_value(Value::Object(fields)).map_err(|error| bad(&error))?;
    run.expires = expires(&run);
    Ok(run)
}

/// When DynamoDB may remove a record, in seconds since 1970: a run that has not ended keeps its own, however long it waits.
pub(super) fn ttl(run: &Run) -> i64 {
    let expires = run.expires.timestamp();
    // The end of a run may have actions left to do.
    if run.due_at.is_none() { expires } else { (expires + UNENDED).min(NEVER.timestamp()) }
}

/// When a record expires whose `ttl` was just read as that.
fn expires(run: &Run) -> Timestamp {
    if run.due_at.is_none() || run.expires >= NEVER {
        return run.expires;
    }
    let expires = run.expires - TimeDelta::seconds(UNENDED);
    // Versions before this one wrote the time itself.
    if expires < run.ts_dispatch { run.expires } else { expires }
}

/// Reads a spec from its text.
pub(super) fn read_spec(key: &RunKey, text: &str) -> Result<RunSpec, StoreError> {
    serde_json::from_str(text).map_err(|error| {
        StoreError::of(StoreErrorKind::Corrupt, format!("the spec of run {key} cannot be read: {error}"))
    })
}

/// The JSON text of an attribute's value.
pub(super) fn value_text(value: &AttributeValue) -> String {
    to_json(value.clone()).to_string()
}

/// About how large an item is.
#[cfg(test)]
fn size(item: &Item) -> usize {
    // As DynamoDB counts: names and values, about one byte for each structure (Item sizes and formats).
    object(item.clone()).iter().map(|(name, value)| name.len() + value_size(value)).sum()
}

#[cfg(test)]
fn value_size(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 1,
        Value::Number(number) => number.to_string().len() / 2 + 2,
        Value::String(text) => text.len(),
        Value::Array(items) => 3 + items.iter().map(|item| value_size(item) + 1).sum::<usize>(),
        Value::Object(fields) => 3 + fields.iter().map(|(n, v)| n.len() + value_size(v) + 1).sum::<usize>(),
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, SubsecRound};
    use pumice_core::clock::{LimitKind, Missed};
    use pumice_core::duration::Span;
    use pumice_core::ids::{HostId, JobId, RunId, WorkerName};
    use pumice_core::job_type::Rendered;
    use pumice_core::run::{Duties, Keyed, Late, Lease, Lineage, RetryRule, Scheduled, WorkPlace, Worker};
    use pumice_core::spec::CatchUp;

    use super::super::large::MAX_INLINE;
    use super::*;

    fn run() -> Run {
        let run_id: RunId = "0190a8f2-7c1e-7b50-9d6f-2f1d6a1f3c55".parse().unwrap();
        let about = (JobId::new("etl/load").unwrap(), "log".to_owned(), WorkerName::new("core").unwrap());
        let now = DateTime::from_timestamp_micros(1_767_225_600_123_456).unwrap();
        Run::dispatched(RunKey::root(run_id), run_id, about, now, now, Span::from_days(30))
    }

    fn stored(run: &Run) -> Item {
        let mut item = run_item(run).unwrap();
        item.extend(run_key(&run.key));
        item
    }

    #[test]
    fn records_come_back_as_they_were() {
        let root = run();
        let mut child = Run { key: root.key.child(1, 12), ..root.clone() };
        child.crashes = 2;
        child.cancel = true;
        child.retry.limit = 3;
        child.due_at = None;
        child.result = json!({ "exit_status": 0 });
        for run in [root, child] {
            assert_eq!(read_run(&stored(&run)).unwrap(), run);
        }
    }

    #[test]
    fn run_that_has_not_ended_is_not_removed_however_long_it_waits() {
        let ttl_of = |run: &Run| stored(run)["ttl"].as_n().unwrap().parse::<i64>().unwrap();
        let waiting = run();
        let ended = Run { status: Status::Failed, due_at: None, ..run() };
        let for_good = Run { expires: NEVER, ..run() };
        assert_eq!(ttl_of(&ended), ended.expires.timestamp());
        assert_eq!(ttl_of(&waiting), waiting.expires.timestamp() + UNENDED);
        assert_eq!(ttl_of(&for_good), NEVER.timestamp());
        for run in [ended, waiting.clone(), for_good] {
            assert_eq!(read_run(&stored(&run)).unwrap().expires, run.expires);
        }
        // As versions before wrote it.
        let mut old = stored(&waiting);
        old.insert("ttl".to_owned(), whole(waiting.expires.timestamp()));
        assert_eq!(read_run(&old).unwrap().expires, waiting.expires);
    }

    #[test]
    fn attributes_of_a_newer_version_are_kept() {
        let mut item = stored(&run());
        item.insert("brand_new".to_owned(), text("x"));
        assert_eq!(read_run(&item).unwrap(), run());
    }

    #[test]
    fn only_records_have_keys_of_runs() {
        let child = run().key.child(2, 0);
        assert_eq!(key_of(&run_key(&child)), Some(child.clone()));
        assert_eq!(key_of(&run_key(&run().key)), Some(run().key));
        assert_eq!(key_of(&spec_key(&child)), None);
        assert_eq!(key_of(&item_key("lock#etl/load", "lock")), None);
    }

    fn late() -> Late {
        let at = run().ts_dispatch;
        Late {
            limit: LimitKind::FinishBy,
            entry: 1,
            by: at,
            slot: Some(at),
            previous: Some(at),
            zone: "Europe/Berlin".parse().unwrap(),
            run_id: Some(run().run_id),
            status: Some(Status::Running),
            why: "w".to_owned(),
            worker: Some(run().worker),
        }
    }

    /// A record with everything that one may have. A new field must be added here, and with it to
    /// [`OPTIONAL`] when a record may lack it: else a write would leave its old value in the item.
    #[expect(clippy::too_many_lines, reason = "a line for each field")]
    fn full() -> Run {
        let at = run().ts_dispatch;
        let lineage = Lineage {
            master_job_id: run().job_id,
            master_start: at,
            parent_job_id: run().job_id,
            parent_start: at,
            depth: 1,
            foreach_index: Some(2),
            master_sent: true,
        };
        let missed = Some(Missed { kind: CatchUp::Last, from: at, to: at, count: 2 });
        let zone = "Europe/Berlin".parse().unwrap();
        let backfill = Some("b2".to_owned());
        let scheduled = Scheduled { entry: Some(1), slot: at, zone, previous: Some(at), missed, backfill };
        let keyed = Keyed { key: "k".to_owned(), fingerprint: "f".to_owned(), asked: "{}".to_owned() };
        Run {
            key: run().key,
            run_id: run().run_id,
            job_id: run().job_id,
            job_type: "log".to_owned(),
            worker: run().worker,
            status: Status::Waiting,
            rev: 2,
            epoch: 1,
            lease: Some(Lease { owner: Worker("w".to_owned()), until: at }),
            attempt: 2,
            crashes: 1,
            not_before: at,
            first_due: Some(at),
            due_at: Some(at),
            ts_dispatch: at,
            handed_over: Some(at),
            ts_start: Some(at),
            ts_attempt: Some(at),
            ts_end: Some(at),
            dispatched_by: Some(run().key),
            trigger: Some(pumice_core::run::Trigger::Event { event: "sns:1".to_owned() }),
            lineage: Some(lineage),
            scheduled: Some(Box::new(scheduled)),
            late: Some(Box::new(late())),
            redo: Some(Box::new(pumice_core::run::Redo {
                of: run().key,
                from: pumice_core::run::RedoFrom::Step(run().key.child(1, 0)),
                spec: pumice_core::run::SpecOf::Pinned,
                key: Some("night-again".to_owned()),
                number: 2,
            })),
            kept: Some(run().key.child(1, 0)),
            foreach_index: Some(0),
            gathers: Some(pumice_core::run::Gathering { millis: 10, news: true }),
            work: Some(WorkPlace {
                id: "w".to_owned(),
                version: 1,
                after: Some("v.0".to_owned()),
                earlier: vec!["u.0".to_owned()],
                since: Some("u.0".to_owned()),
                empty: true,
                not_kept: None,
                lost: Some("gone".to_owned()),
            }),
            retry: RetryRule { limit: 2, ..RetryRule::default() },
            overlap: pumice_core::spec::Overlap::Latest,
            turn: Some(at),
            permit: Some(Box::new(pumice_core::permits::Permit::of_pool("p".parse().unwrap()))),
            below: Some(pumice_core::permits::Gate::of_key("k").unwrap()),
            replaced_by: Some(RunKey::root(run().run_id)),
            keyed: Some(keyed),
            cancel: true,
            stopped_by: Some(Box::new(pumice_core::run::StopRequest::new("ada", Some("wrong month")))),
            duties: Some(Duties { actions: None, done: 0, wake_parent: true }),
            rendered: Some(Rendered { payload: json!(1), parameters: Map::new() }),
            result: json!(1),
            offloaded: Vec::new(),
            reason: Some("r".to_owned()),
            host: Some(HostId::new("h-1").unwrap()),
            hostname: Some("h".to_owned()),
            expires: at.trunc_subsecs(0) + TimeDelta::days(30),
            log: run().log,
        }
    }

    #[test]
    fn optional_attribute_is_removed_when_absent() {
        let bare = run_item(&Run { due_at: None, ..run() }).unwrap();
        let mut names: Vec<String> = run_item(&full()).unwrap().into_keys().collect();
        for status in Status::ALL {
            names.extend(run_item(&Run { status, ts_start: None, ..full() }).unwrap().into_keys());
        }
        for name in names.iter().filter(|name| !bare.contains_key(*name)) {
            assert!(OPTIONAL.contains(&name.as_str()), "{name} would stay");
        }
        assert_eq!(read_run(&stored(&full())).unwrap(), full());
    }

    #[test]
    fn largest_record_fits_into_an_item() {
        // The JSON that takes most room in an item for its length: short numbers.
        let widest = |bytes: usize| Value::Array(vec![json!(1); bytes / 2 - 1]);
        let mut run = full();
        for number in 0..300 {
            run.log.push(Status::Logging, run.ts_dispatch, widest(if number % 2 == 0 { 200 } else { 8_000 }));
        }
        run.reason = Some("x".repeat(8 * 1024));
        run.result = widest(MAX_INLINE);
        run.rendered = Some(Rendered { payload: widest(MAX_INLINE - 100), parameters: Map::new() });
        let mut item = stored(&run);
        item.insert(SPEC.to_owned(), text("x".repeat(MAX_EMBEDDED)));
        for name in ["result", "rendered"] {
            let bytes = value_text(&item[name]).len();
            assert!((MAX_INLINE - 300..=MAX_INLINE).contains(&bytes), "{name}: {bytes}");
        }
        assert!(size(&item) < 380 * 1024, "{}", size(&item));
    }

    #[test]
    fn record_of_a_small_run_is_small() {
        assert!(size(&stored(&run())) < 512, "{}", size(&stored(&run())));
    }
}
