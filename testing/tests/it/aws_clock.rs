//! Jobs that the clock starts, with the functions that would be deployed.

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use pumice_core::clock::{Cursor, State, Timetable};
use pumice_core::ids::JobId;
use pumice_core::ports::{Catalog, RunQuery, RunStore, ScheduleStore};
use pumice_core::run::{Run, Status};
use pumice_testing::standins::{Cloud, DISPATCHER, FunctionSpec, log_job};
use serde_json::{Value, json};

const SWEEP: &str = r#"{"sweep": true}"#;

/// The stream's record of a job that was put into the jobs table now.
fn told_of(id: &str) -> Value {
    let image = json!({ "job_id": { "S": id }, "schedule": { "M": { "every": { "S": "15s" } } } });
    json!({ "Records": [{
        "eventID": "1", "eventName": "INSERT", "eventSource": "aws:dynamodb", "awsRegion": "eu-west-1",
        "dynamodb": {
            "ApproximateCreationDateTime": Utc::now().timestamp(), "Keys": { "job_id": { "S": id } },
            "NewImage": image, "SequenceNumber": "1", "SizeBytes": 26, "StreamViewType": "NEW_AND_OLD_IMAGES",
        },
    }] })
}

async fn runs_of(cloud: &Cloud, job: &str) -> Vec<Run> {
    let query = RunQuery { job: Some(job.to_owned()), limit: 1_000, ..RunQuery::default() };
    let mut runs = RunStore::list(cloud.realm.store(), &query).await.expect("it answers");
    runs.sort_by_key(|run| run.not_before);
    runs
}

async fn timetable(cloud: &Cloud, job: &str) -> Option<Timetable> {
    let ids = [JobId::new(job).expect("an id")];
    ScheduleStore::load(cloud.realm.store(), &ids).await.expect("it answers").remove(0)
}

/// Puts a job of the dispatcher `main` past everything of Pumice's, enabled or not.
fn put_enabled(cloud: &Cloud, id: &str, enabled: Option<bool>) {
    let mut item = json!({
        "job_id": { "S": id }, "type": { "S": "log" }, "worker": { "S": "core" }, "payload": { "NULL": true },
        "dispatcher": { "S": "main" }, "schedule": { "M": { "every": { "S": "40s" } } },
    });
    if let Some(enabled) = enabled {
        item["enabled"] = json!({ "BOOL": enabled });
    }
    let put = json!({ "TableName": cloud.names().jobs(), "Item": item });
    cloud.call_json("dynamodb", "DynamoDB_20120810.PutItem", &put);
}

fn sweep(cloud: &Cloud) -> Value {
    cloud.invoke(DISPATCHER, &serde_json::from_str(SWEEP).expect("an event"))
}

#[tokio::test]
async fn schedule_put_into_the_table_starts_its_job_on_time() {
    let cloud = Cloud::start(&[]).await;
    cloud.deploy_dispatcher();
    cloud.put_straight("etl/often", "15s").await;
    let began = Utc::now();
    let answer = cloud.invoke(DISPATCHER, &told_of("etl/often"));
    assert_eq!(answer["changed"], 1, "{answer}");
    // A sweep, and a repeated record of the stream, add only the slots that have come into sight since.
    sweep(&cloud);
    let mut told = told_of("etl/often");
    told["Records"][0]["eventName"] = "MODIFY".into();
    cloud.invoke(DISPATCHER, &told);
    let runs = runs_of(&cloud, "etl/often").await;
    assert!((5..=9).contains(&runs.len()), "{runs:?}");
    for pair in runs.windows(2) {
        assert_eq!(pair[1].not_before - pair[0].not_before, TimeDelta::seconds(15), "{runs:?}");
    }
    for run in &runs {
        let slot = run.scheduled.as_ref().expect("a slot").slot;
        assert_eq!(run.not_before, slot.max(run.not_before.trunc_subsecs(0)), "it begins to the second");
        assert!(
            slot > began - TimeDelta::seconds(2) && slot <= Utc::now() + TimeDelta::seconds(91),
            "{slot}"
        );
    }
    let known = timetable(&cloud, "etl/often").await.expect("it is there");
    assert_eq!(known.cursors[0].ahead.len(), runs.iter().filter(|run| run.not_before > Utc::now()).count());
}

#[tokio::test]
async fn rule_and_two_sweeps_for_one_slot_make_one_run() {
    let cloud = Cloud::start(&[]).await;
    cloud.deploy_dispatcher();
    let slot = (Utc::now() + TimeDelta::seconds(60)).trunc_subsecs(0);
    let mut job = log_job("once");
    job["schedule"] = json!({ "at": slot.to_rfc3339() });
    cloud.put_jobs(&[job]).await;
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| sweep(&cloud));
        }
    });
    let runs = runs_of(&cloud, "once").await;
    assert_eq!(runs.len(), 1, "{runs:?}");
    assert_eq!(runs[0].not_before, slot);
    let rule =
        json!({ "job_id": "once", "scheduled_at": slot.to_rfc3339_opts(chrono::SecondsFormat::Secs, true) });
    let answer = cloud.invoke(DISPATCHER, &rule);
    assert_eq!(answer["accepted"][0]["existing"], true, "{answer}");
    assert_eq!(answer["accepted"][0]["run_id"], runs[0].run_id.to_string());
}

#[tokio::test]
async fn rule_that_comes_first_makes_the_run_of_the_clock() {
    let cloud = Cloud::start(&[]).await;
    cloud.deploy_dispatcher();
    let slot = (Utc::now() + TimeDelta::seconds(60)).trunc_subsecs(0);
    let mut job = log_job("once");
    job["schedule"] = json!([
        { "at": "2100-01-01" },
        { "at": slot.to_rfc3339(), "globals": { "n": 1 }, "overlap": "skip", "timezone": "Asia/Tokyo" },
    ]);
    cloud.put_jobs(&[job]).await;
    let at = |at: DateTime<Utc>| at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    let answer = cloud.invoke(DISPATCHER, &json!({ "job_id": "once", "scheduled_at": at(slot) }));
    assert_eq!(answer["accepted"][0]["existing"], false, "{answer}");
    sweep(&cloud);
    let runs = runs_of(&cloud, "once").await;
    let [run] = &runs[..] else { panic!("{runs:?}") };
    let scheduled = run.scheduled.as_ref().expect("a slot");
    assert_eq!((scheduled.entry, scheduled.slot, scheduled.zone.0.name()), (Some(1), slot, "Asia/Tokyo"));
    assert_eq!(run.not_before, slot, "though the rule came early");
    let known = timetable(&cloud, "once").await.expect("it is there");
    assert_eq!(known.cursors[1].last, Some(slot), "the clock has found it");
    // A time that the schedule does not name.
    let other = slot + TimeDelta::seconds(1);
    cloud.invoke(DISPATCHER, &json!({ "job_id": "once", "scheduled_at": at(other) }));
    let runs = runs_of(&cloud, "once").await;
    let others = runs.iter().filter_map(|run| run.scheduled.as_ref()).filter(|one| one.slot == other);
    assert_eq!(others.map(|one| one.entry).collect::<Vec<_>>(), [None]);
}

#[tokio::test]
async fn pause_withdraws_early_runs_and_deletion_leaves_none() {
    let cloud = Cloud::start(&[]).await;
    cloud.deploy_dispatcher();
    let slot = |seconds: i64| (Utc::now() + TimeDelta::seconds(seconds)).trunc_subsecs(0);
    let at = |at: DateTime<Utc>| json!({ "at": at.to_rfc3339() });
    let job = |id: &str| {
        let mut job = log_job(id);
        job["schedule"] = at(slot(75));
        job
    };
    cloud.put_jobs(&[job("paused"), job("deleted")]).await;
    assert_eq!(sweep(&cloud)["started"], 2);
    let known = timetable(&cloud, "paused").await.expect("it is there");
    let paused = |cursor: &Cursor| cursor.paused(None, "ann".to_owned(), "audit".to_owned());
    let cursors = known.cursors.iter().map(paused).collect();
    let next = Timetable { rev: known.rev + 1, due_at: Some(Utc::now()), cursors, ..known };
    let store = cloud.realm.store();
    ScheduleStore::put(store, vec![next]).await.expect("it answers").remove(0).expect("it is written");
    pumice_core::ports::Catalog::delete_jobs(store, vec![JobId::new("deleted").expect("an id")])
        .await
        .expect("it is");
    assert_eq!(sweep(&cloud)["started"], 0);
    for id in ["paused", "deleted"] {
        assert_eq!(runs_of(&cloud, id).await[0].status, Status::Cancelled, "{id}");
    }
    let kept = timetable(&cloud, "paused").await.expect("it is there");
    assert!(
        matches!(kept.cursors[0].state, State::Paused { .. }) && kept.cursors[0].ahead.is_empty(),
        "{kept:?}"
    );
    assert_eq!(timetable(&cloud, "deleted").await, None);
}

#[tokio::test]
async fn sweep_next_to_lava_finds_put_changed_and_deleted_jobs() {
    let cloud = Cloud::start(&[]).await;
    let document =
        json!({ "realm": "test", "s3_temp": "s3://test-bucket/tmp", "config": { "DISPATCHERS": ["main"] } });
    let store = cloud.realm.store();
    store.put_realm(document.as_object().cloned().expect("an object")).await.expect("it is put");
    let unwatched = |name| FunctionSpec {
        name,
        binary: "dispatcher-lambda",
        timeout: 60,
        environment: &[("PUMICE_JOBS_UNWATCHED", "true")],
    };
    cloud.deploy(&unwatched(DISPATCHER));
    cloud.put_straight_of("ours", "40s", Some("main")).await;
    cloud.put_straight_of("lavas", "40s", Some("other")).await;
    cloud.put_straight("nobodys", "40s").await;
    put_enabled(&cloud, "idle", None);
    put_enabled(&cloud, "off", Some(false));
    assert_eq!(sweep(&cloud)["started"], 2, "those of the next 90 seconds");
    assert!(runs_of(&cloud, "lavas").await.is_empty() && runs_of(&cloud, "nobodys").await.is_empty());
    let known = timetable(&cloud, "ours").await.expect("it is there");
    // As long as nothing changes nothing is written.
    sweep(&cloud);
    assert_eq!(timetable(&cloud, "ours").await.expect("it is there").rev, known.rev);
    // The index shows no difference.
    put_enabled(&cloud, "idle", Some(true));
    put_enabled(&cloud, "off", Some(true));
    sweep(&cloud);
    for id in ["idle", "off"] {
        assert_eq!(timetable(&cloud, id).await.expect("it is there").cursors[0].state, State::Active, "{id}");
        assert_eq!(runs_of(&cloud, id).await.len(), 2, "{id}: those of the next 90 seconds, none of before");
        Catalog::delete_jobs(store, vec![JobId::new(id).expect("an id")]).await.expect("it is");
    }
    cloud.put_straight_of("ours", "1h", Some("main")).await;
    sweep(&cloud);
    let changed = timetable(&cloud, "ours").await.expect("it is there");
    assert_ne!(changed.cursors[0].fingerprint, known.cursors[0].fingerprint);
    // A function that has just begun knows what was looked at from the records.
    cloud.deploy(&unwatched("fresh"));
    let again = cloud.invoke("fresh", &serde_json::from_str(SWEEP).expect("an event"));
    assert_eq!(again["started"], 0, "{again}");
    assert_eq!(timetable(&cloud, "ours").await.expect("it is there").rev, changed.rev);
    Catalog::delete_jobs(store, vec![JobId::new("ours").expect("an id")]).await.expect("it is");
    sweep(&cloud);
    assert_eq!(timetable(&cloud, "ours").await, None);
}

#[tokio::test]
async fn limit_that_is_broken_has_one_alert_though_sweeps_race() {
    let cloud = Cloud::start(&[]).await;
    cloud.deploy_dispatcher();
    let mut job = log_job("quiet");
    job["schedule"] = json!({ "at": "2100-01-01", "max_silence": "2s" });
    job["on_late"] = json!([{ "action": "log", "message": "{{ late.why }}" }]);
    cloud.put_jobs(&[job]).await;
    let alerts = async || {
        let runs = runs_of(&cloud, "quiet").await;
        runs.into_iter().filter(|run| run.late.is_some()).collect::<Vec<_>>()
    };
    let began = std::time::Instant::now();
    while alerts().await.is_empty() {
        assert!(
            began.elapsed() < std::time::Duration::from_secs(60),
            "{:?}",
            timetable(&cloud, "quiet").await
        );
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| sweep(&cloud));
            }
        });
    }
    sweep(&cloud);
    let found = alerts().await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(runs_of(&cloud, "quiet").await.len(), 1, "nothing is started");
    let known = timetable(&cloud, "quiet").await.expect("it is there");
    assert_eq!((known.cursors[0].watch.broken.len(), known.alerts()), (1, 0));
}

#[tokio::test]
async fn slot_whose_run_waits_is_shown_as_the_next() {
    let cloud = Cloud::start(&[]).await;
    cloud.deploy_dispatcher();
    let slot = (Utc::now() + TimeDelta::seconds(80)).trunc_subsecs(0);
    let mut job = log_job("once");
    job["schedule"] = json!({ "at": slot.to_rfc3339() });
    cloud.put_jobs(&[job]).await;
    assert_eq!(sweep(&cloud)["started"], 1);
    let known = timetable(&cloud, "once").await.expect("it is there");
    assert_eq!((known.cursors[0].next, known.cursors[0].last), (None, Some(slot)), "the record is ahead");
    let listed: Value =
        serde_json::from_str(&cloud.pumice(&["schedules", "list", "-o", "json"])).expect("JSON");
    let entry = &listed["schedules"][0];
    assert_eq!(
        (&entry["state"], &entry["last"], &entry["started"]),
        (&json!("active"), &Value::Null, &json!(0))
    );
    let next: DateTime<Utc> = entry["next"].as_str().and_then(|at| at.parse().ok()).expect("a time");
    assert_eq!(next, slot);
    let next: Value =
        serde_json::from_str(&cloud.pumice(&["schedules", "next", "-o", "json"])).expect("JSON");
    assert_eq!(next["slots"][0]["slot"], entry["next"]);
}

#[tokio::test]
async fn entry_that_waits_for_a_service_is_broken_for_every_reader() {
    let cloud = Cloud::start(&[]).await;
    cloud.deploy_dispatcher();
    let mut job = log_job("boot");
    job["schedule"] = json!("@reboot");
    cloud.put_jobs(&[job]).await;
    sweep(&cloud);
    let why = "@reboot is the start of `pumice serve`, and on AWS no service starts";
    for command in [
        &["schedules", "list", "-o", "json"][..],
        &["schedules", "next", "-o", "json"],
        &["schedules", "simulate", "--down", "2100-01-01", "2100-01-02", "-o", "json"],
        &["schedules", "list"],
    ] {
        let output = cloud.pumice_command(command).output().expect("it runs");
        let printed = [output.stdout, output.stderr].concat();
        let printed = String::from_utf8_lossy(&printed);
        assert!(printed.contains(why), "{command:?}: {printed}");
    }
    let output = cloud.pumice_command(&["doctor"]).output().expect("it runs");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(printed.contains("entries start nothing, or their last start was refused: boot"), "{printed}");
    let output = cloud.pumice_command(&["schedules", "run", "boot"]).output().expect("it runs");
    let printed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && printed.contains(why), "{printed}");
}
