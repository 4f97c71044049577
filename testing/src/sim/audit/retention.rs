//! When records expire.

use chrono::{SubsecRound, TimeDelta};
use pumice_core::run::{Run, Status};
use pumice_core::spec::Retention;
use serde_json::json;

use super::Audit;

/// How far the clocks of the process that makes a run and of the one that ends it may be apart, and more.
const SLACK: TimeDelta = TimeDelta::days(1);

/// How long the realm of the simulation keeps records.
pub(in crate::sim) fn retention() -> Retention {
    let setting = json!({ "complete": "2d", "failed": "90d", "default": "30d" });
    Retention::read(&setting).expect("a setting")
}

impl Audit {
    /// A record expires by how its run ended, from then on, and a step's with the last; that of a run which has not ended does
    /// not before any could.
    pub(super) fn expires(&mut self, run: &Run) {
        let days = match run.status {
            _ if run.is_child() || run.redo.is_some() => 90,
            Status::Complete => 2,
            Status::Failed => 90,
            _ => 30,
        };
        let holds = match run.ts_end.filter(|_| run.status.is_end()) {
            Some(end) => run.expires == (end + TimeDelta::days(days)).trunc_subsecs(0),
            None => run.expires >= run.ts_dispatch + TimeDelta::days(90) - SLACK,
        };
        self.expect(holds, "a record expires by its outcome, from its end", || {
            format!("{} is {} since {:?} and expires {}", run.key, run.status, run.ts_end, run.expires)
        });
    }
}
