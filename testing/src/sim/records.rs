//! The store of records of the simulated world: it passes each write to the audit.

use pumice_core::ports::{Change, CommitError, Created, Outgoing};
use pumice_core::run::{NewRun, Run};

use super::versions;
use super::world::World;

/// Makes a run, unless there is one under its key.
pub(super) fn create(world: &mut World, mut new: NewRun, message: Option<&Outgoing>) -> Created {
    super::mutants::on_create(world, &mut new);
    if super::mutants::is_swallowed(world, &new.run) {
        return Created { sent: true, ..Created::default() };
    }
    let run = new.run.clone();
    if let Some(existing) = world.runs.create(new) {
        return Created { existing: Some(Box::new(existing)), ..Created::default() };
    }
    let World { audit, runs, now, current, .. } = world;
    audit.created(&run, runs, *now, *current);
    world.is_started(&run);
    world.is_told(&run);
    world.note(|| format!("  made {} as {}", run.key, run.status));
    let sent = world.faults.transactional();
    if let Some(outgoing) = message.filter(|_| sent) {
        world.put(outgoing);
    }
    Created { sent, ..Created::default() }
}

/// Writes a record over the one that it was read as.
pub(super) fn commit(world: &mut World, mut change: Change) -> Result<bool, CommitError> {
    super::mutants::on_commit(world, &mut change);
    let Some(before) = world.runs.get(&change.run.key).cloned() else { return Err(CommitError::Conflict) };
    if super::mutants::is_untold(world, &before, &change) || world.notes_unsent(&before, &change.run) {
        return Ok(true);
    }
    let gate = change.permit.as_ref().map(|permit| world.runs.gates().view(permit.gate(), usize::MAX));
    let outcome = world.runs.commit(&change);
    world.note(|| match &outcome {
        Ok(()) => format!(
            "  {} {} -> {} {}",
            change.run.key,
            before.status,
            change.run.status,
            versions::brief(&change.run)
        ),
        Err(error) => format!("  {error}"),
    });
    outcome?;
    super::mutants::after_commit(world, &change);
    let World { audit, runs, now, current, .. } = world;
    audit.committed(&before, &change, runs, *now, *current);
    let task = world.current;
    if let Some(gate) = gate {
        world.passes_in_turn(&change, &gate, task);
    }
    world.has_its_permit(&before, &change);
    world.starts_unpaused(&before, &change.run, task);
    world.starts_wanted(&before, &change.run);
    world.is_given_up(&before, &change.run);
    world.stale.insert(before.key.clone(), before);
    let sent = world.faults.transactional();
    if let Some(outgoing) = change.message.as_ref().filter(|_| sent) {
        world.put(outgoing);
    }
    Ok(sent)
}

/// A record as an index that lags behind still has it.
pub(super) fn maybe_stale(world: &mut World, run: Run) -> Run {
    let World { faults, prng, stale, .. } = world;
    match stale.get(&run.key) {
        Some(before) if faults.is_stale(prng) => before.clone(),
        _ => run,
    }
}
