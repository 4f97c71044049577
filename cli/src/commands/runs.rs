//! `runs`: looks at runs, and cancels them.

use pumice_core::engine::{ApplyError, Dispatcher, no_such_job};
use pumice_core::ids::{BadName, JobId, RunId, RunKey};
use pumice_core::ports::{Beginning, Clock, Order, RunPage, RunQuery, RunStore};
use pumice_core::run::{IllegalTransition, Run, Status};
use pumice_core::text::{escaped, quoted};
use pumice_local::SystemClock;
use serde_json::{Value, json};

use super::registry;
use crate::args::{Format, Global, Runs};
use crate::failure::Failure;
use crate::follow::trees;
use crate::labels::labels;
use crate::output::{Column, columns, foreign_stderr, foreign_stdout, note, print};
use crate::printed::{Printed, Stream};
use crate::realm::Realm;
use crate::unstarted::unstarted;
use crate::view;

/// Lists, shows and cancels runs.
pub(super) async fn runs(global: &Global, command: Runs) -> Result<(), Failure> {
    let realm = match command {
        Runs::Cancel { .. } => Realm::open(global, false).await?,
        _ => Realm::open_to_read(global).await?,
    };
    match command {
        Runs::List { job, statuses, since, until, oldest, cursor, limit, children } => {
            if let (Some(since), Some(until)) = (since, until)
                && until.delta() >= since.delta()
            {
                let message = format!("--until {until} is not after --since {since}: no run can match");
                return Err(Failure::Wrong(message));
            }
            let now = SystemClock.now();
            let (since, until) = (since.map(|span| now - span.delta()), until.map(|span| now - span.delta()));
            let order = if oldest { Order::Oldest } else { Order::Newest };
            if cursor.as_ref().is_some_and(|cursor| cursor.order != order) {
                let advice = if oldest { "leave out --oldest" } else { "add --oldest" };
                return Err(Failure::Wrong(format!("the cursor is one of the other order: {advice}")));
            }
            let look_limit = Some(MAX_LOOKED);
            let filters = RunQuery { job, statuses, since, until, children, ..RunQuery::default() };
            list(global, &realm, &RunQuery { order, cursor, limit, look_limit, ..filters }).await
        }
        Runs::Show { run } => show(global, &realm, &find(&realm, &run).await?).await,
        Runs::Output { run } => output(global, &realm, &find(&realm, &run).await?).await,
        Runs::Cancel { runs } => {
            let mut keys = Vec::with_capacity(runs.len());
            for run in &runs {
                keys.push(find(&realm, run).await?);
            }
            let dispatcher = Dispatcher::new(realm.site().await?, registry()?);
            cancel(global, &dispatcher, &keys).await
        }
    }
}

/// Most records that one list looks at: a tenth of a second in a folder.
const MAX_LOOKED: usize = 100_000;
/// The newest run, or the newest of a job.
const LATEST: &str = "latest";
/// Fewest characters of an id that stand for it.
const MIN_PREFIX: usize = 4;
/// Fewest characters of an id in a list, where ids can be looked up by them.
const MIN_SHOWN: usize = 8;
/// The same where a look costs more: the time and some of the chance that ids are made of.
const MIN_SHOWN_UNSEEN: usize = 18;
/// Most runs that an error names.
const FEW: usize = 4;

/// The run that an argument names: an id or a prefix of one, `latest`, `latest:JOB`.
async fn find(realm: &Realm, text: &str) -> Result<RunKey, Failure> {
    let store = realm.runs();
    let (named, steps) = without_steps(text);
    if named != text
        && (named == LATEST || named.strip_prefix(LATEST).is_some_and(|rest| rest.starts_with(':')))
        && !is_job_of_latest(realm, text).await?
    {
        let root = Box::pin(find(realm, named)).await?;
        return format!("{root}{steps}").parse().map_err(|error: BadName| Failure::Wrong(error.to_string()));
    }
    if let Some(rest) = text.strip_prefix(LATEST)
        && (rest.is_empty() || rest.starts_with(':'))
    {
        let job = rest.strip_prefix(':').map(str::to_owned);
        // An alert stands under its job's name, and is no run of it.
        let query = RunQuery { job: job.clone(), without_alerts: true, limit: 1, ..RunQuery::default() };
        if let Some(run) = store.list(&query).await?.first() {
            return Ok(run.key.clone());
        }
        let Some(job) = job else {
            let message = "the realm has no runs yet: `pumice dispatch JOB` makes one";
            return Err(Failure::Wrong(message.to_owned()));
        };
        // Runs of a job that was deleted are found above.
        if let Ok(job_id) = JobId::new(&job)
            && realm.jobs().jobs(std::slice::from_ref(&job_id)).await?.iter().all(Option::is_none)
        {
            return Err(no_such_job(realm.jobs(), &job_id).await?.into());
        }
        return Err(Failure::Wrong(format!("job {} has no runs yet", quoted(&job))));
    }
    let wrong = |error: &dyn std::fmt::Display| {
        Failure::Wrong(format!("{error}: `pumice runs list` shows the ids of runs"))
    };
    let (id, steps) = text.split_at(text.find('/').unwrap_or(text.len()));
    if let Ok(run_id) = id.parse::<RunId>() {
        // As records write it.
        return format!("{run_id}{steps}").parse().map_err(|error: BadName| wrong(&error));
    }
    let small = id.to_ascii_lowercase();
    let hex = small.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    if hex && small.len() < MIN_PREFIX {
        let message =
            format!("{} is too short for the beginning of an id: give {MIN_PREFIX} characters", quoted(id));
        return Err(Failure::Wrong(message));
    }
    if !hex || small.len() > 36 {
        return Err(wrong(&text.parse::<RunId>().err().map_or_else(String::new, |error| error.to_string())));
    }
    let found = store.beginning(&small, FEW).await?;
    format!("{}{steps}", the_one(&small, &found)?).parse().map_err(|error: BadName| wrong(&error))
}

/// A text that names a run, and the way to a step behind it: `/1.0/1.2`.
fn without_steps(text: &str) -> (&str, &str) {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_step =
        |part: &str| part.split_once('.').is_some_and(|(one, two)| is_number(one) && is_number(two));
    let mut end = text.len();
    while let Some(at) = text[..end].rfind('/').filter(|at| is_step(&text[at + 1..end])) {
        end = at;
    }
    text.split_at(end)
}

/// Whether a text with `latest:` names a job whose id ends as the way to a step does.
async fn is_job_of_latest(realm: &Realm, text: &str) -> Result<bool, Failure> {
    let Some(Ok(job_id)) = text.split_once(':').map(|(_, job)| JobId::new(job)) else { return Ok(false) };
    Ok(realm.jobs().jobs(&[job_id]).await?.iter().any(Option::is_some))
}

/// The one run whose id begins so.
fn the_one<'a>(prefix: &str, found: &'a Beginning) -> Result<&'a RunKey, Failure> {
    let limit = found.looked_at.map(|most| {
        format!(
            "only the newest {most} runs and steps were looked at for ids without a time; \
             give 15 characters of an id with a time, or the whole id"
        )
    });
    let message = match (found.keys.as_slice(), limit) {
        ([one], None) => return Ok(one),
        ([], None) => format!("no such run {prefix}"),
        ([], Some(limit)) => format!("no run found whose id begins with {prefix}: {limit}"),
        ([one], Some(limit)) => format!("{prefix} begins the id of {one} and perhaps of others: {limit}"),
        (more, _) => {
            let names: Vec<&str> = more.iter().map(RunKey::as_str).collect();
            format!("{prefix} begins the ids of several runs: {}", names.join(", "))
        }
    };
    Err(Failure::Wrong(message))
}

/// The length of the id prefixes in a list: each prefix is unique in the store.
async fn shown_characters(store: &dyn RunStore, runs: &[Run]) -> Result<usize, Failure> {
    let mut ids: Vec<String> = runs.iter().map(|run| run.run_id.to_string()).collect();
    ids.sort_unstable();
    ids.dedup();
    let looked_up = store.looks_up_beginnings();
    let mut shown = if looked_up { MIN_SHOWN } else { MIN_SHOWN_UNSEEN };
    let same = |one: &str, other: &str| one.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
    for pair in ids.windows(2) {
        shown = shown.max(same(&pair[0], &pair[1]) + 1);
    }
    if looked_up {
        // Others that are not listed may begin the same.
        for id in &ids {
            while shown < id.len() && store.beginning(&id[..shown], 2).await?.keys.len() > 1 {
                shown += 1;
            }
        }
    }
    Ok(shown)
}

async fn list(global: &Global, realm: &Realm, query: &RunQuery) -> Result<(), Failure> {
    let store = realm.runs();
    let page = store.page(query).await?;
    let runs = &page.runs;
    if !global.output.is_table() {
        let shown = super::run::runs_json(store, runs).await?;
        let RunPage { next, looked_at, is_cut, .. } = &page;
        let value = json!({ "runs": shown, "next": next, "looked_at": looked_at, "is_cut": is_cut });
        print(global.output, &value, Vec::new)?;
        note(global, &page.note.into_iter().collect::<Vec<_>>());
        return Ok(());
    }
    let seen = seen(realm, runs).await?;
    let characters =
        if global.output == Format::Wide { usize::MAX } else { shown_characters(store, runs).await? };
    let id = |run: &Run| {
        let (id, steps) =
            run.key.as_str().split_at(run.key.as_str().find('/').unwrap_or(run.key.as_str().len()));
        format!("{}{steps}", id.get(..characters).unwrap_or(id))
    };
    let rows: Vec<Vec<String>> = runs
        .iter()
        .map(|run| {
            let label = seen.labels.get(&run.key).map(String::as_str).unwrap_or_default();
            let at = match global.output {
                Format::Wide => view::local_time(run.ts_dispatch),
                _ => view::short_time(run.ts_dispatch, seen.now),
            };
            vec![
                id(run),
                format!("{}{label}", escaped(run.job_id.as_str())),
                view::coloured(run.status, 0),
                at,
                view::duration(run, seen.now).map(view::short).unwrap_or_default(),
                view::remark(run, &seen),
            ]
        })
        .collect();
    let heading = [
        Column::Whole("RUN"),
        Column::Path("JOB", 12),
        Column::Whole("STATUS"),
        Column::Whole("DISPATCHED"),
        Column::Whole("TOOK"),
        Column::Text("", 8),
    ];
    print(global.output, &Value::Null, || columns(global.output, &heading, &rows))?;
    let all = store.count(query).await?;
    note(global, &told_of(query, &page, all));
    Ok(())
}

/// What there is to say of a page beside its runs: how many there are, what was looked at, and how to go on.
fn told_of(query: &RunQuery, page: &RunPage, all: Option<u64>) -> Vec<String> {
    let shown = page.runs.len();
    let mut told = vec![match all {
        Some(all) => format!("{shown} of {} runs", all.max(shown as u64)),
        None if page.next.is_none() && query.cursor.is_none() => format!("{shown} of {shown} runs"),
        None => format!("{shown} runs"),
    }];
    match &page.next {
        Some(next) if page.is_cut => told.push(format!(
            "only {} records were looked at, and there may be more: go on with --cursor {next}",
            page.looked_at
        )),
        Some(next) => told.push(format!("more with --cursor {next}")),
        None if query.cursor.is_some() => told.push("the list ends here".to_owned()),
        None => {}
    }
    told.extend(page.note.clone());
    told
}

async fn seen(realm: &Realm, runs: &[Run]) -> Result<view::Seen, Failure> {
    let labels = labels(realm.runs(), runs).await?;
    Ok(view::Seen { now: SystemClock.now(), served: realm.is_served(), labels, unstarted: Vec::new() })
}

async fn show(global: &Global, realm: &Realm, key: &RunKey) -> Result<(), Failure> {
    let store = realm.runs();
    let runs = trees(store, std::slice::from_ref(key)).await?;
    let Some(root) = runs.first() else { return Err(Failure::Wrong(format!("no such run {key}"))) };
    if !global.output.is_table() {
        return super::run::show(global, store, &runs).await;
    }
    // A list leaves out what is large.
    let whole = store.load_with_spec(key).await?;
    let root = whole.as_ref().map_or(root, |(whole, _)| whole);
    let unstarted = unstarted(store, &*registry()?, &runs).await?;
    let seen = view::Seen { unstarted, ..seen(realm, &runs).await? };
    print(global.output, &Value::Null, || {
        let mut lines = view::tree(&runs, &seen);
        lines.push(escaped(&view::trigger_line(root)).into_owned());
        lines.push(String::new());
        lines.extend(log_lines(root));
        lines.extend(view::notes(root));
        if !root.result.is_null() {
            lines.push(String::new());
            let result = serde_json::to_string_pretty(&root.result).unwrap_or_default();
            lines.extend(format!("result {result}").lines().map(|line| escaped(line).into_owned()));
        }
        lines
    })?;
    if runs.iter().any(|run| view::is_orphan(run, &seen)) {
        note(global, &["the server that ran it is gone: it goes on when one serves again".to_owned()]);
    } else if seen.served == Some(false) && runs.iter().any(|run| !run.status.is_end()) {
        note(global, &["nothing serves this folder: `pumice serve` goes on with it".to_owned()]);
    }
    Ok(())
}

/// Copies what the commands of a run and its children printed, each stream to its own; for programs, says
/// where it is.
async fn output(global: &Global, realm: &Realm, key: &RunKey) -> Result<(), Failure> {
    let store = realm.runs();
    let tree = trees(store, std::slice::from_ref(key)).await?;
    let Some(root) = tree.first() else { return Err(Failure::Wrong(format!("no such run {key}"))) };
    let definition = realm.jobs().realm().await?;
    let (outputs, s3_temp) = (realm.outputs(), definition.fields.s3_temp.as_deref());
    let mut all = Vec::new();
    // What that run dispatched are runs of their own.
    for run in tree.iter().filter(|run| run.run_id == root.run_id) {
        // A list leaves out what is large.
        let whole = store.load(&run.key).await?;
        let printed = outputs.of_all_attempts(whole.as_ref().unwrap_or(run), s3_temp);
        all.extend(printed.into_iter().map(|printed| (run, printed)));
    }
    if !global.output.is_table() {
        let mut shown = Vec::new();
        for (run, printed) in &all {
            if printed.is_recorded || outputs.is_there(&printed.location).await? {
                let Printed { attempt, stream, location, .. } = printed;
                shown.push(json!({
                    "job_id": run.job_id, "run_key": run.key, "attempt": attempt, "stream": stream.name(), "location": location,
                }));
            }
        }
        return print(global.output, &Value::from(shown), Vec::new);
    }
    let (mut notes, mut shown) = (Vec::new(), 0);
    let mut unread = None;
    for (_, Printed { stream, location, is_recorded, .. }) in &all {
        let copied = match stream {
            Stream::Stdout => outputs.copy(location, &mut *foreign_stdout()).await,
            Stream::Stderr => outputs.copy(location, &mut *foreign_stderr()).await,
        };
        match copied {
            Ok(there) => {
                shown += usize::from(there);
                if !there && *is_recorded {
                    notes.push(format!("it is gone from {location}"));
                }
            }
            // A step may have put something else in the place of what it printed; what others printed is there.
            Err(error) if unread.is_none() => unread = Some(error),
            Err(error) => notes.push(error.to_string()),
        }
    }
    if !root.status.is_end() {
        notes.push(format!("the run is {}: its commands may print more", root.status));
    } else if shown == 0 && notes.is_empty() {
        notes.push("nothing that its commands printed is kept".to_owned());
    }
    note(global, &notes);
    unread.map_or(Ok(()), |error| Err(error.into()))
}

fn log_lines(run: &Run) -> Vec<String> {
    let mut lines =
        vec![format!("run {} of {} on worker {}", run.run_id, escaped(run.job_id.as_str()), run.worker)];
    for event in &run.log.entries {
        let at = event.at.with_timezone(&chrono::Local).format("%Y-%m-%d %H:%M:%S%.3f");
        let info = match &event.info {
            Value::Null if event.status == Status::Failed => {
                escaped(run.reason.as_deref().unwrap_or_default()).into_owned()
            }
            Value::Null => String::new(),
            Value::String(text) => escaped(text).into_owned(),
            other => escaped(&other.to_string()).into_owned(),
        };
        lines.push(format!("{at}  {}  {info}", view::coloured(event.status, 13)).trim_end().to_owned());
    }
    if run.log.dropped > 0 {
        lines.push(format!("({} entries after the first were dropped: a log is bounded)", run.log.dropped));
    }
    lines
}

async fn cancel(global: &Global, dispatcher: &Dispatcher, keys: &[RunKey]) -> Result<(), Failure> {
    let mut told = Vec::new();
    let mut wrong = Vec::new();
    for key in keys {
        match dispatcher.cancel(key).await {
            Ok(run) if run.handed_over.is_some() => {
                told.push((key, "cancelled, but lava's worker may run it all the same:"));
            }
            Ok(run) if run.status.is_end() => told.push((key, "cancelled")),
            Ok(_) => told.push((key, "stopping")),
            Err(ApplyError::Illegal(IllegalTransition::Ended, run)) => {
                wrong.push(format!("run {key} has ended: {}", run.status))
            }
            Err(ApplyError::Illegal(..)) => told.push((key, "stopping")),
            Err(ApplyError::Gone(_)) => wrong.push(format!("no such run {key}")),
            Err(error) => return Err(error.into()),
        }
    }
    let value = json!({ "runs": told.iter().map(|(key, what)| json!({ "run": key, "outcome": what })).collect::<Vec<_>>() });
    print(global.output, &value, || told.iter().map(|(key, what)| format!("{what} {key}")).collect())?;
    if wrong.is_empty() { Ok(()) } else { Err(Failure::Wrong(wrong.join("; "))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beginning_of_an_id_names_a_run_only_when_no_other_can_have_it() {
        let key = |last: u8| RunKey::root(RunId(uuid::Uuid::from_u128(0xabcd << 112 | u128::from(last))));
        let answer = |keys: Vec<RunKey>, looked_at| match the_one("abcd", &Beginning { keys, looked_at }) {
            Ok(one) => one.to_string(),
            Err(Failure::Wrong(message)) => message,
            Err(other) => panic!("{other:?}"),
        };
        let one = "abcd0000-0000-0000-0000-000000000001";
        assert_eq!(answer(vec![key(1)], None), one);
        assert_eq!(answer(vec![], None), "no such run abcd");
        let several = answer(vec![key(1), key(2)], None);
        assert!(
            several.starts_with("abcd begins the ids of several runs: ") && several.contains(one),
            "{several}"
        );
        for (keys, begins) in [
            (vec![], "no run found whose id begins with abcd: only the newest 100000 runs and steps"),
            (
                vec![key(1)],
                "abcd begins the id of abcd0000-0000-0000-0000-000000000001 and perhaps of others: only",
            ),
        ] {
            let answer = answer(keys, Some(100_000));
            assert!(answer.starts_with(begins) && answer.ends_with("or the whole id"), "{answer}");
        }
    }
}
