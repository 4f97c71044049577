//! YAML files: one document or several, with merge keys, and comments that mean something.

use std::collections::HashMap;

use pumice_core::document::{StrictJson, too_large};
use pumice_core::text::shown;
use pumice_service::specs::warning_names;
use serde::Deserialize as _;
use serde_json::{Map, Value};

mod outline;

use self::outline::Outline;
use crate::files::Unreadable;

/// Deepest nesting of brackets that is read: the parser takes time with the square of it.
const MAX_BRACKETS: usize = 1_000;
/// From here on the parser takes negative integers for floats: 2^127. Others are integers to it up to 2^128.
const BEYOND_INTEGERS: f64 = 170_141_183_460_469_231_731_687_303_715_884_105_728.0;
/// Digits of the least such integer.
const LONG_DIGITS: usize = 39;
/// The key of YAML 1.1 that puts another mapping's entries into this one.
const MERGE: &str = "<<";
/// How YAML's own tags begin, in short and written out.
const OWN_TAGS: [&str; 2] = ["!!", "!<tag:yaml.org,2002:"];
/// The tags that say what a value is already, or what it is to be read as.
const TAGS: [&str; 7] = ["str", "int", "float", "bool", "null", "map", "seq"];
/// The beginning of a comment that silences warnings.
const ALLOW: &str = "pumice: allow ";

/// A document of a file, and the warnings that its comments silence.
#[derive(Debug, PartialEq)]
pub(crate) struct Part {
    /// The document.
    pub(crate) value: Value,
    /// Names of warnings.
    pub(crate) allowed: Vec<String>,
}

/// Reads the documents of a file; of one that is empty, as comments alone are, nothing.
pub(crate) fn parse(text: &str) -> Result<Vec<Part>, Unreadable> {
    let outline = Outline::of(text);
    if outline.depth > MAX_BRACKETS {
        return Err(format!("not YAML: more than {MAX_BRACKETS} brackets are open at once").into());
    }
    check_tags(&outline)?;
    let long = long_integers(text);
    let mut values = Vec::new();
    for document in serde_yaml_ng::Deserializer::from_str(text) {
        let StrictJson(mut value) =
            StrictJson::deserialize(document).map_err(|error| format!("not YAML: {error}"))?;
        check_numbers(&value, &long)?;
        merge(&mut value).map_err(|error| format!("not YAML: {error}"))?;
        values.push(value);
    }
    let allowed = allowed(text, &outline);
    let all: Vec<String> = allowed.concat();
    let aligned = allowed.len() == values.len();
    let parts = values.into_iter().enumerate().map(|(index, value)| {
        // Where it is not plain which document a comment belongs to, it counts for all of the file.
        let allowed = if aligned { allowed[index].clone() } else { all.clone() };
        Part { value, allowed }
    });
    Ok(parts.filter(|part| !part.value.is_null()).collect())
}

/// Refuses tags of YAML's own that the parser would pass over: it knows those of [`TAGS`] alone.
fn check_tags(outline: &Outline<'_>) -> Result<(), String> {
    for (line, tag) in &outline.tags {
        let Some(own) = OWN_TAGS.iter().find_map(|begin| tag.strip_prefix(begin)) else { continue };
        let name: String = own.chars().take_while(char::is_ascii_alphanumeric).collect();
        if !name.is_empty() && !TAGS.contains(&name.as_str()) {
            return Err(format!(
                "not YAML: the tag !!{} has no meaning here: write the value without a tag at line {}",
                shown(&name),
                line + 1
            ));
        }
    }
    Ok(())
}

/// Refuses an integer beyond 128 bits, which the parser takes for a float: a float of which the text has the digits
/// without a point or an exponent. `long` is what [`long_integers`] found.
fn check_numbers(value: &Value, long: &HashMap<u64, &str>) -> Result<(), String> {
    match value {
        Value::Array(items) => items.iter().try_for_each(|item| check_numbers(item, long)),
        Value::Object(fields) => fields.values().try_for_each(|item| check_numbers(item, long)),
        Value::Number(number) => {
            let float = number.as_f64().filter(|_| number.is_f64());
            let digits = float.and_then(|float| long.get(&float.abs().to_bits()));
            digits.map_or(Ok(()), |digits| Err(format!("not YAML: {}", too_large(digits))))
        }
        _ => Ok(()),
    }
}

/// The runs of digits that would be integers beyond 128 bits if they were values, by the bits of the nearest float.
fn long_integers(text: &str) -> HashMap<u64, &str> {
    let of_number = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_');
    let digits = |word: &&str| word.len() >= LONG_DIGITS && word.bytes().all(|byte| byte.is_ascii_digit());
    let float = |word: &str| word.parse().ok().filter(|float: &f64| *float >= BEYOND_INTEGERS);
    text.split(|c| !of_number(c))
        .filter(digits)
        .filter_map(|word| Some((float(word)?.to_bits(), word)))
        .collect()
}

/// Puts what merge keys name into their mappings; what a mapping says itself wins.
fn merge(value: &mut Value) -> Result<(), String> {
    match value {
        Value::Array(items) => items.iter_mut().try_for_each(merge),
        Value::Object(fields) => {
            fields.values_mut().try_for_each(merge)?;
            let Some(merged) = fields.shift_remove(MERGE) else { return Ok(()) };
            let sources = match merged {
                Value::Array(sources) => sources,
                one => vec![one],
            };
            for source in sources {
                let Value::Object(source) = source else {
                    return Err("<< takes a mapping, or a list of them, as in <<: *defaults".to_owned());
                };
                put_below(fields, source);
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn put_below(fields: &mut Map<String, Value>, source: Map<String, Value>) {
    for (name, value) in source {
        fields.entry(name).or_insert(value);
    }
}

/// The warnings that comments silence, document by document.
fn allowed(text: &str, outline: &Outline<'_>) -> Vec<Vec<String>> {
    let (mut found, mut begun): (Vec<Vec<String>>, bool) = (vec![Vec::new()], false);
    let mut comments = outline.comments.iter().peekable();
    for (number, line) in text.lines().enumerate() {
        if line
            .strip_prefix("---")
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace))
        {
            if begun {
                found.push(Vec::new());
            }
            begun = true;
        }
        let trimmed = line.trim_start();
        begun |= !trimmed.is_empty() && !trimmed.starts_with(['#', '%']);
        while let Some((_, comment)) = comments.next_if(|(at, _)| *at == number) {
            let names = comment.trim_start_matches('#').trim_start().strip_prefix(ALLOW);
            found
                .last_mut()
                .into_iter()
                .for_each(|here| here.extend(names.into_iter().flat_map(warning_names)));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn values(text: &str) -> Vec<Value> {
        parse(text).unwrap().into_iter().map(|part| part.value).collect()
    }

    #[test]
    fn documents_of_every_form_are_read() {
        for (text, wanted) in [
            ("a: 1\n", vec![json!({ "a": 1 })]),
            ("a: 1\n---\na: 2\n", vec![json!({ "a": 1 }), json!({ "a": 2 })]),
            ("# first\n---\na: 1\n---\n# nothing here\n", vec![json!({ "a": 1 })]),
            ("---\na: 1\n...\n", vec![json!({ "a": 1 })]),
            ("# nothing but comments\n", vec![]),
            ("", vec![]),
            ("---\n", vec![]),
            ("a: !!str 1\n", vec![json!({ "a": "1" })]),
            ("a: hi !!there\nb: \"!!binary\"\n", vec![json!({ "a": "hi !!there", "b": "!!binary" })]),
            (
                "base: &b {x: 1, y: 2}\na: {<<: *b, y: 3}\n",
                vec![json!({ "base": { "x": 1, "y": 2 }, "a": { "x": 1, "y": 3 } })],
            ),
            (
                "p: &p {x: 1}\nq: &q {x: 2, z: 3}\na:\n  <<: [*p, *q]\n",
                vec![json!({ "p": { "x": 1 }, "q": { "x": 2, "z": 3 }, "a": { "x": 1, "z": 3 } })],
            ),
        ] {
            assert_eq!(values(text), wanted, "{text:?}");
        }
    }

    #[test]
    fn yaml_that_would_lose_something_is_refused() {
        for (text, wanted) in [
            ("a: 1\na: 2\n", "the key \"a\" is given twice"),
            ("a: 1\n---\nb: 1\nb: 2\n", "the key \"b\" is given twice"),
            ("a: !secret x\n", "the tag \"secret\" has no meaning here"),
            ("a: !secret {x: 1}\n", "the tag \"secret\" has no meaning here"),
            ("a: !!binary aGk=\n", "the tag !!binary has no meaning here"),
            ("- !!timestamp 2001-01-01\n", "the tag !!timestamp"),
            ("!!set {x: null}\n", "the tag !!set"),
            ("a: [x, !!foo y]\n", "the tag !!foo"),
            ("a: 18446744073709551616\n", "more than 64 bits"),
            ("a: 1234567890123456789012345678901234567890123\n", "more than 64 bits"),
            ("a: -9223372036854775809\n", "more than 64 bits"),
            ("a: -1234567890123456789012345678901234567890123\n", "more than 64 bits"),
            ("a: 200000000000000000000000000000000000000\n", "more than 64 bits"),
            ("a: -200000000000000000000000000000000000000\n", "more than 64 bits"),
            ("a: 1e40\nb: +1234567890123456789012345678901234567890123\n", "more than 64 bits"),
            ("- {a: [1, 1000000000000000000000000000000000000000000]}\n", "more than 64 bits"),
            ("a: .inf\n", "not a JSON number"),
            ("<<: 1\n", "<< takes a mapping"),
            ("a: {<<: [1]}\n", "<< takes a mapping"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(wanted), "{text:?}: {error}");
        }
        assert_eq!(
            values("a: 18446744073709551615\nb: -9223372036854775808\n"),
            [json!({ "a": u64::MAX, "b": i64::MIN })]
        );
    }

    #[test]
    fn number_with_fraction_or_exponent_is_a_float() {
        for (text, wanted) in [
            ("1e20", json!(1e20)),
            ("-1E+20", json!(-1e20)),
            ("1e40", json!(1e40)),
            ("1234567890123456789012345678901234567890123.0", json!(1.234_567_890_123_456_8e42)),
            ("1e16", json!(1e16)),
            ("2e0", json!(2.0)),
            ("1.5e3", json!(1500.0)),
            ("0.1e1", json!(1.0)),
            ("-0", json!(0)),
            ("12345678901234567890", json!(12_345_678_901_234_567_890_u64)),
            // YAML has no such number: a text, as PyYAML reads it.
            ("1E400", json!("1E400")),
        ] {
            assert_eq!(values(&format!("a: {text}\n")), [json!({ "a": wanted })], "{text}");
        }
        // Equality does not distinguish the zeros.
        assert_eq!(values("[-0, -0.0]")[0].to_string(), "[0,-0.0]");
        let text = "a: '1234567890123456789012345678901234567890123'\nb: 1e50 # 1234567890123456789012345678901234567890123\n";
        assert_eq!(values(text)[0]["b"], json!(1e50));
    }

    #[test]
    fn many_brackets_cost_nothing() {
        for text in ["[".repeat(20_000), "a: ".to_owned() + &"{".repeat(20_000), "a: [".repeat(20_000)] {
            assert!(parse(&text).unwrap_err().to_string().contains("brackets are open"));
        }
    }

    #[test]
    fn brackets_and_tags_within_scalars_and_comments_mean_nothing() {
        let long = "# see [ n\n".repeat(MAX_BRACKETS + 1);
        let brackets = "[{".repeat(MAX_BRACKETS);
        for text in [
            format!("{long}a: 1\n"),
            format!("a: 1 {long}"),
            format!("a: \"{brackets}\"\nb: '{brackets}'\nc: x {brackets}\n  {brackets}\n"),
            format!("a: |\n  {brackets}\n\n  {brackets}\nb: >-\n {brackets}\n"),
            format!("- a: |2 # {brackets}\n     {brackets}\n  b: 1\n"),
            "a: \"note: !!important\"\n".to_owned(),
            "a: 'it''s: !!important'\nb: \"\\\": !!important\"\n".to_owned(),
            "a: |\n  const on = [1, !!process.env.X];\n  !!bang\n# !!foo\nb: 1\n".to_owned(),
            "a: some\n  !!bang\n  - !!bang\n".to_owned(),
            "- >\n !!bang\n- x !!bang\n- !!str |\n  !!bang\n".to_owned(),
            "a: {b: \"!!x\", c: x !!y}\r\nd: |\r\n  !!z\r\n".to_owned(),
        ] {
            parse(&text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        }
        for text in [
            "a: |\n  text\nb: !!binary x\n",
            "- a: |\n    text\n  b: !!binary x\n",
            "a: x\n# note\nb: !!binary x\n",
            "a: \"x\" # it's\nb: !!binary x\n",
            "? !!binary x\n: 1\n",
            "a: &x !!binary y\n",
            "--- !!binary x\n",
            "a: [1, {b: !!binary x}]\n",
            "a: !<tag:yaml.org,2002:binary> x\n",
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains("the tag !!binary has no meaning here"), "{text:?}: {error}");
        }
    }

    #[test]
    fn comments_silence_in_their_own_document() {
        let allowed = |text: &str| -> Vec<Vec<String>> {
            parse(text).unwrap().into_iter().map(|part| part.allowed).collect()
        };
        assert_eq!(
            allowed("# pumice: allow one, two\na: 1 # pumice: allow three\n"),
            [["one", "two", "three"]]
        );
        assert_eq!(
            allowed("# pumice: allow one\n---\na: 1\n---\nb: 1\n#pumice: allow two\n"),
            [["one"], ["two"]]
        );
        assert_eq!(allowed("a: 1\n---\n# pumice: allow two\nb: 1\n"), [vec![], vec!["two".to_owned()]]);
        for text in [
            "a: \"x#pumice: allow one\"\n",
            "a: \"x # pumice: allow one\"\n",
            "a: |\n  x # pumice: allow one\n  # pumice: allow one\n",
        ] {
            assert_eq!(allowed(text), [[] as [&str; 0]], "{text:?}");
        }
        assert_eq!(allowed("a: | # pumice: allow one\n  x\n"), [["one"]]);
    }
}
