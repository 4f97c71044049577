//! Planned steps that have no record yet, and why: trees show them after the recorded steps.

use std::collections::HashMap;
use std::sync::Arc;

use pumice_core::ids::{JobId, RunKey};
use pumice_core::job_type::{Plan, Registry, Rendered};
use pumice_core::ports::RunStore;
use pumice_core::run::{Run, Status};
use pumice_core::spec::JobSpec;
use pumice_core::text::shown;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::whole::whole_with_spec;
use crate::failure::Error;

/// Most jobs of steps whose plans are looked up.
const MAX_PLANS: usize = 100;
/// Most unstarted steps of a run that are listed one by one.
const MAX_STEPS: usize = 20;

/// A planned step without a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Unstarted {
    /// The run that it is a step of.
    pub parent: RunKey,
    /// Its job, and its place in a foreach; or how many more there are.
    pub label: String,
    /// Whether the step may still run.
    pub waits: bool,
    /// Why the step has not started.
    pub why: String,
}

/// The steps without a record of all runs that began and have steps.
pub(super) async fn unstarted(
    store: &dyn RunStore,
    registry: &Registry,
    runs: &[Run],
) -> Result<Vec<Unstarted>, Error> {
    let has_steps = |run: &&Run| {
        let planner = registry.job_type(&run.job_type).and_then(|job_type| job_type.planner());
        run.ts_start.is_some() && planner.is_some()
    };
    let by_key: HashMap<&RunKey, &Run> = runs.iter().map(|run| (&run.key, run)).collect();
    let mut found = Vec::new();
    for run in runs.iter().filter(has_steps).take(MAX_PLANS) {
        let Some((whole, spec)) = whole_with_spec(store, &run.key).await? else { continue };
        // A pinned spec that no longer parses has no plan.
        let Ok(job) = JobSpec::from_checked(Arc::clone(&spec.job)) else { continue };
        let own = || Rendered { payload: job.fields.payload.clone(), parameters: job.parameters() };
        let rendered = whole.rendered.or(spec.rendered).unwrap_or_else(own);
        let Some(planner) = registry.job_type(&run.job_type).and_then(|job_type| job_type.planner()) else {
            continue;
        };
        if let Ok(plan) = planner.plan(&job, &rendered) {
            found.extend(of_run(run, &plan, &by_key));
        }
    }
    Ok(found)
}

/// The steps of a run's last attempt that have no record among the runs.
fn of_run(run: &Run, plan: &Plan, runs: &HashMap<&RunKey, &Run>) -> Vec<Unstarted> {
    let record = |step: usize| {
        let key = run.key.child(run.attempt, u32::try_from(step).unwrap_or(u32::MAX));
        runs.get(&key).copied()
    };
    let records: Vec<Option<&Run>> = (0..plan.steps.len()).map(record).collect();
    let child = |step: usize| records[step];
    let missing: Vec<usize> = (0..records.len()).filter(|step| child(*step).is_none()).collect();
    let waits = !run.status.is_end();
    let failed = (0..records.len()).filter(|step| !plan.forgives(*step)).find_map(|step| {
        let one = child(step).filter(|one| one.status.is_failure())?;
        let job = name(&plan.steps[step].job_id);
        Some(match one.status {
            Status::Failed => format!("{job} failed"),
            other => format!("{job} was {other}"),
        })
    });
    let why = |step: usize| {
        let before = plan.steps[step]
            .after
            .iter()
            .find(|before| child(**before).is_none_or(|one| !one.status.is_end()));
        match (&failed, before) {
            (Some(failed), _) => failed.clone(),
            (None, Some(before)) if waits => format!("waits for {}", name(&plan.steps[*before].job_id)),
            (None, None) if waits => "waits for its turn".to_owned(),
            _ => format!("the run was {}", run.status),
        }
    };
    let label = |step: usize| {
        let index = plan.steps[step].foreach_index;
        format!(
            "{}{}",
            name(&plan.steps[step].job_id),
            index.map(|index| format!(" (item {index})")).unwrap_or_default()
        )
    };
    let shown = missing.iter().take(MAX_STEPS).map(|step| Unstarted {
        parent: run.key.clone(),
        label: label(*step),
        waits: waits && failed.is_none(),
        why: why(*step),
    });
    let more = missing.len().saturating_sub(MAX_STEPS);
    let rest = (more > 0).then(|| Unstarted {
        parent: run.key.clone(),
        label: format!("… and {more} more"),
        waits: waits && failed.is_none(),
        why: String::new(),
    });
    shown.chain(rest).collect()
}

fn name(job_id: &JobId) -> String {
    shown(job_id.as_str())
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use pumice_core::Timestamp;
    use pumice_core::duration::Span;
    use pumice_core::ids::{RunId, WorkerName};

    use super::*;

    fn run(key: RunKey, status: Status) -> Run {
        let run_id: RunId = key.run_id().unwrap();
        let about = (JobId::new("a").unwrap(), "chain".to_owned(), WorkerName::new("core").unwrap());
        let now = Timestamp::UNIX_EPOCH + TimeDelta::seconds(1);
        let mut run = Run::dispatched(key, run_id, about, now, now, Span::from_days(1));
        run.status = status;
        run
    }

    #[test]
    fn steps_without_a_record_say_why() {
        use Status::{Cancelled, Complete, Failed, Running};
        let jobs = ["a", "b", "c"].map(|id| JobId::new(id).unwrap());
        let plan = Plan::in_order(jobs.to_vec(), Vec::new());
        let root = RunKey::root("00000000-0000-0000-0000-000000000001".parse().unwrap());
        for (status, first, waits, whys) in [
            (Running, Some(Running), true, ["waits for a", "waits for b"]),
            (Running, Some(Complete), true, ["waits for its turn", "waits for b"]),
            (Failed, Some(Failed), false, ["a failed", "a failed"]),
            (Cancelled, Some(Complete), false, ["the run was cancelled"; 2]),
            (Cancelled, Some(Cancelled), false, ["a was cancelled"; 2]),
        ] {
            let parent = run(root.clone(), status);
            let mut runs = vec![parent.clone()];
            runs.extend(first.map(|status| run(root.child(1, 0), status)));
            let by_key = runs.iter().map(|run| (&run.key, run)).collect();
            let found = of_run(&parent, &plan, &by_key);
            let whys_found: Vec<&str> = found.iter().map(|one| one.why.as_str()).collect();
            assert_eq!((whys_found.as_slice(), found[0].waits), (&whys[..], waits), "{status}");
        }
        let many = Plan::in_order(vec![jobs[0].clone(); 500], Vec::new());
        let found = of_run(&run(root.clone(), Running), &many, &HashMap::new());
        assert_eq!((found.len(), found[MAX_STEPS].label.as_str()), (MAX_STEPS + 1, "… and 480 more"));
    }
}
