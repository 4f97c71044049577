//! Files of rows, written as Python's `csv.writer` writes them (lava guide, Job type: sql; Python, `csv`).

use std::io::{self, Write};

use pumice_core::ports::Cell;
use pumice_core::spec::{CsvDialect, Quoting};

/// How a file looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Format {
    pub(crate) delimiter: char,
    pub(crate) dialect: CsvDialect,
    pub(crate) doublequote: bool,
    pub(crate) escapechar: Option<char>,
    pub(crate) quotechar: char,
    pub(crate) quoting: Quoting,
}

impl Format {
    /// Writes a row.
    ///
    /// # Errors
    /// The value that this format cannot write, or the reason why the file takes no more.
    pub(crate) fn write(&self, row: &[Cell], to: &mut impl Write) -> Result<(), String> {
        let mut line = String::new();
        for (index, cell) in row.iter().enumerate() {
            if index > 0 {
                line.push(self.delimiter);
            }
            self.push(cell, row.len() == 1, &mut line)?;
        }
        line.push_str(match self.dialect {
            CsvDialect::Excel | CsvDialect::ExcelTab => "\r\n",
            CsvDialect::Unix => "\n",
        });
        to.write_all(line.as_bytes())
            .map_err(|error: io::Error| format!("cannot write the rows down: {error}"))
    }

    fn push(&self, cell: &Cell, is_alone: bool, line: &mut String) -> Result<(), String> {
        let text = cell.text();
        let is_special = |c: char| c == self.delimiter || c == self.quotechar || matches!(c, '\r' | '\n');
        // An empty line is not a row.
        let is_nothing = is_alone && text.is_empty();
        let quotes = match self.quoting {
            Quoting::All => true,
            Quoting::Nonnumeric => !matches!(cell, Cell::Number(_) | Cell::Bool(_)),
            Quoting::Minimal => is_nothing || self.needs_quotes(text),
            Quoting::None if is_nothing => {
                return Err("a row of one empty field must be quoted, and quoting is none".to_owned());
            }
            Quoting::None => false,
        };
        if quotes {
            line.push(self.quotechar);
        }
        for c in text.chars() {
            if quotes && c == self.quotechar && self.doublequote {
                line.push(c);
            } else if Some(c) == self.escapechar
                || (quotes && c == self.quotechar)
                || (!quotes && is_special(c))
            {
                line.push(self.escapechar.ok_or_else(|| self.unwritable(c))?);
            }
            line.push(c);
        }
        if quotes {
            line.push(self.quotechar);
        }
        Ok(())
    }

    /// Whether a field could not be read without quotes. A quote that an escape makes harmless needs none.
    fn needs_quotes(&self, text: &str) -> bool {
        text.chars().any(|c| match c {
            '\r' | '\n' => true,
            c if c == self.delimiter => true,
            c if c == self.quotechar => self.doublequote || self.escapechar.is_none(),
            _ => false,
        })
    }

    fn unwritable(&self, c: char) -> String {
        let remedy =
            if c == self.quotechar { "give `doublequote` or `escapechar`" } else { "give `escapechar`" };
        format!("a value has {c:?}, which the file cannot have so: {remedy}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(delimiter: char) -> Format {
        Format {
            delimiter,
            dialect: CsvDialect::Unix,
            doublequote: false,
            escapechar: None,
            quotechar: '"',
            quoting: Quoting::Minimal,
        }
    }

    fn written(format: &Format, row: &[Cell]) -> Result<String, String> {
        let mut file = Vec::new();
        format.write(row, &mut file).map(|()| String::from_utf8(file).unwrap())
    }

    fn text(text: &str) -> Cell {
        Cell::Text(text.to_owned())
    }

    fn row() -> Vec<Cell> {
        vec![Cell::Number("1".to_owned()), text("a b"), Cell::Null, text("x|y"), text("l\nm")]
    }

    /// As Python 3.11 writes the same rows.
    #[test]
    fn rows_are_written_as_pythons() {
        let base = format('|');
        for (quoting, wanted) in [
            (Quoting::Minimal, "1|a b||\"x|y\"|\"l\nm\"\n"),
            (Quoting::All, "\"1\"|\"a b\"|\"\"|\"x|y\"|\"l\nm\"\n"),
            (Quoting::Nonnumeric, "1|\"a b\"|\"\"|\"x|y\"|\"l\nm\"\n"),
        ] {
            assert_eq!(written(&Format { quoting, ..base.clone() }, &row()).unwrap(), wanted);
        }
        let escaped = Format { quoting: Quoting::None, escapechar: Some('\\'), ..base.clone() };
        assert_eq!(written(&escaped, &row()).unwrap(), "1|a b||x\\|y|l\\\nm\n");
        assert_eq!(written(&escaped, &[text("a\"b\\c")]).unwrap(), "a\\\"b\\\\c\n");
        let excel = Format { dialect: CsvDialect::Excel, ..base };
        assert_eq!(written(&excel, &[text("a"), text("b")]).unwrap(), "a|b\r\n");
    }

    #[test]
    fn quote_within_a_field_is_doubled_escaped_or_refused() {
        let base = format(',');
        let error = written(&base, &[text("say \"x\"")]).unwrap_err();
        assert_eq!(
            error,
            "a value has '\"', which the file cannot have so: give `doublequote` or `escapechar`"
        );
        let doubled = Format { doublequote: true, ..base.clone() };
        assert_eq!(written(&doubled, &[text("say \"x\"")]).unwrap(), "\"say \"\"x\"\"\"\n");
        let escaped = Format { escapechar: Some('\\'), ..base.clone() };
        assert_eq!(written(&escaped, &[text("say \"x\"")]).unwrap(), "say \\\"x\\\"\n");
        let none = Format { quoting: Quoting::None, ..base };
        assert!(written(&none, &[text("a,b")]).unwrap_err().contains("give `escapechar`"));
    }

    #[test]
    fn row_of_one_empty_field_is_not_an_empty_line() {
        assert_eq!(written(&format('|'), &[text("")]).unwrap(), "\"\"\n");
        assert_eq!(written(&format('|'), &[Cell::Null]).unwrap(), "\"\"\n");
        assert!(written(&Format { quoting: Quoting::None, ..format('|') }, &[Cell::Null]).is_err());
        assert_eq!(written(&format('|'), &[Cell::Null, Cell::Null]).unwrap(), "|\n");
    }
}
