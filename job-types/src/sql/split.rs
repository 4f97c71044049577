//! Splits a text of SQL into statements, as lava's users know it from sqlparse (lava guide, Job type: sql).

/// A statement of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement<'a> {
    /// The statement, with its semicolon.
    pub text: &'a str,
    /// The line of the text on which it begins, from 1.
    pub line: usize,
}

/// The quoting rules that differ between databases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dialect {
    /// Whether a backslash in quotes takes the meaning of the next character, as in MySQL.
    pub backslashes: bool,
    /// Whether `#` begins a comment, as in MySQL.
    pub hash_comments: bool,
    /// Whether `$tag$` quotes, as in PostgreSQL.
    pub dollar_quotes: bool,
}

/// Words that open a block within the body of a `create`, which their `end` closes. `begin` always opens one there.
const OPENING: [&str; 5] = ["case", "for", "if", "loop", "while"];

/// The state of the statement under way.
#[derive(Default)]
struct Under {
    /// Whether its first word is `create`.
    creates: bool,
    has_words: bool,
    /// Open parentheses.
    parentheses: usize,
    /// Open blocks.
    blocks: usize,
    /// Whether a block has been opened by `begin`.
    has_body: bool,
    /// Whether the last word was `end`.
    after_end: bool,
}

impl Under {
    fn word(&mut self, word: &str) {
        let word = word.to_ascii_lowercase();
        let first = !std::mem::replace(&mut self.has_words, true);
        self.creates |= first && word == "create";
        let after_end = std::mem::take(&mut self.after_end);
        if !self.creates {
            return;
        }
        match word.as_str() {
            "begin" => {
                self.has_body = true;
                self.blocks += 1;
            }
            "end" => {
                self.blocks = self.blocks.saturating_sub(1);
                self.after_end = true;
            }
            // `end if`, `end case`: the block is closed already.
            word if OPENING.contains(&word) && self.has_body && self.blocks > 0 && !after_end => {
                // `loop` ends what `for` and `while` begin in PostgreSQL; there it stands within dollar quotes.
                self.blocks += 1;
            }
            _ => {}
        }
    }

    const fn is_whole(&self) -> bool {
        self.parentheses == 0 && self.blocks == 0
    }
}

/// The statements of a text. Semicolons within quotes, comments, parentheses and the bodies of functions, procedures
/// and triggers divide nothing. Text after the last semicolon is a statement too, unless it is blank.
#[must_use]
pub fn split(text: &str, dialect: Dialect) -> Vec<Statement<'_>> {
    let bytes = text.as_bytes();
    let (mut found, mut begin, mut at, mut under) = (Vec::new(), 0, 0, Under::default());
    while at < bytes.len() {
        let rest = &text[at..];
        let end = at + quoted(rest, dialect, at > 0 && is_of_word(bytes[at - 1])).unwrap_or_default();
        if end > at {
            at = end;
            continue;
        }
        match bytes[at] {
            b'(' => under.parentheses += 1,
            b')' => under.parentheses = under.parentheses.saturating_sub(1),
            b';' if under.is_whole() => {
                push(&mut found, text, begin, at + 1);
                (begin, under) = (at + 1, Under::default());
            }
            byte if is_of_word(byte) => {
                let length = rest.bytes().take_while(|byte| is_of_word(*byte)).count();
                under.word(&rest[..length]);
                at += length;
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    push(&mut found, text, begin, text.len());
    found
}

fn push<'a>(found: &mut Vec<Statement<'a>>, text: &'a str, begin: usize, end: usize) {
    let statement = &text[begin..end];
    let trimmed = statement.trim_start();
    if trimmed.trim().is_empty() {
        return;
    }
    let start = begin + (statement.len() - trimmed.len());
    let line = 1 + text[..start].bytes().filter(|byte| *byte == b'\n').count();
    found.push(Statement { text: trimmed.trim_end(), line });
}

fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

/// How many bytes the quotation or comment has that a text begins with; `None` when it begins with neither. One that does not
/// end goes to the end of the text.
fn quoted(text: &str, dialect: Dialect, after_word: bool) -> Option<usize> {
    let until =
        |end: &str, from: usize| text[from..].find(end).map_or(text.len(), |at| from + at + end.len());
    match text.as_bytes()[0] {
        b'\'' => Some(string(text, b'\'', dialect.backslashes)),
        // PostgreSQL: E'…' has backslashes.
        b'E' | b'e' if !after_word && text[1..].starts_with('\'') => {
            Some(1 + string(&text[1..], b'\'', true))
        }
        b'"' => Some(string(text, b'"', dialect.backslashes)),
        b'`' => Some(string(text, b'`', false)),
        b'-' if text.starts_with("--") => Some(until("\n", 2)),
        b'#' if dialect.hash_comments => Some(until("\n", 1)),
        b'/' if text.starts_with("/*") => Some(comment(text, dialect.dollar_quotes)),
        // A template is one unit, whatever it contains.
        b'{' if text.starts_with("{{") => Some(until("}}", 2)),
        b'{' if text.starts_with("{%") => Some(until("%}", 2)),
        b'{' if text.starts_with("{#") => Some(until("#}", 2)),
        b'$' if dialect.dollar_quotes && !after_word => {
            let length = text[1..].find('$')? + 2;
            let tag = &text[..length];
            let inner = &tag[1..length - 1];
            let is_tag = inner.chars().all(|c| c.is_alphanumeric() || c == '_')
                && !inner.starts_with(|c: char| c.is_ascii_digit());
            is_tag.then(|| until(tag, length))
        }
        _ => None,
    }
}

/// The length of a text in quotes, in which the quote stands twice for itself.
fn string(text: &str, quote: u8, backslashes: bool) -> usize {
    let bytes = text.as_bytes();
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if backslashes => at += 1,
            byte if byte == quote && bytes.get(at + 1) == Some(&quote) => at += 1,
            byte if byte == quote => return at + 1,
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

/// The length of a comment, which may have others in it in PostgreSQL (Lexical Structure, Comments).
fn comment(text: &str, nested: bool) -> usize {
    let bytes = text.as_bytes();
    let (mut at, mut depth) = (2, 1);
    while at < bytes.len() {
        match bytes.get(at..at + 2) {
            Some(b"/*") if nested => (depth, at) = (depth + 1, at + 2),
            Some(b"*/") => {
                (depth, at) = (depth - 1, at + 2);
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    const POSTGRES: Dialect = Dialect { backslashes: false, hash_comments: false, dollar_quotes: true };
    const MYSQL: Dialect = Dialect { backslashes: true, hash_comments: true, dollar_quotes: false };

    fn texts(sql: &str, dialect: Dialect) -> Vec<(&str, usize)> {
        split(sql, dialect).into_iter().map(|statement| (statement.text, statement.line)).collect()
    }

    #[test]
    fn statements_end_at_semicolons_and_know_their_lines() {
        assert_eq!(
            texts("select 1;\n\n  select\n 2 ;select 3", POSTGRES),
            [("select 1;", 1), ("select\n 2 ;", 3), ("select 3", 4)]
        );
        assert_eq!(texts("", POSTGRES), []);
        assert_eq!(texts(" \n ; ;", POSTGRES), [(";", 2), (";", 2)]);
        assert_eq!(texts("begin; insert into t values (1); commit;", POSTGRES).len(), 3);
    }

    #[test]
    fn semicolon_within_something_divides_nothing() {
        for (sql, dialect) in [
            ("select ';', 'it''s;', \"a;b\"", POSTGRES),
            ("select E'\\';', 1", POSTGRES),
            ("select 'a\\' || ';'", POSTGRES),
            ("select `a;b`, 'a\\';'", MYSQL),
            ("select 1 -- a;b\n, 2", POSTGRES),
            ("select 1 # a;b\n, 2", MYSQL),
            ("select /* a; /* b; */ c; */ 1", POSTGRES),
            ("select $$a;$$, $t$ b; $$ $t$", POSTGRES),
            ("select ($1; 2)", POSTGRES),
            ("select {{ vars['a;b'] }}, '{{ vars.x }};'", POSTGRES),
            ("select 1 {# a; b #} {% if x == ';' %} + 1 {% endif %}", POSTGRES),
            ("select 'open;", POSTGRES),
            ("select 1 /* open;", POSTGRES),
        ] {
            assert_eq!(split(sql, dialect).len(), 1, "{sql}: {:?}", split(sql, dialect));
        }
        assert_eq!(split("select 'a\\'; select 2", POSTGRES).len(), 2);
        assert_eq!(split("select a$b; select $1", POSTGRES).len(), 2);
        assert_eq!(split("select 1 # 2; select 3", POSTGRES).len(), 2);
    }

    #[test]
    fn body_of_a_function_procedure_or_trigger_is_one_statement() {
        for (sql, dialect) in [
            (
                "create trigger t after insert on a begin insert into b values (1); delete from c where case when 1 then 2 end; end;",
                Dialect::default(),
            ),
            (
                "CREATE PROCEDURE p() BEGIN IF a THEN SELECT 1; ELSE SELECT 2; END IF; WHILE b DO SET c = 1; END WHILE; END;",
                MYSQL,
            ),
            ("create function f() returns int begin atomic select 1; select 2; end;", POSTGRES),
            ("create function f() returns int as $$ begin return 1; end; $$ language plpgsql;", POSTGRES),
            ("do $$ begin perform 1; end $$;", POSTGRES),
        ] {
            let sql = format!("{sql} select 9;");
            let found = texts(&sql, dialect);
            assert_eq!((found.len(), found[1].0), (2, "select 9;"), "{sql}: {found:?}");
        }
        for sql in [
            "create table if not exists t (a int); select 1",
            "create index i on t (a); select 1",
            "create view v as select case when a then 1 end from t; select 1",
        ] {
            assert_eq!(split(sql, POSTGRES).len(), 2, "{sql}");
        }
    }

    #[test]
    fn every_byte_of_a_text_is_in_one_statement_or_blank() {
        let sql = "sélect 'ü;' ; -- é\n; $ö$ x; $ö$; {{ é";
        let found: String = split(sql, POSTGRES).iter().map(|one| one.text).collect();
        let plain = |text: &str| text.split_whitespace().collect::<String>();
        assert_eq!(plain(&found), plain(sql));
    }
}
