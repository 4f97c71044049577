//! Runs that do another again: which there are of a run, and whether there may be one more.

use super::fresh::keyed_run;
use crate::ids::{RealmName, RunKey};
use crate::ports::{RunStore, StoreError};
use crate::run::{Run, Status, replay_key};

/// Most times that one run is done again.
const MAX_REPLAYS: u32 = 100;
/// How many in a row may have been deleted of the runs that do one again.
const MAX_GAP: u32 = 1;
/// Most runs that are followed each of which does the one before again.
const MAX_HOPS: usize = 100;

/// The runs that do this one again, in their order: their names follow from its own.
///
/// # Errors
/// [`StoreError`] when the store cannot be reached.
pub async fn replays(store: &dyn RunStore, realm: &RealmName, run: &Run) -> Result<Vec<Run>, StoreError> {
    let (mut replays, mut gap) = (Vec::new(), 0);
    for number in 1..=MAX_REPLAYS {
        match store.peek(&replay(realm, run, number)).await? {
            Some(replay) if does_again(&replay, run) => {
                replays.push(replay);
                gap = 0;
            }
            // It may have been deleted, and a later one be there.
            _ if gap < MAX_GAP => gap += 1,
            _ => break,
        }
    }
    Ok(replays)
}

/// The run that does this one again for this time, if there is one.
fn replay(realm: &RealmName, run: &Run, number: u32) -> RunKey {
    RunKey::root(keyed_run(realm, &run.job_id, &replay_key(&run.key, number)))
}

/// Whether a run has been done again, however that came out.
///
/// # Errors
/// [`StoreError`] when the store cannot be reached.
pub async fn has_replay(store: &dyn RunStore, realm: &RealmName, run: &Run) -> Result<bool, StoreError> {
    for number in 1..=MAX_GAP + 1 {
        let found = store.peek(&replay(realm, run, number)).await?;
        if found.is_some_and(|found| does_again(&found, run)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// For which time a run does another again.
fn number_of(replay: &Run) -> u32 {
    replay.redo.as_ref().map_or(1, |redo| redo.number.max(1))
}

/// Whether a run does another again: a request may have had such a key by itself.
fn does_again(replay: &Run, run: &Run) -> bool {
    replay.redo.as_ref().is_some_and(|redo| redo.of == run.key)
}

/// The run that replaces this one by now: the one that does it again, or the one that does that one again, and so on;
/// of several one that ended well. `None` where it has not been done again.
///
/// # Errors
/// [`StoreError`] when the store cannot be reached.
pub async fn done_again(
    store: &dyn RunStore,
    realm: &RealmName,
    run: &Run,
) -> Result<Option<Run>, StoreError> {
    let mut stands: Option<Run> = None;
    for _ in 0..MAX_HOPS {
        let mut replays = replays(store, realm, stands.as_ref().unwrap_or(run)).await?;
        let well = replays.iter().position(|replay| replay.status == Status::Complete);
        match well.map(|place| replays.swap_remove(place)).or_else(|| replays.pop()) {
            Some(replay) => stands = Some(replay),
            None => break,
        }
    }
    Ok(stands)
}

/// Which time of doing a run again comes next, after these, or which of them replaces the run. A request under the key
/// of an earlier time means that one.
pub(super) fn next_replay<'r>(
    replays: &'r [Run],
    key: Option<&str>,
    once_more: bool,
) -> Result<u32, &'r Run> {
    let has_key = |replay: &Run| replay.redo.as_ref().is_some_and(|redo| redo.key.as_deref() == key);
    if let Some(asked) = replays.iter().find(|replay| key.is_some() && has_key(replay)) {
        return Ok(number_of(asked));
    }
    let open = replays.iter().find(|replay| !replay.status.is_end());
    let well = replays.iter().find(|replay| replay.status == Status::Complete);
    let taken = replays.iter().map(number_of).max().unwrap_or(0);
    match open.or(well).or(replays.last()) {
        Some(replay) if !once_more || open.is_some() || taken >= MAX_REPLAYS => Err(replay),
        _ => Ok(taken + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{JobId, RunId, WorkerName};
    use crate::run::{Redo, RedoFrom, SpecOf};

    fn key(number: u128) -> RunKey {
        RunKey::root(RunId(uuid::Uuid::from_u128(number)))
    }

    /// The one for the time before its number: the first is 2.
    fn replay(number: u128, status: Status, asked: Option<&str>) -> Run {
        let at = crate::Timestamp::UNIX_EPOCH;
        let about = (JobId::new("a").unwrap(), "log".to_owned(), WorkerName::new("core").unwrap());
        let run_id = key(number).run_id().unwrap();
        let times = u32::try_from(number).unwrap() - 1;
        let again = Redo::of(key(1), RedoFrom::Failed, SpecOf::Latest);
        let redo = Redo { key: asked.map(str::to_owned), number: times, ..again };
        let made = Run::dispatched(key(number), run_id, about, at, at, None);
        Run { status, redo: Some(Box::new(redo)), ..made }
    }

    #[test]
    fn run_is_done_again_once_unless_more_is_asked_for() {
        let (failed, well) = (|| replay(2, Status::Failed, None), || replay(3, Status::Complete, None));
        let (runs, named) = (|| replay(4, Status::Running, None), || replay(5, Status::Failed, Some("k")));
        // The replays that exist, the key and whether more is asked for, and the number or the run that is named.
        for (there, asked, once_more, expected) in [
            (vec![], None, false, Ok(1)),
            (vec![], Some("k"), true, Ok(1)),
            (vec![failed()], None, false, Err(key(2))),
            (vec![failed()], None, true, Ok(2)),
            (vec![failed(), well()], None, true, Ok(3)),
            // The first was deleted.
            (vec![well()], None, true, Ok(3)),
            (vec![well()], None, false, Err(key(3))),
            // One that ended well replaces the run, whatever came after it.
            (vec![well(), failed()], None, false, Err(key(3))),
            (vec![runs()], None, true, Err(key(4))),
            (vec![well(), runs()], Some("k"), true, Err(key(4))),
            (vec![failed(), named()], Some("k"), false, Ok(4)),
            (vec![named(), runs()], Some("k"), false, Ok(4)),
            (vec![named()], Some("other"), false, Err(key(5))),
            // A request without a key is none that was made without one.
            (vec![failed()], Some("k"), false, Err(key(2))),
        ] {
            let next = next_replay(&there, asked, once_more).map_err(|stands| stands.key.clone());
            assert_eq!(next, expected, "{asked:?}, once more: {once_more}");
        }
    }
}
