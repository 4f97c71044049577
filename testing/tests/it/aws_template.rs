//! The templates, as AWS's own tools see it.

use std::process::Command;

use pumice_testing::standins::{folder, sam};
use serde_json::{Value, json};

#[test]
fn sam_validates_the_realm() {
    sam_validates("template.yaml");
}

#[test]
fn sam_validates_the_worker() {
    sam_validates("worker.yaml");
}

#[test]
fn sam_validates_the_workers_image() {
    sam_validates("worker-image.yaml");
}

fn sam_validates(template: &str) {
    let home = tempfile::tempdir().expect("a folder");
    let mut command = sam(home.path());
    command.args(["validate", "--lint", "--region", "eu-west-1", "--template-file", template]);
    let output = command.output().expect("sam starts");
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The resources that SAM makes of a template with a value of `Deployment`.
fn expanded(template: &str, deployment: &str) -> Value {
    let mut command = Command::new(folder().join("aws/bin/python"));
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/standins/expand.py"));
    command.arg(format!("{}/../{template}", env!("CARGO_MANIFEST_DIR")));
    command.args(["Realm=demo", &format!("Deployment={deployment}")]).env("AWS_DEFAULT_REGION", "eu-west-1");
    let output = command.output().expect("python starts");
    assert!(output.status.success(), "{template}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice::<Value>(&output.stdout).expect("it prints JSON")["Resources"].clone()
}

#[test]
fn sam_shifts_step_by_step_only_when_asked() {
    for (template, function, alarm) in [
        ("template.yaml", "Dispatcher", "DispatcherRollbackAlarm"),
        ("worker.yaml", "Function", "RollbackAlarm"),
    ] {
        let alias = format!("{function}Aliaslive");
        let at_once = expanded(template, "off");
        assert_eq!(at_once[&alias]["Type"], "AWS::Lambda::Alias", "{template}");
        let names: Vec<_> = at_once.as_object().expect("resources").keys().cloned().collect();
        assert!(!names.iter().any(|it| it.contains("Deploy")), "{template}: {names:?}");
        assert!(at_once[&alias]["UpdatePolicy"].is_null(), "{template}");

        let shifting = expanded(template, "Canary10Percent5Minutes");
        let group = format!("{function}DeploymentGroup");
        let by = &shifting[&alias]["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"]["DeploymentGroupName"];
        assert_eq!(*by, json!({ "Ref": group }), "{template}");
        let group = &shifting[&group]["Properties"];
        let watched = json!({ "Enabled": true, "Alarms": [{ "Name": { "Ref": alarm } }] });
        assert_eq!(group["AlarmConfiguration"], watched, "{template}");
        let back = &group["AutoRollbackConfiguration"];
        let on_alarm =
            back["Events"].as_array().is_some_and(|it| it.contains(&json!("DEPLOYMENT_STOP_ON_ALARM")));
        assert!(back["Enabled"] == true && on_alarm, "{template}: {back}");
        assert!(group["DeploymentConfigName"].to_string().contains("Canary10Percent5Minutes"), "{group}");
        if function == "Dispatcher" {
            let of_sweeps = &shifting["SweepAlias"]["Properties"]["FunctionVersion"];
            assert_eq!(*of_sweeps, shifting[&alias]["Properties"]["FunctionVersion"], "{template}");
            assert_eq!(shifting["SweepAlias"]["DependsOn"], json!(alias), "{template}");
        }
        // The alarm is of the version that the alias is to have.
        let version = &shifting[alarm]["Properties"]["Dimensions"][2]["Value"];
        assert_eq!(*version, shifting[&alias]["Properties"]["FunctionVersion"], "{template}");
    }
}

#[test]
fn sam_subscribes_the_dispatchers_alias() {
    let resources = expanded("template.yaml", "off");
    let alias = json!({ "Ref": "DispatcherAliaslive" });
    assert_eq!(resources["DispatcherTopic"]["Properties"]["Endpoint"], alias);
    assert_eq!(resources["DispatcherTopicPermission"]["Properties"]["FunctionName"], alias);
}
