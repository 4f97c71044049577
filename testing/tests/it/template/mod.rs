//! The promises of template.yaml and worker.yaml, read from the files themselves. Each check is also
//! shown to fail: [`mutants`] breaks the templates one way at a time.

mod aliases;
mod functions;
mod made;
mod mutants;
mod names;
mod one_off;
mod queues;
mod roles;
mod storage;
mod watching;

use pumice_testing::cloudformation::Template;
use serde_json::Value;

/// Both templates.
#[derive(Clone)]
struct Templates {
    realm: Template,
    worker: Template,
}

impl Templates {
    fn read() -> Self {
        Self {
            realm: Template::read("template.yaml").expect("it reads"),
            worker: Template::read("worker.yaml").expect("it reads"),
        }
    }

    fn each(&self) -> [&Template; 2] {
        [&self.realm, &self.worker]
    }

    /// The functions of both. That of the worker is written without SAM: CloudFormation's own types need
    /// no transform within the realm's stack.
    fn functions(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.each().into_iter().flat_map(functions_of)
    }

    /// Every resource of a type, of both.
    fn of_type<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = (&'a str, &'a Value)> {
        self.each().into_iter().flat_map(move |template| template.of_type(kind))
    }
}

fn functions_of(template: &Template) -> impl Iterator<Item = (&str, &Value)> {
    ["AWS::Serverless::Function", "AWS::Lambda::Function"].into_iter().flat_map(|kind| template.of_type(kind))
}

/// A promise: its name, and what is wrong with templates that break it.
type Check = (&'static str, fn(&Templates) -> Vec<String>);

const CHECKS: [Check; 22] = [
    ("visibility is six times the timeout, at least", queues::visibility),
    ("messages are tried five times, then kept, with an alarm", queues::dead_letters),
    ("the worker takes messages as it should", queues::event_source),
    ("queues refuse connections without TLS", queues::unencrypted),
    ("made resources name no resource that is not made", made::references),
    ("a realm comes back after its stack was removed", made::kept),
    ("roles name the resources that they may use", roles::resources),
    ("readers change nothing", roles::viewer),
    ("everything is encrypted", storage::encryption),
    ("tables keep their promises", storage::tables),
    ("logs are JSON and end some day", functions::logs),
    ("functions have the environment that they read", functions::environment),
    ("the worker within the realm's stack is worker.yaml's", functions::nested_worker),
    ("the clock reaches the dispatcher", functions::schedules),
    ("one-off schedules only wake workers", one_off::schedules),
    ("functions are invoked by their alias", aliases::invoked),
    ("every change of a function is a version", aliases::versions),
    ("an update that fails is taken back", aliases::rollback),
    ("names are never too long", names::lengths),
    ("parameters refuse what would fail later", names::patterns),
    ("alarms watch their metrics", watching::alarms),
    ("the dashboard shows its metrics", watching::dashboard),
];

#[test]
fn templates_keep_every_promise() {
    let templates = Templates::read();
    for (name, check) in CHECKS {
        let wrong = check(&templates);
        assert!(wrong.is_empty(), "{name}:\n{}", wrong.join("\n"));
    }
}

#[derive(Default)]
struct Wrong(Vec<String>);

impl Wrong {
    fn unless(&mut self, holds: bool, what: impl Into<String>) {
        if !holds {
            self.0.push(what.into());
        }
    }
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn one_or_more(value: &Value) -> Vec<&Value> {
    value.as_array().map_or_else(|| vec![value], |items| items.iter().collect())
}
