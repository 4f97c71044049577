//! The commands that this process has started, and which other processes belong to them or to itself.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::path::Path;
use std::process;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use rustix::process::{Pid, WaitOptions, waitpid};
use tokio::process::{Child, Command};
use uuid::Uuid;

use super::mark::{Instance, Mark, Place};
use super::table::{self, Process};

/// Most children that were waited for lately which are kept in mind.
const MAX_ENDED: usize = 128;

/// The commands that this process has started.
#[derive(Default)]
pub(super) struct Live {
    /// How many commands were started, which numbers their marks.
    started: u32,
    /// Children that a task waits for, and those that this program has for itself: they are neither orphans nor to be reaped
    /// here.
    pub(super) awaited: HashSet<Pid>,
    /// Children that were there before this program adopted orphans, and when each began.
    found: HashMap<Pid, u64>,
    /// Whether every child that is neither of these is an orphan of a command.
    adopts: bool,
    /// Children that were waited for lately: their end says nothing about other processes.
    pub(super) ended: VecDeque<Pid>,
    /// The commands that are not gone yet.
    pub(super) commands: HashMap<Mark, Owner>,
    /// The command that is being started: its process is there before it is awaited.
    pub(super) starting: Option<Mark>,
}

/// A command as the owner of processes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owner {
    /// When it began, in the kernel's ticks.
    pub(super) began: u64,
    /// Whether its orphans come to this process: those of a subreaper's command do not, while that is there.
    pub(super) loses: bool,
}

impl Live {
    /// A mark that no living process has.
    pub(super) fn new_mark(&mut self, scratch: &Path) -> Mark {
        loop {
            self.started = self.started.wrapping_add(1);
            let mark = Mark::new(instance(scratch), self.started);
            if let Entry::Vacant(free) = self.commands.entry(mark) {
                free.insert(Owner { began: 0, loses: true });
                return mark;
            }
        }
    }

    /// Whether a process is one of a command's: it has its mark, or it has got rid of every mark and lost its parent,
    /// and no other command was there when it began.
    pub(super) fn is_of(&self, process: &Process, mark: Mark) -> bool {
        match process.mark {
            Some(found) if found == mark => true,
            // A number that no command has is a forged one.
            Some(found) if self.commands.contains_key(&found) => false,
            _ => {
                let is_there = |owner: &Owner| owner.loses && owner.began <= process.began;
                let mut owners = self.commands.iter().filter(|(_, owner)| is_there(owner));
                let loses = self.commands.get(&mark).is_some_and(|owner| owner.loses);
                self.is_orphan(process) && loses && owners.all(|(owner, _)| *owner == mark)
            }
        }
    }

    /// Whether a process came to this one because it lost its parent. This program's own children are known by their ids:
    /// a process that a command started may be in its process group.
    fn is_orphan(&self, process: &Process) -> bool {
        self.is_adopted(process.id, process.parent, process.began)
    }

    fn is_adopted(&self, id: Pid, parent: i32, began: u64) -> bool {
        self.adopts
            && parent == own_id()
            && !self.awaited.contains(&id)
            && self.found.get(&id) != Some(&began)
    }

    /// A child was waited for: its id may become another process's.
    pub(super) fn forget(&mut self, child: Pid) {
        self.awaited.remove(&child);
        if self.ended.len() >= MAX_ENDED {
            self.ended.pop_front();
        }
        self.ended.push_back(child);
    }
}

/// This process as the one that starts the commands of a folder.
pub(super) fn instance(scratch: &Path) -> Instance {
    static RANDOM: OnceLock<u16> = OnceLock::new();
    let random = RANDOM.get_or_init(|| {
        let bytes = Uuid::new_v4().into_bytes();
        u16::from_be_bytes([bytes[0], bytes[1]])
    });
    Instance::new(Place::of(scratch), *random)
}

pub(super) fn live() -> MutexGuard<'static, Live> {
    static LIVE: OnceLock<Mutex<Live>> = OnceLock::new();
    // A number and a set: whole even if another holder panicked.
    LIVE.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts a process of the program's own, which outlives no command and is not one.
pub(super) fn spawn_apart(command: &mut process::Command) -> io::Result<process::Child> {
    let mut live = live();
    let child = command.spawn()?;
    live.awaited.extend(i32::try_from(child.id()).ok().and_then(Pid::from_raw));
    Ok(child)
}

/// A process of the program's own was waited for.
pub(super) fn forget_own(id: Pid) {
    live().forget(id);
}

/// A child of this process that is not the command of a job, for as long as this is held.
#[derive(Debug)]
pub struct OwnChild(Option<Pid>);

impl Drop for OwnChild {
    fn drop(&mut self) {
        self.0.into_iter().for_each(forget_own);
    }
}

/// Starts a process that is not the command of a job: it is not taken for an orphan of one. To be used for each in a program that
/// adopts orphans.
///
/// # Errors
/// The system's error when it cannot be started.
pub fn spawn_own(command: &mut Command) -> io::Result<(Child, OwnChild)> {
    let mut live = live();
    let child = command.spawn()?;
    let id = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    live.awaited.extend(id);
    Ok((child, OwnChild(id)))
}

/// Makes this process the parent of all orphans below it (PR_SET_CHILD_SUBREAPER, prctl(2)), so that processes without
/// any mark are found, too. Only for a program that starts other processes than commands of jobs by [`spawn_own`]: others would
/// be taken for theirs. Children that are there already stay as they are.
pub fn adopt_orphans() {
    let own = rustix::process::getpid();
    let children = table::living_children(own).into_iter();
    live().found.extend(children.map(|child| (child.id, child.began)));
    match rustix::process::set_child_subreaper(Some(rustix::process::getpid())) {
        Ok(()) => live().adopts = true,
        // They go to process 1, and are found by their mark all the same.
        Err(error) => tracing::debug!(%error, "orphans of commands go to process 1"),
    }
}

/// Whether a process came to this one because it lost its parent.
pub(super) fn is_orphan(process: &Process) -> bool {
    live().is_orphan(process)
}

/// Waits for a process that has ended, if it is an orphan of a command: nothing else does.
pub(super) fn reap_orphan(id: Pid) {
    let Ok(Some((parent, began))) = table::zombie(id) else { return };
    // The one that is being started is waited for by another thread in a moment.
    let is_starting = |live: &Live| {
        live.starting.is_some_and(|mark| !matches!(table::mark(id), Ok(Some(other)) if other != mark))
    };
    let live = live();
    if live.is_adopted(id, parent, began) && !is_starting(&live) {
        // Another thread may have done so.
        let _ = waitpid(Some(id), WaitOptions::NOHANG);
    }
}

/// The id of this process.
pub(super) fn own_id() -> i32 {
    rustix::process::getpid().as_raw_nonzero().get()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A child of this process that began then.
    fn child(id: i32, began: u64, mark: Option<Mark>) -> Process {
        let group = rustix::process::getpgrp().as_raw_nonzero().get();
        Process { id: Pid::from_raw(id).unwrap(), parent: own_id(), mark, began, group }
    }

    #[test]
    fn orphan_belongs_to_the_only_command_that_may_own_it() {
        let mut live = Live { adopts: true, ..Live::default() };
        let [one, two, forged] = [1, 2, 3].map(|number| Mark::new(instance(Path::new("/scratch")), number));
        let owner = |began| Owner { began, loses: true };
        live.commands.insert(one, owner(10));
        // The group of this process makes no difference.
        for mark in [None, Some(forged), Some(one)] {
            assert!(live.is_of(&child(100, 20, mark), one), "{mark:?}");
        }
        live.commands.insert(two, owner(15));
        for (mark, expected) in [(None, false), (Some(forged), false), (Some(one), true), (Some(two), false)]
        {
            assert_eq!(live.is_of(&child(100, 20, mark), one), expected, "{mark:?}");
        }
        assert!(live.is_of(&child(100, 12, None), one), "before the other command");
        // Orphans of a subreaper's command do not come here.
        live.commands.insert(two, Owner { began: 15, loses: false });
        assert!(live.is_of(&child(100, 20, None), one) && !live.is_of(&child(100, 20, None), two));
    }

    #[test]
    fn own_children_are_no_orphans_whatever_their_group() {
        let mut live = Live { adopts: true, ..Live::default() };
        let orphan = child(100, 20, None);
        assert!(live.is_orphan(&orphan));
        live.awaited.insert(orphan.id);
        assert!(!live.is_orphan(&orphan));
        live.forget(orphan.id);
        live.found.insert(orphan.id, 20);
        assert!(!live.is_orphan(&orphan) && live.is_orphan(&child(100, 21, None)), "the id was given again");
        live.adopts = false;
        assert!(!live.is_orphan(&child(101, 20, None)));
    }
}
