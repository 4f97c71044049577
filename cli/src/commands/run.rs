//! `run`: one job, here and now, followed to its end.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use pumice_core::connection::{ConnectionSpec, ConnectionStore, Secrets};
use pumice_core::engine::Dispatcher;
use pumice_core::ids::{JobId, RunKey};
use pumice_core::job_type::{DispatchError, Registry};
use pumice_core::ports::{Catalog, Clock, Doc, RunStore};
use pumice_core::request::DispatchRequest;
use pumice_core::run::Run as RunRecord;
use pumice_core::spec::{JobSpec, RealmSpec};
use pumice_core::text::escaped;
use pumice_local::{Durability, FolderSecrets, Home, Serve, SystemClock, Workers};
use pumice_service::Realm as _;
use pumice_service::runs::{self as service, RunTree, Viewpoint, all_complete, cancel_tree, follow, trees};
use pumice_service::specs::{self, Specs, Surroundings};

use super::{given as given_values, prepare_for_commands, runners};
use crate::args::{Global, Run};
use crate::failure::Failure;
use crate::files;
use crate::follow::{Tell, Teller};
use crate::output::{note, print, tell_line, warn};
use crate::printed::{FolderOutputs, Kept};
use crate::realm::{Realm, more_secrets, registry};
use crate::signals::requests_to_stop;
use crate::view;

/// Makes a realm for the run, dispatches the job through its queue, and runs workers until
/// everything that it caused has ended.
pub(super) async fn run(global: &Global, options: Run) -> Result<(), Failure> {
    let runners = runners()?;
    let registry = runners.registry().clone();
    let (globals, parameters) = given_values(&options.given)?;
    let temporary = tempfile::Builder::new().prefix("pumice-run-").tempdir()?;
    let folder = options.keep.as_deref().unwrap_or(temporary.path());
    let given = specs_of(global, &options, &registry).await?;
    let home = realm_of(global, &options, folder, given).await?;
    let database = home.database().clone();
    let lock = home.lock(SystemClock.now()).await?;
    let remove = options.keep.is_none().then(|| temporary.path());
    let slots = prepare_for_commands(remove, options.slots, &options.containment);
    let site = home.site().await?;

    let dispatcher = Dispatcher::new(site.clone(), registry.clone());
    let request = DispatchRequest { globals, parameters, ..DispatchRequest::new(options.job.clone()) };
    let mut outcomes = dispatcher.dispatch(vec![request], None).await;
    let Some(accepted) = outcomes.pop() else {
        return Err(Failure::store("the store gave no answer"));
    };
    let accepted = accepted.map_err(|error| match error {
        DispatchError::NoSuchJob { job_id, .. } if Path::new(&job_id).exists() => Failure::wrong(format!(
            "no such job {job_id}; there is a file of that name: say --jobs {job_id}, and which job of it to run"
        )),
        other => other.into(),
    })?;
    let root = RunKey::root(accepted.run_id);

    let (ended, on_end) = tokio::sync::oneshot::channel::<()>();
    let mut first = requests_to_stop()?;
    let mut second = first.clone();
    // Jobs that are looked up are not meant to start by themselves.
    let serve = Serve { slots, clock: false, ..Serve::default() };
    let workers = Workers::new(database.clone(), site, runners, serve);
    let stop = async move {
        // The followed runs have ended, or following failed: either way nothing is left to run.
        let _ = on_end.await;
    };
    let serving = tokio::spawn(workers.serve(stop, std::future::ready(())));
    let kept = if options.keep.is_some() { Kept::ForGood } else { Kept::UntilTheEnd };
    let outputs = FolderOutputs::new(home.path());
    let mut teller = Teller::new(Tell::fitting(global.quiet), &outputs, kept, String::new());
    let roots = [root.clone()];
    let followed = tokio::select! {
        followed = follow(&database, &SystemClock, &roots, &mut teller, None) => followed,
        _ = first.wait_for(|count| *count > 0) => {
            // Ctrl-C: what waits never starts, what runs is stopped.
            cancel_tree(&dispatcher, &database, &root).await?;
            tokio::select! {
                followed = follow(&database, &SystemClock, &roots, &mut teller, None) => followed,
                _ = second.wait_for(|count| *count > 1) => trees(&database, &roots).await,
            }
        }
    };
    drop(teller);
    drop(ended);
    // The workers end by themselves; what they have to say was logged.
    let _ = serving.await;
    let ended = home.end(lock).await;
    let runs = followed?;
    show(global, &database, &runs).await?;
    ended.map_err(|fault| Failure::store(fault.to_string()))?;
    if let Some(kept) = &options.keep
        && !global.quiet
    {
        tell_line(&format!("kept in {}", kept.display()));
    }
    if all_complete(&runs, &roots, options.allow_skipped) { Ok(()) } else { Err(Failure::RunFailed) }
}

/// A realm in a folder with what a run is made with.
async fn realm_of(global: &Global, options: &Run, folder: &Path, given: Given) -> Result<Home, Failure> {
    let Given { jobs, connections, realm } = given;
    let named = realm.as_ref().map(|realm| realm.fields.realm.clone()).or_else(|| global.realm.clone());
    let home = Home::open(folder, named.as_ref(), true, Durability::Normal).await?;
    let home = home.with_secrets(secrets_of(global));
    let home = home.with_messaging(crate::outside::messaging()).with_servers(crate::outside::servers());
    put_definition(&home, realm, payloads_of(global, options).await?).await?;
    let database = home.database();
    database.put_connections(connections, false).await?;
    database.put_jobs(jobs, false).await?;
    Ok(home)
}

/// The input of a new run.
struct Given {
    jobs: Vec<JobSpec>,
    connections: Vec<ConnectionSpec>,
    realm: Option<RealmSpec>,
}

/// The secrets of the realm that the options name, whatever realm the jobs run in.
fn secrets_of(global: &Global) -> Arc<dyn Secrets> {
    let more = more_secrets();
    match more {
        Some(more) if global.is_aws() => more,
        more => Arc::new(FolderSecrets::new(&global.home, more)),
    }
}

/// The jobs to run with, and the realm's definition, if there is one. Warns of the job that is asked for.
async fn specs_of(global: &Global, options: &Run, registry: &Registry) -> Result<Given, Failure> {
    let (given, allowed) = if options.jobs.is_empty() {
        (jobs_of_home(global, &options.job).await?, HashMap::new())
    } else {
        let read = files::documents(&options.jobs);
        let specs = specs::read(read, registry, SystemClock.now(), &Surroundings::default())?;
        let Specs { jobs, connections, realm, allowed, .. } = specs;
        (Given { jobs, connections, realm }, allowed)
    };
    if let Some(job) = given.jobs.iter().find(|job| job.fields.job_id == options.job) {
        let settings = given.realm.as_ref().map(|realm| realm.settings.clone()).unwrap_or_default();
        let mut advice = registry.advise_job(job, &settings);
        let allowed = allowed.get(&options.job).cloned().unwrap_or_else(|| specs::allowed(&job.document));
        advice
            .retain(|warning| warning.name.is_none_or(|name| !allowed.iter().any(|allowed| allowed == name)));
        warn(global, &advice.iter().map(|warning| format!("{}: {warning}", options.job)).collect::<Vec<_>>());
    }
    Ok(given)
}

/// Puts the realm's definition, if there is one, with the folder of payloads that was named.
async fn put_definition(
    home: &Home,
    realm: Option<RealmSpec>,
    payloads: Option<String>,
) -> Result<(), Failure> {
    let mut document = realm.map(|realm| Arc::unwrap_or_clone(realm.document));
    if let Some(payloads) = payloads {
        let document = document.get_or_insert_with(Doc::new);
        document.entry("realm").or_insert_with(|| home.realm().to_string().into());
        document.insert("s3_payloads".to_owned(), payloads.into());
    }
    if let Some(document) = document {
        home.database().put_realm(document).await?;
    }
    Ok(())
}

/// Where payloads are, if that is not where the realm that is made for the run has its own: in the folder that is named, or
/// where the realm's folder has them that the jobs come from.
async fn payloads_of(global: &Global, options: &Run) -> Result<Option<String>, Failure> {
    let text = |path: &Path| {
        let path =
            path.canonicalize().map_err(|error| Failure::wrong(format!("{}: {error}", path.display())))?;
        let text = path.to_str().map(str::to_owned);
        text.ok_or_else(|| Failure::wrong(format!("{}: the path is not UTF-8", path.display())))
    };
    if let Some(folder) = &options.payloads {
        return text(folder).map(Some);
    }
    if !options.jobs.is_empty() || global.is_aws() {
        return Ok(None);
    }
    let realm = Realm::open_to_read(global).await?.jobs().realm().await?;
    let folder = realm.fields.s3_payloads.as_deref().map(Path::new);
    folder.filter(|folder| folder.is_dir()).map(text).transpose()
}

/// The jobs of a realm that is there. An invalid one is left out, unless it is the one that is `asked` for.
async fn jobs_of_home(global: &Global, asked: &JobId) -> Result<Given, Failure> {
    if !global.is_aws() && !global.home.join("pumice.db").exists() {
        let message =
            "where are the job specs? name their file or folder with --jobs, or a realm's folder with --home";
        return Err(Failure::wrong(message));
    }
    let realm = Realm::open(global, false).await?;
    if global.is_aws() {
        note(global, &[format!("with the jobs of realm {} on AWS; they run on this machine", realm.name())]);
    }
    let mut jobs = Vec::new();
    for (job_id, document) in realm.catalog().all_jobs().await? {
        match pumice_core::spec::JobSpec::from_checked(Arc::new(document)) {
            Ok(job) => jobs.push(job),
            Err(error) if job_id == *asked => {
                return Err(DispatchError::BadSpec { job_id: job_id.to_string(), error }.into());
            }
            Err(error) => warn(global, &[format!("{}: left out: {error}", escaped(job_id.as_str()))]),
        }
    }
    let mut connections = Vec::new();
    for (conn_id, document) in realm.connections().all_connections().await? {
        match ConnectionSpec::stored(document) {
            Ok(connection) => connections.push(connection),
            Err(error) => warn(global, &[format!("{}: left out: {error}", escaped(conn_id.as_str()))]),
        }
    }
    Ok(Given { jobs, connections, realm: None })
}

/// Prints runs: the tree for people, everything for programs.
async fn show(global: &Global, store: &dyn RunStore, runs: &[RunRecord]) -> Result<(), Failure> {
    let tree = tree(global, store, runs).await?;
    print(global.output, &tree, || view::tree(global.output, &tree, SystemClock.now()))
}

/// Runs as a tree, with what the format of the results needs.
pub(crate) async fn tree(
    global: &Global,
    store: &dyn RunStore,
    runs: &[RunRecord],
) -> Result<RunTree, Failure> {
    let from = Viewpoint { now: SystemClock.now(), served: None };
    Ok(service::tree(store, &*registry()?, runs, from, !global.output.is_table()).await?)
}
