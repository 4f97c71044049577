//! docs/deploy.md, "Trying functions on your machine": every event of `events/` by `sam local invoke`, in containers of a Docker
//! engine, on a realm in ministack. `cargo xtask sam-local` runs it where an engine answers.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::Command;

use pumice_testing::standins::{ACCOUNT, Cloud, Server, function_folder, log_job, sam};
use serde_json::{Value, json};

use crate::aws_events::{DISPATCHER, SWEEP, WORKER, dispatcher_took, event, jobs, worker_took};

/// The variable with the address under which containers of the engine's bridge reach the machine that it runs on.
const GATEWAY: &str = "PUMICE_DOCKER_GATEWAY";
/// The variables by which a client of Docker finds the engine, and `docker` in its place.
const OF_DOCKER: [&str; 4] = ["DOCKER_HOST", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "DOCKER_CONTEXT"];
/// The image in which `sam` runs functions of their runtime, without the name of the processor.
const IMAGE: &str = "public.ecr.aws/lambda/provided:al2023";
/// An event of the worker with one run.
const RUN: &str = "worker-run.json";
const REGION: &str = "eu-west-1";
/// The events that make their runs once, since they have an id, a time or a key.
const ONCE: [&str; 5] = [
    "dispatcher-eventbridge.json",
    "dispatcher-object.json",
    "dispatcher-schedule-rule.json",
    "dispatcher-scheduler.json",
    "dispatcher-sns.json",
];

fn processor() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" }
}

/// A server that containers reach, and the name of this machine among them. Where the engine runs in a machine of its own, as Docker
/// Desktop has it, they reach this one under a name of Docker's.
fn reachable_server() -> (Server, String) {
    let gateway = std::env::var(GATEWAY).expect("cargo xtask sam-local sets it");
    let address: Ipv4Addr = gateway.parse().unwrap_or_else(|error| panic!("{GATEWAY} {gateway:?}: {error}"));
    if TcpListener::bind((address, 0)).is_ok() {
        let server = Server::ministack_at(address);
        let url = server.url();
        return (server, url);
    }
    let server = Server::ministack();
    let url = format!("http://host.docker.internal:{}", server.port());
    (server, url)
}

/// `sam` with what it has built, in a folder that is removed with this.
struct Local {
    folder: tempfile::TempDir,
}

impl Local {
    /// Builds the realm's functions and the worker's, and has them reach AWS at this address.
    fn build(endpoint: &str) -> Self {
        let local = Self::new();
        for (template, environment) in [("realm", "default"), ("worker", "worker")] {
            let mut build = local.command();
            build.args(["build", "--config-env", environment, "--build-dir"]).arg(local.path(template));
            let output = build.output().expect("sam starts");
            assert!(output.status.success(), "{template}: {}", String::from_utf8_lossy(&output.stderr));
            let text = std::fs::read_to_string(local.template(template)).expect("it is built");
            local.put_template(template, &text, endpoint);
        }
        local
    }

    /// The functions' environment of the realm, and nothing built.
    fn new() -> Self {
        let local = Self { folder: tempfile::tempdir().expect("a folder is made") };
        let parameters = json!({ "Parameters": {
            "LAVA_REALM": "test", "LAVA_WORKER": "core", "PUMICE_BUCKET": "test-bucket",
            "LAVA_QUEUE_URL_PREFIX": format!("https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/"),
            "PUMICE_SIGNING_KEY": "a key of a realm that is here for a while",
        } });
        std::fs::write(local.path("local.json"), parameters.to_string()).expect("it is written");
        local
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn template(&self, name: &str) -> PathBuf {
        self.path(name).join("template.yaml")
    }

    /// Puts a template there whose function reaches AWS at this address: `sam` hands on no variable that a template lacks.
    fn put_template(&self, name: &str, text: &str, endpoint: &str) {
        let (before, after) = text.split_once("          LAVA_REALM:").expect("the function's environment");
        let with = format!("{before}          AWS_ENDPOINT_URL: {endpoint}\n          LAVA_REALM:{after}");
        std::fs::create_dir_all(self.path(name)).expect("the folder is made");
        std::fs::write(self.template(name), with).expect("it is written");
    }

    fn command(&self) -> Command {
        let mut command = sam(self.folder.path());
        command.env("PUMICE_BUILT", function_folder());
        command.envs([("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")]);
        command.envs([("AWS_REGION", REGION), ("AWS_DEFAULT_REGION", REGION)]);
        for name in OF_DOCKER {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command
    }

    /// Invokes a function as the guide does, and gives its answer and what was logged.
    fn invoke(&self, template: &str, function: &str, name: &str) -> (Value, String) {
        let place = self.path(name);
        std::fs::write(&place, event(name)).expect("it is written");
        let mut command = self.command();
        command.args(["local", "invoke", function, "--event"]).arg(&place);
        command.arg("--template-file").arg(self.template(template));
        command.arg("--env-vars").arg(self.path("local.json"));
        command.args(["--parameter-overrides", &format!("Architecture={}", processor())]);
        if has_image(&format!("{IMAGE}-{}", processor())) {
            command.arg("--skip-pull-image");
        }
        let output = command.output().expect("sam starts");
        let [printed, log] =
            [&output.stdout, &output.stderr].map(|it| String::from_utf8_lossy(it).into_owned());
        assert!(output.status.success(), "{name}: {printed}{log}");
        let answer = printed.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
        let answer = serde_json::from_str(answer).unwrap_or_else(|_| panic!("{name}: {printed}{log}"));
        println!("sam local invoke {function} -e events/{name}: {answer}");
        (answer, log)
    }
}

fn has_image(name: &str) -> bool {
    let output = Command::new("docker").args(["image", "inspect", name]).output();
    output.is_ok_and(|output| output.status.success())
}

/// Whether each run of an answer was there already.
fn existing(answer: &Value) -> BTreeSet<bool> {
    let runs = answer["accepted"].as_array().into_iter().flatten();
    runs.map(|run| run["existing"] == true).collect()
}

#[tokio::test]
async fn sam_local_invoke_takes_every_event() {
    let (server, url) = reachable_server();
    let cloud = Cloud::start_on(server, &jobs(), 2).await;
    let local = Local::build(&url);
    for (name, expected) in DISPATCHER {
        for is_first in [true, false] {
            let (answer, log) = local.invoke("realm", "Dispatcher", name);
            dispatcher_took(&cloud, name, expected, &answer, &log).await;
            if answer["accepted"].is_array() {
                let is_known = !is_first && ONCE.contains(&name);
                assert_eq!(existing(&answer), BTreeSet::from([is_known]), "{name}: {answer}");
            }
        }
    }
    let (answer, log) = local.invoke("realm", "Dispatcher", SWEEP);
    assert!(answer["swept"].is_number() && answer["started"].is_number(), "{answer}\n{log}");
    for name in WORKER {
        let (answer, log) = local.invoke("worker", "Function", name);
        worker_took(&cloud, name, &answer, &log).await;
    }
}

/// Makes the worker's image under the name that worker-image.yaml has, as the guide does.
fn make_image() {
    let mut make = Command::new("make");
    make.arg("worker-image").env("PUMICE_BUILT", function_folder()).env("ARCHITECTURE", processor());
    make.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let output = make.output().expect("make starts");
    let [printed, log] = [&output.stdout, &output.stderr].map(|it| String::from_utf8_lossy(it).into_owned());
    assert!(output.status.success(), "{printed}{log}");
}

#[tokio::test]
async fn sam_local_invoke_runs_commands_in_the_workers_image() {
    let (server, url) = reachable_server();
    let mut job = log_job("demo/hello");
    job["type"] = json!("cmd");
    job["payload"] = json!("sh -c 'aws --version && python3 --version'");
    let cloud = Cloud::start_on(server, &[job], 2).await;
    make_image();
    let local = Local::new();
    // Nothing of it is built: the image is named.
    let template = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../worker-image.yaml"));
    local.put_template("image", &template.expect("it is there"), &url);
    let (answer, log) = local.invoke("image", "Function", RUN);
    worker_took(&cloud, RUN, &answer, &log).await;
    let run = cloud.ended_run_of("demo/hello").await;
    let output = cloud.pumice(&["runs", "output", &run.key.to_string()]);
    println!("{output}");
    assert!(output.contains("aws-cli/2.") && output.contains("Python 3."), "{output}\n{log}");
}
