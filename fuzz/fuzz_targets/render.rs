//! Renders any text as a template, within small limits.

#![no_main]

use std::sync::LazyLock;
use std::time::Duration;

use chrono::DateTime;
use libfuzzer_sys::fuzz_target;
use pumice_template::{Context, ErrorKind, Limits, Renderer, Value, Zone};
use serde_json::json;

static CONTEXT: LazyLock<Context> = LazyLock::new(|| {
    let start = DateTime::from_timestamp(1_772_337_906, 0).unwrap_or_default();
    let mut ctx = Context::new(Zone::parse("Australia/Sydney").unwrap_or(Zone::Utc))
        .with_now(start)
        .with_random(|bytes| bytes.fill(7));
    ctx.insert("globals", Value::from(json!({"a": "x", "n": 42, "list": [3, 1, 2], "é": {"k": null}})));
    ctx.insert("start", Value::local(start));
    ctx.insert("ustart", Value::utc(start));
    if let Some(number) = Value::decimal("2.50") {
        ctx.insert("dec", number);
    }
    ctx
});

fuzz_target!(|text: &str| {
    let limits = Limits {
        steps: 50_000,
        memory_bytes: 1 << 20,
        deadline: Duration::from_secs(5),
        cached_templates: 0,
        ..Limits::default()
    };
    let renderer = Renderer::new(limits);
    // As a string of a structure it is read otherwise.
    if let Err(error) = renderer.render_json(&json!([text, {"k": text}]), &CONTEXT) {
        let _ = error.report();
    }
    match renderer.render(text, &CONTEXT) {
        // The same template gives the same text.
        Ok(first) => match renderer.render(text, &CONTEXT) {
            Ok(second) => assert_eq!(first, second),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Limit, "{error}"),
        },
        Err(error) => {
            let _ = error.report();
        }
    }
});
