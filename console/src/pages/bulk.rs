//! Acts on many runs: how far they have come, what became of each run; stopped and resumed.

use std::sync::Arc;

use axum::response::Response;
use pumice_core::text::escaped;
use pumice_service::runs::{
    BulkShown, ListBulk, ManyOutcome, ResumeBulk, ShowBulk, Step, StopBulk, list_bulk, resume_bulk_heard,
    show_bulk, stop_bulk,
};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::many::{Outcome, within};
use super::{Head, render};
use crate::access::Role;
use crate::answer::{Fault, see};
use crate::ask::Ask;
use crate::view::{Clock, about, link, run_link};

/// How many acts are listed.
const LISTED: usize = 100;
/// Most receipts on a page.
const MAX_RECEIPTS: usize = 500;

/// Where an act is shown.
pub(super) fn place(id: &str) -> String {
    link("/bulk", &[("id", id)])
}

fn row(one: &BulkShown, clock: &Clock) -> Value {
    json!({
        "id": one.id, "href": place(&one.id), "act": one.act.as_str(), "state": one.state,
        "where": escaped(&one.filter), "begun": clock.moment(one.begun.0), "by": escaped(&one.by),
        "dealt": one.count - one.left, "count": one.count, "refused": one.refused,
    })
}

/// The list.
pub(crate) async fn list(ask: Ask) -> Result<Response, Fault> {
    let clock = ask.clock().await?;
    let found = list_bulk(ask.realm(), &ListBulk { filter: None, limit: LISTED }).await?;
    let rows: Vec<Value> = found.bulk.iter().map(|one| row(one, &clock)).collect();
    let command = ask.words(&["runs", "bulk", "list"]);
    let head = Head::new("Acts on many runs".to_owned(), "runs", &command);
    render(&ask, "bulks.html", head.live("runs"), json!({ "rows": rows })).await
}

/// The page of an act.
pub(crate) async fn show(ask: Ask) -> Result<Response, Fault> {
    let id = ask.query.need("id")?.to_owned();
    let outcome = match ask.query.get("outcome") {
        None => None,
        Some(word) => {
            let found = ManyOutcome::ALL.into_iter().find(|outcome| outcome.as_str() == word);
            Some(found.ok_or_else(|| Fault::bad(format!("outcome: there is no {word:?}")))?)
        }
    };
    let cursor = ask.query.parsed("cursor")?.unwrap_or(0);
    let clock = ask.clock().await?;
    let found = show_bulk(ask.realm(), &ShowBulk { id: id.clone(), outcome, cursor }).await?;
    let one = &found.bulk;
    let moment = |at: pumice_service::Instant| {
        let moment = clock.moment(at.0);
        format!("{} {}", moment.text, moment.zone)
    };
    let mut facts = vec![
        about("Runs", escaped(&one.filter)),
        about("Dispatched before", moment(one.before)),
        about("By", escaped(&one.by)),
        about("Begun", moment(one.begun)),
        about("Last write", moment(one.last_write)),
        about("Done", one.done.to_string()),
        about("Dealt with before", one.already.to_string()),
        about("Refused", one.refused.to_string()),
        about("Left", one.left.to_string()),
    ];
    facts.extend(one.why.as_deref().map(|why| about("Why", escaped(why))));
    facts.extend(one.ended.map(|at| about("Ended", moment(at))));
    let trouble = match (&one.stopped, &one.error) {
        (Some(stop), _) => Some(format!("stopped by {}: {}", stop.by, stop.why)),
        (None, Some(error)) => Some(error.clone()),
        _ => (one.state == "interrupted").then(|| "its process has written nothing for a while".to_owned()),
    };
    let receipts: Vec<Value> = found
        .receipts
        .iter()
        .take(MAX_RECEIPTS)
        .map(|one| {
            json!({ "run": one.run.as_str(), "href": run_link(one.run.as_str()), "outcome": one.outcome.as_str(),
                "by": one.by.as_ref().map(|by| by.as_str()), "by_href": one.by.as_ref().map(|by| run_link(by.as_str())),
                "error": one.error.as_deref().map(escaped) })
        })
        .collect();
    let own = json!({
        "bulk": row(one, &clock),
        "facts": facts,
        "trouble": trouble.as_deref().map(escaped),
        "more": found.receipts.len().saturating_sub(receipts.len()),
        "receipts": receipts,
        "refused_href": link("/bulk", &[("id", &id), ("outcome", "refused")]),
        "next_href": found.next.map(|next| link("/bulk", &[("id", &id), ("cursor", &next.to_string())])),
        "can_stop": matches!(one.state.as_str(), "active" | "interrupted"),
        "can_resume": matches!(one.state.as_str(), "interrupted" | "failed" | "stopped"),
    });
    let command = ask.words(&["runs", "bulk", "show", &id]);
    let head = Head::new(format!("Act {id}"), "runs", &command);
    render(&ask, "bulk.html", head.live("runs"), own).await
}

/// Stops an act.
pub(crate) async fn stop(ask: Ask) -> Result<Response, Fault> {
    ask.act(Role::Operator)?;
    let id = ask.form.need("id")?.to_owned();
    let why = ask.form.get("why").unwrap_or_default().to_owned();
    let done = stop_bulk(ask.realm(), &StopBulk { id: id.clone(), why, dry_run: false }).await?;
    ask.tell(done.changed, format!("act {id} is {}", done.bulk.state));
    Ok(see(&place(&id)))
}

/// Goes on with an act.
pub(crate) async fn resume(ask: Ask) -> Result<Response, Fault> {
    // It may be one that deletes.
    ask.act(Role::Editor)?;
    let id = ask.form.need("id")?.to_owned();
    let request = ResumeBulk { id: id.clone(), dry_run: false };
    let ask = Arc::new(ask);
    let (begun, on) = oneshot::channel();
    let carrying = {
        let (ask, mut begun) = (ask.clone(), Some(begun));
        let mut heard = move |step: Step<'_>| {
            if let (Step::Begun { id, .. }, Some(begun)) = (step, begun.take()) {
                // The page may have gone.
                let _ = begun.send(id.to_owned());
            }
        };
        tokio::spawn(async move { resume_bulk_heard(ask.realm(), &request, &mut heard).await })
    };
    if let Outcome::Over(done) = within(carrying, on).await {
        let done = done?;
        ask.tell(done.bulk.refused == 0, format!("act {id} is {}", done.bulk.state));
    }
    Ok(see(&place(&id)))
}
