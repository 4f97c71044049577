//! Runs jobs of type `cmd`.

use async_trait::async_trait;
use pumice_core::job_type::{Ended, JobContext, JobError, Leaf, ParametersOf};
use pumice_core::spec::JobSpec;
use pumice_job_types::cmd;
use pumice_job_types::command::CommandParameters;

use crate::connections;
use crate::process::{self, Command};

/// Runs jobs of type `cmd`.
pub(crate) struct Cmd;

#[async_trait]
impl Leaf for Cmd {
    type Of = cmd::Cmd;
    /// The words of the command line, and the arguments.
    type Payload = Vec<String>;

    async fn run(
        &self,
        context: &JobContext<'_>,
        argv: Vec<String>,
        parameters: ParametersOf<cmd::Cmd>,
    ) -> Result<Ended, JobError> {
        let mut parameters = CommandParameters::from(parameters);
        let named = parameters.connections.take().unwrap_or_default();
        let prepared = connections::prepare(context, &named).await?;
        let command = Command {
            line: line(context.job)?,
            argv,
            ..Command::of(context, parameters, &prepared, context.settings.cmd_timeout)
        };
        let ended = process::run(context, command).await;
        // The scripts and what they read go after the command.
        drop(prepared);
        ended
    }
}

/// The command line as the spec has it.
fn line(job: &JobSpec) -> Result<String, JobError> {
    let line = job.fields.payload.as_str().map(str::to_owned);
    line.ok_or_else(|| JobError::permanent("bad payload: expected a string"))
}

#[cfg(test)]
mod tests {
    use pumice_core::job_type::Stop;
    use serde::Deserialize;
    use serde_json::{Value, json};

    use super::*;
    use crate::fakes::World;

    /// Runs a shell's script with these parameters, after the world was changed.
    async fn run(
        script: &str,
        parameters: Value,
        change: impl Fn(&mut World),
    ) -> (Result<Ended, JobError>, World) {
        let line = format!("sh -c '{script}'");
        let mut world = World::of("cmd", json!(line), parameters.clone());
        world.environment.push(("PATH".into(), std::env::var_os("PATH").unwrap_or_default()));
        change(&mut world);
        let argv = ["sh", "-c", script].map(str::to_owned).to_vec();
        let parameters = ParametersOf::<cmd::Cmd>::deserialize(parameters).unwrap();
        let ended = Cmd.run(&world.context(), argv, parameters).await;
        (ended, world)
    }

    fn place(stream: &str) -> String {
        format!("s3://bucket/tmp/.output/top/{}/{stream}", uuid::Uuid::from_u128(1))
    }

    #[tokio::test]
    async fn command_that_succeeds_has_its_output_kept() {
        let (ended, world) = run("echo printed", json!({}), |_| {}).await;
        let output =
            json!([{ "payload": "sh -c 'echo printed'", "exit_status": 0, "stdout": place("stdout") }]);
        assert_eq!(ended, Ok(Ended::Done(json!({ "exit_status": 0, "output": output }))));
        let kept: Vec<(String, String)> = world.kept.objects().into_iter().collect();
        assert_eq!(kept, [(place("stdout"), "printed\n".to_owned())]);
    }

    #[tokio::test]
    async fn output_of_an_execution_without_an_end_is_not_taken_for_that_of_the_next() {
        for (epoch, stays) in [(1, true), (2, false)] {
            let (ended, world) = run("echo printed", json!({}), |world| {
                world.run.epoch = epoch;
                world.kept.put(&place("stdout"), "before, and longer\n");
                world.kept.put(&place("stderr"), "I/O error\n");
            })
            .await;
            ended.unwrap();
            let kept = world.kept.objects();
            assert_eq!(kept[&place("stdout")], "printed\n");
            assert_eq!(kept.contains_key(&place("stderr")), stays, "epoch {epoch}");
        }
    }

    #[tokio::test]
    async fn command_that_fails_gives_status_and_last_line() {
        let (ended, world) = run("echo one >&2; echo two >&2; exit 3", json!({}), |_| {}).await;
        let error = ended.unwrap_err();
        assert_eq!(error.message, "exit status 3: two");
        assert_eq!(error.lava_error(), Some("Failed with exit status 3"));
        assert_eq!((&error.data["exit_status"], &error.data["error"]), (&json!(3), &json!("one\ntwo")));
        assert!(error.retryable && error.settled);
        assert_eq!(world.kept.objects()[&place("stderr")], "one\ntwo\n");
    }

    #[tokio::test]
    async fn command_finds_the_environment_of_worker_job_and_run() {
        let script = "echo $OURS $THEIRS $KEY $LAVA_JOB_ID $LAVA_OWNER $LAVA_REALM $LAVA_WORKER $LAVA_S3_TMP";
        let change = |world: &mut World| {
            world.environment.extend([("OURS".into(), "o".into()), ("THEIRS".into(), "w".into())]);
            world.credentials.push(("KEY".into(), "secret".into()));
        };
        for (credentials, key) in [(false, ""), (true, "secret ")] {
            let parameters = json!({ "env": { "THEIRS": 5 }, "aws_credentials": credentials });
            let (ended, world) = run(script, parameters, change).await;
            assert!(ended.is_ok(), "{ended:?}");
            let temp = place("stdout").replace("/stdout", "").replace("/.output", "");
            assert_eq!(
                world.kept.objects()[&place("stdout")],
                format!("o 5 {key}top ann test core {temp}\n")
            );
        }
    }

    #[tokio::test]
    async fn command_works_in_the_directory_of_the_run() {
        let (ended, world) = run("pwd > here", json!({}), |_| {}).await;
        assert!(ended.is_ok(), "{ended:?}");
        let here = std::fs::read_to_string(world.directory().join("here")).unwrap();
        assert_eq!(here.trim(), world.directory().canonicalize().unwrap().to_str().unwrap());
    }

    #[tokio::test]
    async fn command_whose_time_is_up_is_ended() {
        let (ended, _) = run("exec sleep 1000", json!({ "timeout": "0s" }), |_| {}).await;
        let error = ended.unwrap_err();
        assert_eq!((error.message.as_str(), &error.data["exit_status"]), ("timed out after 0s", &json!(28)));
    }

    #[tokio::test]
    async fn command_stopped_ends_and_one_that_is_lost_keeps_nothing() {
        for (why, kept) in [(Stop::Cancelled, true), (Stop::Halted, true), (Stop::Lost, false)] {
            let script = "echo begun; exec sleep 1000";
            let (ended, world) = run(script, json!({}), |world| world.cancel.stop(why)).await;
            let error = ended.unwrap_err();
            assert_eq!(error.message, "stopped", "{why:?}");
            assert!(kept || world.kept.objects().is_empty(), "{why:?}");
        }
    }

    #[tokio::test]
    async fn program_that_is_not_there_is_named() {
        let world = World::of("cmd", json!("no-such-program"), json!({}));
        let parameters = || ParametersOf::<cmd::Cmd>::deserialize(json!({})).unwrap();
        let argv = vec!["no-such-program".to_owned()];
        let error = Cmd.run(&world.context(), argv, parameters()).await.unwrap_err();
        assert_eq!(error.message, "no such command: no-such-program");
        let error = Cmd.run(&world.context(), vec![String::new()], parameters()).await.unwrap_err();
        assert_eq!((error.message.as_str(), error.retryable), ("the command line is empty", false));
    }
}
