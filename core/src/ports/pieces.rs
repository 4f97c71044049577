//! Parts of objects, and lists of them.

use crate::Timestamp;

/// Most bytes that one call reads of an object.
pub const MAX_PIECE: u64 = 8 * 1024 * 1024;
/// Most objects that one call lists (S3, ListObjectsV2: 1,000).
pub const MAX_LISTED: usize = 1_000;

/// Some bytes of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The bytes: fewer than were asked for where the object ends, none behind its end.
    pub bytes: Vec<u8>,
    /// How many bytes the object has.
    pub size: u64,
}

/// An object that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Where it is.
    pub location: String,
    /// How many bytes it has.
    pub size: u64,
    /// When it was written last.
    pub modified: Option<Timestamp>,
    /// Changes whenever its content does: its `ETag`, or a folder's metadata of the file. `None` without either.
    pub version: Option<String>,
    /// Its storage class, as S3 names it.
    pub class: Option<String>,
}

/// The outcome of fetching an object that was found before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// All of it is there.
    Whole,
    /// Its version has changed since: the file's content is of no use.
    Changed,
    /// It is gone.
    Gone,
}

/// Some of the objects that were asked for, by location.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectPage {
    /// The objects, in the order of their locations' bytes.
    pub objects: Vec<Object>,
    /// The location after which the list goes on; `None` when it is complete.
    pub next: Option<String>,
}
