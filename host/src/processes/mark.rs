//! The mark by which a command's processes are recognised, even if they try to get away.
//!
//! A process inherits its resource limits from the one that starts it, and keeps them when it empties its environment,
//! leaves its session, its process group, its directory or its parent. Linux has not enforced `RLIMIT_LOCKS` since 2.4
//! (setrlimit(2)) and shows it in `/proc/PID/limits`, so its soft limit carries a number. A program that sets all
//! limits anew, as `su` does, keeps its environment, which carries the number too.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Marks the numbers that are Pumice's: the top four bits.
const SIGN: u64 = 0x5 << SIGN_SHIFT;
const SIGN_SHIFT: u32 = 60;
/// How many bits name the folder, the worker process and the command.
const PLACE_BITS: u32 = 24;
const INSTANCE_BITS: u32 = 12;
const NUMBER_BITS: u32 = 24;

/// The scratch folder that commands belong to, as marks name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place(u32);

impl Place {
    /// The folder's place: the same for each process that uses the folder.
    pub(super) fn of(scratch: &Path) -> Self {
        // FNV-1a: it must stay the same from one version of the program to the next.
        let bytes = scratch.as_os_str().as_bytes();
        let hash = bytes
            .iter()
            .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
        Self((hash >> PLACE_BITS ^ hash) & ((1 << PLACE_BITS) - 1))
    }
}

/// One worker process on a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Instance {
    place: Place,
    number: u16,
}

impl Instance {
    /// A process on a folder, told apart from others by a random number, of which 12 bits are used.
    pub(super) fn new(place: Place, random: u16) -> Self {
        Self { place, number: random & ((1 << INSTANCE_BITS) - 1) }
    }

    /// The folder.
    pub(super) fn place(self) -> Place {
        self.place
    }

    /// The instance as a command line names it.
    pub(super) fn to_text(self) -> String {
        format!("{:x}.{:x}", self.place.0, self.number)
    }

    /// The instance that a text names; `None` for any other text.
    pub(super) fn from_text(text: &str) -> Option<Self> {
        let (place, number) = text.split_once('.')?;
        let place = u32::from_str_radix(place, 16).ok().filter(|place| *place < 1 << PLACE_BITS)?;
        let number = u16::from_str_radix(number, 16).ok().filter(|number| *number < 1 << INSTANCE_BITS)?;
        Some(Self { place: Place(place), number })
    }
}

/// The mark of one command's processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Mark(u64);

impl Mark {
    /// The mark of a command; its number is counted modulo 2^24.
    pub(super) fn new(instance: Instance, number: u32) -> Self {
        let number = u64::from(number) & ((1 << NUMBER_BITS) - 1);
        let instance_bits = u64::from(instance.number) << NUMBER_BITS;
        Self(SIGN | u64::from(instance.place.0) << (NUMBER_BITS + INSTANCE_BITS) | instance_bits | number)
    }

    /// The soft limit that carries it.
    pub(super) fn limit(self) -> u64 {
        self.0
    }

    /// The mark that a soft limit carries, if it carries one.
    pub(super) fn from_limit(limit: u64) -> Option<Self> {
        (limit >> SIGN_SHIFT == SIGN >> SIGN_SHIFT).then_some(Self(limit))
    }

    /// The mark as a variable's value.
    pub(super) fn to_text(self) -> String {
        format!("{:x}", self.0)
    }

    /// The process that started its command.
    pub(super) fn instance(self) -> Instance {
        let bits = |shift: u32, count: u32| self.0 >> shift & ((1 << count) - 1);
        let place = u32::try_from(bits(NUMBER_BITS + INSTANCE_BITS, PLACE_BITS)).unwrap_or_default();
        let number = u16::try_from(bits(NUMBER_BITS, INSTANCE_BITS)).unwrap_or_default();
        Instance { place: Place(place), number }
    }

    /// The folder of its command.
    pub(super) fn place(self) -> Place {
        self.instance().place()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mark_of_a_limit_is_the_one_it_was_made_from() {
        let place = Place::of(Path::new("/srv/realm/scratch"));
        let instance = Instance::new(place, 0xffff);
        assert_eq!(Instance::from_text(&instance.to_text()), Some(instance));
        for wrong in ["", "12", "x.1", "1000000.1", "1.1000"] {
            assert_eq!(Instance::from_text(wrong), None, "{wrong}");
        }
        for number in [0, 1, 0x00ff_ffff] {
            let mark = Mark::new(instance, number);
            assert_eq!(Mark::from_limit(mark.limit()), Some(mark));
            assert_eq!((mark.instance(), mark.place()), (instance, place));
        }
        assert_ne!(place, Place::of(Path::new("/srv/other/scratch")));
        for limit in [0, 1024, u64::MAX] {
            assert_eq!(Mark::from_limit(limit), None);
        }
    }
}
