//! Records of runs, in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use pumice_core::Timestamp;
use pumice_core::ids::{HostId, JobId, RunKey};
use pumice_core::permits::Gate;
use pumice_core::ports::{
    Change, CommitError, Counts, DuePage, DuePlace, Order, Pager, RunCount, RunPage, RunQuery, StoreError,
};
use pumice_core::run::{LockChange, NewRun, Run};
use pumice_core::spec::RunSpec;

use super::gates::GateTable;

/// The tables of runs and locks: what an adapter's database holds.
#[derive(Debug, Default)]
pub struct RunTable {
    rows: BTreeMap<RunKey, Row>,
    due: BTreeSet<(Timestamp, RunKey)>,
    locks: BTreeMap<JobId, RunKey>,
    gates: GateTable,
    made: u64,
}

#[derive(Debug)]
struct Row {
    run: Run,
    spec: RunSpec,
    /// The place in the order in which runs were made.
    number: u64,
}

impl RunTable {
    /// Makes a run; gives the one that was there already, if one was.
    pub fn create(&mut self, new: NewRun) -> Option<Run> {
        if let Some(row) = self.rows.get(&new.run.key) {
            return Some(row.run.clone());
        }
        self.made += 1;
        let NewRun { run, spec } = new;
        self.due.extend(run.due_at.map(|due| (due, run.key.clone())));
        self.rows.insert(run.key.clone(), Row { run, spec, number: self.made });
        None
    }

    /// The record.
    #[must_use]
    pub fn get(&self, key: &RunKey) -> Option<&Run> {
        self.rows.get(key).map(|row| &row.run)
    }

    /// The record and what it uses.
    #[must_use]
    pub fn get_with_spec(&self, key: &RunKey) -> Option<(&Run, &RunSpec)> {
        self.rows.get(key).map(|row| (&row.run, &row.spec))
    }

    /// Every record, by key.
    pub fn all(&self) -> impl Iterator<Item = &Run> {
        self.rows.values().map(|row| &row.run)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether it has no runs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The holder of each job's lock.
    #[must_use]
    pub fn locks(&self) -> &BTreeMap<JobId, RunKey> {
        &self.locks
    }

    /// The permits and lines.
    #[must_use]
    pub const fn gates(&self) -> &GateTable {
        &self.gates
    }

    /// Takes a run out of a gate and its line.
    pub fn leave_gate(&mut self, gate: &Gate, key: &RunKey) {
        self.gates.leave(gate, key);
    }

    /// Removes a run that is done with, and its steps.
    pub fn remove(&mut self, key: &RunKey) -> bool {
        let is_done = self.get(key).is_some_and(Run::is_done);
        if is_done {
            self.rows.retain(|other, row| {
                let stays = other != key && !other.is_below(key);
                if let (false, Some(due)) = (stays, row.run.due_at) {
                    self.due.remove(&(due, other.clone()));
                }
                stays
            });
        }
        is_done
    }

    /// The run that has a job's lock and is not done with.
    #[must_use]
    pub fn holder(&self, job_id: &JobId) -> Option<RunKey> {
        self.locks.get(job_id).filter(|key| self.get(key).is_some_and(|run| !run.is_done())).cloned()
    }

    /// Writes a record and its lock, unless another writer was first.
    ///
    /// # Errors
    /// [`CommitError::Conflict`] when another writer was first, [`CommitError::Locked`] when another run holds the
    /// lock.
    pub fn commit(&mut self, change: &Change) -> Result<(), CommitError> {
        let run = &change.run;
        if self.rows.get(&run.key).is_none_or(|row| row.run.rev + 1 != run.rev) {
            return Err(CommitError::Conflict);
        }
        if let Some(permit) = change.permit.as_ref().filter(|permit| !self.gates.may_change(&run.key, permit))
        {
            return Err(CommitError::Full(permit.gate().clone()));
        }
        match change.lock {
            Some(LockChange::Take) => self.take_lock(run)?,
            Some(LockChange::Free) => self.free_lock(run),
            None => {}
        }
        if let Some(permit) = &change.permit {
            self.gates.change(&run.key, permit);
        }
        self.overwrite(run.clone());
        Ok(())
    }

    /// Writes a run over another, with what it uses.
    ///
    /// # Errors
    /// [`CommitError::Conflict`] when another writer was first.
    pub fn make_anew(&mut self, new: &NewRun) -> Result<(), CommitError> {
        self.commit(&Change { run: new.run.clone(), lock: None, permit: None, message: None })?;
        if let Some(row) = self.rows.get_mut(&new.run.key) {
            row.spec = new.spec.clone();
        }
        Ok(())
    }

    /// Overwrites a record without any check: a store never does this by itself.
    pub fn overwrite(&mut self, run: Run) {
        if let Some(row) = self.rows.get_mut(&run.key) {
            if let Some(due) = row.run.due_at {
                self.due.remove(&(due, run.key.clone()));
            }
            self.due.extend(run.due_at.map(|due| (due, run.key.clone())));
            row.run = run;
        }
    }

    fn take_lock(&mut self, run: &Run) -> Result<(), CommitError> {
        let holder = self.locks.get(&run.job_id).filter(|holder| **holder != run.key);
        if let Some(other) = holder.and_then(|holder| self.get(holder))
            && !other.is_done()
        {
            return Err(CommitError::Locked(other.key.clone()));
        }
        self.locks.insert(run.job_id.clone(), run.key.clone());
        Ok(())
    }

    fn free_lock(&mut self, run: &Run) {
        if self.locks.get(&run.job_id) == Some(&run.key) {
            self.locks.remove(&run.job_id);
        }
    }

    /// Takes a job's lock away from its holder: a store never does this by itself.
    pub fn break_lock(&mut self, job_id: &JobId) {
        self.locks.remove(job_id);
    }

    /// The children of one attempt, by step.
    #[must_use]
    pub fn children(&self, key: &RunKey, attempt: u32) -> Vec<Run> {
        // Keys of children begin with their parent's, so they stand together.
        let prefix = format!("{key}/{attempt}.");
        let below =
            self.rows.range(key.clone()..).skip(1).take_while(|(k, _)| k.as_str().starts_with(key.as_str()));
        let mut children: Vec<Run> = below
            .filter(|(k, _)| k.as_str().starts_with(&prefix) && k.depth() == key.depth() + 1)
            .map(|(_, row)| row.run.clone())
            .collect();
        children.sort_by_key(|child| child.key.step());
        children
    }

    /// Runs whose time has passed, the longest due first.
    #[must_use]
    pub fn due(&self, now: Timestamp, limit: usize) -> Vec<Run> {
        let passed = self.due.iter().take_while(|(due, _)| *due <= now);
        passed.take(limit).filter_map(|(_, key)| self.get(key).cloned()).collect()
    }

    /// A page of them, after the place of an earlier one.
    #[must_use]
    pub fn due_page(&self, now: Timestamp, after: Option<&DuePlace>, limit: usize) -> DuePage {
        let from = after.and_then(|place| Some((place.at, place.key.parse().ok()?)));
        let from = from.map_or(Bound::Unbounded, Bound::Excluded);
        let mut passed = self.due.range((from, Bound::Unbounded)).take_while(|(due, _)| *due <= now);
        let places: Vec<_> = passed.by_ref().take(limit).collect();
        let next = passed.next().and(places.last());
        DuePage {
            next: next.map(|(at, key)| DuePlace { at: *at, key: key.to_string() }),
            runs: places.into_iter().filter_map(|(_, key)| self.get(key).cloned()).collect(),
            ..DuePage::default()
        }
    }

    /// The runs for a host that have not ended, by key.
    #[must_use]
    pub fn addressed_to(&self, host: &HostId) -> Vec<RunKey> {
        let for_it = |run: &&Run| run.is_addressed() && run.host.as_ref() == Some(host);
        self.all().filter(for_it).map(|run| run.key.clone()).collect()
    }

    /// When the next run is due.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        self.due.first().map(|(due, _)| *due)
    }

    /// A page of runs; a tree with parents first.
    ///
    /// # Errors
    /// [`StoreError`] when the cursor is one of the other order.
    pub fn page(&self, query: &RunQuery) -> Result<RunPage, StoreError> {
        if let Some(root) = &query.tree_of {
            let runs = self.tree(root);
            return Ok(RunPage { looked_at: runs.len(), runs, ..RunPage::default() });
        }
        let mut rows: Vec<&Row> = self.rows.values().collect();
        rows.sort_by_key(|row| row.number);
        if query.order == Order::Newest {
            rows.reverse();
        }
        if let Some(cursor) = query.place()? {
            let place = cursor.place.cast_unsigned();
            rows.retain(|row| match query.order {
                Order::Newest => row.number < place,
                Order::Oldest => row.number > place,
            });
        }
        let (mut pager, mut rows) = (Pager::new(query), rows.into_iter());
        while pager.wants_more() {
            let Some(row) = rows.next() else { return Ok(pager.finish(true)) };
            pager.look(row.number.cast_signed(), row.run.key.clone(), Some(row.run.clone()));
        }
        Ok(pager.finish(rows.next().is_none()))
    }

    /// How many there are, by job and status.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = BTreeMap::<(&str, &str), RunCount>::new();
        for Row { run, .. } in self.rows.values() {
            let job_id = run.job_id.as_str();
            let new = || RunCount { job_id: job_id.to_owned(), status: run.status, runs: 0, steps: 0 };
            let count = counts.entry((job_id, run.status.as_str())).or_insert_with(new);
            *(if run.is_child() { &mut count.steps } else { &mut count.runs }) += 1;
        }
        Counts { by_job: counts.into_values().collect() }
    }

    fn tree(&self, root: &RunKey) -> Vec<Run> {
        let mut found: Vec<&Row> = Vec::new();
        let mut next = vec![root.clone()];
        while let Some(key) = next.pop() {
            let below = format!("{key}/");
            let mut family: Vec<&Row> = self
                .rows
                .values()
                .filter(|row| row.run.key == key || row.run.key.as_str().starts_with(&below))
                .collect();
            family.sort_by_key(|row| row.number);
            for member in &family {
                let of_it = |row: &&Row| row.run.dispatched_by.as_ref() == Some(&member.run.key);
                next.extend(self.rows.values().filter(of_it).map(|row| row.run.key.clone()));
            }
            found.extend(family);
        }
        found.into_iter().map(|row| row.run.clone()).collect()
    }

    /// The longest waiting run of a job that waits for the job's lock.
    #[must_use]
    pub fn in_line(&self, job_id: &JobId, limit: usize) -> Vec<Run> {
        let waits = |row: &&Row| row.run.job_id == *job_id && row.run.is_in_line();
        let mut rows: Vec<&Row> = self.rows.values().filter(waits).collect();
        rows.sort_by_key(|row| row.number);
        rows.into_iter().take(limit).map(|row| row.run.clone()).collect()
    }
}
