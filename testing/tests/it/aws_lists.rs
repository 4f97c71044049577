//! Lists of runs on AWS from tables of every age: without the index on runs that ended badly, and with records that are
//! older than the index.

use std::collections::HashMap;
use std::sync::Arc;

use aws_sdk_dynamodb::types::AttributeValue;
use chrono::{DateTime, Utc};
use pumice_aws::{Clients, Names, Objects, Store};
use pumice_core::Timestamp;
use pumice_core::duration::Span;
use pumice_core::ids::{JobId, RealmName, RunId, RunKey, WorkerName};
use pumice_core::ports::{Catalog, Change, Order, RunPage, RunQuery, RunStore};
use pumice_core::run::{NewRun, Run, Status};
use pumice_core::spec::{JobSpec, RunSpec};
use pumice_testing::standins::{Server, config, make_realm_without, mark_index};
use serde_json::{Value, json};
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

fn run(number: u32) -> Run {
    let run_id = RunId(Uuid::from_u128(u128::from(number)));
    let job = JobId::new(["load", "check"][number as usize % 2]).expect("an id");
    let about = (job, "log".to_owned(), WorkerName::new("core").expect("a name"));
    Run::dispatched(RunKey::root(run_id), run_id, about, at(number), at(number), Span::from_days(10_000))
}

fn object(value: &Value) -> serde_json::Map<String, Value> {
    value.as_object().cloned().expect("an object")
}

impl Table {
    /// A table with the indexes but one, or all.
    async fn lacking(index: &str) -> Self {
        let server = Server::ministack();
        let clients = Clients::new(&config(&server.url()).await);
        let names = Names::new("lists", RealmName::new("lists").expect("a name"));
        make_realm_without(&clients, &names, index).await;
        let objects = Objects::new(clients.s3.clone());
        let store = Store::new(clients.dynamodb.clone(), names.clone(), objects);
        store.put_realm(object(&json!({ "realm": "lists" }))).await.expect("it is put");
        let job = |id: &str| json!({ "job_id": id, "type": "log", "worker": "core", "payload": null });
        let jobs = ["load", "check"].map(|id| JobSpec::parse(&job(id)).expect("the job holds"));
        store.put_jobs(jobs.to_vec(), false).await.expect("they are put");
        Self { clients, names, store, _server: server }
    }

    /// Runs of these numbers, of which every third is under way, every third failed and the others ended well.
    async fn make(&self, numbers: std::ops::RangeInclusive<u32>) {
        for number in numbers {
            let spec = RunSpec::of_job(Arc::default());
            let mut run = run(number);
            self.store.create(&[(NewRun { run: run.clone(), spec }, None)]).await.expect("it is made");
            let status = [Status::Running, Status::Failed, Status::Complete][number as usize % 3];
            (run.status, run.rev) = (status, run.rev + 1);
            if status.is_end() {
                (run.due_at, run.ts_end) = (None, Some(at(number)));
            }
            self.store
                .commit(&Change { run, lock: None, permit: None, message: None })
                .await
                .expect("no other writer");
        }
    }

    /// Makes records those of an earlier version, which knew of no such index.
    async fn age(&self, numbers: std::ops::RangeInclusive<u32>) {
        for number in numbers {
            let update = self.clients.dynamodb.update_item().table_name(self.names.runs());
            let update = update.key("run_id", AttributeValue::S(run(number).run_id.to_string()));
            let update = update.key("path", AttributeValue::S("/".to_owned()));
            update.update_expression("REMOVE bad_end").send().await.expect("it is written");
        }
    }

    /// The item that records how far the index can be relied on.
    async fn mark(&self) -> HashMap<String, AttributeValue> {
        let key = |name: &str| AttributeValue::S(name.to_owned());
        let mark = self.clients.dynamodb.get_item().table_name(self.names.runs());
        let mark = mark.key("run_id", key("index#bad")).key("path", key("since"));
        mark.send().await.expect("it answers").item.expect("a mark")
    }

    async fn page(&self, query: &RunQuery) -> RunPage {
        self.store.page(query).await.expect("the table answers")
    }

    /// Holds lists of failed runs, and of those and the ones under way, in both orders and by pages, against the runs of
    /// these numbers.
    async fn check(&self, numbers: std::ops::RangeInclusive<u32>) {
        for (statuses, remainders) in
            [(vec![Status::Failed], &[1][..]), (vec![Status::Failed, Status::Running], &[0, 1])]
        {
            let meant = numbers.clone().filter(|number| remainders.contains(&(number % 3)));
            let mut expected: Vec<RunKey> = meant.map(|number| run(number).key).collect();
            for order in [Order::Oldest, Order::Newest] {
                for limit in [1, 3, 100] {
                    let mut query =
                        RunQuery { statuses: statuses.clone(), order, limit, ..RunQuery::default() };
                    let mut found = Vec::new();
                    loop {
                        let page = self.page(&query).await;
                        found.extend(page.runs.into_iter().map(|run| run.key));
                        query.cursor = page.next;
                        if query.cursor.is_none() {
                            break;
                        }
                    }
                    assert_eq!(found, expected, "{statuses:?} {order:?} by {limit}");
                }
                expected.reverse();
            }
        }
    }
}

fn failed() -> RunQuery {
    RunQuery { statuses: vec![Status::Failed], limit: 2, ..RunQuery::default() }
}

#[tokio::test]
async fn table_without_the_index_is_listed_by_jobs_and_says_so() {
    let table = Table::lacking("bad").await;
    table.make(1..=12).await;
    table.check(1..=12).await;
    let note = table.page(&failed()).await.note.expect("it says so");
    assert!(note.contains("does not have index bad") && note.contains("deploy the realm anew"), "{note}");
    assert_eq!(table.page(&RunQuery { limit: 2, ..RunQuery::default() }).await.note, None);
}

#[tokio::test]
async fn records_older_than_the_index_are_listed_with_those_in_it() {
    let table = Table::lacking("").await;
    table.make(1..=6).await;
    table.age(1..=6).await;
    // The first list leaves the mark, and relies on the index for what comes an hour later.
    table.check(1..=6).await;
    let key = |name: &str| AttributeValue::S(name.to_owned());
    let mark = table.clients.dynamodb.get_item().table_name(table.names.runs());
    let mark =
        mark.key("run_id", key("index#bad")).key("path", key("since")).send().await.expect("it answers");
    let since: i64 = mark.item().expect("a mark")["at"].as_n().expect("a number").parse().expect("a number");
    assert!(since > Utc::now().timestamp_micros());
    table.make(7..=12).await;
    table.check(1..=12).await;
    mark_index(&table.clients, &table.names, at(7).timestamp_micros()).await;
    table.check(1..=12).await;
    assert_eq!(table.page(&failed()).await.note, None);
    assert!(!table.mark().await.contains_key("alone"));
}

#[tokio::test]
async fn list_without_older_records_marks_so_for_the_next() {
    let table = Table::lacking("").await;
    table.make(7..=12).await;
    mark_index(&table.clients, &table.names, at(7).timestamp_micros()).await;
    for query in [
        RunQuery { job: Some("load".to_owned()), limit: 100, ..failed() },
        RunQuery { since: Some(at(5)), limit: 100, ..failed() },
        RunQuery { limit: 1, ..failed() },
    ] {
        table.page(&query).await;
        // These looked at some of the older runs, or at none.
        assert!(!table.mark().await.contains_key("alone"), "{query:?}");
    }
    table.page(&RunQuery { limit: 100, ..failed() }).await;
    assert!(table.mark().await.contains_key("alone"));
    table.check(7..=12).await;
}

#[tokio::test]
async fn list_of_failed_runs_looks_at_no_others() {
    let table = Table::lacking("").await;
    mark_index(&table.clients, &table.names, 0).await;
    table.make(1..=30).await;
    table.check(1..=30).await;
    let query = RunQuery { limit: 100, ..failed() };
    assert_eq!(table.page(&query).await.looked_at, 10);
    let of_job = RunQuery { job: Some("load".to_owned()), ..query };
    let page = table.page(&of_job).await;
    assert_eq!((page.runs.len(), page.is_cut), (5, false));
}
