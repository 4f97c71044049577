//! Renders the examples of docs/templates.md.

use chrono::{DateTime, Utc};
use serde_json::Value as Json;

use crate::{Context, Renderer, Value, Zone, filters, globals, predicates, utils};

const GUIDE: &str = include_str!("../../docs/templates.md");

fn blocks(language: &str) -> impl Iterator<Item = &'static str> + use<> {
    let mark = format!("```{language}\n");
    let mut rest = GUIDE;
    std::iter::from_fn(move || {
        let at = rest.find(&mark)? + mark.len();
        let end = at + rest[at..].find("```")?;
        let block = &rest[at..end];
        rest = &rest[end..];
        Some(block)
    })
}

fn context() -> Context {
    let start: DateTime<Utc> = "2026-03-01T04:05:06Z".parse().unwrap();
    let mut ctx = Context::new(Zone::parse("Australia/Sydney").unwrap()).with_now(start);
    let vars: Json = serde_json::from_str(blocks("json").next().unwrap()).unwrap();
    for (name, value) in vars.as_object().unwrap() {
        ctx.insert(name.as_str(), Value::from(value.clone()));
    }
    ctx.insert("start", Value::local(start));
    ctx.insert("ustart", Value::timezone_utc(start));
    ctx
}

#[test]
fn every_example_renders_as_shown() {
    let (renderer, ctx) = (Renderer::default(), context());
    let mut examples = 0;
    let mut wrong = Vec::new();
    for line in blocks("jinja").flat_map(str::lines) {
        let Some((template, shown)) = line.rsplit_once(" → ") else {
            panic!("no arrow in {line}");
        };
        examples += 1;
        let got = match renderer.render(template, &ctx) {
            Ok(text) => text,
            Err(error) => {
                let hint = error.hint().map(|hint| format!(" (did you mean \"{hint}\"?)"));
                format!("error: {}{}", error.message(), hint.unwrap_or_default())
            }
        };
        // Quotes show blanks at the ends.
        let shown = shown.strip_prefix('"').and_then(|s| s.strip_suffix('"')).unwrap_or(shown);
        if got != shown {
            wrong.push(format!("{template}\n  gives {got}\n  not   {shown}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(examples > 80, "{examples}");
}

#[test]
fn every_name_has_an_example() {
    let examples: String = blocks("jinja").collect();
    let mut missing = Vec::new();
    for name in filters::names() {
        if !examples.contains(&format!("| {name}")) {
            missing.push(format!("filter {name}"));
        }
    }
    for name in predicates::names() {
        let quoted = format!("\"{name}\"");
        if !examples.contains(&format!("is {name}")) && !examples.contains(&quoted) {
            missing.push(format!("test {name}"));
        }
    }
    for (name, _) in utils::UTILS.members {
        if !examples.contains(&format!("utils.{name}")) {
            missing.push(format!("util {name}"));
        }
    }
    for name in globals::NAMES {
        if !examples.contains(name) {
            missing.push(format!("function {name}"));
        }
    }
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn every_limit_is_in_the_table() {
    let limits = format!("{:?}", crate::Limits::default());
    let fields = limits.trim_start_matches("Limits { ").split(", ");
    for name in fields.filter_map(|field| field.split(':').next()) {
        assert!(GUIDE.contains(&format!("`{name}`")), "{name}");
    }
}
