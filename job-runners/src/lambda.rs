//! Runs jobs of type `lambda`.

use async_trait::async_trait;
use pumice_core::job_type::{Ended, JobContext, JobError, Leaf, ParametersOf, Template};
use pumice_core::ports::{FunctionAnswer, FunctionCall};
use pumice_job_types::lambda::{self, Function};
use serde_json::{Value, json};

use crate::answer::{Answered, keep, within};

/// Runs jobs of type `lambda`.
pub(crate) struct Lambda;

#[async_trait]
impl Leaf for Lambda {
    type Of = lambda::Lambda;
    type Payload = Template<Function>;

    async fn run(
        &self,
        context: &JobContext<'_>,
        Template(Function(function)): Template<Function>,
        parameters: ParametersOf<lambda::Lambda>,
    ) -> Result<Ended, JobError> {
        let limit = parameters.timeout.or(context.job.fields.timeout).unwrap_or(context.settings.cmd_timeout);
        let Template(event) = parameters.event.unwrap_or_else(|| Template(json!({})));
        let qualifier = parameters.qualifier;
        let call =
            FunctionCall { function: function.clone(), qualifier, event: event.to_string().into_bytes() };
        let called = within(context, limit, context.messaging.invoke(call)).await?;
        let answer = called.map_err(|error| {
            let retryable = error.kind.may_pass();
            JobError { retryable, ..JobError::failed(error.message) }
        })?;
        let result = keep(context, answered(&answer)).await?;
        match &answer.error {
            None => Ok(Ended::Done(result)),
            Some(kind) => {
                let why = reason(&answer.answer).map(|why| format!(": {why}")).unwrap_or_default();
                let message = format!("function {function} failed ({kind}){why}");
                Err(JobError::failed(message).with_data(result))
            }
        }
    }
}

fn answered(answer: &FunctionAnswer) -> Answered<'_> {
    let text = |text: &Option<String>| text.as_deref().map_or(Value::Null, Value::from);
    Answered {
        exit_status: i32::from(answer.error.is_some()),
        body: &answer.answer,
        more: vec![("version", text(&answer.version)), ("function_error", text(&answer.error))],
    }
}

/// A function's report of its error (Lambda Developer Guide, function errors): its type and message.
fn reason(answer: &[u8]) -> Option<String> {
    let told: Value = serde_json::from_slice(answer).ok()?;
    let text = |name: &str| told.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    match (text("errorType"), text("errorMessage")) {
        (Some(kind), Some(message)) => Some(format!("{kind}: {message}")),
        (one, other) => one.or(other).map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use pumice_core::job_type::Stop;
    use pumice_core::ports::{StoreError, StoreErrorKind};
    use serde::Deserialize;

    use super::*;
    use crate::fakes::{Standing, World};

    fn world(answer: Option<(&str, Option<&str>)>) -> World {
        let mut world = World::of("lambda", json!("f"), json!({}));
        world.clock = Box::new(Standing { wakes: false });
        world.messages.answer = answer.map(|(answer, error)| FunctionAnswer {
            answer: answer.into(),
            error: error.map(str::to_owned),
            version: Some("7".to_owned()),
        });
        world
    }

    async fn run(parameters: Value, world: &World) -> Result<Ended, JobError> {
        let parameters = lambda::Parameters::deserialize(parameters).unwrap();
        Lambda.run(&world.context(), Template(Function("f".to_owned())), parameters).await
    }

    #[tokio::test]
    async fn function_is_called_with_the_event_and_its_answer_kept() {
        for (parameters, event, qualifier) in [
            (json!({}), "{}", None),
            (
                json!({ "event": { "b": [1], "a": null }, "qualifier": "live" }),
                r#"{"b":[1],"a":null}"#,
                Some("live"),
            ),
            (json!({ "event": "text" }), "\"text\"", None),
        ] {
            let world = world(Some((r#"{"rows":3}"#, None)));
            let Ok(Ended::Done(result)) = run(parameters, &world).await else { panic!("it fails") };
            let call = world.messages.calls.lock().unwrap().pop().unwrap();
            let wanted = FunctionCall {
                function: "f".to_owned(),
                qualifier: qualifier.map(str::to_owned),
                event: event.into(),
            };
            assert_eq!(call, wanted);
            assert_eq!((&result["exit_status"], &result["version"]), (&json!(0), &json!("7")));
            assert_eq!(world.kept.objects().into_values().collect::<Vec<_>>(), [r#"{"rows":3}"#]);
        }
    }

    #[tokio::test]
    async fn function_that_fails_gives_its_error_as_the_runs() {
        for (answer, why) in [
            (
                r#"{"errorMessage":"no rows","errorType":"ValueError","stackTrace":[]}"#,
                ": ValueError: no rows",
            ),
            (
                r#"{"errorMessage":"Task timed out after 3.00 seconds"}"#,
                ": Task timed out after 3.00 seconds",
            ),
            (r#"{"errorType":"Runtime.ExitError"}"#, ": Runtime.ExitError"),
            ("not json", ""),
            ("", ""),
        ] {
            let world = world(Some((answer, Some("Unhandled"))));
            let error = run(json!({}), &world).await.unwrap_err();
            assert_eq!(error.message, format!("function f failed (Unhandled){why}"));
            assert!(error.retryable);
            assert_eq!(
                (&error.data["exit_status"], &error.data["function_error"]),
                (&json!(1), &json!("Unhandled"))
            );
        }
    }

    #[tokio::test]
    async fn function_that_cannot_be_called_fails_with_the_reason() {
        use StoreErrorKind::{Denied, Missing, Throttled, Unreachable};
        for (kind, retryable) in [(Missing, false), (Denied, false), (Throttled, true), (Unreachable, true)] {
            let mut world = world(None);
            world.messages.refused = Some(StoreError::of(kind, "cannot call function f: no"));
            let error = run(json!({}), &world).await.unwrap_err();
            assert_eq!((error.message.as_str(), error.retryable), ("cannot call function f: no", retryable));
        }
    }

    #[tokio::test]
    async fn call_ends_when_its_time_is_up_or_it_is_stopped() {
        let mut late = world(None);
        late.clock = Box::new(Standing { wakes: true });
        assert_eq!(run(json!({ "timeout": "5s" }), &late).await.unwrap_err().message, "timed out after 5s");
        let stopped = world(None);
        stopped.cancel.stop(Stop::Cancelled);
        assert_eq!(run(json!({}), &stopped).await.unwrap_err().message, "stopped");
    }
}
