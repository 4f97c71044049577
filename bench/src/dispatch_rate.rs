//! How fast one process dispatches through a stand-in for AWS.

use std::time::Instant;

use clap::Args;
use pumice_bench::report::Report;
use pumice_core::ids::JobId;
use pumice_core::request::DispatchRequest;
use pumice_core::run::Status;
use pumice_testing::standins::{Faulty, dispatch, key_of, log_job, request};
use serde_json::json;

/// Rounds, of which the median counts.
const ROUNDS: usize = 5;
/// Requests of a round that are made one by one.
const SINGLE: usize = 100;
/// Requests of a round that come together.
const BATCH: usize = 500;
/// Targets of the job that dispatches others.
const TARGETS: usize = 100;

/// Measures dispatch through a stand-in for AWS.
#[derive(Args)]
pub(crate) struct DispatchRate;

impl DispatchRate {
    pub(crate) fn run(report: &mut Report) -> Result<(), String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let measured = runtime.block_on(measure());
        for ((name, goal), rounds) in FIGURES.into_iter().zip(measured) {
            report.add(name, rounds);
            report.goal(name, goal);
        }
        Ok(())
    }
}

/// The figures with what they should reach: requests a second, made one by one and together; the seconds that a job takes
/// which dispatches [`TARGETS`] others. lava: 3.6 a second, 22 s.
const FIGURES: [(&str, f64); 3] = [("dispatch_s", 300.0), ("dispatch_bulk_s", 300.0), ("targets_100_s", 1.0)];

/// The figures of the rounds, in the order of [`FIGURES`].
async fn measure() -> [Vec<f64>; 3] {
    let targets: Vec<String> = (0..TARGETS).map(|number| format!("target/{number}")).collect();
    let mut jobs: Vec<_> = targets.iter().map(|id| log_job(id)).collect();
    jobs.push(
        json!({ "job_id": "all", "type": "dispatch", "worker": "core", "enabled": true, "payload": targets }),
    );
    let (mut single, mut batch, mut fan_out) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        // No proxy: it would be measured too.
        let realm = Faulty::start(&jobs).await;
        let site = realm.site(&realm.direct()).await;
        let dispatcher = realm.dispatcher_at(site.clone());
        let began = Instant::now();
        for _ in 0..SINGLE {
            dispatch(&dispatcher, request("target/0")).await.expect("it is taken");
        }
        single.push(SINGLE as f64 / began.elapsed().as_secs_f64());
        let requests = (0..BATCH).map(|number| {
            DispatchRequest::new(JobId::new(format!("target/{}", number % TARGETS)).expect("an id"))
        });
        let began = Instant::now();
        let outcomes = dispatcher.dispatch(requests.collect(), None).await;
        batch.push(BATCH as f64 / began.elapsed().as_secs_f64());
        assert!(outcomes.iter().all(Result::is_ok), "all are taken");

        let realm = Faulty::start(&jobs).await;
        let site = realm.site(&realm.direct()).await;
        let run = dispatch(&realm.dispatcher_at(site.clone()), request("all")).await.expect("it is taken");
        let (engine, body) = (realm.engine_at(site), realm.message().await);
        let began = Instant::now();
        engine.handle(&body, 1, None).await;
        fan_out.push(began.elapsed().as_secs_f64());
        let run = realm.load(&key_of(&run)).await.expect("it is there");
        assert_eq!(run.status, Status::Complete);
    }
    [single, batch, fan_out]
}
