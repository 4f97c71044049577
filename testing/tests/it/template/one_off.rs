//! The schedules of runs that are due long after they are asked for, where the realm has them.

use pumice_testing::cloudformation::Template;
use serde_json::{Value, json};

use crate::template::{Templates, Wrong, names};

const GROUP: &str = "OneOffScheduleGroup";
const ROLE: &str = "OneOffScheduleRole";
/// The dispatcher's ARN by its name, without an alias: a reference to it would be a circle.
const DISPATCHER: &str = "arn:${AWS::Partition}:lambda:${AWS::Region}:${AWS::AccountId}:function:\
                          ${Prefix}-${Realm}-pumice-dispatcher";

/// A value that is there only in a realm that has such schedules.
fn chosen(value: Value) -> Value {
    json!({ "Fn::If": ["HasOneOffSchedules", value, { "Ref": "AWS::NoValue" }] })
}

fn statements(role: &Value) -> impl Iterator<Item = &Value> {
    let policies = role["Policies"].as_array().into_iter().flatten();
    policies.flat_map(|policy| policy["PolicyDocument"]["Statement"].as_array().into_iter().flatten())
}

pub(crate) fn schedules(templates: &Templates) -> Vec<String> {
    let mut wrong = Wrong::default();
    let realm = &templates.realm;
    wrong.unless(realm.parameter("OneOffSchedules")["Default"] == "no", "they are made unasked");
    let condition = &realm.document["Conditions"]["HasOneOffSchedules"];
    wrong.unless(
        *condition == json!({ "Fn::Equals": [{ "Ref": "OneOffSchedules" }, "yes"] }),
        "the condition",
    );
    for name in [GROUP, ROLE] {
        let made = &realm.document["Resources"][name]["Condition"];
        wrong.unless(*made == "HasOneOffSchedules", format!("{name} is made in every realm"));
    }
    let group = &realm.properties(GROUP)["Name"];
    wrong.unless(*group == json!({ "Fn::Sub": "${Prefix}-${Realm}-runs" }), format!("the group is {group}"));
    wrong.unless(
        *group != realm.properties("ScheduleGroup")["Name"],
        "the group is that of people's schedules",
    );

    let variables = &realm.properties("Dispatcher")["Environment"]["Variables"];
    let group = chosen(json!({ "Ref": GROUP }));
    wrong.unless(variables["PUMICE_SCHEDULE_GROUP"] == group, "the dispatcher is given another group");
    let role = chosen(json!({ "Fn::GetAtt": format!("{ROLE}.Arn") }));
    wrong.unless(variables["PUMICE_SCHEDULE_ROLE_ARN"] == role, "the dispatcher is given another role");

    let clock = chosen(json!({ "Fn::Sub": format!("{DISPATCHER}:sweep") }));
    wrong.unless(variables["PUMICE_CLOCK_FUNCTION"] == clock, "the dispatcher is given another function");
    let name = &realm.properties("Dispatcher")["FunctionName"]["Fn::Sub"];
    let is_it = name.as_str().is_some_and(|name| DISPATCHER.ends_with(&format!(":function:{name}")));
    wrong.unless(is_it, format!("the dispatcher is {name}"));

    let dispatcher = realm.properties("DispatcherRole");
    let own: Vec<&Value> = statements(dispatcher)
        .filter(|it| {
            names(&it["Fn::If"][1]["Action"])
                .iter()
                .any(|it| it.starts_with("scheduler:") || it.starts_with("iam:"))
        })
        .collect();
    wrong.unless(own.len() == 2, format!("the dispatcher has {} statements about them", own.len()));
    for statement in own {
        let inner = &statement["Fn::If"][1];
        wrong.unless(*statement == chosen(inner.clone()), format!("{}: in every realm", inner["Sid"]));
        let holds = match &names(&inner["Action"])[..] {
            ["scheduler:CreateSchedule"] => {
                let schedules = "arn:${AWS::Partition}:scheduler:${AWS::Region}:${AWS::AccountId}:schedule/${OneOffScheduleGroup}/*";
                inner["Resource"] == json!({ "Fn::Sub": schedules })
            }
            ["iam:PassRole"] => {
                let to = json!({ "StringEquals": { "iam:PassedToService": "scheduler.amazonaws.com" } });
                inner["Resource"] == json!({ "Fn::GetAtt": format!("{ROLE}.Arn") })
                    && inner["Condition"] == to
            }
            _ => false,
        };
        wrong.unless(holds, format!("the dispatcher may do more than make them: {inner}"));
    }

    role_only_wakes(realm, &mut wrong);
    wrong.0
}

/// The role may send to queues and have the dispatcher look at the clock, and nothing else.
fn role_only_wakes(realm: &Template, wrong: &mut Wrong) {
    let role = realm.properties(ROLE);
    for statement in statements(role) {
        let statement = statement["Fn::If"].get(1).unwrap_or(statement);
        let holds = match &names(&statement["Action"])[..] {
            ["sqs:SendMessage"] => {
                let queues =
                    "arn:${AWS::Partition}:sqs:${AWS::Region}:${AWS::AccountId}:${Prefix}-${Realm}-*";
                statement["Resource"] == json!({ "Fn::Sub": queues })
            }
            // Those that were made before there was an alias name the function alone.
            ["lambda:InvokeFunction"] => {
                let arns =
                    ["", ":live", ":sweep"].map(|alias| json!({ "Fn::Sub": format!("{DISPATCHER}{alias}") }));
                statement["Resource"] == json!(arns)
            }
            // SQS requires both to send to a queue under a key of the user's.
            ["kms:Decrypt", "kms:GenerateDataKey"] => statement["Resource"] == json!({ "Ref": "KeyArn" }),
            _ => false,
        };
        wrong.unless(holds, format!("the role may do more than send and look at the clock: {statement}"));
    }
    let may_all = statements(role).count() == 3;
    wrong.unless(may_all, "the role may not send, also not under the realm's key, or not look at the clock");
}
