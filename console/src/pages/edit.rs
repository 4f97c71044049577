//! The editor of a job's spec: shows what would change, and saves it unless the spec changed meanwhile.

use axum::http::StatusCode;
use axum::response::Response;
use pumice_core::document::parse_json;
use pumice_core::ids::JobId;
use pumice_core::ports::Doc;
use pumice_core::secret::{holds_secret, mask_value};
use pumice_core::text::{acts, escaped};
use pumice_service::specs::{
    Apply, Document, Documents, FieldChange, JobName, PlanSpecs, apply, places, plan, show as show_job,
    warning_lines,
};
use pumice_service::{Current, IfMatch, tag};
use serde_json::{Value, json};

use super::{Head, render};
use crate::access::Role;
use crate::answer::{Fault, see};
use crate::ask::Ask;
use crate::view::{document, job_link, plain};

/// The file that commands about a spec name on this page.
const FILE: &str = "spec.json";

/// The content of the form: the spec as it was read, its tag, and the text that is to replace it.
struct Draft {
    id: String,
    text: String,
    base: String,
    tag: String,
}

/// Notes about a draft.
#[derive(Default)]
struct Notes {
    trouble: Option<String>,
    /// Changes by others since the spec was read; `None` when there are none.
    meanwhile: Option<Vec<FieldChange>>,
    is_gone: bool,
    planned: Option<Vec<FieldChange>>,
    warnings: Vec<String>,
}

/// The form.
pub(crate) async fn show(ask: Ask) -> Result<Response, Fault> {
    ask.act(Role::Editor)?;
    ask.app.refresh().await;
    let id = ask.query.need("id")?.to_owned();
    let job = JobId::stored(&id).map_err(|error| Fault::bad(error.to_string()))?;
    let spec = show_job(ask.realm(), &JobName { job }).await?;
    let text = text_of(&spec)?;
    let draft = Draft { id, base: text.clone(), text, tag: tag(&Value::Object(spec)) };
    page(&ask, &draft, Notes::default()).await
}

/// Shows what the text would change, or saves it.
pub(crate) async fn act(ask: Ask) -> Result<Response, Fault> {
    ask.act(Role::Editor)?;
    ask.app.refresh().await;
    let field = |name: &str| ask.form.need(name).map(str::to_owned);
    let draft = Draft { id: field("id")?, text: field("spec")?, base: field("base")?, tag: field("tag")? };
    let spec = match read(&draft) {
        Ok(spec) => spec,
        Err(trouble) => {
            return page(&ask, &draft, Notes { trouble: Some(trouble), ..Notes::default() }).await;
        }
    };
    let given = Document { document: Value::Object(spec), ..Document::default() };
    let specs = Documents { documents: vec![given], files: 1, ..Documents::default() };
    if ask.form.has("preview") {
        let notes = match plan(ask.realm(), PlanSpecs { specs, ..PlanSpecs::default() }).await {
            Ok(planned) => Notes {
                planned: Some(planned.documents.into_iter().flat_map(|one| one.fields).collect()),
                warnings: warning_lines(&planned.warnings, usize::MAX),
                ..Notes::default()
            },
            Err(error) => Notes { trouble: Some(error.message().to_owned()), ..Notes::default() },
        };
        return page(&ask, &draft, notes).await;
    }
    let condition = format!("\"{}\"", draft.tag).parse::<IfMatch>();
    let condition = condition.map_err(|error| Fault::bad(error.to_string()))?;
    let request = Apply { specs, if_match: Some(condition), ..Apply::default() };
    match apply(ask.realm(), request).await {
        Ok(_) => {
            ask.tell(true, format!("job {} saved", escaped(&draft.id)));
            Ok(see(&job_link(&draft.id)))
        }
        Err(error) => match error.current() {
            Some(current) => meanwhile(&ask, draft, current).await,
            None => {
                page(&ask, &draft, Notes { trouble: Some(error.message().to_owned()), ..Notes::default() })
                    .await
            }
        },
    }
}

/// The form once more, with the changes by others. The next save replaces those.
async fn meanwhile(ask: &Ask, mut draft: Draft, current: &Current) -> Result<Response, Fault> {
    let notes = match (&current.document, &current.tag) {
        (Some(Value::Object(now)), Some(tag)) => {
            // The form sends the text as it was read. One that was tampered with shows other differences, and nothing else.
            let before = match parse_json(&draft.base) {
                Ok(Value::Object(before)) => before,
                _ => Doc::new(),
            };
            let notes = Notes { meanwhile: Some(places(&before, now)), ..Notes::default() };
            (draft.base, draft.tag) = (text_of(now)?, tag.clone());
            notes
        }
        _ => Notes { is_gone: true, ..Notes::default() },
    };
    let mut response = page(ask, &draft, notes).await?;
    *response.status_mut() = StatusCode::PRECONDITION_FAILED;
    Ok(response)
}

/// The spec in a draft.
fn read(draft: &Draft) -> Result<Doc, String> {
    if holds_secret(&draft.text) {
        return Err(
            "the text has a secret in it: name the secret, and keep its value out of specs".to_owned()
        );
    }
    let spec = match parse_json(&draft.text) {
        Ok(Value::Object(spec)) => spec,
        Ok(_) => return Err("a spec is a JSON object".to_owned()),
        Err(error) => return Err(format!("the spec is {error}")),
    };
    match spec.get("job_id").and_then(Value::as_str) {
        Some(given) if given == draft.id => Ok(spec),
        _ => Err(format!("its job_id must be {}: another job is made with `pumice apply`", json!(draft.id))),
    }
}

/// A spec as a text to edit. Characters that mislead are written as JSON escapes: the text means the same.
fn text_of(spec: &Doc) -> Result<String, Fault> {
    // A spec always serialises.
    let text = serde_json::to_string_pretty(spec).unwrap_or_default();
    // A field that the realm marks is masked by its name.
    let mut masked = Value::Object(spec.clone());
    mask_value(&mut masked);
    if holds_secret(&text) || masked.as_object() != Some(spec) {
        let why =
            "this spec has a secret in it, which a page does not show: edit it in its file, and apply that";
        return Err(Fault::new(StatusCode::CONFLICT, why));
    }
    if !text.contains(|c| acts(c) && c != '\n') {
        return Ok(text);
    }
    let mut plain = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            c if acts(c) && c != '\n' => {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    plain.push_str(&format!("\\u{unit:04x}"));
                }
            }
            c => plain.push(c),
        }
    }
    Ok(plain)
}

fn rows(changes: &[FieldChange]) -> Vec<Value> {
    let row = |one: &FieldChange| {
        // Some values are masked by the name of their field.
        let name = one.field.rsplit('.').next().unwrap_or_default();
        let shown = |value: &Option<Value>| {
            let mut field = json!({ name: value.as_ref()? });
            mask_value(&mut field);
            Some(document(field.get(name).unwrap_or(&Value::Null)).text)
        };
        json!({ "field": escaped(&one.field), "before": shown(&one.before), "after": shown(&one.after) })
    };
    changes.iter().map(row).collect()
}

async fn page(ask: &Ask, draft: &Draft, notes: Notes) -> Result<Response, Fault> {
    let own = json!({
        "id": draft.id,
        "job": escaped(&draft.id),
        "job_href": job_link(&draft.id),
        "text": draft.text,
        "lines": draft.text.lines().count().clamp(10, 40),
        "base": draft.base,
        "tag": draft.tag,
        "file": FILE,
        "show_command": ask.words(&["jobs", "show", &draft.id, "-o", "json"]).line(),
        "trouble": notes.trouble.map(|text| plain(&text)),
        "is_gone": notes.is_gone,
        "meanwhile": notes.meanwhile.as_deref().map(rows),
        "planned": notes.planned.as_deref().map(rows),
        "warnings": notes.warnings,
    });
    // A command has the spec in a file.
    let word = if notes.planned.is_some() { "plan" } else { "apply" };
    let head = Head::new(format!("Edit {}", draft.id), "jobs", &ask.words(&[word, FILE]));
    render(ask, "job-edit.html", head.live(""), own).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_to_edit_means_what_the_spec_says() {
        let spec = json!({ "job_id": "a\u{202e}b", "payload": "é\n\u{1b}\u{feff}x" });
        let text = text_of(spec.as_object().unwrap()).unwrap();
        assert!(!text.contains(|c| acts(c) && c != '\n') && text.contains("\\u202e"), "{text}");
        assert_eq!(parse_json(&text), Ok(spec));
    }
}
