//! Reads a CloudFormation template, for tests of what it says.

use std::path::Path;

use serde_json::{Map, Value};
use serde_yaml_ng::Value as Yaml;

/// A template as JSON: `!Ref X` reads `{"Ref": "X"}`, `!Sub X` reads `{"Fn::Sub": "X"}`, and so on.
#[derive(Clone, Debug)]
pub struct Template {
    /// The whole document.
    pub document: Value,
}

/// Why a template cannot be read: the file, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadTemplate(String);

impl Template {
    /// Reads a template of the repository's root.
    ///
    /// # Errors
    /// [`BadTemplate`] when the file is missing, is not YAML, or has a key twice.
    pub fn read(name: &str) -> Result<Self, BadTemplate> {
        Self::parsed(name).map_err(BadTemplate)
    }

    fn parsed(name: &str) -> Result<Self, String> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let yaml: Yaml = serde_yaml_ng::from_str(&text).map_err(|error| format!("{name}: {error}"))?;
        Ok(Self { document: plain(yaml)? })
    }

    /// The resources of a type, with their names.
    pub fn of_type<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = (&'a str, &'a Value)> {
        let resources = self.document["Resources"].as_object().into_iter().flatten();
        resources.filter(move |(_, it)| it["Type"] == kind).map(|(name, it)| (name.as_str(), it))
    }

    /// The properties of a resource; null when there is no such resource.
    #[must_use]
    pub fn properties(&self, resource: &str) -> &Value {
        &self.document["Resources"][resource]["Properties"]
    }

    /// A parameter; null when there is no such parameter.
    #[must_use]
    pub fn parameter(&self, name: &str) -> &Value {
        &self.document["Parameters"][name]
    }
}

fn plain(yaml: Yaml) -> Result<Value, String> {
    Ok(match yaml {
        Yaml::Tagged(tagged) => {
            let tag = tagged.tag.to_string();
            let name = tag.trim_start_matches('!');
            let key =
                if matches!(name, "Ref" | "Condition") { name.to_owned() } else { format!("Fn::{name}") };
            Value::Object(Map::from_iter([(key, plain(tagged.value)?)]))
        }
        Yaml::Sequence(items) => items.into_iter().map(plain).collect::<Result<_, _>>()?,
        Yaml::Mapping(entries) => {
            let entries = entries.into_iter().map(|(key, value)| match key {
                Yaml::String(key) => Ok((key, plain(value)?)),
                other => Err(format!("a key that is not a string: {other:?}")),
            });
            Value::Object(entries.collect::<Result<_, String>>()?)
        }
        scalar => serde_json::to_value(scalar).map_err(|error| error.to_string())?,
    })
}
