//! Looks up the items of a `foreach` that stand in a file, are the objects of a bucket or the rows of a query.

use std::path::PathBuf;

use async_trait::async_trait;
use pumice_core::job_type::{JobContext, JobError, ParametersOf, Rendered, Resolver, Template};
use pumice_job_types::Globs;
use pumice_job_types::foreach::{self, Source, listed};
use serde_json::json;

use crate::payloads::Limit;
use crate::{buckets, items, sql};

/// Resolves jobs of type `foreach`.
pub(crate) struct Foreach;

#[async_trait]
impl Resolver for Foreach {
    type Of = foreach::Foreach;

    async fn resolve(
        &self,
        context: &JobContext<'_>,
        rendered: &Rendered,
    ) -> Result<Option<Rendered>, JobError> {
        let parameters: ParametersOf<Self::Of> = rendered.parameters()?;
        let settings = context.settings;
        let limit = parameters.limit(settings);
        if limit > settings.foreach_max_limit {
            let message = format!(
                "a limit of {limit} is more than the realm's FOREACH_MAX_LIMIT of {}",
                settings.foreach_max_limit
            );
            return Err(JobError::permanent(message));
        }
        let source = &parameters.foreach;
        let items = match (source, source.file()) {
            (_, Some((filename, form))) if buckets::is_in(filename) => {
                let limit_of_file =
                    Limit { bytes: items::MAX_FILE, setting: "the largest file of a foreach" };
                let bytes = buckets::open(context, filename, limit_of_file).await?;
                let name = PathBuf::from(filename);
                let reading = move || items::read_from(&name, bytes, form, limit);
                context.read_on_pool(filename, items::MAX_TIME, reading).await??
            }
            (_, Some((filename, form))) => {
                let path = context.directories.work().await?.join(filename);
                let name = path.display().to_string();
                let reading = move || items::read(&path, form, limit);
                context.read_on_pool(&name, items::MAX_TIME, reading).await??
            }
            (Source::S3list { bucket: Template(bucket), prefix, glob }, None) => {
                let prefix = prefix.as_ref().map(|Template(prefix)| prefix.as_str()).unwrap_or_default();
                let globs = glob.as_ref().map(|Globs(globs)| globs.clone()).unwrap_or_default();
                buckets::list(context, bucket, prefix, &globs, limit).await?
            }
            (Source::Query { conn_id, query }, None) => sql::items(context, conn_id, query, limit).await?,
            (_, None) => listed(source, limit)?,
        };
        if items.len() > limit {
            let error = format!("foreach value list exceeds limit of {limit}");
            let data = json!({ "exit_status": 1, "error": error });
            let failed = JobError::permanent(format!("there are more than {limit} items; nothing was run"));
            return Err(failed.worded(error).with_data(data));
        }
        if source.is_listed() {
            return Ok(None);
        }
        let mut resolved = rendered.clone();
        resolved.parameters.insert("foreach".to_owned(), json!({ "type": "inline", "values": items }));
        Ok(Some(resolved))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use serde_json::Value;

    use super::*;
    use crate::fakes::{Standing, Stuck, World};

    /// A world whose directory has `items.csv` and `items.jsonl`, of two items each.
    fn world(parameters: &Value) -> (World, Rendered) {
        let world = World::of("foreach", json!("one"), parameters.clone());
        std::fs::write(world.directory().join("items.csv"), "a,b\n1,x\n2,y\n").unwrap();
        std::fs::write(world.directory().join("items.jsonl"), "{\"a\":1}\n{\"a\":2}\n").unwrap();
        let rendered = Rendered { payload: json!("one"), parameters: world.job.parameters() };
        (world, rendered)
    }

    #[tokio::test]
    async fn items_of_a_file_are_kept_in_its_place() {
        for (source, wanted) in [
            (
                json!({ "type": "csv", "filename": "items.csv" }),
                json!([{ "a": "1", "b": "x" }, { "a": "2", "b": "y" }]),
            ),
            (json!({ "type": "jsonl", "filename": "items.jsonl" }), json!([{ "a": 1 }, { "a": 2 }])),
        ] {
            let (world, rendered) = world(&json!({ "foreach": source, "can_fail": true }));
            let resolved = Foreach.resolve(&world.context(), &rendered).await.unwrap().unwrap();
            assert_eq!(resolved.parameters["foreach"], json!({ "type": "inline", "values": wanted }));
            assert_eq!((&resolved.payload, &resolved.parameters["can_fail"]), (&json!("one"), &json!(true)));
        }
    }

    #[tokio::test]
    async fn items_of_a_bucket_are_read_or_listed() {
        let csv = json!({ "type": "csv", "filename": "S3://data/in/x.csv" });
        let list =
            json!({ "type": "s3list", "bucket": "data", "prefix": "in/", "glob": ["*.csv", "*.jsonl"] });
        let object = |key: &str, size: u64, etag: &str| json!({ "s3obj": { "Bucket": "data", "Key": key, "Size": size, "ETag": etag, "StorageClass": "STANDARD" } });
        for (source, wanted) in [
            (csv, json!([{ "a": "1" }])),
            (list, json!([object("in/deep/y.jsonl", 2, "{}"), object("in/x.csv", 4, "a\n1\n")])),
        ] {
            let (world, rendered) = world(&json!({ "foreach": source }));
            for (key, text) in
                [("in/x.csv", "a\n1\n"), ("in/deep/y.jsonl", "{}"), ("in/z.txt", "z"), ("x.csv", "x")]
            {
                world.kept.put(&format!("s3://data/{key}"), text);
            }
            let resolved = Foreach.resolve(&world.context(), &rendered).await.unwrap().unwrap();
            assert_eq!(resolved.parameters["foreach"], json!({ "type": "inline", "values": wanted }));
        }
    }

    #[tokio::test]
    async fn items_of_the_spec_are_left_where_they_stand() {
        for source in [json!({ "type": "inline", "values": [{}] }), json!({ "type": "range", "stop": 3 })] {
            let (world, rendered) = world(&json!({ "foreach": source }));
            assert_eq!(Foreach.resolve(&world.context(), &rendered).await, Ok(None));
        }
    }

    #[tokio::test]
    async fn items_refused_say_why_and_whether_another_attempt_helps() {
        for (parameters, wanted, retryable) in [
            (json!({ "foreach": { "type": "range", "stop": 3 }, "limit": 2 }), "more than 2 items", false),
            (
                json!({ "foreach": { "type": "csv", "filename": "items.csv" }, "limit": 1 }),
                "more than 1 items",
                false,
            ),
            (
                json!({ "foreach": { "type": "range", "stop": 3 }, "limit": 100_000 }),
                "FOREACH_MAX_LIMIT",
                false,
            ),
            (
                json!({ "foreach": { "type": "csv", "filename": "s3://b/x.csv" } }),
                "there is no object s3://b/x.csv",
                true,
            ),
            (json!({ "foreach": { "type": "csv", "filename": "s3://b" } }), "s3://bucket/key", false),
            (json!({ "foreach": { "type": "csv", "filename": "nowhere.csv" } }), "No such file", true),
            (json!({ "foreach": { "type": "jsonl", "filename": "items.csv" } }), "line 1", true),
        ] {
            let (world, rendered) = world(&parameters);
            let error = Foreach.resolve(&world.context(), &rendered).await.unwrap_err();
            assert!(error.message.contains(wanted), "{wanted}: {error}");
            assert_eq!(error.retryable, retryable, "{error}");
        }
    }

    /// Were the file read by the thread that asks, it would be read although the pool does nothing.
    #[test]
    fn file_is_read_by_the_pool_and_not_by_the_thread_that_asks() {
        for (kind, file) in [("csv", "items.csv"), ("jsonl", "items.jsonl")] {
            let (mut world, rendered) = world(&json!({ "foreach": { "type": kind, "filename": file } }));
            world.pool = Box::new(Stuck);
            world.clock = Box::new(Standing { wakes: false });
            assert_eq!(Foreach.resolve(&world.context(), &rendered).now_or_never(), None);
            // When the time is up the read is given up.
            world.clock = Box::new(Standing { wakes: true });
            let given_up = Foreach.resolve(&world.context(), &rendered).now_or_never().unwrap();
            let error = given_up.unwrap_err();
            assert!(error.message.ends_with(&format!("{file} within 30 s")), "{error}");
        }
    }
}
