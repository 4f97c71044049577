//! How fast one process dispatches through a stand-in for AWS.

use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
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
pub(crate) struct DispatchRate {
    /// Prints the figures as JSON.
    #[arg(long)]
    json: bool,
}

impl DispatchRate {
    pub(crate) fn run(&self) -> ExitCode {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let Ok(runtime) = runtime else { return ExitCode::FAILURE };
        let [single, batch, targets] = runtime.block_on(measure());
        if self.json {
            println!(
                "{}",
                json!({ "dispatch_s": single, "dispatch_bulk_s": batch, "targets_100_s": targets })
            );
        } else {
            println!("dispatch_s       {single:>8.0}   one by one, a second; goal 300 (lava 3.6)");
            println!("dispatch_bulk_s  {batch:>8.0}   {BATCH} together, a second");
            println!(
                "targets_100_s    {targets:>8.2}   a dispatch job of {TARGETS} targets, seconds; goal 1 (lava 22)"
            );
        }
        ExitCode::SUCCESS
    }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

async fn measure() -> [f64; 3] {
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
    [median(single), median(batch), median(fan_out)]
}
