//! Random templates through Jinja2 with lava's utilities, and through Pumice.

mod generate;
mod meant;
mod words;

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use chrono::DateTime;
use pumice_template::{Context, ErrorKind, Renderer, Value, Zone};
use serde_json::{Value as Json, json};

pub use generate::template;
pub use meant::{MEANT, Meant};

/// The zone of both.
const ZONE: &str = "Australia/Sydney";
/// In how many other processes Jinja2 renders a template that differs.
const OTHER_PROCESSES: usize = 4;
/// The program that renders with Jinja2.
const PROGRAM: &str = include_str!("../../standins/jinja_beside.py");

/// A template that does not render alike.
#[derive(Clone, Debug)]
pub struct Difference {
    /// The seed it was made from.
    pub seed: u64,
    /// The template.
    pub template: String,
    /// Jinja2's result.
    pub jinja: String,
    /// Pumice's result.
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
        "dec38": { "$decimal": "-1234567890.1234567890123456789012345678" },
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
    program: PathBuf,
    jinja: Jinja,
    renderer: Renderer,
    context: Context,
}

impl Beside {
    /// Starts Jinja2 with the Python at that path, which must have lava.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(python: &Path) -> std::io::Result<Self> {
        let mut context = Context::new(Zone::parse(ZONE).expect("a zone"));
        for (name, item) in variables().as_object().into_iter().flatten() {
            context.insert(name.as_str(), value(item));
        }
        let jinja = Jinja::start(python)?;
        Ok(Self { program: python.to_owned(), jinja, renderer: Renderer::default(), context })
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
        let jinja = self.jinja.render(&template)?;
        let pumice = self.renderer.render(&template, &self.context);
        match (&jinja, &pumice) {
            (Ok(text), Ok(same)) if text == same => return Ok(None),
            (Err(_), Err(_)) => return Ok(None),
            // Jinja2 may render a template that exceeds Pumice's limits.
            (_, Err(error)) if error.kind() == ErrorKind::Limit => return Ok(None),
            _ => {}
        }
        let shown = jinja.clone().unwrap_or_else(|error| format!("an error: {error}"));
        let pumice = pumice.unwrap_or_else(|error| format!("an error: {error}"));
        let mut meant = meant::find(&template, &shown, &pumice);
        if meant.is_none() && self.depends_on_addresses(&template, &jinja)? {
            meant = Some(meant::addresses());
        }
        Ok(Some(Difference { seed, template, jinja: shown, pumice, meant }))
    }

    /// Whether Jinja2 renders the template otherwise in another process: there its objects have other addresses, and
    /// nothing else is different.
    fn depends_on_addresses(&self, template: &str, first: &Rendered) -> std::io::Result<bool> {
        for _ in 0..OTHER_PROCESSES {
            if Jinja::start(&self.program)?.render(template)? != *first {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Jinja2's result for a template: its text, or its error.
type Rendered = Result<String, String>;

/// A process that renders templates with Jinja2.
#[derive(Debug)]
struct Jinja {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Jinja {
    fn start(python: &Path) -> std::io::Result<Self> {
        let mut process = Command::new(python)
            .args(["-c", PROGRAM])
            .env("TZ", ZONE)
            .env("PYTHONUTF8", "1")
            .env("PYTHONHASHSEED", "0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let missing = || std::io::Error::other("Python has no pipes");
        let mut input = process.stdin.take().ok_or_else(missing)?;
        let output = BufReader::new(process.stdout.take().ok_or_else(missing)?);
        writeln!(input, "{}", variables())?;
        Ok(Self { process, input, output })
    }

    fn render(&mut self, template: &str) -> std::io::Result<Rendered> {
        writeln!(self.input, "{}", Json::from(template))?;
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            return Err(std::io::Error::other("Jinja2's process has ended"));
        }
        let answer: Json = serde_json::from_str(&line).map_err(std::io::Error::other)?;
        Ok(match answer["text"].as_str() {
            Some(text) => Ok(text.to_owned()),
            None => Err(answer["error"].as_str().unwrap_or("").to_owned()),
        })
    }
}

impl Drop for Jinja {
    fn drop(&mut self) {
        // A process that cannot be killed has ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
