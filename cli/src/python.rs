//! The methods of Python's texts and maps that the templates of lava's framework call.

use minijinja::value::{Value, ValueKind, from_args};
use minijinja::{Error, ErrorKind};

/// Calls a method that the template engine does not know.
///
/// # Errors
/// [`Error`] when there is no such method, or its arguments are others.
pub(crate) fn method(value: &Value, name: &str, arguments: &[Value]) -> Result<Value, Error> {
    match (value.as_str(), value.kind()) {
        (Some(text), _) => of_text(text, name, arguments),
        (None, ValueKind::Map) => of_map(value, name, arguments),
        _ => Err(Error::from(ErrorKind::UnknownMethod)),
    }
}

fn of_text(text: &str, name: &str, arguments: &[Value]) -> Result<Value, Error> {
    Ok(match name {
        "split" => return split(text, arguments),
        "lower" => none(arguments).map(|()| Value::from(text.to_lowercase()))?,
        "upper" => none(arguments).map(|()| Value::from(text.to_uppercase()))?,
        "splitlines" => {
            none(arguments).map(|()| text.lines().map(Value::from).collect::<Vec<Value>>().into())?
        }
        "strip" | "lstrip" | "rstrip" => {
            let (signs,): (Option<&str>,) = from_args(arguments)?;
            let is_cut = |c: char| signs.map_or(c.is_whitespace(), |signs| signs.contains(c));
            Value::from(match name {
                "strip" => text.trim_matches(is_cut),
                "lstrip" => text.trim_start_matches(is_cut),
                _ => text.trim_end_matches(is_cut),
            })
        }
        "startswith" => one(arguments).map(|begin| text.starts_with(begin).into())?,
        "endswith" => one(arguments).map(|end| text.ends_with(end).into())?,
        "removeprefix" => one(arguments).map(|begin| text.strip_prefix(begin).unwrap_or(text).into())?,
        "removesuffix" => one(arguments).map(|end| text.strip_suffix(end).unwrap_or(text).into())?,
        "replace" => {
            let (from, to): (&str, &str) = from_args(arguments)?;
            Value::from(text.replace(from, to))
        }
        "join" => {
            let (items,): (Value,) = from_args(arguments)?;
            let items: Vec<String> = items.try_iter()?.map(|item| item.to_string()).collect();
            Value::from(items.join(text))
        }
        _ => return Err(Error::from(ErrorKind::UnknownMethod)),
    })
}

/// Python's `split`: at a separator, or at white space of any length.
fn split(text: &str, arguments: &[Value]) -> Result<Value, Error> {
    let (separator, most): (Option<&str>, Option<i64>) = from_args(arguments)?;
    let most = most.and_then(|most| usize::try_from(most).ok());
    let parts: Vec<&str> = match (separator, most) {
        (Some(""), _) => {
            return Err(Error::new(ErrorKind::InvalidOperation, "an empty separator: give one, or none"));
        }
        (Some(separator), Some(most)) => text.splitn(most + 1, separator).collect(),
        (Some(separator), None) => text.split(separator).collect(),
        (None, None) => text.split_whitespace().collect(),
        (None, Some(_)) => {
            let message = "a number of splits needs a separator";
            return Err(Error::new(ErrorKind::InvalidOperation, message));
        }
    };
    Ok(parts.into_iter().map(Value::from).collect::<Vec<Value>>().into())
}

fn of_map(map: &Value, name: &str, arguments: &[Value]) -> Result<Value, Error> {
    let keys = || map.try_iter().map(Iterator::collect::<Vec<Value>>);
    match name {
        "get" => {
            let (key, other): (Value, Option<Value>) = from_args(arguments)?;
            let found = map.get_item(&key)?;
            Ok(if found.is_undefined() { other.unwrap_or(Value::from(())) } else { found })
        }
        "keys" => none(arguments).and_then(|()| Ok(keys()?.into())),
        "values" => {
            none(arguments)?;
            let values: Result<Vec<Value>, Error> = keys()?.iter().map(|key| map.get_item(key)).collect();
            Ok(values?.into())
        }
        "items" => {
            none(arguments)?;
            let items =
                keys()?.into_iter().map(|key| Ok(Value::from(vec![key.clone(), map.get_item(&key)?])));
            Ok(items.collect::<Result<Vec<Value>, Error>>()?.into())
        }
        _ => Err(Error::from(ErrorKind::UnknownMethod)),
    }
}

fn none(arguments: &[Value]) -> Result<(), Error> {
    from_args(arguments)
}

fn one(arguments: &[Value]) -> Result<&str, Error> {
    from_args::<(&str,)>(arguments).map(|(one,)| one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_those_of_python() {
        let text = |text: &str, name: &str, arguments: &[&str]| {
            let arguments: Vec<Value> = arguments.iter().map(|one| Value::from(*one)).collect();
            method(&Value::from(text), name, &arguments).map(|value| value.to_string())
        };
        for (on, name, arguments, wanted) in [
            ("a/b", "split", vec!["/"], "['a', 'b']"),
            (" a  b ", "split", vec![], "['a', 'b']"),
            ("xax", "strip", vec!["x"], "a"),
            (" a ", "rstrip", vec![], " a"),
            ("a.yaml", "removesuffix", vec![".yaml"], "a"),
            ("aba", "replace", vec!["a", "c"], "cbc"),
            ("ab", "startswith", vec!["a"], "True"),
            ("Ä", "lower", vec![], "ä"),
        ] {
            assert_eq!(text(on, name, &arguments).unwrap(), wanted, "{on}.{name}");
        }
        assert!(text("a", "split", &[""]).is_err() && text("a", "mogrify", &[]).is_err());
        let joined = method(&Value::from("-"), "join", &[Value::from(vec!["a", "b"])]).unwrap();
        assert_eq!(joined.to_string(), "a-b");
        let map = Value::from_pairs([("a", 1), ("b", 2)]);
        assert_eq!(method(&map, "get", &[Value::from("b")]).unwrap(), Value::from(2));
        assert_eq!(method(&map, "items", &[]).unwrap().to_string(), "[['a', 1], ['b', 2]]");
        assert_eq!(method(&map, "values", &[]).unwrap().to_string(), "[1, 2]");
    }
}
