//! How long rendering and compiling take, compared with stock minijinja on the templates that it
//! can render. `benches/jinja2.py` measures Python's Jinja2 on the same templates.

use std::hint::black_box;

use chrono::{DateTime, Utc};
use criterion::{Criterion, criterion_group, criterion_main};
use pumice_template::{Context, Limits, Renderer, Value, Zone};
use serde_json::Value as Json;

const TEMPLATES: &str = include_str!("templates.json");

fn setup() -> Option<(Json, Context)> {
    let file: Json = serde_json::from_str(TEMPLATES).ok()?;
    let start: DateTime<Utc> = file["start"].as_str()?.parse().ok()?;
    let mut ctx = Context::new(Zone::parse(file["zone"].as_str()?)?);
    for (name, value) in file["context"].as_object()? {
        ctx.insert(name.as_str(), Value::from(value.clone()));
    }
    ctx.insert("start", Value::local(start));
    Some((file, ctx))
}

fn rendering(c: &mut Criterion) {
    let Some((file, ctx)) = setup() else { return };
    let renderer = Renderer::default();
    for template in file["templates"].as_array().into_iter().flatten() {
        let (name, text) = (template["name"].as_str().unwrap_or(""), template["text"].as_str().unwrap_or(""));
        if let Err(error) = renderer.render(text, &ctx) {
            eprintln!("{name}: {error}");
        }
        c.bench_function(&format!("render/{name}"), |b| {
            b.iter(|| renderer.render(black_box(text), &ctx));
        });
        if template["stock"] == true {
            let env = minijinja::Environment::new();
            let vars = minijinja::Value::from(minijinja::value::Serde(&file["context"]));
            if let Ok(compiled) = env.template_from_str(text) {
                c.bench_function(&format!("stock/{name}"), |b| {
                    b.iter(|| compiled.render(black_box(&vars)));
                });
            }
        }
    }
}

fn compiling(c: &mut Criterion) {
    let Some((file, _)) = setup() else { return };
    let text = file["compile"].as_str().unwrap_or("");
    let renderer = Renderer::new(Limits { cached_templates: 0, ..Limits::default() });
    c.bench_function(&format!("compile/{} bytes", text.len()), |b| {
        b.iter(|| renderer.check(black_box(text)));
    });
}

criterion_group!(benches, rendering, compiling);
criterion_main!(benches);
