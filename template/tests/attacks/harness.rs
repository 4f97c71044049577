//! Runs templates and looks at what they take.

use std::fs;
use std::time::Duration;

use pumice_template::{Context, ErrorKind, Limits, Renderer, Value, Zone};
use serde_json::json;

/// The end that an attack must have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum End {
    /// A limit stops it.
    Limit,
    /// It is refused as wrong, or a limit stops it.
    Refused,
    /// It is harmless after all.
    Fine,
}

pub(crate) fn context() -> Context {
    let mut ctx = Context::new(Zone::Utc);
    ctx.insert("globals", Value::from(json!({"a": "x", "list": [1, 2, 3]})));
    ctx
}

/// The most memory that the process ever used, in MiB, if the system records it.
pub(crate) fn peak_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1024)
}

/// The processor time that this thread has used, if the system records it. Other load of the
/// machine must not count.
pub(crate) fn processor_time() -> Option<Duration> {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanos = stat.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanos))
}

/// The time that an attack may take: a second. Without optimization everything takes ten times as
/// long or more.
const MAY_TAKE: Duration = Duration::from_secs(if cfg!(debug_assertions) { 5 } else { 1 });

pub(crate) fn run(attacks: &[(&str, End, String)]) {
    // Steps and memory must stop them all: a deadline is for cases that these limits miss, and
    // would make these tests depend on the machine.
    let renderer = Renderer::new(Limits { deadline: Duration::from_secs(600), ..Limits::default() });
    let ctx = context();
    let mut wrong = Vec::new();
    for (name, end, template) in attacks {
        let started = processor_time();
        let result = renderer.render(template, &ctx);
        if let (Some(started), Some(ended)) = (started, processor_time()) {
            let took = ended.saturating_sub(started);
            if std::env::var_os("PUMICE_SHOW_ATTACKS").is_some() {
                println!("{took:>12.1?} {name}");
            }
            if took > MAY_TAKE {
                wrong.push(format!("{name} took {took:?}"));
            }
        }
        if let Some(peak) = peak_memory().filter(|peak| *peak > 256) {
            wrong.push(format!("{name}: {peak} MiB"));
        }
        let shown = result.as_ref().map(|text| text.chars().take(60).collect::<String>());
        let kind = result.as_ref().map_err(pumice_template::TemplateError::kind);
        let ok = match (end, kind) {
            (End::Fine, Ok(_)) => true,
            (End::Limit, Err(kind)) => kind == ErrorKind::Limit,
            (End::Refused, Err(_)) => true,
            _ => false,
        };
        if !ok {
            wrong.push(format!("{name} should be {end:?}: {shown:?}"));
        }
        if result.map_or_else(|error| error.report().len(), |_| 0) > 2_000 {
            wrong.push(format!("{name}: a long report"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

pub(crate) fn attack(
    name: &'static str,
    end: End,
    template: impl Into<String>,
) -> (&'static str, End, String) {
    (name, end, template.into())
}
