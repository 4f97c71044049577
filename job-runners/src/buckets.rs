//! Objects of buckets that jobs name: read and listed. In a realm's folder a bucket is a folder that the realm calls so.

use pumice_core::glob::fnmatch;
use pumice_core::job_type::{JobContext, JobError};
use pumice_core::ports::{MAX_LISTED, Object};
use pumice_core::text::{quoted, shown};
use pumice_job_types::foreach::Item;
use serde_json::{Map, Value};

use crate::payloads::{Bytes, Limit, Payload, in_time};

/// How a place in a bucket begins, in any case of letters.
const SCHEME: &str = "s3://";
/// Most objects that are looked at for those that match.
const MAX_LOOKED: usize = 100_000;

/// Whether a name is that of an object.
pub(crate) fn is_in(name: &str) -> bool {
    name.get(..SCHEME.len()).is_some_and(|start| start.eq_ignore_ascii_case(SCHEME))
}

/// Where a bucket is, with a slash at its end.
fn place(context: &JobContext<'_>, bucket: &str) -> Result<String, JobError> {
    if bucket.is_empty() || bucket.contains('/') {
        return Err(JobError::permanent(format!("{} is not the name of a bucket", quoted(bucket))));
    }
    if !context.objects.is_near() {
        return Ok(format!("{SCHEME}{bucket}/"));
    }
    let folder = context.realm.document.get("buckets").and_then(|buckets| buckets.get(bucket)?.as_str());
    let unknown = || {
        let message = format!("the realm is a folder, and its buckets have no {}", quoted(bucket));
        JobError::permanent(message)
    };
    let folder = context.objects.located(folder.ok_or_else(unknown)?);
    Ok(format!("{}/", folder.trim_end_matches('/')))
}

/// Opens the object `s3://bucket/key`.
///
/// # Errors
/// [`JobError`] when it is not there, is too large or cannot be fetched.
pub(crate) async fn open(context: &JobContext<'_>, name: &str, limit: Limit) -> Result<Bytes, JobError> {
    let rest = name.get(SCHEME.len()..).unwrap_or_default();
    let parts = rest.split_once('/').filter(|(_, key)| !key.is_empty() && !key.ends_with('/'));
    let bad =
        || JobError::permanent(format!("{} is not an object: write it as s3://bucket/key", quoted(name)));
    let (bucket, key) = parts.ok_or_else(bad)?;
    let location = format!("{}{key}", place(context, bucket)?);
    let listing = context.objects.list_level(&location, MAX_LISTED);
    let found = in_time(context, "list objects", listing).await?;
    let found = found.into_iter().find(|object| object.location == location);
    let missing = || JobError::failed(format!("there is no object {}", shown(name)));
    Payload::new(found.ok_or_else(missing)?, limit)?.open(context).await
}

/// The objects of a bucket whose keys begin with a prefix and match a pattern, as lava lists them; one more than `limit` at
/// most (lava guide, Foreach type: s3list).
///
/// # Errors
/// [`JobError`] when they cannot be listed, or too many must be looked at.
pub(crate) async fn list(
    context: &JobContext<'_>,
    bucket: &str,
    prefix: &str,
    globs: &[String],
    limit: usize,
) -> Result<Vec<Item>, JobError> {
    let base = place(context, bucket)?;
    let location = format!("{base}{prefix}");
    let (mut items, mut after, mut looked) = (Vec::new(), None::<String>, 0);
    loop {
        let listing = context.objects.list_objects(&location, after.as_deref(), MAX_LISTED);
        let page = in_time(context, "list objects", listing).await?;
        looked += page.objects.len();
        let found = page.objects.iter().filter_map(|object| item(bucket, &base, object, globs));
        items.extend(found.take(limit.saturating_add(1) - items.len()));
        after = page.next;
        if after.is_none() || items.len() > limit {
            return Ok(items);
        }
        if looked >= MAX_LOOKED {
            let message =
                format!("more than {MAX_LOOKED} objects of {} begin with {}", quoted(bucket), quoted(prefix));
            return Err(JobError::permanent(message));
        }
    }
}

/// An object as an item, if its key matches.
fn item(bucket: &str, base: &str, object: &Object, globs: &[String]) -> Option<Item> {
    let key = object.location.strip_prefix(base)?;
    if !globs.is_empty() && !globs.iter().any(|glob| fnmatch(glob, key)) {
        return None;
    }
    let mut about = Map::new();
    about.insert("Bucket".to_owned(), bucket.into());
    about.insert("Key".to_owned(), key.into());
    if let Some(modified) = object.modified {
        about.insert("LastModified".to_owned(), modified.to_rfc3339().into());
    }
    about.insert("Size".to_owned(), object.size.into());
    if let Some(version) = &object.version {
        about.insert("ETag".to_owned(), version.as_str().into());
    }
    // A folder has one class, and S3 names its usual one so.
    about.insert("StorageClass".to_owned(), object.class.as_deref().unwrap_or("STANDARD").into());
    let mut item = Map::new();
    item.insert("s3obj".to_owned(), Value::Object(about));
    Some(item)
}
