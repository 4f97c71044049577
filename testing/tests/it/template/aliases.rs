//! Versions of the functions, the alias by which they are invoked, and what takes an update back.

use std::collections::BTreeSet;

use pumice_testing::cloudformation::Template;
use serde_json::{Value, json};

use crate::template::{Templates, Wrong, functions_of};

/// The alias of each function.
const ALIAS: &str = "live";
/// The alias by which sweeps invoke the dispatcher.
const OF_SWEEPS: &str = "sweep";
/// The most characters of a version's description (Lambda API Reference, PublishVersion).
const MAX_DESCRIPTION: usize = 256;
/// The most characters that each parameter adds to a description: of a key and a stream the last part is there.
const LONGEST: [(&str, usize); 18] = [
    ("Realm", 20),
    ("Worker", 20),
    ("Create", 5),
    ("OneOffSchedules", 3),
    ("Architecture", 6),
    ("LogLevel", 5),
    ("Tracing", 11),
    ("UnsignedRuns", 6),
    ("Bucket", 63),
    ("KeyArn", 0),
    ("Key", 36),
    ("JobsStreamArn", 0),
    ("Stream", 23),
    ("Timeout", 3),
    ("Memory", 5),
    ("TempSize", 5),
    // Three, without what each begins with.
    ("Subnets", 3 * 18),
    ("SecurityGroupId", 20),
];
/// The most characters between the two ARNs of a right to invoke a function with and without its alias.
const MAX_BETWEEN: usize = 100;
/// Properties of a function that are not a version's, and resources that SAM makes of others.
const NOT_OF_A_VERSION: [&str; 6] = [
    "Events",
    "ReservedConcurrentExecutions",
    "DeploymentPreference",
    "VersionDescription",
    "Description",
    "FunctionName",
];
/// Parameters in the names of functions: another one is another function. Of `KeyArn` a check of `Key` would say nothing.
const NAMES: [&str; 3] = ["Prefix", "Realm", "Worker"];

/// Everything within a document that names a function, but for its alias and its versions: the path, and how.
fn uses(value: &Value, function: &str, path: &str, found: &mut Vec<(String, Value)>) {
    let whole = value["Ref"] == function
        || value["Fn::GetAtt"].as_str().is_some_and(|it| it == format!("{function}.Arn"))
        || value["Fn::Sub"].as_str().is_some_and(|it| it.contains(&format!("${{{function}}}")));
    match value {
        Value::Object(_) if whole => found.push((path.to_owned(), value.clone())),
        Value::Object(fields) => {
            fields.iter().for_each(|(key, value)| uses(value, function, &format!("{path}/{key}"), found))
        }
        Value::Array(items) => items.iter().for_each(|value| uses(value, function, path, found)),
        _ => {}
    }
}

/// Uses of the function itself, which have no alias: what is of all its versions.
fn is_of_all_versions(path: &str, used: &Value) -> bool {
    let is_alarm = path.contains("Alarm/Properties/Dimensions");
    let is_config = path.contains("InvokeConfig/Properties/FunctionName");
    // Resources that were made before there was an alias go on working.
    let of_before = path.contains("MayDispatchByName/Properties/FunctionName")
        || path.ends_with("OperatorPolicy/Properties/PolicyDocument/Statement/Resource");
    let by_alias = used["Fn::Sub"].as_str().is_some_and(|it| it.ends_with(&format!("}}:{ALIAS}")));
    let is_alias = path.contains("SweepAlias/Properties/FunctionName");
    is_alarm || is_config || is_alias || of_before || by_alias || path == "/Outputs/Function/Value"
}

pub(crate) fn invoked(templates: &Templates) -> Vec<String> {
    let mut wrong = Wrong::default();
    for template in templates.each() {
        for (name, function) in functions_of(template) {
            let alias = &function["Properties"]["AutoPublishAlias"];
            wrong.unless(*alias == ALIAS, format!("{name}: its alias is {alias}"));
            let mut found = Vec::new();
            uses(&template.document["Resources"], name, "", &mut found);
            uses(&template.document["Outputs"], name, "/Outputs", &mut found);
            for (path, used) in found {
                wrong.unless(
                    is_of_all_versions(&path, &used),
                    format!("{path}: {used} is not {name}'s alias"),
                );
            }
            // Without a reference, where that would be a circle.
            let by_name = function["Properties"]["FunctionName"]["Fn::Sub"].as_str().unwrap_or("?");
            // The condition key has the ARN without a version (Lambda Developer Guide, *lambda:SourceFunctionArn*).
            let source = "\"lambda:SourceFunctionArn\":{\"Fn::Sub\":\"arn:${AWS::Partition}:lambda:${AWS::Region}:${AWS::AccountId}:function:";
            let text = template.document["Resources"].to_string().replace(source, "\"");
            let ends: Vec<&str> = text.split(&format!(":function:{by_name}")).skip(1).collect();
            let has = |after: &str, alias: &str| after.starts_with(&format!(":{alias}\""));
            for (place, after) in ends.iter().enumerate() {
                // A right to invoke what was made before there was an alias has both, one behind the other.
                let is_near = after.starts_with("\"},{\"Fn::Sub\":\"arn:") && after.len() < MAX_BETWEEN;
                let has_both = is_near && ends.get(place + 1).is_some_and(|next| has(next, ALIAS));
                let of_sweeps = name == "Dispatcher" && has(after, OF_SWEEPS);
                wrong.unless(
                    has(after, ALIAS) || of_sweeps || has_both,
                    format!("an ARN of {name} has no alias"),
                );
            }
        }
    }
    let mapped = &templates.worker.properties("FunctionRuns")["FunctionName"];
    wrong.unless(*mapped == json!({"Ref": "Function.Alias"}), format!("the queue is mapped to {mapped}"));
    // After the other alias has moved, so that the sweeper is the last to have a version that is shifted to.
    let alias = &templates.realm.document["Resources"]["SweepAlias"];
    let wanted = json!({
        "FunctionName": { "Ref": "Dispatcher" },
        "FunctionVersion": { "Fn::GetAtt": "Dispatcher.Version.Version" },
        "Name": OF_SWEEPS,
    });
    wrong.unless(
        alias["DependsOn"] == "DispatcherAliaslive" && alias["Properties"] == wanted,
        format!("the alias of sweeps: {alias}"),
    );
    let arn = &templates.realm.document["Outputs"]["DispatcherArn"]["Value"];
    wrong.unless(*arn == json!({"Ref": "Dispatcher.Alias"}), format!("output DispatcherArn: {arn}"));
    wrong.0
}

/// The parameters that a value depends on, by way of conditions too.
fn parameters(template: &Template, value: &Value, found: &mut BTreeSet<String>) {
    let is_parameter = |name: &str| !template.parameter(name).is_null();
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                match (key.as_str(), value) {
                    ("Ref" | "Condition", Value::String(name)) if is_parameter(name) => {
                        found.insert(name.clone());
                    }
                    ("Condition", Value::String(name)) => {
                        parameters(template, &template.document["Conditions"][name], found);
                    }
                    ("Fn::Sub", text) => {
                        let own = text.as_str().or(text[0].as_str()).unwrap_or_default();
                        let names = own.split("${").skip(1).filter_map(|it| it.split('}').next());
                        found.extend(names.filter(|it| is_parameter(it)).map(str::to_owned));
                        parameters(template, &text[1], found);
                    }
                    ("Fn::If", Value::Array(branches)) => {
                        let name = branches.first().and_then(Value::as_str).unwrap_or_default();
                        parameters(template, &template.document["Conditions"][name], found);
                        branches[1..].iter().for_each(|it| parameters(template, it, found));
                    }
                    (_, value) => parameters(template, value, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|it| parameters(template, it, found)),
        _ => {}
    }
}

/// SAM hashes what a template says of a function, and not the values of parameters. So they are in the description of
/// the version, which CloudFormation replaces with it, and of the function, since Lambda publishes no version of one
/// that has not changed.
pub(crate) fn versions(templates: &Templates) -> Vec<String> {
    let mut wrong = Wrong::default();
    for template in templates.each() {
        for (name, function) in functions_of(template) {
            let properties = &function["Properties"];
            wrong.unless(
                properties["AutoPublishAliasAllProperties"] == true,
                format!("{name}: another timeout in the template makes no version"),
            );
            wrong.unless(
                function["UpdateReplacePolicy"] == "Retain",
                format!("{name}: there is no version to go back to"),
            );
            let described = &properties["VersionDescription"];
            wrong.unless(
                !described.is_null() && *described == properties["Description"],
                format!("{name}: the function's description is not the version's"),
            );
            let mut named = BTreeSet::new();
            parameters(template, described, &mut named);
            let mut needed = BTreeSet::new();
            for (property, value) in properties.as_object().into_iter().flatten() {
                if !NOT_OF_A_VERSION.contains(&property.as_str()) {
                    parameters(template, value, &mut needed);
                }
            }
            NAMES.iter().for_each(|it| {
                needed.remove(*it);
            });
            let missing: Vec<_> = needed.difference(&named).collect();
            wrong.unless(missing.is_empty(), format!("{name}: another {missing:?} makes no version"));
            let text = described["Fn::Sub"][0].as_str().unwrap_or_default();
            let length = LONGEST.iter().fold(text.to_owned(), |text, (parameter, most)| {
                text.replace(&format!("${{{parameter}}}"), &"x".repeat(*most))
            });
            let fits = !length.contains("${") && length.len() <= MAX_DESCRIPTION;
            wrong.unless(fits, format!("{name}: a description may be too long: {length}"));
        }
    }
    wrong.0
}

/// Checks CodeDeploy's settings, and the alarm on which it goes back.
pub(crate) fn rollback(templates: &Templates) -> Vec<String> {
    let mut wrong = Wrong::default();
    for (template, alarm) in
        [(&templates.realm, "DispatcherRollbackAlarm"), (&templates.worker, "RollbackAlarm")]
    {
        let Some((name, function)) = functions_of(template).next() else { continue };
        let parameter = template.parameter("Deployment");
        wrong.unless(parameter["Default"] == "off", format!("{name}: updates wait unasked"));
        for value in parameter["AllowedValues"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            let shifts = &template.document["Mappings"]["Deployments"][value]["Shifts"];
            wrong.unless(*shifts == (value != "off"), format!("{name}: {value} shifts: {shifts}"));
        }
        let wanted = json!({
            "Enabled": { "Fn::FindInMap": ["Deployments", { "Ref": "Deployment" }, "Shifts"] },
            "Type": { "Ref": "Deployment" },
            // Others may be in alarm already, and would stop the update that mends what they are about.
            "Alarms": [{ "Ref": alarm }],
        });
        let found = &function["Properties"]["DeploymentPreference"];
        wrong.unless(*found == wanted, format!("{name}: {found}"));
        let made = &template.document["Resources"][alarm];
        wrong.unless(made["Condition"] == "ShiftsStepByStep", format!("{alarm} is made in every stack"));
        let condition = &template.document["Conditions"]["ShiftsStepByStep"];
        let shifts = json!({ "Fn::Not": [{ "Fn::Equals": [{ "Ref": "Deployment" }, "off"] }] });
        wrong.unless(*condition == shifts, format!("{alarm}: {condition}"));
        let dimensions = json!([
            { "Name": "FunctionName", "Value": { "Ref": name } },
            { "Name": "Resource", "Value": { "Fn::Sub": format!("${{{name}}}:{ALIAS}") } },
            { "Name": "ExecutedVersion", "Value": { "Fn::GetAtt": format!("{name}.Version.Version") } },
        ]);
        let alarm_of = &made["Properties"];
        wrong.unless(alarm_of["Dimensions"] == dimensions, format!("{alarm} watches another version"));
        let at_once = (alarm_of["Period"].as_u64(), alarm_of["EvaluationPeriods"].as_u64());
        wrong.unless(
            at_once == (Some(60), Some(1)),
            format!("{alarm} comes when all is shifted: {at_once:?}"),
        );
    }
    for parameter in ["Deployment", "AlarmRollback"] {
        let passed_on = &templates.realm.properties("Worker")["Parameters"][parameter];
        wrong.unless(*passed_on == json!({ "Ref": parameter }), format!("{parameter} is {passed_on}"));
        let [outer, inner] = templates.each().map(|it| &it.parameter(parameter)["AllowedValues"]);
        wrong.unless(outer == inner, format!("{parameter} of the worker takes {inner}"));
    }
    wrong.0
}
