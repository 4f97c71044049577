//! Doing a run again: what would be kept and what run, with other inputs if need be, and the new run itself.

use axum::response::Response;
use pumice_core::run::SpecOf;
use pumice_core::text::escaped;
use pumice_service::runs::{RetriedRun, RetryAction, RetryFrom, RetryRun, retry};
use pumice_service::specs::FieldChange;
use serde_json::{Value, json};
use uuid::Uuid;

use super::job::given;
use super::{Head, render};
use crate::access::Role;
use crate::answer::{Fault, see};
use crate::ask::{Ask, Fields};
use crate::view::{Words, counted, document, run_link};

/// Most steps of a plan on a page.
const MAX_STEPS: usize = 200;

/// The request.
fn asked(fields: &Fields) -> Result<RetryRun, Fault> {
    let from = match (fields.get("from"), fields.get("step")) {
        (None | Some("failed"), _) => RetryFrom::Failed,
        (Some("all"), _) => RetryFrom::All,
        (Some("step"), Some(step)) => RetryFrom::Step(step.to_owned()),
        (Some("step"), None) => {
            return Err(Fault::bad("step: which one? give its job, or the key of its record"));
        }
        (Some(_), _) => return Err(Fault::bad("from: failed, step or all")),
    };
    let spec = match fields.get("spec") {
        None | Some("latest") => SpecOf::Latest,
        Some("pinned") => SpecOf::Pinned,
        Some(_) => return Err(Fault::bad("spec: latest or pinned")),
    };
    Ok(RetryRun {
        run: fields.need("id")?.to_owned(),
        from,
        spec,
        parameters: given(fields, "params")?,
        globals: given(fields, "globals")?,
        key: fields.get("key").map(|key| format!("console:{key}")),
        once_more: fields.get("once_more") == Some("on"),
        dry_run: false,
    })
}

/// The page: the plan of what would be done.
pub(crate) async fn show(ask: Ask) -> Result<Response, Fault> {
    let request = RetryRun { key: None, dry_run: true, ..asked(&ask.query)? };
    let planned = retry(ask.realm(), &request).await;
    let (planned, trouble) = match planned {
        Ok(planned) => (Some(planned), None),
        // The request may be corrected on the page.
        Err(error) if error.kind().is_of_request() => (None, Some(error.message().to_owned())),
        Err(error) => return Err(error.into()),
    };
    // Of `latest` another run may be meant by the time that the form is sent.
    let run = planned.as_ref().map_or_else(|| request.run.clone(), |planned| planned.of.to_string());
    let request = RetryRun { run, ..request };
    let text = |name: &str| ask.query.get(name).unwrap_or_default();
    let own = json!({
        "id": request.run,
        "run_href": run_link(&request.run),
        "form": { "from": ask.query.get("from").unwrap_or("failed"), "step": text("step"),
            "spec": ask.query.get("spec").unwrap_or("latest"), "globals": text("globals"), "params": text("params"),
            "once_more": if request.once_more { "on" } else { "" } },
        "key": Uuid::new_v4().to_string(),
        "plan": planned.as_ref().map(plan),
        "trouble": trouble,
    });
    let head = Head::new("Run again", "runs", &command(&ask, &request));
    render(&ask, "retry.html", head.live(""), own).await
}

fn plan(retried: &RetriedRun) -> Value {
    let steps = retried.steps.iter().take(MAX_STEPS).map(|step| {
        let item = step.item.map(|item| format!("item {item}"));
        json!({ "job": escaped(step.job_id.as_str()), "item": item, "depth": step.depth.min(6), "word": step.action.words(),
            "is_kept": matches!(step.action, RetryAction::Kept | RetryAction::Skipped),
            "of": step.of.as_ref().map(|of| run_link(of.as_str())) })
    });
    let steps: Vec<Value> = steps.collect();
    let kept = retried.steps.iter().filter(|step| step.action == RetryAction::Kept).count();
    json!({
        "summary": match retried.steps.len() + retried.more_steps {
            0 => "The job is run again.".to_owned(),
            all => format!("{} of {} kept, the others are run.", kept, counted(all, "step")),
        },
        "more": (retried.steps.len() + retried.more_steps).saturating_sub(steps.len()),
        "steps": steps,
        "spec": changes(&retried.spec),
        "input": changes(&retried.input),
        "notes": retried.notes,
    })
}

/// Changed values, before and after.
fn changes(changes: &[FieldChange]) -> Vec<Value> {
    let shown = |value: &Option<Value>| value.as_ref().map(|value| document(value).text);
    let row = |change: &FieldChange| json!({ "field": escaped(&change.field), "before": shown(&change.before), "after": shown(&change.after) });
    changes.iter().map(row).collect()
}

/// The command that shows the same plan.
fn command(ask: &Ask, request: &RetryRun) -> Words {
    let step = match &request.from {
        RetryFrom::Step(step) => Some(step.as_str()),
        RetryFrom::Failed | RetryFrom::All => None,
    };
    ask.words(&["runs", "retry", &request.run])
        .option("--from", step)
        .switch("--all", request.from == RetryFrom::All)
        .option("--spec", (request.spec == SpecOf::Pinned).then_some("pinned"))
        .switch("--once-more", request.once_more)
        .switch("--dry-run", true)
}

/// Does the run again.
pub(crate) async fn act(ask: Ask) -> Result<Response, Fault> {
    ask.act(Role::Operator)?;
    let done = retry(ask.realm(), &asked(&ask.form)?).await?;
    let run = done.accepted.ok_or_else(|| Fault::bad("nothing was done"))?;
    let word = if run.existing { "does it again already" } else { "does it again" };
    ask.tell(true, format!("run {} {word}", run.run_id));
    Ok(see(&run_link(&run.run_id.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<RetryRun, Fault> {
        asked(&Fields::read(query.as_bytes()).unwrap())
    }

    #[test]
    fn form_says_what_is_done_again() {
        let all = read("id=x&from=all&spec=pinned&globals=day%3D1&key=k").unwrap();
        assert_eq!(
            (all.from, all.spec, all.key.as_deref()),
            (RetryFrom::All, SpecOf::Pinned, Some("console:k"))
        );
        assert_eq!(all.globals["day"], "1");
        assert_eq!(read("id=x").unwrap().from, RetryFrom::Failed);
        assert_eq!(read("id=x&from=step&step=a").unwrap().from, RetryFrom::Step("a".to_owned()));
        for wrong in ["", "id=x&from=step", "id=x&from=some", "id=x&spec=old", "id=x&globals=day"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
