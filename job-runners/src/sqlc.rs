//! Runs jobs of type `sqlc`.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use async_trait::async_trait;
use pumice_core::job_type::{Ended, JobContext, JobError, Leaf, ParametersOf};
use pumice_job_types::sql::Texts;
use pumice_job_types::sqlc;
use serde_json::Value;

use crate::connections;
use crate::payloads::{self, Limit, Payload};
use crate::process::{self, Command};
use crate::series::Series;

/// The shell's script: gives the file to the client as its input.
const FEED: &str = "file=$1; shift; exec \"$@\" < \"$file\"";
/// The exit status of a program that is not installed (POSIX, Shell Command Language, 2.8.2).
const NOT_FOUND: i64 = 127;

/// Runs jobs of type `sqlc`.
pub(crate) struct Sqlc;

#[async_trait]
impl Leaf for Sqlc {
    type Of = sqlc::Sqlc;
    type Payload = Texts;

    async fn run(
        &self,
        context: &JobContext<'_>,
        keys: Texts,
        parameters: ParametersOf<sqlc::Sqlc>,
    ) -> Result<Ended, JobError> {
        let settings = context.settings;
        let limit = Limit { bytes: settings.sql.client_max_payload_size, setting: "SQLC_MAX_PAYLOAD_SIZE" };
        let mut files = Vec::new();
        for key in keys.all() {
            files.extend(payloads::find(context, key, limit).await?);
        }
        // Not a database: the script says so before anything runs.
        let login = crate::sql::login(context, &parameters.conn_id).await?;
        // Its script calls AWS's client, and the worker's credentials are for jobs that ask for them.
        if login.host.starts_with("s3://") && !context.machine.credentials.is_empty() {
            let message = format!(
                "connection {}: a SQLite file in S3 needs AWS credentials, which a sqlc job does not get: use a cmd job with aws_credentials: true",
                parameters.conn_id
            );
            return Err(JobError::permanent(message));
        }
        let named = BTreeMap::from([("db".to_owned(), parameters.conn_id.clone())]);
        let prepared = connections::prepare(context, &named).await?;
        let script = prepared.environment.iter().find(|(name, _)| name == "LAVA_CONN_DB");
        let script = script.map(|(_, path)| path.clone()).unwrap_or_default();
        let args = parameters.args.unwrap_or_default().into_iter().map(sqlc_text);
        let client = Client {
            script,
            args: args.collect(),
            is_rendered: parameters.jinja != Some(false),
            vars: [("vars", Value::Object(parameters.vars.unwrap_or_default()))],
            command: Command {
                line: String::new(),
                payload: None,
                argv: Vec::new(),
                env: Vec::new(),
                own: Vec::new(),
                timeout: parameters
                    .timeout
                    .or(context.job.fields.timeout)
                    .unwrap_or(settings.sql.client_timeout),
                aws_credentials: false,
                file_size: None,
            },
        };
        let ended = process::within_temp(context, client.run(context, files)).await;
        // The script and what it reads go after the client.
        drop(prepared);
        ended
    }
}

fn sqlc_text(text: pumice_job_types::cmd::Text) -> String {
    text.into_text()
}

/// The client of a database, and how it is run.
struct Client {
    script: String,
    args: Vec<String>,
    is_rendered: bool,
    vars: [(&'static str, Value); 1],
    command: Command,
}

impl Client {
    async fn run(mut self, context: &JobContext<'_>, files: Vec<Payload>) -> Result<Ended, JobError> {
        let mut series = Series::default();
        for mut file in files {
            if context.cancel.is_stopped().is_some() {
                return Err(series.failed("", JobError::failed("stopped")));
            }
            let name = file.name.clone();
            let folder = context.directories.temp()?;
            let text = self.text(context, &mut file).await.map_err(|error| series.failed(&name, error))?;
            let path = folder.path().join("input.sql");
            let written = write(&path, &text);
            written.map_err(|error| {
                series.failed(&name, JobError::failed(format!("cannot write it down: {error}")))
            })?;
            let words = ["sh", "-c", FEED, "sqlc"].map(str::to_owned).into_iter();
            let words = words.chain([path.display().to_string(), self.script.clone()]);
            self.command.argv = words.chain(self.args.iter().cloned()).collect();
            self.command.line = name.clone();
            let location = payloads::location(context, &name)?;
            self.command.payload = Some(process::Payload { location, output: name, folder: None });
            series.run(context, &self.command).await.map_err(|error| self.named(error))?;
        }
        Ok(series.ended())
    }

    /// The text of a file, rendered as a whole.
    async fn text(&self, context: &JobContext<'_>, file: &mut Payload) -> Result<String, JobError> {
        let mut text = String::new();
        let mut bytes = file.open(context).await?;
        let unreadable =
            |error: std::io::Error| JobError::permanent(format!("cannot read it as UTF-8: {error}"));
        bytes.read_to_string(&mut text).map_err(unreadable)?;
        if !self.is_rendered {
            return Ok(text);
        }
        context.templates.text(&text, &self.vars).map_err(|error| JobError::permanent(error.to_string()))
    }

    /// A failure, which says so where the client is not installed.
    fn named(&self, mut error: JobError) -> JobError {
        let status =
            error.data["output"].as_array().and_then(|all| all.last()).map(|one| &one["exit_status"]);
        if status.and_then(Value::as_i64) == Some(NOT_FOUND) {
            let client = Path::new(&self.script).file_name().unwrap_or_default().to_string_lossy();
            error.message =
                format!("the client {client} of the connection is not installed: {}", error.message);
        }
        error
    }
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;
    use crate::fakes::World;

    /// Runs a job whose client is a program that the test makes.
    async fn run(
        client: &str,
        parameters: Value,
        files: &[(&str, &str)],
    ) -> (Result<Ended, JobError>, World) {
        let mut given = json!({ "conn_id": "db" });
        given.as_object_mut().unwrap().extend(parameters.as_object().unwrap().clone());
        let mut world = World::of("sqlc", json!("load/"), given.clone());
        for (id, kind) in [("db", "postgres"), ("lite", "sqlite3")] {
            world
                .connections
                .connection(&json!({ "conn_id": id, "type": kind, "enabled": true, "host": "/h", "port": 1,
                "database": "d", "user": "u", "password": "key" }));
        }
        world.connections.secret("key", "canary-of-sqlc");
        let bin = world.folder.path().join("bin");
        std::fs::create_dir(&bin).unwrap();
        if !client.is_empty() {
            use std::os::unix::fs::PermissionsExt;
            std::fs::write(bin.join("psql"), client).unwrap();
            std::fs::set_permissions(bin.join("psql"), std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        for program in ["cat", "sh"] {
            std::os::unix::fs::symlink(Path::new("/bin").join(program), bin.join(program)).unwrap();
        }
        world.environment.push(("PATH".into(), bin.into()));
        for (name, text) in files {
            world.kept.put(&format!("s3://bucket/payloads/load/{name}"), text);
        }
        let parameters = sqlc::Parameters::deserialize(given).unwrap();
        let ended = Sqlc.run(&world.context(), Texts::One("load/".to_owned()), parameters).await;
        (ended, world)
    }

    fn place(name: &str) -> String {
        format!("s3://bucket/tmp/.output/top/{}/{name}", uuid::Uuid::from_u128(1))
    }

    #[tokio::test]
    async fn files_are_rendered_and_given_to_the_client_in_order() {
        let client = "#!/bin/sh\nfor last; do :; done; printf '%s: %s\\n' \"$last\" \"$(cat)\"";
        let files = [("b.sql", "select {{ vars.x }}"), ("a.sql", "\\echo a")];
        let (ended, world) = run(client, json!({ "args": ["-q"], "vars": { "x": 7 } }), &files).await;
        let Ok(Ended::Done(result)) = ended else { panic!("{ended:?}") };
        let output = json!([
            { "payload": "a.sql", "exit_status": 0, "stdout": place("a.sql.stdout") },
            { "payload": "b.sql", "exit_status": 0, "stdout": place("b.sql.stdout") },
        ]);
        assert_eq!(result, json!({ "exit_status": 0, "output": output }));
        assert_eq!(world.kept.objects()[&place("a.sql.stdout")], "-q: \\echo a\n");
        assert_eq!(world.kept.objects()[&place("b.sql.stdout")], "-q: select 7\n");
        let (ended, world) = run(client, json!({ "jinja": false }), &[("a.sql", "{{ 1 }}")]).await;
        assert!(ended.is_ok());
        assert!(world.kept.objects()[&place("a.sql.stdout")].ends_with(": {{ 1 }}\n"));
    }

    #[tokio::test]
    async fn client_that_fails_or_is_missing_says_so() {
        let failing = "#!/bin/sh\necho no such table >&2; exit 3";
        for (client, text, wanted) in [
            (failing, "select 1", "a.sql: exit status 3: no such table"),
            ("", "select 1", "the client psql of the connection is not installed: a.sql: exit status 127"),
            (failing, "{{ 1 + }}", "a.sql: "),
        ] {
            let (ended, _) = run(client, json!({}), &[("a.sql", text)]).await;
            let error = ended.unwrap_err();
            assert!(error.message.starts_with(wanted), "{wanted}: {error}");
        }
    }

    #[tokio::test]
    async fn file_in_s3_is_refused_where_credentials_are_kept_back() {
        let mut world = World::of("sqlc", json!("load/"), json!({ "conn_id": "db" }));
        world.connections.connection(
            &json!({ "conn_id": "db", "type": "sqlite3", "enabled": true, "host": "s3://bucket/a.db" }),
        );
        world.credentials.push(("KEY".into(), "secret".into()));
        world.kept.put("s3://bucket/payloads/load/a.sql", "select 1");
        let parameters = sqlc::Parameters::deserialize(json!({ "conn_id": "db" })).unwrap();
        let ended = Sqlc.run(&world.context(), Texts::One("load/".to_owned()), parameters).await;
        let error = ended.unwrap_err();
        assert!(
            error.message.contains("use a cmd job with aws_credentials: true") && !error.retryable,
            "{error}"
        );
    }
}
