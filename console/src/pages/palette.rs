//! The places that the command palette offers for a text: jobs and runs, and the forms of the acts on them.

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use pumice_core::glob::literal;
use pumice_core::secret::mask_value;
use pumice_core::text::escaped;
use pumice_service::specs::{ListJobs, list};
use serde_json::{Value, json};

use crate::access::Role;
use crate::answer::Fault;
use crate::ask::Ask;
use crate::view::{job_link, link, run_link};

/// Most jobs that are offered; of so few jobs the acts are offered, too.
const MAX_JOBS: usize = 8;
const FEW: usize = 2;

/// An act on a job: its word, its name, where its form is and the role that it asks for.
struct Act {
    word: &'static str,
    name: &'static str,
    role: Role,
    place: fn(&str) -> String,
}

const JOB_ACTS: [Act; 4] = [
    Act { word: "run", name: "Run", role: Role::Viewer, place: |id| format!("{}#run", job_link(id)) },
    Act { word: "pause", name: "Pause", role: Role::Operator, place: |id| format!("{}#pause", job_link(id)) },
    Act {
        word: "resume",
        name: "Resume",
        role: Role::Operator,
        place: |id| format!("{}#pause", job_link(id)),
    },
    Act { word: "edit", name: "Edit", role: Role::Editor, place: |id| link("/job/edit", &[("id", id)]) },
];

const RUN_ACTS: [Act; 2] = [
    Act {
        word: "cancel",
        name: "Cancel",
        role: Role::Operator,
        place: |id| format!("{}#cancel", run_link(id)),
    },
    Act {
        word: "again",
        name: "Run again",
        role: Role::Viewer,
        place: |id| link("/run/retry", &[("id", id)]),
    },
];

/// The places, as JSON.
pub(crate) async fn show(ask: Ask) -> Result<Response, Fault> {
    let text = ask.query.get("text").unwrap_or_default();
    let (acts, rest) = meant(text);
    let may = |act: &&Act| act.role == Role::Viewer || (!ask.app.is_read_only && ask.caller.role >= act.role);
    let place = |name: String, href: String| json!({ "name": name, "href": href });
    let mut places = Vec::new();
    if is_run(rest) {
        places.push(place(format!("Run {rest}"), run_link(rest)));
        let named = RUN_ACTS.iter().filter(|act| acts.is_none_or(|word| word == act.word)).filter(may);
        places.extend(named.map(|act| place(format!("{} {rest}…", act.name), (act.place)(rest))));
    }
    if !rest.is_empty() || acts.is_some() {
        let pattern = if rest.is_empty() { "*".to_owned() } else { format!("*{}*", literal(rest)) };
        let found = list(ask.realm(), &ListJobs { pattern: Some(pattern), filter: None }).await?;
        let ids = found.jobs.iter().filter_map(|job| job.get("job_id").and_then(Value::as_str));
        // The job of exactly this id comes first.
        let mut ids: Vec<&str> = ids.collect();
        ids.sort_by_key(|id| *id != rest);
        let few = ids.len() <= FEW || ids.first() == Some(&rest);
        for (number, id) in ids.iter().take(MAX_JOBS).enumerate() {
            let shown = escaped(id);
            if acts.is_none() {
                places.push(place(format!("Job {shown}"), job_link(id)));
            }
            let is_offered = |act: &&Act| match acts {
                Some(word) => act.word == word,
                None => few && number < FEW,
            };
            let named = JOB_ACTS.iter().filter(is_offered).filter(may);
            places.extend(named.map(|act| place(format!("{} {shown}…", act.name), (act.place)(id))));
        }
    }
    let mut places = json!(places);
    mask_value(&mut places);
    let mut response = Response::new(Body::from(places.to_string()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// The act that a text begins with, and the rest of it.
fn meant(text: &str) -> (Option<&str>, &str) {
    let (first, rest) = text.split_once(' ').unwrap_or((text, ""));
    let is_act = JOB_ACTS.iter().chain(&RUN_ACTS).any(|act| act.word == first);
    if is_act { (Some(first), rest.trim()) } else { (None, text.trim()) }
}

/// Whether a text may name a run.
fn is_run(text: &str) -> bool {
    let is_id =
        text.len() >= 4 && text.bytes().all(|byte| byte.is_ascii_hexdigit() || b"-/.".contains(&byte));
    (is_id && text.contains(|c: char| c.is_ascii_digit())) || text == "latest" || text.starts_with("latest:")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_may_begin_with_an_act() {
        assert_eq!(meant("pause etl/load"), (Some("pause"), "etl/load"));
        assert_eq!(meant("cancel"), (Some("cancel"), ""));
        assert_eq!(meant("paused/job"), (None, "paused/job"));
        assert!(is_run("0190a0a0") && is_run("latest:x") && !is_run("etl") && !is_run("cafe"));
    }
}
