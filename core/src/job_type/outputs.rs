//! The places of commands' output: while they run, after their worker was lost, and for good.
//!
//! A worker writes each output to a file of its own ([`live_output`]). Where objects are files of its machine, a
//! follower reads that file, and at the end it is linked to its last place. Elsewhere the worker keeps it in pieces of
//! [`PIECE_BYTES`] besides, the last of which grows ([`Pieces`]).

use std::path::{Path, PathBuf};
use std::time::Duration;

use uuid::Uuid;

use crate::duration::Span;
use crate::ids::{JobId, RunKey};

/// How many bytes a piece of an output has, but for the last one. S3 joins parts of 5 MiB or more (S3 user guide, Multipart
/// upload limits).
pub const PIECE_BYTES: u64 = 8 * 1024 * 1024;
/// How long a command has run when the first piece of what it printed is kept: shorter ones cost nothing more.
pub const FIRST_PIECE: Span = Span::from_secs(2);
/// Longest label of a run in the name of a file, and longest name of an output there, in bytes.
const MAX_LABEL: usize = 120;
const MAX_NAME: usize = 100;
/// The folder of outputs in pieces, within that of their attempt.
const LIVE: &str = "_live";

/// The folder of all outputs, below the realm's `s3_temp`: commands find no other's output, nor their own, among their
/// files.
const OUTPUT: &str = ".output";

/// Where an attempt of a run may keep files, below the realm's `s3_temp`: `<s3_temp>/<job_id>/<run_id>`, as lava has it, with
/// the way to the step. Each further attempt has a folder beside that of the first.
#[must_use]
pub fn temp_at(s3_temp: &str, job_id: &JobId, key: &RunKey, attempt: u32) -> String {
    let base = s3_temp.trim_end_matches('/');
    let attempt = if attempt > 1 { format!("-attempt-{attempt}") } else { String::new() };
    format!("{base}/{job_id}/{key}{attempt}")
}

/// Where what an attempt of a run printed is kept: named as its files are, in a folder apart.
#[must_use]
pub fn kept_at(s3_temp: &str, job_id: &JobId, key: &RunKey, attempt: u32) -> String {
    temp_at(&outputs_of(s3_temp), job_id, key, attempt)
}

/// The folder of all outputs, below the realm's `s3_temp`.
#[must_use]
pub fn outputs_of(s3_temp: &str) -> String {
    format!("{}/{OUTPUT}", s3_temp.trim_end_matches('/'))
}

/// Where versions before this one kept what an attempt printed: among the files of its commands.
#[must_use]
pub fn kept_before_at(s3_temp: &str, job_id: &JobId, key: &RunKey, attempt: u32) -> String {
    let attempt = if attempt > 1 { format!("/attempt-{attempt}") } else { String::new() };
    format!("{}{attempt}", temp_at(s3_temp, job_id, key, 1))
}

/// One execution of an attempt: an attempt whose worker was lost is made again, under another epoch of its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Execution {
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// The epoch of the claim.
    pub epoch: u64,
}

/// The name of an output as long as it fits into names of files: `stdout`, or a payload and the stream.
#[must_use]
pub fn live_name(name: &str) -> String {
    if name.len() <= MAX_NAME {
        return name.to_owned();
    }
    let stream =
        name.rsplit('.').next().filter(|stream| stream.len() < MAX_LABEL - MAX_NAME).unwrap_or_default();
    format!("{}.{stream}", Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()))
}

/// How the names of a run's files begin: with its id.
fn label(key: &RunKey) -> String {
    let whole = key.as_str().replace('/', "-");
    if whole.len() <= MAX_LABEL {
        return whole;
    }
    // File systems bear no name of a step that is nested deeply.
    let root = key.as_str().split('/').next().unwrap_or_default();
    format!("{root}-{}", Uuid::new_v5(&Uuid::NAMESPACE_OID, whole.as_bytes()))
}

/// The folder of the files that outputs go to while their commands run, below the scratch folder of a worker.
#[must_use]
pub fn live_folder(scratch: &Path) -> PathBuf {
    scratch.join("live")
}

/// The file that an output goes to while its command runs.
#[must_use]
pub fn live_output(scratch: &Path, key: &RunKey, execution: Execution, name: &str) -> PathBuf {
    let Execution { attempt, epoch } = execution;
    live_folder(scratch).join(format!("{}@{attempt}.{epoch}.{}", label(key), live_name(name)))
}

/// Which execution of a run, and which of its outputs, a file of [`live_output`] is of; `None` where it is another run's.
#[must_use]
pub fn read_live_output(file: &str, key: &RunKey) -> Option<(Execution, String)> {
    let rest = file.strip_prefix(&label(key))?.strip_prefix('@')?;
    let (attempt, rest) = rest.split_once('.')?;
    let (epoch, name) = rest.split_once('.')?;
    Some((Execution { attempt: attempt.parse().ok()?, epoch: epoch.parse().ok()? }, name.to_owned()))
}

/// The id of the run that a file of [`live_output`] is of.
#[must_use]
pub fn run_of_live_output(file: &str) -> Option<crate::ids::RunId> {
    file.get(..36)?.parse().ok()
}

/// An output in pieces: where they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pieces {
    /// How their locations begin.
    pub location: String,
}

impl Pieces {
    /// Those of an output of an execution, below the folder of its attempt.
    #[must_use]
    pub fn new(folder: &str, epoch: u64, name: &str) -> Self {
        Self { location: format!("{}{epoch}.{}", Self::folder(folder), live_name(name)) }
    }

    /// The pieces at a location that [`Pieces::location`] gave, if it is one.
    #[must_use]
    pub fn at(location: &str) -> Option<Self> {
        let (folder, name) = location.rsplit_once('/')?;
        let is_right =
            folder.ends_with(&format!("/{LIVE}")) && name.split_once('.')?.0.parse::<u64>().is_ok();
        is_right.then(|| Self { location: location.to_owned() })
    }

    /// How the locations of all pieces of an attempt begin.
    #[must_use]
    pub fn folder(folder: &str) -> String {
        format!("{folder}/{LIVE}/")
    }

    /// Where a piece is, from 0: its bytes are those from `index` times [`PIECE_BYTES`] on.
    #[must_use]
    pub fn piece(&self, index: u64) -> String {
        format!("{}.{index:06}", self.location)
    }

    /// The epoch, the name of the output and the number of the piece, of the name of an object.
    #[must_use]
    pub fn read(object: &str) -> Option<(u64, &str, u64)> {
        let (rest, index) = object.rsplit_once('.')?;
        let (epoch, name) = rest.split_once('.')?;
        Some((epoch.parse().ok()?, name, index.parse().ok()?))
    }
}

/// How long after the last piece the next one is kept, of which there were `kept`: half as long again each time, up to
/// `longest`. `None` where pieces are kept only to make room.
#[must_use]
pub fn next_piece(kept: u32, longest: Span) -> Option<Span> {
    /// After so many the longest pause of a setting is reached.
    const MOST: u32 = 40;
    if longest.is_zero() {
        return None;
    }
    let first = FIRST_PIECE.get().min(longest.get());
    let grown = (0..kept.min(MOST)).fold(first, |pause: Duration, _| (pause * 3 / 2).min(longest.get()));
    Some(Span::from(grown))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: &str = "0190a0a0-0000-7000-8000-000000000000";

    fn key(steps: &str) -> RunKey {
        format!("{RUN}{steps}").parse().unwrap()
    }

    #[test]
    fn file_of_an_output_names_its_run_execution_and_output() {
        let long = format!("{}.stderr", "x".repeat(250));
        let deep = format!("/{}", vec!["12.34"; 20].join("/"));
        let execution = Execution { attempt: 3, epoch: 17 };
        for steps in ["", "/1.2", "/1.23", "/1.2/3.4", &deep] {
            for name in ["stdout", "load.sh.stderr", "1.2.stdout", &long] {
                let path = live_output(Path::new("/s"), &key(steps), execution, name);
                let file = path.file_name().unwrap().to_str().unwrap();
                assert!(file.len() <= 255, "{file}");
                assert_eq!(read_live_output(file, &key(steps)), Some((execution, live_name(name))), "{file}");
                assert_eq!(run_of_live_output(file).map(|run| run.to_string()).as_deref(), Some(RUN));
                for other in ["", "/1.2", "/1.23", "/1.2/3.4", "/1.2/3.45", &deep] {
                    let is_own = read_live_output(file, &key(other)).is_some();
                    assert_eq!(is_own, other == steps, "{file} {other}");
                }
                assert!(file.ends_with(name.rsplit('.').next().unwrap()), "{file}");
            }
        }
    }

    #[test]
    fn no_place_of_an_attempt_is_below_another() {
        let job = JobId::new("etl/load").unwrap();
        let mut places = Vec::new();
        for steps in ["", "/1.0", "/1.1"] {
            for attempt in [1, 2, 12] {
                places.push(temp_at("s3://b/tmp/", &job, &key(steps), attempt));
                places.push(kept_at("s3://b/tmp/", &job, &key(steps), attempt));
            }
        }
        assert_eq!(places[0], format!("s3://b/tmp/etl/load/{RUN}"));
        assert_eq!(places[1], format!("s3://b/tmp/.output/etl/load/{RUN}"));
        assert_eq!(places[2], format!("s3://b/tmp/etl/load/{RUN}-attempt-2"));
        for (number, place) in places.iter().enumerate() {
            for other in &places[number + 1..] {
                assert_ne!(place, other);
                // The steps of a run are below its key; a job with steps runs no command itself.
                if !place.ends_with(RUN) {
                    assert!(!other.starts_with(&format!("{place}/")), "{other} is below {place}");
                }
            }
        }
    }

    #[test]
    fn pieces_are_recognised_by_their_names() {
        let pieces = Pieces::new("s3://b/tmp/a/r", 4, "load.v2.sh.stdout");
        assert_eq!(pieces.piece(12), "s3://b/tmp/a/r/_live/4.load.v2.sh.stdout.000012");
        assert_eq!(Pieces::at(&pieces.location), Some(pieces.clone()));
        let object = pieces.piece(12);
        let read = Pieces::read(object.rsplit('/').next().unwrap());
        assert_eq!(read, Some((4, "load.v2.sh.stdout", 12)));
        for other in ["s3://b/tmp/a/r/stdout", "s3://b/tmp/a/r/_live/x.stdout", "stdout", "s3://b/_live"] {
            assert_eq!(Pieces::at(other), None, "{other}");
        }
    }

    #[test]
    fn pieces_of_an_hour_are_bounded_in_number() {
        let longest = Span::from_secs(30);
        let (mut kept, mut at) = (0, Duration::ZERO);
        while at < Duration::from_secs(3600) {
            at += next_piece(kept, longest).unwrap().get();
            kept += 1;
        }
        assert_eq!(kept, 125);
        assert_eq!(next_piece(0, longest), Some(FIRST_PIECE));
        assert_eq!(next_piece(u32::MAX, longest), Some(longest));
        assert_eq!(next_piece(0, Span::from_secs(1)), Some(Span::from_secs(1)));
        assert_eq!(next_piece(9, Span::ZERO), None);
    }
}
