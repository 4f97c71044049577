//! Runs of which another run has kept steps: to delete one would take the outputs of these steps from the other.

use pumice_core::engine::replays;
use pumice_core::ids::RunKey;
use pumice_core::ports::StoreErrorKind;
use pumice_core::run::Run;

use crate::failure::Error;
use crate::realm::Realm;

/// Most runs that are looked at which do one again, each time from the one before.
const MAX_REPLAYS: usize = 200;

/// A run that needs another one.
struct Need {
    by: RunKey,
    has_ended: bool,
}

/// Why a run may not be deleted, as another one needs its steps; `None` where none does.
pub(super) async fn kept_by_others(realm: &dyn Realm, key: &RunKey) -> Result<Option<String>, Error> {
    Ok(need(realm, key).await?.map(|Need { by, has_ended }| match has_ended {
        true => format!("run {by} has kept steps of it, whose outputs would be gone: delete that one first"),
        false => format!("run {by} does it again, keeps steps of it, and has not ended"),
    }))
}

/// The first run that does this one again, or does one again that does so, and has kept steps of it or may yet do so.
async fn need(realm: &dyn Realm, key: &RunKey) -> Result<Option<Need>, Error> {
    let run = match realm.runs().peek(key).await {
        Ok(Some(run)) if is_of_steps(realm, &run) => run,
        Ok(_) => return Ok(None),
        // One that cannot be read may be deleted.
        Err(error) if error.kind == StoreErrorKind::Corrupt => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let site = realm.site().await?;
    let (mut next, mut seen) = (vec![run], 0);
    while let Some(of) = next.pop() {
        for replay in replays(realm.runs(), &site.realm, &of).await? {
            let has_ended = replay.status.is_end();
            if !has_ended || keeps(realm, &replay, key).await? {
                return Ok(Some(Need { by: replay.key, has_ended }));
            }
            seen += 1;
            if seen < MAX_REPLAYS {
                next.push(replay);
            }
        }
    }
    Ok(None)
}

/// Whether a run has kept steps of another.
async fn keeps(realm: &dyn Realm, run: &Run, of: &RunKey) -> Result<bool, Error> {
    let mut next = vec![(run.key.clone(), run.attempt)];
    while let Some((key, attempt)) = next.pop() {
        for step in realm.runs().children(&key, attempt).await? {
            if step.kept.as_ref().is_some_and(|kept| kept.is_below(of)) {
                return Ok(true);
            }
            if step.redo.is_some() && is_of_steps(realm, &step) {
                next.push((step.key, step.attempt));
            }
        }
    }
    Ok(false)
}

/// Whether a run's job is run step by step.
fn is_of_steps(realm: &dyn Realm, run: &Run) -> bool {
    realm.registry().job_type(&run.job_type).is_some_and(|job_type| job_type.planner().is_some())
}
