//! Checks the list of functions that depend on the moment: every function, method of a class and filter is called, and
//! each that asks for the time or for chance must be on it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{DateTime, Utc};

use crate::native::{Member, Native};
use crate::{Context, OF_THE_MOMENT, Renderer, Value, Zone, filters, globals, predicates, utils};

/// Arguments that one function or another takes, incomplete dates and none among them.
const ARGUMENTS: [&str; 16] = [
    "",
    "1",
    "'10:00'",
    "'a'",
    "start",
    "start.date()",
    "'UTC'",
    "2026",
    "2026, 1, 1",
    "'1', '%d'",
    "3, count=1",
    "start, start",
    "[1, 2]",
    "'a', 'b'",
    "'a', 'b', 'c'",
    "utils.dateutil.tz.UTC",
];

/// The paths of all that a module or class has.
fn paths(native: &'static Native, path: &str, found: &mut Vec<String>) {
    found.push(path.to_owned());
    for (name, member) in native.members {
        let path = format!("{path}.{name}");
        match member {
            Member::Native(native) => paths(native, &path, found),
            Member::Function(_) | Member::Value(_) => found.push(path),
            Member::Refused(_) => {}
        }
    }
}

/// Whether rendering a template asks for the time or for chance.
fn asks(renderer: &Renderer, source: &str) -> bool {
    let asked = Arc::new(AtomicBool::new(false));
    let start: DateTime<Utc> = "2026-03-01T04:05:06Z".parse().unwrap();
    let mut ctx = Context::new(Zone::Utc).with_asked(asked.clone());
    ctx.insert("start", Value::local(start));
    let _ = renderer.render(source, &ctx);
    asked.load(Ordering::Relaxed)
}

#[test]
fn functions_of_the_moment_are_all_listed() {
    let renderer = Renderer::default();
    let mut sources = Vec::new();
    let mut functions = Vec::new();
    paths(&utils::UTILS, "utils", &mut functions);
    functions.extend(globals::NAMES.iter().map(|name| (*name).to_owned()));
    for function in &functions {
        let name = function.rsplit('.').next().unwrap_or(function);
        sources.extend(ARGUMENTS.iter().map(|args| (name, format!("{{{{ {function}({args}) }}}}"))));
        // Functions that ask lazily are looked through too.
        sources.extend(ARGUMENTS.iter().map(|args| (name, format!("{{{{ {function}({args})|first }}}}"))));
    }
    for name in filters::names() {
        for value in ["[1, 2]", "'10:00'", "1", "start"] {
            sources.push((name, format!("{{{{ {value}|{name} }}}}")));
        }
    }
    for name in predicates::names() {
        sources.push((name, format!("{{{{ 1 is {name} }}}}")));
        sources.push((name, format!("{{{{ 1 is {name} 1 }}}}")));
    }
    let asking: BTreeSet<&str> =
        sources.iter().filter(|(_, source)| asks(&renderer, source)).map(|(name, _)| *name).collect();
    let missing: Vec<_> = asking.iter().filter(|name| !OF_THE_MOMENT.contains(name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    for name in ["lipsum", "now", "parse", "random", "rrule", "today", "utcnow", "uuid"] {
        assert!(asking.contains(name), "{name} was not seen to ask: {asking:?}");
    }
}

#[test]
fn name_that_is_put_together_is_seen_to_ask() {
    let renderer = Renderer::default();
    for (source, wanted) in [
        ("{{ utils['parse' ~ 'date']['par' ~ 'se']('10:00') }}", true),
        ("{{ [[1, 2]]|map('ran' ~ 'dom')|list }}", true),
        ("{{ start.strftime('%Y') }}{{ utils.parsedate.isoparse('2026-01-01') }}", false),
    ] {
        assert_eq!(asks(&renderer, source), wanted, "{source}");
    }
}
