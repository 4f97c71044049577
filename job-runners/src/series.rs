//! Commands of one job that run one after the other: the first that fails ends them (lava guide, Job type: exe).

use pumice_core::job_type::{Ended, JobContext, JobError};
use serde_json::{Value, json};

use crate::process::{self, Command};

/// The results of the commands so far.
#[derive(Default)]
pub(crate) struct Series {
    output: Vec<Value>,
}

impl Series {
    /// Runs one more to its end.
    ///
    /// # Errors
    /// [`JobError`] when it fails, with what came of all.
    pub(crate) async fn run(&mut self, context: &JobContext<'_>, command: &Command) -> Result<(), JobError> {
        match process::run_and_keep(context, command).await {
            Ok(output) => {
                self.output.push(output);
                Ok(())
            }
            Err(error) => Err(self.failed(&command.line, error)),
        }
    }

    /// A failure of what goes by `name`, with what came of all before it.
    pub(crate) fn failed(&mut self, name: &str, mut error: JobError) -> JobError {
        let own = error.data.get_mut("output").and_then(Value::as_array_mut).map(std::mem::take);
        self.output.extend(own.unwrap_or_default());
        error.message =
            if error.message.contains(name) { error.message } else { format!("{name}: {}", error.message) };
        if !error.data.is_object() {
            error.data = json!({ "exit_status": 1, "error": error.message });
        }
        error.data["output"] = std::mem::take(&mut self.output).into();
        error
    }

    /// All have ended well.
    pub(crate) fn ended(self) -> Ended {
        Ended::Done(json!({ "exit_status": 0, "output": self.output }))
    }
}
