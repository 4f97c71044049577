//! How fast the functions start, beside lava's dispatch.

use std::process::{Command, ExitCode};
use std::time::Instant;

use clap::Args;
use pumice_testing::standins::{Cloud, Emulator, archive, folder, log_job};
use serde_json::{Value, json};

/// Rounds, of which the median counts.
const ROUNDS: usize = 7;

/// Measures how fast the functions start, beside lava.
#[derive(Args)]
pub(crate) struct ColdStart {
    /// Prints the figures as JSON.
    #[arg(long)]
    json: bool,
}

/// What was measured of one function.
struct Figures {
    name: &'static str,
    answer_ms: f64,
    init_ms: f64,
    peak_mb: f64,
    zip_mb: f64,
}

impl ColdStart {
    pub(crate) fn run(&self) -> ExitCode {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let Ok(runtime) = runtime else { return ExitCode::FAILURE };
        let cloud = runtime.block_on(Cloud::start(&[log_job("note")]));
        let functions = [
            measure(&cloud, "dispatcher-lambda", &json!({ "job_id": "note" })),
            measure(&cloud, "worker-lambda", &worker_event()),
        ];
        let lava = median((0..ROUNDS).map(|_| lava_ms()).collect());
        if self.json {
            let told = functions.iter().map(|f| {
                json!({ "function": f.name, "answer_ms": f.answer_ms, "init_ms": f.init_ms, "peak_mb": f.peak_mb, "zip_mb": f.zip_mb, "times_faster": lava / f.answer_ms })
            });
            println!("{}", json!({ "lava_import_ms": lava, "functions": told.collect::<Vec<_>>() }));
            return ExitCode::SUCCESS;
        }
        println!(
            "{:<18} {:>10} {:>9} {:>8} {:>7} {:>13}",
            "", "answer_ms", "init_ms", "peak_mb", "zip_mb", "times_faster"
        );
        for f in &functions {
            let faster = lava / f.answer_ms;
            println!(
                "{:<18} {:>10.1} {:>9.1} {:>8.1} {:>7.2} {:>13.1}",
                f.name, f.answer_ms, f.init_ms, f.peak_mb, f.zip_mb, faster
            );
        }
        println!("{:<18} {:>10} {:>9} {:>8} {:>7} {:>13}", "goal", "60", "20", "40", "6", "8");
        println!("{:<18} {lava:>10.1}", "lava's import");
        ExitCode::SUCCESS
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
fn measure(cloud: &Cloud, name: &'static str, event: &Value) -> Figures {
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
    Figures { name, answer_ms: median(answers), init_ms: median(inits), peak_mb: median(peaks), zip_mb }
}

/// What the emulator says of the time until the function asked for its first event.
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

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
