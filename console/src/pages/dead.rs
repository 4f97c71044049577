//! Dead letters: what was set aside and why, and what hands it out once more or drops it.

use axum::response::Response;
use pumice_core::document::parse_json;
use pumice_core::filter::Filter;
use pumice_core::ids::{JobId, WorkerName};
use pumice_core::run::Status;
use pumice_core::spec::Timezone;
use pumice_core::text::escaped;
use pumice_service::dead::{
    ActOnDead, DeadDone, DeadOutcome, DeadShown, DropDead, ListDead, ShowDead, discard as discard_letters,
    list, redrive as redrive_letters, show as show_letter,
};
use serde_json::{Value, json};

use super::{Head, render};
use crate::access::Role;
use crate::answer::{Fault, see};
use crate::ask::Ask;
use crate::view::{Clock, StatusShown, about, counted, document, job_link, link, run_link};

/// Most letters of a page.
const SHOWN: usize = 100;

/// The page.
pub(crate) async fn show(ask: Ask) -> Result<Response, Fault> {
    let clock = ask.clock_of_list(&ask.query).await?;
    if let Some(place) = ask.with_offsets(clock.zone, Filter::with_offsets) {
        return Ok(place);
    }
    let filter = ask.query.get("where").map(str::to_owned);
    let zone = Some(Timezone(clock.zone));
    let request = ListDead { filter: filter.clone(), zone, limit: SHOWN, ..ListDead::default() };
    let (found, trouble) = match list(ask.realm(), &request).await {
        Ok(found) => (Some(found), None),
        Err(error) if error.kind().is_of_request() => (None, Some(error.message().to_owned())),
        Err(error) => return Err(error.into()),
    };
    let letters = found.as_ref().map(|found| found.letters.as_slice()).unwrap_or_default();
    let whose = |worker: &Option<WorkerName>| {
        worker.as_ref().map_or_else(|| "the dispatcher".to_owned(), ToString::to_string)
    };
    let own = json!({
        "where": filter,
        "trouble": trouble,
        "rows": letters.iter().map(|letter| row(letter, &clock)).collect::<Vec<_>>(),
        "summary": counted(letters.len(), "letter"),
        "more": found.as_ref().map_or(0, |found| found.more),
        "cut": found.as_ref().map(|found| found.cut.iter().map(whose).collect::<Vec<_>>()),
        "without": found.as_ref().map(|found| found.without.iter().map(ToString::to_string).collect::<Vec<_>>()),
    });
    let command = ask.words(&["dead", "list"]).option("--where", filter.as_deref());
    render(&ask, "dead.html", Head::new("Dead letters", "workers", &command).by(&clock), own).await
}

fn row(letter: &DeadShown, clock: &Clock) -> Value {
    json!({
        "id": letter.id,
        "href": link("/dead/letter", &[("id", &letter.id)]),
        "worker": letter.worker.as_ref().map(ToString::to_string),
        "at": clock.moment(letter.at.0),
        "job": letter.job_id.as_deref().map(escaped),
        "job_href": letter.job_id.as_deref().map(job_link),
        "run": letter.run.as_ref().map(|run| json!({ "key": run.as_str(), "href": run_link(run.as_str()) })),
        "status": letter.status.map(StatusShown::from),
        "has_ended": letter.has_ended(),
        "reason": letter.reason.as_deref().map(escaped),
        "receives": letter.receives,
    })
}

/// The page of one letter.
pub(crate) async fn one(ask: Ask) -> Result<Response, Fault> {
    let id = ask.query.need("id")?.to_owned();
    let found = show_letter(ask.realm(), &ShowDead { letter: id, workers: Vec::new() }).await?;
    let letter = &found.letter;
    let job = letter.job_id.as_deref().and_then(|job| JobId::stored(job).ok());
    let clock = ask.clock_of(job.as_ref()).await?;
    let at = clock.moment(letter.at.0);
    let mut facts = vec![
        about(
            "Worker",
            letter.worker.as_ref().map_or_else(|| "none: of the dispatcher".to_owned(), ToString::to_string),
        ),
        about("Set aside", format!("{} {}", at.text, at.zone)),
    ];
    facts.extend(letter.receives.map(|receives| about("Handed out", counted(receives as usize, "time"))));
    let fate = match letter.status {
        Some(Status::Rejected) => {
            Some("Its run was rejected. Handed out once more, it is made anew where its job is there now.")
        }
        Some(_) if letter.has_ended() => {
            Some("Its run has ended: nothing would come of handing it out once more.")
        }
        None if letter.run.is_some() => Some("Its run has no record."),
        _ => None,
    };
    let own = json!({
        "id": letter.id,
        "one": row(letter, &clock),
        "facts": facts,
        "fate": fate,
        "body": body(&found.body),
        "may_redrive": !ask.app.is_read_only && ask.caller.role >= Role::Editor && !letter.has_ended(),
        "may_drop": !ask.app.is_read_only && ask.caller.role >= Role::Editor,
    });
    let command = ask.words(&["dead", "show", &letter.id]);
    let head = Head::new(format!("Dead letter {}", letter.id), "workers", &command).by(&clock);
    render(&ask, "letter.html", head, own).await
}

/// The body as JSON for people, where it is JSON.
fn body(text: &str) -> Value {
    let value = parse_json(text).unwrap_or_else(|_| Value::String(text.to_owned()));
    json!(document(&value))
}

fn meant(ask: &Ask) -> Result<ActOnDead, Fault> {
    Ok(ActOnDead { letters: vec![ask.form.need("id")?.to_owned()], ..ActOnDead::default() })
}

/// Hands a letter out once more.
pub(crate) async fn redrive(ask: Ask) -> Result<Response, Fault> {
    ask.act(Role::Editor)?;
    let done = redrive_letters(ask.realm(), &meant(&ask)?).await?;
    Ok(notify(&ask, &done))
}

/// Drops a letter.
pub(crate) async fn discard(ask: Ask) -> Result<Response, Fault> {
    ask.act(Role::Editor)?;
    let done = discard_letters(ask.realm(), &DropDead { of: meant(&ask)?, yes: false }).await?;
    Ok(notify(&ask, &done))
}

fn notify(ask: &Ask, done: &DeadDone) -> Response {
    for one in &done.receipts {
        let what = match one.outcome {
            DeadOutcome::Redriven => "is handed out once more",
            DeadOutcome::Dropped => "was dropped",
            DeadOutcome::Ended => "was left where it is: its run has ended",
            DeadOutcome::Gone => "is not there any more",
            DeadOutcome::Refused => "was not taken by the dispatcher",
        };
        let why = one.error.as_deref().map(|error| format!(": {}", escaped(error))).unwrap_or_default();
        ask.tell(
            matches!(one.outcome, DeadOutcome::Redriven | DeadOutcome::Dropped),
            format!("dead letter {} {what}{why}", one.id),
        );
    }
    see("/dead")
}
