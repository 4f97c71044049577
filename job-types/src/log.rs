//! Job type `log`: writes the job to the log (lava guide, Job type: log).

use pumice_core::job_type::JobType;
use serde_json::{Map, Value};

/// The job type `log`.
#[derive(Clone, Copy, Debug)]
pub struct Log;

impl JobType for Log {
    const NAME: &'static str = "log";
    const ABOUT: &'static str = "Writes the job to the log; payload and parameters are ignored.";
    type Payload = Value;
    type Parameters = Map<String, Value>;
}
