//! Hosts of workers: their records, and the runs that are for one of them.
#![expect(missing_docs, reason = "a case's name says what it is about")]

use std::sync::Arc;

use pumice_core::hosts::Host;
use pumice_core::ids::{HostId, RunKey};
use pumice_core::ports::HostStore;
use pumice_core::run::{Duties, Run, Status};
use uuid::Uuid;

use super::{Adapters, at, run_of, worker};

fn hosts(on: &Adapters) -> Arc<dyn HostStore> {
    on.hosts.clone().expect("the adapters keep hosts")
}

fn host(number: u128) -> Host {
    // The record expires by the clock of the store.
    let now = chrono::Utc::now();
    let micros = chrono::DateTime::from_timestamp_micros(now.timestamp_micros()).expect("an instant");
    Host::new(worker("core"), "box.example", Uuid::from_u128(number), micros)
}

async fn runs_for(on: &Adapters, id: &HostId) -> Vec<RunKey> {
    hosts(on).runs_for(id).await.expect("the store answers")
}

pub async fn host_put_is_read_as_it_was_written(on: &Adapters) {
    let store = hosts(on);
    let one = host(1);
    let read = async || store.host(&one.worker, &one.id).await.expect("the store answers");
    assert_eq!(read().await, None);
    store.put_host(&one).await.expect("it is written");
    assert_eq!(read().await, Some(one.clone()));
    let ended = Host { seen: one.seen + chrono::TimeDelta::seconds(9), ended: Some(one.seen), ..one.clone() };
    store.put_host(&ended).await.expect("it is written");
    assert_eq!(read().await, Some(ended));
    let elsewhere = store.host(&worker("other"), &one.id).await.expect("the store answers");
    assert_eq!(elsewhere, None, "another worker has no such host");
}

pub async fn hosts_are_those_of_the_worker(on: &Adapters) {
    let store = hosts(on);
    let (one, two) = (host(1), host(2));
    let other = Host { worker: worker("other"), ..host(3) };
    for host in [&one, &two, &other] {
        store.put_host(host).await.expect("it is written");
    }
    let mut found = store.hosts(&worker("core")).await.expect("the store answers");
    found.sort_by(|a, b| a.id.cmp(&b.id));
    assert_eq!(found, [one, two]);
    assert_eq!(store.hosts(&worker("other")).await.expect("the store answers"), [other]);
    assert_eq!(store.hosts(&worker("nobody")).await.expect("the store answers"), []);
}

pub async fn runs_for_a_host_are_found_until_they_end(on: &Adapters) {
    let (mine, theirs) = (host(1).id, host(2).id);
    let of = |number: u32, host: &HostId| Run { host: Some(host.clone()), ..run_of(number, "report") };
    let (one, two, other, any) = (of(1, &mine), of(2, &mine), of(3, &theirs), run_of(4, "report"));
    on.make([one.clone(), two.clone(), other.clone(), any]).await;
    assert_eq!(runs_for(on, &mine).await, [one.key.clone(), two.key.clone()]);
    assert_eq!(runs_for(on, &theirs).await, std::slice::from_ref(&other.key));
    assert_eq!(on.get(&one.key).await.host, Some(mine.clone()), "the record names its host");
    on.change(&one.key, |run| run.status = Status::Running).await;
    assert_eq!(runs_for(on, &mine).await.len(), 2, "it has not ended");
    let duties = Duties { actions: None, done: 0, wake_parent: false };
    on.change(&one.key, |run| {
        (run.status, run.ts_end, run.duties) = (Status::Complete, Some(at(9)), Some(duties));
    })
    .await;
    assert_eq!(runs_for(on, &mine).await, [two.key], "any worker may take the rest");
    assert_eq!(on.get(&one.key).await.host, Some(mine));
}
