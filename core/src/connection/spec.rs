//! A connection's document, read and checked.

use std::sync::Arc;

use async_trait::async_trait;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::fields::{
    Attribute, AttributeType, AwsFields, DatabaseFields, EmailFields, GenericFields, HookFields, SlackFields,
    SshFields, Subtype,
};
use crate::address::url_fault;
use crate::ids::ConnId;
use crate::ports::{Doc, JobChange, StoreError};
use crate::problem::{JsonPath, Problem, SpecError, did_you_mean};
use crate::schema::{self, is_own, schema_of};
use crate::text::quoted;

/// The family of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// PostgreSQL.
    Postgres,
    /// Redshift, which speaks PostgreSQL's protocol.
    Redshift,
    /// MySQL and MariaDB.
    Mysql,
    /// Oracle.
    Oracle,
    /// SQL Server.
    Mssql,
    /// SQLite.
    Sqlite,
}

/// A type of connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Database { family: Family, has_tokens: bool },
    Generic,
    Aws,
    Ssh,
    Email,
    Slack,
    Webhook,
}

const fn database(family: Family, has_tokens: bool) -> Type {
    Type::Database { family, has_tokens }
}

/// Every type, by lava's names, and `webhook`.
const ALL: [(&str, Type); 26] = [
    ("psql", database(Family::Postgres, false)),
    ("postgresql", database(Family::Postgres, false)),
    ("postgres", database(Family::Postgres, false)),
    ("postgres-aurora", database(Family::Postgres, true)),
    ("postgres-rds", database(Family::Postgres, true)),
    ("redshift", database(Family::Redshift, true)),
    ("redshift-serverless", database(Family::Redshift, true)),
    ("mysql", database(Family::Mysql, false)),
    ("mariadb", database(Family::Mysql, false)),
    ("mysql-aurora", database(Family::Mysql, true)),
    ("mysql-rds", database(Family::Mysql, true)),
    ("mariadb-rds", database(Family::Mysql, true)),
    ("oracle", database(Family::Oracle, false)),
    ("oracle-rds", database(Family::Oracle, false)),
    ("mssql", database(Family::Mssql, false)),
    ("sqlite3", database(Family::Sqlite, false)),
    ("generic", Type::Generic),
    ("aws", Type::Aws),
    ("ssh", Type::Ssh),
    ("scp", Type::Ssh),
    ("sftp", Type::Ssh),
    ("git", Type::Ssh),
    ("email", Type::Email),
    ("ses", Type::Email),
    ("slack", Type::Slack),
    ("webhook", Type::Webhook),
];

/// The names of all types.
pub const TYPES: [&str; ALL.len()] = {
    let mut names = [""; ALL.len()];
    let mut index = 0;
    while index < ALL.len() {
        names[index] = ALL[index].0;
        index += 1;
    }
    names
};

/// The fields of a connection, by what it connects to.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// A database. `has_tokens` says whether IAM gives a password for it.
    Database {
        /// Its fields.
        fields: Box<DatabaseFields>,
        /// Its family.
        family: Family,
        /// Whether IAM gives a password where none is named.
        has_tokens: bool,
    },
    /// Values by name.
    Generic(Box<GenericFields>),
    /// AWS.
    Aws(Box<AwsFields>),
    /// A host by SSH.
    Ssh(Box<SshFields>),
    /// A way to send e-mail.
    Email(Box<EmailFields>),
    /// A channel of Slack.
    Slack(Box<SlackFields>),
    /// A server that takes requests.
    Webhook(Box<HookFields>),
}

/// A connection: one item of the connections table (lava guide, The Connections Table).
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectionSpec {
    /// Its id.
    pub conn_id: ConnId,
    /// Its type, in small letters.
    pub r#type: &'static str,
    /// Whether it may be used.
    pub enabled: bool,
    /// Its fields.
    pub kind: Kind,
    /// The document as given.
    pub document: Arc<Doc>,
}

/// Whether unknown fields are mistakes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    Given,
    Stored,
}

impl ConnectionSpec {
    /// Reads and checks a document as people give it.
    ///
    /// # Errors
    /// [`SpecError`] with every mistake.
    pub fn parse(document: &Value) -> Result<Self, SpecError> {
        Self::read(document, Reading::Given)
    }

    /// Reads a stored document. lava's users write to the table with tools of their own: fields that Pumice does not know
    /// are passed over.
    ///
    /// # Errors
    /// [`SpecError`] with every mistake in the fields that it knows.
    pub fn stored(document: Doc) -> Result<Self, SpecError> {
        Self::read(&Value::Object(document), Reading::Stored)
    }

    fn read(document: &Value, reading: Reading) -> Result<Self, SpecError> {
        let (name, of) = type_of(document)?;
        let kind = match of {
            Type::Database { family, has_tokens } => {
                Kind::Database { fields: fields(document, reading)?, family, has_tokens }
            }
            Type::Generic => Kind::Generic(fields(document, reading)?),
            Type::Aws => Kind::Aws(fields(document, reading)?),
            Type::Ssh => Kind::Ssh(fields(document, reading)?),
            Type::Email => Kind::Email(fields(document, reading)?),
            Type::Slack => Kind::Slack(fields(document, reading)?),
            Type::Webhook => Kind::Webhook(fields(document, reading)?),
        };
        let (conn_id, enabled) = match &kind {
            Kind::Database { fields, .. } => (&fields.conn_id, fields.enabled),
            Kind::Generic(fields) => (&fields.conn_id, fields.enabled),
            Kind::Aws(fields) => (&fields.conn_id, fields.enabled),
            Kind::Ssh(fields) => (&fields.conn_id, fields.enabled),
            Kind::Email(fields) => (&fields.conn_id, fields.enabled),
            Kind::Slack(fields) => (&fields.conn_id, fields.enabled),
            Kind::Webhook(fields) => (&fields.conn_id, fields.enabled),
        };
        let document = Arc::new(document.as_object().cloned().unwrap_or_default());
        let spec = Self { conn_id: conn_id.clone(), r#type: name, enabled, kind, document };
        SpecError::check(spec.mistakes(name))?;
        if reading == Reading::Given {
            SpecError::check(id_mistake(&spec.conn_id))?;
        }
        Ok(spec)
    }

    /// Mistakes between fields.
    fn mistakes(&self, name: &str) -> Vec<Problem> {
        let missing = |field: &str, why: &str| {
            Problem::new(JsonPath::root(), format!("the field {field:?} is missing{why}"))
        };
        match &self.kind {
            Kind::Database { fields, family, has_tokens } => database_mistakes(fields, *family, *has_tokens),
            Kind::Generic(fields) => generic_mistakes(fields),
            Kind::Aws(fields) if fields.access_keys.is_none() && fields.role_arn.is_none() => {
                vec![missing("access_keys", ", and so is \"role_arn\": one of them is needed")]
            }
            Kind::Email(fields) => {
                let subtype = fields.subtype.filter(|_| name == "email");
                let is_smtp = subtype == Some(Subtype::Smtp);
                let mut mistakes = Vec::new();
                if is_smtp && fields.host.is_none() {
                    mistakes.push(missing("host", ": the subtype is smtp"));
                }
                if fields.user.is_some() && fields.password.is_none() {
                    mistakes.push(missing("password", ": a user is given"));
                }
                mistakes
            }
            Kind::Slack(fields) => url_mistake("webhook_url", fields.webhook_url.as_str()),
            Kind::Webhook(fields) => url_mistake("url", fields.url.as_str()),
            Kind::Aws(_) | Kind::Ssh(_) => Vec::new(),
        }
    }

    /// Warnings about a document that is valid but probably unintended.
    #[must_use]
    pub fn advice(&self) -> Vec<Problem> {
        let root = JsonPath::root();
        let mut advice = Vec::new();
        if let Some(password) = self.document.get("password").and_then(Value::as_str)
            && !password.starts_with('/')
            && password.contains([' ', '!', '$', '%', '&', '*', '#', '?'])
        {
            let message = "the field names a secret, and this looks like the secret itself";
            let warning = Problem::warning("secret-in-spec", root.field("password"), message);
            advice.push(warning.with_hint("put it with `pumice secrets set NAME`, and name it here"));
        }
        advice
    }
}

fn id_mistake(id: &ConnId) -> Vec<Problem> {
    let problem =
        |error: crate::ids::BadName| Problem::new(JsonPath::root().field("conn_id"), error.to_string());
    ConnId::new(id.as_str()).err().map(problem).into_iter().collect()
}

/// The type that a document names, in whatever case, as lava reads it.
fn type_of(document: &Value) -> Result<(&'static str, Type), SpecError> {
    let root = JsonPath::root();
    let wrong = |message: String| SpecError::one(Problem::new(root.field("type"), message));
    let Some(fields) = document.as_object() else {
        return Err(SpecError::one(Problem::new(root.clone(), "a connection is an object")));
    };
    let Some(given) = fields.get("type") else {
        return Err(SpecError::one(Problem::new(root.clone(), "the field \"type\" is missing")));
    };
    let Some(name) = given.as_str() else { return Err(wrong("expected a string".to_owned())) };
    let small = name.to_lowercase();
    ALL.iter().find(|(known, _)| *known == small).copied().ok_or_else(|| {
        let mut error = wrong(format!("{} is not a type of connection: {}", quoted(name), TYPES.join(", ")));
        if let (Some(problem), Some(hint)) = (error.problems.first_mut(), did_you_mean(&small, TYPES)) {
            problem.hint = Some(hint);
        }
        error
    })
}

fn fields<T: schemars::JsonSchema + DeserializeOwned>(
    document: &Value,
    reading: Reading,
) -> Result<Box<T>, SpecError> {
    if reading == Reading::Given {
        return schema::read_known(&schema::schema_of::<T>(), document).map(Box::new);
    }
    let schema = schema_of::<T>();
    let properties = schema["properties"].as_object();
    let known = document
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(name, _)| !is_own(name) && properties.is_none_or(|known| known.contains_key(*name)));
    let known: Map<String, Value> = known.map(|(name, value)| (name.clone(), value.clone())).collect();
    schema::read(&Value::Object(known)).map(Box::new)
}

fn database_mistakes(fields: &DatabaseFields, family: Family, has_tokens: bool) -> Vec<Problem> {
    let missing = |field: &str| Problem::new(JsonPath::root(), format!("the field {field:?} is missing"));
    if let Some(host) = fields.host.as_ref().filter(|_| family == Family::Sqlite)
        && let Some(why) = bad_sqlite_file(host.as_str())
    {
        return vec![Problem::new(JsonPath::root().field("host"), why)];
    }
    // Secrets Manager may have the rest.
    if fields.secret_id.is_some() {
        return Vec::new();
    }
    let mut wanted = vec![("host", fields.host.is_some())];
    if family != Family::Sqlite {
        wanted.push(("port", fields.port.is_some()));
        let names_itself =
            fields.r#type.eq_ignore_ascii_case("redshift-serverless") && fields.password.is_none();
        wanted.push(("user", fields.user.is_some() || names_itself));
        wanted.push(("password", fields.password.is_some() || has_tokens));
    }
    match family {
        Family::Postgres | Family::Redshift | Family::Mssql => {
            wanted.push(("database", fields.database.is_some()));
        }
        Family::Oracle => {
            let named = fields.service_name.is_some() || fields.sid.is_some() || fields.database.is_some();
            wanted.push(("service_name", named));
        }
        Family::Mysql | Family::Sqlite => {}
    }
    wanted.into_iter().filter(|(_, is_there)| !is_there).map(|(field, _)| missing(field)).collect()
}

/// Why a text cannot be the file of a SQLite database. A relative path would be another file in each process and job.
pub(super) fn bad_sqlite_file(file: &str) -> Option<String> {
    let is_right = file.starts_with('/') || file.starts_with("s3://");
    (!is_right).then(|| format!("{} is not an absolute path: write /srv/db.sqlite", quoted(file)))
}

/// Longest name of a value of a generic connection, in bytes: it is a file's name.
const MAX_ATTRIBUTE: usize = 200;

fn generic_mistakes(fields: &GenericFields) -> Vec<Problem> {
    let path = JsonPath::root().field("attributes");
    let mut mistakes = Vec::new();
    for (name, attribute) in &fields.attributes {
        let mut bytes = name.bytes();
        let begins = bytes.next().is_some_and(|first| first.is_ascii_alphabetic());
        if !begins
            || name.len() > MAX_ATTRIBUTE
            || bytes.any(|b| !(b.is_ascii_alphanumeric() || b == b'_' || b == b'-'))
        {
            let message = format!(
                "the name {} must begin with a letter, and have letters, digits, _ and - only, {MAX_ATTRIBUTE} at most",
                quoted(name)
            );
            mistakes.push(Problem::new(path.field(name), message));
        }
        if let Attribute::Typed(typed) = attribute {
            let (wanted, is_right) = match typed.r#type {
                AttributeType::Local => ("value", typed.value.is_some() && typed.parameter.is_none()),
                AttributeType::Ssm => ("parameter", typed.parameter.is_some() && typed.value.is_none()),
            };
            if !is_right {
                let message = format!("a value of this type has the field {wanted:?}, and no other");
                mistakes.push(Problem::new(path.field(name), message));
            }
        }
    }
    mistakes
}

/// Whether a text is a URL itself, and not the name of the secret that is one.
pub(super) fn is_url(text: &str) -> bool {
    let scheme = text.get(..8).unwrap_or(text).to_ascii_lowercase();
    scheme.starts_with("https://") || scheme.starts_with("http://")
}

fn url_mistake(field: &str, text: &str) -> Vec<Problem> {
    let wrong = |message: String| vec![Problem::new(JsonPath::root().field(field), message)];
    match text.split_once("://") {
        Some((scheme, _)) if !is_url(text) => wrong(format!("the scheme {scheme}: is not http: or https:")),
        Some(_) => url_fault(text).map(wrong).unwrap_or_default(),
        None => Vec::new(),
    }
}

/// The JSON Schema of a connection, for editors: one branch for each family of types.
#[must_use]
pub fn connection_schema() -> Value {
    let families = [
        (
            schema_of::<DatabaseFields>(),
            ALL.iter()
                .filter(|(_, of)| matches!(of, Type::Database { .. }))
                .map(|(name, _)| *name)
                .collect::<Vec<_>>(),
        ),
        (schema_of::<GenericFields>(), vec!["generic"]),
        (schema_of::<AwsFields>(), vec!["aws"]),
        (schema_of::<SshFields>(), vec!["ssh", "scp", "sftp", "git"]),
        (schema_of::<EmailFields>(), vec!["email", "ses"]),
        (schema_of::<SlackFields>(), vec!["slack"]),
        (schema_of::<HookFields>(), vec!["webhook"]),
    ];
    let mut definitions = Map::new();
    let mut branches = Vec::new();
    for (mut schema, types) in families {
        if let Some(Value::Object(own)) = schema.as_object_mut().and_then(|schema| schema.remove("$defs")) {
            definitions.extend(own);
        }
        if let Some(fields) = schema.as_object_mut() {
            fields.remove("$schema");
        }
        schema["properties"]["type"]["enum"] = types.into();
        branches.push(schema);
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Connection",
        "anyOf": branches,
        "$defs": definitions,
    })
}

/// One connection that was put: its id, what changed, and the document that was there before.
#[derive(Clone, Debug)]
pub struct ConnectionUpsert {
    /// The connection.
    pub conn_id: ConnId,
    /// The change.
    pub change: JobChange,
    /// The document that was there before.
    pub before: Option<Doc>,
}

/// Where the documents of connections are kept.
#[async_trait]
pub trait ConnectionStore: Send + Sync {
    /// The document of a connection.
    async fn connection(&self, id: &ConnId) -> Result<Option<Doc>, StoreError>;
    /// Every connection's document, by id.
    async fn all_connections(&self) -> Result<Vec<(ConnId, Doc)>, StoreError>;
    /// Puts connections; says what changed. Nothing is written on a `dry_run`.
    async fn put_connections(
        &self,
        connections: Vec<ConnectionSpec>,
        dry_run: bool,
    ) -> Result<Vec<ConnectionUpsert>, StoreError>;
    /// Removes a connection; says whether it was there.
    async fn delete_connection(&self, id: &ConnId) -> Result<bool, StoreError>;
}

/// There are no connections, and none can be put.
#[derive(Clone, Copy, Debug)]
pub struct NoConnections;

#[async_trait]
impl ConnectionStore for NoConnections {
    async fn connection(&self, _: &ConnId) -> Result<Option<Doc>, StoreError> {
        Ok(None)
    }

    async fn all_connections(&self) -> Result<Vec<(ConnId, Doc)>, StoreError> {
        Ok(Vec::new())
    }

    async fn put_connections(
        &self,
        _: Vec<ConnectionSpec>,
        _: bool,
    ) -> Result<Vec<ConnectionUpsert>, StoreError> {
        Err(StoreError::invalid("connections are not kept here"))
    }

    async fn delete_connection(&self, _: &ConnId) -> Result<bool, StoreError> {
        Ok(false)
    }
}
