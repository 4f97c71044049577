//! Lists of requests, prepared batch by batch next to the one that takes them.

use pumice_core::ids::JobId;
use pumice_core::problem::{JsonPath, Problem, SpecError};
use pumice_core::request::{BadRequest, DispatchRequest};
use pumice_service::dispatch::{Batch, Batches, Giver, Intake, IntakeCounts, Placed, Repeats, batches};
use pumice_service::{Realm as _, specs};
use pumice_testing::folder::Folder;
use serde_json::json;

use crate::job;

async fn realm() -> Folder {
    let realm = Folder::new().await;
    let apply =
        serde_json::from_value(json!({ "specs": { "documents": [{ "document": job("a", json!({})) }] } }))
            .unwrap();
    specs::apply(&realm, apply).await.unwrap();
    realm
}

/// Every third request names a job that is not there, and every seventh cannot be read.
fn requests(count: usize) -> Vec<Placed> {
    let one = |number: usize| {
        let place = format!("line {number}");
        if number.is_multiple_of(7) {
            let error = SpecError::one(Problem::new(JsonPath::root(), "no request"));
            return Err(BadRequest { place, error });
        }
        let id = if number.is_multiple_of(3) { "nowhere" } else { "a" };
        Ok((place, DispatchRequest::new(JobId::new(id).unwrap())))
    };
    (1..=count).map(one).collect()
}

/// Gives requests in batches of a size, and an error behind them.
async fn give(giver: Giver, requests: Vec<Placed>, size: usize) {
    let mut requests = requests.into_iter().peekable();
    while requests.peek().is_some() {
        giver.send(Ok(requests.by_ref().take(size).collect())).await.unwrap();
    }
    giver.send(Err(pumice_service::Error::invalid("it was cut off"))).await.unwrap();
}

async fn taken(realm: &Folder, of: Batches) -> (Vec<Batch>, IntakeCounts, String) {
    let (mut intake, preparer) = Intake::new(realm, Repeats::Listed("night".to_owned())).await.unwrap();
    let mut prepared = preparer.ahead(of);
    let mut done = Vec::new();
    loop {
        match prepared.recv().await.expect("an error is the last") {
            Ok(batch) => done.push(intake.take(batch).await),
            Err(error) => return (done, intake.counts(), error.to_string()),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn list_given_in_other_batches_makes_the_same_runs_once() {
    let realm = realm().await;
    let mut first = None;
    for size in [7, 40, 1] {
        let (giver, of) = batches();
        let (_, (done, counts, error)) = tokio::join!(give(giver, requests(100), size), taken(&realm, of));
        assert_eq!(error, "it was cut off");
        assert_eq!(done.len(), 100_usize.div_ceil(size));
        let runs: Vec<_> =
            done.iter().flat_map(|batch| &batch.outcomes.accepted).map(|one| one.run_id).collect();
        let mut refused: Vec<String> =
            done.iter().flat_map(|batch| &batch.outcomes.refused).map(|one| one.request.clone()).collect();
        refused.sort_by_key(|place| place["line ".len()..].parse::<u32>().unwrap());
        let wanted: Vec<String> =
            (1..=100).filter(|n| n % 3 == 0 || n % 7 == 0).map(|n| format!("line {n}")).collect();
        assert_eq!(refused, wanted);
        let is_first = first.is_none();
        assert_eq!(*first.get_or_insert_with(|| runs.clone()), runs, "in batches of {size}");
        let (taken, existing) = if is_first { (runs.len(), 0) } else { (0, runs.len()) };
        assert_eq!(counts, IntakeCounts { taken, existing, refused: wanted.len() });
    }
    // They stand in the store in the order of the list.
    let query = pumice_core::ports::RunQuery {
        order: pumice_core::ports::Order::Oldest,
        limit: 100,
        ..Default::default()
    };
    let stored = realm.runs().page(&query).await.unwrap().runs;
    let stored: Vec<_> = stored.iter().map(|run| run.run_id).collect();
    assert_eq!(Some(stored), first);
}
