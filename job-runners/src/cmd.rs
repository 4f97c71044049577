//! Runs jobs of type `cmd`.

use async_trait::async_trait;
use pumice_core::job_type::{Ended, JobContext, JobError, Leaf, ParametersOf, Template};
use pumice_core::spec::JobSpec;
use pumice_job_types::cmd::{self, Bytes};

use crate::process::{self, Command};

/// Runs jobs of type `cmd`.
pub(crate) struct Cmd;

#[async_trait]
impl Leaf for Cmd {
    type Of = cmd::Cmd;
    /// The words of the command line, and the arguments.
    type Payload = Vec<String>;

    async fn run(
        &self,
        context: &JobContext<'_>,
        argv: Vec<String>,
        parameters: ParametersOf<cmd::Cmd>,
    ) -> Result<Ended, JobError> {
        let env = parameters.env.unwrap_or_default().into_iter();
        let env = env.map(|(name, Template(value))| (name, value.into_text()));
        let command = Command {
            line: line(context.job)?,
            argv,
            env: env.collect(),
            timeout: parameters
                .timeout
                .or(context.job.fields.timeout)
                .unwrap_or(context.settings.cmd_timeout),
            aws_credentials: parameters.aws_credentials.unwrap_or(false),
            file_size: parameters.file_size.map(|Bytes(bytes)| bytes),
        };
        process::run(context, command).await
    }
}

/// The command line as the spec has it.
fn line(job: &JobSpec) -> Result<String, JobError> {
    let line = job.fields.payload.as_str().map(str::to_owned);
    line.ok_or_else(|| JobError::permanent("bad payload: expected a string"))
}
