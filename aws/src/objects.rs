//! Objects in S3.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::operation::get_object::{GetObjectError, GetObjectOutput};
use aws_sdk_s3::operation::head_object::HeadObjectError;
use aws_sdk_s3::primitives::{ByteStream, Length};
use aws_sdk_s3::types::Object as Listed;
use aws_sdk_s3::types::ServerSideEncryption;
use pumice_core::Timestamp;
use pumice_core::ports::{
    Fetched, MAX_LISTED, MAX_PIECE, Object, ObjectPage, ObjectStore, Piece, StoreError, StoreErrorKind,
};
use tokio::io::{AsyncBufRead, AsyncSeekExt, AsyncWriteExt};

use crate::failure::store_error;
use crate::folders;

/// How long one try at sending or reading an object may take: outputs may be large.
const TRANSFER: Duration = Duration::from_secs(120);

/// Buckets, as the locations `s3://bucket/key` name them.
#[derive(Clone, Debug)]
pub struct Objects {
    pub(crate) client: aws_sdk_s3::Client,
    pub(crate) key: Option<String>,
}

/// The bucket and the key of a location.
pub(crate) fn place(location: &str) -> Result<(&str, &str), StoreError> {
    location
        .strip_prefix("s3://")
        .and_then(|rest| rest.split_once('/'))
        .filter(|(bucket, key)| !bucket.is_empty() && !key.is_empty())
        .ok_or_else(|| {
            StoreError::of(
                StoreErrorKind::Invalid,
                format!("{location} is not a place in S3: write it as s3://bucket/key"),
            )
        })
}

pub(crate) fn patient() -> aws_sdk_s3::config::Builder {
    let timeouts =
        TimeoutConfig::builder().operation_attempt_timeout(TRANSFER).operation_timeout(TRANSFER * 2);
    aws_sdk_s3::config::Builder::new().timeout_config(timeouts.build())
}

impl Objects {
    /// Objects by a client.
    #[must_use]
    pub fn new(client: aws_sdk_s3::Client) -> Self {
        Self { client, key: None }
    }

    /// The same, encrypted with a KMS key of the realm's (lava guide, The Realms Table, `s3_key`).
    #[must_use]
    pub fn encrypted_with(mut self, key: Option<String>) -> Self {
        self.key = key;
        self
    }

    async fn put(&self, location: &str, body: ByteStream) -> Result<(), StoreError> {
        let (bucket, key) = place(location)?;
        let mut request = self.client.put_object().bucket(bucket).key(key).body(body);
        if let Some(kms) = &self.key {
            request = request.server_side_encryption(ServerSideEncryption::AwsKms).ssekms_key_id(kms);
        }
        let sent = request.customize().config_override(patient()).send().await;
        sent.map(drop).map_err(|error| store_error(&format!("writing {location}"), &error))
    }

    /// Keeps bytes at a location.
    pub(crate) async fn put_bytes(&self, location: &str, bytes: Vec<u8>) -> Result<(), StoreError> {
        self.put(location, bytes.into()).await
    }

    /// The bytes at a location; `None` when there is nothing any more.
    pub(crate) async fn get_bytes(&self, location: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(object) = self.get(location).await? else { return Ok(None) };
        let bytes = object.body.collect().await;
        bytes
            .map(|bytes| Some(bytes.to_vec()))
            .map_err(|error| StoreError::unreachable(format!("reading {location}: {error}")))
    }

    /// A reader of the object at a location, and its size in bytes; `None` when there is no object.
    ///
    /// # Errors
    /// [`StoreError`] when the location is not in S3, or cannot be read.
    pub async fn open(
        &self,
        location: &str,
    ) -> Result<Option<(u64, impl AsyncBufRead + Send + Unpin + use<>)>, StoreError> {
        let object = self.get(location).await?;
        Ok(object.map(|object| {
            let size = object.content_length.unwrap_or_default().unsigned_abs();
            (size, object.body.into_async_read())
        }))
    }

    async fn get(&self, location: &str) -> Result<Option<GetObjectOutput>, StoreError> {
        let (bucket, key) = place(location)?;
        let request = self.client.get_object().bucket(bucket).key(key);
        let answer = request.customize().config_override(patient()).send().await;
        match answer {
            Ok(answer) => Ok(Some(answer)),
            Err(error) if error.as_service_error().is_some_and(GetObjectError::is_no_such_key) => Ok(None),
            Err(error) => Err(store_error(&format!("reading {location}"), &error)),
        }
    }
}

/// An object as S3 lists it.
fn listed(bucket: &str, object: &Listed) -> Object {
    Object {
        location: format!("s3://{bucket}/{}", object.key().unwrap_or_default()),
        size: object.size().unwrap_or_default().unsigned_abs(),
        modified: object
            .last_modified()
            .and_then(|at| Timestamp::from_timestamp(at.secs(), at.subsec_nanos())),
        version: object.e_tag().map(str::to_owned),
        class: object.storage_class().map(|class| class.as_str().to_owned()),
    }
}

/// Writes what comes into a file, and gives the file at its beginning.
///
/// # Errors
/// When not all of it comes, or can be written.
async fn write_down(mut body: ByteStream, file: File) -> std::io::Result<File> {
    let mut file = tokio::fs::File::from_std(file);
    while let Some(bytes) = body.next().await {
        file.write_all(&bytes.map_err(std::io::Error::other)?).await?;
    }
    // A write goes on after its call, and neither a seek nor a drop reports its failure.
    file.flush().await?;
    file.rewind().await?;
    Ok(file.into_std().await)
}

/// The error of the system behind one of the client's, if there is one: a host that has run out of something may have
/// it again later.
fn system_error(error: &(dyn std::error::Error + 'static)) -> Option<std::io::Error> {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let mut found = causes.filter_map(|cause| cause.downcast_ref::<std::io::Error>());
    let found = found.find_map(std::io::Error::raw_os_error);
    found.map(std::io::Error::from_raw_os_error)
}

/// A file of this machine that the client cannot read.
fn unread(error: aws_sdk_s3::primitives::ByteStreamError) -> std::io::Error {
    let unknown = || std::io::Error::other(format!("an output file: {error}"));
    system_error(&error).unwrap_or_else(unknown)
}

#[async_trait]
impl ObjectStore for Objects {
    async fn put_file(&self, location: &str, file: BorrowedFd<'_>) -> std::io::Result<()> {
        // By the descriptor, since the file's name may lead to another file by now; as a path, since a body read
        // from one can be sent again after a failure.
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let body = ByteStream::from_path(path).await.map_err(unread)?;
        self.put(location, body).await.map_err(std::io::Error::other)
    }

    async fn put_part(
        &self,
        location: &str,
        file: BorrowedFd<'_>,
        from: u64,
        length: u64,
    ) -> std::io::Result<()> {
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let body =
            ByteStream::read_from().path(path).offset(from).length(Length::Exact(length)).build().await;
        self.put(location, body.map_err(unread)?).await.map_err(std::io::Error::other)
    }

    async fn join(&self, location: &str, parts: &[String]) -> std::io::Result<()> {
        self.join_parts(location, parts).await.map_err(std::io::Error::other)
    }

    async fn remove(&self, locations: &[String]) -> Result<(), StoreError> {
        self.remove_all(locations).await
    }

    async fn open_range(&self, location: &str, from: u64, length: u64) -> Result<Option<Piece>, StoreError> {
        let (bucket, key) = place(location)?;
        let what = format!("reading {location}");
        let size = async || {
            let answer = self.client.head_object().bucket(bucket).key(key).send().await;
            match answer {
                Ok(answer) => Ok(Some(answer.content_length().unwrap_or_default().unsigned_abs())),
                Err(error) if error.as_service_error().is_some_and(HeadObjectError::is_not_found) => Ok(None),
                Err(error) => Err(store_error(&what, &error)),
            }
        };
        let length = length.min(MAX_PIECE);
        if length == 0 {
            return Ok(size().await?.map(|size| Piece { bytes: Vec::new(), size }));
        }
        let range = format!("bytes={from}-{}", from.saturating_add(length - 1));
        let request = self.client.get_object().bucket(bucket).key(key).range(range);
        let answer = match request.customize().config_override(patient()).send().await {
            Ok(answer) => answer,
            Err(error) if error.as_service_error().is_some_and(GetObjectError::is_no_such_key) => {
                return Ok(None);
            }
            // It ends before the range begins.
            Err(error) if error.as_service_error().and_then(|error| error.code()) == Some("InvalidRange") => {
                return Ok(size().await?.map(|size| Piece { bytes: Vec::new(), size }));
            }
            Err(error) => return Err(store_error(&what, &error)),
        };
        let total = answer.content_range().and_then(|range| range.rsplit_once('/')?.1.parse::<u64>().ok());
        let bytes = answer
            .body
            .collect()
            .await
            .map_err(|error| StoreError::unreachable(format!("{what}: {error}")))?;
        let bytes = bytes.to_vec();
        let size = total.unwrap_or(bytes.len() as u64);
        Ok(Some(Piece { bytes, size }))
    }

    async fn list_objects(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ObjectPage, StoreError> {
        let bad = || {
            StoreError::of(
                StoreErrorKind::Invalid,
                format!("{prefix} is not a place in S3: write it as s3://bucket/key"),
            )
        };
        let (bucket, start) =
            prefix.strip_prefix("s3://").and_then(|rest| rest.split_once('/')).ok_or_else(bad)?;
        let root = format!("s3://{bucket}/");
        let after = after.map(|after| after.strip_prefix(&root).ok_or_else(bad)).transpose()?;
        let request = self
            .client
            .list_objects_v2()
            .bucket(bucket)
            .prefix(start)
            .set_start_after(after.map(str::to_owned))
            .max_keys(i32::try_from(limit.clamp(1, MAX_LISTED)).unwrap_or(1));
        let answer =
            request.send().await.map_err(|error| store_error(&format!("listing {prefix}"), &error))?;
        let objects: Vec<Object> = answer.contents().iter().map(|object| listed(bucket, object)).collect();
        let is_cut = answer.is_truncated().unwrap_or_default();
        let next = objects.last().filter(|_| is_cut).map(|last| last.location.clone());
        Ok(ObjectPage { objects, next })
    }

    async fn list_level(&self, prefix: &str, limit: usize) -> Result<Vec<Object>, StoreError> {
        let bad = || {
            let why = format!("{prefix} is not a place in S3: write it as s3://bucket/key");
            StoreError::of(StoreErrorKind::Invalid, why)
        };
        let (bucket, start) =
            prefix.strip_prefix("s3://").and_then(|rest| rest.split_once('/')).ok_or_else(bad)?;
        let (mut objects, mut token) = (Vec::new(), None::<String>);
        loop {
            let request = self.client.list_objects_v2().bucket(bucket).prefix(start).delimiter("/");
            let left = i32::try_from((limit - objects.len()).clamp(1, MAX_LISTED)).unwrap_or(1);
            let answer = request.set_continuation_token(token).max_keys(left).send().await;
            let answer = answer.map_err(|error| store_error(&format!("listing {prefix}"), &error))?;
            objects.extend(answer.contents().iter().map(|object| listed(bucket, object)));
            objects.truncate(limit);
            token = answer.next_continuation_token().map(str::to_owned);
            if token.is_none() || objects.len() >= limit {
                return Ok(objects);
            }
        }
    }

    async fn fetch(&self, object: &Object, into: BorrowedFd<'_>) -> Result<Fetched, StoreError> {
        let (bucket, key) = place(&object.location)?;
        let what = format!("reading {}", object.location);
        let failed = |error: std::io::Error| StoreError::of_io(&what, error);
        let request = self.client.get_object().bucket(bucket).key(key).set_if_match(object.version.clone());
        let answer = match request.customize().config_override(patient()).send().await {
            Ok(answer) => answer,
            Err(error) if error.as_service_error().is_some_and(GetObjectError::is_no_such_key) => {
                return Ok(Fetched::Gone);
            }
            Err(error)
                if error.as_service_error().and_then(|error| error.code()) == Some("PreconditionFailed") =>
            {
                return Ok(Fetched::Changed);
            }
            Err(error) => return Err(store_error(&what, &error)),
        };
        // An answer of more than was found is not read to its end.
        if answer.content_length().is_some_and(|length| length.unsigned_abs() != object.size) {
            return Ok(Fetched::Changed);
        }
        let into = File::from(into.try_clone_to_owned().map_err(failed)?);
        into.set_len(0).map_err(failed)?;
        let written = write_down(answer.body, into).await.map_err(failed)?;
        let length = written.metadata().map_err(failed)?.len();
        Ok(if length == object.size { Fetched::Whole } else { Fetched::Changed })
    }

    async fn put_folder(&self, location: &str, folder: &Path) -> Result<(), StoreError> {
        let (from, failed) = (folder.to_owned(), |error| StoreError::of_io(folder.display(), error));
        let packing = tokio::task::spawn_blocking(move || folders::pack(&from)).await;
        let archive = packing.map_err(|error| StoreError::unreachable(error.to_string()))?.map_err(failed)?;
        self.put_file(location, archive.as_fd()).await.map_err(failed)
    }

    async fn get_folder(&self, location: &str, folder: &Path) -> Result<bool, StoreError> {
        let failed = |error: std::io::Error| StoreError::of_io(format!("reading {location}"), error);
        let Some(object) = self.get(location).await? else { return Ok(false) };
        let archive = tempfile::tempfile().map_err(failed)?;
        let archive = write_down(object.body, archive).await.map_err(failed)?;
        let to = folder.to_owned();
        let unpacking = tokio::task::spawn_blocking(move || folders::unpack(archive, &to)).await;
        unpacking.map_err(|error| StoreError::unreachable(error.to_string()))?.map_err(failed)?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn object_that_the_disk_has_no_room_for_is_an_error() {
        // Every write to this device finds no room (full(4)).
        let full = File::options().read(true).write(true).open("/dev/full").unwrap();
        let error = write_down(ByteStream::from_static(b"an archive"), full).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
        let mut kept =
            write_down(ByteStream::from_static(b"an archive"), tempfile::tempfile().unwrap()).await.unwrap();
        let mut text = String::new();
        std::io::Read::read_to_string(&mut kept, &mut text).unwrap();
        assert_eq!(text, "an archive");
    }

    #[tokio::test]
    async fn system_error_is_distinguished_from_the_clients() {
        let missing = ByteStream::from_path("/nowhere/at/all").await.unwrap_err();
        assert_eq!(system_error(&missing).unwrap().kind(), std::io::ErrorKind::NotFound);
        assert!(system_error(&StoreError::unreachable("none of the system's")).is_none());
    }

    #[test]
    fn locations_have_a_bucket_and_a_key() {
        assert_eq!(place("s3://b/a/c").ok(), Some(("b", "a/c")));
        for bad in ["/tmp/x", "s3://b", "s3://b/", "s3:///k"] {
            assert!(place(bad).is_err(), "{bad}");
        }
    }
}
