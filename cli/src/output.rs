//! Prints results: tables for people, JSON and YAML for programs.

use std::io::{IsTerminal, Write};

use pumice_core::secret::{Masker, is_any_known, mask, mask_value};
use pumice_core::text::{counted, escaped};
use serde::Serialize;
use unicode_width::UnicodeWidthStr;

use crate::args::{Format, Global};
use crate::failure::Failure;

/// Prints a response as JSON or YAML, or in the way that people read it.
pub(crate) fn print(
    format: Format,
    value: &impl Serialize,
    people: impl FnOnce() -> Vec<String>,
) -> Result<(), Failure> {
    match format {
        Format::Table | Format::Wide => {
            let mut text = mask(&people().join("\n")).into_owned();
            if !text.is_empty() {
                text.push('\n');
            }
            write_out(&text)
        }
        // Responses always serialise.
        Format::Json => write_raw(&format!("{}\n", json(value))),
        Format::Yaml => write_raw(&yaml(value)?),
    }
}

/// How many items a list shows, of how many where it shows all.
pub(crate) fn listed(count: usize, is_whole: bool, item: &str) -> String {
    if is_whole { format!("{count} of {count} {item}s") } else { counted(count, item) }
}

/// A value as JSON, with secrets masked.
fn json(value: &impl Serialize) -> String {
    match masked(value) {
        Some(masked) => serde_json::to_string_pretty(&masked).unwrap_or_default(),
        None => serde_json::to_string_pretty(value).unwrap_or_default(),
    }
}

/// A value with secrets masked; `None` where there is nothing to mask.
fn masked(value: &impl Serialize) -> Option<serde_json::Value> {
    let mut value = is_any_known().then(|| serde_json::to_value(value).ok())??;
    mask_value(&mut value);
    Some(value)
}

/// A value as YAML, with secrets masked.
pub(crate) fn yaml(value: &impl Serialize) -> Result<String, Failure> {
    let written = match masked(value) {
        Some(masked) => serde_yaml_ng::to_string(&masked),
        None => serde_yaml_ng::to_string(value),
    };
    written.map_err(|error| Failure::wrong(format!("cannot be written as YAML: {error}")))
}

/// Writes a coloured text to standard output. A closed pipe, as after `head`, is not a failure.
pub(crate) fn write_out(text: &str) -> Result<(), Failure> {
    let mut out = anstream::stdout().lock();
    ignore_gone(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// Writes a user's text to standard output: unchanged into a file or a pipe, escaped on a terminal.
pub(crate) fn write_raw(text: &str) -> Result<(), Failure> {
    let text = &*mask(text);
    let mut out = std::io::stdout().lock();
    let written = match out.is_terminal() {
        false => out.write_all(text.as_bytes()),
        true => out.write_all(harmless(text).as_bytes()),
    };
    ignore_gone(written.and_then(|()| out.flush()))
}

/// Standard output for a user's bytes: unchanged, but escaped on a terminal.
pub(crate) fn foreign_stdout() -> Box<dyn Write + Send> {
    let out = std::io::stdout();
    if out.is_terminal() { Box::new(Masked::new(Harmless::new(out))) } else { Box::new(Masked::new(out)) }
}

/// Standard error for a user's bytes, likewise.
pub(crate) fn foreign_stderr() -> Box<dyn Write + Send> {
    let out = std::io::stderr();
    if out.is_terminal() { Box::new(Masked::new(Harmless::new(out))) } else { Box::new(Masked::new(out)) }
}

/// Standard output for a user's bytes in which secrets are masked already, likewise.
pub(crate) fn masked_stdout() -> Box<dyn Write + Send> {
    let out = std::io::stdout();
    if out.is_terminal() { Box::new(Harmless::new(out)) } else { Box::new(out) }
}

/// Standard error for such bytes.
pub(crate) fn masked_stderr() -> Box<dyn Write + Send> {
    let out = std::io::stderr();
    if out.is_terminal() { Box::new(Harmless::new(out)) } else { Box::new(out) }
}

/// Masks secrets in what is written.
struct Masked<W: Write> {
    to: W,
    masker: Masker,
}

impl<W: Write> Masked<W> {
    fn new(to: W) -> Self {
        Self { to, masker: Masker::new() }
    }
}

impl<W: Write> Write for Masked<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let given = self.masker.push(bytes);
        self.to.write_all(&given)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        let rest = self.masker.finish();
        self.to.write_all(&rest)?;
        self.to.flush()
    }
}

/// Escapes everything that a terminal acts on, except line ends and tabs.
struct Harmless<W: Write> {
    to: W,
    /// The beginning of a character whose rest is still to come.
    begun: Vec<u8>,
}

impl<W: Write> Harmless<W> {
    const fn new(to: W) -> Self {
        Self { to, begun: Vec::new() }
    }
}

impl<W: Write> Write for Harmless<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.begun.extend_from_slice(bytes);
        let whole = match std::str::from_utf8(&self.begun) {
            // An error without a length is a character that is cut off at the end.
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            _ => self.begun.len(),
        };
        let rest = self.begun.split_off(whole);
        let text = std::mem::replace(&mut self.begun, rest);
        self.to.write_all(harmless(&String::from_utf8_lossy(&text)).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        let rest = std::mem::take(&mut self.begun);
        self.to.write_all(String::from_utf8_lossy(&rest).as_bytes())?;
        self.to.flush()
    }
}

/// A text of many lines as a terminal may show it.
fn harmless(text: &str) -> String {
    let line = |line: &str| {
        // A carriage return before the end of a line does nothing.
        let (line, end) = line.strip_suffix("\r\n").map_or((line, ""), |line| (line, "\r\n"));
        let (line, end) = line.strip_suffix('\n').map_or((line, end), |line| (line, "\n"));
        format!("{}{end}", line.split('\t').map(escaped).collect::<Vec<_>>().join("\t"))
    };
    text.split_inclusive('\n').map(line).collect()
}

fn ignore_gone(written: std::io::Result<()>) -> Result<(), Failure> {
    match written {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// Writes a value as one line of JSON to standard output, with secrets masked. Returns whether it is still read.
pub(crate) fn write_line(value: &impl Serialize) -> Result<bool, Failure> {
    let text = match masked(value) {
        Some(masked) => serde_json::to_string(&masked),
        None => serde_json::to_string(value),
    };
    // Responses always serialise.
    let line = format!("{}\n", text.unwrap_or_default());
    let mut out = std::io::stdout().lock();
    let written = match out.is_terminal() {
        false => out.write_all(line.as_bytes()),
        true => out.write_all(harmless(&line).as_bytes()),
    };
    match written.and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        other => Ok(other.map(|()| true)?),
    }
}

/// Writes a line for people to standard error.
pub(crate) fn tell_line(line: &str) {
    tell_text(&format!("{line}\n"));
}

/// Writes to standard error and flushes it. A closed standard error is not a failure.
pub(crate) fn tell_text(text: &str) {
    let mut err = anstream::stderr().lock();
    let _ = err.write_all(mask(text).as_bytes()).and_then(|()| err.flush());
}

/// Prints warnings to standard error, unless nothing but results is asked for.
pub(crate) fn warn(global: &Global, lines: &[String]) {
    tell(global, anstyle::AnsiColor::Yellow, "warning", lines);
}

/// Prints notes to standard error, too.
pub(crate) fn note(global: &Global, lines: &[String]) {
    tell(global, anstyle::AnsiColor::Cyan, "note", lines);
}

fn tell(global: &Global, colour: anstyle::AnsiColor, word: &str, lines: &[String]) {
    if global.quiet {
        return;
    }
    let style = anstyle::Style::new().bold().fg_color(Some(colour.into()));
    for line in lines {
        tell_line(&format!("{style}{word}{style:#}: {}", harmless(line)));
    }
}

/// The width that a list fits in, in columns of a terminal.
pub(crate) const WIDTH: usize = 80;

/// The width of the terminal on standard error, in columns; [`WIDTH`] where it does not say.
pub(crate) fn terminal_width() -> usize {
    let size = rustix::termios::tcgetwinsize(std::io::stderr()).ok();
    size.map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0).unwrap_or(WIDTH)
}
/// The mark of a cut.
const CUT: char = '…';

/// A column of a list, and what gives way when the list is too wide.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Column {
    /// It stays whole.
    Whole(&'static str),
    /// Its middle is cut out, down to a width: both ends of a path matter.
    Path(&'static str, usize),
    /// Its end is cut off, down to a width.
    Text(&'static str, usize),
    /// Why something is so: its middle is cut out, down to a width before all else gives way, and further once nothing else
    /// does. Its beginning names the failure, and its end the cause.
    Reason(&'static str, usize),
}

impl Column {
    const fn heading(self) -> &'static str {
        match self {
            Self::Whole(heading)
            | Self::Path(heading, _)
            | Self::Text(heading, _)
            | Self::Reason(heading, _) => heading,
        }
    }
}

/// Rows in columns, under a heading; within 80 columns unless the format is wide. Colours do not count as
/// width, and a column that is cut has none.
pub(crate) fn columns(format: Format, heading: &[Column], rows: &[Vec<String>]) -> Vec<String> {
    let shown = |text: &str| anstream::adapter::strip_str(text).to_string().width();
    let mut widths: Vec<usize> = heading.iter().map(|column| column.heading().width()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(shown(cell));
        }
    }
    if format != Format::Wide {
        narrow(heading, &mut widths);
    }
    let line = |cells: &[String]| {
        let mut line = String::new();
        for (index, (cell, width)) in cells.iter().zip(&widths).enumerate() {
            let cell = match heading[index] {
                Column::Path(..) => cut_middle(cell, *width),
                // A cut text has no colours.
                Column::Reason(..) if shown(cell) > *width => {
                    cut_middle(&anstream::adapter::strip_str(cell).to_string(), *width)
                }
                Column::Reason(..) => cell.clone(),
                Column::Text(..) => cut_end(cell, *width),
                Column::Whole(_) => cell.clone(),
            };
            line.push_str(&cell);
            if index + 1 < cells.len() {
                line.push_str(&" ".repeat(width.saturating_sub(shown(&cell)) + 2));
            }
        }
        line.trim_end().to_owned()
    };
    let heading: Vec<String> = heading.iter().map(|column| column.heading().to_owned()).collect();
    std::iter::once(line(&heading)).chain(rows.iter().map(|row| line(row))).collect()
}

/// A narrower reason is useless.
const LEAST_REASON: usize = 8;

/// Narrows columns until a line fits: reasons as far as they may before others, then texts from the last one, then paths, then
/// reasons again.
fn narrow(heading: &[Column], widths: &mut [usize]) {
    let mut over = (widths.iter().sum::<usize>() + 2 * widths.len().saturating_sub(1)).saturating_sub(WIDTH);
    for pass in 0..4 {
        for (column, width) in heading.iter().zip(widths.iter_mut()).rev() {
            let least = match (pass, column) {
                (0, Column::Reason(_, least)) | (1, Column::Text(_, least)) | (2, Column::Path(_, least)) => {
                    *least
                }
                (3, Column::Reason(..)) => LEAST_REASON,
                _ => continue,
            };
            let taken = over.min(width.saturating_sub(least));
            *width -= taken;
            over -= taken;
        }
    }
}

/// A text in lines that fit in 80 columns unless the format is wide, broken between words; each line but the first begins with so
/// many blanks. A wider word is broken.
pub(crate) fn wrapped(format: Format, text: &str, indent: usize) -> Vec<String> {
    let shown = |text: &str| anstream::adapter::strip_str(text).to_string().width();
    let mut lines = Vec::new();
    let mut line = String::new();
    let fits =
        |line: &str, word: &str| format == Format::Wide || shown(line) + shown(word.trim_end()) <= WIDTH;
    for mut word in text.split_inclusive(' ') {
        if !fits(&line, word) && !line.trim().is_empty() {
            lines.push(line.trim_end().to_owned());
            line = " ".repeat(indent);
        }
        // A word in colours is short.
        while !fits(&line, word) && !word.contains('\u{1b}') {
            let begins = beginning(word, WIDTH.saturating_sub(shown(&line)));
            if begins.is_empty() {
                break;
            }
            lines.push(format!("{line}{begins}"));
            line = " ".repeat(indent);
            word = &word[begins.len()..];
        }
        line.push_str(word);
    }
    lines.push(line.trim_end().to_owned());
    lines
}

/// The beginning of a text, up to a width.
fn beginning(text: &str, width: usize) -> &str {
    let mut end = 0;
    for (at, c) in text.char_indices() {
        let next = at + c.len_utf8();
        if text[..next].width() > width {
            break;
        }
        end = next;
    }
    &text[..end]
}

/// The beginning of a text, where it is wider.
pub(crate) fn cut_end(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    format!("{}{CUT}", beginning(text, width.saturating_sub(1)).trim_end())
}

/// A text with its middle cut out, where it is wider.
pub(crate) fn cut_middle(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let left = width.saturating_sub(1);
    let begins = beginning(text, left / 2);
    let mut from = text.len();
    for (at, _) in text.char_indices().rev() {
        if text[at..].width() > left - left / 2 {
            break;
        }
        from = at;
    }
    format!("{begins}{CUT}{}", &text[from..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_fit_eighty_columns_and_cut_paths_in_the_middle() {
        let heading =
            [Column::Whole("RUN"), Column::Path("JOB", 12), Column::Whole("STATUS"), Column::Text("", 8)];
        let id = format!("etl/{}/load/01", "customers/".repeat(20));
        for job in ["a", id.as_str(), &"日本".repeat(60)] {
            for remark in ["", &"why ".repeat(60)] {
                let row =
                    vec!["0190f3c2".to_owned(), job.to_owned(), "complete".to_owned(), remark.to_owned()];
                let lines = columns(Format::Table, &heading, std::slice::from_ref(&row));
                assert!(lines.iter().all(|line| line.width() <= WIDTH), "{lines:#?}");
                let wide = columns(Format::Wide, &heading, &[row]);
                assert!(wide[1].contains(job) && wide[1].contains(remark.trim_end()), "{wide:#?}");
            }
        }
        assert_eq!(cut_middle("etl/customers/load/01", 11), "etl/c…ad/01");
        assert_eq!(cut_end("why it failed", 8), "why it…");
    }

    #[test]
    fn reason_has_what_room_there_is() {
        let heading = [
            Column::Whole("RUN"),
            Column::Path("JOB", 8),
            Column::Whole("STATUS"),
            Column::Whole("WHEN"),
            Column::Reason("", 40),
        ];
        let reason = "exit status 2: cannot open the file of rates: data/reference/fx_rates.csv";
        let row = |job: &str| {
            let cells = ["01a22580-f07c", job, "failed", "11-28 04:12", reason];
            let lines = columns(Format::Table, &heading, &[cells.map(str::to_owned).to_vec()]);
            assert!(lines.iter().all(|line| line.width() <= WIDTH), "{lines:#?}");
            lines[1].clone()
        };
        let short = row("a");
        assert!(short.ends_with("/fx_rates.csv") && short.contains("  exit status 2: ca"), "{short}");
        // A long path gives way first.
        let long = row("finance/customers/of-the-north/close");
        let last = long.rsplit("  ").next().unwrap();
        assert!(
            last.width() >= 32 && last.ends_with("fx_rates.csv") && last.starts_with("exit status 2"),
            "{long}"
        );
        assert!(long.contains("  fin…lose  ") || long.contains("  fina…ose  "), "{long}");
    }

    #[test]
    fn text_is_broken_between_words() {
        let text = format!("ok       {}", "why it is so ".repeat(20));
        let lines = wrapped(Format::Table, &text, 9);
        assert!(lines.len() > 2 && lines.iter().all(|line| line.width() <= WIDTH), "{lines:#?}");
        assert!(lines[1..].iter().all(|line| line.starts_with("         w")
            || line.starts_with("         i")
            || line.starts_with("         s")));
        assert_eq!(lines.join(" ").split_whitespace().count(), 81);
        assert_eq!(wrapped(Format::Wide, &text, 9).len(), 1);
        let long = "x".repeat(200);
        let (line, rest) = (&long[..78], &long[..44]);
        let broken = ["a".to_owned(), format!("  {line}"), format!("  {line}"), format!("  {rest} b")];
        assert_eq!(wrapped(Format::Table, &format!("a {long} b"), 2), broken);
        assert_eq!(wrapped(Format::Table, "", 2), [""]);
    }

    #[test]
    fn bytes_that_come_in_parts_are_escaped_as_a_whole() {
        let mut out = Harmless::new(Vec::new());
        for part in [&b"a\x1b[1"[..], b"m\xe2\x80", b"\xaeb\r\n", b"\xff\xc3"] {
            out.write_all(part).unwrap();
        }
        out.flush().unwrap();
        assert_eq!(String::from_utf8(out.to).unwrap(), "a\\x1b[1m\\u{202e}b\r\n\u{fffd}\u{fffd}");
    }

    #[test]
    fn control_characters_are_escaped_line_by_line() {
        assert_eq!(harmless("a\u{1b}[2J\tb\n\u{202e}c\r\nd\re\n"), "a\\x1b[2J\tb\n\\u{202e}c\r\nd\\re\n");
        assert_eq!(harmless("done\r"), "done\\r");
    }
}
