//! The graph of a job or a run: its plan, and how each step stands.

use std::sync::Arc;

use pumice_core::ids::RunKey;
use pumice_core::job_type::{Plan, Rendered};
use pumice_core::ports::Doc;
use pumice_core::run::Status;
use pumice_core::spec::JobSpec;
use pumice_core::text::escaped;
use pumice_service::Realm;
use pumice_service::runs::{RunShown, RunTree, whole_with_spec};
use serde_json::{Value, json};

use super::collapse::collapsed;
use super::draw::draw;
use super::{Graph, Node, common_folder};
use crate::answer::Fault;
use crate::view::{Tone, counted, job_link, run_link, tone};

/// Most steps that are drawn at all: of more the tree has the beginning.
const MAX_STEPS: usize = 20_000;

/// The graph of the steps of a run, with links to their pages where these can be reached; `null` of one without steps.
///
/// # Errors
/// [`Fault`] when the store cannot be read.
pub(crate) async fn graph_of_run(realm: &dyn Realm, tree: &RunTree, is_linked: bool) -> Result<Value, Fault> {
    let Some(root) = tree.runs.first() else { return Ok(Value::Null) };
    if tree.runs.len() + tree.unstarted.len() <= 1 {
        return Ok(Value::Null);
    }
    let Some((run, spec)) = whole_with_spec(realm.runs(), &root.run_key).await? else {
        return Ok(Value::Null);
    };
    let rendered = run.rendered.or(spec.rendered);
    let Some(plan) = plan_of(realm, spec.job, rendered) else { return Ok(Value::Null) };
    let runs: std::collections::HashMap<&str, &RunShown> =
        tree.runs.iter().map(|run| (run.run_key.as_str(), run)).collect();
    let step = |step: usize| {
        let key: RunKey = root.run_key.child(root.iteration, u32::try_from(step).unwrap_or(u32::MAX));
        runs.get(key.as_str()).copied()
    };
    let of_step = |number: usize| step(number).map(|run| (run_link(run.run_key.as_str()), run.status));
    Ok(picture(&plan, if is_linked { Show::Run } else { Show::Alone }, of_step))
}

/// The graph of the steps of a job; `null` of one without steps.
pub(crate) fn graph_of_job(realm: &dyn Realm, spec: &Doc) -> Value {
    plan_of(realm, Arc::new(spec.clone()), None)
        .map_or(Value::Null, |plan| picture(&plan, Show::Plan, |_| None))
}

/// The plan of a job; `None` of one without steps, and of one whose steps only a worker finds.
fn plan_of(realm: &dyn Realm, spec: Arc<Doc>, rendered: Option<Rendered>) -> Option<Plan> {
    let name = spec.get("type").and_then(Value::as_str)?.to_owned();
    let job = JobSpec::from_checked(spec).ok()?;
    let planner = realm.registry().job_type(&name)?.planner()?;
    let own = || Rendered { payload: job.fields.payload.clone(), parameters: job.parameters() };
    let plan = planner.plan(&job, &rendered.unwrap_or_else(own)).ok()?;
    (plan.steps.len() > 1 && plan.steps.len() <= MAX_STEPS).then_some(plan)
}

/// The subject of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Show {
    /// A job, whose steps stand nowhere.
    Plan,
    /// A run.
    Run,
    /// A run, in a document from which no page can be reached.
    Alone,
}

/// The picture of a plan; `step` gives the page and the status of a step that has a run.
fn picture(plan: &Plan, show: Show, step: impl Fn(usize) -> Option<(String, Status)>) -> Value {
    let jobs: Vec<&str> = plan.steps.iter().map(|step| step.job_id.as_str()).collect();
    let common = common_folder(&jobs);
    let mut graph = Graph { has_states: show != Show::Plan, ..Graph::default() };
    if plan.steps.iter().all(|step| step.foreach_index.is_some()) {
        graph.nodes.push(items(&jobs, &step));
    } else {
        for (number, one) in plan.steps.iter().enumerate() {
            let (job, run) = (one.job_id.as_str(), step(number));
            let word = run.as_ref().map_or("has not started", |(_, status)| status.as_str());
            graph.nodes.push(Node {
                job: job.to_owned(),
                label: escaped(&job[common..]).into_owned(),
                title: escaped(&format!("{job}: {word}")).into_owned(),
                parts: vec![(run.as_ref().map_or(Tone::Calm, |(_, status)| tone(*status)), 1)],
                href: Some(run.map_or_else(|| job_link(job), |(link, _)| link)),
            });
            graph.edges.extend(one.after.iter().map(|before| (*before, number)));
        }
    }
    let (mut graph, is_small) = collapsed(graph);
    if show == Show::Alone {
        graph.nodes.iter_mut().for_each(|node| node.href = None);
    }
    let note = is_small
        .then(|| format!("{} drawn as {}", counted(jobs.len(), "step"), counted(graph.nodes.len(), "node")));
    json!({ "svg": draw(&graph), "note": note })
}

/// The items of a foreach, as one node.
fn items(jobs: &[&str], step: &impl Fn(usize) -> Option<(String, Status)>) -> Node {
    let mut parts: Vec<(Tone, usize)> =
        [Tone::Good, Tone::Bad, Tone::Odd, Tone::Busy, Tone::Calm].map(|tone| (tone, 0)).into();
    for number in 0..jobs.len() {
        let tone = step(number).map_or(Tone::Calm, |(_, status)| tone(status));
        if let Some((_, count)) = parts.iter_mut().find(|(part, _)| *part == tone) {
            *count += 1;
        }
    }
    parts.retain(|(_, count)| *count > 0);
    let job = jobs.first().copied().unwrap_or_default();
    Node {
        job: job.to_owned(),
        label: escaped(job).into_owned(),
        title: escaped(&format!("{job}: {}", counted(jobs.len(), "item"))).into_owned(),
        href: Some(job_link(job)),
        parts,
    }
}

#[cfg(test)]
mod tests {
    use pumice_core::ids::JobId;

    use super::*;

    #[test]
    fn plan_is_drawn_with_its_steps_as_they_stand() {
        let jobs = ["etl/a", "etl/b"].map(|id| JobId::new(id).unwrap());
        let plan = Plan::in_order(jobs.to_vec(), Vec::new());
        let step = |number: usize| (number == 0).then(|| ("/run?id=x".to_owned(), Status::Failed));
        let svg = picture(&plan, Show::Run, step)["svg"].as_str().unwrap().to_owned();
        assert!(
            svg.contains("<a href=\"/run?id=x\"><g class=\"node bad\" transform=\"translate(8 8)\"><title>etl/a: failed</title>"),
            "{svg}"
        );
        assert!(
            svg.contains("<title>etl/b: has not started")
                && svg.contains("<a href=\"/job?id=etl%2Fb\"><g class=\"node calm\" "),
            "{svg}"
        );
    }

    #[test]
    fn items_of_a_foreach_are_one_node() {
        let mut plan = Plan::in_order(vec![JobId::new("each").unwrap(); 400], Vec::new());
        for (index, step) in (0..).zip(&mut plan.steps) {
            step.foreach_index = Some(index);
        }
        let step = |number: usize| {
            (number < 300)
                .then(|| (String::new(), if number == 7 { Status::Failed } else { Status::Complete }))
        };
        let svg = picture(&plan, Show::Run, step)["svg"].as_str().unwrap().to_owned();
        assert!(svg.contains("each ×400") && svg.matches("<g class").count() == 1, "{svg}");
        assert_eq!(svg.matches("class=\"part").count(), 3, "{svg}");
    }
}
