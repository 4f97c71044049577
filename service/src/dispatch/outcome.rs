//! What became of requests.

use pumice_core::engine::Accepted;
use pumice_core::ids::{JobId, RunId};
use pumice_core::run::Status;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::runs::RunShown;

/// What became of requests: the answer of the `dispatch` command and of the dispatcher function.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Outcomes {
    /// The requests that were taken.
    pub accepted: Vec<AcceptedRun>,
    /// The requests that were not.
    pub refused: Vec<RefusedRequest>,
    /// The runs and all that they started, when their ends were waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runs: Option<Vec<RunShown>>,
}

/// A request that was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AcceptedRun {
    /// The job.
    #[serde(deserialize_with = "JobId::deserialize_stored")]
    pub job_id: JobId,
    /// The run.
    pub run_id: RunId,
    /// Where it stands.
    pub status: Status,
    /// Whether the run was there already, under the same idempotency key.
    pub existing: bool,
    /// What its caller should know, as why its templates could not be rendered yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
}

impl From<Accepted> for AcceptedRun {
    fn from(run: Accepted) -> Self {
        let Accepted { job_id, run_id, status, existing, warning } = run;
        Self { job_id, run_id, status, existing, warning }
    }
}

/// A request that was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RefusedRequest {
    /// Its place, as `line 3`, or its job.
    pub request: String,
    /// Why.
    pub error: String,
}

impl Outcomes {
    /// Every refused request with its reason, in one line.
    #[must_use]
    pub fn reasons(&self) -> String {
        let reason = |refused: &RefusedRequest| format!("{}: {}", refused.request, refused.error);
        self.refused.iter().map(reason).collect::<Vec<_>>().join("; ")
    }
}
