//! `dispatch`: asks for runs.

use pumice_core::engine::Dispatcher;
use pumice_core::ids::RunKey;
use pumice_core::ports::Clock;
use pumice_core::request::{DispatchRequest, When, check_key, parse_bytes};
use pumice_local::SystemClock;
use serde_json::{Value, json};

use super::{given, instant, registry};
use crate::args::{Dispatch, Format, Global};
use crate::failure::Failure;
use crate::files::read_bytes;
use crate::follow::{Tell, any_failed, follow};
use crate::output::{note, print};
use crate::realm::Realm;

/// Takes each request by itself; says what became of each.
pub(super) async fn dispatch(global: &Global, options: Dispatch) -> Result<(), Failure> {
    let realm = Realm::open(global, false).await?;
    let site = realm.site().await?;
    let (requests, mut refused) = match &options.file {
        Some(file) => from_file(file, site.zone.tz())?,
        None => (from_options(&options, site.zone)?, Vec::new()),
    };
    if let (Some(at), Some(When::At(instant))) = (&options.at, requests.first().map(|request| request.when))
        && instant < SystemClock.now()
    {
        note(global, &[format!("--at {at} is past: what is asked for starts now")]);
    }
    let names: Vec<String> = requests.iter().map(|request| request.job_id.to_string()).collect();
    let dispatcher = Dispatcher::new(site, registry()?);
    let outcomes = dispatcher.dispatch(requests, None).await;
    let mut taken = Vec::new();
    let mut unreachable = None;
    for (name, outcome) in names.into_iter().zip(outcomes) {
        match outcome {
            Ok(accepted) => taken.push(accepted),
            Err(pumice_core::job_type::DispatchError::Store(error)) => {
                unreachable = Some(Failure::from(error))
            }
            Err(error) => refused.push((name, error.to_string())),
        }
    }
    let accepted = taken.iter().map(|run| json!({ "job_id": run.job_id, "run_id": run.run_id, "status": run.status, "existing": run.existing }));
    let errors = refused.iter().map(|(place, error)| json!({ "request": place, "error": error }));
    let mut value =
        json!({ "accepted": accepted.collect::<Vec<Value>>(), "refused": errors.collect::<Vec<Value>>() });
    let follows = options.wait && !taken.is_empty();
    if !follows || global.output == Format::Table {
        print(global.output, &value, || {
            let note = |existing| if existing { "  (was there already)" } else { "" };
            taken.iter().map(|run| format!("{}  {}{}", run.run_id, run.job_id, note(run.existing))).collect()
        })?;
    }
    let mut failed = false;
    if follows {
        let roots: Vec<RunKey> = taken.iter().map(|run| RunKey::root(run.run_id)).collect();
        let (outputs, tell) = (realm.outputs(), Tell::fitting(global.quiet));
        let runs = follow(realm.runs(), &roots, &outputs, tell, Some(realm.unserved())).await?;
        if global.output == Format::Table {
            super::run::show(global, realm.runs(), &runs).await?;
        } else {
            value["runs"] = super::run::runs_json(realm.runs(), &runs).await?.into();
            print(global.output, &value, Vec::new)?;
        }
        failed = any_failed(&runs);
    }
    if let Some(failure) = unreachable {
        return Err(failure);
    }
    if !refused.is_empty() {
        let lines: Vec<String> =
            refused.into_iter().map(|(place, error)| format!("{place}: {error}")).collect();
        return Err(Failure::Wrong(lines.join("\n       ")));
    }
    if failed { Err(Failure::RunFailed) } else { Ok(()) }
}

type Refused = Vec<(String, String)>;

fn from_file(
    file: &std::path::Path,
    zone: chrono_tz::Tz,
) -> Result<(Vec<DispatchRequest>, Refused), Failure> {
    let body = read_bytes(file).map_err(|error| Failure::Wrong(format!("{}: {error}", file.display())))?;
    let (mut requests, mut refused) = (Vec::new(), Vec::new());
    for parsed in parse_bytes(&body, zone) {
        match parsed {
            Ok(request) => requests.push(request),
            Err(bad) => refused.push((bad.place, bad.error.to_string())),
        }
    }
    if requests.is_empty() && refused.is_empty() {
        return Err(Failure::Wrong(format!("{} holds no request", file.display())));
    }
    Ok((requests, refused))
}

fn from_options(options: &Dispatch, zone: pumice_template::Zone) -> Result<Vec<DispatchRequest>, Failure> {
    let (globals, parameters) = given(&options.given)?;
    let when = match (&options.delay, &options.at) {
        (Some(delay), _) => DispatchRequest::after(*delay)
            .map_err(|error| Failure::Wrong(format!("--delay: {}", error.replace("\"at\"", "--at"))))?,
        (None, Some(at)) => When::At(instant("--at", at, zone)?),
        (None, None) => When::Now,
    };
    if let Some(key) = &options.key {
        check_key(key).map_err(|error| Failure::Wrong(format!("--key: {error}")))?;
    }
    let request = |job: &pumice_core::ids::JobId| DispatchRequest {
        job_id: job.clone(),
        parameters: parameters.clone(),
        globals: globals.clone(),
        when,
        idempotency_key: options.key.clone(),
    };
    Ok(options.jobs.iter().map(request).collect())
}
