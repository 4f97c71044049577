//! The text form of requests: one a line, as on a command line.

use pumice_template::split_commented_line;
use serde_json::{Map, Value};

use super::{BadRequest, DispatchRequest, MAX_BATCH, Parsed, check_globals, set_dotted};
use crate::duration::Span;
use crate::ids::JobId;
use crate::problem::{JsonPath, Problem, SpecError, did_you_mean, show};
use crate::text::{cut, escaped, quoted};

const OPTIONS: [&str; 3] = ["--delay", "--global", "--param"];

/// Reads a request a line. A line that is not UTF-8 is a bad request as any other, and in a comment
/// such bytes do no harm.
pub(super) fn parse(body: &[u8]) -> Vec<Parsed> {
    let mut parsed = Vec::new();
    for (index, line) in body.split(|byte| *byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        if parsed.len() == MAX_BATCH {
            parsed.push(Err(at_line(index, format!("more than {MAX_BATCH} requests in one batch"))));
            break;
        }
        let request = read_line(line).and_then(parse_line);
        parsed.push(request.map_err(|message| at_line(index, message)));
    }
    parsed
}

fn read_line(line: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(line).map(str::trim).map_err(|error| {
        let text = String::from_utf8_lossy(line);
        format!(
            "not UTF-8: byte {} of {} is not part of a character",
            error.valid_up_to() + 1,
            show(&text.into())
        )
    })
}

fn at_line(index: usize, message: String) -> BadRequest {
    let error = SpecError::one(Problem::new(JsonPath::root(), message));
    BadRequest { place: format!("line {}", index + 1), error }
}

fn parse_line(line: &str) -> Result<DispatchRequest, String> {
    let words = split_commented_line(line).map_err(|error| error.to_string())?;
    let mut words = words.into_iter();
    let mut job_id = None;
    let mut parameters = Map::new();
    let mut globals = Map::new();
    let mut delay = Span::ZERO;
    while let Some(word) = words.next() {
        let (option, inline) = split_option(&word);
        let option = long_option(&option).unwrap_or(option);
        let mut value =
            || inline.clone().or_else(|| words.next()).ok_or_else(|| format!("{option} needs a value"));
        match option.as_str() {
            "-d" | "--delay" => delay = Span::parse(&value()?).map_err(|error| error.to_string())?,
            "-g" | "--global" => assign(&mut globals, &value()?)?,
            "-p" | "--param" => assign(&mut parameters, &value()?)?,
            unknown if unknown.starts_with('-') => {
                let hint = did_you_mean(unknown, OPTIONS).map(|h| format!(" ({h})")).unwrap_or_default();
                return Err(format!("no such option {}{hint}", escaped(&cut(unknown))));
            }
            _ if job_id.is_some() => {
                return Err(format!("{} is one word too many: a line names one job", quoted(&word)));
            }
            _ => job_id = Some(JobId::new(&word).map_err(|error| error.to_string())?),
        }
    }
    let job_id = job_id.ok_or("the line names no job")?;
    SpecError::check(check_globals(&globals)).map_err(|error| error.to_string())?;
    let when = DispatchRequest::after(delay).map_err(|error| error.to_string())?;
    Ok(DispatchRequest { parameters, globals, when, ..DispatchRequest::new(job_id) })
}

/// The long option that a word begins, where it begins one alone (Python, argparse, Argument abbreviations).
fn long_option(word: &str) -> Option<String> {
    let mut begun = OPTIONS.iter().filter(|option| word.len() > 2 && option.starts_with(word));
    let first = begun.next()?;
    begun.next().is_none().then(|| (*first).to_owned())
}

/// Splits `--name=value` and `-nVALUE`, as command lines allow.
fn split_option(word: &str) -> (String, Option<String>) {
    if let Some((name, value)) = word.split_once('=')
        && name.starts_with("--")
    {
        return (name.to_owned(), Some(value.to_owned()));
    }
    match word.get(..2) {
        Some(name @ ("-d" | "-g" | "-p")) if word.len() > 2 => (name.to_owned(), Some(word[2..].to_owned())),
        _ => (word.to_owned(), None),
    }
}

fn assign(into: &mut Map<String, Value>, text: &str) -> Result<(), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| format!("{} is not NAME=VALUE", quoted(text)))?;
    set_dotted(into, name, Value::String(value.to_owned())).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::When;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn lines_are_read_as_command_lines() {
        let body = "# nightly\n\n  etl/load -d 5m -g a.b='x y' --param=vars.name=x -pz=1\nother\n";
        let parsed = parse(body.as_bytes());
        let request = parsed[0].as_ref().unwrap();
        assert_eq!(request.job_id.as_str(), "etl/load");
        assert_eq!(request.when, When::After(Span::from_mins(5)));
        assert_eq!(Value::Object(request.globals.clone()), json!({"a": {"b": "x y"}}));
        assert_eq!(Value::Object(request.parameters.clone()), json!({"vars": {"name": "x"}, "z": "1"}));
        assert_eq!(parsed.len(), 2);
    }

    #[test]
    fn abbreviated_long_option_is_the_option() {
        let parsed = parse(b"a --para x=1 --glob=y=2 --d 5m\n");
        let request = parsed[0].as_ref().unwrap();
        assert_eq!(Value::Object(request.parameters.clone()), json!({ "x": "1" }));
        assert_eq!(Value::Object(request.globals.clone()), json!({ "y": "2" }));
        assert_eq!(request.when, When::After(Span::from_mins(5)));
    }

    #[test]
    fn words_are_those_of_shlex_and_a_comment_begins_with_a_word() {
        let parsed = parse(br#"a -g "x=\$b" -g y=\d#1 -g z='c # d' # of -g old=1 'all"#);
        let request = parsed[0].as_ref().unwrap();
        assert_eq!(Value::Object(request.globals.clone()), json!({"x": "\\$b", "y": "d#1", "z": "c # d"}));
    }

    #[test]
    fn each_bad_line_says_why() {
        for (line, wanted) in [
            ("a b", "too many"),
            ("-d 5m", "names no job"),
            ("a -d", "needs a value"),
            ("a --params x=1", "no such option --params"),
            ("a -- b", "no such option --"),
            ("a --dely 5m", "did you mean \"--delay\"?"),
            ("a -g x", "NAME=VALUE"),
            ("a 'b", "without a closing one"),
            ("a -d 16m", "\"at\""),
            ("a -g lava.x=1", "reserved"),
        ] {
            let error = parse(line.as_bytes())[0].as_ref().unwrap_err().to_string();
            assert!(error.contains(wanted) && error.starts_with("line 1: "), "{line}: {error}");
        }
    }

    #[test]
    fn a_line_that_is_not_utf_8_does_not_stop_the_others() {
        let parsed = parse(b"# caf\xe9\na\nb -g x=caf\xe9\r\nc\n");
        let named: Vec<_> =
            parsed.iter().filter_map(|one| one.as_ref().ok()).map(|one| one.job_id.as_str()).collect();
        assert_eq!(named, ["a", "c"]);
        let error = parsed[1].as_ref().unwrap_err().to_string();
        assert_eq!(error, "line 3: not UTF-8: byte 11 of \"b -g x=caf\u{fffd}\" is not part of a character");
    }

    proptest! {
        #[test]
        fn never_panics(body in any::<Vec<u8>>(), text in "\\PC*") {
            let _ = parse(&body);
            let _ = parse(text.as_bytes());
        }
    }
}
