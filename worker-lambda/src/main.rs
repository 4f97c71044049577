//! The worker's process on AWS Lambda.

use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use lambda_runtime::{Diagnostic, Error, LambdaEvent, service_fn};
use pumice_aws::function::{Environment, Function, start_log};
use pumice_core::Timestamp;
use pumice_core::engine::Engine;
use pumice_core::ports::{Databases, Servers};
use pumice_host::processes::{SUBREAPER, run_subreaper};
use serde_json::Value;
use tokio::sync::Mutex;

fn main() -> Result<ExitCode, Error> {
    if std::env::args_os().nth(1).is_some_and(|first| first == SUBREAPER) {
        return Ok(ExitCode::from(run_subreaper()));
    }
    run().map(|()| ExitCode::SUCCESS)
}

#[tokio::main(flavor = "current_thread")]
async fn run() -> Result<(), Error> {
    let variable = |name: &str| std::env::var(name).ok();
    start_log(&variable);
    // Boxed: the compiler has a limit to how deep futures may stand within one another.
    let working: Pin<Box<dyn Future<Output = Result<(), Error>> + '_>> = Box::pin(work(&variable));
    working.await.inspect_err(|error| tracing::error!(%error, "the function cannot work"))
}

/// Answers invocations for as long as Lambda keeps the process.
async fn work(variable: &dyn Fn(&str) -> Option<String>) -> Result<(), Error> {
    let environment = Environment::read(variable)?;
    let worker = Environment::worker(variable)?;
    let servers = Servers { mail: Arc::new(pumice_host::Smtp::default()), databases: databases() };
    let web = Arc::new(pumice_host::Web::default());
    let function = Function::connect_with_outside(&environment, web, servers, variable).await?;
    function.prepare_for_commands()?;
    let runners = Arc::new(pumice_job_runners::runners()?);
    // One for as long as the realm's settings stand: it remembers which specs it has checked.
    let known: Mutex<Option<Engine>> = Mutex::new(None);
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Value>| {
        let next = worker_lambda::keys(&event.payload);
        function.clear_scratch().await.map_err(|error| told("Scratch", &error))?;
        let site = function.site(&next).await.map_err(|error| told("Unreachable", &error))?;
        let deadline = deadline(event.context.deadline);
        let mut known = known.lock().await;
        let engine = match known.take().filter(|engine| engine.dispatcher().is_on(&site)) {
            Some(engine) => engine,
            None => {
                let left = (deadline - site.ports.clock.now()).to_std().unwrap_or(Duration::ZERO);
                Engine::new(site, runners.clone(), worker.clone(), worker_lambda::limits(left))
            }
        };
        let queues = function.realm().queues();
        let answer = worker_lambda::handle(&engine, queues, &worker, &event.payload, deadline).await;
        *known = Some(engine);
        answer.map_err(|error| told("BadEvent", &error))
    }))
    .await
}

#[cfg(feature = "sql")]
fn databases() -> Arc<dyn Databases> {
    Arc::new(pumice_sql::Drivers)
}

/// None: this function was built without drivers, and says so.
#[cfg(not(feature = "sql"))]
fn databases() -> Arc<dyn Databases> {
    Arc::new(pumice_core::ports::WITHOUT_SQL)
}

/// The time by which an invocation is cut off, from milliseconds since 1970.
fn deadline(millis: u64) -> Timestamp {
    i64::try_from(millis).ok().and_then(Timestamp::from_timestamp_millis).unwrap_or(Timestamp::MAX_UTC)
}

/// A failure as Lambda shows it; it is in the log too. The messages of the event come again.
fn told(kind: &str, error: &dyn std::error::Error) -> Diagnostic {
    tracing::error!(%error, kind, "an event failed");
    Diagnostic { error_type: kind.to_owned(), error_message: error.to_string() }
}
