//! Jobs that are edited, disabled, enabled, deleted and paused within the time for which runs are made ahead, with the functions
//! that would be deployed: each slot has one run, of the job as it was last.

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use pumice_core::ports::{RunQuery, RunStore};
use pumice_core::run::{Run, Status};
use pumice_testing::standins::{Cloud, DISPATCHER, log_job, until};
use serde_json::{Map, Value, json};

/// How long before the slot the edits begin: within the 90 seconds for which runs are made ahead.
const BEFORE: TimeDelta = TimeDelta::seconds(80);

/// What is done to a job whose run was made ahead.
enum Edit {
    /// Its item is put into the table with these fields set, past everything of Pumice's.
    Put(Value),
    Delete,
    Pause,
    Resume,
    /// Two sweeps at once.
    Sweep,
}

/// A job, what is done to it, and how long after the slot its run is to begin, with what in `day`; `None` where none is.
type Case = (&'static str, Vec<Edit>, Option<(TimeDelta, u64)>);

fn cases(slot: DateTime<Utc>) -> Vec<Case> {
    let (on, off) = (|| Edit::Put(json!({ "enabled": true })), || Edit::Put(json!({ "enabled": false })));
    let day = |day: u64| Edit::Put(json!({ "parameters": { "day": day } }));
    let later = TimeDelta::seconds(5);
    let at = |moved: TimeDelta| Edit::Put(json!({ "schedule": { "at": (slot + moved).to_rfc3339() } }));
    let once = Some((TimeDelta::zero(), 1));
    vec![
        ("same", vec![Edit::Sweep], once),
        ("off", vec![off()], None),
        ("on-again", vec![off(), on()], once),
        ("on-after-a-sweep", vec![off(), Edit::Sweep, on(), Edit::Sweep], once),
        ("on-again-twice", vec![off(), on(), off(), on()], once),
        ("edited", vec![day(2)], Some((TimeDelta::zero(), 2))),
        ("edited-twice", vec![day(2), Edit::Sweep, day(3)], Some((TimeDelta::zero(), 3))),
        ("edited-back", vec![day(2), day(1)], once),
        ("moved", vec![at(later)], Some((later, 1))),
        ("moved-back", vec![at(later), Edit::Sweep, at(TimeDelta::zero())], once),
        ("deleted", vec![Edit::Delete], None),
        ("applied-again", vec![Edit::Delete, on()], once),
        ("paused", vec![Edit::Pause], None),
        ("resumed", vec![Edit::Pause, Edit::Resume], once),
        ("resumed-after-a-sweep", vec![Edit::Pause, Edit::Sweep, Edit::Resume], once),
        ("paused-while-off", vec![off(), Edit::Pause, on(), Edit::Resume], once),
    ]
}

/// A value as DynamoDB's JSON has it (DynamoDB API Reference, *AttributeValue*).
fn attribute(value: &Value) -> Value {
    match value {
        Value::Null => json!({ "NULL": true }),
        Value::Bool(value) => json!({ "BOOL": value }),
        Value::Number(value) => json!({ "N": value.to_string() }),
        Value::String(value) => json!({ "S": value }),
        Value::Array(values) => json!({ "L": values.iter().map(attribute).collect::<Vec<_>>() }),
        Value::Object(fields) => json!({ "M": item(fields) }),
    }
}

fn item(fields: &Map<String, Value>) -> Map<String, Value> {
    fields.iter().map(|(name, value)| (name.clone(), attribute(value))).collect()
}

/// The jobs table, whose stream invokes the dispatcher.
struct Table<'a> {
    cloud: &'a Cloud,
    /// The job's item as it is, or as it was before it was deleted.
    job: Map<String, Value>,
    is_there: bool,
}

impl Table<'_> {
    fn put(&mut self, fields: &Value) {
        let old = self.is_there.then(|| item(&self.job));
        self.job.extend(fields.as_object().expect("fields").clone());
        let new = item(&self.job);
        let put = json!({ "TableName": self.cloud.names().jobs(), "Item": new });
        self.cloud.call_json("dynamodb", "DynamoDB_20120810.PutItem", &put);
        self.is_there = true;
        self.stream(old, Some(new));
    }

    fn delete(&mut self) {
        let key = json!({ "job_id": attribute(&self.job["job_id"]) });
        let delete = json!({ "TableName": self.cloud.names().jobs(), "Key": key });
        self.cloud.call_json("dynamodb", "DynamoDB_20120810.DeleteItem", &delete);
        self.is_there = false;
        self.stream(Some(item(&self.job)), None);
    }

    /// The record of the table's stream (DynamoDB Streams API Reference, *Record*).
    fn stream(&self, old: Option<Map<String, Value>>, new: Option<Map<String, Value>>) {
        let name = match (&old, &new) {
            (None, _) => "INSERT",
            (Some(_), Some(_)) => "MODIFY",
            (Some(_), None) => "REMOVE",
        };
        let mut change = json!({
            "ApproximateCreationDateTime": Utc::now().timestamp(), "SequenceNumber": "1", "SizeBytes": 26,
            "StreamViewType": "NEW_AND_OLD_IMAGES", "Keys": { "job_id": attribute(&self.job["job_id"]) },
        });
        let fields = change.as_object_mut().expect("fields");
        fields.extend(old.map(|old| ("OldImage".to_owned(), old.into())));
        fields.extend(new.map(|new| ("NewImage".to_owned(), new.into())));
        let record = json!({
            "eventID": "1", "eventName": name, "eventSource": "aws:dynamodb", "awsRegion": "eu-west-1", "dynamodb": change,
        });
        self.cloud.invoke(DISPATCHER, &json!({ "Records": [record] }));
    }
}

fn sweep(cloud: &Cloud) {
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| cloud.invoke(DISPATCHER, &json!({ "sweep": true })));
        }
    });
}

async fn runs_of(cloud: &Cloud, job: &str) -> Vec<Run> {
    let query = RunQuery { job: Some(job.to_owned()), limit: 100, ..RunQuery::default() };
    cloud.realm.store().list(&query).await.expect("it answers")
}

fn edit(table: &mut Table<'_>, id: &str, edit: &Edit) {
    match edit {
        Edit::Put(fields) => table.put(fields),
        Edit::Delete => table.delete(),
        Edit::Pause => drop(table.cloud.pumice(&["schedules", "pause", id, "--why", "a look"])),
        Edit::Resume => drop(table.cloud.pumice(&["schedules", "resume", id])),
        Edit::Sweep => sweep(table.cloud),
    }
}

#[tokio::test]
async fn jobs_edited_after_their_run_was_made_ahead_run_once() {
    let cloud = Cloud::start(&[]).await;
    cloud.deploy_dispatcher();
    cloud.deploy_worker("core", 30, 1);
    let slot = (Utc::now() + BEFORE).trunc_subsecs(0);
    let cases = cases(slot);
    let mut tables: Vec<Table<'_>> = Vec::new();
    for (id, ..) in &cases {
        let mut table = Table { cloud: &cloud, job: Map::new(), is_there: false };
        let mut job = log_job(id);
        job["parameters"] = json!({ "day": 1 });
        job["schedule"] = json!({ "at": slot.to_rfc3339() });
        table.put(&job);
        tables.push(table);
    }
    for (id, ..) in &cases {
        let made = runs_of(&cloud, id).await;
        assert_eq!(made.len(), 1, "{id}: its run is made ahead: {made:?}");
    }
    for ((id, edits, _), table) in cases.iter().zip(&mut tables) {
        edits.iter().for_each(|one| edit(table, id, one));
    }
    // The minute's sweep.
    sweep(&cloud);
    assert!(Utc::now() < slot, "the edits come before the slot");
    for (id, _, due) in &cases {
        let Some((later, day)) = due else {
            assert!(runs_of(&cloud, id).await.iter().all(|run| run.status == Status::Cancelled), "{id}");
            continue;
        };
        let waits = async || {
            let runs = runs_of(&cloud, id).await;
            runs.into_iter().find(|run| run.status != Status::Cancelled)
        };
        let waiting = waits().await.unwrap_or_else(|| panic!("{id}: no run waits for the slot"));
        assert_eq!(waiting.not_before, slot + *later, "{id}");
        let run = until(async || waits().await.filter(Run::is_done)).await;
        let run = run.unwrap_or_else(|| panic!("{id}: its run does not end\n{}", cloud.logs()));
        assert_eq!((run.status, &run.key), (Status::Complete, &waiting.key), "{id}");
        let begun = run.log.entries.iter().find(|entry| entry.status == Status::Running);
        assert!(begun.is_some_and(|entry| entry.at >= slot + *later), "{id}: {run:?}");
        let (_, spec) =
            cloud.realm.store().load_with_spec(&run.key).await.expect("it answers").expect("it is there");
        let rendered = spec.rendered.unwrap_or_else(|| panic!("{id}: it was rendered"));
        assert_eq!(rendered.parameters["day"], json!(day), "{id}");
    }
    sweep(&cloud);
    for (id, _, due) in &cases {
        let runs = runs_of(&cloud, id).await;
        let complete = runs.iter().filter(|run| run.status == Status::Complete).count();
        let cancelled = runs.iter().filter(|run| run.status == Status::Cancelled).count();
        assert_eq!(complete, usize::from(due.is_some()), "{id}");
        assert_eq!(complete + cancelled, runs.len(), "{id}: {runs:?}");
    }
}
