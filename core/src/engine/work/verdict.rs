//! Whether a run that has not been started yet may start at all.

use serde_json::Value;

use super::Engine;
use crate::job_type::{Templates, has_templates};
use crate::ports::StoreError;
use crate::run::{NOT_ENABLED, Run, Status, too_late};
use crate::spec::{Enabled, JobSpec};

/// How a run that has not been started before is to begin.
pub(super) enum StartVerdict {
    /// With its first attempt, and with what its `event_log` gives.
    Start(Option<Value>),
    /// Not at all.
    End(Status, String),
    /// Not any more, which is a failure that actions report.
    TooLate(String),
}

impl Engine {
    /// Whether a run may start: it is not too old, its type exists, and its job is enabled.
    pub(super) async fn verdict(&self, run: &Run, job: &JobSpec) -> Result<StartVerdict, StoreError> {
        let fields = &job.fields;
        let now = self.now();
        if self.registry.job_type(&fields.r#type).is_none() {
            return Ok(StartVerdict::End(Status::Rejected, format!("no such job type {:?}", fields.r#type)));
        }
        if let Some(reason) = too_late(run, fields.max_run_delay, now) {
            return Ok(StartVerdict::TooLate(reason));
        }
        if fields.enabled == Enabled::Static(false) {
            return Ok(StartVerdict::End(Status::Skipped, NOT_ENABLED.to_owned()));
        }
        let dynamic = matches!(fields.enabled, Enabled::Template(_));
        let event_log = fields.event_log.as_ref().filter(|value| !is_empty(value));
        if !dynamic && !event_log.is_some_and(has_templates) {
            return Ok(StartVerdict::Start(event_log.cloned()));
        }
        let realm = self.site.ports.jobs.realm().await?;
        let (scene, _) = self.jobs().scene(run, job, &realm, now).await?;
        let (job, templates) = (job.clone(), Templates::new(self.registry.renderer().clone(), scene));
        let verdict = Box::pin(self.jobs().on_pool(move || StartVerdict::rendered(&job, &templates))).await;
        Ok(verdict.unwrap_or_else(|error| StartVerdict::End(Status::Failed, error.message)))
    }
}

/// Whether an `event_log` is what Python takes for false: lava logs nothing then (lava's run_job).
fn is_empty(event_log: &Value) -> bool {
    match event_log {
        Value::Null => true,
        Value::Bool(truth) => !truth,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    }
}

impl StartVerdict {
    fn rendered(job: &JobSpec, templates: &Templates) -> Self {
        if let Enabled::Template(source) = &job.fields.enabled {
            match templates.condition(source) {
                Ok((true, _)) => {}
                Ok((false, text)) => {
                    return Self::End(
                        Status::Skipped,
                        format!("{NOT_ENABLED}: its template gave {:?}", text.trim()),
                    );
                }
                Err(error) => return Self::End(Status::Failed, format!("enabled: {error}")),
            }
        }
        let event_log = job.fields.event_log.as_ref().filter(|value| !is_empty(value)).map(|event_log| {
            // An `event_log` that cannot be logged does not stop the job (lava guide, The event_log Field).
            templates
                .structure(event_log, &[])
                .unwrap_or_else(|error| format!("bad event_log: {error}").into())
        });
        Self::Start(event_log)
    }
}
