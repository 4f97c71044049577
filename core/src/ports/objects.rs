//! Where objects are kept.

use std::os::fd::BorrowedFd;

use async_trait::async_trait;

use super::{Fetched, Object, ObjectPage, Piece, StoreError};

/// Files that outlive a run: outputs and payloads.
#[async_trait]
pub trait ObjectStore: Send + Sync {
    /// Keeps what an open file of this machine holds at a location: `s3://bucket/key`, or a path when embedded. The
    /// descriptor counts, whatever has become of the file's name.
    ///
    /// # Errors
    /// The system's error as it is, since a host that has run out of something may have it again later.
    async fn put_file(&self, location: &str, file: BorrowedFd<'_>) -> std::io::Result<()>;
    /// Keeps some bytes of an open file at a location, over what is there, as [`put_file`](Self::put_file) does all of it.
    ///
    /// # Errors
    /// As for [`put_file`](Self::put_file).
    async fn put_part(
        &self,
        location: &str,
        file: BorrowedFd<'_>,
        from: u64,
        length: u64,
    ) -> std::io::Result<()>;
    /// Keeps several objects, one behind the other, as one, and leaves them as they are. All but the last have at least 5 MiB.
    ///
    /// # Errors
    /// As for [`put_file`](Self::put_file).
    async fn join(&self, location: &str, parts: &[String]) -> std::io::Result<()>;
    /// Removes objects; one that is gone already is not an error.
    ///
    /// # Errors
    /// [`StoreError`] when not all of them can be removed.
    async fn remove(&self, locations: &[String]) -> Result<(), StoreError>;
    /// The location as records keep it: one that is still right when the realm is moved.
    fn recorded(&self, location: &str) -> String {
        location.to_owned()
    }
    /// The location that a record keeps.
    fn located(&self, recorded: &str) -> String {
        recorded.to_owned()
    }
    /// Keeps what a folder of this machine holds, as one object: regular files, folders and links.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be kept, or holds too much.
    async fn put_folder(&self, location: &str, folder: &std::path::Path) -> Result<(), StoreError> {
        let _ = folder;
        Err(StoreError::invalid(format!("folders are not kept at {location}")))
    }
    /// Puts the files that [`put_folder`](Self::put_folder) kept into a folder; returns whether they were there.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be read.
    async fn get_folder(&self, location: &str, folder: &std::path::Path) -> Result<bool, StoreError> {
        let _ = (location, folder);
        Ok(false)
    }
    /// Reads up to `length` bytes of an object from the byte `from` on, at most [`MAX_PIECE`](super::MAX_PIECE); `None` when there is none.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be read, or the location is not one of this store's.
    async fn open_range(&self, location: &str, from: u64, length: u64) -> Result<Option<Piece>, StoreError>;
    /// Up to `limit` objects, at most [`MAX_LISTED`](super::MAX_LISTED), whose locations begin with `prefix` and come after `after`.
    ///
    /// # Errors
    /// [`StoreError`] when they cannot be listed, or the prefix is not one of this store's.
    async fn list_objects(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ObjectPage, StoreError>;
    /// The objects whose locations begin with `prefix` and have no `/` after it, by location; `limit` at most. Where a folder
    /// holds something else under such a name, that is an error: it cannot be an object.
    ///
    /// # Errors
    /// As [`list_objects`](Self::list_objects).
    async fn list_level(&self, prefix: &str, limit: usize) -> Result<Vec<Object>, StoreError>;
    /// Writes an object that was found into an open file of this machine, over what the file holds. Where the object has
    /// a version, it is that version or [`Fetched::Changed`].
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be read or written.
    async fn fetch(&self, object: &Object, into: BorrowedFd<'_>) -> Result<Fetched, StoreError>;
    /// Whether objects are files of this machine, so that a copy nearer by saves nothing.
    fn is_near(&self) -> bool {
        false
    }
    /// Makes a folder for a command to put files in at a location, where that is a folder of this machine.
    ///
    /// # Errors
    /// The system's error when it cannot be made.
    async fn make_folder(&self, location: &str) -> std::io::Result<()> {
        let _ = location;
        Ok(())
    }
    /// Removes such a folder, and those above it that are a run's, when they hold nothing.
    async fn remove_empty_folder(&self, location: &str) {
        let _ = location;
    }
}
