//! The parts of a YAML text outside of its scalars: brackets, tags and comments, which the parser does not report.
//!
//! It follows libyaml's scanner as far as that is needed to know where scalars end (YAML 1.2.2, chapters 6 to 8).

/// The parts of a text outside of its scalars. Lines count from 0.
#[derive(Debug, Default)]
pub(super) struct Outline<'a> {
    /// How many brackets are open at once at most.
    pub(super) depth: usize,
    /// The tags, with their lines.
    pub(super) tags: Vec<(usize, &'a str)>,
    /// The comments from their `#` on, with their lines.
    pub(super) comments: Vec<(usize, &'a str)>,
}

impl<'a> Outline<'a> {
    /// Those of a text, which need not be valid YAML.
    pub(super) fn of(text: &'a str) -> Self {
        let mut scanner = Scanner {
            text,
            at: 0,
            line: 0,
            column: 0,
            flow: 0,
            indents: Vec::new(),
            key: None,
            found: Self::default(),
        };
        while scanner.step().is_some() {}
        scanner.found
    }
}

struct Scanner<'a> {
    text: &'a str,
    /// Where it is, in bytes, and as line and column.
    at: usize,
    line: usize,
    column: usize,
    /// How many brackets are open.
    flow: usize,
    /// The columns of the mappings and lists that are open outside of brackets.
    indents: Vec<usize>,
    /// The column of what may be a key of this line.
    key: Option<usize>,
    found: Outline<'a>,
}

const fn is_break(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

const fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t')
}

const fn is_bracket(c: char) -> bool {
    matches!(c, ',' | '[' | ']' | '{' | '}')
}

impl<'a> Scanner<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Goes one character on.
    fn bump(&mut self) {
        let Some(c) = self.peek() else { return };
        self.at += c.len_utf8();
        self.column += 1;
        if is_break(c) {
            (self.column, self.key) = (0, None);
            self.line += usize::from(c == '\n');
        }
    }

    /// Goes on for as long as this holds, and gives the text that it passed.
    fn pass(&mut self, holds: impl Fn(char) -> bool) -> &'a str {
        let from = self.at;
        while self.peek().is_some_and(&holds) {
            self.bump();
        }
        self.text.get(from..self.at).unwrap_or_default()
    }

    /// Whether the character after this one is a blank, or none.
    fn is_last_of_word(&self) -> bool {
        self.rest().chars().nth(1).is_none_or(|c| is_blank(c) || is_break(c))
    }

    /// Whether a document begins or ends here.
    fn is_marker(&self) -> bool {
        let ends = |rest: &str| rest.chars().next().is_none_or(|c| is_blank(c) || is_break(c));
        let marker = |mark| self.rest().strip_prefix(mark).is_some_and(ends);
        self.column == 0 && (marker("---") || marker("..."))
    }

    /// Begins a mapping or a list at a column, unless it is the one that is open.
    fn indent(&mut self, column: usize) {
        if self.flow == 0 && self.indents.last().is_none_or(|last| *last < column) {
            self.indents.push(column);
        }
    }

    /// Passes the next blank, mark, comment or scalar. `None` at the end.
    fn step(&mut self) -> Option<()> {
        let c = self.peek()?;
        if is_blank(c) || is_break(c) {
            self.bump();
            return Some(());
        }
        if self.is_marker() {
            (self.flow, self.key) = (0, None);
            self.indents.clear();
            self.pass(|c| matches!(c, '-' | '.'));
            return Some(());
        }
        if self.flow == 0 {
            while self.indents.pop_if(|last| *last > self.column).is_some() {}
        }
        match c {
            '#' => self.comment(),
            '%' if self.column == 0 => {
                self.pass(|c| !is_break(c));
            }
            '-' if self.is_last_of_word() => self.indicator(self.column),
            '?' if self.flow > 0 || self.is_last_of_word() => self.indicator(self.column),
            ':' if self.flow > 0 || self.is_last_of_word() => self.indicator(self.key.unwrap_or(self.column)),
            '|' | '>' if self.flow == 0 => self.block(),
            ']' | '}' => {
                self.flow = self.flow.saturating_sub(1);
                self.bump();
            }
            ',' | '@' | '`' | '%' | '|' | '>' => self.bump(),
            _ => self.node(c),
        }
        Some(())
    }

    /// A mark after which another node begins, in a mapping or a list at this column.
    fn indicator(&mut self, column: usize) {
        self.indent(column);
        self.key = None;
        self.bump();
    }

    /// A possible key: a scalar, brackets, a tag or an anchor.
    fn node(&mut self, c: char) {
        self.key.get_or_insert(self.column);
        match c {
            '[' | '{' => {
                self.flow += 1;
                self.found.depth = self.found.depth.max(self.flow);
                self.bump();
            }
            '!' => self.tag(),
            '&' | '*' => {
                self.pass(|c| !is_blank(c) && !is_break(c) && !is_bracket(c));
            }
            '\'' | '"' => self.quoted(c),
            _ => self.plain(),
        }
    }

    fn comment(&mut self) {
        let line = self.line;
        let comment = self.pass(|c| !is_break(c));
        self.found.comments.push((line, comment));
    }

    fn tag(&mut self) {
        let (line, in_brackets) = (self.line, self.flow > 0);
        let is_verbatim = self.rest().starts_with("!<");
        let ends = |c| is_blank(c) || is_break(c) || in_brackets && !is_verbatim && is_bracket(c);
        let tag = self.pass(|c| !ends(c));
        self.found.tags.push((line, tag));
    }

    fn quoted(&mut self, quote: char) {
        self.bump();
        while let Some(c) = self.peek() {
            self.bump();
            if c == '\\' && quote == '"' || c == quote && quote == '\'' && self.peek() == Some(quote) {
                self.bump();
            } else if c == quote {
                return;
            }
        }
    }

    /// A scalar without quotes: in it a bracket and a `!` mean what they say, and so does a `#` within a word.
    fn plain(&mut self) {
        let least = self.indents.last().map_or(0, |last| last + 1);
        loop {
            while let Some(c) = self.peek().filter(|c| !is_blank(*c) && !is_break(*c)) {
                let is_value = c == ':'
                    && (self.is_last_of_word()
                        || self.flow > 0 && self.rest().chars().nth(1).is_some_and(is_bracket));
                if is_value || self.flow > 0 && is_bracket(c) {
                    return;
                }
                self.bump();
            }
            let line_ends = self.pass(|c| is_blank(c) || is_break(c)).contains(is_break);
            let is_over = line_ends && (self.is_marker() || self.flow == 0 && self.column < least);
            if is_over || matches!(self.peek(), None | Some('#')) {
                return;
            }
        }
    }

    /// A block scalar: all lines that are indented further than what it is in.
    fn block(&mut self) {
        self.bump();
        let header = self.pass(|c| matches!(c, '+' | '-' | '0'..='9'));
        self.pass(is_blank);
        if self.peek() == Some('#') {
            self.comment();
        }
        self.pass(|c| !is_break(c));
        self.next_line();
        let own = self.indents.last().copied();
        let least = match header.chars().find_map(|c| c.to_digit(10)) {
            Some(more) => own.unwrap_or(0) + more as usize,
            None => self.first_indent().max(own.map_or(0, |own| own + 1)).max(1),
        };
        while !self.rest().is_empty() {
            let line = self.rest().split(is_break).next().unwrap_or_default();
            let spaces = spaces_before(line);
            if spaces < least && spaces < line.len() {
                return;
            }
            self.pass(|c| !is_break(c));
            self.next_line();
        }
    }

    fn next_line(&mut self) {
        let length = if self.rest().starts_with("\r\n") { 2 } else { 1 };
        for _ in 0..length {
            self.bump();
        }
    }

    /// The indentation of the lines that follow up to the first with text.
    fn first_indent(&self) -> usize {
        let mut most = 0;
        for line in self.rest().split(is_break) {
            let spaces = spaces_before(line);
            most = most.max(spaces);
            if spaces < line.len() {
                break;
            }
        }
        most
    }
}

fn spaces_before(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}
