//! Random templates through Jinja2 with lava's utilities, and through Pumice.

mod generate;
mod meant;
mod words;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use chrono::DateTime;
use pumice_template::{Context, ErrorKind, Renderer, Value, Zone};
use serde_json::{Value as Json, json};

pub use generate::template;
pub use meant::{MEANT, Meant};

/// The zone of both.
const ZONE: &str = "Australia/Sydney";
/// The program that renders with Jinja2.
const PROGRAM: &str = include_str!("../../standins/jinja_beside.py");

/// A template that does not render alike.
#[derive(Clone, Debug)]
pub struct Difference {
    /// The seed it was made from.
    pub seed: u64,
    /// The template.
    pub template: String,
    /// What Jinja2 gives.
    pub jinja: String,
    /// What Pumice gives.
    pub pumice: String,
    /// Why that is meant, if it is.
    pub meant: Option<&'static Meant>,
}

/// The variables that the templates see.
#[must_use]
pub fn variables() -> Json {
    json!({
        "s": "Hello, World",
        "t": "  padded text ",
        "u": "Ünïcode ß ñ 日本 🌋",
        "e": "",
        "html": "<b>\"Tom\" & 'Jerry'</b> http://example.com/x?y=1",
        "path": "a/b/../c.tar.gz",
        "csv": "a,b,,c",
        "multi": "line one\nline two\n\n  indented\tend\nlast",
        "num": "42",
        "flo": "3.14",
        "when": "2026-03-01T04:05:06Z",
        "i": 7,
        "zero": 0,
        "neg": -3,
        "big": 12_345_678_901_234_567_890_u64,
        "f": 2.5,
        "g": 1e-7,
        "h": 1e22,
        "dec": { "$decimal": "10.50" },
        "yes": true,
        "no": false,
        "nil": null,
        "l": [3, 1, 2],
        "ls": ["delta", "Alpha", "charlie", "bravo"],
        "ll": [[1, "a"], [2, "b"]],
        "lm": [1, "x", null, 2.5, true],
        "el": [],
        "d": { "b": 1, "a": { "c": [1, 2] }, "x y": "k" },
        "ed": {},
        "rows": [
            { "name": "Ann", "dept": "ops", "pay": 10.5, "tags": ["x", "y"] },
            { "name": "bob", "dept": "dev", "pay": 7, "tags": [] },
            { "name": "Cy", "dept": "ops", "pay": 12, "tags": ["z"] },
        ],
        "start": { "$datetime": "2026-03-01T04:05:06+00:00", "$tzinfo": "tzlocal" },
        "ustart": { "$datetime": "2026-03-01T04:05:06+00:00", "$tzinfo": "utc" },
        "tstart": { "$datetime": "2026-03-01T04:05:06.250000+00:00", "$tzinfo": "tzutc" },
        "naive": { "$datetime": "2024-02-29T23:59:59" },
    })
}

fn value(item: &Json) -> Value {
    match item {
        Json::Array(items) => Value::list(items.iter().map(value)),
        Json::Object(entries) => {
            if let Some(number) = entries.get("$decimal").and_then(Json::as_str) {
                return Value::decimal(number).expect("a number");
            }
            if let Some(at) = entries.get("$datetime").and_then(Json::as_str) {
                let Ok(instant) = DateTime::parse_from_rfc3339(at) else {
                    return Value::naive(at.parse().expect("a time"));
                };
                return match entries.get("$tzinfo").and_then(Json::as_str) {
                    Some("tzlocal") => Value::local(instant.to_utc()),
                    Some("tzutc") => Value::utc(instant.to_utc()),
                    _ => Value::timezone_utc(instant.to_utc()),
                };
            }
            Value::map(entries.iter().map(|(key, item)| (key.clone(), value(item))))
        }
        other => Value::from(other.clone()),
    }
}

/// Jinja2 in a process of its own, and Pumice.
#[derive(Debug)]
pub struct Beside {
    python: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    renderer: Renderer,
    context: Context,
}

impl Beside {
    /// Starts Jinja2 with the Python at that path, which must have lava.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(python: &Path) -> std::io::Result<Self> {
        let mut child = Command::new(python)
            .args(["-c", PROGRAM])
            .env("TZ", ZONE)
            .env("PYTHONUTF8", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let missing = || std::io::Error::other("Python has no pipes");
        let mut input = child.stdin.take().ok_or_else(missing)?;
        let output = BufReader::new(child.stdout.take().ok_or_else(missing)?);
        let variables = variables();
        writeln!(input, "{variables}")?;
        let mut context = Context::new(Zone::parse(ZONE).expect("a zone"));
        for (name, item) in variables.as_object().into_iter().flatten() {
            context.insert(name.as_str(), value(item));
        }
        Ok(Self { python: child, input, output, renderer: Renderer::default(), context })
    }

    /// Renders the template of a seed with both; gives what differs.
    ///
    /// # Errors
    /// When Jinja2's process is gone.
    pub fn compare(&mut self, seed: u64) -> std::io::Result<Option<Difference>> {
        self.compare_text(seed, template(seed))
    }

    /// As [`compare`](Self::compare), with a template of the caller's.
    ///
    /// # Errors
    /// When Jinja2's process is gone.
    pub fn compare_text(&mut self, seed: u64, template: String) -> std::io::Result<Option<Difference>> {
        writeln!(self.input, "{}", Json::from(template.as_str()))?;
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            return Err(std::io::Error::other("Jinja2's process has ended"));
        }
        let jinja: Json = serde_json::from_str(&line).map_err(std::io::Error::other)?;
        let pumice = self.renderer.render(&template, &self.context);
        let told = match (jinja.get("text").and_then(Json::as_str), &pumice) {
            (Some(text), Ok(same)) if text == same => return Ok(None),
            (None, Err(_)) => return Ok(None),
            // What Pumice bounds, Jinja2 may render.
            (_, Err(error)) if error.kind() == ErrorKind::Limit => return Ok(None),
            (Some(text), _) => text.to_owned(),
            (None, _) => format!("an error: {}", jinja["error"].as_str().unwrap_or("")),
        };
        let pumice = pumice.unwrap_or_else(|error| format!("an error: {error}"));
        let meant = meant::find(&template, &told, &pumice);
        Ok(Some(Difference { seed, template, jinja: told, pumice, meant }))
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // It ends when its input does; nothing is left to be told.
        let _ = self.python.kill();
        let _ = self.python.wait();
    }
}
