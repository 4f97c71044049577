//! Runs in parts of the indexes `job` and `origin`: which are, and that readers find them all, in order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aws_sdk_dynamodb::types::AttributeValue;
use chrono::DateTime;
use pumice_aws::{Clients, Names, Objects, Store};
use pumice_core::Timestamp;
use pumice_core::duration::Span;
use pumice_core::filter::Filter;
use pumice_core::ids::{JobId, RealmName, RunId, RunKey, WorkerName};
use pumice_core::ports::{Catalog, Change, Order, RunQuery, RunStore};
use pumice_core::run::{NewRun, Run, Status};
use pumice_core::spec::{JobSpec, RunSpec};
use pumice_testing::standins::{
    Fault, Faulty, Server, config, dispatch, key_of, log_job, make_realm, request, use_parts,
};
use serde_json::json;
use uuid::Uuid;

struct Table {
    clients: Clients,
    names: Names,
    store: Store,
    _server: Server,
}

fn at(seconds: u32) -> Timestamp {
    DateTime::from_timestamp(1_767_225_600 + i64::from(seconds), 0).expect("an instant")
}

fn run(number: u32, job: &str) -> Run {
    let run_id = RunId(Uuid::from_u128((u128::from(number) << 96) | u128::from(number % 251)));
    let about = (JobId::new(job).expect("an id"), "log".to_owned(), WorkerName::new("core").expect("a name"));
    Run::dispatched(RunKey::root(run_id), run_id, about, at(number), at(number), Span::from_days(10_000))
}

fn new(run: Run) -> (NewRun, Option<pumice_core::ports::Outgoing>) {
    (NewRun { run, spec: RunSpec::of_job(Arc::default()) }, None)
}

impl Table {
    async fn start() -> Self {
        let server = Server::ministack();
        let clients = Clients::new(&config(&server.url()).await);
        let names = Names::new("parts", RealmName::new("parts").expect("a name"));
        make_realm(&clients, &names).await;
        let objects = Objects::new(clients.s3.clone());
        let store = Store::new(clients.dynamodb.clone(), names.clone(), objects);
        let realm = json!({ "realm": "parts" }).as_object().cloned().expect("an object");
        store.put_realm(realm).await.expect("it is put");
        let job = |id: &str| json!({ "job_id": id, "type": "log", "worker": "core", "payload": null });
        let jobs = ["load", "check"].map(|id| JobSpec::parse(&job(id)).expect("the job holds"));
        store.put_jobs(jobs.to_vec(), false).await.expect("they are put");
        Self { clients, names, store, _server: server }
    }

    /// Makes runs of a job at once.
    async fn make(&self, numbers: impl Iterator<Item = u32>, job: &str) -> Vec<Run> {
        let runs: Vec<Run> = numbers.map(|number| run(number, job)).collect();
        let made = self.store.create(&runs.iter().cloned().map(new).collect::<Vec<_>>()).await;
        assert!(made.expect("they are made").iter().all(|created| created.failed.is_none()));
        runs
    }

    /// How many items stand under each key of an index.
    async fn keys(&self, attribute: &str) -> BTreeMap<String, usize> {
        let scan = self.clients.dynamodb.scan().table_name(self.names.runs()).into_paginator().items().send();
        let items = scan.collect::<Result<Vec<_>, _>>().await.expect("it reads");
        let mut counts = BTreeMap::new();
        for key in items.iter().filter_map(|item| item.get(attribute)?.as_s().ok()) {
            *counts.entry(key.clone()).or_default() += 1;
        }
        counts
    }

    /// The runs of a query, page by page.
    async fn follow(&self, query: &RunQuery) -> Vec<RunKey> {
        let (mut query, mut found) = (query.clone(), Vec::new());
        loop {
            let page = self.store.page(&query).await.expect("it answers");
            found.extend(page.runs.into_iter().map(|run| run.key));
            query.cursor = page.next;
            if query.cursor.is_none() {
                return found;
            }
        }
    }

    async fn put(&self, mut run: Run, status: Status) -> Run {
        (run.status, run.rev) = (status, run.rev + 1);
        if status.is_end() {
            (run.due_at, run.ts_end) = (None, Some(run.ts_dispatch));
        }
        let change = Change { run: run.clone(), lock: None, permit: None, message: None };
        self.store.commit(&change).await.expect("no other writes");
        run
    }
}

fn of(filter: &str) -> RunQuery {
    RunQuery::of(Filter::parse(filter).expect("a filter"), at(9_999), chrono_tz::UTC).expect("it may hold")
}

#[tokio::test]
async fn many_runs_at_once_stand_in_parts_and_are_listed_in_order() {
    let table = Table::start().await;
    use_parts(&table.clients, &table.names).await;
    let mut all = table.make(1..=20, "load").await;
    all.extend(table.make(840..=860, "check").await);
    assert_eq!(
        table.keys("job_id").await,
        BTreeMap::from([("check".to_owned(), 21), ("load".to_owned(), 20)])
    );
    // Two batches of many, interleaved in time, and a small one after them.
    all.extend(table.make((100..=800).step_by(2), "load").await);
    all.extend(table.make((101..=801).step_by(2), "load").await);
    all.extend(table.make(900..=910, "load").await);
    let keys = table.keys("job_id").await;
    assert_eq!((keys.len(), keys["load"], keys["check"]), (10, 20, 21), "eight parts: {keys:?}");
    assert!(keys.values().all(|count| *count >= 20), "evenly: {keys:?}");
    let mut failed = BTreeSet::new();
    for place in (0..all.len()).step_by(9) {
        let status = if place % 2 == 0 { Status::Failed } else { Status::Complete };
        all[place] = table.put(all[place].clone(), status).await;
        failed.extend(Some(all[place].key.clone()).filter(|_| status == Status::Failed));
    }
    assert_eq!(table.keys("job_id").await, keys, "they stay where they are");
    for stored in [&all[0], &all[300], &all[700]] {
        assert_eq!(table.store.load(&stored.key).await.expect("it reads").as_ref(), Some(stored));
    }
    all.sort_by_key(|run| run.ts_dispatch);
    let job = |id: &str| RunQuery { job: Some(id.to_owned()), ..RunQuery::default() };
    let between = RunQuery { since: Some(at(150)), until: Some(at(707)), ..job("load") };
    let is_load = |run: &Run| run.job_id.as_str() == "load";
    type Meant<'a> = Box<dyn Fn(&Run) -> bool + 'a>;
    let queries: [(RunQuery, Meant<'_>); 7] = [
        (job("load"), Box::new(is_load)),
        (job("check"), Box::new(|run| !is_load(run))),
        (RunQuery::default(), Box::new(|_| true)),
        (between, Box::new(|run| is_load(run) && run.ts_dispatch >= at(150) && run.ts_dispatch < at(707))),
        (of("job:lo* status:complete"), Box::new(|run| is_load(run) && run.status == Status::Complete)),
        (of("status:failed"), Box::new(|run| failed.contains(&run.key))),
        (of("job:load status:failed"), Box::new(|run| is_load(run) && failed.contains(&run.key))),
    ];
    for (query, is_meant) in queries {
        let mut expected: Vec<RunKey> =
            all.iter().filter(|run| is_meant(run)).map(|run| run.key.clone()).collect();
        for order in [Order::Oldest, Order::Newest] {
            for limit in [23, 1_000] {
                let query = RunQuery { order, limit, ..query.clone() };
                assert_eq!(table.follow(&query).await, expected, "{query:?}");
            }
            expected.reverse();
        }
    }
    let key = &all[333].key;
    let found = table.store.beginning(&key.as_str()[..8], 5).await.expect("it answers");
    assert_eq!(found.keys, std::slice::from_ref(key));
}

#[tokio::test]
async fn children_in_great_numbers_are_found_in_the_tree() {
    let table = Table::start().await;
    use_parts(&table.clients, &table.names).await;
    let root = table.make(1..=1, "load").await.remove(0);
    let by_root = |number: u32| Run { dispatched_by: Some(root.key.clone()), ..run(number, "check") };
    let mut wanted = vec![root.key.clone()];
    for numbers in [10..=19, 1_000..=1_299, 20..=29] {
        let runs: Vec<Run> = numbers.map(by_root).collect();
        wanted.extend(runs.iter().map(|run| run.key.clone()));
        table.store.create(&runs.into_iter().map(new).collect::<Vec<_>>()).await.expect("they are made");
    }
    let keys = table.keys("dispatched_by").await;
    assert_eq!((keys.len(), keys[root.key.as_str()]), (9, 20), "{keys:?}");
    // Later writes of the run take nothing of that away.
    table.put(root.clone(), Status::Complete).await;
    let query = RunQuery { tree_of: Some(root.key.clone()), ..RunQuery::default() };
    let page = table.store.page(&query).await.expect("it answers");
    let found: Vec<RunKey> = page.runs.iter().map(|run| run.key.clone()).collect();
    wanted.sort_by_key(|key| key.as_str()[..8].to_owned());
    assert_eq!(found, wanted);
    assert!(page.runs[1..].iter().all(|run| run.dispatched_by.as_ref() == Some(&root.key)));
}

#[tokio::test]
async fn parts_are_used_a_day_after_they_were_wanted_first() {
    let table = Table::start().await;
    table.make(1..=300, "load").await;
    assert_eq!(table.keys("job_id").await, BTreeMap::from([("load".to_owned(), 300)]));
    let mark = table.clients.dynamodb.get_item().table_name(table.names.runs());
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let mark = mark.key("run_id", text("index#job")).key("path", text("parts"));
    let mark = mark.send().await.expect("it answers").item.expect("a mark");
    let since: i64 = mark["at"].as_n().expect("a number").parse().expect("a number");
    let ahead = since - chrono::Utc::now().timestamp_micros();
    assert!((86_300_000_000..=86_400_000_000).contains(&ahead), "{ahead}");
    let load = RunQuery { job: Some("load".to_owned()), limit: 1_000, ..RunQuery::default() };
    assert_eq!(table.follow(&load).await.len(), 300);
    use_parts(&table.clients, &table.names).await;
    table.make(301..=600, "load").await;
    assert_eq!(table.keys("job_id").await.len(), 9);
    assert_eq!(table.follow(&load).await.len(), 600);
}

#[tokio::test]
async fn job_whose_key_is_written_too_fast_gets_parts() {
    let realm = Faulty::start(&[log_job("note"), log_job("other")]).await;
    use_parts(&realm.cloud.clients, realm.cloud.names()).await;
    let dispatcher = realm.dispatcher().await;
    let mut keys = vec![dispatch(&dispatcher, request("note")).await.expect("it is taken")];
    realm.proxy.calls();
    // As often as the client tries.
    realm.proxy.fail("PutItem", Fault::HotKey, 4);
    keys.push(dispatch(&dispatcher, request("note")).await.expect("it is taken"));
    let calls = realm.proxy.calls();
    assert_eq!((calls["PutItem"], calls["UpdateItem"]), (5, 1), "{calls:?}");
    for _ in 0..3 {
        keys.push(dispatch(&dispatcher, request("note")).await.expect("it is taken"));
    }
    dispatch(&dispatcher, request("other")).await.expect("it is taken");
    let calls = realm.proxy.calls();
    assert_eq!((calls["PutItem"], calls.get("UpdateItem")), (4, None), "{calls:?}");
    let store = realm.cloud.realm.store();
    let query =
        RunQuery { job: Some("note".to_owned()), order: Order::Oldest, limit: 50, ..RunQuery::default() };
    let found: Vec<RunKey> =
        store.page(&query).await.expect("it answers").runs.into_iter().map(|run| run.key).collect();
    assert_eq!(found, keys.iter().map(key_of).collect::<Vec<_>>());
    let engine = realm.engine().await;
    for key in &found {
        assert_eq!(realm.work(&engine, key).await.run.status, Status::Complete);
    }
    let of_job = |key: &RunKey| {
        let item = realm.cloud.clients.dynamodb.get_item().table_name(realm.cloud.names().runs());
        let item = item.key("run_id", AttributeValue::S(key.to_string()));
        item.key("path", AttributeValue::S("/".to_owned())).send()
    };
    let mut parts = 0;
    for key in &found {
        let item = of_job(key).await.expect("it answers").item.expect("it is there");
        parts += usize::from(item["job_id"].as_s().expect("a text") != "note");
    }
    assert_eq!(parts, 4, "all but the first");
}
