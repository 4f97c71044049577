//! The memory of a process that is there for long and does little: a console next to a server.
//!
//! An allocator keeps what was freed, and the more the larger what was once freed: after some large pages a console kept five
//! times what it used. Allocators read other limits only when a process starts, so the console begins by becoming itself once
//! more, under the same id. With the feature `mimalloc`, mimalloc has what is Rust's and glibc what
//! is SQLite's; without it glibc has all.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// glibc has one arena, and what is free at its end goes back from 128 KiB on, as does each block of that size; mimalloc gives
/// back free pages at once, and keeps none of those that were full for later.
const TUNED: [(&str, &str); 5] = [
    ("MALLOC_ARENA_MAX", "1"),
    ("MALLOC_TRIM_THRESHOLD_", "131072"),
    ("MALLOC_MMAP_THRESHOLD_", "131072"),
    ("MIMALLOC_PURGE_DELAY", "0"),
    ("MIMALLOC_PAGE_FULL_RETAIN", "0"),
];
/// The other way to tune glibc.
const TUNABLES: &str = "GLIBC_TUNABLES";

/// Becomes the same program with the same arguments, and returns when that was done before, or the environment tunes glibc already.
/// Where it cannot be done, the process goes on as it is.
pub(crate) fn begin_lean() {
    if !is_tuned(|name| std::env::var_os(name).is_some())
        && let Ok(program) = std::env::current_exe()
    {
        let mut arguments = std::env::args_os();
        let name = arguments.next();
        let mut again = Command::new(&program);
        again.arg0(name.as_deref().unwrap_or_else(|| OsStr::new("pumice"))).args(arguments).envs(TUNED);
        // It returns only what kept it from becoming that.
        drop(again.exec());
    }
}

fn is_tuned(is_set: impl Fn(&str) -> bool) -> bool {
    is_set(TUNABLES) || TUNED.iter().any(|(name, _)| is_set(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn process_that_is_tuned_stays_as_it_is() {
        assert!(!is_tuned(|_| false));
        for name in TUNED.map(|(name, _)| name).into_iter().chain([TUNABLES]) {
            assert!(is_tuned(|set| set == name), "{name}");
        }
    }
}
