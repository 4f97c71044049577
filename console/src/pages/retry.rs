//! Doing a run again: what would be kept and what run, with other inputs if need be, and the new run itself.

use axum::response::Response;
use pumice_core::ids::RunKey;
use pumice_core::run::SpecOf;
use pumice_core::secret::{is_marked, mask_value};
use pumice_core::text::escaped;
use pumice_service::runs::{RetriedRun, RetryAction, RetryFrom, RetryRun, RetryStep, retry};
use pumice_service::specs::FieldChange;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::form::{given, with_inputs};
use super::types::check_retry;
use super::{Head, render};
use crate::access::Role;
use crate::answer::{Fault, see};
use crate::ask::{Ask, Fields};
use crate::view::{Words, counted, document, run_link};

/// The fields of a run's input, with their labels.
const INPUT: [(&str, &str); 2] = [("globals", "Globals"), ("params", "Parameters")];
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

/// The plan of a run that is done again with nothing changed.
fn unchanged(run: &str) -> RetryRun {
    RetryRun {
        run: run.to_owned(),
        from: RetryFrom::Failed,
        spec: SpecOf::Latest,
        parameters: Map::new(),
        globals: Map::new(),
        key: None,
        once_more: false,
        dry_run: true,
    }
}

/// The outcome of a request for a plan.
enum Planning {
    /// What would be done.
    Planned(RetriedRun),
    /// Why there is no plan: the request may be corrected on the page.
    Refused(String),
}

impl Planning {
    fn plan(self) -> Option<RetriedRun> {
        match self {
            Self::Planned(planned) => Some(planned),
            Self::Refused(_) => None,
        }
    }
}

async fn planned(ask: &Ask, request: &RetryRun) -> Result<Planning, Fault> {
    match retry(ask.realm(), request).await {
        Ok(planned) => Ok(Planning::Planned(planned)),
        Err(error) if error.kind().is_of_request() => Ok(Planning::Refused(error.message().to_owned())),
        Err(error) => Err(error.into()),
    }
}

/// The page: the plan of what would be done.
pub(crate) async fn show(ask: Ask) -> Result<Response, Fault> {
    let id = ask.query.need("id")?;
    let (request, found) = match asked(&ask.query) {
        Ok(request) => {
            let request = RetryRun { key: None, dry_run: true, ..request };
            let found = planned(&ask, &request).await?;
            (request, found)
        }
        Err(fault) => (unchanged(id), Planning::Refused(fault.message)),
    };
    // The steps are offered although the request was refused.
    let mut plain = match &found {
        Planning::Planned(_) => None,
        Planning::Refused(_) => match planned(&ask, &unchanged(id)).await? {
            Planning::Planned(plain) => Some(plain),
            Planning::Refused(_) => {
                planned(&ask, &RetryRun { from: RetryFrom::All, ..unchanged(id) }).await?.plan()
            }
        },
    };
    let of = match &found {
        Planning::Planned(found) => Some(found),
        Planning::Refused(_) => plain.as_ref(),
    };
    let refused = match of {
        Some(of) => check_retry(ask.realm(), of, &request, &ask.query).await.err(),
        None => None,
    };
    let (found, trouble) = match (found, refused) {
        (Planning::Planned(found), None) => (Some(found), None),
        (Planning::Planned(found), Some(refused)) => {
            plain = Some(found);
            (None, Some(refused.message))
        }
        (Planning::Refused(trouble), _) => (None, Some(trouble)),
    };
    let of = found.as_ref().or(plain.as_ref());
    // Of `latest` another run may be meant by the time that the form is sent.
    let run = of.map_or_else(|| request.run.clone(), |planned| planned.of.to_string());
    let request = RetryRun { run, ..request };
    let had = match (of, ask.query.is_there("globals") || ask.query.is_there("params")) {
        (Some(of), false) => had(&ask, &of.of).await?,
        _ => Had::default(),
    };
    let text = |name: &str, else_: &str| ask.query.typed(name).unwrap_or(else_.into()).into_owned();
    let own = json!({
        "id": request.run,
        "run_href": run_link(&request.run),
        "form": { "from": ask.query.get("from").unwrap_or("failed"), "step": text("step", ""),
            "spec": ask.query.get("spec").unwrap_or("latest"), "globals": text("globals", &had.globals),
            "params": text("params", &had.parameters), "once_more": if request.once_more { "on" } else { "" } },
        "kept": had.kept,
        "steps": of.map(step_names).unwrap_or_default(),
        "key": Uuid::new_v4().to_string(),
        "plan": found.as_ref().map(plan),
        "trouble": trouble,
    });
    let head = Head::new("Run again", "runs", &command(&ask, &request, &ask.query));
    render(&ask, "retry.html", head.live(""), own).await
}

/// The input that a run was given, as the form writes it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Had {
    globals: String,
    parameters: String,
    /// The names of values that a line cannot have: secrets, and names with a dot. They stay as they were.
    kept: Vec<String>,
}

async fn had(ask: &Ask, run: &RunKey) -> Result<Had, Fault> {
    let asked = ask.realm().runs().load_with_spec(run).await?.and_then(|(_, spec)| spec.asked);
    Ok(asked.map(|asked| written(&asked.globals, &asked.parameters)).unwrap_or_default())
}

fn written(globals: &Map<String, Value>, parameters: &Map<String, Value>) -> Had {
    let mut kept = Vec::new();
    let mut lines_of = |word: &str, all: &Map<String, Value>| {
        let mut lines = Vec::new();
        for (name, value) in all {
            let mut own = Vec::new();
            match !name.contains('.') && as_lines(name, value, &mut own) {
                true => lines.extend(own),
                false => kept.push(format!("{word} {}", escaped(name))),
            }
        }
        lines.join("\n")
    };
    let (globals, parameters) = (lines_of("global", globals), lines_of("parameter", parameters));
    Had { globals, parameters, kept }
}

/// Writes a value as lines NAME=VALUE, or NAME:=JSON where it is not a text, that are read as the same value; says whether that
/// is possible.
fn as_lines(name: &str, value: &Value, lines: &mut Vec<String>) -> bool {
    let last = name.rsplit('.').next().unwrap_or_default();
    let is_odd = last.is_empty() || last.trim() != last || last.ends_with(':');
    if is_odd || last.contains(['=', '\n', '\r']) || is_marked(last) || is_masked(value) {
        return false;
    }
    match value {
        Value::String(text) if !text.contains(['\n', '\r']) => lines.push(format!("{name}={text}")),
        Value::Object(fields) if !fields.is_empty() => {
            let mut own = Vec::new();
            let mut each = fields.iter();
            match each.all(|(field, value)| {
                !field.contains('.') && as_lines(&format!("{name}.{field}"), value, &mut own)
            }) {
                true => lines.append(&mut own),
                false => lines.push(format!("{name}:={value}")),
            }
        }
        other => lines.push(format!("{name}:={other}")),
    }
    true
}

/// Whether a page would show something else in place of a value, or of a part of it.
fn is_masked(value: &Value) -> bool {
    let mut shown = value.clone();
    mask_value(&mut shown);
    shown != *value
}

/// The names of the steps, as the form takes them.
fn step_names(retried: &RetriedRun) -> Vec<String> {
    let name = |step: &RetryStep| match step.item {
        Some(item) => format!("{}[{item}]", step.job_id),
        None => step.job_id.to_string(),
    };
    let mut names: Vec<String> = retried.steps.iter().take(MAX_STEPS).map(name).collect();
    names.dedup();
    names
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
fn command(ask: &Ask, request: &RetryRun, fields: &Fields) -> Words {
    let step = match &request.from {
        RetryFrom::Step(step) => Some(step.as_str()),
        RetryFrom::Failed | RetryFrom::All => None,
    };
    with_inputs(ask.words(&["runs", "retry", &request.run]), fields)
        .option("--from", step)
        .switch("--all", request.from == RetryFrom::All)
        .option("--spec", (request.spec == SpecOf::Pinned).then_some("pinned"))
        .switch("--once-more", request.once_more)
        .switch("--dry-run", true)
}

/// Does the run again.
pub(crate) async fn act(ask: Ask) -> Result<Response, Fault> {
    ask.act(Role::Operator)?;
    let answer = redoing(&ask).await;
    ask.kept(answer, &INPUT)
}

async fn redoing(ask: &Ask) -> Result<Response, Fault> {
    let request = asked(&ask.form)?;
    if !request.globals.is_empty() {
        let plan = RetryRun { key: None, dry_run: true, ..request.clone() };
        // What is refused has its reason below.
        if let Planning::Planned(planned) = planned(ask, &plan).await? {
            check_retry(ask.realm(), &planned, &request, &ask.form).await?;
        }
    }
    let done = retry(ask.realm(), &request).await?;
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

    #[test]
    fn input_of_a_run_is_written_so_that_it_is_read_back() {
        pumice_core::secret::remember("retry-canary-31");
        let globals = json!({ "day": "2026-03-01", "vars": { "a": "x y", "b": { "c": "1=2" } }, "n": 5, "e": "",
            "mixed": { "a": "x", "n": 1 }, "key": "retry-canary-31", "two": "a\nb", "a.b": "x", "sp": " x ",
            "on": false, "list": [1, "x"], "none": null, "dots": { "a.b": 1 }, "empty": {} });
        let had = written(globals.as_object().unwrap(), &Map::new());
        let fields = [("globals", had.globals.as_str())];
        let mut text = form_urlencoded::Serializer::new(String::new());
        text.extend_pairs(fields);
        let read = given(&Fields::read(text.finish().as_bytes()).unwrap(), "globals").unwrap();
        let mut same = globals.clone();
        for kept in ["key", "a.b"] {
            same.as_object_mut().unwrap().remove(kept);
        }
        assert_eq!(Value::Object(read), same);
        assert_eq!(had.kept, ["global key", "global a.b"]);
    }
}
