//! The dispatcher's process on AWS Lambda.

use std::pin::Pin;
use std::sync::Arc;

use dispatcher_lambda::{Failed, Invocation, payload};
use lambda_runtime::{Diagnostic, Error, LambdaEvent, service_fn};
use pumice_aws::function::{Environment, Function, start_log};
use pumice_core::Timestamp;
use pumice_core::engine::{Housekeeper, Triggers};
use serde_json::value::RawValue;
use tokio::sync::Mutex;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let variable = |name: &str| std::env::var(name).ok();
    start_log(&variable);
    // Boxed: the compiler has a limit to how deep futures may stand within one another.
    let working: Pin<Box<dyn Future<Output = Result<(), Error>> + '_>> = Box::pin(work(&variable));
    working.await.inspect_err(|error| tracing::error!(%error, "the function cannot work"))
}

/// Answers invocations for as long as Lambda keeps the process.
async fn work(variable: &dyn Fn(&str) -> Option<String>) -> Result<(), Error> {
    let environment = Environment::read(variable)?;
    let function = Function::connect_with_schedules(&environment, variable).await?;
    let registry = Arc::new(pumice_job_types::registry()?);
    // One for as long as the realm's settings stand: it remembers which specs it has checked.
    let known: Mutex<Option<Housekeeper>> = Mutex::new(None);
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Box<RawValue>>| {
        let payload = payload(event.payload.get()).map_err(|error| told(&error.into()))?;
        let site = match function.site(&[]).await {
            Ok(site) => site,
            Err(error) => {
                let is_untouched = async || function.realm().is_untouched().await;
                let answer = dispatcher_lambda::answer_without_site(&payload, error, is_untouched).await;
                return answer.map_err(|failed| told(&failed));
            }
        };
        let mut known = known.lock().await;
        let housekeeper = match known.take().filter(|known| known.dispatcher().is_on(&site)) {
            Some(housekeeper) => housekeeper,
            None => Housekeeper::new(site.clone(), registry.clone()),
        };
        let store = Arc::new(function.realm().store().clone());
        let triggers = Triggers::new(housekeeper.dispatcher().clone(), store);
        let ends = i64::try_from(event.context.deadline).ok().and_then(Timestamp::from_timestamp_millis);
        let invocation = Invocation {
            id: &event.context.request_id,
            ends: ends.unwrap_or(Timestamp::MAX_UTC),
            zone: site.zone.tz(),
            aside: function.realm().queues(),
        };
        let answer = dispatcher_lambda::handle(&housekeeper, &triggers, &payload, invocation).await;
        *known = Some(housekeeper);
        answer.map_err(|failed| told(&failed))
    }))
    .await
}

/// A failure as Lambda shows it; it is in the log too, once.
fn told(failed: &Failed) -> Diagnostic {
    if !failed.is_logged() {
        tracing::error!(error = %failed, kind = failed.kind(), "an event failed");
    }
    Diagnostic { error_type: failed.kind().to_owned(), error_message: failed.to_string() }
}
