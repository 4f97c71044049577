//! Runs jobs of type `exe`.

use async_trait::async_trait;
use pumice_core::job_type::{Ended, JobContext, JobError, Leaf, ParametersOf};
use pumice_job_types::command::CommandParameters;
use pumice_job_types::exe;

use crate::connections;
use crate::payloads::{self, Limit, Payload};
use crate::process::{self, Command};
use crate::series::Series;

/// Runs jobs of type `exe`.
pub(crate) struct Exe;

#[async_trait]
impl Leaf for Exe {
    type Of = exe::Exe;
    /// The key, and the arguments.
    type Payload = Vec<String>;

    async fn run(
        &self,
        context: &JobContext<'_>,
        words: Vec<String>,
        parameters: ParametersOf<exe::Exe>,
    ) -> Result<Ended, JobError> {
        let Some((key, args)) = words.split_first() else {
            return Err(JobError::permanent("the payload is empty"));
        };
        let settings = context.settings;
        let limit = Limit { bytes: settings.exe_max_payload_size, setting: "EXE_MAX_PAYLOAD_SIZE" };
        let payloads = payloads::find(context, key, limit).await?;
        let mut parameters = CommandParameters::from(parameters);
        let named = parameters.connections.take().unwrap_or_default();
        let prepared = connections::prepare(context, &named).await?;
        let command = Command {
            argv: args.to_vec(),
            ..Command::of(context, parameters, &prepared, settings.exe_timeout)
        };
        let location = payloads::location(context, key)?;
        let ended = process::within_temp(context, run_all(context, payloads, &location, command)).await;
        // The scripts and what they read go after the files.
        drop(prepared);
        ended
    }
}

async fn run_all(
    context: &JobContext<'_>,
    payloads: Vec<Payload>,
    location: &str,
    mut command: Command,
) -> Result<Ended, JobError> {
    let mut series = Series::default();
    let args = std::mem::take(&mut command.argv);
    for mut payload in payloads {
        if context.cancel.is_stopped().is_some() {
            return Err(series.failed("", JobError::failed("stopped")));
        }
        let folder = context.directories.temp()?;
        let name = payload.name.clone();
        let placed = payload.place(context, folder.path()).await;
        let program = placed.map_err(|error| series.failed(&name, error))?;
        command.argv = std::iter::once(program.display().to_string()).chain(args.iter().cloned()).collect();
        command.payload =
            Some(process::Payload { location: location.to_owned(), output: name.clone(), folder: None });
        command.line = name;
        let ended = series.run(context, &command).await;
        // A folder that is empty again serves the next command.
        let _ = std::fs::remove_file(&program);
        ended?;
    }
    Ok(series.ended())
}

#[cfg(test)]
mod tests {
    use pumice_core::job_type::Stop;
    use serde::Deserialize;
    use serde_json::{Value, json};

    use super::*;
    use crate::fakes::World;

    const PLACE: &str = "s3://bucket/payloads";

    /// Runs a job over payloads that are there, after the world was changed.
    async fn run(
        payloads: &[(&str, &str)],
        words: &[&str],
        parameters: Value,
        change: impl Fn(&mut World),
    ) -> (Result<Ended, JobError>, World) {
        let mut world = World::of("exe", json!(words.join(" ")), parameters.clone());
        world.environment.push(("PATH".into(), std::env::var_os("PATH").unwrap_or_default()));
        for (key, text) in payloads {
            world.kept.put(&format!("{PLACE}/{key}"), text);
        }
        change(&mut world);
        let parameters = ParametersOf::<exe::Exe>::deserialize(parameters).unwrap();
        let words = words.iter().map(ToString::to_string).collect();
        let ended = Exe.run(&world.context(), words, parameters).await;
        (ended, world)
    }

    fn place(name: &str) -> String {
        format!("s3://bucket/tmp/.output/top/{}/{name}", uuid::Uuid::from_u128(1))
    }

    fn done(ended: Result<Ended, JobError>) -> Value {
        match ended {
            Ok(Ended::Done(result)) => result,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn files_of_a_folder_run_in_order_with_the_same_arguments() {
        let payloads = [
            ("demo/b.sh", "#!/bin/sh\necho b $1; echo more >&2"),
            ("demo/a.sh", "#!/bin/sh\necho a $1 $LAVA_S3_PAYLOAD"),
            ("demo/c", "#!/bin/sh\nexit 0"),
            ("demo/deep/x.sh", "#!/bin/sh\nexit 9"),
            ("demo/", ""),
            ("demo.sh", "#!/bin/sh\nexit 9"),
        ];
        let (ended, world) = run(&payloads, &["demo/", "one"], json!({}), |_| {}).await;
        let wanted = json!([
            { "payload": "a.sh", "exit_status": 0, "stdout": place("a.sh.stdout") },
            { "payload": "b.sh", "exit_status": 0, "stdout": place("b.sh.stdout"), "stderr": place("b.sh.stderr") },
            { "payload": "c", "exit_status": 0 },
        ]);
        assert_eq!(done(ended), json!({ "exit_status": 0, "output": wanted }));
        let kept = world.kept.objects();
        assert_eq!(kept[&place("a.sh.stdout")], format!("a one {PLACE}/demo/\n"));
        assert_eq!(kept[&place("b.sh.stderr")], "more\n");
    }

    #[tokio::test]
    async fn key_means_one_payload_and_a_missing_one_names_the_nearest() {
        let payloads = [("demo/a", "#!/bin/sh\necho a"), ("demo/ab", "#!/bin/sh\necho ab")];
        let (ended, _) = run(&payloads, &["demo/a"], json!({}), |_| {}).await;
        assert_eq!(done(ended)["output"].as_array().unwrap().len(), 1);
        for (key, wanted) in [
            ("demo", "no payload demo; for all payloads of a folder write demo/"),
            ("demo/b", "no payload demo/b; for"),
            ("de", "no payload de; for"),
            ("demo/ab/", "no payload demo/ab/"),
            ("../x", "leads elsewhere"),
            ("/demo/a", "is not a key below"),
        ] {
            let (ended, _) = run(&payloads, &[key], json!({}), |_| {}).await;
            let message = ended.unwrap_err().message;
            assert!(message.contains(wanted), "{key}: {message}");
        }
        let (ended, _) = run(&payloads[1..], &["demo/a"], json!({}), |_| {}).await;
        assert_eq!(ended.unwrap_err().message, "no payload demo/a (did you mean demo/ab?)");
    }

    #[tokio::test]
    async fn first_file_that_fails_ends_the_job() {
        let payloads = [
            ("d/1", "#!/bin/sh\necho one"),
            ("d/2", "#!/bin/sh\necho two; echo why >&2; exit 3"),
            ("d/3", "#!/bin/sh\necho three"),
        ];
        let (ended, world) = run(&payloads, &["d/"], json!({}), |_| {}).await;
        let error = ended.unwrap_err();
        assert_eq!(error.message, "2: exit status 3: why");
        assert_eq!(error.lava_error(), Some("Failed with exit status 3"));
        assert_eq!((&error.data["exit_status"], &error.data["error"]), (&json!(3), &json!("why")));
        let told: Vec<&str> = error.data["output"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|one| one["payload"].as_str())
            .collect();
        assert_eq!(told, ["1", "2"]);
        assert!(!world.kept.objects().contains_key(&place("3.stdout")));
        assert_eq!(*world.kept.fetches.lock().unwrap(), [format!("{PLACE}/d/1"), format!("{PLACE}/d/2")]);
    }

    #[tokio::test]
    async fn file_whose_time_is_up_or_that_is_stopped_ends_those_after_it() {
        let payloads = [
            ("t/1", "#!/bin/sh\n:"),
            ("t/2", "#!/bin/sh\necho begun; exec sleep 1000"),
            ("t/3", "#!/bin/sh\n:"),
        ];
        let (ended, world) = run(&payloads, &["t/2"], json!({ "timeout": "0s" }), |_| {}).await;
        let error = ended.unwrap_err();
        assert_eq!(
            (error.message.as_str(), &error.data["exit_status"]),
            ("2: timed out after 0s", &json!(28))
        );
        assert_eq!(world.kept.fetches.lock().unwrap().len(), 1);
        for why in [Stop::Cancelled, Stop::Halted, Stop::Lost] {
            let (ended, _) = run(&payloads, &["t/"], json!({}), |world| world.cancel.stop(why)).await;
            assert_eq!(ended.unwrap_err().message, "stopped", "{why:?}");
        }
    }

    #[tokio::test]
    async fn payload_too_large_is_refused_before_any_is_fetched() {
        let payloads = [("l/1", "#!/bin/sh\n:"), ("l/2", "#!/bin/sh\necho long")];
        let (ended, world) =
            run(&payloads, &["l/"], json!({}), |world| world.settings.exe_max_payload_size = 15).await;
        let error = ended.unwrap_err();
        assert_eq!(
            (error.message.as_str(), error.retryable),
            ("the payload 2 has 19 bytes; the limit is 15 (EXE_MAX_PAYLOAD_SIZE)", false)
        );
        assert!(world.kept.fetches.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn payload_that_changes_while_fetched_is_fetched_again() {
        let payloads = [("c/1", "#!/bin/sh\necho old")];
        let at = format!("{PLACE}/c/1");
        let new = |text: &str| (at.clone(), format!("#!/bin/sh\necho {text}"));
        let restless = |texts: &[&str], world: &mut World| {
            *world.kept.restless.lock().unwrap() = texts.iter().rev().map(|text| new(text)).collect();
        };
        let (ended, world) = run(&payloads, &["c/1"], json!({}), |world| restless(&["new"], world)).await;
        done(ended);
        assert_eq!(world.kept.objects()[&place("1.stdout")], "new\n");
        let (ended, _) = run(&payloads, &["c/1"], json!({}), |world| restless(&["a", "b", "c"], world)).await;
        let message = ended.unwrap_err().message;
        assert!(message.contains("changed each of 3 times"), "{message}");
    }

    #[tokio::test]
    async fn payload_is_fetched_once_for_several_runs() {
        let payloads = [("once/1", "#!/bin/sh\nwc -l < $0; echo '# more' >> $0")];
        let (first, world) = run(&payloads, &["once/1"], json!({}), |_| {}).await;
        done(first);
        assert_eq!(world.kept.fetches.lock().unwrap().len(), 1);
        // The next run has the file unchanged, even if this one changes its copy.
        let (second, world) = run(&payloads, &["once/1"], json!({}), |_| {}).await;
        done(second);
        assert!(world.kept.fetches.lock().unwrap().is_empty());
        assert_eq!(world.kept.objects()[&place("1.stdout")].trim(), "1");
    }

    #[tokio::test]
    async fn file_that_the_system_does_not_run_says_why() {
        for (text, wanted) in [
            ("echo x", "cannot run x: it is neither a program nor does it begin with #!"),
            ("", "neither a program"),
            ("#!/bin/sh\r\necho x\r\n", "end in CR LF"),
            ("#!/no/such/interpreter -x\n", "its interpreter /no/such/interpreter does not exist"),
        ] {
            let (ended, _) = run(&[("f/x", text)], &["f/x"], json!({}), |_| {}).await;
            let message = ended.unwrap_err().message;
            assert!(message.contains(wanted), "{text:?}: {message}");
        }
    }

    #[tokio::test]
    async fn file_works_in_the_runs_directory_and_leaves_no_copy() {
        let payloads = [("w/x", "#!/bin/sh\npwd; ls -A; test -f \"$0\"")];
        let (ended, world) = run(&payloads, &["w/x"], json!({ "env": { "A": 1 } }), |_| {}).await;
        done(ended);
        let here = world.directory().canonicalize().unwrap().display().to_string();
        assert_eq!(world.kept.objects()[&place("x.stdout")], format!("{here}\n"));
    }
}
