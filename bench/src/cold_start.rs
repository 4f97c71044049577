//! How fast the functions start, compared with lava's dispatch.

use std::process::Command;
use std::time::Instant;

use clap::Args;
use pumice_bench::report::Report;
use pumice_testing::standins::{Cloud, Emulator, archive, folder, log_job};
use serde_json::{Value, json};

/// Rounds, of which the median counts.
const ROUNDS: usize = 7;

/// Measures how fast the functions start, compared with lava.
#[derive(Args)]
pub(crate) struct ColdStart;

/// The figures of a function, with the goal of each.
const GOALS: [(&str, f64); 4] = [("answer_ms", 60.0), ("init_ms", 20.0), ("peak_mb", 40.0), ("zip_mb", 6.0)];
/// How many times faster than lava's import the first answer should come.
const TIMES_FASTER: f64 = 8.0;

impl ColdStart {
    pub(crate) fn run(report: &mut Report) -> Result<(), String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let cloud = runtime.block_on(Cloud::start(&[log_job("note")]));
        let functions =
            [("dispatcher-lambda", json!({ "job_id": "note" })), ("worker-lambda", worker_event())];
        for (function, event) in &functions {
            let measured = measure(&cloud, function, event);
            for ((figure, goal), rounds) in GOALS.into_iter().zip(measured) {
                let name = format!("{function} {figure}");
                report.add(&name, rounds);
                report.goal(&name, goal);
            }
        }
        report.add("lava_import_ms", (0..ROUNDS).map(|_| lava_ms()).collect());
        for (function, _) in &functions {
            let name = format!("{function} times_faster");
            let faster = report.median("lava_import_ms") / report.median(&format!("{function} answer_ms"));
            report.add(&name, vec![faster]);
            report.goal(&name, TIMES_FASTER);
        }
        Ok(())
    }
}

fn worker_event() -> Value {
    let body = json!({
        "realm": "test", "worker": "core", "job_id": "note", "ts_dispatch": "2026-03-01T00:00:00Z",
        "run_id": uuid::Uuid::from_u128(7),
    });
    json!({ "Records": [{
        "messageId": "1", "receiptHandle": "1", "body": body.to_string(), "eventSource": "aws:sqs",
        "attributes": { "ApproximateReceiveCount": "1" }, "messageAttributes": {},
    }] })
}

/// Starts a function again and again: from the event that starts its process to the answer.
/// Gives what the rounds measured, in the order of [`GOALS`].
fn measure(cloud: &Cloud, name: &str, event: &Value) -> [Vec<f64>; 4] {
    let (mut answers, mut inits, mut peaks) = (Vec::new(), Vec::new(), Vec::new());
    let text = event.to_string();
    for _ in 0..ROUNDS {
        let emulator = Emulator::start(cloud, name);
        let began = Instant::now();
        let answer = emulator.invoke(&text);
        answers.push(began.elapsed().as_secs_f64() * 1_000.0);
        assert!(answer.get("errorMessage").is_none(), "{answer}");
        peaks.push(emulator.peak_kb().map_or(f64::NAN, |kb| kb as f64 / 1_024.0));
        inits.push(init_ms(&emulator.log()));
    }
    let zip_mb = archive(name).len() as f64 / 1e6;
    [answers, inits, peaks, vec![zip_mb]]
}

/// The emulator's report of the time until the function asked for its first event.
fn init_ms(log: &str) -> f64 {
    let said = log.split("INIT REPORT(durationMs: ").nth(1).and_then(|rest| rest.split(')').next());
    said.and_then(|text| text.parse().ok()).unwrap_or(f64::NAN)
}

/// How long Python takes to import lava's dispatch.
fn lava_ms() -> f64 {
    let began = Instant::now();
    let status = Command::new(folder().join("lava/bin/python"))
        .args(["-c", "from lava.lavacore import dispatch"])
        .status();
    assert!(status.is_ok_and(|status| status.success()), "lava is there");
    began.elapsed().as_secs_f64() * 1_000.0
}
