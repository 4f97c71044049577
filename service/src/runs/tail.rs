//! Follows what the commands of a run print, while they print it.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use pumice_core::Timestamp;
use pumice_core::duration::Span;
use pumice_core::ids::RunKey;
use pumice_core::job_type::live_name;
use pumice_core::ports::Clock;
use pumice_core::run::{Run, Status};

use super::outputs::{AskOutputs, Printed, no_such_step, of_run};
use super::window::{MAX_PART, Masked, masked};
use super::{find, trees};
use crate::failure::Error;
use crate::realm::Realm;

/// The first pause between two looks and the longest: in a folder, and on AWS, where each look costs.
const PAUSES: [(Duration, Duration); 2] = [
    (Duration::from_millis(50), Duration::from_millis(500)),
    (Duration::from_secs(1), Duration::from_secs(5)),
];
/// For how long a store that does not answer is asked again.
const PATIENCE: Span = Span::from_mins(5);
/// How long a run that could have started may wait before the listener is notified.
const WAITS_AFTER: Span = Span::from_secs(2);

/// Something to know about outputs that are followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TailNotice {
    /// The run has not started.
    Waits(Status),
    /// So many bytes before the first that are shown are left out.
    LeftOut(u64),
    /// The worker of an execution was lost: what it had printed so far ends here.
    Lost,
    /// The store does not answer, and is asked again.
    Unreachable(String),
}

/// Hears what is printed while it is printed.
pub trait TailListener: Send {
    /// Some bytes of an output, with secrets masked, and the place behind them.
    ///
    /// # Errors
    /// An error ends the following: the reader is gone.
    fn printed(&mut self, printed: &Printed, bytes: &[u8], next: u64) -> std::io::Result<()>;
    /// Something to know, of an output or of the run.
    fn notice(&mut self, printed: Option<&Printed>, notice: TailNotice);
}

/// One output of one execution: how far it was read.
struct Place {
    epoch: Option<u64>,
    next: u64,
    is_lost: bool,
}

/// The state of following an output.
struct Tail<'a> {
    realm: &'a dyn Realm,
    request: &'a AskOutputs,
    root: RunKey,
    listener: &'a mut dyn TailListener,
    s3_temp: Option<String>,
    /// Outputs of runs that end meanwhile are wanted, however short the time that was asked for.
    began: Timestamp,
    places: HashMap<(RunKey, u32, String), Vec<Place>>,
    /// Runs that have ended and whose outputs were read to their ends, with their revisions.
    done: HashMap<RunKey, u64>,
    /// Outputs that cannot be read, and were reported.
    unread: HashSet<String>,
    is_step_there: bool,
    has_news: bool,
}

/// Follows the outputs of a run until the run and its steps have ended. Of what is there at first the last `tail` bytes are
/// given, or all. Returns the runs of the tree.
///
/// # Errors
/// [`Error`] when there is no such run or step, or the store cannot be read for long.
pub async fn follow_output(
    realm: &dyn Realm,
    clock: &dyn Clock,
    request: &AskOutputs,
    tail: Option<u64>,
    listener: &mut dyn TailListener,
) -> Result<Vec<Run>, Error> {
    let root = find(realm, &request.run).await?;
    let definition = realm.jobs().realm().await?;
    let s3_temp = definition.fields.s3_temp.clone();
    let mut following = Tail {
        realm,
        request,
        root,
        listener,
        s3_temp,
        began: realm.now(),
        places: HashMap::new(),
        done: HashMap::new(),
        unread: HashSet::new(),
        is_step_there: request.step.is_none(),
        has_news: false,
    };
    let (first, longest) = PAUSES[usize::from(realm.is_aws())];
    let (began, mut pause, mut waits, mut tail) = (clock.now(), first, false, Some(tail));
    let mut is_sure = false;
    let mut failing: Option<Timestamp> = None;
    loop {
        following.has_news = false;
        match following.look(tail.flatten(), tail.is_some()).await {
            Ok(Some(runs)) if is_sure => return Ok(runs),
            Ok(Some(_)) => {
                // A step may be seen later than the end of its run.
                let lag = realm.runs().lag();
                clock.sleep_until(clock.now() + lag).await;
                (is_sure, tail, failing) = (true, None, None);
                continue;
            }
            Ok(None) => (failing, tail) = (None, None),
            Err(error) if is_passing(&error) => {
                let since = *failing.get_or_insert_with(|| {
                    following.listener.notice(None, TailNotice::Unreachable(error.to_string()));
                    clock.now()
                });
                if clock.now() - since > PATIENCE.delta() {
                    return Err(error);
                }
            }
            Err(error) => return Err(error),
        }
        if !waits && following.places.is_empty() && clock.now() - began > WAITS_AFTER.delta() {
            waits = following.notice_wait().await?;
        }
        pause = if following.has_news { first } else { (pause * 5 / 4).min(longest) };
        clock.sleep_until(clock.now() + pause).await;
    }
}

fn is_passing(error: &Error) -> bool {
    error.kind().may_pass()
}

impl Tail<'_> {
    /// Gives what is new; the runs of the tree when all is read. `tail` limits the first look.
    async fn look(&mut self, tail: Option<u64>, is_first: bool) -> Result<Option<Vec<Run>>, Error> {
        let tree = trees(self.realm.runs(), std::slice::from_ref(&self.root)).await?;
        let Some(root) = tree.first() else {
            return Err(Error::not_found(format!("no such run {}", self.root)));
        };
        // As the tree was before its outputs were read: what is printed after that is read by the next look.
        let is_over = tree.iter().filter(|run| run.run_id == root.run_id).all(|run| run.status.is_end());
        let run_id = root.run_id;
        let mut found = Vec::new();
        for run in tree.iter().filter(|run| run.run_id == run_id) {
            let whole = AskOutputs { since: None, ..self.request.clone() };
            self.is_step_there |= whole.wants(&self.root, run, self.began);
            let is_done = self.done.get(&run.key) == Some(&run.rev);
            if is_done || !self.request.wants(&self.root, run, self.began) {
                continue;
            }
            let printed = of_run(self.realm, run, self.s3_temp.as_deref()).await?;
            found.push((run, printed));
        }
        if is_first && let Some(tail) = tail {
            self.pass_over(found.iter().flat_map(|(_, printed)| printed), tail).await?;
        }
        for (run, printed) in found {
            self.notice_lost(&printed);
            for one in &printed {
                self.read_on(one, run.status.is_end()).await?;
            }
            if run.status.is_end() {
                self.done.insert(run.key.clone(), run.rev);
            }
        }
        if !is_over {
            return Ok(None);
        }
        if !self.is_step_there {
            return Err(no_such_step(self.request, &tree));
        }
        Ok(Some(tree.into_iter().filter(|run| run.run_id == run_id).collect()))
    }

    /// Where an output was read to. The output at its last place is that of the last execution that was not lost.
    fn place(&mut self, printed: &Printed) -> &mut Place {
        let key = (printed.run_key.clone(), printed.attempt, live_name(&printed.name));
        let places = self.places.entry(key).or_default();
        let known = match printed.epoch {
            Some(_) => places.iter().position(|place| place.epoch == printed.epoch),
            None => places.iter().rposition(|place| place.epoch.is_none() || !place.is_lost),
        };
        let at = known.unwrap_or_else(|| {
            places.push(Place { epoch: printed.epoch, next: 0, is_lost: false });
            places.len() - 1
        });
        &mut places[at]
    }

    /// Takes note of executions whose workers were lost.
    fn notice_lost(&mut self, printed: &[Printed]) {
        for one in printed.iter().filter(|one| one.lost) {
            let place = self.place(one);
            let was_read = place.next > 0 && !place.is_lost;
            place.is_lost = true;
            if was_read {
                self.listener.notice(Some(one), TailNotice::Lost);
            }
        }
    }

    /// Leaves out all but the end of what is there, the last output first.
    async fn pass_over(&mut self, all: impl Iterator<Item = &Printed>, tail: u64) -> Result<(), Error> {
        let all: Vec<&Printed> = all.collect();
        let (mut left, mut left_out) = (tail, 0);
        for printed in all.into_iter().rev() {
            // One that cannot be read is reported when its turn comes.
            let Ok(Some(piece)) = self.realm.outputs().read(&printed.location, 0, 0).await else { continue };
            let shown = piece.size.min(left);
            let next = self.line_after(printed, piece.size - shown, piece.size).await?;
            self.place(printed).next = next;
            left_out += next;
            left -= shown;
        }
        if left_out > 0 {
            self.listener.notice(None, TailNotice::LeftOut(left_out));
        }
        Ok(())
    }

    /// The beginning of the first line from a place on, where one begins soon.
    async fn line_after(&self, printed: &Printed, from: u64, size: u64) -> Result<u64, Error> {
        /// How far a line's beginning is looked for, in bytes.
        const SOON: u64 = 4096;
        if from == 0 || from == size {
            return Ok(from);
        }
        let Some(piece) = self.realm.outputs().read(&printed.location, from - 1, SOON).await? else {
            return Ok(from);
        };
        let line = piece.bytes.iter().position(|byte| *byte == b'\n');
        Ok(line.map_or(from, |at| from + at as u64)).map(|next| if next < size { next } else { from })
    }

    /// Gives what is new of an output.
    async fn read_on(&mut self, printed: &Printed, is_end: bool) -> Result<(), Error> {
        // A live output is read to its end before its execution ends, or where it is kept after that.
        let is_open = !is_end && !printed.lost;
        loop {
            let next = self.place(printed).next;
            let read = masked(self.realm.outputs(), &printed.location, next, MAX_PART, is_open).await;
            let part = match read {
                Ok(Some(part)) => part,
                Ok(None) => return Ok(()),
                // A step may have replaced what it printed; what others printed is there.
                Err(error) if !error.kind.may_pass() => {
                    if self.unread.insert(printed.location.clone()) {
                        self.listener.notice(Some(printed), TailNotice::Unreachable(error.to_string()));
                    }
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            };
            let Masked { bytes, next: after, size } = part;
            if after <= next && bytes.is_empty() {
                return Ok(());
            }
            self.place(printed).next = after;
            self.has_news = true;
            if let Err(gone) = self.listener.printed(printed, &bytes, after) {
                let gone = Error::invalid(format!("the reader of the output is gone: {gone}"));
                return Err(gone);
            }
            if after >= size {
                return Ok(());
            }
        }
    }

    /// Says that the run has not started, if so.
    async fn notice_wait(&mut self) -> Result<bool, Error> {
        let Some(run) = self.realm.runs().load(&self.root).await? else { return Ok(false) };
        let waits = run.ts_start.is_none() && !run.status.is_end();
        if waits {
            self.listener.notice(None, TailNotice::Waits(run.status));
        }
        Ok(waits)
    }
}
