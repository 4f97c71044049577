//! The steps of a run that does another again: those that ended well there are kept, which their records say. They are made
//! before the first step begins, so that no step is both kept and run.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::Engine;
use super::attempt::child_lineage;
use super::files::went_with;
use super::task::Task;
use crate::engine::redo::Redone;
use crate::ids::RunKey;
use crate::job_type::{Plan, StepRedo};
use crate::ports::{Outgoing, StoreError};
use crate::run::{NewRun, Run, Status, WorkPlace, settle};
use crate::spec::RunSpec;

/// Most records that are made at once.
const BATCH: usize = 500;

impl Engine {
    /// The fate of each step of a run's plan, where it does another run again; the records of those that are kept are
    /// there then.
    pub(super) async fn redo_steps(&self, task: &Task<'_>, plan: &Plan) -> Result<Redone, StoreError> {
        let Some(redo) = task.run.redo.as_deref() else { return Ok(Redone::Steps(Vec::new())) };
        let steps = match self.dispatcher().redo_plan(redo, plan).await? {
            Redone::Steps(steps) => steps,
            impossible @ Redone::Impossible(_) => return Ok(impossible),
        };
        if let Some(why) = self.keep_steps(&task.run, plan, &steps).await? {
            return Ok(Redone::Impossible(why));
        }
        // All levels of the steps of a run share one directory.
        if task.run.is_child() || steps.iter().any(StepRedo::is_kept) {
            let root = redo.of.run_id().map_or_else(|| redo.of.clone(), RunKey::root);
            let ended = self.site.ports.runs.peek(&root).await?;
            if ended.and_then(|ended| ended.work).is_some_and(|work| work.has_files()) {
                task.invocation.files.went_with(&root);
            }
        }
        Ok(Redone::Steps(steps))
    }

    /// Makes the records of the steps that are kept; those made before are there already. Returns why one of them
    /// cannot have a record.
    async fn keep_steps(
        &self,
        run: &Run,
        plan: &Plan,
        steps: &[StepRedo],
    ) -> Result<Option<String>, StoreError> {
        let runs = &self.site.ports.runs;
        let there: BTreeSet<u32> =
            runs.children(&run.key, run.attempt).await?.iter().filter_map(|child| child.key.step()).collect();
        let kept = steps.iter().enumerate().filter_map(|(step, redo)| match redo {
            StepRedo::Kept(key) => Some((step, key)),
            StepRedo::Again(_) => None,
        });
        let mut making: Vec<(NewRun, Option<Outgoing>)> = Vec::new();
        for (step, key) in kept {
            let number = u32::try_from(step).unwrap_or(u32::MAX);
            if there.contains(&number) {
                continue;
            }
            let Some(ended) = runs.peek(key).await? else {
                return Ok(Some(format!(
                    "step {key}, which is to be kept, is gone: do it again with all its steps"
                )));
            };
            let planned = &plan.steps[step];
            let mut new = self.kept_step(run, &ended, number);
            new.run.foreach_index = planned.foreach_index;
            making.push((new, None));
        }
        for batch in making.chunks(BATCH) {
            for created in runs.create(batch).await? {
                if let Some(error) = created.failed {
                    return Err(error);
                }
                if created.refused.is_some() {
                    return Ok(created.refused);
                }
            }
        }
        Ok(None)
    }

    /// The record of a step that is kept: it has ended from the start.
    fn kept_step(&self, parent: &Run, ended: &Run, step: u32) -> NewRun {
        let now = self.now();
        let about = (ended.job_id.clone(), ended.job_type.clone(), ended.worker.clone());
        let key = parent.key.child(parent.attempt, step);
        let retention = &self.site.settings.event_ttl;
        let mut run = Run::dispatched(key, parent.run_id, about, now, now, retention.longest());
        run.ts_dispatch = parent.ts_dispatch;
        run.lineage = Some(child_lineage(parent));
        run.scheduled.clone_from(&parent.scheduled);
        run.host.clone_from(&parent.host);
        run.log.push(Status::Complete, now, Value::String(format!("kept: it ended well as {}", ended.key)));
        run.status = Status::Complete;
        run.ts_end = Some(now);
        settle(&mut run, retention, now);
        run.due_at = None;
        run.kept = Some(ended.key.clone());
        if let Some(work) = ended.work.as_ref().filter(|work| work.has_files()) {
            let root = RunKey::root(ended.run_id);
            let lost = work.lost.clone().unwrap_or_else(|| went_with(&root));
            // All that are kept have the same place: none of them came after another's loss.
            let id = root.to_string();
            run.work = Some(WorkPlace { id, empty: true, lost: Some(lost), ..WorkPlace::default() });
        }
        NewRun { run, spec: RunSpec::of_job(Arc::new(Map::new())) }
    }
}
