//! Shared by job types that call a service: the answer is kept as a command's output is, and the call ends when the
//! attempt stops or its time is up.

use futures_util::future::{Either, select};
use pumice_core::duration::Span;
use pumice_core::job_type::{JobContext, JobError};
use serde_json::{Value, json};

use crate::capture::Capture;

/// An answer.
pub(crate) struct Answered<'a> {
    /// The exit status that templates see.
    pub(crate) exit_status: i32,
    /// The bytes to keep.
    pub(crate) body: &'a [u8],
    /// Further fields of the result.
    pub(crate) more: Vec<(&'static str, Value)>,
}

/// Keeps an answer where a command's standard output would be, and gives the result of the run.
pub(crate) async fn keep(context: &JobContext<'_>, answered: Answered<'_>) -> Result<Value, JobError> {
    let Answered { exit_status, body, more } = answered;
    let capture = Capture::new(context, "stdout", None);
    let recorded = capture.record(body).await;
    recorded
        .map_err(|error| JobError::cannot_begin(format!("cannot write the answer down: {error}"), &error))?;
    let mut output = json!({ "payload": context.job.fields.payload, "exit_status": exit_status });
    if let Some(location) = capture.keep(context).await? {
        output["stdout"] = location.into();
    }
    let mut result = json!({ "exit_status": exit_status, "output": [output] });
    for (name, value) in more {
        result[name] = value;
    }
    Ok(result)
}

/// Waits for an answer, for no longer than this and than the attempt goes on. The request is dropped then, and
/// its connection with it.
///
/// # Errors
/// [`JobError`] when the time is up or the attempt is to stop.
pub(crate) async fn within<T>(
    context: &JobContext<'_>,
    limit: Span,
    asking: impl Future<Output = T> + Send,
) -> Result<T, JobError> {
    let late = context.clock.sleep_until(context.clock.now() + limit.delta());
    let ending = select(late, Box::pin(context.cancel.stopped()));
    match select(Box::pin(asking), ending).await {
        Either::Left((answer, _)) => Ok(answer),
        Either::Right((Either::Left(_), _)) => Err(JobError::timed_out(limit)),
        // The engine knows why, and says so instead.
        Either::Right((Either::Right(_), _)) => Err(JobError::failed("stopped")),
    }
}
