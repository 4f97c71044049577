//! A store's write-ahead log after an unclean end (SQLite, "The WAL File Format").
//!
//! SQLite takes what is whole at the beginning of the log and passes over the rest, and over a log that is gone, without a
//! word: what is in it alone would be missing, and a realm that was just made would be a new one.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

/// The lengths of the log's header and of a frame's, in bytes.
const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
/// The two ways in which checksums are reckoned: with words in the order of the one machine or the other.
const LITTLE: u32 = 0x377f_0682;
const BIG: u32 = 0x377f_0683;

/// The state of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Log {
    /// There is none, or nothing is in it.
    Gone,
    /// All of it can be read.
    Whole,
    /// So many frames, a page each, that belong to it cannot be read.
    Torn(u64),
}

/// Looks through the log of a store. A log that cannot be read at all is left to SQLite.
pub(crate) fn log_of(store: &Path) -> std::io::Result<Log> {
    let file = match File::open(store.with_extension("db-wal")) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Log::Gone),
        opened => opened?,
    };
    let length = file.metadata()?.len();
    let mut file = BufReader::with_capacity(1 << 16, file);
    let mut header = [0; HEADER];
    if length < HEADER as u64 {
        return Ok(Log::Gone);
    }
    file.read_exact(&mut header)?;
    let word = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let (magic, page) = (word(0), word(8) as usize);
    let frames = (length - HEADER as u64) / (FRAME_HEADER + page.max(1)) as u64;
    if !matches!(magic, LITTLE | BIG) || !page.is_power_of_two() || !(512..=65_536).contains(&page) {
        return Ok(Log::Torn(frames.max(1)));
    }
    let read = if magic == LITTLE { u32::from_le_bytes } else { u32::from_be_bytes };
    let mut sum = checksum((0, 0), &header[..24], read);
    if sum != (word(24), word(28)) {
        return Ok(Log::Torn(frames.max(1)));
    }
    let (mut frame, mut whole, mut torn) = (vec![0; FRAME_HEADER + page], true, 0);
    for _ in 0..frames {
        file.read_exact(&mut frame)?;
        // Frames of an earlier log may follow, which was put into the store.
        let is_ours = frame[8..16] == header[16..24];
        sum = checksum(checksum(sum, &frame[..8], read), &frame[FRAME_HEADER..], read);
        let stored = |at: usize| u32::from_be_bytes([frame[at], frame[at + 1], frame[at + 2], frame[at + 3]]);
        whole = whole && is_ours && sum == (stored(16), stored(20));
        torn += u64::from(is_ours && !whole);
    }
    Ok(if torn == 0 { Log::Whole } else { Log::Torn(torn) })
}

fn checksum(begin: (u32, u32), bytes: &[u8], read: fn([u8; 4]) -> u32) -> (u32, u32) {
    let word = |bytes: &[u8]| read([bytes[0], bytes[1], bytes[2], bytes[3]]);
    bytes.chunks_exact(8).fold(begin, |(first, second), pair| {
        let first = first.wrapping_add(word(&pair[..4])).wrapping_add(second);
        (first, second.wrapping_add(word(&pair[4..])).wrapping_add(first))
    })
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    /// A log of several transactions, and of one that is put into the store before.
    fn store(folder: &Path) -> (std::path::PathBuf, Connection) {
        let file = folder.join("store.db");
        let connection = Connection::open(&file).unwrap();
        connection.pragma_update(None, "journal_mode", "WAL").unwrap();
        connection.execute_batch("CREATE TABLE t (x)").unwrap();
        let fill = "WITH n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n LIMIT 500) INSERT INTO t SELECT hex(randomblob(50)) FROM n";
        connection.execute_batch(fill).unwrap();
        connection.query_row("PRAGMA wal_checkpoint(RESTART)", [], |_| Ok(())).unwrap();
        for _ in 0..3 {
            connection.execute_batch("INSERT INTO t SELECT hex(randomblob(2000))").unwrap();
        }
        (file, connection)
    }

    #[test]
    fn log_is_whole_torn_or_gone() {
        let folder = tempfile::tempdir().unwrap();
        let (file, _connection) = store(folder.path());
        assert_eq!(log_of(&file).unwrap(), Log::Whole);
        let log = file.with_extension("db-wal");
        let bytes = std::fs::read(&log).unwrap();
        for (at, what) in [(4, "header"), (40, "a frame's header"), (32 + 24 + 100, "a page")] {
            let mut torn = bytes.clone();
            torn[at] ^= 0xff;
            std::fs::write(&log, torn).unwrap();
            assert!(matches!(log_of(&file).unwrap(), Log::Torn(1..)), "{what}");
        }
        std::fs::write(&log, "").unwrap();
        assert_eq!(log_of(&file).unwrap(), Log::Gone);
        std::fs::remove_file(&log).unwrap();
        assert_eq!(log_of(&file).unwrap(), Log::Gone);
    }
}
