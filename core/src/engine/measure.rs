//! Metrics of jobs that ask for them (lava guide, The Jobs Table, `cw_metrics`).

use super::Engine;
use crate::run::{Run, Status};
use crate::spec::JobSpec;

impl Engine {
    /// Logs how a run went, once it has ended, when its job or else its realm asks for metrics. A log that CloudWatch reads
    /// makes metrics of it.
    pub(super) fn measure(&self, run: &Run, job: &JobSpec) {
        let settings = &self.site.settings;
        let is_measured = matches!(run.status, Status::Complete | Status::Failed);
        if !is_measured || !job.fields.cw_metrics.unwrap_or(settings.cw_metrics_job) {
            return;
        }
        let Some(start) = run.ts_start else { return };
        let run_time_ms = (run.ts_end.unwrap_or_else(|| self.now()) - start).num_milliseconds();
        let run_delay_ms = (start - run.ts_dispatch).num_milliseconds();
        let (namespace, failed) = (&settings.cw_namespace, run.status == Status::Failed);
        tracing::info!(target: "pumice::metrics", job_id = %run.job_id, run_id = %run.run_id, worker = %run.worker, %namespace, run_time_ms, run_delay_ms, failed, "metrics");
    }
}
