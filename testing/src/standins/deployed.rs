//! A realm that `sam` has deployed from the template, on a ministack that holds everybody to the
//! policies of their role.

use std::path::{Path, PathBuf};
use std::process::Command;

use aws_config::SdkConfig;
use pumice_aws::{Clients, Names, Realm};
use pumice_core::ids::RealmName;
use serde_json::{Value, json};

use super::cloud::{ACCOUNT, Cloud, ROOT};
use super::server::{REGION, Server, command, config, folder};

/// What ministack asks for and AWS does not: to it a batch of messages is an action of its own (AWS: "to
/// send a batch, `sqs:SendMessage`"), and every schedule is in the group `default`. It knows neither
/// `iam:PassRole` of a schedule's role nor the condition `dynamodb:LeadingKeys`: these are not tried.
const STANDIN_POLICY: [(&str, &str); 2] = [
    ("sqs:SendMessageBatch", "arn:aws:sqs:eu-west-1:000000000000:lava-test-*"),
    ("scheduler:CreateSchedule", "arn:aws:scheduler:eu-west-1:000000000000:schedule/default/*"),
];

/// The realm `test`, with the worker `core`. The `pumice` command has the rights of the stack's policy for it.
pub struct Deployed {
    /// The realm.
    pub cloud: Cloud,
    /// The configuration of clients of it, as the account's root.
    pub config: SdkConfig,
    outputs: Value,
    // Removed when this is dropped.
    _folder: tempfile::TempDir,
}

impl Deployed {
    /// Deploys template.yaml with these parameters.
    ///
    /// # Panics
    /// When a command of `sam` fails: with what it printed.
    pub async fn start(parameters: &[&str]) -> Self {
        let server = Server::strict_ministack();
        let endpoint = server.url();
        let config = config(&endpoint).await;
        let clients = Clients::new(&config);
        let names = Names::new("lava", RealmName::new("test").expect("a name"));
        let realm = Realm::new(&clients, &names, None);
        let mut cloud = Cloud { server, clients, realm, names, endpoint, user: ROOT.map(str::to_owned) };
        let folder = tempfile::tempdir().expect("a folder is made");
        let sam = Sam { endpoint: cloud.server.url(), folder: folder.path() };
        let policy = cloud.make_policy();
        let policies = ["DispatcherPolicyArn", "WorkerPolicyArn"].map(|it| format!("{it}={policy}"));
        let policies = policies.each_ref().map(String::as_str);
        sam.build_and_deploy("pumice-test", &[&["Realm=test"], &policies[..], parameters].concat());
        let outputs = sam.outputs("pumice-test");
        cloud.mend_mapping();
        cloud.user = cloud.make_user("operator", &[&policy, output(&outputs, "OperatorPolicyArn")]);
        Self { cloud, config, outputs, _folder: folder }
    }

    /// An output of the realm's stack.
    ///
    /// # Panics
    /// When there is none of this name.
    #[must_use]
    pub fn output(&self, name: &str) -> &str {
        output(&self.outputs, name)
    }
}

fn output<'a>(outputs: &'a Value, name: &str) -> &'a str {
    let found = outputs.as_array().into_iter().flatten().find(|it| it["OutputKey"] == name);
    found.and_then(|it| it["OutputValue"].as_str()).unwrap_or_else(|| panic!("no output {name}: {outputs}"))
}

impl Cloud {
    /// Makes the policy of [`STANDIN_POLICY`], and gives its ARN.
    fn make_policy(&self) -> String {
        let statements = STANDIN_POLICY
            .map(|(action, resource)| json!({ "Effect": "Allow", "Action": action, "Resource": resource }));
        let policy = json!({ "Version": "2012-10-17", "Statement": statements }).to_string();
        self.query(
            "iam",
            &[("Action", "CreatePolicy"), ("PolicyName", "standin"), ("PolicyDocument", &policy)],
        );
        format!("arn:aws:iam::{ACCOUNT}:policy/standin")
    }

    /// Makes a user with these policies, and gives its access key and the secret of it.
    fn make_user(&self, name: &str, policies: &[&str]) -> [String; 2] {
        self.query("iam", &[("Action", "CreateUser"), ("UserName", name)]);
        for arn in policies {
            self.query("iam", &[("Action", "AttachUserPolicy"), ("UserName", name), ("PolicyArn", arn)]);
        }
        let key = self.query("iam", &[("Action", "CreateAccessKey"), ("UserName", name)]);
        ["AccessKeyId", "SecretAccessKey"].map(|what| {
            let rest = key.split_once(&format!("<{what}>")).map(|(_, rest)| rest);
            let value = rest.and_then(|rest| rest.split('<').next());
            value.unwrap_or_else(|| panic!("no {what}: {key}")).to_owned()
        })
    }

    /// ministack keeps the numbers of a mapping as the text that a template's parameters are, and then
    /// cannot compare them.
    fn mend_mapping(&self) {
        let mappings = self.call("lambda", "GET", "/2015-03-31/event-source-mappings", None);
        let mapping = &mappings["EventSourceMappings"][0];
        let number = |value: &Value| {
            value.as_str().map_or_else(|| value.clone(), |it| it.parse::<u32>().expect("a number").into())
        };
        let numbers = json!({
            "BatchSize": number(&mapping["BatchSize"]),
            "ScalingConfig": { "MaximumConcurrency": number(&mapping["ScalingConfig"]["MaximumConcurrency"]) },
        });
        let path = format!("/2015-03-31/event-source-mappings/{}", mapping["UUID"].as_str().expect("an id"));
        self.call("lambda", "PUT", &path, Some(&numbers));
    }

    /// Calls a service that takes forms.
    ///
    /// # Panics
    /// When it is refused.
    pub fn query(&self, service: &str, form: &[(&str, &str)]) -> String {
        let scope = format!("AWS4-HMAC-SHA256 Credential=test/20260101/{REGION}/{service}/aws4_request");
        let answer =
            ureq::post(self.server.url()).header("authorization", scope).send_form(form.iter().copied());
        let text = answer.and_then(|mut answer| answer.body_mut().read_to_string());
        text.unwrap_or_else(|error| panic!("{form:?}: {error}"))
    }
}

/// `sam`, as docs/deploy.md has it used, on a stand-in.
struct Sam<'a> {
    endpoint: String,
    folder: &'a Path,
}

impl Sam<'_> {
    fn build_and_deploy(&self, stack: &str, parameters: &[&str]) {
        let build = self.folder.join("build");
        run(self.command().arg("build").arg("--build-dir").arg(&build));
        let mut command = self.command();
        command.arg("deploy").arg("--template-file").arg(build.join("template.yaml"));
        // It looks for it beside the template.
        command.arg("--config-file").arg(root().join("samconfig.toml"));
        command.args(["--stack-name", stack, "--no-confirm-changeset", "--parameter-overrides"]);
        run(command.args(parameters));
    }

    fn outputs(&self, stack: &str) -> Value {
        let mut command = self.command();
        command.args(["list", "stack-outputs", "--stack-name", stack, "--output", "json"]);
        serde_json::from_str(&run(&mut command)).expect("outputs are JSON")
    }

    fn command(&self) -> Command {
        let mut command = command(&folder().join("aws/bin/sam"));
        command.current_dir(root());
        command.envs([
            ("AWS_ENDPOINT_URL", &*self.endpoint),
            ("AWS_REGION", REGION),
            ("AWS_DEFAULT_REGION", REGION),
            ("AWS_ACCESS_KEY_ID", ROOT[0]),
            ("AWS_SECRET_ACCESS_KEY", ROOT[1]),
            ("SAM_CLI_TELEMETRY", "0"),
            ("SAM_CLI_POLL_DELAY", "0.5"),
        ]);
        // Settings of whoever runs the tests do not count.
        command.env("HOME", self.folder).env("PUMICE_BUILT", built());
        command
    }
}

/// The repository's root.
fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    root.expect("this crate is in a folder of the repository").to_owned()
}

fn built() -> PathBuf {
    let folder = super::cloud::binary("");
    folder.canonicalize().unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let printed = String::from_utf8_lossy(&output.stdout);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{printed}{told}", output.status);
    printed.into_owned()
}
