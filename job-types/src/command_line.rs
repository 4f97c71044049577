//! Warnings about a command line: signs that only a shell acts on, and impossible variables of the environment.

use pumice_core::duration::Span;
use pumice_core::job_type::zero_timeout;
use pumice_core::problem::{JsonPath, Problem};
use pumice_core::spec::JobFields;
use pumice_core::text::quoted;
use pumice_template::split_command_line;
use serde_json::Value;

/// Programs that are shells themselves, and read `$X` in what they are given.
const SHELLS: [&str; 6] = ["sh", "bash", "dash", "zsh", "ksh", "ash"];
/// Signs of a shell that stand by themselves.
const SIGNS: [&str; 8] = ["||", "&&", "&", ">>", "2>", "2>&1", "|&", "#"];
/// Most signs that a warning names.
const MAX_NAMED: usize = 8;

/// Warnings about the command line of a payload.
pub(crate) fn advise(line: &str) -> Vec<Problem> {
    let path = JsonPath::root().field("payload");
    let mut advice = advise_signs(line, path.clone());
    let words = split_command_line(line).unwrap_or_default();
    if let Some(program) = relative_program(&words) {
        let message =
            format!("{} is looked for in the directory of the run, which is empty at first", quoted(program));
        let told = Problem::warning("relative-program", path, message);
        advice.push(told.with_hint("give the whole path of the program"));
    }
    advice
}

/// A warning about the signs of a command line that only a shell acts on.
pub(crate) fn advise_signs(line: &str, path: JsonPath) -> Vec<Problem> {
    let words = split_command_line(line).unwrap_or_default();
    let signs = shell_signs(line, &words);
    let named = match &*signs {
        [] => return Vec::new(),
        [only] => format!("{only} means"),
        [firsts @ .., last] if signs.len() <= MAX_NAMED => format!("{} and {last} mean", firsts.join(", ")),
        more => format!("{} and {} more mean", more[..MAX_NAMED].join(", "), more.len() - MAX_NAMED),
    };
    let message = format!("{named} nothing here: no shell runs the command");
    vec![Problem::warning("shell-sign", path, message).with_hint("for a shell, say sh -c '…'")]
}

/// Programs that start the program which their arguments name.
const STARTERS: [&str; 9] = ["env", "ionice", "nice", "nohup", "setsid", "stdbuf", "sudo", "time", "timeout"];
/// Programs that run the file which their first argument names.
const INTERPRETERS: [&str; 12] =
    ["bash", "dash", "ksh", "node", "perl", "php", "python", "python3", "Rscript", "ruby", "sh", "zsh"];

/// Options of interpreters after which code or the name of a module follows in place of a file.
const WITHOUT_FILE: [&str; 4] = ["-c", "-e", "-m", "-r"];
/// How the names of scripts end.
const SCRIPTS: [&str; 8] = [".R", ".bash", ".js", ".php", ".pl", ".py", ".rb", ".sh"];

/// The program or script of a command line that is named by a relative path.
fn relative_program(words: &[String]) -> Option<&str> {
    fn name(word: &str) -> &str {
        word.rsplit('/').next().unwrap_or(word)
    }
    // Options, variables and a time stand before the program that a starter starts.
    let is_own = |word: &str| {
        word.starts_with(|c: char| c == '-' || c.is_ascii_digit())
            || (word.contains('=') && !word.contains('/'))
    };
    let is_relative = |word: &str| {
        !word.starts_with(['/', '~']) && !["{{", "{%", "://"].iter().any(|sign| word.contains(sign))
    };
    let mut words = words.iter().map(String::as_str);
    let mut program = words.next()?;
    while STARTERS.contains(&name(program)) {
        program = words.find(|word| !is_own(word))?;
    }
    if program.contains('/') && is_relative(program) {
        return Some(program);
    }
    if !INTERPRETERS.contains(&name(program)) {
        return None;
    }
    let file = words.find(|word| !word.starts_with('-') || WITHOUT_FILE.contains(word))?;
    let is_file = file.contains('/') || SCRIPTS.iter().any(|end| file.ends_with(end));
    (is_file && is_relative(file)).then_some(file)
}

/// The shell signs of a command line that are neither quoted nor part of a template, each once, in their order.
fn shell_signs(line: &str, words: &[String]) -> Vec<String> {
    let mut signs: Vec<(usize, String)> = Vec::new();
    let assigned = words.first().and_then(|word| word.split_once('=')).filter(|(name, _)| is_variable(name));
    signs.extend(assigned.map(|(name, _)| (0, format!("{name}= before the program"))));
    let program = words.first().map(|word| word.rsplit('/').next().unwrap_or(word)).unwrap_or_default();
    // A shell reads variables in what it is given; within single quotes they are meant as they stand.
    let reads_variables = !SHELLS.contains(&program);
    let (mut quote, mut escaped, mut template) = (None, false, false);
    let (mut before, mut behind) = (' ', 0);
    for (at, c) in line.char_indices() {
        let rest = &line[at..];
        if template {
            template = !(rest.starts_with("}}") || rest.starts_with("%}"));
        } else if escaped {
            escaped = false;
        } else {
            match c {
                _ if rest.starts_with("{{") || rest.starts_with("{%") => template = true,
                '\\' if quote != Some('\'') => escaped = true,
                '\'' | '"' if quote.is_none() => quote = Some(c),
                '\'' | '"' if quote == Some(c) => quote = None,
                _ if at < behind => {}
                _ => {
                    let own = line[..at].rsplit(char::is_whitespace).next().unwrap_or_default();
                    let found = match quote {
                        None => sign_at(rest, own, before),
                        Some('"') if reads_variables => variable_at(rest),
                        Some(_) => None,
                    };
                    if let Some(sign) = found {
                        behind = at + sign.len();
                        signs.push((at, sign));
                    }
                }
            }
        }
        before = c;
    }
    // `2>` as its first character says; `&&` and `#` only where they are words.
    for sign in SIGNS.into_iter().filter(|sign| words.iter().any(|word| word == sign)) {
        let places = line.match_indices(sign).map(|(at, _)| at);
        let mut by_itself = places.filter(|at| is_word(line, *at, sign.len()));
        if let Some(at) = by_itself.next()
            && !signs
                .iter()
                .any(|(other, found)| (at..at + sign.len()).contains(other) && sign.contains(&**found))
        {
            signs.push((at, sign.to_owned()));
        }
    }
    signs.sort_by_key(|(at, _)| *at);
    let mut named: Vec<String> = Vec::new();
    for (_, sign) in signs {
        if !named.contains(&sign) {
            named.push(sign);
        }
    }
    named
}

/// Whether a part of a line is one of its words.
fn is_word(line: &str, at: usize, length: usize) -> bool {
    let ends = |c: Option<char>| c.is_none_or(|c| c == ' ');
    ends(line[..at].chars().next_back()) && ends(line[at + length..].chars().next())
}

/// The variable that a text begins with, which a shell would put in.
fn variable_at(rest: &str) -> Option<String> {
    let name = rest.strip_prefix('$').filter(|name| begins_variable(name)).map(|_| rest)?;
    name.split(|c: char| c.is_whitespace() || matches!(c, '"' | ';')).next().map(str::to_owned)
}

/// The sign of a shell that the rest of a line begins with, outside of quotes; `own` is the beginning of its word, and
/// `before` the character before it.
fn sign_at(rest: &str, own: &str, before: char) -> Option<String> {
    let c = rest.chars().next()?;
    match c {
        '$' if begins_variable(&rest[1..]) => variable_at(rest),
        '$' if rest[1..].starts_with(PARAMETERS) => Some(rest[..2].to_owned()),
        '*' | '|' | ';' | '<' | '>' | '`' => Some(c.to_string()),
        '&' if is_last(rest) && before.is_alphanumeric() => Some(c.to_string()),
        '?' | '[' | '{' => expansion(rest, own),
        '~' if before.is_whitespace() => Some(c.to_string()),
        _ => None,
    }
}

/// Names of a shell's own parameters: `$1`, `$?`, `$@`.
const PARAMETERS: [char; 17] =
    ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '?', '@', '#', '$', '!', '*', '-'];

/// Whether a sign ends its word.
fn is_last(rest: &str) -> bool {
    rest.chars().nth(1).is_none_or(char::is_whitespace)
}

/// The sign with which a shell would put other words in place of the word whose rest this is: `a?.csv`, `[0-9].csv`,
/// `{a,b}.csv`. In a URL such signs mean what they say.
fn expansion(rest: &str, before: &str) -> Option<String> {
    if before.contains("://") {
        return None;
    }
    let word = rest.split(char::is_whitespace).next().unwrap_or_default();
    let pair = |close: char| word.get(1..).and_then(|inner| inner.split_once(close)).map(|(inner, _)| inner);
    let is_expanded = match word.chars().next()? {
        '?' => true,
        '[' => pair(']').is_some_and(|inner| !inner.is_empty() && !inner.contains(['"', '\''])),
        _ => pair('}').is_some_and(|inner| {
            (inner.contains(',') || inner.contains("..")) && !inner.contains(['"', '\'', '{'])
        }),
    };
    is_expanded.then(|| word.chars().take(1).collect())
}

fn begins_variable(rest: &str) -> bool {
    rest.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '_' | '{' | '('))
}

/// Whether a shell may have a variable of this name.
fn is_variable(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// How long something may run that a job starts.
pub(crate) struct Timed {
    /// Its name in messages, as "the command".
    pub(crate) what: &'static str,
    /// The parameter `timeout`.
    pub(crate) timeout: Option<Span>,
}

/// Warnings about the parameter `timeout`.
pub(crate) fn advise_timeout(fields: &JobFields, timed: &Timed) -> Vec<Problem> {
    let path = JsonPath::root().field("parameters").field("timeout");
    let Timed { what, timeout } = timed;
    let mut advice: Vec<Problem> = zero_timeout(*timeout, path.clone()).into_iter().collect();
    if let (Some(whole), Some(own)) = (fields.timeout, timeout)
        && whole > *own
    {
        let message = format!("{what} is stopped after {own}, before the {whole} of the job's timeout");
        let warning = Problem::warning("timeout-above-command", path, message);
        advice.push(warning.with_hint(format!("without it, the job's timeout is {what}'s")));
    }
    advice
}

/// Warnings about the parameters of what runs commands: `timeout`, `env`, `args`.
pub(crate) fn advise_parameters<'a>(
    fields: &JobFields,
    timed: &Timed,
    env: impl Iterator<Item = &'a String>,
    jinja: Option<bool>,
) -> Vec<Problem> {
    let path = JsonPath::root().field("parameters");
    let mut advice = advise_timeout(fields, timed);
    advice.extend(advise_environment(env.map(String::as_str)));
    if jinja != Some(false) {
        advice.extend(advise_comments(&fields.payload, &JsonPath::root().field("payload")));
        for name in ["args", "env"] {
            let value = fields.parameters.as_ref().and_then(|parameters| parameters.get(name));
            let told = value.into_iter().flat_map(|value| advise_comments(value, &path.field(name)));
            advice.extend(told);
        }
    }
    advice
}

/// Warnings about names that no environment can hold, or no shell can read.
fn advise_environment<'a>(names: impl Iterator<Item = &'a str>) -> Vec<Problem> {
    let path = JsonPath::root().field("parameters").field("env");
    let bad = names.filter(|name| !is_variable(name) && !name.contains("{{"));
    bad.map(|name| {
        let message = match name.is_empty() || name.contains(['=', '\0']) {
            true => format!("no environment can hold a variable {}", quoted(name)),
            false => format!("no shell can read a variable {}", quoted(name)),
        };
        let warning = Problem::warning("environment-name", path.field(name), message);
        warning.with_hint("letters, digits and _, and no digit first")
    })
    .collect()
}

/// Warnings about texts in which a shell's `${#X}` begins a template comment.
fn advise_comments(value: &Value, path: &JsonPath) -> Vec<Problem> {
    match value {
        Value::String(text) => text
            .contains("${#")
            .then(|| {
                let message = "{# of ${# begins a comment of the template: what follows up to #} is left out";
                let warning = Problem::warning("shell-comment", path.clone(), message);
                warning.with_hint("write ${{ '{#' }}X} for a shell's ${#X}, or say jinja: false")
            })
            .into_iter()
            .collect(),
        Value::Array(items) => {
            let found =
                items.iter().enumerate().map(|(index, item)| advise_comments(item, &path.item(index)));
            found.flatten().collect()
        }
        Value::Object(fields) => {
            fields.iter().flat_map(|(name, item)| advise_comments(item, &path.field(name))).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(line: &str) -> Vec<String> {
        advise(line).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn shell_syntax_without_a_shell_is_warned_of() {
        for (line, sign) in [
            ("cat a | wc -l", "|"),
            ("cat a|wc -l", "|"),
            ("a && b", "&&"),
            ("a &", "&"),
            ("a; b", ";"),
            ("a > b", ">"),
            ("a 2>&1", ">"),
            ("a <b", "<"),
            ("rm *.csv", "*"),
            ("ls ~", "~"),
            ("ls ~/x", "~"),
            ("~/bin/x", "~"),
            ("echo $HOME", "$HOME"),
            ("echo \"$HOME/x\"", "$HOME/x"),
            ("echo ${X}", "${X}"),
            ("echo $(date)", "$(date)"),
            ("echo `date`", "`"),
            ("sh /x.sh *.csv", "*"),
            ("A=1 env", "A= before the program"),
            ("echo a # b", "#"),
            ("/bin/ls a?.csv", "?"),
            ("cat [0-9].csv", "["),
            ("cat {a,b}.csv", "{"),
            ("cat {1..3}.csv", "{"),
            ("echo $1", "$1"),
            ("echo $?", "$?"),
            ("echo $$ x", "$$"),
            ("echo $@", "$@"),
            ("sleep 3& x", "&"),
            ("sleep 3&", "&"),
        ] {
            let told = told(line);
            let wanted = format!("payload: {sign} means nothing here: no shell runs the command");
            assert!(told.len() == 1 && told[0].starts_with(&wanted), "{line}: {told:?}");
        }
    }

    #[test]
    fn shell_signs_of_a_line_are_named_together() {
        for (line, signs) in [
            ("echo $HOME *.txt && true; false", "$HOME, *, && and ; mean"),
            ("a > b 2>&1", "> mean"),
            ("a || b", "| mean"),
            ("cat *.a *.b | x", "* and | mean"),
            ("echo $(date) $X; b &", "$(date), $X, ; and & mean"),
            ("echo \"$X\" '$Y' $1 # z", "$X, $1 and # mean"),
            ("x $a $b $c $d $e $f $g $h $i $j", "$a, $b, $c, $d, $e, $f, $g, $h and 2 more mean"),
        ] {
            let told = told(line);
            assert!(told.len() == 1 && told[0].starts_with(&format!("payload: {signs}")), "{line}: {told:?}");
        }
    }

    #[test]
    fn literal_shell_characters_are_accepted() {
        for line in [
            "cut -d '|' -f 1 a",
            "sh -c 'cat a | wc -l; echo $X *'",
            "/bin/bash -c \"echo $X | wc > y\"",
            "find . -name \\*.csv -exec x {} \\;",
            "awk '{print $1}' a~b",
            "psql -c \"select $1\"",
            "echo \"{{ globals.x | upper }}\" {{globals.y>1}}",
            "curl http://x/?a=1&b=2",
            "x --min=3 a~",
            "{{globals.dir}}/x",
            "/opt/x/y",
            "",
        ] {
            assert_eq!(told(line), [] as [&str; 0], "{line}");
        }
    }

    #[test]
    fn programs_of_an_empty_directory_are_warned_of() {
        for line in ["./x.sh a", "bin/x", "../x"] {
            assert!(told(line)[0].contains("which is empty at first"), "{line}");
        }
    }

    #[test]
    fn impossible_names_of_variables_are_reported() {
        let told = |name: &str| advise_environment([name].into_iter()).first().map(ToString::to_string);
        for (name, wanted) in [
            ("", "no environment"),
            ("A=B", "no environment"),
            ("A B", "no shell"),
            ("1A", "no shell"),
            ("A-B", "no shell"),
        ] {
            assert!(told(name).is_some_and(|told| told.contains(wanted)), "{name}");
        }
        assert!(told("A_1").is_none() && told("_x").is_none());
    }

    #[test]
    fn comments_of_templates_in_shell_texts_are_warned_of() {
        let value = json!(["x", { "y": "${#A} and ${#B#}" }]);
        let told = advise_comments(&value, &JsonPath::root().field("args"));
        assert!(told.len() == 1 && told[0].to_string().starts_with("args[1].y: {# of ${#"), "{told:?}");
    }
}
