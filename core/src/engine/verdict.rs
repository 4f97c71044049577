//! Whether a run that nobody has started yet may start at all.

use super::Engine;
use crate::job_type::{Scene, Templates};
use crate::ports::StoreError;
use crate::run::{Run, Status, too_late};
use crate::spec::{Enabled, JobSpec};

/// How a run that has not been started before is to begin.
pub(super) enum Verdict {
    /// With its first attempt, and with what its `event_log` gives.
    Start(Option<serde_json::Value>),
    /// Not at all.
    End(Status, String),
    /// Not any more, which is a failure that actions are told of.
    TooLate(String),
}

impl Engine {
    /// Whether a run may start: it is not too old, its type exists, and its job is enabled.
    pub(super) async fn verdict(&self, run: &Run, job: &JobSpec) -> Result<Verdict, StoreError> {
        let fields = &job.fields;
        let now = self.now();
        if self.registry.job_type(&fields.r#type).is_none() {
            return Ok(Verdict::End(Status::Rejected, format!("no such job type {:?}", fields.r#type)));
        }
        if let Some(reason) = too_late(run, fields.max_run_delay, now) {
            return Ok(Verdict::TooLate(reason));
        }
        if fields.enabled == Enabled::Static(false) {
            return Ok(Verdict::End(Status::Skipped, "the job is not enabled".to_owned()));
        }
        let dynamic = matches!(fields.enabled, Enabled::Template(_));
        if !dynamic && fields.event_log.is_none() {
            return Ok(Verdict::Start(None));
        }
        let realm = self.site.ports.jobs.realm().await?;
        let (scene, _) = self.dispatcher.scene(run, job, &realm, now).await?;
        Ok(self.rendered_verdict(job, scene))
    }

    fn rendered_verdict(&self, job: &JobSpec, scene: Scene) -> Verdict {
        let templates = Templates::new(self.registry.renderer().clone(), scene);
        if let Enabled::Template(source) = &job.fields.enabled {
            match templates.condition(source) {
                Ok((true, _)) => {}
                Ok((false, text)) => {
                    return Verdict::End(
                        Status::Skipped,
                        format!("the job is not enabled: its template gave {:?}", text.trim()),
                    );
                }
                Err(error) => return Verdict::End(Status::Failed, format!("enabled: {error}")),
            }
        }
        let event_log = job.fields.event_log.as_ref().map(|event_log| {
            // What cannot be logged does not stop the job (lava guide, The event_log Field).
            templates.json(event_log, &[]).unwrap_or_else(|error| format!("bad event_log: {error}").into())
        });
        Verdict::Start(event_log)
    }
}
