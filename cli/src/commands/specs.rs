//! `apply`, `plan`, `check`, `jobs` and `schema`.

mod plan;
mod there;

pub(super) use plan::place_lines;

use pumice_core::clock::utc;
use pumice_core::connection::connection_schema;
use pumice_core::job_type::job_schema;
use pumice_core::ports::{Clock, Doc};
use pumice_core::schema::schema_of;
use pumice_core::spec::RealmFields;
use pumice_core::text::{counted, escaped};
use pumice_core::trigger::TriggerFields;
use pumice_local::SystemClock;
use pumice_service::Realm as _;
use pumice_service::specs::{
    Applied, AppliedRealm, ChangeWord, CheckSpecs, Checked, DeleteJobs, DocumentKind, Documents, EntryShown,
    FieldChange, JobList, JobName, ListJobs, MovedEntries, NextSlot, Specs, Surroundings, Terms, TouchedJob,
    Warning, all_new, check_in, delete, list, other_realm, plan_new, plan_specs, put_on, read,
    refuse_warnings, show, show_standing, surroundings, warning_lines, without_workers,
};
use serde_json::Value;

use super::pauses;
use crate::args::{Apply, Check, Format, Global, Jobs, Plan, SchemaOf, Sources};
use crate::environment::Environment;
use crate::failure::Failure;
use crate::files;
use crate::output::{Column, columns, note, print, warn};
use crate::realm::{Realm, registry};
use crate::target::Target;

/// Adds and updates job specs, all or none, removes what is pruned, and says what changed.
pub(super) async fn apply(global: &Global, options: &Apply) -> Result<(), Failure> {
    if global.url.is_some() {
        return there::apply(global, options).await;
    }
    let there = is_there(global);
    let (own, specs) = specs_of(global, &options.sources, options.strict).await?;
    let terms = Terms {
        dry_run: options.dry_run,
        prune: options.prune.scope.clone(),
        despite_runs: options.despite_runs,
        expect: options.expect.clone(),
        if_match: None,
    };
    let applied = match (options.dry_run, there) {
        (true, false) if terms.prune.is_none() && terms.expect.is_none() => all_new(&specs),
        (true, _) => put_on(&Realm::open_to_read(&own).await?, specs, &terms).await?,
        (false, false) if terms.prune.is_some() => {
            // A folder that is not there has nothing to prune: is it the right one?
            return Err(plan_new(&specs, terms.prune.as_ref())
                .err()
                .map_or(Failure::RunFailed, Failure::from));
        }
        (false, _) => {
            let realm = Realm::open(&own, true).await?;
            let applied = put_on(&realm, specs, &terms).await?;
            let waits = |realm: &AppliedRealm| realm.fields.iter().any(|one| one.field != POOLS);
            if applied.realm.as_ref().is_some_and(waits) && realm.is_served() == Some(true) {
                note(global, &[LATER.to_owned()]);
            }
            applied
        }
    };
    print(global.output, &applied, || applied_lines(global.output, &applied))
}

/// Shows what `apply` would do.
pub(super) async fn plan(global: &Global, options: &Plan) -> Result<(), Failure> {
    let scope = options.prune.scope.as_ref();
    let planned = if global.url.is_some() {
        there::plan(global, options).await?
    } else {
        let there = is_there(global);
        let (own, specs) = specs_of(global, &options.sources, options.strict).await?;
        match there {
            false => plan_new(&specs, scope)?,
            true => plan_specs(&Realm::open_to_read(&own).await?, &specs, scope).await?,
        }
    };
    print(global.output, &planned, || plan::lines(global.output, &planned))?;
    match options.exit_code && planned.is_change() {
        true => Err(Failure::RunFailed),
        false => Ok(()),
    }
}

/// Reads specs together with the realm that is there, and gives the options that name the realm which they are for.
async fn specs_of(global: &Global, sources: &Sources, strict: bool) -> Result<(Global, Specs), Failure> {
    let around = if is_there(global) { around(global).await? } else { Surroundings::default() };
    let documents = documents(global, sources, &around)?;
    let mut specs = read(documents, &*registry()?, SystemClock.now(), &around)?;
    if global.is_aws() && around.realm.is_some() {
        let realm = Realm::open_to_read(global).await?;
        specs.warnings.extend(without_workers(&realm, &specs, around.realm.as_ref()).await?);
    }
    advise(global, &specs.warnings, strict)?;
    let named = specs.realm.as_ref().map(|realm| realm.fields.realm.clone());
    // A file does not overrule the command or its environment: they must name the same realm.
    let is_named = global.is_aws() && std::env::var_os("LAVA_REALM").is_some();
    let named = named.filter(|_| !is_named);
    let own = Global { realm: global.realm.clone().or(named.clone()), ..global.clone() };
    if let (Some(asked), Some(named)) = (&global.realm, &named)
        && asked != named
    {
        return Err(other_realm(named, asked).into());
    }
    Ok((own, specs))
}

/// The note about a realm's definition that changes while it is served.
const LATER: &str = "the server of this folder has read the settings at its start: those that changed count when `pumice serve` \
                     is started anew, those of schedules and the pools at once";
/// The field of a definition that counts at once.
const POOLS: &str = "pools";

/// The documents of files, built for an environment where one is given.
fn documents(global: &Global, sources: &Sources, around: &Surroundings) -> Result<Documents, Failure> {
    let Some(file) = &sources.env else { return Ok(files::documents(&sources.paths)) };
    let realm = around.realm.as_ref().map(|realm| Doc::clone(&realm.document));
    let environment = Environment::read(file)?.in_realm(realm);
    let built = files::built(&sources.paths, Some(&environment));
    if built.left_out > 0 {
        let count = counted(built.left_out, "file");
        note(global, &[format!("nothing for environment {} in {count}", escaped(environment.name()))]);
    }
    Ok(built.documents)
}

/// Whether there is a realm already, in a folder or on AWS.
fn is_there(global: &Global) -> bool {
    global.is_aws() || global.home.join("pumice.db").exists()
}

/// The realm that is there, to look at specs in. The defaults where a file must name the realm first.
async fn around(global: &Global) -> Result<Surroundings, Failure> {
    let named = global.realm.is_some() || std::env::var_os("LAVA_REALM").is_some();
    if global.is_aws() && !named {
        return Ok(Surroundings { is_aws: true, ..Surroundings::default() });
    }
    let around = surroundings(&Realm::open_to_read(global).await?).await?;
    note(global, &around.notes);
    Ok(around)
}

/// Shows the warnings about specs; with `strict` there must be none.
fn advise(global: &Global, warnings: &[Warning], strict: bool) -> Result<(), Failure> {
    if strict {
        refuse_warnings(warnings)?;
    }
    warn_of(global, warnings);
    Ok(())
}

/// Prints warnings; those that are the same about several documents are printed once, with the first of these, or all of them
/// where the format is wide.
fn warn_of(global: &Global, warnings: &[Warning]) {
    let most = if global.output == Format::Wide { usize::MAX } else { MAX_SAME };
    warn(global, &warning_lines(warnings, most));
}

fn applied_lines(format: Format, applied: &Applied) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(realm) = &applied.realm {
        lines.push(format!("{:<9} realm {}", realm.change.as_str(), realm.realm));
        // The definition is replaced as a whole: fields that are gone must be shown.
        lines.extend(realm.fields.iter().flat_map(difference));
    }
    for job in applied.jobs.iter().filter(|job| job.change != ChangeWord::Unchanged) {
        lines.push(format!("{:<9} {}", job.change.as_str(), escaped(job.job_id.as_str())));
        lines.extend(job.fields.iter().flat_map(difference));
    }
    for trigger in applied.triggers.iter().filter(|trigger| trigger.change != ChangeWord::Unchanged) {
        let (change, id) = (trigger.change.as_str(), escaped(trigger.trigger_id.as_str()));
        lines.push(format!("{change:<9} trigger {id}"));
        lines.extend(trigger.fields.iter().flat_map(difference));
    }
    for one in applied.connections.iter().filter(|one| one.change != ChangeWord::Unchanged) {
        lines.push(format!("{:<9} connection {}", one.change.as_str(), escaped(one.conn_id.as_str())));
        lines.extend(one.fields.iter().flat_map(difference));
    }
    for one in &applied.removed {
        let kind = match one.kind {
            DocumentKind::Job => String::new(),
            other => format!("{} ", other.as_str()),
        };
        lines.push(format!("removed   {kind}{}", escaped(&one.id)));
        let is_it = |touched: &&TouchedJob| one.kind == DocumentKind::Job && touched.job_id == one.id;
        lines.extend(applied.touched.iter().filter(is_it).flat_map(|touched| {
            plan::touched_lines(format, touched.schedule.as_ref(), touched.unended.as_ref())
        }));
    }
    lines.extend(applied.users.iter().map(plan::user_line));
    lines.extend(applied.moved.iter().flat_map(moved_lines));
    let changes: Vec<ChangeWord> = applied
        .jobs
        .iter()
        .map(|job| job.change)
        .chain(applied.triggers.iter().map(|trigger| trigger.change))
        .chain(applied.connections.iter().map(|one| one.change))
        .chain(applied.realm.iter().map(|realm| realm.change))
        .collect();
    let count = |change| changes.iter().filter(|one| **one == change).count();
    let (added, updated) = (count(ChangeWord::Added), count(ChangeWord::Updated));
    let note = if applied.dry_run { " (dry run: nothing was changed)" } else { "" };
    let unchanged = count(ChangeWord::Unchanged);
    let removed = match applied.removed.len() {
        0 => String::new(),
        count => format!("{count} removed, "),
    };
    lines.push(format!("{added} added, {updated} updated, {removed}{unchanged} unchanged{note}"));
    lines
}

/// Entries that start at other times than before.
fn moved_lines(moved: &MovedEntries) -> Vec<String> {
    let mut lines = vec![match moved.count {
        1 => "1 entry of another job moves:".to_owned(),
        count => format!("{count} entries of other jobs move:"),
    }];
    let next = |next: &NextSlot| {
        let zone = next.zone.as_deref().map(|zone| format!(" ({zone})")).unwrap_or_default();
        let none = || next.trouble.clone().unwrap_or_else(|| "never".to_owned());
        next.slot.map_or_else(none, |slot| utc(slot.0)) + &zone
    };
    for one in &moved.entries {
        let (before, after) = (next(&one.before), next(&one.after));
        let line = format!("    {} entry {}: next {before}, now {after}", one.job_id, one.entry);
        lines.push(escaped(&line).into_owned());
    }
    if moved.count > moved.entries.len() {
        lines.push(format!("    … and {} more", moved.count - moved.entries.len()));
    }
    lines
}

/// A field as it was and as it is.
fn difference(change: &FieldChange) -> Vec<String> {
    let FieldChange { field, before, after } = change;
    let line = |sign: char, value: &Value| escaped(&format!("    {sign} {field}: {value}")).into_owned();
    let before = before.as_ref().map(|value| line('-', value));
    before.into_iter().chain(after.as_ref().map(|value| line('+', value))).collect()
}

/// Checks job specs together with the realm that exists, and reports every problem.
pub(super) async fn check(global: &Global, options: &Check) -> Result<(), Failure> {
    let checked = match global.url {
        Some(_) => there::check(global, options).await?,
        None => checked_here(global, options).await?,
    };
    warn_of(global, &checked.warnings);
    print(global.output, &checked, || checked_lines(global.output, &checked))
}

async fn checked_here(global: &Global, options: &Check) -> Result<Checked, Failure> {
    let around = match is_there(global) {
        false => Surroundings::default(),
        true => around(global).await.or_else(|failure| match global.is_aws() {
            true => Err(failure),
            false => {
                let why = failure.message().unwrap_or_default();
                note(global, &[format!("checked without the realm in {}: {why}", global.home.display())]);
                Ok(Surroundings::default())
            }
        })?,
    };
    let request = CheckSpecs { specs: documents(global, &options.sources, &around)?, strict: options.strict };
    Ok(check_in(&*registry()?, SystemClock.now(), &around, request)?)
}

/// Most documents that are named for a warning which is the same about each, unless all are asked for.
const MAX_SAME: usize = 5;
/// Most entries of schedules that `check` says in words, unless it is asked for all.
const MAX_ENTRIES: usize = 50;

fn checked_lines(format: Format, checked: &Checked) -> Vec<String> {
    let entries = &checked.schedules;
    let shown = if format == Format::Wide { usize::MAX } else { MAX_ENTRIES };
    let mut lines: Vec<String> = entries.iter().take(shown).map(entry_line).collect();
    if format == Format::Wide {
        let rendering = checked.rendering.iter();
        lines.extend(rendering.map(|one| format!("{}: {}", escaped(one.job_id.as_str()), one.when)));
    }
    if entries.len() > shown {
        lines.push(format!("… and {} more: -o wide shows all", entries.len() - shown));
    }
    let (jobs, files) = (counted(checked.jobs.len(), "job"), counted(checked.files, "file"));
    let found = match checked.warnings.len() {
        0 => "all right".to_owned(),
        count => counted(count, "warning"),
    };
    let others = [(checked.triggers.len(), "trigger"), (checked.connections.len(), "connection")];
    let others = others.into_iter().filter(|(count, _)| *count > 0);
    let others: String = others.map(|(count, what)| format!(" and {}", counted(count, what))).collect();
    lines.push(format!("{jobs}{others} in {files}, {found}"));
    lines
}

fn entry_line(entry: &EntryShown) -> String {
    let number = if entry.entries > 1 { format!(" {}", entry.entry) } else { String::new() };
    let next =
        entry.next.map(|next| format!("; next {}", next.0.format("%Y-%m-%d %H:%M:%SZ"))).unwrap_or_default();
    let enabled = if entry.enabled { "" } else { "; the job is not enabled" };
    escaped(&format!("{}{number}: {}{next}{enabled}", entry.job_id, entry.what)).into_owned()
}

/// Lists, shows and deletes jobs.
pub(super) async fn jobs(global: &Global, command: Jobs) -> Result<(), Failure> {
    let realm = match command {
        Jobs::Pause { jobs, terms } => return pauses::pause_jobs(global, jobs, terms).await,
        Jobs::Resume { jobs, dry_run } => return pauses::resume_jobs(global, jobs, dry_run).await,
        Jobs::Delete { dry_run: false, .. } => Target::open(global, false).await?,
        Jobs::List { .. } | Jobs::Show { .. } | Jobs::Delete { .. } => Target::open_to_read(global).await?,
    };
    match command {
        Jobs::List { pattern, filter } => {
            let found = realm.ask(list, &ListJobs { pattern, filter }).await?;
            print(global.output, &found, || job_table(global.output, &found))?;
            if global.output.is_table() {
                note(global, &[format!("{} of {} jobs", found.jobs.len(), found.all)]);
            }
            let unread = found.unread.iter();
            let unread = unread.map(|one| format!("job {} cannot be read: {}", one.job_id, one.trouble));
            warn(global, &unread.map(|text| escaped(&text).into_owned()).collect::<Vec<_>>());
            Ok(())
        }
        Jobs::Show { job } => {
            let (doc, has_drifted) = match &realm {
                Target::Here(here) => show_standing(&**here, &JobName { job }).await?,
                // A console shows the spec alone.
                Target::There(_) => (realm.ask(show, &JobName { job }).await?, false),
            };
            if has_drifted {
                let message = "it was changed by other means since it was applied: `pumice plan` with its file shows how";
                note(global, &[message.to_owned()]);
            }
            match global.output {
                Format::Yaml => print(Format::Yaml, &doc, Vec::new),
                _ => print(Format::Json, &doc, Vec::new),
            }
        }
        Jobs::Delete { jobs, dry_run } => delete_jobs(global, &realm, jobs, dry_run).await,
        // Dealt with above.
        Jobs::Pause { .. } | Jobs::Resume { .. } => Ok(()),
    }
}

fn job_table(format: Format, found: &JobList) -> Vec<String> {
    let text = |doc: &Doc, name: &str| match doc.get(name) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => escaped(text).into_owned(),
        Some(other) => escaped(&other.to_string()).into_owned(),
    };
    let row = |doc: &Doc| {
        let enabled = if doc.contains_key("enabled") { text(doc, "enabled") } else { "false".to_owned() };
        vec![text(doc, "job_id"), text(doc, "type"), text(doc, "worker"), enabled, text(doc, "description")]
    };
    let heading = [
        Column::Path("JOB", 24),
        Column::Text("TYPE", 8),
        Column::Path("WORKER", 12),
        Column::Text("ENABLED", 8),
        Column::Text("DESCRIPTION", 12),
    ];
    columns(format, &heading, &found.jobs.iter().map(row).collect::<Vec<_>>())
}

/// Deletes jobs by id or pattern, and warns of jobs that still name a deleted one.
async fn delete_jobs(
    global: &Global,
    realm: &Target,
    jobs: Vec<String>,
    dry_run: bool,
) -> Result<(), Failure> {
    let deleted = realm.ask(delete, &DeleteJobs { jobs, if_match: None, dry_run }).await?;
    print(global.output, &deleted, || {
        let done = if dry_run { "would delete" } else { "deleted" };
        let words = |deleted| if deleted { done } else { "not there:" };
        deleted.jobs.iter().map(|job| format!("{} {}", words(job.deleted), escaped(&job.job_id))).collect()
    })?;
    let users = deleted.users.iter().map(|user| {
        let (job, names) = (escaped(user.job_id.as_str()), user.names.join(", "));
        let still = if dry_run { "would still name" } else { "still names" };
        format!("job {job} {still} {}", escaped(&names))
    });
    warn(global, &users.collect::<Vec<_>>());
    match deleted.jobs.iter().all(|job| job.deleted) {
        true => Ok(()),
        false => Err(Failure::wrong("not every job was there")),
    }
}

/// Prints a JSON Schema.
pub(super) fn schema(global: &Global, of: SchemaOf) -> Result<(), Failure> {
    let value = match of {
        SchemaOf::Job => job_schema(&*registry()?),
        SchemaOf::Realm => schema_of::<RealmFields>(),
        SchemaOf::Trigger => schema_of::<TriggerFields>(),
        SchemaOf::Connection => connection_schema(),
    };
    match global.output {
        Format::Yaml => print(Format::Yaml, &value, Vec::new),
        _ => print(Format::Json, &value, Vec::new),
    }
}
