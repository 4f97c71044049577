//! `dead`: messages and requests that were set aside.

use pumice_core::ids::WorkerName;
use pumice_core::ports::Clock;
use pumice_core::run::Status;
use pumice_core::text::escaped;
use pumice_local::SystemClock;
use pumice_service::dead::{
    self, ActOnDead, DeadDone, DeadList, DeadOutcome, DeadShown, DropDead, ListDead, ShowDead,
};

use crate::args::{Dead, DeadLetters, Format, Global};
use crate::failure::Failure;
use crate::output::{Column, columns, note, print};
use crate::target::Target;
use crate::view;

/// Most letters that were not dealt with which are shown to a person.
const MAX_LEFT: usize = 20;

/// Lists, shows, redrives and drops dead letters.
pub(super) async fn dead(global: &Global, command: Dead) -> Result<(), Failure> {
    match command {
        Dead::List { filter, limit, queues } => {
            let realm = Target::open_to_read(global).await?;
            let request = ListDead { filter, zone: None, workers: queues.workers, limit };
            let found = realm.ask(dead::list, &request).await?;
            print(global.output, &found, || table(global.output, &found.letters, "no dead letters"))?;
            note(global, &notes(&found));
            Ok(())
        }
        Dead::Show { letter, queues } => {
            let realm = Target::open_to_read(global).await?;
            let found = realm.ask(dead::show, &ShowDead { letter, workers: queues.workers }).await?;
            print(global.output, &found, || {
                let mut lines = about(&found.letter);
                lines.push(String::new());
                lines.extend(found.body.lines().map(|line| escaped(line).into_owned()));
                lines
            })
        }
        Dead::Redrive { which } => {
            let realm = Target::open(global, false).await?;
            print_done(global, &realm.ask(dead::redrive, &asked(which)).await?, "redrive")
        }
        Dead::Drop { which, yes } => {
            let realm = Target::open(global, false).await?;
            print_done(global, &realm.ask(dead::discard, &DropDead { of: asked(which), yes }).await?, "drop")
        }
    }
}

fn asked(which: DeadLetters) -> ActOnDead {
    let DeadLetters { letters, filter, dry_run, expect, queues } = which;
    ActOnDead { letters, filter, zone: None, workers: queues.workers, expect, dry_run }
}

/// Whose a letter is.
fn whose(worker: Option<&WorkerName>) -> String {
    worker.map_or_else(|| "(dispatcher)".to_owned(), ToString::to_string)
}

/// Notes on a list of letters.
fn notes(found: &DeadList) -> Vec<String> {
    let mut notes = Vec::new();
    notes.extend((found.more > 0).then(|| format!("{} more letters: --limit shows them", found.more)));
    notes.extend(found.cut.iter().map(|worker| cut(worker.as_ref())));
    notes.extend(found.without.iter().map(|worker| format!("worker {worker} has no dead-letter queue")));
    notes
}

fn cut(worker: Option<&WorkerName>) -> String {
    let whose = worker.map_or_else(|| "the dispatcher".to_owned(), |worker| format!("worker {worker}"));
    format!("the dead letters of {whose} are more than were looked at")
}

/// The outcome for a letter that is handed out once more.
fn fate(letter: &DeadShown) -> String {
    match letter.status {
        Some(Status::Rejected) => "its run was rejected".to_owned(),
        Some(status) if letter.has_ended() => format!("its run has ended: {status}"),
        Some(status) => format!("its run: {status}"),
        None if letter.run.is_some() => "its run has no record".to_owned(),
        None => String::new(),
    }
}

fn table(format: Format, letters: &[DeadShown], none: &str) -> Vec<String> {
    if letters.is_empty() {
        return vec![none.to_owned()];
    }
    let now = SystemClock.now();
    let row = |letter: &DeadShown| {
        let reason = letter.reason.as_deref().map(escaped);
        let remark: Vec<String> = [fate(letter), reason.unwrap_or_default().into_owned()]
            .into_iter()
            .filter(|one| !one.is_empty())
            .collect();
        vec![
            letter.id.clone(),
            whose(letter.worker.as_ref()),
            view::short_time(letter.at.0, now),
            letter.job_id.as_deref().map(|job| escaped(job).into_owned()).unwrap_or_default(),
            remark.join("; "),
        ]
    };
    let heading = [
        Column::Whole("LETTER"),
        Column::Path("WORKER", 8),
        Column::Whole("AT"),
        Column::Path("JOB", 8),
        Column::Text("", 8),
    ];
    columns(format, &heading, &letters.iter().map(row).collect::<Vec<_>>())
}

fn about(letter: &DeadShown) -> Vec<String> {
    let mut lines = vec![
        format!("letter {}", letter.id),
        format!("worker {}", whose(letter.worker.as_ref())),
        format!("at     {}", view::local_time(letter.at.0)),
    ];
    lines.extend(letter.receives.map(|receives| format!("taken  {receives} times")));
    lines.extend(letter.job_id.as_deref().map(|job| format!("job    {}", escaped(job))));
    lines.extend(letter.run.as_ref().map(|run| format!("run    {run}")));
    lines.extend(Some(fate(letter)).filter(|fate| !fate.is_empty()).map(|fate| format!("       {fate}")));
    lines.extend(letter.reason.as_deref().map(|reason| format!("why    {}", escaped(reason))));
    lines
}

/// Prints what was found or done. The exit status is 1 where the dispatcher refused letters.
fn print_done(global: &Global, done: &DeadDone, act: &str) -> Result<(), Failure> {
    print(global.output, done, || lines(global.output, done, act))?;
    note(global, &done.cut.iter().map(|worker| cut(worker.as_ref())).collect::<Vec<_>>());
    let refused = done.receipts.iter().any(|one| one.outcome == DeadOutcome::Refused);
    if refused { Err(Failure::RunFailed) } else { Ok(()) }
}

fn lines(format: Format, done: &DeadDone, act: &str) -> Vec<String> {
    let count = done.count;
    let letters = if count == 1 { "letter" } else { "letters" };
    if done.dry_run {
        let mut lines = table(format, &done.first, "no dead letters are meant");
        if count > done.first.len() as u64 {
            lines.push(format!("and {} more", count - done.first.len() as u64));
        }
        if count > 0 {
            let expect = done.expect.as_ref().map(|expect| format!(": add --expect {expect}"));
            let expect = expect.unwrap_or_default();
            lines.push(format!("to {act} these {count} {letters} and no others{expect}"));
        }
        return lines;
    }
    let left = |outcome: DeadOutcome, why: &str| -> Vec<String> {
        let those = done.receipts.iter().filter(|one| one.outcome == outcome);
        let lines = those.map(|one| {
            let error = one.error.as_deref().map(|error| format!(": {}", escaped(error))).unwrap_or_default();
            format!("{why} {}{error}", one.id)
        });
        lines.collect()
    };
    let mut all = left(DeadOutcome::Refused, "refused");
    all.extend(left(DeadOutcome::Ended, "its run has ended, drop it:"));
    all.extend(left(DeadOutcome::Gone, "not there any more:"));
    let more = all.len().saturating_sub(MAX_LEFT);
    all.truncate(MAX_LEFT);
    all.extend((more > 0).then(|| format!("and {more} more: -o json has them")));
    let word = if act == "drop" { "dropped" } else { "handed out once more" };
    all.push(format!("{} of {count} {letters} {word}", done.done));
    all
}
