//! Job type `sqlc`: gives files of SQL to the client program of a database (lava guide, Job type: sqlc).

use pumice_core::duration::Span;
use pumice_core::ids::ConnId;
use pumice_core::job_type::{Given, JobType};
use pumice_core::problem::Problem;
use pumice_core::spec::Settings;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::command_line::{self, Timed};
use crate::sql::Texts;
use crate::words::{Text, check_keys};

/// Parameters of a sqlc job.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SqlcParameters")]
pub struct Parameters {
    /// The connection to the database.
    pub conn_id: ConnId,
    /// More arguments of the client. As in lava they are not rendered.
    #[serde(default)]
    pub args: Option<Vec<Text>>,
    /// Whether files are rendered; default true.
    #[serde(default)]
    pub jinja: Option<bool>,
    /// How long each file may take; default the job's `timeout`, else the realm's `SQLC_TIMEOUT` of 10 minutes.
    #[serde(default)]
    pub timeout: Option<Span>,
    /// The values that templates see as `vars`.
    #[serde(default)]
    pub vars: Option<Map<String, Value>>,
}

/// The job type `sqlc`.
#[derive(Clone, Copy, Debug)]
pub struct Sqlc;

impl JobType for Sqlc {
    const NAME: &'static str = "sqlc";
    const ABOUT: &'static str = "Gives files of SQL to the client program of a database.";
    const KEEPS_OUTPUT_BY_PAYLOAD: bool = true;
    /// The keys of files, or of folders that end in `/`.
    type Payload = Texts;
    type Parameters = Parameters;

    fn check(&self, given: &Given<'_, Self>) -> Vec<Problem> {
        check_keys(given.payload.as_ref().map(Texts::all))
    }

    fn advise(&self, given: &Given<'_, Self>, _: &Settings) -> Vec<Problem> {
        let Some(parameters) = &given.parameters else { return Vec::new() };
        command_line::advise_timeout(
            &given.job.fields,
            &Timed { what: "the file", timeout: parameters.timeout },
        )
    }
}
