//! The resources that are made with each set of parameters: none of them names a resource that is not made.

use std::collections::BTreeMap;

use pumice_testing::cloudformation::Template;
use serde_json::{Value, json};

use crate::template::{Templates, Wrong};

/// The parameters by which resources are made or left out, with the values that make a difference.
const CHOICES: [(&str, &[&str]); 8] = [
    ("Create", &["all", "realm", "runs", "none"]),
    ("Bucket", &["", "b"]),
    ("JobsStreamArn", &["", "arn:s"]),
    ("KeyArn", &["", "arn:k"]),
    ("WorkerName", &["core", "none"]),
    ("OneOffSchedules", &["yes", "no"]),
    ("RequireTls", &["yes", "no"]),
    ("ScheduledJob", &["", "j"]),
];

type Values = BTreeMap<String, Value>;

/// A template with values of its parameters.
struct Chosen<'a> {
    template: &'a Template,
    values: &'a Values,
}

impl Chosen<'_> {
    /// The text of a value in a condition.
    fn text(&self, value: &Value) -> String {
        if let Some(name) = value["Ref"].as_str() {
            return self.text(self.values.get(name).unwrap_or(&self.template.parameter(name)["Default"]));
        }
        match &value["Fn::Join"] {
            Value::Array(join) => self.text(&join[1]),
            _ => value.as_str().map_or_else(|| value.to_string(), str::to_owned),
        }
    }

    fn holds(&self, condition: &Value) -> bool {
        if let Some(name) = condition.as_str().or(condition["Condition"].as_str()) {
            return self.holds(&self.template.document["Conditions"][name]);
        }
        let (function, of) = condition.as_object().and_then(|it| it.iter().next()).expect("a condition");
        let of = of.as_array().expect("a list");
        match function.as_str() {
            "Fn::Equals" => self.text(&of[0]) == self.text(&of[1]),
            "Fn::Not" => !self.holds(&of[0]),
            "Fn::Or" => of.iter().any(|it| self.holds(it)),
            "Fn::And" => of.iter().all(|it| self.holds(it)),
            other => panic!("{other} is not known here"),
        }
    }

    fn makes(&self, resource: &str) -> bool {
        let condition = &self.template.document["Resources"][resource]["Condition"];
        condition.is_null() || self.holds(condition)
    }

    /// The resources that a value names, where its conditions lead with these values.
    fn named(&self, value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Array(items) => items.iter().for_each(|it| self.named(it, found)),
            Value::Object(fields) => {
                for (key, value) in fields {
                    match key.as_str() {
                        "Ref" => found.extend(value.as_str().map(str::to_owned)),
                        "Fn::GetAtt" => found
                            .extend(value.as_str().and_then(|it| it.split('.').next()).map(str::to_owned)),
                        "Fn::Sub" => {
                            let text = value.as_str().or(value[0].as_str()).unwrap_or_default();
                            let parts = text.split("${").skip(1).filter_map(|it| it.split(['}', '.']).next());
                            found.extend(parts.map(str::to_owned));
                            self.named(&value[1], found);
                        }
                        // SAM makes nothing of it where all is shifted at once.
                        "DeploymentPreference" if !self.holds(&json!("ShiftsStepByStep")) => {}
                        "Fn::If" => {
                            let way = if self.holds(&value[0]) { 1 } else { 2 };
                            self.named(&value[way], found);
                        }
                        _ => self.named(value, found),
                    }
                }
            }
            _ => {}
        }
    }
}

/// Every choice of values.
fn choices() -> Vec<Values> {
    let mut all = vec![Values::new()];
    for (name, values) in CHOICES {
        let with = |before: &Values, value: &str| {
            let mut chosen = before.clone();
            chosen.insert(name.to_owned(), json!(value));
            chosen
        };
        all = all.iter().flat_map(|before| values.iter().map(move |it| with(before, it))).collect();
    }
    all
}

pub(crate) fn references(templates: &Templates) -> Vec<String> {
    let mut wrong = Wrong::default();
    for template in templates.each() {
        for values in choices() {
            let chosen = Chosen { template, values: &values };
            for part in ["Resources", "Outputs"] {
                let members = template.document[part].as_object().into_iter().flatten();
                for (name, member) in members {
                    let made = member["Condition"].is_null() || chosen.holds(&member["Condition"]);
                    let mut named = Vec::new();
                    if made {
                        chosen.named(member, &mut named);
                    }
                    let missing = named.iter().filter(|it| {
                        !template.document["Resources"][it.as_str()].is_null() && !chosen.makes(it)
                    });
                    wrong
                        .0
                        .extend(missing.map(|it| format!("{name} names {it}, which {values:?} do not make")));
                }
            }
        }
    }
    wrong.0.truncate(10);
    wrong.0
}

/// Checks `Create=none` after the stack was removed: kept resources are not made a second time.
pub(crate) fn kept(templates: &Templates) -> Vec<String> {
    let mut wrong = Wrong::default();
    let realm = &templates.realm;
    let values = Values::from([("Create".to_owned(), json!("none")), ("Bucket".to_owned(), json!("b"))]);
    let chosen = Chosen { template: realm, values: &values };
    for (name, resource) in realm.document["Resources"].as_object().into_iter().flatten() {
        let kept = !resource["DeletionPolicy"].is_null();
        wrong.unless(!kept || !chosen.makes(name), format!("{name} is kept, and made again"));
    }
    let key = &realm.document["Resources"]["SigningKey"];
    wrong.unless(
        key["DeletionPolicy"] == "RetainExceptOnCreate",
        "the key goes with the stack, and with it all signed runs",
    );
    wrong.0
}
