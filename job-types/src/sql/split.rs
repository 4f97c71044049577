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
    /// Whether `--` begins a comment only in front of a blank, as in MySQL.
    pub spaced_dashes: bool,
}

/// Words that make what may have a body of statements.
const BODIED: [&str; 5] = ["event", "function", "package", "procedure", "trigger"];
/// Words that make what has none: the next word of a `create` may be any name.
const BODILESS: [&str; 8] = ["database", "index", "role", "schema", "sequence", "table", "user", "view"];
/// Words that open a block at the start of a statement within a body, which an `end` closes. Elsewhere they are parts of other
/// statements, as in `drop table if exists` or `select … for update`, or functions.
const OPENING: [&str; 6] = ["begin", "for", "if", "loop", "repeat", "while"];
/// Words after which a statement begins within a body.
const BEFORE: [&str; 7] = ["atomic", "begin", "do", "else", "loop", "repeat", "then"];
/// Words that begin a block outside of a routine (MariaDB, BEGIN END). A `begin` without them begins a transaction.
const ANONYMOUS: [&str; 3] = ["begin", "not", "atomic"];
/// Words behind `into` that name a file of the server.
const TO_FILE: [&str; 2] = ["dumpfile", "outfile"];
/// The kinds of handlers (MySQL, DECLARE ... HANDLER).
const HANDLERS: [&str; 3] = ["continue", "exit", "undo"];

/// How far the head of a handler was read, behind which a statement begins.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Head {
    /// It is not one.
    #[default]
    None,
    /// `declare`.
    Declare,
    /// The kind.
    Kind,
    /// `handler`.
    Handler,
    /// `for`, a comma or `not`: a condition follows.
    For,
    /// A condition.
    Condition,
}

impl Head {
    /// Reads a word; says whether the handler's statement begins with it. `starts` says whether a statement of the body does.
    fn word(&mut self, word: &str, starts: bool) -> bool {
        let (next, is_statement) = match (*self, word) {
            (Self::None, "declare") if starts => (Self::Declare, false),
            (Self::Declare, kind) if HANDLERS.contains(&kind) => (Self::Kind, false),
            (Self::Kind, "handler") => (Self::Handler, false),
            (Self::Handler, "for") => (Self::For, false),
            (Self::For, "not") => (Self::For, false),
            // Before it stood a condition in quotes.
            (Self::For, word) if OPENING.contains(&word) => (Self::None, true),
            (Self::For, _) => (Self::Condition, false),
            // The text after `sqlstate` is quoted.
            (Self::Condition, "value") => (Self::Condition, false),
            (Self::Condition, _) => (Self::None, true),
            _ => (Self::None, false),
        };
        *self = next;
        is_statement
    }

    /// Reads a character between words.
    const fn mark(&mut self, byte: u8) {
        match (*self, byte) {
            (Self::Condition, b',') => *self = Self::For,
            (_, b';') => *self = Self::None,
            _ => {}
        }
    }
}

/// The state of the statement under way.
#[derive(Default)]
struct Under {
    /// Whether its first word is `create`.
    creates: bool,
    /// How many words there were.
    words: usize,
    /// Whether all of them were those of [`ANONYMOUS`].
    is_anonymous: bool,
    /// Whether it creates what may have a body; `None` until it says so.
    is_bodied: Option<bool>,
    /// Open parentheses.
    parentheses: usize,
    /// Open blocks.
    blocks: usize,
    /// Whether a block has been opened by `begin`.
    has_body: bool,
    /// Whether the last word was `end`.
    after_end: bool,
    /// Whether the next word begins a statement of the body.
    starts: bool,
    /// The handler that is being declared.
    head: Head,
}

impl Under {
    fn word(&mut self, word: &str) {
        let word = word.to_ascii_lowercase();
        let word = word.as_str();
        let index = self.words;
        self.words += 1;
        self.creates |= index == 0 && word == "create";
        let (after_end, starts) = (std::mem::take(&mut self.after_end), self.starts);
        self.starts = BEFORE.contains(&word);
        if !self.creates {
            self.word_outside(index, word);
            return;
        }
        if self.is_bodied.is_none() {
            self.is_bodied = [(&BODIED[..], true), (&BODILESS[..], false)]
                .into_iter()
                .find_map(|(words, is_bodied)| words.contains(&word).then_some(is_bodied));
        }
        // The head of a handler ends in any word, as that of a body does.
        let starts = self.head.word(word, starts && self.blocks > 0) || starts;
        let opens = match word {
            _ if self.is_bodied != Some(true) || after_end => false,
            // The first one, before which the head of the body ends in any word.
            "begin" if !self.has_body => self.parentheses == 0,
            // In an expression too.
            "case" => self.blocks > 0,
            word => self.blocks > 0 && starts && OPENING.contains(&word),
        };
        if opens {
            self.has_body = true;
            self.blocks += 1;
        } else if word == "end" {
            self.blocks = self.blocks.saturating_sub(1);
            self.after_end = true;
        }
    }

    /// A word of a statement that creates nothing.
    fn word_outside(&mut self, index: usize, word: &str) {
        self.is_anonymous = (index == 0 || self.is_anonymous) && ANONYMOUS.get(index) == Some(&word);
        if self.is_anonymous && index + 1 == ANONYMOUS.len() {
            // From here on it is as the body of a routine.
            (self.creates, self.is_bodied) = (true, Some(true));
            (self.has_body, self.blocks) = (true, 1);
        }
    }

    /// A character between words.
    const fn mark(&mut self, byte: u8) {
        self.head.mark(byte);
        match byte {
            b'(' => self.parentheses += 1,
            b')' => self.parentheses = self.parentheses.saturating_sub(1),
            _ => {}
        }
        if !byte.is_ascii_whitespace() {
            // A label ends in a colon.
            self.starts = matches!(byte, b';' | b':');
            self.after_end = false;
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
            byte => under.mark(byte),
        }
        at += 1;
    }
    push(&mut found, text, begin, text.len());
    found
}

/// A text without the blanks and comments at its beginning.
fn behind_comments(text: &str, dialect: Dialect) -> &str {
    let mut rest = text.trim_start();
    while rest.starts_with(['-', '#', '/'])
        && let Some(length) = quoted(rest, dialect, false)
    {
        rest = rest[length..].trim_start();
    }
    rest
}

/// Whether a text is a single statement that gives rows and begins as one that only reads: with `select`, `with`, `values`, `table` or a
/// parenthesis. What it calls may write all the same.
#[must_use]
pub fn is_select(text: &str, dialect: Dialect) -> bool {
    let is_empty =
        |one: &Statement<'_>| behind_comments(one.text, dialect).trim_start_matches(';').is_empty();
    let mut statements = split(text, dialect).into_iter().filter(|one| !is_empty(one));
    let (Some(first), None) = (statements.next(), statements.next()) else { return false };
    let reads = ["select", "table", "values", "with"].contains(&&*first_word(first.text, dialect));
    reads || behind_comments(first.text, dialect).starts_with('(')
}

/// Whether a select writes its rows into a file of the server, which a read-only transaction of MySQL does not refuse (MySQL,
/// SELECT ... INTO). The text of a comment that begins with `/*!` is carried out.
#[must_use]
pub fn writes_file(text: &str, dialect: Dialect) -> bool {
    let bytes = text.as_bytes();
    let (mut at, mut follows_into) = (0, false);
    while at < bytes.len() {
        let rest = &text[at..];
        if let Some(carried_out) = ["/*!", "/*M!"].iter().find(|begin| rest.starts_with(**begin)) {
            at += carried_out.len();
            // A version follows.
            at += text[at..].bytes().take_while(u8::is_ascii_digit).count();
        } else if let Some(length) = quoted(rest, dialect, at > 0 && is_of_word(bytes[at - 1])) {
            at += length;
        } else if is_of_word(bytes[at]) {
            let length = rest.bytes().take_while(|byte| is_of_word(*byte)).count();
            let word = rest[..length].to_ascii_lowercase();
            if follows_into && TO_FILE.contains(&&*word) {
                return true;
            }
            follows_into = word == "into";
            at += length;
        } else {
            at += 1;
        }
    }
    false
}

/// The first word of a statement, in small letters; empty when it begins with anything else.
#[must_use]
pub fn first_word(text: &str, dialect: Dialect) -> String {
    let rest = behind_comments(text, dialect);
    let length = rest.bytes().take_while(|byte| is_of_word(*byte)).count();
    rest[..length].to_ascii_lowercase()
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
        b'-' if text.starts_with("--") && !(dialect.spaced_dashes && begins_operand(&text[2..])) => {
            Some(until("\n", 2))
        }
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

/// Whether the text after `--` is the operand of a subtraction in MySQL (Comments).
fn begins_operand(rest: &str) -> bool {
    rest.starts_with(|c: char| !c.is_whitespace() && !c.is_control())
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

    const POSTGRES: Dialect =
        Dialect { backslashes: false, hash_comments: false, dollar_quotes: true, spaced_dashes: false };
    const MYSQL: Dialect =
        Dialect { backslashes: true, hash_comments: true, dollar_quotes: false, spaced_dashes: true };

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
            ("select 3 -- a;b", MYSQL),
            ("select 3 --\ta;b", MYSQL),
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
        assert_eq!(split("select 3--1; select 4;\nselect 5", MYSQL).len(), 3);
        assert_eq!(split("select 3--1; select 4;\nselect 5", POSTGRES).len(), 1);
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
            // Words of blocks that are parts of other statements, and functions.
            (
                "create or replace procedure p3() begin drop table if exists tmp1; create table if not exists t (a int); end;",
                MYSQL,
            ),
            ("create procedure p() begin select if(1, 2, 3); select repeat('x', 3); end;", MYSQL),
            (
                "create procedure p() begin select a from t for update; select case when 1 then 2 end; end;",
                MYSQL,
            ),
            (
                "create definer=`a`@`b` procedure p() begin again: repeat set x = 1; until x end repeat; top: loop leave top; end loop; end;",
                MYSQL,
            ),
            (
                "create procedure p(begin int) begin if (a) then begin select 1; end; elseif b then if c then select 2; end if; end if; case a when 1 then select 3; end case; end;",
                MYSQL,
            ),
            (
                "create event e on schedule every 1 day do begin select 1; for i in (select 1) do select 2; end for; end;",
                MYSQL,
            ),
            (
                "create procedure p() begin repeat if a then select 1; end if; until a end repeat; repeat begin end; until a end repeat; end;",
                MYSQL,
            ),
            ("create function f() returns int as $$ begin return 1; end; $$ language plpgsql;", POSTGRES),
            ("do $$ begin perform 1; end $$;", POSTGRES),
        ] {
            let sql = format!("{sql} select 9;");
            let found = texts(&sql, dialect);
            assert_eq!((found.len(), found.last().unwrap().0), (2, "select 9;"), "{sql}: {found:?}");
        }
        for sql in [
            "create table ev(begin int, x text); select 1",
            "create view v as select event, begin from ev; select 1",
            "create table trigger_of (a int); select begin from t",
            "create table if not exists t (a int); select 1",
            "create index i on t (a); select 1",
            "create view v as select case when a then 1 end from t; select 1",
        ] {
            assert_eq!(split(sql, POSTGRES).len(), 2, "{sql}");
        }
    }

    #[test]
    fn handler_of_a_body_may_have_statements_of_its_own() {
        for handler in [
            "declare exit handler for sqlexception begin rollback; end;",
            "declare continue handler for sqlstate '23000' begin end;",
            "declare continue handler for sqlstate value '23000', not found, 1062 begin select 1; end;",
            "declare undo handler for `of mine`, `b` begin select 1; end;",
            "declare exit handler for not found begin begin select 1; end; end;",
            "DECLARE EXIT HANDLER FOR SQLWARNING IF a THEN SELECT 1; END IF;",
            "declare exit handler for sqlexception case a when 1 then select 1; end case;",
            "declare exit handler for sqlexception loop leave top; end loop;",
            "declare exit handler for sqlexception while a do select 1; end while;",
            "declare exit handler for mine repeat select 1; until a end repeat;",
            // One of a statement without a block.
            "declare exit handler for sqlexception set @a = if(1, 2, 3);",
            "declare continue handler for not found set done = true; if done then select 1; end if;",
            "declare begin_of, handler int; declare c cursor for select 1; declare v condition for sqlstate '1';",
        ] {
            for routine in [
                "create procedure p1()\nbegin",
                "create or replace function f() returns int begin",
                "begin not atomic",
            ] {
                let sql = format!("{routine} {handler} set @a=1; select @a; end; call p1();\nselect 9");
                let found = texts(&sql, MYSQL);
                let rest: Vec<&str> = found.iter().skip(1).map(|(text, _)| *text).collect();
                assert_eq!(rest, ["call p1();", "select 9"], "{sql}: {found:?}");
            }
        }
    }

    #[test]
    fn block_outside_of_a_routine_is_one_statement_and_a_transaction_is_not() {
        let block = "begin not atomic select 1; if a then select 2; end if; end;";
        assert_eq!(texts(&format!("{block} select 3;"), MYSQL), [(block, 1), ("select 3;", 1)]);
        for begin in [
            "begin",
            "BEGIN WORK",
            "begin transaction",
            "begin not deferrable",
            "begin isolation level serializable",
        ] {
            assert_eq!(split(&format!("{begin}; select 1; commit;"), POSTGRES).len(), 3, "{begin}");
        }
    }

    #[test]
    fn single_select_is_known_by_its_beginning() {
        for (sql, wanted) in [
            ("select 1", true),
            ("  -- rows\nSELECT ';' ; -- of today\n", true),
            ("with q as (select 1) select * from q;;", true),
            ("(select 1) union (select 2)", true),
            ("values (1)", true),
            ("table t", true),
            ("delete from t returning a", false),
            ("insert into t select 1", false),
            ("call p()", false),
            ("select 1; delete from t", false),
            ("/* select */ drop table t", false),
            ("; -- nothing", false),
            ("", false),
        ] {
            assert_eq!(is_select(sql, POSTGRES), wanted, "{sql}");
        }
    }

    #[test]
    fn select_into_a_file_of_the_server_is_known() {
        for (sql, wanted) in [
            ("select 1 into outfile '/tmp/a'", true),
            ("SELECT 1 INTO\n/* there */ DUMPFILE '/tmp/a'", true),
            ("select a into outfile '/tmp/a' from t", true),
            ("(select 1 into outfile '/tmp/a') union select 2", true),
            ("select 1 /*!50000 into*/ outfile '/tmp/a'", true),
            ("select 1 /*!50000into outfile '/tmp/a' */", true),
            ("select 1 /*M!100100 into dumpfile '/tmp/a' */", true),
            ("select 1 /* into outfile '/tmp/a' */", false),
            ("select 1 -- into outfile '/tmp/a'\n", false),
            ("select 'into outfile', `into` , `outfile` from t", false),
            ("select outfile from t", false),
            ("select 1 into @a", false),
            ("select into_ outfile from t", false),
        ] {
            assert_eq!(writes_file(sql, MYSQL), wanted, "{sql}");
        }
    }

    #[test]
    fn first_word_stands_behind_comments() {
        for (sql, wanted) in
            [("CALL p()", "call"), ("/* a */ -- b\n# c\n call p", "call"), ("(select 1)", ""), ("", "")]
        {
            assert_eq!(first_word(sql, MYSQL), wanted, "{sql}");
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
