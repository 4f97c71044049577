//! Backfills: begun, looked at, cancelled, resumed.

use axum::http::StatusCode;
use axum::response::Response;
use pumice_core::clock::backfill::Only;
use pumice_core::ids::JobId;
use pumice_core::text::escaped;
use pumice_service::Instant;
use pumice_service::schedules::{
    BackfillAnswer, BackfillForeseen, BackfillName, BackfillShown, BeginBackfill, CancelBackfill,
    ResumeBackfill, begin as begin_backfill, cancel as cancel_backfill, resume_backfill,
    show as show_backfill,
};
use serde_json::{Value, json};

use super::schedules::{form_clock, page as schedules_page, range_end, time};
use super::{Head, render};
use crate::access::Role;
use crate::answer::{Fault, see};
use crate::ask::Ask;
use crate::view::{Clock, Words, about, counted, job_link, link, run_link};

/// Most slots that are shown of what a backfill would start.
const MAX_SLOTS: usize = 50;

fn place(id: &str) -> String {
    link("/backfill", &[("id", id)])
}

/// A backfill in a list.
pub(super) fn row(one: &BackfillShown, clock: &Clock) -> Value {
    let job = one.job_id.as_str();
    let done = one.planned.saturating_sub(one.left);
    json!({
        "id": one.id, "href": place(&one.id), "job": escaped(job), "job_href": job_link(job), "state": one.state,
        "from": clock.moment(one.from.0), "to": clock.moment(one.to.0), "begun": clock.moment(one.begun.0),
        "done": done, "planned": one.planned, "failed": one.failed, "by": escaped(&one.by), "why": escaped(&one.why),
    })
}

/// The page.
pub(crate) async fn show(ask: Ask) -> Result<Response, Fault> {
    let id = ask.query.need("id")?.to_owned();
    let one = show_backfill(ask.realm(), &BackfillName { id: id.clone() }).await?.backfill;
    let clock = ask.clock_of(Some(&one.job_id)).await?;
    let moment = |at: pumice_service::Slot| {
        let moment = clock.moment(at.0);
        format!("{} {}", moment.text, moment.zone)
    };
    let mut facts = vec![
        about("From", moment(one.from)),
        about("To", moment(one.to)),
        about("Begun", moment(one.begun)),
        about("At the same time", one.max_active.to_string()),
        about("Started", one.started.to_string()),
        about("Completed", one.completed.to_string()),
        about("Failed", one.failed.to_string()),
        about("Passed over", one.passed_over.to_string()),
        about("Left", one.left.to_string()),
    ];
    facts.extend((!one.by.is_empty()).then(|| about("By", escaped(&one.by))));
    facts.extend((!one.why.is_empty()).then(|| about("Why", escaped(&one.why))));
    facts.extend(one.ended.map(|at| about("Ended", moment(at))));
    let why = one.stopped.as_ref().map(|stopped| stopped.why.clone());
    let why =
        why.or_else(|| one.cancelled.as_ref().map(|one| format!("cancelled by {}: {}", one.by, one.why)));
    let under_way: Vec<Value> = one
        .under_way
        .iter()
        .map(|run| {
            json!({ "slot": clock.moment(run.slot.0), "entry": run.entry, "run": run.run_id.as_str(),
            "href": run_link(run.run_id.as_str()), "word": "under way" })
        })
        .collect();
    let bad: Vec<Value> = one.bad.iter().map(|run| {
        let id = run.run_id.map(|id| id.to_string());
        json!({ "slot": clock.moment(run.slot.0), "entry": run.entry, "href": id.as_deref().map(run_link), "run": id,
            "word": run.status.map_or("its record is gone", pumice_core::run::Status::as_str) })
    }).collect();
    let own = json!({
        "backfill": row(&one, &clock),
        "facts": facts,
        "why_stopped": why,
        "under_way": under_way,
        "bad": bad,
        "runs_href": link("/runs", &[("backfill", &one.id)]),
        "can_cancel": one.state == "active",
        "can_resume": matches!(one.state.as_str(), "cancelled" | "stopped"),
    });
    let command = ask.words(&["schedules", "backfills", "show", &id]);
    render(
        &ask,
        "backfill.html",
        Head::new(format!("Backfill {id}"), "schedules", &command).live("runs").by(&clock),
        own,
    )
    .await
}

/// Begins a backfill, or shows what it would start.
pub(crate) async fn begin(ask: Ask) -> Result<Response, Fault> {
    if !ask.form.has("try") {
        ask.act(Role::Operator)?;
    }
    ask.form.need("id")?;
    let shown = match answered(&ask).await {
        Ok(BackfillAnswer::Begun(begun)) => {
            let word = if begun.existing { "was begun already" } else { "begun" };
            let notes = begun.notes.iter().map(|note| format!("; {note}")).collect::<String>();
            ask.tell(true, format!("backfill {} {word}{notes}", begun.backfill.id));
            return Ok(see(&place(&begun.backfill.id)));
        }
        Ok(BackfillAnswer::Foreseen(foreseen)) => {
            Ok(foreseen_shown(&ask, &foreseen, &form_clock(&ask).await?))
        }
        // The form may be corrected on the page, which keeps it.
        Err(fault) if fault.status == StatusCode::BAD_REQUEST => Err(fault),
        Err(fault) => return Err(fault),
    };
    // A zone that does not exist is what is refused.
    let clock = match form_clock(&ask).await {
        Ok(clock) => clock,
        Err(_) => ask.clock().await?,
    };
    let command = command(&ask, clock.zone.name())?;
    match shown {
        Ok(shown) => schedules_page(ask, shown, Some(command)).await,
        Err(fault) => {
            let shown = json!({ "trouble": fault.message, "form": form_of(&ask) });
            let mut response = schedules_page(ask, shown, Some(command)).await?;
            *response.status_mut() = fault.status;
            Ok(response)
        }
    }
}

/// What the form asks for, done or tried.
async fn answered(ask: &Ask) -> Result<BackfillAnswer, Fault> {
    let id = ask.form.need("id")?;
    let job: JobId = id.parse().map_err(|error: pumice_core::ids::BadName| Fault::bad(error.to_string()))?;
    let needed = |name: &str, at: Option<_>| {
        at.map(Instant).ok_or_else(|| Fault::bad(format!("the field {name} is missing")))
    };
    let only = ask.form.get("only").unwrap_or("missing");
    let only: Only =
        serde_json::from_value(json!(only)).map_err(|error| Fault::bad(format!("only: {error}")))?;
    let request = BeginBackfill {
        job,
        entry: ask.form.parsed("entry")?,
        from: needed("from", time(ask, "from").await?)?,
        to: needed("to", range_end(ask, "to").await?)?,
        only,
        max_active: ask.form.parsed("max_active")?.unwrap_or(1),
        reverse: ask.form.has("reverse"),
        key: None,
        by: ask.caller.name.clone(),
        why: ask.form.get("why").unwrap_or_default().to_owned(),
        dry_run: ask.form.has("try"),
    };
    Ok(begin_backfill(ask.realm(), &request).await?)
}

/// The command that shows the same.
fn command(ask: &Ask, zone: &str) -> Result<Words, Fault> {
    let text = |name: &str| ask.form.get(name);
    Ok(ask
        .words(&["schedules", "backfill", ask.form.need("id")?])
        .option("--from", text("from"))
        .option("--to", text("to"))
        .option("--tz", Some(zone))
        .option("--entry", text("entry"))
        .option("--only", text("only").filter(|only| *only != "missing"))
        .option("--max-active", text("max_active").filter(|most| *most != "1"))
        .switch("--reverse", ask.form.has("reverse"))
        .option("--why", text("why"))
        .switch("--dry-run", true))
}

/// The form as it was sent.
fn form_of(ask: &Ask) -> Value {
    let text = |name: &str| ask.form.get(name).unwrap_or_default();
    json!({ "from": text("from"), "to": text("to"), "only": text("only"), "max_active": text("max_active"),
        "why": text("why"), "entry": text("entry"), "reverse": ask.form.has("reverse"), "zone": text("zone") })
}

fn foreseen_shown(ask: &Ask, foreseen: &BackfillForeseen, clock: &Clock) -> Value {
    let slots = foreseen.slots.iter().take(MAX_SLOTS).map(|slot| {
        json!({ "at": clock.moment(slot.slot.0), "local": slot.local, "zone": slot.zone, "entry": slot.entry,
            "starts": slot.starts })
    });
    json!({
        "trouble": Value::Null,
        "summary": match &foreseen.existing {
            Some(known) => format!("backfill {} was begun already: nothing would be started", known.id),
            None => format!("{} of {} would be started", foreseen.starts, counted(foreseen.planned, "slot")),
        },
        "slots": slots.collect::<Vec<_>>(),
        "more": foreseen.slots.len().saturating_sub(MAX_SLOTS),
        "notes": foreseen.notes,
        "form": form_of(ask),
    })
}

/// Cancels a backfill.
pub(crate) async fn cancel(ask: Ask) -> Result<Response, Fault> {
    ask.act(Role::Operator)?;
    let id = ask.form.need("id")?.to_owned();
    let request = CancelBackfill {
        id: id.clone(),
        runs: ask.form.has("runs"),
        by: ask.caller.name.clone(),
        why: ask.form.get("why").unwrap_or_default().to_owned(),
        dry_run: false,
    };
    let done = cancel_backfill(ask.realm(), &request).await?;
    let runs = done.runs_cancelled.filter(|runs| *runs > 0);
    let runs = runs.map(|runs| format!(", {} asked to stop", counted(runs, "run"))).unwrap_or_default();
    ask.tell(done.changed, format!("backfill {id} {}{runs}", done.backfill.state));
    Ok(see(&place(&id)))
}

/// Has a backfill go on.
pub(crate) async fn resume(ask: Ask) -> Result<Response, Fault> {
    ask.act(Role::Operator)?;
    let id = ask.form.need("id")?.to_owned();
    let done = resume_backfill(ask.realm(), &ResumeBackfill { id: id.clone(), dry_run: false }).await?;
    ask.tell(done.changed, format!("backfill {id} {}", done.backfill.state));
    Ok(see(&place(&id)))
}
