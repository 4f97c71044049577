//! Prints results: tables for people, JSON and YAML for programs.

use std::io::Write;

use serde_json::Value;

use crate::args::{Format, Global};
use crate::failure::Failure;

/// Prints a value as JSON or YAML, or in the way that people read it.
pub(crate) fn print(
    format: Format,
    value: &Value,
    people: impl FnOnce() -> Vec<String>,
) -> Result<(), Failure> {
    let text = match format {
        Format::Table => {
            let mut text = people().join("\n");
            if !text.is_empty() {
                text.push('\n');
            }
            text
        }
        // A JSON value always serialises.
        Format::Json => format!("{}\n", serde_json::to_string_pretty(value).unwrap_or_default()),
        Format::Yaml => yaml(value)?,
    };
    write_out(&text)
}

/// A value as YAML.
pub(crate) fn yaml(value: &Value) -> Result<String, Failure> {
    serde_yaml_ng::to_string(value)
        .map_err(|error| Failure::Wrong(format!("cannot be written as YAML: {error}")))
}

/// Writes to standard output. A reader that has gone, as `head` does, is no failure.
pub(crate) fn write_out(text: &str) -> Result<(), Failure> {
    let mut out = anstream::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// Tells of what may be wrong, on standard error, unless nothing but results is asked for.
pub(crate) fn warn(global: &Global, lines: &[String]) {
    tell(global, anstyle::AnsiColor::Yellow, "warning", lines);
}

/// Tells of what is good to know, there too.
pub(crate) fn note(global: &Global, lines: &[String]) {
    tell(global, anstyle::AnsiColor::Cyan, "note", lines);
}

fn tell(global: &Global, colour: anstyle::AnsiColor, word: &str, lines: &[String]) {
    if global.quiet {
        return;
    }
    let style = anstyle::Style::new().bold().fg_color(Some(colour.into()));
    for line in lines {
        anstream::eprintln!("{style}{word}{style:#}: {line}");
    }
}

/// Rows in columns, under a heading. Colours do not count as width.
pub(crate) fn columns(heading: &[&str], rows: &[Vec<String>]) -> Vec<String> {
    let shown = |text: &str| anstream::adapter::strip_str(text).to_string().chars().count();
    let mut widths: Vec<usize> = heading.iter().map(|text| text.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(shown(cell));
        }
    }
    let line = |cells: &[String]| {
        let mut line = String::new();
        for (index, (cell, width)) in cells.iter().zip(&widths).enumerate() {
            line.push_str(cell);
            if index + 1 < cells.len() {
                line.push_str(&" ".repeat(width - shown(cell) + 2));
            }
        }
        line.trim_end().to_owned()
    };
    let heading: Vec<String> = heading.iter().map(|text| (*text).to_owned()).collect();
    std::iter::once(line(&heading)).chain(rows.iter().map(|row| line(row))).collect()
}
