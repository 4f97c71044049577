//! The places of a payload and parameters that are templates, patterns or connections. The types say which: a field that
//! is rendered is a [`Template`], a [`Structure`] or a [`CommandLine`], and leaves a mark in its schema that is not
//! printed; so does a pattern ([`PATTERN`]). A [`ConnId`] shows by its format.

use pumice_template::{Renderer, split_command_line};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::advice::unrendered_pattern;
use super::find::{Found, Wanted, find, find_in_fields};
use super::named_connections::{connections_of, is_connection};
use super::{JobError, Rendered, Templates, check_template, unknown_variables};
use crate::ids::ConnId;
use crate::problem::{JsonPath, Problem};
use crate::spec::JobSpec;
use crate::text::quoted;

/// The word of a schema that marks a place of templates.
const MARK: &str = "x-template";
/// The word of a schema that marks patterns of names, which are never rendered: the schema has it with the value `true`.
pub const PATTERN: &str = "x-pattern";

/// How the value of a place is rendered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A lone text is a template; in a map or a list each text and key is.
    Template,
    /// As a structure even where it is a lone text.
    Structure,
    /// Split as a shell splits it; then each word is a template.
    CommandLine,
}

impl Form {
    const ALL: [Self; 3] = [Self::Template, Self::Structure, Self::CommandLine];

    const fn mark(self) -> &'static str {
        match self {
            Self::Template => "template",
            Self::Structure => "structure",
            Self::CommandLine => "command-line",
        }
    }

    /// The form that a schema is marked with.
    fn of(schema: &Map<String, Value>) -> Option<Self> {
        let mark = schema.get(MARK)?.as_str()?;
        Self::ALL.into_iter().find(|form| form.mark() == mark)
    }

    /// The schema of `T` with this mark.
    fn schema<T: JsonSchema>(self, generator: &mut SchemaGenerator) -> Schema {
        let mut schema = generator.subschema_for::<T>();
        schema.insert(MARK.to_owned(), self.mark().into());
        schema
    }
}

/// The field is rendered: a lone text is a template, and in a map or a list each text and key is one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Template<T>(pub T);

/// The field is rendered as a structure even where it is a lone text (lava guide, Jinja Rendering).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Structure<T>(pub T);

/// The field is split as a shell splits a command line; then each word is a template of its own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CommandLine<T>(pub T);

macro_rules! marked {
    ($($name:ident),*) => {$(
        impl<T: JsonSchema> JsonSchema for $name<T> {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                T::schema_name()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                Form::$name.schema::<T>(generator)
            }
        }
    )*};
}

marked!(Template, Structure, CommandLine);

/// The schema without marks, as it is printed.
pub(super) fn unmarked(mut schema: Value) -> Value {
    fn strip(schema: &mut Value) {
        match schema {
            Value::Object(words) => {
                words.retain(|word, _| word != MARK && word != PATTERN);
                words.values_mut().for_each(strip);
            }
            Value::Array(items) => items.iter_mut().for_each(strip),
            _ => {}
        }
    }
    strip(&mut schema);
    schema
}

/// The names of an object's fields that are marked as structures.
pub(super) fn structures(schema: &Value) -> Vec<String> {
    let fields = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    let is_structure = |field: &Value| field.as_object().and_then(Form::of) == Some(Form::Structure);
    fields.filter(|(_, field)| is_structure(field)).map(|(name, _)| name.clone()).collect()
}

/// A value that is a template, or several, within a job.
struct Place<'a> {
    value: &'a Value,
    form: Form,
    path: JsonPath,
    pointer: String,
}

impl<'a> Place<'a> {
    fn of(found: Found<'a, '_>) -> Option<Self> {
        let Found { value, words, path, pointer } = found;
        Some(Self { value, form: Form::of(words)?, path, pointer })
    }
}

/// The places of templates, from the schemas of a job type.
pub(super) struct Places {
    payload: Value,
    parameters: Value,
    /// Whether there are any.
    some: bool,
    /// Whether the parameter `jinja` turns them off.
    jinja: bool,
    /// Whether they see the parameter `vars` besides.
    vars: bool,
}

impl Places {
    /// Those of a type whose payload and parameters have these schemas.
    pub(super) fn of(payload: &Value, parameters: &Value) -> Self {
        let has = |name| parameters.get("properties").and_then(|fields| fields.get(name)).is_some();
        Self {
            some: is_marked(payload) || is_marked(parameters),
            jinja: has("jinja"),
            vars: has("vars"),
            payload: payload.clone(),
            parameters: parameters.clone(),
        }
    }

    /// Names that the templates see besides those of every job.
    fn more(&self) -> &'static [&'static str] {
        if self.vars { &["vars"] } else { &[] }
    }

    /// Whether a job's templates are left as they stand.
    fn are_off(&self, parameters: Option<&Map<String, Value>>) -> bool {
        let jinja = parameters.and_then(|parameters| parameters.get("jinja"));
        !self.some || self.jinja && jinja == Some(&Value::Bool(false))
    }

    fn found<'a>(&self, job: &'a JobSpec) -> Vec<Place<'a>> {
        if self.are_off(job.fields.parameters.as_ref()) {
            return Vec::new();
        }
        let found = self.found_where(job, &|words| words.contains_key(MARK));
        found.into_iter().filter_map(Place::of).collect()
    }

    /// The values of a job whose schemas are wanted ones.
    fn found_where<'a, 'b>(&'b self, job: &'a JobSpec, wanted: Wanted<'_>) -> Vec<Found<'a, 'b>> {
        let root = JsonPath::root();
        let mut found = find(&self.payload, &job.fields.payload, &root.field("payload"), wanted);
        let parameters = job.fields.parameters.iter();
        found.extend(parameters.flat_map(|parameters| {
            find_in_fields(&self.parameters, parameters, &root.field("parameters"), wanted)
        }));
        found
    }

    /// The connections that a job names, and where.
    pub(super) fn connections(&self, job: &JobSpec) -> Vec<(JsonPath, ConnId)> {
        connections_of(self.found_where(job, &is_connection))
    }

    /// Warnings about templates in patterns, which are compared as they stand.
    pub(super) fn advise_patterns(&self, job: &JobSpec) -> Vec<Problem> {
        let found = self.found_where(job, &|words| words.contains_key(PATTERN));
        found.iter().flat_map(|found| unrendered_pattern(found.value, &found.path)).collect()
    }

    /// Checks that the templates of a job parse.
    pub(super) fn check(&self, job: &JobSpec, renderer: &Renderer) -> Vec<Problem> {
        let found = self.found(job).into_iter();
        let check = |place: Place<'_>| match (place.form, place.value.as_str()) {
            (Form::CommandLine, Some(line)) => check_words(line, &place.path, renderer).into_iter().collect(),
            _ => check_template(renderer, place.value, &place.path),
        };
        found.flat_map(check).collect()
    }

    /// Warnings of variables that the job cannot have.
    pub(super) fn advise(&self, job: &JobSpec, renderer: &Renderer) -> Vec<Problem> {
        let found = self.found(job).into_iter();
        found
            .flat_map(|place| unknown_variables(job, renderer, place.value, &place.path, self.more()))
            .collect()
    }

    /// Payload and parameters with each place rendered where it stands. A command line becomes a list of words.
    pub(super) fn render(&self, job: &JobSpec, templates: &Templates) -> Result<Rendered, JobError> {
        let (mut payload, mut parameters) = (job.fields.payload.clone(), Value::Null);
        let given = || Value::Object(job.parameters());
        let vars = || job.parameters().remove("vars").unwrap_or_else(|| Map::new().into());
        let others: &[(&str, Value)] = &if self.vars { vec![("vars", vars())] } else { Vec::new() };
        for Place { value, form, path, pointer } in self.found(job) {
            let rendered = match (form, value.as_str()) {
                (Form::CommandLine, Some(line)) => templates.args(line, others).map(Value::from),
                (Form::Structure, _) => templates.structure(value, others),
                _ => templates.json(value, others),
            };
            let rendered = rendered.map_err(|error| JobError::template(&path.to_string(), &error))?;
            let target = if path.as_str().starts_with(".payload") {
                payload.pointer_mut(&pointer)
            } else {
                if parameters.is_null() {
                    parameters = given();
                }
                parameters.pointer_mut(&pointer)
            };
            if let Some(target) = target {
                *target = rendered;
            }
        }
        let parameters = match parameters {
            Value::Object(parameters) => parameters,
            _ => job.parameters(),
        };
        Ok(Rendered { payload, parameters })
    }
}

/// Checks the words of a command line: one that is torn apart makes several bad ones, and the first is reported.
fn check_words(line: &str, path: &JsonPath, renderer: &Renderer) -> Option<Problem> {
    let words = split_command_line(line).ok()?;
    let (word, error) =
        words.iter().find_map(|word| renderer.check(word).err().map(|error| (word, error)))?;
    let mut problem = Problem::template(path, &error);
    problem.message = format!("in the argument {}: {error}", quoted(word));
    if renderer.check(line).is_ok() {
        problem = problem.with_hint("a command line is split at blanks first: put quotes around an argument whose template has blanks");
    }
    Some(problem)
}

/// Whether a schema has a mark anywhere.
fn is_marked(schema: &Value) -> bool {
    match schema {
        Value::Object(words) => words.contains_key(MARK) || words.values().any(is_marked),
        Value::Array(items) => items.iter().any(is_marked),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use pumice_template::Zone;
    use serde_json::json;

    use super::*;
    use crate::Timestamp;
    use crate::ids::{JobId, RunId};
    use crate::job_type::{LavaGlobals, TemplateContext};
    use crate::schema::schema_of;

    /// Where a file comes from.
    #[derive(Deserialize, JsonSchema)]
    #[serde(tag = "type", rename_all = "lowercase")]
    #[expect(dead_code, reason = "its schema is what counts")]
    enum From {
        Here { name: Template<String> },
        There { name: String, query: Template<String> },
    }

    #[derive(Deserialize, JsonSchema)]
    #[expect(dead_code, reason = "its schema is what counts")]
    struct Parameters {
        one: Option<Template<String>>,
        list: Option<Vec<Template<String>>>,
        map: Option<BTreeMap<String, Template<Value>>>,
        sources: Option<Vec<From>>,
        whole: Option<Structure<Value>>,
        plain: Option<String>,
        vars: Option<Map<String, Value>>,
        jinja: Option<bool>,
    }

    fn places() -> Places {
        Places::of(&schema_of::<CommandLine<String>>(), &schema_of::<Parameters>())
    }

    fn job(payload: &str, parameters: &Value) -> JobSpec {
        let document = json!({ "job_id": "a", "type": "x", "worker": "w", "payload": payload, "parameters": parameters });
        JobSpec::parse(&document).unwrap()
    }

    fn rendered(payload: &str, parameters: &Value) -> Result<Rendered, JobError> {
        let (job, start) = (job(payload, parameters), Timestamp::UNIX_EPOCH);
        let id = || JobId::new("a").unwrap();
        let scene = TemplateContext {
            job: job.document.clone(),
            realm: Arc::default(),
            realm_name: "r".to_owned(),
            state: Map::new(),
            run_id: RunId(uuid::Uuid::nil()),
            ts_dispatch: start,
            start,
            lava: LavaGlobals {
                master_job_id: id(),
                master_start: start,
                parent_job_id: id(),
                parent_start: start,
                iteration: 1,
                foreach_index: None,
                master_sent: false,
                parent_sent: false,
            },
            scheduled: None,
            late: None,
            zone: Zone::Utc,
        };
        places().render(&job, &Templates::new(Renderer::default(), scene))
    }

    /// A template in each place of a job, and the result when it is `with` this text.
    fn everywhere(with: &str) -> Value {
        json!({
            "one": with,
            "list": ["x", with],
            "map": { "a/b~c": with, "deep": { "d": [with] } },
            "sources": [
                { "type": "here", "name": with },
                { "type": "there", "name": "{{ left }}", "query": with },
            ],
            "whole": { "e": with },
            "plain": "{{ left }}",
            "vars": { "v": "y" },
        })
    }

    #[test]
    fn every_marked_place_is_rendered_and_no_other() {
        let given = rendered("run \"{{ vars.v }}\" 'b c'", &everywhere("{{ vars.v }}")).unwrap();
        assert_eq!(given.payload, json!(["run", "y", "b c"]));
        assert_eq!(Value::Object(given.parameters), everywhere("y"));
    }

    #[test]
    fn jinja_false_leaves_every_place_as_it_stands() {
        let mut parameters = everywhere("{{ vars.v }}");
        parameters["jinja"] = false.into();
        let given = rendered("run {{ x }}", &parameters).unwrap();
        assert_eq!(
            (given.payload, Value::Object(given.parameters)),
            (json!("run {{ x }}"), parameters.clone())
        );
        assert_eq!(places().check(&job("{{", &everywhere("{{")), &Renderer::default()).len(), 8);
        parameters["one"] = "{{".into();
        assert_eq!(places().check(&job("{{", &parameters), &Renderer::default()), []);
    }

    #[test]
    fn place_of_a_bad_template_or_variable_is_reported() {
        let wanted = [
            "payload",
            "parameters.one",
            "parameters.list[1]",
            "parameters.map[\"a/b~c\"]",
            "parameters.map.deep.d[0]",
            "parameters.sources[0].name",
            "parameters.sources[1].query",
            "parameters.whole.e",
        ];
        let paths = |problems: Vec<Problem>| -> Vec<String> {
            problems.into_iter().map(|problem| problem.path.to_string()).collect()
        };
        let renderer = Renderer::default();
        let advice = places().advise(&job("'{{ no.x }}'", &everywhere("{{ no.x }}")), &renderer);
        assert_eq!(paths(advice), wanted);
        let broken = places().check(&job("a '{{ x'", &everywhere("{{ x")), &renderer);
        // The other text of the list is not a template.
        assert_eq!(paths(broken), wanted);
        let error = rendered("a", &json!({ "list": ["x", "{{ no.x }}"] })).unwrap_err();
        assert!(error.message.starts_with("parameters.list[1]: "), "{error}");
    }

    #[test]
    fn printed_schema_has_no_marks() {
        for schema in [schema_of::<CommandLine<String>>(), schema_of::<Parameters>()] {
            assert!(is_marked(&schema));
            assert!(!is_marked(&unmarked(schema)));
        }
        assert_eq!(structures(&schema_of::<Parameters>()), ["whole"]);
    }
}
