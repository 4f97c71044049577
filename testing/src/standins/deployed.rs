//! A realm that `sam` has deployed from the template, on a ministack that enforces the policies of
//! each role.

use std::path::{Path, PathBuf};
use std::process::Command;

use aws_config::SdkConfig;
use pumice_aws::{Clients, Names, Realm};
use pumice_core::ids::RealmName;
use serde_json::{Value, json};

use super::cloud::{ACCOUNT, Cloud, ROOT, function_folder};
use super::server::{REGION, Server, command, config, folder, printed};

/// Permissions that ministack requires and AWS does not: to it a batch of messages is an action of its
/// own (AWS: "to send a batch, `sqs:SendMessage`"), and every schedule is in the group `default`. It
/// knows neither `iam:PassRole` of a schedule's role nor the condition `dynamodb:LeadingKeys`: these are
/// not tried.
const STANDIN_POLICY: [(&str, &str); 2] = [
    ("sqs:SendMessageBatch", "arn:aws:sqs:eu-west-1:000000000000:lava-test-*"),
    ("scheduler:CreateSchedule", "arn:aws:scheduler:eu-west-1:000000000000:schedule/default/*"),
];

/// The realm's stack.
const STACK: &str = "pumice-test";

/// The realm `test`, with the worker `core`. The `pumice` command has the rights of the stack's policy for it.
pub struct Deployed {
    /// The realm.
    pub cloud: Cloud,
    /// The configuration of clients of it, as the account's root.
    pub config: SdkConfig,
    outputs: Value,
    /// The parameters that every deployment has.
    parameters: Vec<String>,
    // Removed when this is dropped.
    folder: tempfile::TempDir,
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
        let cloud = Cloud { server, clients, realm, names, endpoint, user: ROOT.map(str::to_owned) };
        let folder = tempfile::tempdir().expect("a folder is made");
        let sam = Sam { endpoint: &cloud.endpoint, folder: folder.path() };
        let policy = cloud.make_policy();
        let policies = ["DispatcherPolicyArn", "WorkerPolicyArn"].map(|it| format!("{it}={policy}"));
        let always = ["Realm=test", "RequireTls=no"].map(str::to_owned).into_iter().chain(policies);
        let always: Vec<String> = always.chain(parameters.iter().map(|&it| it.to_owned())).collect();
        sam.build();
        sam.deploy(STACK, &always);
        let outputs = sam.outputs(STACK);
        cloud.mend_mapping();
        let mut deployed = Self { cloud, config, outputs, parameters: always, folder };
        let rights = [&policy, deployed.output("OperatorPolicyArn")];
        deployed.cloud.user = deployed.cloud.make_user("operator", &rights);
        deployed
    }

    /// Deploys what was built once more, with these parameters besides.
    ///
    /// # Panics
    /// When `sam` fails: with what it printed.
    pub fn update(&self, parameters: &[&str]) {
        let all = self.parameters.iter().cloned().chain(parameters.iter().map(|&it| it.to_owned()));
        let sam = Sam { endpoint: &self.cloud.endpoint, folder: self.folder.path() };
        sam.deploy(STACK, &all.collect::<Vec<_>>());
    }

    /// The `pumice` command, run by a user with the policy of an output, and the stand-in's.
    ///
    /// # Panics
    /// When the user cannot be made.
    #[must_use]
    pub fn command_of(&self, name: &str, policy: &str, arguments: &[&str]) -> std::process::Command {
        let [id, secret] = self.cloud.make_user(name, &[self.output(policy)]);
        let mut command = self.cloud.pumice_command(arguments);
        command.env("AWS_ACCESS_KEY_ID", id).env("AWS_SECRET_ACCESS_KEY", secret);
        command
    }

    /// An output of the realm's stack.
    ///
    /// # Panics
    /// When no output has this name.
    #[must_use]
    pub fn output(&self, name: &str) -> &str {
        let found = self.outputs.as_array().into_iter().flatten().find(|it| it["OutputKey"] == name);
        let value = found.and_then(|it| it["OutputValue"].as_str());
        value.unwrap_or_else(|| panic!("no output {name}: {}", self.outputs))
    }
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

    /// ministack keeps a mapping's concurrency as the text that a template's parameter is, and then cannot
    /// compare it.
    fn mend_mapping(&self) {
        let mappings = self.call("lambda", "GET", "/2015-03-31/event-source-mappings", None);
        // That of the jobs table's stream has none.
        let most =
            |mapping: &Value| mapping["ScalingConfig"]["MaximumConcurrency"].as_str()?.parse::<u32>().ok();
        let all = mappings["EventSourceMappings"].as_array().into_iter().flatten();
        let found = all.filter_map(|mapping| Some((mapping, most(mapping)?))).next();
        let (mapping, most) = found.unwrap_or_else(|| panic!("{mappings}"));
        let path = format!("/2015-03-31/event-source-mappings/{}", mapping["UUID"].as_str().expect("an id"));
        let mended = json!({ "ScalingConfig": { "MaximumConcurrency": most } });
        self.call("lambda", "PUT", &path, Some(&mended));
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

/// `sam`, to be run in the repository. Neither settings of the user's nor a file of counts in their home
/// matter: its home is this folder.
///
/// # Panics
/// When `PUMICE_STANDINS` does not name where it is.
#[must_use]
pub fn sam(home: &Path) -> Command {
    let mut sam = command(&folder().join("aws/bin/sam"));
    sam.current_dir(root()).env("HOME", home).env("SAM_CLI_TELEMETRY", "0");
    sam
}

/// The repository's root.
fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    root.expect("this crate is in a folder of the repository").to_owned()
}

/// `sam`, as docs/deploy.md has it used, on a stand-in.
struct Sam<'a> {
    endpoint: &'a str,
    folder: &'a Path,
}

impl Sam<'_> {
    /// Where `sam build` puts what it has built.
    fn built(&self) -> PathBuf {
        self.folder.join("build")
    }

    fn build(&self) {
        printed(self.command().arg("build").arg("--build-dir").arg(self.built()));
    }

    fn deploy(&self, stack: &str, parameters: &[String]) {
        let mut command = self.command();
        command.arg("deploy").arg("--template-file").arg(self.built().join("template.yaml"));
        // It looks for it next to the template.
        command.arg("--config-file").arg(root().join("samconfig.toml"));
        command.args(["--stack-name", stack, "--no-confirm-changeset", "--parameter-overrides"]);
        printed(command.args(parameters));
    }

    fn outputs(&self, stack: &str) -> Value {
        let mut command = self.command();
        command.args(["list", "stack-outputs", "--stack-name", stack, "--output", "json"]);
        serde_json::from_str(&printed(&mut command)).expect("outputs are JSON")
    }

    fn command(&self) -> Command {
        let mut command = sam(self.folder);
        command.envs([
            ("AWS_ENDPOINT_URL", self.endpoint),
            ("AWS_REGION", REGION),
            ("AWS_DEFAULT_REGION", REGION),
            ("AWS_ACCESS_KEY_ID", ROOT[0]),
            ("AWS_SECRET_ACCESS_KEY", ROOT[1]),
            ("SAM_CLI_POLL_DELAY", "0.5"),
        ]);
        command.env("PUMICE_BUILT", function_folder());
        command
    }
}
