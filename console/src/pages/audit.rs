//! The audit: acts on the realm with their actor, time and origin.

use axum::response::Response;
use pumice_core::audit::{ActOutcome, Target};
use pumice_core::filter::AuditFilter;
use pumice_core::spec::Timezone;
use pumice_core::text::escaped;
use pumice_service::audit::{AuditList, AuditShown, ListAudit, ShowAudit, list, show as show_entry};
use serde_json::{Value, json};

use super::{Head, render};
use crate::answer::Fault;
use crate::ask::Ask;
use crate::view::{Clock, counted, document, link};

/// Most entries of a page.
const SHOWN: usize = 100;
/// Most targets of an entry that a row names.
const MAX_NAMED: usize = 3;

/// The page.
pub(crate) async fn show(ask: Ask) -> Result<Response, Fault> {
    let clock = ask.clock().await?;
    if let Some(place) = ask.with_offsets(clock.zone, AuditFilter::with_offsets) {
        return Ok(place);
    }
    let filter = ask.query.get("where");
    let request = ListAudit {
        filter: filter.map(str::to_owned),
        zone: Some(Timezone(clock.zone)),
        cursor: ask.query.get("cursor").map(str::to_owned),
        limit: SHOWN,
        details: false,
    };
    // A fault of the filter is shown where it can be corrected.
    let (found, trouble) = match list(ask.realm(), &request).await {
        Ok(found) => (found, None),
        Err(error) if error.kind().is_of_request() => {
            let none = AuditList { entries: Vec::new(), next: None, looked_at: 0, is_cut: false, unsure: 0 };
            (none, Some(error.message().to_owned()))
        }
        Err(error) => return Err(error.into()),
    };
    let rows: Vec<Value> = found.entries.iter().map(|entry| row(entry, &clock)).collect();
    let next = found.next.as_deref().map(|next| {
        let query = [("where", filter.unwrap_or_default()), ("cursor", next)];
        link("/audit", &query)
    });
    let own = json!({
        "where": filter,
        "summary": counted(rows.len(), "entry").replace("entrys", "entries"),
        "rows": rows,
        "next": next,
        "is_cut": found.is_cut,
        "unsure": found.unsure,
        "looked_at": found.looked_at,
        "trouble": trouble,
    });
    let command = ask.words(&["audit", "list"]).option("--where", filter);
    render(&ask, "audit.html", Head::new("Audit", "audit", &command), own).await
}

/// The sign and the tone of an outcome: not by its colour alone.
const fn look(outcome: ActOutcome) -> (&'static str, &'static str) {
    match outcome {
        ActOutcome::Done => ("✓", "good"),
        ActOutcome::Asked => ("○", "calm"),
        ActOutcome::Refused => ("–", "odd"),
        ActOutcome::Failed => ("✗", "bad"),
    }
}

fn row(entry: &AuditShown, clock: &Clock) -> Value {
    let (sign, tone) = look(entry.outcome);
    let named: Vec<String> = entry.what.iter().take(MAX_NAMED).map(named).collect();
    json!({
        "id": entry.id,
        "href": link("/audit/entry", &[("id", &entry.id)]),
        "at": clock.moment(entry.at.0),
        "who": escaped(&entry.who),
        "from": entry.from.as_str(),
        "host": entry.host.as_deref().map(escaped),
        "act": escaped(&entry.act),
        "what": named,
        "more": entry.what.len().saturating_sub(MAX_NAMED) as u64 + entry.unnamed,
        "unnamed": entry.unnamed,
        "outcome": json!({ "sign": sign, "tone": tone, "word": entry.outcome.as_str() }),
        "error": entry.error.as_deref().map(escaped),
    })
}

fn named(target: &Target) -> String {
    escaped(&target.to_string()).into_owned()
}

/// The page of one entry.
pub(crate) async fn one(ask: Ask) -> Result<Response, Fault> {
    let clock = ask.clock().await?;
    let id = ask.query.need("id")?.to_owned();
    ask.app.refresh().await;
    let entry = show_entry(ask.realm(), &ShowAudit { entry: id.clone() }).await?;
    let changes = entry.changes.iter().map(|change| {
        let value = |value: &Option<Value>| value.as_ref().map(document);
        json!({ "of": named(&change.of), "field": escaped(&change.field), "before": value(&change.before),
            "after": value(&change.after) })
    });
    let own = json!({
        "entry": row(&entry, &clock),
        "all": entry.what.iter().map(named).collect::<Vec<_>>(),
        "ended": entry.ended.map(|at| clock.moment(at.0)),
        "asked": (!entry.asked.is_null()).then(|| document(&entry.asked)),
        "answer": (!entry.answer.is_null()).then(|| document(&entry.answer)),
        "changes": changes.collect::<Vec<_>>(),
        "is_open": entry.outcome == ActOutcome::Asked,
    });
    let command = ask.words(&["audit", "show", &id]);
    let title = format!("{} by {}", entry.act, entry.who);
    render(&ask, "audit-entry.html", Head::new(title, "audit", &command).live(""), own).await
}
