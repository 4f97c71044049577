//! Finds the values of a document by the schemas that they are of.

use serde_json::{Map, Value};

use crate::problem::JsonPath;
use crate::schema::resolve;

/// Deepest nesting that is looked through, in levels.
const MAX_DEPTH: usize = 64;

/// Whether the values of a schema with these words are looked for.
pub(super) type Wanted<'w> = &'w dyn Fn(&Map<String, Value>) -> bool;

/// A value that was looked for.
pub(super) struct Found<'a, 'b> {
    pub(super) value: &'a Value,
    /// The words of its schema.
    pub(super) words: &'b Map<String, Value>,
    pub(super) path: JsonPath,
    /// Where it stands, as a JSON pointer.
    pub(super) pointer: String,
}

/// The values of wanted schemas in a value of the schema `root`, which stands at `path`.
pub(super) fn find<'a, 'b>(
    root: &'b Value,
    value: &'a Value,
    path: &JsonPath,
    wanted: Wanted<'_>,
) -> Vec<Found<'a, 'b>> {
    let mut finder = Finder { root, wanted, found: Vec::new() };
    finder.visit(root, value, path, "", 0);
    finder.found
}

/// As [`find`], in an object.
pub(super) fn find_in_fields<'a, 'b>(
    root: &'b Value,
    fields: &'a Map<String, Value>,
    path: &JsonPath,
    wanted: Wanted<'_>,
) -> Vec<Found<'a, 'b>> {
    let mut finder = Finder { root, wanted, found: Vec::new() };
    for (name, value) in fields {
        finder.visit_field(root, name, value, &path.field(name), &format!("/{}", escaped(name)), 0);
    }
    finder.found
}

/// A step of a JSON pointer (RFC 6901).
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// Walks a value along its schema.
struct Finder<'a, 'b, 'w> {
    root: &'b Value,
    wanted: Wanted<'w>,
    found: Vec<Found<'a, 'b>>,
}

impl<'a, 'b> Finder<'a, 'b, '_> {
    fn visit(&mut self, schema: &'b Value, value: &'a Value, path: &JsonPath, pointer: &str, depth: usize) {
        // A value that is nested deeper is refused by the check against the schema.
        if depth > MAX_DEPTH || value.is_null() {
            return;
        }
        let Some(named) = resolve(self.root, schema) else { return };
        for words in schema.as_object().into_iter().chain([named]) {
            if (self.wanted)(words) {
                let (path, pointer) = (path.clone(), pointer.to_owned());
                self.found.push(Found { value, words, path, pointer });
                return;
            }
        }
        for branches in ["anyOf", "oneOf"].iter().filter_map(|word| named.get(*word)) {
            let branches = branches.as_array().into_iter().flatten();
            for branch in branches.filter(|branch| may_be_of(self.root, branch, value)) {
                self.visit(branch, value, path, pointer, depth + 1);
            }
        }
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    let pointer = format!("{pointer}/{}", escaped(name));
                    self.visit_field(schema, name, value, &path.field(name), &pointer, depth + 1);
                }
            }
            Value::Array(items) => {
                let Some(schema) = named.get("items") else { return };
                for (index, item) in items.iter().enumerate() {
                    self.visit(schema, item, &path.item(index), &format!("{pointer}/{index}"), depth + 1);
                }
            }
            _ => {}
        }
    }

    /// Looks at one field of an object.
    fn visit_field(
        &mut self,
        schema: &'b Value,
        name: &str,
        value: &'a Value,
        path: &JsonPath,
        pointer: &str,
        depth: usize,
    ) {
        let Some(words) = resolve(self.root, schema) else { return };
        let own = words.get("properties").and_then(|fields| fields.get(name));
        if let Some(schema) = own.or_else(|| words.get("additionalProperties")) {
            self.visit(schema, value, path, pointer, depth);
        }
    }
}

/// Whether a value may be of this branch: its tags are those of the branch.
fn may_be_of(root: &Value, branch: &Value, value: &Value) -> bool {
    let fields = resolve(root, branch).and_then(|words| words.get("properties")?.as_object());
    fields.into_iter().flatten().all(|(name, field)| {
        let wanted = field.get("const");
        wanted.is_none_or(|wanted| value.get(name) == Some(wanted))
    })
}
