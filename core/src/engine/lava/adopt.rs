//! Messages that lava's dispatch sent: they have no record, and get one when they arrive.

use std::sync::Arc;

use serde_json::Value;

use crate::engine::fresh::{asked, record};
use crate::engine::jobs::{Checked, Jobs};
use crate::engine::ledger::Ledger;
use crate::engine::ledger::apply::unfit;
use crate::ids::{JobId, RunKey};
use crate::message::Message;
use crate::ports::StoreError;
use crate::request::DispatchRequest;
use crate::run::{Input, Lineage, NewRun, Run, Status, Worker};
use crate::spec::RunSpec;

/// The outcome of a message without a record.
#[expect(clippy::large_enum_variant, reason = "one at a time, and taken apart at once")]
pub(in crate::engine) enum Adopted {
    /// It has one now.
    Run(Run, RunSpec),
    /// It can never be run, for this reason.
    Refused(String),
}

/// Whether a run is the record of a message that was turned away: its job was missing or invalid. When the message is
/// put back, it is looked at anew.
pub(in crate::engine) fn was_turned_away(run: &Run) -> bool {
    run.status == Status::Rejected && run.job_type == UNKNOWN_TYPE && !run.is_child()
}

/// Makes the record of a message that has none, or one that says that the message was turned away, from the job as it stands
/// now.
///
/// # Errors
/// [`StoreError`] when the store cannot be reached.
pub(in crate::engine) async fn adopt(
    ledger: &Ledger,
    jobs: &Jobs,
    message: &Message,
    over: Option<Run>,
) -> Result<Adopted, StoreError> {
    if message.run_key.is_some() {
        return Ok(Adopted::Refused("there is no record of this step".to_owned()));
    }
    let job = match jobs.stored(&message.job_id).await? {
        None => return turn_away(ledger, message, format!("no such job {}", message.job_id)).await,
        Some(Err(error)) => {
            let reason = format!("job {} has an invalid spec: {error}", message.job_id);
            return turn_away(ledger, message, reason).await;
        }
        Some(Ok(job)) => job,
    };
    let request = DispatchRequest {
        parameters: message.parameters.clone().unwrap_or_default(),
        globals: message.globals.clone().unwrap_or_default(),
        ..DispatchRequest::new(message.job_id.clone())
    };
    let (request, lineage) = adopted_lineage(request);
    let Checked { job, warnings, .. } = match jobs.specialise(&job, &request, None) {
        Ok(checked) => checked,
        Err(error) => return turn_away(ledger, message, error.to_string()).await,
    };
    let now = ledger.now();
    let mut run = record(
        &job,
        RunKey::root(message.run_id),
        message.run_id,
        now,
        now,
        ledger.site().settings.event_ttl.longest(),
    );
    run.warn(&warnings, now);
    run.ts_dispatch = crate::request::parse_instant(&message.ts_dispatch)
        .map_or(now, |instant| instant.in_zone(chrono_tz::UTC));
    run.lineage = lineage;
    if job.fields.pool.is_some() || job.fields.concurrency.is_some() {
        let realm = ledger.site().ports.jobs.realm().await?;
        run.permit = jobs.permit(&run, &job, &realm).await?;
    }
    let asked = Some(asked(&request, None));
    let spec = RunSpec { asked, ..RunSpec::of_job(job.document.clone()) };
    if let Some(over) = over {
        return adopt_anew(ledger, NewRun { run, spec }, over).await;
    }
    let making = [(NewRun { run, spec }, None)];
    let created = ledger.create_one(&making).await?;
    let [(NewRun { run, spec }, _)] = making;
    if let Some(why) = created.refused {
        return turn_away(ledger, message, why).await;
    }
    match created.existing {
        None => Ok(Adopted::Run(run, spec)),
        Some(existing) => {
            let found = ledger.site().ports.runs.load_with_spec(&run.key).await?;
            // One that was removed since is not made anew: its first write finds that out.
            let (run, spec) = found.unwrap_or((*existing, spec));
            Ok(Adopted::Run(run, spec))
        }
    }
}

/// Makes a run whose message was turned away before. The reason for that stays in its log.
async fn adopt_anew(ledger: &Ledger, mut new: NewRun, over: Run) -> Result<Adopted, StoreError> {
    let reason = over.reason.clone().unwrap_or_default();
    (new.run.rev, new.run.epoch) = (over.rev + 1, over.epoch + 1);
    let about = format!("its message was put back; before: {reason}");
    new.run.log = over.log;
    new.run.log.push(Status::Dispatched, ledger.now(), Value::String(about));
    match ledger.site().ports.runs.make_anew(&new).await {
        Ok(true) => Ok(Adopted::Run(new.run, new.spec)),
        Ok(false) => Ok(Adopted::Refused(reason)),
        // Another delivery of the same message was faster: this one comes again, and finds what it made.
        Err(error) => Err(error.into()),
    }
}

/// Makes the record of a message that can never be run, which says why.
///
/// # Errors
/// [`StoreError`] when the record is not known to be made: the message is to come again.
async fn turn_away(ledger: &Ledger, message: &Message, reason: String) -> Result<Adopted, StoreError> {
    let now = ledger.now();
    let about = (message.job_id.clone(), UNKNOWN_TYPE.to_owned(), message.worker.clone());
    let (key, keep) = (RunKey::root(message.run_id), ledger.site().settings.event_ttl.longest());
    let run = Run::dispatched(key, message.run_id, about, now, now, keep);
    let input = Input::Close {
        epoch: run.epoch,
        status: Status::Rejected,
        reason: reason.clone(),
        on_fail: false,
        tell_parent: false,
        worker: Worker("none".to_owned()),
        until: now,
    };
    let run = ledger.decide_new(&run, input).map_err(|error| unfit(&run.key, error))?;
    let spec = RunSpec::of_job(Arc::default());
    // One that is there already has its outcome.
    let created = ledger.create_one(&[(NewRun { run, spec }, None)]).await?;
    if let Some(why) = created.refused {
        let (run_id, job_id) = (message.run_id, &message.job_id);
        tracing::error!(%run_id, %job_id, reason, %why, "a message is rejected without a record");
    }
    Ok(Adopted::Refused(reason))
}

/// The type of a job that is not known.
const UNKNOWN_TYPE: &str = "unknown";

/// Takes what lava keeps under `globals.lava` out of a message's globals.
fn adopted_lineage(mut request: DispatchRequest) -> (DispatchRequest, Option<Lineage>) {
    let own = request.globals.remove("lava");
    request.globals.retain(|name, _| !crate::spec::is_reserved_global(name));
    let lineage = own.and_then(|own| {
        let text = |name: &str| own.get(name).and_then(Value::as_str);
        let instant = |name: &str| {
            crate::request::parse_instant(text(name)?).ok().map(|instant| instant.in_zone(chrono_tz::UTC))
        };
        Some(Lineage {
            master_job_id: JobId::stored(text("master_job_id")?).ok()?,
            master_start: instant("master_start")?,
            parent_job_id: JobId::stored(text("parent_job_id")?).ok()?,
            parent_start: instant("parent_start")?,
            depth: 1,
            foreach_index: own.get("foreach_index").and_then(Value::as_u64).and_then(|at| at.try_into().ok()),
            master_sent: true,
        })
    });
    (request, lineage)
}
