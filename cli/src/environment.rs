//! Environments: spec files that are built with the values of a file, as lava's job framework does (lava guide, Jinja
//! Rendering of Lava Framework Components). The delimiters are `<{ }>`, `<% %>` and `<# #>`, so that the templates of jobs stay.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Serde, Value as TemplateValue, ValueKind};
use minijinja::{
    AutoEscape, Environment as Templates, Error, ErrorKind, UndefinedBehavior, escape_formatter,
};
use pumice_core::ports::Doc;
use pumice_core::secret::seeming_secrets;
use pumice_core::text::quoted;
use serde_json::{Map, Value, json};

use crate::dag_table::{DagTable, Shape};
use crate::failure::{Failure, of_option};
use crate::files::{Unreadable, parse_file, read_text};
use crate::python::method;
use crate::yaml::Part;

/// The names that the framework gives itself.
const OWN_NAMES: [&str; 3] = ["env", "jinja", "lava"];
/// The name under which a file's secrets are allowed.
const ALLOWED: &str = "secret-in-environment";
/// Deepest nesting of includes.
const MAX_NESTED: usize = 64;
/// Most steps that the templates of a file take.
const MAX_STEPS: u64 = 1_000_000;
/// Longest text that a file becomes, in bytes.
const MAX_BUILT: usize = 16 << 20;
/// The values that files are built with.
#[derive(Clone, Debug)]
pub(crate) struct Environment {
    /// The name of its file without the ending.
    name: String,
    /// Its file.
    file: PathBuf,
    values: Map<String, Value>,
    /// The realm's definition, where there is one.
    realm: Option<Doc>,
}

impl Environment {
    /// Reads the file of an environment.
    ///
    /// # Errors
    /// [`Failure`] when it is not an object in JSON or YAML, takes a name of the framework's own, or holds secrets.
    pub(crate) fn read(file: &Path) -> Result<Self, Failure> {
        let wrong = |why: &str| of_option("--env", format!("{}: {why}", file.display()));
        let mut parts = parse_file(file).map_err(|why| wrong(&why.0))?.into_iter();
        let (Some(Part { value: Value::Object(values), allowed }), None) = (parts.next(), parts.next())
        else {
            return Err(wrong("expected one object, with a field for each value"));
        };
        if let Some(name) = OWN_NAMES.iter().find(|name| values.contains_key(**name)) {
            return Err(wrong(&format!("the name {name} is the framework's own: choose another")));
        }
        let of_document = pumice_service::specs::allowed(&values);
        if !allowed.iter().chain(&of_document).any(|name| name == ALLOWED) {
            refuse_secrets(&values).map_err(|why| wrong(&why))?;
        }
        let name = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let file = file.canonicalize().unwrap_or_else(|_| file.to_owned());
        Ok(Self { name, file, values, realm: None })
    }

    /// The same with the definition of the realm that is there, as `lava.realm`.
    pub(crate) fn in_realm(self, realm: Option<Doc>) -> Self {
        Self { realm, ..self }
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether a file is the one of the values themselves.
    pub(crate) fn is_own(&self, file: &Path) -> bool {
        *file == self.file
    }

    /// The builder of the files below a folder.
    pub(crate) fn builder(&self, root: &Path) -> Builder {
        let root: Arc<Path> = root.into();
        let mut templates = Templates::new();
        templates.set_undefined_behavior(UndefinedBehavior::SemiStrict);
        templates.set_auto_escape_callback(|_| AutoEscape::None);
        templates.set_recursion_limit(MAX_NESTED);
        templates.set_fuel(Some(MAX_STEPS));
        let syntax = SyntaxConfig::builder()
            .variable_delimiters("<{", "}>")
            .block_delimiters("<%", "%>")
            .comment_delimiters("<#", "#>")
            .build();
        if let Ok(syntax) = syntax {
            templates.set_syntax(syntax);
        }
        templates.set_formatter(|out, state, value| match value.kind() {
            // lava prints them as Python does, which YAML mostly reads; JSON it always reads.
            ValueKind::Seq | ValueKind::Map | ValueKind::Bool | ValueKind::None => {
                out.write_str(&json_text(value)?).map_err(Error::from)
            }
            _ => escape_formatter(out, state, value),
        });
        templates.add_filter("tojson", |value: TemplateValue| json_text(&value));
        templates.set_unknown_method_callback(|_, value, name, arguments| method(value, name, arguments));
        let below = root.clone();
        templates.set_loader(move |name| load(&below, name));
        Builder { templates, root, environment: self.clone() }
    }
}

/// Builds the files below a folder.
pub(crate) struct Builder {
    templates: Templates<'static>,
    root: Arc<Path>,
    environment: Environment,
}

impl Builder {
    /// The text of a file as it is in the environment.
    ///
    /// # Errors
    /// The mistake, and its line.
    pub(crate) fn build(&self, file: &Path, text: &str) -> Result<String, Unreadable> {
        let name = file.strip_prefix(&self.root).unwrap_or(file).display().to_string();
        let mut built = Bounded { text: Vec::new(), is_full: false };
        let outcome = self.templates.template_from_named_str(&name, text).and_then(|template| {
            template.render_captured_to(Serde(self.context(&name)), &mut built).map(drop)
        });
        if built.is_full {
            return Err(Unreadable(format!("it becomes longer than {} MiB", MAX_BUILT >> 20)));
        }
        outcome.map_err(|error| Unreadable(message_of(&error, &name)))?;
        String::from_utf8(built.text).map_err(|_| Unreadable("it becomes no text".to_owned()))
    }

    fn context(&self, name: &str) -> Map<String, Value> {
        let mut context = self.environment.values.clone();
        context.insert("env".to_owned(), json!(self.environment.name));
        context.insert("jinja".to_owned(), json!({ "templates": [name], "prog": "pumice" }));
        context
    }
}

/// A text that is not longer than [`MAX_BUILT`].
struct Bounded {
    text: Vec<u8>,
    is_full: bool,
}

impl std::io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.text.len() + bytes.len() > MAX_BUILT {
            self.is_full = true;
            return Err(std::io::Error::other("it becomes too long"));
        }
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Builder {
    /// Defines `lava` as the framework does.
    pub(crate) fn with_lava(mut self) -> Self {
        let root = self.root.clone();
        let dag =
            TemplateValue::from_function(move |source: &str, options: Kwargs| dag(&root, source, &options));
        let mut lava = vec![("dag", dag)];
        if let Some(realm) = &self.environment.realm {
            lava.push(("realm", TemplateValue::from(Serde(realm))));
        }
        self.templates.add_global("lava", TemplateValue::from_pairs(lava));
        self
    }
}

/// The payload of a dag as JSON, from a CSV file below the folder.
fn dag(root: &Path, source: &str, options: &Kwargs) -> Result<String, Error> {
    let prefix: Option<String> = options.get("prefix")?;
    let group: Option<String> = options.get("group")?;
    let wrap: Option<String> = options.get("wrap")?;
    let compact: Option<bool> = options.get("compact")?;
    options.assert_all_used()?;
    let bad =
        |why: &str| Error::new(ErrorKind::InvalidOperation, format!("lava.dag({}): {why}", quoted(source)));
    if !Path::new(source).extension().is_some_and(|ending| ending.eq_ignore_ascii_case("csv")) {
        return Err(bad("only CSV files are read, whose names end in .csv"));
    }
    let file = below(root, source).ok_or_else(|| bad("the file must be below the folder of the specs"))?;
    let text = read_text(&file).map_err(|why| bad(&why.0))?;
    let table = DagTable::parse(&text, group.as_deref()).map_err(|why| bad(&why.0))?;
    let shape = Shape { prefix: prefix.unwrap_or_default(), compact: compact.unwrap_or_default(), wrap };
    Ok(table.payload(&shape).to_string())
}

fn json_text(value: &TemplateValue) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|error| {
        Error::new(ErrorKind::BadSerialization, "a value that JSON cannot hold").with_source(error)
    })
}

/// A file below a folder; `None` for a name that leads elsewhere, by links as well.
fn below(root: &Path, name: &str) -> Option<PathBuf> {
    let name = Path::new(name);
    let is_inside = name.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    let file = is_inside.then(|| root.join(name))?;
    match (file.canonicalize(), root.canonicalize()) {
        (Ok(real), Ok(root)) if !real.starts_with(&root) => None,
        _ => Some(file),
    }
}

/// The text of a file that another one includes.
fn load(root: &Path, name: &str) -> Result<Option<String>, Error> {
    let Some(file) = below(root, name) else {
        let message = format!("{} leads out of the folder of the specs", quoted(name));
        return Err(Error::new(ErrorKind::InvalidOperation, message));
    };
    if !file.exists() {
        return Ok(None);
    }
    let bad = |why: Unreadable| Error::new(ErrorKind::InvalidOperation, format!("{}: {why}", file.display()));
    read_text(&file).map(Some).map_err(bad)
}

/// The mistake in a template, in words, and its place.
fn message_of(error: &Error, name: &str) -> String {
    let detail = error.detail().map(|detail| format!(": {detail}")).unwrap_or_default();
    let mut place = error.line().map(|line| format!("line {line}: ")).unwrap_or_default();
    if let Some(other) = error.name().filter(|other| *other != name) {
        place = format!("{other}: {place}");
    }
    let hint = match error.kind() {
        ErrorKind::UndefinedError => " (give it in the file of --env)",
        ErrorKind::OutOfFuel => " (the templates of a file take a million steps at most)",
        _ => "",
    };
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    format!("{place}{}{detail}{cause}{hint}", error.kind())
}

/// Refuses values that are, or by their names seem to be, secrets: what is built with them would have them in the clear.
fn refuse_secrets(values: &Map<String, Value>) -> Result<(), String> {
    match &*seeming_secrets(values) {
        [] => Ok(()),
        [first, rest @ ..] => {
            let more = if rest.is_empty() { String::new() } else { format!(", and {} more", rest.len()) };
            Err(format!(
                "{first} seems to be a secret{more}: specs would have it in the clear. Keep it with `pumice secrets set` and name it in a connection, or in a secure state item; if it is none, write `# pumice: allow {ALLOWED}`"
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Project(tempfile::TempDir);

    impl Project {
        fn new(files: &[(&str, &str)]) -> Self {
            let folder = tempfile::tempdir().unwrap();
            for (name, text) in files {
                let file = folder.path().join(name);
                std::fs::create_dir_all(file.parent().unwrap()).unwrap();
                std::fs::write(file, text).unwrap();
            }
            Self(folder)
        }

        fn build(&self, name: &str, text: &str) -> Result<String, String> {
            let environment = Environment::read(&self.0.path().join("prod.yaml"))
                .map_err(|failure| failure.message().unwrap_or_default().to_owned())?;
            let environment =
                environment.in_realm(json!({ "s3_temp": "s3://bucket/tmp" }).as_object().cloned());
            let builder = environment.builder(self.0.path()).with_lava();
            builder.build(&self.0.path().join(name), text).map_err(|error| error.0)
        }
    }

    #[test]
    fn files_are_built_and_templates_of_jobs_stay() {
        let values =
            "prefix: { job: app }\nowner: null\nlist:\n- { action: log, message: \"{{ job.job_id }}\" }\n";
        let csv = "job,depends_on\nb,a\na,\n";
        let project = Project::new(&[
            ("prod.yaml", values),
            ("_common/part.yaml", "source: <{ source }>\n"),
            ("vars.jinja", "<% set bucket = 'mine' %>"),
            ("dag.csv", csv),
        ]);
        for (text, wanted) in [
            ("id: <{ prefix.job }>/x {{ start }} {% if a %}", "id: app/x {{ start }} {% if a %}"),
            ("<# gone #>a: <{ list }>", "a: [{\"action\":\"log\",\"message\":\"{{ job.job_id }}\"}]"),
            ("<% if env in ('dev', 'uat') %>a<% endif %>", ""),
            ("<% if on_fail %>a<% endif %>b", "b"),
            ("<% set source='s' %><% include '_common/part.yaml' %>", "source: s"),
            ("<% from 'vars.jinja' import bucket %><{ bucket }>", "mine"),
            ("<{ jinja.templates[0].split('/')[1] }>", "load.yaml"),
            ("<{ lava.realm.s3_temp.split('/')[2] }>", "bucket"),
            ("<{ lava.dag('dag.csv', prefix='p/') }>", "{\"p/b\":[\"p/a\"],\"p/a\":[]}"),
            ("<{ prefix.job == 'app' }>", "true"),
            ("<{ owner }> <{ prefix.get('x', 'none') }> <{ 'a b'|tojson }>", "null none \"a b\""),
        ] {
            assert_eq!(project.build("jobs/load.yaml", text).as_deref(), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn missing_or_outside_file_is_refused_with_its_line() {
        let project = Project::new(&[("prod.yaml", "a: 1\n"), ("bad.yaml", "\n<{ none_such }>")]);
        for (text, wanted) in [
            ("a\n<{ missing }>", "line 2: undefined value"),
            ("<{ a.b.c }>", "line 1: "),
            ("<{ lava.aws.account }>", "undefined value"),
            ("<% include '../secret.yaml' %>", "leads out of the folder"),
            ("<% include '/etc/hostname' %>", "leads out of the folder"),
            ("<% include 'nothing.yaml' %>", "nothing.yaml"),
            ("<% include 'bad.yaml' %>", "`none_such` is undefined (in bad.yaml:2)"),
            ("<{ lava.dag('dag.xlsx') }>", "only CSV files are read"),
            ("<{ lava.dag('../dag.csv') }>", "must be below the folder"),
            ("<% if %>", "line 1: "),
            (
                "<% for i in range(99999) %><% for j in range(99999) %><% endfor %><% endfor %>",
                "a million steps",
            ),
            (
                "<% set x = 'aaaaaaaaaa' * 100000 %><% for j in range(99) %><{ x }><% endfor %>",
                "longer than 16 MiB",
            ),
        ] {
            let refused = project.build("a.yaml", text).unwrap_err();
            assert!(refused.contains(wanted), "{text}: {refused}");
        }
    }

    #[test]
    fn link_that_leads_out_of_the_folder_is_not_followed() {
        let project = Project::new(&[("prod.yaml", "a: 1\n"), ("_common/x", "x")]);
        let elsewhere = Project::new(&[("other", "theirs")]);
        std::os::unix::fs::symlink(elsewhere.0.path().join("other"), project.0.path().join("_common/l"))
            .unwrap();
        std::os::unix::fs::symlink("x", project.0.path().join("_common/own")).unwrap();
        assert_eq!(project.build("a.yaml", "<% include '_common/own' %>").as_deref(), Ok("x"));
        let refused = project.build("a.yaml", "<% include '_common/l' %>").unwrap_err();
        assert!(refused.contains("leads out of the folder"), "{refused}");
    }

    #[test]
    fn environment_with_a_secret_is_refused_with_a_way_out() {
        for (values, wanted) in [
            ("db: { password: hunter2 }", Some("db.password seems to be a secret")),
            ("tokens: [x]\nslack_token: xoxb-1", Some("tokens[0] seems to be a secret, and 1 more")),
            ("tokens: [abc]", Some("tokens[0] seems to be a secret")),
            ("access_key: abc", Some("access_key seems to be a secret")),
            ("AccessKey: abc", Some("AccessKey seems to be a secret")),
            ("credential: abc", Some("credential seems to be a secret")),
            ("auth: Bearer 0123456789abcdef", Some("auth seems to be a secret")),
            ("db: Server=x;Password=foo;", Some("db seems to be a secret")),
            ("x: aws_secret_access_key=wJalrXUtnFEMI", Some("x seems to be a secret")),
            ("url: https://host/?page=1&access_token=abc", Some("url seems to be a secret")),
            ("run: load --password=hunter2", Some("run seems to be a secret")),
            ("run: load --password=$PASSWORD --size=3\nauth: basic\nnote: bearer of news", None),
            (
                "list:\n- { api_key: k }\n- { secret: s }",
                Some("list[0].api_key seems to be a secret, and 1 more"),
            ),
            ("url: postgres://user:pw@host/db", Some("url seems to be a secret")),
            ("id: AKIAIOSFODNN7EXAMPLE", Some("id seems to be a secret")),
            ("key: |\n  -----BEGIN RSA PRIVATE KEY-----\n", Some("key seems to be a secret")),
            ("db_pass: hunter2", Some("db_pass seems to be a secret")),
            ("password: /hunter2", Some("password seems to be a secret")),
            ("gh: ghp_0123456789012345678901234567890123456", Some("gh seems to be a secret")),
            ("a: https://hooks.slack.com/services/T0/B0/abcdef", Some("a seems to be a secret")),
            ("a: eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.abc", Some("a seems to be a secret")),
            ("a: task-x sk-0123456789abcdefghijklmnop", Some("a seems to be a secret")),
            ("dbpass: abcdefghijk", Some("dbpass seems to be a secret")),
            (
                "settings: [{ name: db_password, value: sjdk3hdkj }, { key: size, value: 3 }]",
                Some("settings[0].value seems to be a secret"),
            ),
            ("sas: sv=2024-01-01&sr=c&sig=abcdefghijk%3D", Some("sas seems to be a secret")),
            ("key: wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", Some("key seems to be a secret")),
            ("apikey: 2349234", Some("apikey seems to be a secret")),
            ("rev: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b\npassword_length: 12\nsignal: sig=term", None),
            ("compass: north\nbypass: true\nname: task-sk-report", None),
            ("lava: { x: 1 }", Some("the name lava is the framework's own")),
            ("- a", Some("expected one object")),
            (
                "password: /lava/prod/db\nsecret_id: prod/db\nsecret_arn: arn:aws:x\ntoken: ''\nmax_tokens: 5",
                None,
            ),
            ("url: https://user@host/\ndb: postgres://u:{{ state.pw }}@h/d", None),
            ("# pumice: allow secret-in-environment\ntoken: of a parser\n", None),
            ("x-allow: secret-in-environment\ntoken: of a parser\n", None),
        ] {
            let outcome = Project::new(&[("prod.yaml", values)]).build("a.yaml", "");
            match wanted {
                None => assert_eq!(outcome.as_deref(), Ok(""), "{values}"),
                Some(wanted) => {
                    assert!(outcome.as_ref().is_err_and(|e| e.contains(wanted)), "{values}: {outcome:?}")
                }
            }
        }
    }
}
