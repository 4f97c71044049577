//! The parameters that all job types have which run commands: cmd, exe and pkg.

use std::collections::BTreeMap;

use pumice_core::duration::Span;
use pumice_core::job_type::{JobError, Template, Templates};
use pumice_core::spec::JobSpec;
use serde_json::{Map, Value};

use crate::connections::LabelledConnections;
use crate::words::{Bytes, Rendering, Text};

/// The parameters of a job that runs commands, whatever its type. Each type documents them in its own words.
#[derive(Debug)]
pub struct CommandParameters {
    /// More arguments.
    pub args: Option<Vec<Template<Text>>>,
    /// Connections by label.
    pub connections: Option<LabelledConnections>,
    /// Environment variables.
    pub env: Option<BTreeMap<String, Template<Text>>>,
    /// Whether arguments and variables are rendered; default true.
    pub jinja: Option<bool>,
    /// How long a command may run.
    pub timeout: Option<Span>,
    /// Whether commands get the worker's AWS credentials; default false.
    pub aws_credentials: Option<bool>,
    /// The largest file that a command may write; default: no limit.
    pub file_size: Option<Bytes>,
    /// The values that templates see as `vars`.
    pub vars: Option<Map<String, Value>>,
}

/// Takes the common parameters out of those of a type.
macro_rules! has_command_parameters {
    ($parameters:ty) => {
        impl From<$parameters> for $crate::command::CommandParameters {
            fn from(own: $parameters) -> Self {
                Self {
                    args: own.args,
                    connections: own.connections,
                    env: own.env,
                    jinja: own.jinja,
                    timeout: own.timeout,
                    aws_credentials: own.aws_credentials,
                    file_size: own.file_size,
                    vars: own.vars,
                }
            }
        }
    };
}

pub(crate) use has_command_parameters;

impl CommandParameters {
    /// The words of a command with the arguments behind them, and the parameters of a job with the environment in its
    /// place; `words` renders the command.
    pub(crate) fn rendered(
        self,
        job: &JobSpec,
        templates: &Templates,
        words: impl FnOnce(&Rendering<'_>) -> Result<Vec<String>, JobError>,
    ) -> Result<(Vec<String>, Map<String, Value>), JobError> {
        let mut parameters = job.parameters();
        let rendering = Rendering::new(templates, self.jinja, self.vars);
        let mut words = words(&rendering)?;
        words.extend(rendering.args(self.args)?);
        rendering.put_env(self.env, &mut parameters)?;
        Ok((words, parameters))
    }
}
