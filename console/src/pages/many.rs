//! Acts on all runs that a filter means: a look that counts them, and the act, which is refused where others are meant by then.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::Response;
use pumice_core::filter::Filter;
use pumice_core::spec::Timezone;
use pumice_core::text::escaped;
use pumice_service::runs::{
    Heard, ManyDone, ManyOutcome, ManyRuns, RetryMany, Step, cancel_many_heard, delete_many_heard,
    retry_many_heard,
};
use pumice_service::{Error, Expected, Instant};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::{JoinError, JoinHandle};

use super::{Head, render};
use crate::access::Role;
use crate::answer::{Fault, see};
use crate::ask::{Ask, Fields};
use crate::view::{Clock, StatusShown, counted, job_link, link, run_link};

/// How long a page waits for an act to end.
const MOMENT: Duration = Duration::from_secs(2);
/// Most runs that an act refused which are listed one by one.
const MAX_LISTED: usize = 5;

/// An act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Cancel,
    Retry,
    Delete,
}

impl Act {
    fn of(fields: &Fields) -> Result<Self, Fault> {
        match fields.need("act")? {
            "cancel" => Ok(Self::Cancel),
            "retry" => Ok(Self::Retry),
            "delete" => Ok(Self::Delete),
            _ => Err(Fault::bad("act: cancel, retry or delete")),
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Retry => "retry",
            Self::Delete => "delete",
        }
    }

    const fn role(self) -> Role {
        match self {
            Self::Cancel | Self::Retry => Role::Operator,
            Self::Delete => Role::Editor,
        }
    }

    /// What it does, for the user that is to confirm it.
    const fn about(self) -> &'static str {
        match self {
            Self::Cancel => "A run that waits never starts; one that runs is stopped.",
            Self::Retry => {
                "Each is done again by a new run, which keeps the steps that ended well; none is done again twice."
            }
            Self::Delete => "Their records are gone for good, and so is what their commands printed.",
        }
    }

    async fn carry_out(self, ask: &Ask, runs: ManyRuns, heard: Heard<'_>) -> Result<ManyDone, Error> {
        let realm = ask.realm();
        match self {
            Self::Cancel => cancel_many_heard(realm, &runs, heard).await,
            Self::Retry => retry_many_heard(realm, &RetryMany { runs, ..RetryMany::default() }, heard).await,
            Self::Delete => delete_many_heard(realm, &runs, heard).await,
        }
    }

    /// Counts the runs that it would be done to.
    async fn look(self, ask: &Ask, runs: ManyRuns) -> Result<ManyDone, Error> {
        self.carry_out(ask, ManyRuns { dry_run: true, ..runs }, &mut |_| {}).await
    }
}

/// The filter of a request. Times in it that name no zone are in the page's.
fn meant(fields: &Fields, clock: &Clock) -> Result<ManyRuns, Fault> {
    let (filter, zone) = (fields.need("where")?.to_owned(), Some(Timezone(clock.zone)));
    Ok(ManyRuns { filter, zone, ..ManyRuns::default() })
}

/// The page: how many runs are meant, and the first of them.
pub(crate) async fn show(ask: Ask) -> Result<Response, Fault> {
    let (act, clock) = (Act::of(&ask.query)?, ask.clock_of_list(&ask.query).await?);
    if let Some(place) = ask.with_offsets(clock.zone, Filter::with_offsets) {
        return Ok(place);
    }
    let request = meant(&ask.query, &clock)?;
    let filter = request.filter.clone();
    // A fault of the filter is shown where it can be corrected.
    let (found, trouble) = match act.look(&ask, request).await {
        Ok(found) => (found, None),
        Err(error) if error.kind().is_of_request() => (ManyDone::default(), Some(error.message().to_owned())),
        Err(error) => return Err(error.into()),
    };
    let clocks = ask.clocks(found.first.iter().map(|run| &run.job_id)).await?;
    let first = found.first.iter().map(|run| {
        json!({ "run": run.run.as_str(), "href": run_link(run.run.as_str()), "job": escaped(run.job_id.as_str()),
            "job_href": job_link(run.job_id.as_str()), "status": StatusShown::from(run.status),
            "dispatched": clocks.of(&run.job_id).moment(run.ts_dispatch.0), "reason": run.reason.as_deref().map(escaped) })
    });
    let first: Vec<Value> = first.collect();
    let count = usize::try_from(found.count).unwrap_or(usize::MAX);
    let before = found.before.and_then(|before| serde_json::to_value(before).ok());
    let own = json!({
        "act": act.word(),
        "about": act.about(),
        "where": filter,
        "terms": found.filter,
        "expect": found.expect,
        "summary": counted(count, "run"),
        "before": before,
        "more": count.saturating_sub(first.len()),
        "first": first,
        "trouble": trouble,
        "note": found.note,
        "does_nothing": found.does_nothing(),
        "may_act": !ask.app.is_read_only && ask.caller.role >= act.role(),
        "back_href": link("/runs", &[("where", &filter)]),
    });
    let words = match act {
        Act::Delete => ask.words(&["runs", "delete"]).option("--where", Some(&filter)),
        act => ask.words(&["runs", act.word()]).option("--where", Some(&filter)),
    };
    let head = Head::new(
        format!("{} {}", capital(act.word()), counted(count, "run")),
        "runs",
        &words.switch("--dry-run", true),
    );
    render(&ask, "many.html", head.live(""), own).await
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// Carries the act out on the runs that the page has shown, and on no others.
pub(crate) async fn act(ask: Ask) -> Result<Response, Fault> {
    let act = Act::of(&ask.form)?;
    ask.act(act.role())?;
    let clock = ask.clock_of_list(&ask.form).await?;
    let before: Instant = serde_json::from_value(json!(ask.form.need("before")?))
        .map_err(|error| Fault::bad(format!("before: {error}")))?;
    let expect: Expected =
        ask.form.parsed("expect")?.ok_or_else(|| Fault::bad("the field expect is missing"))?;
    if expect.digest.is_none() {
        return Err(Fault::bad("expect: the digest of the runs that the page has shown is missing"));
    }
    let request = ManyRuns { expect: Some(expect), before: Some(before), ..meant(&ask.form, &clock)? };
    let filter = request.filter.clone();
    let ask = Arc::new(ask);
    let (begun, id) = oneshot::channel();
    let carrying = {
        let (ask, mut begun) = (ask.clone(), Some(begun));
        let mut heard = move |step: Step<'_>| {
            if let (Step::Begun { id, .. }, Some(begun)) = (step, begun.take()) {
                // The page may have gone.
                let _ = begun.send(id.to_owned());
            }
        };
        tokio::spawn(async move { act.carry_out(&ask, request, &mut heard).await })
    };
    let done = match within(carrying, id).await {
        Outcome::Over(done) => done?,
        Outcome::GoesOn(id) => return Ok(see(&super::bulk::place(&id))),
    };
    if let (Some(_), Some(id)) = (&done.stopped, &done.bulk) {
        return Ok(see(&super::bulk::place(id)));
    }
    ask.tell(done.refused == 0, summary(act, &done));
    Ok(see(&link("/runs", &[("where", &filter)])))
}

/// The state of an act when its page answers.
pub(super) enum Outcome<T> {
    /// It is over.
    Over(Result<T, Fault>),
    /// It goes on, and has a record with this id.
    GoesOn(String),
}

/// Waits for an act that was begun, for a moment: one that takes longer has a page of its own.
pub(super) async fn within<T>(
    mut carrying: JoinHandle<Result<T, Error>>,
    id: oneshot::Receiver<String>,
) -> Outcome<T> {
    let broke = |error: JoinError| {
        tracing::error!(%error, "an act on many runs broke off");
        Fault::new(StatusCode::INTERNAL_SERVER_ERROR, "the act broke off")
    };
    let over = |joined: Result<Result<T, Error>, JoinError>| match joined {
        Ok(done) => Outcome::Over(done.map_err(Fault::from)),
        Err(error) => Outcome::Over(Err(broke(error))),
    };
    match tokio::time::timeout(MOMENT, &mut carrying).await {
        Ok(joined) => over(joined),
        Err(_) => match id.await {
            Ok(id) => Outcome::GoesOn(id),
            // It had no record to make.
            Err(_) => over(carrying.await),
        },
    }
}

/// The outcome for the runs, in a sentence.
fn summary(act: Act, done: &ManyDone) -> String {
    let number = |count: u64| counted(usize::try_from(count).unwrap_or(usize::MAX), "run");
    let word = match act {
        Act::Cancel => "cancelled or asked to stop",
        Act::Retry => "done again",
        Act::Delete => "deleted",
    };
    let mut parts = vec![format!("{} {word}", number(done.done))];
    let before = match act {
        Act::Cancel => "asked to stop before, or ended",
        Act::Retry => "done again before",
        Act::Delete => "gone before",
    };
    parts.extend((done.already > 0).then(|| format!("{} {before}", done.already)));
    let refused = done.receipts.iter().filter(|one| one.outcome == ManyOutcome::Refused);
    let refused =
        refused.take(MAX_LISTED).filter_map(|one| Some(format!("{}: {}", one.run, one.error.as_ref()?)));
    parts.extend((done.refused > 0).then(|| format!("{} refused", done.refused)));
    parts.extend(refused);
    parts.join("; ")
}
