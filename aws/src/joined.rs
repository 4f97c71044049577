//! Objects in S3 that are made of others, and objects that go.

use aws_sdk_s3::types::{
    CompletedMultipartUpload, CompletedPart, Delete, ObjectIdentifier, ServerSideEncryption,
};
use pumice_core::ports::{StoreError, StoreErrorKind};

use crate::failure::{kind_of_code, store_error};
use crate::objects::{Objects, patient, place};

/// Most parts of one object (S3 user guide, Multipart upload limits).
const MAX_PARTS: usize = 10_000;
/// Most objects that one call removes (S3, `DeleteObjects`).
const MAX_REMOVED: usize = 1_000;

impl Objects {
    /// Makes an object of others by copies within S3.
    pub(crate) async fn join_parts(&self, location: &str, parts: &[String]) -> Result<(), StoreError> {
        let (bucket, key) = place(location)?;
        if parts.len() > MAX_PARTS {
            let why = format!("{location} would have {} parts; S3 joins {MAX_PARTS}", parts.len());
            return Err(StoreError::of(StoreErrorKind::Invalid, why));
        }
        let what = format!("joining {location}");
        let mut begin = self.client.create_multipart_upload().bucket(bucket).key(key);
        if let Some(kms) = &self.key {
            begin = begin.server_side_encryption(ServerSideEncryption::AwsKms).ssekms_key_id(kms);
        }
        let begun = begin.send().await.map_err(|error| store_error(&what, &error))?;
        let Some(upload) = begun.upload_id() else {
            return Err(StoreError::unreachable(format!("{what}: S3 gave no id of an upload")));
        };
        let joined = self.copy_parts(location, upload, parts).await;
        if joined.is_err() {
            let given_up = self.client.abort_multipart_upload().bucket(bucket).key(key).upload_id(upload);
            if let Err(error) = given_up.send().await {
                // The bucket's lifecycle removes what is left of it.
                tracing::debug!(location, error = %store_error("giving up an upload", &error), "an upload stays");
            }
        }
        joined
    }

    async fn copy_parts(&self, location: &str, upload: &str, parts: &[String]) -> Result<(), StoreError> {
        let (bucket, key) = place(location)?;
        let what = format!("joining {location}");
        let mut done = Vec::with_capacity(parts.len());
        for (number, part) in (1..).zip(parts) {
            let (from_bucket, from_key) = place(part)?;
            let source = format!("{from_bucket}/{}", encoded(from_key));
            let copy = self.client.upload_part_copy().bucket(bucket).key(key).upload_id(upload);
            let copied = copy.part_number(number).copy_source(source).customize();
            let copied = copied.config_override(patient()).send().await;
            let copied = copied.map_err(|error| store_error(&what, &error))?;
            let tag = copied.copy_part_result().and_then(|result| result.e_tag()).map(str::to_owned);
            done.push(CompletedPart::builder().part_number(number).set_e_tag(tag).build());
        }
        let whole = CompletedMultipartUpload::builder().set_parts(Some(done)).build();
        let end = self.client.complete_multipart_upload().bucket(bucket).key(key).upload_id(upload);
        let ended = end.multipart_upload(whole).customize().config_override(patient()).send().await;
        ended.map(drop).map_err(|error| store_error(&what, &error))
    }

    /// Removes objects of one bucket or of several.
    pub(crate) async fn remove_all(&self, locations: &[String]) -> Result<(), StoreError> {
        for some in locations.chunk_by(|one, other| bucket_of(one) == bucket_of(other)) {
            for some in some.chunks(MAX_REMOVED) {
                self.remove_some(some).await?;
            }
        }
        Ok(())
    }

    async fn remove_some(&self, locations: &[String]) -> Result<(), StoreError> {
        let Some(first) = locations.first() else { return Ok(()) };
        let (bucket, _) = place(first)?;
        let what = format!("removing {first}");
        let invalid = |error: aws_sdk_s3::error::BuildError| {
            StoreError::of(StoreErrorKind::Invalid, format!("{what}: {error}"))
        };
        let mut keys = Vec::with_capacity(locations.len());
        for location in locations {
            keys.push(ObjectIdentifier::builder().key(place(location)?.1).build().map_err(invalid)?);
        }
        let keys = Delete::builder().set_objects(Some(keys)).quiet(true).build().map_err(invalid)?;
        let removed = self.client.delete_objects().bucket(bucket).delete(keys).send().await;
        let removed = removed.map_err(|error| store_error(&what, &error))?;
        match removed.errors().first() {
            None => Ok(()),
            Some(error) => {
                let (key, why) = (error.key().unwrap_or_default(), error.message().unwrap_or_default());
                let kind = kind_of_code(error.code().unwrap_or_default());
                Err(StoreError::of(kind, format!("{what}: {key}: {why}")))
            }
        }
    }
}

fn bucket_of(location: &str) -> Option<&str> {
    place(location).ok().map(|(bucket, _)| bucket)
}

/// A key as the source of a copy names it: all but letters, digits and few marks as bytes in hexadecimal digits.
fn encoded(key: &str) -> String {
    let mut text = String::with_capacity(key.len());
    for byte in key.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_of_a_source_is_written_byte_by_byte() {
        assert_eq!(
            encoded("tmp/a b/é+1/_live/3.stdout.000001"),
            "tmp/a%20b/%C3%A9%2B1/_live/3.stdout.000001"
        );
    }
}
