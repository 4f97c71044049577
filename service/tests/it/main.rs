//! The service functions on a realm in a folder: each request is read from JSON, as an API gets it, and each response
//! is compared with its published schema.

#![expect(clippy::unwrap_used, reason = "tests")]

mod bulk;
mod listed;
mod operating;
mod walks;

use std::collections::BTreeSet;
use std::sync::Mutex;

use pumice_core::schema::check;
use pumice_service::specs::{self, Documents};
use pumice_service::{
    ErrorKind, Operation, Realm as _, audit, connections, dead, dispatch, drain, operations, pauses,
    payloads, pools, render, runs, schedules, secrets, state, triggers, workers,
};
use pumice_testing::folder::Folder;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Reads requests and takes responses, and remembers of which operations.
#[derive(Default)]
struct Api {
    seen: Mutex<BTreeSet<String>>,
}

impl Api {
    fn operation(command: &str) -> Operation {
        operations().into_iter().find(|one| one.command == command).unwrap()
    }

    /// A request as its function takes it.
    fn request<Q: DeserializeOwned>(&self, command: &str, request: Value) -> Q {
        let problems = check(&Self::operation(command).request(), &request);
        assert!(problems.is_empty(), "{command}: {problems:?}");
        serde_json::from_value(request).unwrap()
    }

    /// A response as JSON, after a look at its schema; what is read back is the same.
    fn response<A: Serialize + DeserializeOwned>(&self, command: &str, response: &A) -> Value {
        self.seen.lock().unwrap().insert(command.to_owned());
        let value = serde_json::to_value(response).unwrap();
        let problems = check(&Self::operation(command).response(), &value);
        assert!(problems.is_empty(), "{command}: {problems:?} in {value}");
        let again: A = serde_json::from_value(value.clone()).unwrap();
        assert_eq!(serde_json::to_value(again).unwrap(), value, "{command}");
        value
    }
}

fn job(id: &str, more: Value) -> Value {
    let mut job = json!({ "job_id": id, "type": "cmd", "worker": "core", "enabled": true, "payload": "echo {{globals.name|default(1)}}" });
    job.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    job
}

fn given(documents: &[Value]) -> Value {
    json!({ "documents": documents.iter().map(|one| json!({ "document": one })).collect::<Vec<_>>() })
}

async fn applied(api: &Api, realm: &Folder) {
    let daily = job("daily", json!({ "schedule": "@daily" }));
    let chain =
        json!({ "job_id": "chain", "type": "chain", "worker": "core", "enabled": true, "payload": ["once"] });
    let specs = given(&[job("once", json!({ "globals": { "name": "world" } })), daily, chain]);
    let checked = specs::check(realm, api.request("check", json!({ "specs": specs }))).await.unwrap();
    let checked = api.response("check", &checked);
    assert_eq!(checked["schedules"][0]["job_id"], "daily");
    let request = api.request("apply", json!({ "specs": specs }));
    let applied = api.response("apply", &specs::apply(realm, request).await.unwrap());
    assert_eq!(applied["jobs"][0], json!({ "job_id": "once", "change": "added" }));
    let changed = given(&[job("once", json!({ "description": null }))]);
    let request = api.request("apply", json!({ "specs": changed, "dry_run": true }));
    let dry = api.response("apply", &specs::apply(realm, request).await.unwrap());
    let fields = json!([{ "field": "description", "after": null }, { "field": "globals", "before": { "name": "world" } }]);
    assert_eq!((&dry["dry_run"], &dry["jobs"][0]["fields"]), (&json!(true), &fields));
}

/// Plans, prunes and exports.
async fn planned(api: &Api, realm: &Folder) {
    let kept = given(&[job("part/a", json!({ "owner": "ada" }))]);
    let both = given(&[job("part/a", json!({})), job("part/b", json!({ "schedule": "@daily" }))]);
    specs::apply(realm, api.request("apply", json!({ "specs": both }))).await.unwrap();
    let plan = || api.request("plan", json!({ "specs": kept, "prune": "part" }));
    let planned = api.response("plan", &specs::plan(realm, plan()).await.unwrap());
    let documents = planned["documents"].as_array().unwrap();
    let changes: Vec<(&Value, &Value)> = documents.iter().map(|one| (&one["id"], &one["change"])).collect();
    assert_eq!(changes, [(&json!("part/a"), &json!("updated")), (&json!("part/b"), &json!("removed"))]);
    assert_eq!(documents[0]["fields"], json!([{ "field": "owner", "after": "ada" }]));
    assert_eq!(documents[1]["schedule"], "@daily");
    let apply = |expect: &Value| {
        let request = json!({ "specs": kept, "prune": "part", "expect": expect });
        api.request::<specs::Apply>("apply", request)
    };
    let refused = specs::apply(realm, apply(&json!("0"))).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict, "{refused}");
    let exported = specs::export(realm, &api.request("export", json!({ "scope": "part/" }))).await.unwrap();
    let exported = api.response("export", &exported);
    assert_eq!(exported["documents"][1]["file"], "jobs/part/b.json");
    let applied = specs::apply(realm, apply(&planned["digest"])).await.unwrap();
    let applied = api.response("apply", &applied);
    assert_eq!(applied["removed"], json!([{ "kind": "job", "id": "part/b" }]));
    let delete = api.request("jobs delete", json!({ "jobs": ["part/*"] }));
    assert_eq!(specs::delete(realm, &delete).await.unwrap().jobs.len(), 1);
}

async fn jobs(api: &Api, realm: &Folder) {
    let shown = specs::show_realm(realm, &api.request("realm show", json!({}))).await.unwrap();
    let shown = api.response("realm show", &shown);
    assert_eq!((&shown["realm"], &shown["is_aws"]), (&json!(realm.name()), &json!(false)), "{shown}");
    assert!(shown["zone"].is_string() && shown["definition"]["realm"] == shown["realm"], "{shown}");
    let listed = specs::list(realm, &api.request("jobs list", json!({ "pattern": "o*" }))).await.unwrap();
    assert_eq!(listed.all, 3);
    let listed = api.response("jobs list", &listed);
    assert_eq!((&listed["jobs"][0]["job_id"], listed["all"].as_u64()), (&json!("once"), Some(3)));
    let shown = specs::show(realm, &api.request("jobs show", json!({ "job": "daily" }))).await.unwrap();
    assert_eq!(api.response("jobs show", &shown)["schedule"], "@daily");
    let request = api.request("render", json!({ "job": "once", "globals": { "name": "Pele" } }));
    let rendered = api.response("render", &render::render(realm, request).await.unwrap());
    assert_eq!(rendered["payload"], json!(["echo", "Pele"]));
}

async fn dispatched(api: &Api, realm: &Folder) {
    let request = json!({ "requests": [{ "job_id": "once" }, { "job_id": "none" }], "key": "night" });
    let request: dispatch::Dispatch = api.request("dispatch", request);
    let outcomes = dispatch::dispatch(realm, &request).await.unwrap();
    let outcomes = api.response("dispatch", &outcomes);
    let refused: Vec<&Value> =
        outcomes["refused"].as_array().unwrap().iter().map(|one| &one["request"]).collect();
    assert_eq!((outcomes["accepted"][0]["existing"].clone(), refused), (json!(false), vec![&json!("none")]));
    let again = api.response("dispatch", &dispatch::dispatch(realm, &request).await.unwrap());
    assert_eq!(again["accepted"][0]["existing"], true);

    let list = api.request("runs list", json!({ "job": "once", "statuses": ["dispatched"], "since": "1h" }));
    let list = api.response("runs list", &runs::list(realm, &list).await.unwrap());
    assert_eq!((&list["all"], &list["runs"][0]["job_id"]), (&json!(1), &json!("once")));
    for details in [false, true] {
        let show = api.request("runs show", json!({ "run": "latest:once", "details": details }));
        let tree = api.response("runs show", &runs::show(realm, &show).await.unwrap());
        assert_eq!(tree["runs"][0]["payload"], json!(["echo", "world"]), "{details}");
    }
    let why = api.request("runs why", json!({ "run": "latest:once" }));
    let why = api.response("runs why", &runs::why(realm, &why).await.unwrap());
    assert_eq!((&why["cause"], &why["status"]), (&json!("no_worker"), &json!("dispatched")));
    let retry = api.request("runs retry", json!({ "run": "latest:once" }));
    let refused = runs::retry(realm, &retry).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict, "{refused}");
    let output = api.request("runs output", json!({ "run": "latest" }));
    assert_eq!(api.response("runs output", &runs::output(realm, &output).await.unwrap()), json!([]));
    let part = api.request("runs output --from", json!({ "run": "latest" }));
    let part = api.response("runs output --from", &runs::read_output(realm, &part).await.unwrap());
    assert_eq!(part, json!({ "from": 0, "next": 0, "size": 0, "is_open": true, "text": "" }));
    for (wrong, why) in [
        (json!({ "run": "latest", "limit": 0 }), "limit: 0 is not between 1 and 1048576 bytes"),
        (json!({ "run": "latest", "step": "x" }), "has no step \"x\": it has no steps"),
    ] {
        let wrong = api.request("runs output --from", wrong);
        let error = runs::read_output(realm, &wrong).await.unwrap_err();
        assert!(error.kind().is_of_request() && error.to_string().ends_with(why), "{error}");
    }
    let cancel = api.request("runs cancel", json!({ "runs": ["latest"] }));
    let cancelled = api.response("runs cancel", &runs::cancel(realm, &cancel).await.unwrap());
    assert_eq!(cancelled["runs"][0]["outcome"], "cancelled");
    let again = api.response("runs cancel", &runs::cancel(realm, &cancel).await.unwrap());
    assert_eq!((&again["runs"], again["refused"].as_array().map(Vec::len)), (&json!([]), Some(1)));
    let ended = &cancelled["runs"][0]["run"];
    let retry = json!({ "run": ended, "globals": { "name": "Pele" }, "key": "again", "from": "all" });
    let retry: runs::RetryRun = api.request("runs retry", retry);
    let dry = runs::RetryRun { dry_run: true, ..retry.clone() };
    let dry = api.response("runs retry", &runs::retry(realm, &dry).await.unwrap());
    assert_eq!((&dry["accepted"], &dry["input"][0]["field"]), (&Value::Null, &json!("globals.name")));
    for existing in [false, true] {
        let retried = api.response("runs retry", &runs::retry(realm, &retry).await.unwrap());
        assert_eq!(
            (&retried["of"], &retried["accepted"]["existing"]),
            (&cancelled["runs"][0]["run"], &json!(existing))
        );
    }
    many(api, realm).await;
    bulk::looked_at(api, realm).await;
    paused(api, realm).await;
}

/// Pauses jobs, workers and the realm.
async fn paused(api: &Api, realm: &Folder) {
    let terms = json!({ "by": "ada", "why": "new disk" });
    let pause = json!({ "jobs": ["on*"], "terms": terms });
    let dry = json!({ "jobs": ["on*"], "terms": { "dry_run": true } });
    let looked = pauses::pause_jobs(realm, &api.request("jobs pause", dry)).await.unwrap();
    assert_eq!(looked.pauses.len(), 1);
    assert_eq!(realm.runs().pauses().await.unwrap().all, [], "a dry run changes nothing");
    let paused = pauses::pause_jobs(realm, &api.request("jobs pause", pause)).await.unwrap();
    let paused = api.response("jobs pause", &paused);
    assert_eq!(paused["pauses"][0]["scope"], json!({ "job": "on*" }));
    for wrong in [json!({ "jobs": ["onec"] }), json!({ "jobs": ["x*"] })] {
        let refused = pauses::pause_jobs(realm, &api.request("jobs pause", wrong)).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::NotFound, "{refused}");
    }
    let past = json!({ "jobs": ["once"], "terms": { "until": "2020-01-01T00:00:00Z" } });
    let refused = pauses::pause_jobs(realm, &api.request("jobs pause", past)).await.unwrap_err();
    assert!(refused.message().contains("is past"), "{refused}");
    let core = api.request("workers pause", json!({ "workers": ["core"] }));
    api.response("workers pause", &pauses::pause_workers(realm, &core).await.unwrap());
    let drain = api.request("workers drain", json!({ "workers": ["core"] }));
    let drained = drain::drain_workers(realm, &drain).await.unwrap();
    let drained = api.response("workers drain", &drained);
    assert_eq!(
        drained["workers"][0],
        json!({ "worker": "core", "running": 0, "waiting": 0, "more": false, "first": [] })
    );
    let other = api.request("workers pause", json!({ "workers": ["cor"] }));
    let refused = pauses::pause_workers(realm, &other).await.unwrap_err();
    assert!(refused.message().contains("did you mean \"core\""), "{refused}");
    let on = pauses::begin_maintenance(realm, &api.request("maintenance on", terms)).await.unwrap();
    assert_eq!(api.response("maintenance on", &on)["pauses"].as_array().map(Vec::len), Some(3));
    let listed = workers::list_workers(realm, &api.request("workers list", json!({}))).await.unwrap();
    let listed = api.response("workers list", &listed);
    assert_eq!((&listed["workers"][0]["worker"], &listed["workers"][0]["jobs"]), (&json!("core"), &json!(3)));
    let queue = ["ready", "delayed", "in_flight"].map(|name| listed["workers"][0][name].is_u64());
    assert!(queue == [true; 3] && !listed["workers"][0]["oldest"].is_null(), "{listed:#}");
    assert_eq!(listed["workers"][0]["paused"]["scope"], json!({ "worker": "core" }));
    let listed = pools::list_pools(realm, &api.request("pools list", json!({}))).await.unwrap();
    assert_eq!(api.response("pools list", &listed), json!({ "pools": [] }));
    let off = pauses::end_maintenance(realm, &api.request("maintenance off", json!({}))).await.unwrap();
    assert_eq!(api.response("maintenance off", &off)["resumed"][0]["scope"], "realm");
    let resume = api.request("workers resume", json!({ "workers": ["core"] }));
    api.response("workers resume", &pauses::resume_workers(realm, &resume).await.unwrap());
    let resume = api.request("jobs resume", json!({ "jobs": ["on*", "chain"] }));
    let resumed = api.response("jobs resume", &pauses::resume_jobs(realm, &resume).await.unwrap());
    assert_eq!((&resumed["unchanged"], &resumed["pauses"]), (&json!([{ "job": "chain" }]), &json!([])));
}

/// Acts on all runs that a filter means.
async fn many(api: &Api, realm: &Folder) {
    let all = json!({ "where": "job:once" });
    let cancel = |more: Value| {
        let mut request = all.clone();
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        api.request::<runs::ManyRuns>("runs cancel --where", request)
    };
    let look = runs::cancel_many(realm, &cancel(json!({ "dry_run": true }))).await.unwrap();
    let look = api.response("runs cancel --where", &look);
    assert_eq!(
        (&look["count"], &look["first"][0]["job_id"], &look["done"]),
        (&json!(1), &json!("once"), &json!(0))
    );
    let others = cancel(json!({ "expect": "1:0123456789abcdef" }));
    let others = runs::cancel_many(realm, &others).await.unwrap_err();
    assert!(others.message().contains("1 run is meant now as before, but another"), "{others}");
    let other = runs::cancel_many(realm, &cancel(json!({ "expect": 2 }))).await.unwrap_err();
    assert_eq!(other.kind(), ErrorKind::Conflict);
    assert!(other.message().contains("1 run is meant now, and not 2: nothing is done"), "{other}");
    let empty = runs::ManyRuns { filter: "  ".to_owned(), ..runs::ManyRuns::default() };
    let refused = runs::cancel_many(realm, &empty).await.unwrap_err();
    assert!(refused.message().contains("would mean every run"), "{refused}");
    let listed = json!({ "where": "trigger:replay -status:complete" });
    let listed = runs::list(realm, &api.request("runs list", listed)).await.unwrap();
    assert_eq!(listed.runs.len(), 1);
    // Runs that were made after the look are left alone.
    let before = cancel(json!({ "before": look["before"], "expect": look["expect"] }));
    let done = api.response("runs cancel --where", &runs::cancel_many(realm, &before).await.unwrap());
    assert_eq!((&done["done"], &done["receipts"][0]["outcome"]), (&json!(1), &json!("cancelled")));
    let again = runs::cancel_many(realm, &cancel(json!({}))).await.unwrap();
    assert_eq!((again.count, again.done), (0, 0));
    // Each is done again once, however often that is asked.
    let retry: runs::RetryMany = api
        .request("runs retry --where", json!({ "runs": { "where": "job:once", "before": look["before"] } }));
    // One of them was done again by itself.
    for (done, already) in [(1, 1), (0, 2)] {
        let retried = runs::retry_many(realm, &retry).await.unwrap();
        assert_eq!((retried.count, retried.done, retried.already), (2, done, already), "{retried:?}");
        assert!(retried.receipts.iter().all(|one| one.by.is_some()));
        api.response("runs retry --where", &retried);
    }
    let delete: runs::ManyRuns = api.request("runs delete", json!({ "where": "job:once" }));
    let deleted = api.response("runs delete", &runs::delete_many(realm, &delete).await.unwrap());
    assert_eq!((&deleted["count"], &deleted["done"]), (&json!(2), &json!(2)), "those that have ended alone");
    let left = runs::list(realm, &api.request("runs list", json!({ "where": "job:once" }))).await.unwrap();
    assert!(left.runs.iter().all(|run| !run.status.is_end()) && left.runs.len() == 1, "{left:?}");
    let cancel = runs::cancel_many(realm, &cancel(json!({}))).await.unwrap();
    assert_eq!(cancel.done, 1);
}

async fn scheduled(api: &Api, realm: &Folder) {
    let list = api.request("schedules list", json!({}));
    let list = api.response("schedules list", &schedules::list(realm, &list).await.unwrap());
    assert_eq!((&list["schedules"][0]["state"], &list["all"]), (&json!("active"), &json!(1)));
    let next = json!({ "from": "2027-01-01T00:00:00Z", "number": 2, "zone": "Europe/Berlin" });
    let next = api.request("schedules next", next);
    let next = api.response("schedules next", &schedules::next(realm, &next).await.unwrap());
    assert_eq!(next["slots"][1]["slot"], "2027-01-02T00:00:00Z");
    let pause = api.request("schedules pause", json!({ "jobs": ["d*"], "by": "me", "why": "stock" }));
    let paused = api.response("schedules pause", &schedules::pause(realm, &pause).await.unwrap());
    assert_eq!(paused["entries"][0]["outcome"], "paused");
    let resume = api.request("schedules resume", json!({ "jobs": ["daily"], "dry_run": true }));
    let resumed = api.response("schedules resume", &schedules::resume(realm, &resume).await.unwrap());
    assert_eq!(resumed["entries"][0]["outcome"], "resumed");
    let run = api.request("schedules run", json!({ "job": "daily", "at": "2025-06-01T00:00:00Z" }));
    let run = api.response("schedules run", &schedules::run(realm, &run).await.unwrap());
    assert_eq!(run["job_id"], "daily");
    let down = json!({ "from": "2027-01-01T12:00:00Z", "to": "2027-01-03T12:00:00Z" });
    let down = api.request("schedules simulate", down);
    let simulated = schedules::simulate(realm, &down).await.unwrap();
    assert_eq!(api.response("schedules simulate", &simulated)["entries"][0]["job_id"], "daily");
    let export = api.request("schedules export", json!({}));
    let template = api.response("schedules export", &schedules::export(realm, &export).await.unwrap());
    assert_eq!(template["AWSTemplateFormatVersion"], "2010-09-09");
    assert_eq!(template["Resources"].as_object().map(serde_json::Map::len), Some(1));
}

async fn backfilled(api: &Api, realm: &Folder) {
    let begin = |dry_run: bool| json!({ "job": "daily", "from": "2025-05-01T00:00:00Z", "to": "2025-05-03T00:00:00Z", "by": "me", "dry_run": dry_run });
    let dry = api.request("schedules backfill", begin(true));
    let dry = api.response("schedules backfill", &schedules::begin(realm, &dry).await.unwrap());
    assert_eq!((&dry["planned"], &dry["starts"]), (&json!(3), &json!(3)));
    let begun = api.request("schedules backfill", begin(false));
    let begun = api.response("schedules backfill", &schedules::begin(realm, &begun).await.unwrap());
    assert_eq!((&begun["existing"], &begun["backfill"]["state"]), (&json!(false), &json!("active")));
    let id = &begun["backfill"]["id"];
    let list = api.request("schedules backfills list", json!({ "job": "daily" }));
    let list = schedules::list_all(realm, &list).await.unwrap();
    assert_eq!(api.response("schedules backfills list", &list)["backfills"][0]["id"], *id);
    let cancel = api.request("schedules backfills cancel", json!({ "id": id, "by": "me", "runs": true }));
    let cancelled = schedules::cancel(realm, &cancel).await.unwrap();
    let cancelled = api.response("schedules backfills cancel", &cancelled);
    assert_eq!((&cancelled["changed"], &cancelled["runs_cancelled"]), (&json!(true), &json!(1)));
    let show = api.request("schedules backfills show", json!({ "id": id }));
    let shown = schedules::show(realm, &show).await.unwrap();
    assert_eq!(api.response("schedules backfills show", &shown)["backfill"]["state"], "cancelled");
    let resume = api.request("schedules backfills resume", json!({ "id": id, "dry_run": true }));
    let resumed = schedules::resume_backfill(realm, &resume).await.unwrap();
    assert_eq!(api.response("schedules backfills resume", &resumed)["backfill"]["state"], "active");
}

async fn stated(api: &Api, realm: &Folder) {
    let put = api.request("state put", json!({ "id": "x", "value": { "n": [1, null] }, "ttl": "1h" }));
    assert_eq!(api.response("state put", &state::put(realm, put).await.unwrap())["state_id"], "x");
    let get = api.request("state get", json!({ "id": "x" }));
    assert_eq!(api.response("state get", &state::get(realm, &get).await.unwrap()), json!({ "n": [1, null] }));
    let list = api.request("state list", json!({}));
    assert_eq!(api.response("state list", &state::list(realm, list).await.unwrap())[0]["state_id"], "x");
    let delete = api.request("state delete", json!({ "ids": ["x", "y"] }));
    let deleted = api.response("state delete", &state::delete(realm, delete).await.unwrap());
    let there: Vec<&Value> = deleted["items"].as_array().unwrap().iter().map(|one| &one["deleted"]).collect();
    assert_eq!(there, [true, false]);
}

async fn connected(api: &Api, realm: &Folder) {
    let box_ = json!({ "conn_id": "box", "type": "ssh", "enabled": true, "ssh_key": "key" });
    let user = job("user", json!({ "parameters": { "connections": { "b": "box", "c": "bax" } } }));
    let specs = given(&[box_.clone(), user]);
    let checked = specs::check(realm, api.request("check", json!({ "specs": specs }))).await.unwrap();
    let checked = api.response("check", &checked);
    assert_eq!(checked["connections"], json!(["box"]));
    let warned = checked["warnings"].to_string();
    assert!(warned.contains("unknown-connection") && warned.contains("bax"), "{warned}");
    let applied = specs::apply(realm, api.request("apply", json!({ "specs": specs }))).await.unwrap();
    let applied = api.response("apply", &applied);
    assert_eq!(applied["connections"], json!([{ "conn_id": "box", "change": "added" }]));
    let set = api.request("secrets set", json!({ "name": "key", "value": "service-canary" }));
    let set = secrets::set(realm, set).await.unwrap();
    assert_eq!(api.response("secrets set", &set), json!({ "name": "key", "replaced": false }));
    let list = secrets::list(realm, &api.request("secrets list", json!({}))).await.unwrap();
    assert_eq!(api.response("secrets list", &list)[0]["name"], "key");
    let listed = connections::list(realm, &api.request("connections list", json!({}))).await.unwrap();
    assert_eq!(api.response("connections list", &listed)[0]["type"], "ssh");
    let name = json!({ "connection": "box" });
    let shown = connections::show(realm, &api.request("connections show", name.clone())).await.unwrap();
    assert_eq!(api.response("connections show", &shown), box_);
    tested(api, realm).await;
    let deleted = connections::delete(realm, &api.request("connections delete", name.clone())).await.unwrap();
    let wanted = json!({ "conn_id": "box", "users": ["user"] });
    assert_eq!(api.response("connections delete", &deleted), wanted);
    let gone = connections::show(realm, &serde_json::from_value(name).unwrap()).await.unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NotFound);
    let name = json!({ "name": "key" });
    let deleted = secrets::delete(realm, &api.request("secrets delete", name.clone())).await.unwrap();
    assert_eq!(api.response("secrets delete", &deleted), name);
}

async fn tested(api: &Api, realm: &Folder) {
    for (request, wanted) in [
        (json!({ "connection": "box" }), json!(["ssh", true, "ssh None", null])),
        (
            json!({ "connection": "box", "target": "h", "send": true }),
            json!(["ssh", false, "ssh Some(\"h\")", "cannot send"]),
        ),
    ] {
        let tested = connections::test(realm, &api.request("connections test", request)).await.unwrap();
        let tested = api.response("connections test", &tested);
        let outcome = json!([tested["type"], tested["works"], tested["tried"], tested["failure"]]);
        assert_eq!(outcome, wanted);
        assert!(tested["duration_ms"].is_u64(), "{tested}");
    }
    let off = given(&[json!({ "conn_id": "off", "type": "slack", "webhook_url": "/none" })]);
    specs::apply(realm, api.request("apply", json!({ "specs": off }))).await.unwrap();
    let tested =
        connections::test(realm, &api.request("connections test", json!({ "connection": "off" }))).await;
    let tested = tested.unwrap();
    assert_eq!((tested.works, tested.r#type.as_str()), (false, "slack"));
    assert_eq!(tested.failure.as_deref(), Some("connection \"off\" is not enabled"));
    let gone = serde_json::from_value(json!({ "connection": "bx" })).unwrap();
    let error = connections::test(realm, &gone).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.message()),
        (ErrorKind::NotFound, "no such connection bx (did you mean \"box\"?)")
    );
    let off = api.request("connections delete", json!({ "connection": "off" }));
    connections::delete(realm, &off).await.unwrap();
}

async fn triggered(api: &Api, realm: &Folder) {
    let trigger = json!({ "trigger_id": "t", "bucket": "in", "prefix": "*", "job_id": "once", "enabled": true,
        "if_fnmatch": "*.csv", "delay": "1m", "globals": { "key": "{{ key }}" } });
    let request = api.request("apply", json!({ "specs": given(&[trigger]) }));
    let applied = api.response("apply", &specs::apply(realm, request).await.unwrap());
    assert_eq!(applied["triggers"], json!([{ "trigger_id": "t", "change": "added" }]));
    let list = api.request("triggers list", json!({ "pattern": "*", "bucket": "in" }));
    let list = api.response("triggers list", &triggers::list(realm, &list).await.unwrap());
    assert_eq!(list[0]["trigger_id"], "t");
    let show = api.request("triggers show", json!({ "trigger": "t" }));
    assert_eq!(api.response("triggers show", &triggers::show(realm, &show).await.unwrap())["delay"], "1m");
    for (key, fits) in [("a.csv", true), ("a.txt", false)] {
        let test = api.request("triggers test", json!({ "bucket": "in", "key": key, "size": 5 }));
        let tested = api.response("triggers test", &triggers::test(realm, &test).await.unwrap());
        assert_eq!(tested["triggers"][0]["fits"], fits, "{tested}");
    }
    let delete = api.request("triggers delete", json!({ "triggers": ["t", "u"] }));
    let deleted = api.response("triggers delete", &triggers::delete(realm, &delete).await.unwrap());
    let there: Vec<&Value> =
        deleted["triggers"].as_array().unwrap().iter().map(|one| &one["deleted"]).collect();
    assert_eq!(there, [true, false]);
}

async fn kept(api: &Api, realm: &Folder) {
    let folder = tempfile::tempdir().unwrap();
    let (file, copy) = (folder.path().join("a.sh"), folder.path().join("copy.sh"));
    std::fs::write(&file, "#!/bin/sh\necho a\n").unwrap();
    let put = api.request("payloads put", json!({ "files": [{ "key": "demo/a.sh", "path": file }] }));
    let put = api.response("payloads put", &payloads::put(realm, &put).await.unwrap());
    let wanted = json!([{ "key": "demo/a.sh", "size": 17, "replaced": false }]);
    assert_eq!(put["payloads"], wanted);
    let list = api.request("payloads list", json!({ "prefix": "demo/" }));
    let list = api.response("payloads list", &payloads::list(realm, &list).await.unwrap());
    assert_eq!(list["payloads"][0]["key"], "demo/a.sh");
    let get = api.request("payloads get", json!({ "key": "demo/a.sh", "path": copy }));
    let got = api.response("payloads get", &payloads::get(realm, &get).await.unwrap());
    assert_eq!((&got["size"], std::fs::read(&copy).unwrap().len()), (&json!(17), 17));
}

/// Each operation that may change the realm has left an entry in the audit.
async fn audited(api: &Api, realm: &Folder) {
    // Only tried so far.
    let resume = json!({ "jobs": ["daily"] });
    schedules::resume(realm, &api.request("schedules resume", resume)).await.unwrap();
    let backfills = schedules::list_all(realm, &serde_json::from_value(json!({})).unwrap()).await.unwrap();
    let resume = json!({ "id": backfills.backfills[0].id });
    schedules::resume_backfill(realm, &api.request("schedules backfills resume", resume)).await.unwrap();
    // Nothing was set aside here: both are refused, and leave their entries all the same.
    let none: dead::ActOnDead = serde_json::from_value(json!({ "letters": ["none"] })).unwrap();
    dead::redrive(realm, &none).await.unwrap_err();
    dead::discard(realm, &dead::DropDead { of: none, yes: true }).await.unwrap_err();
    let list = json!({ "limit": 1000, "details": true, "where": "who:tester from:program since:1h" });
    let listed = audit::list(realm, &api.request("audit list", list)).await.unwrap();
    let listed = api.response("audit list", &listed);
    let entries = listed["entries"].as_array().unwrap();
    let acts: BTreeSet<&str> = entries.iter().map(|one| one["act"].as_str().unwrap()).collect();
    let all = operations();
    let writes = all.iter().filter(|one| one.access.changes()).map(|one| one.command);
    assert_eq!(acts, writes.collect(), "an act leaves no entry, or something else does");
    for entry in entries {
        let is_over = entry["outcome"] == "done" || entry["outcome"] == "refused";
        assert!(is_over && entry["ended"].is_string(), "{entry}");
        assert!(!entry.to_string().contains("service-canary"), "{entry}");
        assert_ne!(entry["asked"]["dry_run"], true, "{entry}");
    }
    let show = json!({ "entry": entries[0]["id"] });
    let shown = audit::show(realm, &api.request("audit show", show)).await.unwrap();
    assert_eq!(api.response("audit show", &shown), entries[0]);
    let changed =
        json!({ "of": { "kind": "connection", "name": "off" }, "field": "type", "before": "slack" });
    let deleted = entries.iter().filter(|one| one["act"] == "connections delete");
    let mut changes = deleted.flat_map(|one| one["changes"].as_array().unwrap());
    assert!(changes.any(|one| *one == changed), "{changed}");
}

async fn exported(api: &Api, realm: &Folder) {
    let export = json!({ "where": "job:once,daily", "limit": 1 });
    let mut export: runs::ExportRuns = api.request("runs export", export);
    let mut found = Vec::new();
    loop {
        let page = runs::export(realm, &export).await.unwrap();
        api.response("runs export", &page);
        found.extend(page.runs.into_iter().map(|run| run.run_key));
        export.cursor = page.next;
        if export.cursor.is_none() {
            break;
        }
    }
    let listed = json!({ "where": "job:once,daily", "order": "oldest", "limit": 1000 });
    let listed = runs::list(realm, &api.request("runs list", listed)).await.unwrap();
    assert_eq!(found, listed.runs.into_iter().map(|run| run.run_key).collect::<Vec<_>>());
    let refused = runs::export(realm, &runs::ExportRuns { limit: 0, ..runs::ExportRuns::default() }).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn operations_answer_json_by_their_schemas() {
    // A server spawns them: their futures must be `Send`.
    tokio::spawn(every_operation()).await.unwrap();
}

async fn every_operation() {
    let (api, realm) = (Api::default(), Folder::new().await);
    applied(&api, &realm).await;
    planned(&api, &realm).await;
    jobs(&api, &realm).await;
    dispatched(&api, &realm).await;
    operating::failures_by_cause(&api).await;
    operating::dead_letters(&api).await;
    operating::doctor_stats_and_metrics(&api, &realm).await;
    scheduled(&api, &realm).await;
    backfilled(&api, &realm).await;
    stated(&api, &realm).await;
    connected(&api, &realm).await;
    triggered(&api, &realm).await;
    kept(&api, &realm).await;
    exported(&api, &realm).await;
    let delete = api.request("jobs delete", json!({ "jobs": ["once", "none"] }));
    let deleted = api.response("jobs delete", &specs::delete(&realm, &delete).await.unwrap());
    assert_eq!(deleted["jobs"][1], json!({ "job_id": "none", "deleted": false }));
    assert_eq!(deleted["users"][0], json!({ "job_id": "chain", "names": ["once"] }));
    audited(&api, &realm).await;
    let all: BTreeSet<String> = operations().iter().map(|one| one.command.to_owned()).collect();
    assert_eq!(*api.seen.lock().unwrap(), all, "an operation is not tried here");
}

#[tokio::test]
async fn refusal_tells_its_kind() {
    let realm = Folder::new().await;
    let documents: Documents = serde_json::from_value(given(&[job("a", json!({ "payloat": 1 }))])).unwrap();
    let apply = specs::Apply { specs: documents, ..specs::Apply::default() };
    let refused = specs::apply(&realm, apply).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid, "{refused}");
    // Documents of no file are not said to be in one.
    assert!(refused.message().starts_with("1 problem\n  payloat: "), "{refused}");
    let fine: Documents = serde_json::from_value(given(&[job("a", json!({}))])).unwrap();
    specs::apply(&realm, specs::Apply { specs: fine, ..specs::Apply::default() }).await.unwrap();
    let kinds = [
        specs::show(&realm, &serde_json::from_value(json!({ "job": "b" })).unwrap()).await.unwrap_err(),
        runs::find(&realm, "latest").await.unwrap_err(),
        runs::find(&realm, "0190f3c2").await.unwrap_err(),
        state::get(&realm, &serde_json::from_value(json!({ "id": "x" })).unwrap()).await.unwrap_err(),
        schedules::show(&realm, &schedules::BackfillName { id: "b".to_owned() }).await.unwrap_err(),
        render::render(&realm, serde_json::from_value(json!({ "job": "b" })).unwrap()).await.unwrap_err(),
    ];
    for error in kinds {
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    }
}
