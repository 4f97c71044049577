//! Structures: each string leaf and each map key is a template of its own.

use serde_json::{Map, Value as Json};

use crate::error::{ErrorKind, TemplateError};

/// Renders every string leaf and map key of `value` with `render`, leaving
/// other leaves as they are.
pub(crate) fn map_strings(
    value: &Json,
    depth: usize,
    render: &mut dyn FnMut(&str) -> Result<String, TemplateError>,
) -> Result<Json, TemplateError> {
    Ok(match value {
        Json::String(text) => Json::String(render(text)?),
        Json::Array(items) => {
            let depth = deeper(depth)?;
            let mut list = Vec::with_capacity(items.len());
            for (index, item) in items.iter().enumerate() {
                let item =
                    map_strings(item, depth, render).map_err(|error| error.under(&format!("[{index}]")))?;
                list.push(item);
            }
            Json::Array(list)
        }
        Json::Object(entries) => {
            let depth = deeper(depth)?;
            let mut map = Map::with_capacity(entries.len());
            for (key, item) in entries {
                let step = path_step(key);
                let rendered = render(key).map_err(|error| error.under(&step))?;
                let item = map_strings(item, depth, render).map_err(|error| error.under(&step))?;
                if map.contains_key(&rendered) {
                    return Err(TemplateError::new(
                        ErrorKind::Runtime,
                        format!("two keys render to \"{rendered}\": make them differ"),
                    )
                    .under(&step));
                }
                map.insert(rendered, item);
            }
            Json::Object(map)
        }
        Json::Null | Json::Bool(_) | Json::Number(_) => value.clone(),
    })
}

/// Shows every string leaf and map key of `value` to `check`.
pub(crate) fn each_string(
    value: &Json,
    depth: usize,
    check: &mut dyn FnMut(&str) -> Result<(), TemplateError>,
) -> Result<(), TemplateError> {
    match value {
        Json::String(text) => check(text),
        Json::Array(items) => {
            let depth = deeper(depth)?;
            for (index, item) in items.iter().enumerate() {
                each_string(item, depth, check).map_err(|error| error.under(&format!("[{index}]")))?;
            }
            Ok(())
        }
        Json::Object(entries) => {
            let depth = deeper(depth)?;
            for (key, item) in entries {
                check(key)
                    .and_then(|()| each_string(item, depth, check))
                    .map_err(|error| error.under(&path_step(key)))?;
            }
            Ok(())
        }
        Json::Null | Json::Bool(_) | Json::Number(_) => Ok(()),
    }
}

fn deeper(depth: usize) -> Result<usize, TemplateError> {
    depth.checked_sub(1).ok_or_else(|| {
        TemplateError::new(
            ErrorKind::Limit,
            "the structure is nested too deeply: flatten it (limit structure_depth)",
        )
    })
}

/// A key as a step of a JSON path: `.name`, or `["x-tag"]` where a bare name
/// would not be readable.
fn path_step(key: &str) -> String {
    let plain = !key.is_empty()
        && key.chars().all(|c| c.is_alphanumeric() || c == '_')
        && !key.starts_with(|c: char| c.is_numeric());
    if plain { format!(".{key}") } else { format!("[{}]", Json::String(key.to_owned())) }
}
