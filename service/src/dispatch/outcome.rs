//! Outcomes of requests.

use pumice_core::engine::{Accepted, Foreseen};
use pumice_core::ids::{JobId, RunId, WorkerName};
use pumice_core::run::Status;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::runs::RunShown;
use crate::time::Instant;

/// Outcomes of requests: the answer of the `dispatch` command and of the dispatcher function.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Outcomes {
    /// The requests that were taken.
    pub accepted: Vec<AcceptedRun>,
    /// The requests that were not, or would not be.
    pub refused: Vec<RefusedRequest>,
    /// The runs that the other requests would make, where nothing was to be dispatched.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub foreseen: Vec<ForeseenRequest>,
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
    /// A note for its caller, as why its templates could not be rendered yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
}

impl From<Accepted> for AcceptedRun {
    fn from(run: Accepted) -> Self {
        let Accepted { job_id, run_id, status, existing, warning, .. } = run;
        Self { job_id, run_id, status, existing, warning }
    }
}

/// A run that a request would make.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ForeseenRequest {
    /// The job.
    #[serde(deserialize_with = "JobId::deserialize_stored")]
    pub job_id: JobId,
    /// The worker that it would be for.
    pub worker: WorkerName,
    /// When it would be due.
    pub at: Instant,
    /// Whether it would run: one of a job that is not enabled is skipped.
    pub enabled: bool,
    /// Whether the run is there already under the same idempotency key, or an earlier request would make it.
    pub existing: bool,
    /// The run, where it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<RunId>,
    /// A note for the caller, as why its templates cannot be rendered yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
}

impl From<Foreseen> for ForeseenRequest {
    fn from(run: Foreseen) -> Self {
        let Foreseen { job_id, worker, at, is_enabled, existing, run_id, warning } = run;
        Self { job_id, worker, at: Instant(at), enabled: is_enabled, existing, run_id, warning }
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

/// Longest text of all reasons, in bytes, that is given whole.
const MAX_REASONS: usize = 8 * 1024;
/// How many reasons a longer one begins with, and the longest of each.
const FIRST: usize = 10;
const MAX_REASON: usize = 512;

impl Outcomes {
    /// Every refused request with its reason, in one line: whole while it is short, else how many there are and the first
    /// ten.
    #[must_use]
    pub fn reasons(&self) -> String {
        let reason = |refused: &RefusedRequest| format!("{}: {}", refused.request, refused.error);
        let mut whole = String::new();
        for refused in &self.refused {
            whole = if whole.is_empty() { reason(refused) } else { format!("{whole}; {}", reason(refused)) };
            if whole.len() > MAX_REASONS {
                let first =
                    self.refused.iter().take(FIRST).map(|refused| bounded(&reason(refused), MAX_REASON));
                let first = first.collect::<Vec<_>>().join("; ");
                let (count, shown) = (self.refused.len(), self.refused.len().min(FIRST));
                return format!("{count} requests were refused; the first {shown}: {first}");
            }
        }
        whole
    }
}

/// A text, or its beginning when it is longer than so many bytes.
fn bounded(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    format!("{}… ({} bytes in all)", &text[..text.floor_char_boundary(most)], text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(count: usize, length: usize) -> Outcomes {
        let one = |place| RefusedRequest { request: format!("line {place}"), error: "é".repeat(length / 2) };
        Outcomes { refused: (1..=count).map(one).collect(), ..Outcomes::default() }
    }

    #[test]
    fn reasons_are_whole_while_they_are_short_and_bounded_always() {
        assert_eq!(Outcomes::default().reasons(), "");
        assert_eq!(refused(2, 4).reasons(), "line 1: éé; line 2: éé");
        let whole = refused(100, 60).reasons();
        assert!(whole.ends_with(&format!("line 100: {}", "é".repeat(30))) && whole.len() <= MAX_REASONS);
        for (count, length) in [(10_000, 150), (1, 1_000_000), (3, 9_000), (200_000, 20)] {
            let text = refused(count, length).reasons();
            assert!(text.len() <= MAX_REASONS, "{} bytes", text.len());
            let begins = format!("{count} requests were refused; the first {}: line 1: é", count.min(FIRST));
            assert!(text.starts_with(&begins), "{}", &text[..100]);
        }
    }
}
