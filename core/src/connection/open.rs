//! A connection with its secrets looked up.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::fields::{
    Attribute, AttributeType, AwsFields, DatabaseFields, EmailFields, GenericFields, HookFields, SlackFields,
    SlackStyle, SshFields, Subtype, Value as Plain,
};
use super::secrets::{AwsKeys, RoleRequest, Secrets, TokenRequest};
use super::spec::{ConnectionSpec, ConnectionStore, Family, Kind, bad_sqlite_file, is_url};
use crate::duration::Span;
use crate::ids::{ConnId, FieldText, SecretName};
use crate::ports::StoreError;
use crate::problem::{SpecError, did_you_mean};
use crate::secret::{SecretText, remember_parts};
use crate::text::quoted;

/// How long the session of a role holds by default (lava guide, Connection type: aws).
const ROLE_DURATION: Span = Span::from_secs(3 * 60 * 60);
/// Longest name of a role's session, in characters (STS, AssumeRole).
const MAX_SESSION_NAME: usize = 64;

/// A connection that cannot be used. Messages name secrets, and never hold one.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ConnectionError {
    /// There is no such connection.
    #[error("there is no connection {}{}", quoted(id.as_str()), hint.as_deref().map(|h| format!(" ({h})")).unwrap_or_default())]
    Missing {
        /// The id that was asked for.
        id: ConnId,
        /// The nearest one that exists.
        hint: Option<String>,
    },
    /// It is not enabled.
    #[error("connection {} is not enabled", quoted(.0.as_str()))]
    NotEnabled(ConnId),
    /// Its document is invalid.
    #[error("connection {} has an invalid spec: {error}", quoted(id.as_str()))]
    BadSpec {
        /// The connection.
        id: ConnId,
        /// The mistakes.
        error: SpecError,
    },
    /// Its secrets do not say what is needed.
    #[error("connection {}: {why}", quoted(id.as_str()))]
    Incomplete {
        /// The connection.
        id: ConnId,
        /// The missing part.
        why: String,
    },
    /// A store did not answer rightly: the connections', or that of a secret.
    #[error("connection {}: {error}", quoted(id.as_str()))]
    Store {
        /// The connection.
        id: ConnId,
        /// The store's error.
        error: StoreError,
    },
}

/// A database, and the user that logs in.
#[derive(Clone, Debug, PartialEq)]
pub struct Login {
    /// The family of the database.
    pub family: Family,
    /// The host; for SQLite the file.
    pub host: String,
    /// The port; 0 for SQLite.
    pub port: u16,
    /// The database.
    pub database: Option<String>,
    /// The user; empty for SQLite.
    pub user: String,
    /// The password; `None` for SQLite.
    pub password: Option<SecretText>,
    /// Whether the password is a token of IAM, which only encrypted connections take.
    pub is_token: bool,
    /// Whether the connection must be encrypted.
    pub ssl: bool,
    /// The file of certificates to trust.
    pub ca_cert: Option<String>,
    /// Oracle: the service.
    pub service_name: Option<String>,
    /// Oracle: the system identifier.
    pub sid: Option<String>,
    /// Oracle: the edition.
    pub edition: Option<String>,
    /// SQL Server: how long to wait for the login, in seconds.
    pub timeout: Option<u16>,
}

/// A private key for SSH.
#[derive(Clone, Debug, PartialEq)]
pub struct SshLogin {
    /// The key, with line breaks.
    pub key: SecretText,
    /// Options for `-o`.
    pub options: Vec<String>,
}

/// Keys for AWS's command line.
#[derive(Clone, Debug, PartialEq)]
pub struct AwsLogin {
    /// The keys.
    pub keys: AwsKeys,
    /// The region.
    pub region: Option<String>,
}

/// A server that takes e-mail.
#[derive(Clone, Debug, PartialEq)]
pub struct MailServer {
    /// The host.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Whether the connection must be encrypted.
    pub tls: bool,
    /// The file of certificates to trust besides those of the web.
    pub ca_cert: Option<String>,
    /// The user and the password.
    pub login: Option<(String, SecretText)>,
}

/// A way to send e-mail.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mailer {
    /// The SMTP server; `None` for SES.
    pub server: Option<MailServer>,
    /// The sender.
    pub from: Option<String>,
    /// Where answers go.
    pub reply_to: Vec<String>,
    /// Where what cannot be delivered is returned to.
    pub return_path: Option<String>,
    /// SES: the region.
    pub region: Option<String>,
    /// SES: the configuration set.
    pub configuration_set: Option<String>,
}

/// A channel of Slack.
#[derive(Clone, Debug, PartialEq)]
pub struct SlackHook {
    /// The URL of the incoming webhook: its holder can post.
    pub url: SecretText,
    /// The sender that messages show.
    pub from: Option<String>,
    /// How messages look.
    pub style: SlackStyle,
    /// The colour of the bar.
    pub colour: Option<String>,
    /// The beginning of messages.
    pub preamble: Option<String>,
}

/// A server that takes requests.
#[derive(Clone, Debug, PartialEq)]
pub struct Hook {
    /// The URL.
    pub url: SecretText,
    /// Headers of each request.
    pub headers: BTreeMap<String, SecretText>,
    /// The secret that requests are signed with.
    pub secret: Option<SecretText>,
}

/// An opened connection.
#[derive(Clone, Debug, PartialEq)]
pub enum Opened {
    /// A database.
    Database(Box<Login>),
    /// Values by name.
    Generic(BTreeMap<String, SecretText>),
    /// AWS.
    Aws(AwsLogin),
    /// A host by SSH.
    Ssh(SshLogin),
    /// A way to send e-mail.
    Email(Box<Mailer>),
    /// A channel of Slack.
    Slack(Box<SlackHook>),
    /// A server that takes requests.
    Webhook(Box<Hook>),
}

/// A connection with its secrets looked up.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenedConnection {
    /// Its id.
    pub conn_id: ConnId,
    /// Its type, in small letters.
    pub r#type: &'static str,
    /// The opened connection.
    pub what: Opened,
}

/// Opens connections.
#[derive(Clone, Copy)]
pub struct Connections<'a> {
    /// Their documents.
    pub store: &'a dyn ConnectionStore,
    /// Their secrets.
    pub secrets: &'a dyn Secrets,
}

impl Connections<'_> {
    /// Reads a connection, and looks its secrets up.
    ///
    /// # Errors
    /// [`ConnectionError`] when there is no such connection, it is not enabled, it is invalid, or a secret cannot be had.
    pub async fn open(&self, id: &ConnId) -> Result<OpenedConnection, ConnectionError> {
        let store = |error| ConnectionError::Store { id: id.clone(), error };
        let document = self.store.connection(id).await.map_err(store)?;
        let Some(document) = document else { return Err(self.missing(id).await) };
        let spec = ConnectionSpec::stored(document);
        let spec = spec.map_err(|error| ConnectionError::BadSpec { id: id.clone(), error })?;
        self.resolve(&spec).await
    }

    /// The error that names the connection which may have been meant, where this process may look at all.
    async fn missing(&self, id: &ConnId) -> ConnectionError {
        let all = self.store.all_connections().await.unwrap_or_default();
        let hint = did_you_mean(id.as_str(), all.iter().map(|(id, _)| id.as_str()));
        ConnectionError::Missing { id: id.clone(), hint }
    }

    /// Looks the secrets of a connection up.
    ///
    /// # Errors
    /// [`ConnectionError`] when it is not enabled, or a secret cannot be had.
    pub async fn resolve(&self, spec: &ConnectionSpec) -> Result<OpenedConnection, ConnectionError> {
        let id = &spec.conn_id;
        if !spec.enabled {
            return Err(ConnectionError::NotEnabled(id.clone()));
        }
        let found = match &spec.kind {
            Kind::Database { fields, family, has_tokens } => {
                self.database(fields, *family, has_tokens.then_some(spec.r#type)).await
            }
            Kind::Generic(fields) => self.generic(fields).await,
            Kind::Aws(fields) => self.aws(fields).await,
            Kind::Ssh(fields) => self.ssh(fields).await,
            Kind::Email(fields) => self.email(fields, spec.r#type).await,
            Kind::Slack(fields) => self.slack(fields).await,
            Kind::Webhook(fields) => self.webhook(fields).await,
        };
        let what = found.map_err(|why| match why {
            Why::Incomplete(why) => ConnectionError::Incomplete { id: id.clone(), why },
            Why::Store(error) => ConnectionError::Store { id: id.clone(), error },
        })?;
        Ok(OpenedConnection { conn_id: id.clone(), r#type: spec.r#type, what })
    }

    async fn database(
        &self,
        fields: &DatabaseFields,
        family: Family,
        tokens: Option<&'static str>,
    ) -> Result<Opened, Why> {
        let more = match &fields.secret_id {
            Some(name) => self.managed(name).await?,
            None => Map::new(),
        };
        let host = text_or(fields.host.as_ref(), &more, "host").ok_or_else(|| lacking("host"))?;
        let mut login = Login {
            family,
            host,
            port: 0,
            database: text_or(fields.database.as_ref(), &more, "dbname"),
            user: text_or(fields.user.as_ref(), &more, "username").unwrap_or_default(),
            password: None,
            is_token: false,
            ssl: fields.ssl.unwrap_or(false),
            ca_cert: fields.ca_cert.as_ref().map(FieldText::to_string),
            service_name: text_or(fields.service_name.as_ref(), &more, "serviceName"),
            sid: text_or(fields.sid.as_ref(), &more, "sid"),
            edition: fields.edition.as_ref().map(FieldText::to_string),
            timeout: fields.timeout.and_then(|timeout| u16::try_from(timeout.get()).ok()),
        };
        if family == Family::Sqlite {
            if let Some(why) = bad_sqlite_file(&login.host) {
                return Err(Why::Incomplete(why));
            }
            return Ok(Opened::Database(Box::new(login)));
        }
        login.port = port_or(fields.port.map(|port| port.get()), &more)?;
        login.password = match (&fields.password, more.get("password")) {
            (Some(name), _) => Some(self.secrets.parameter(name).await?),
            (None, Some(Value::String(password))) => Some(SecretText::new(password)),
            (None, _) => None,
        };
        let needs_database = matches!(family, Family::Postgres | Family::Redshift | Family::Mssql);
        if needs_database && login.database.is_none() {
            return Err(lacking("database"));
        }
        match (&login.password, tokens) {
            (Some(_), _) => {}
            (None, None) => return Err(lacking("password")),
            (None, Some(kind)) => self.token(&mut login, fields, kind).await?,
        }
        if login.user.is_empty() {
            return Err(lacking("user"));
        }
        Ok(Opened::Database(Box::new(login)))
    }

    /// User and password as IAM gives them (lava guide, Connection type: postgres-aurora, redshift, …).
    async fn token(&self, login: &mut Login, fields: &DatabaseFields, kind: &'static str) -> Result<(), Why> {
        let first = || login.host.split('.').next().unwrap_or_default().to_owned();
        let group = if kind == "redshift-serverless" { &fields.workgroup } else { &fields.cluster_id };
        if kind != "redshift-serverless" && login.user.is_empty() {
            return Err(lacking("user"));
        }
        let request = TokenRequest {
            kind,
            host: login.host.clone(),
            port: login.port,
            user: Some(login.user.clone()).filter(|user| !user.is_empty()),
            database: login.database.clone(),
            group: group.as_ref().map_or_else(first, FieldText::to_string),
            duration: fields.password_duration,
            region: fields.region.as_ref().map(FieldText::to_string),
        };
        let (user, password) = self.secrets.database_token(&request).await?;
        (login.user, login.password, login.is_token) = (user, Some(password), true);
        // A token lets every reader of it log in.
        login.ssl = true;
        Ok(())
    }

    async fn generic(&self, fields: &GenericFields) -> Result<Opened, Why> {
        let mut values = BTreeMap::new();
        for (name, attribute) in &fields.attributes {
            let value = match attribute {
                Attribute::Plain(plain) => plain_text(plain),
                Attribute::Typed(typed) => match (typed.r#type, &typed.value, &typed.parameter) {
                    (AttributeType::Ssm, _, Some(parameter)) => self.secrets.parameter(parameter).await?,
                    (_, Some(plain), _) => plain_text(plain),
                    _ => return Err(lacking(name)),
                },
            };
            values.insert(name.clone(), value);
        }
        Ok(Opened::Generic(values))
    }

    async fn aws(&self, fields: &AwsFields) -> Result<Opened, Why> {
        let region = fields.region.as_ref().map(FieldText::to_string);
        if let Some(name) = &fields.access_keys {
            let text = self.secrets.parameter(name).await?;
            let Some((id, key)) = text.reveal().trim().split_once(',') else {
                let why = format!("secret {name} must be access_key_id,secret_access_key");
                return Err(Why::Incomplete(why));
            };
            let keys = AwsKeys {
                access_key_id: SecretText::new(id.trim()),
                secret_access_key: SecretText::new(key.trim()),
                session_token: None,
            };
            return Ok(Opened::Aws(AwsLogin { keys, region }));
        }
        let external_id = match &fields.external_id {
            Some(name) => Some(self.secrets.parameter(name).await?),
            None => None,
        };
        let role_arn = fields.role_arn.as_ref().ok_or_else(|| lacking("role_arn"))?.to_string();
        let request = RoleRequest {
            role_arn,
            session_name: session_name(&fields.conn_id),
            external_id,
            duration: fields.duration.unwrap_or(ROLE_DURATION),
            policy_arns: fields.policy_arns.iter().flat_map(|arns| arns.iter()).map(str::to_owned).collect(),
            policy: fields.policy.clone(),
            tags: fields.tags.iter().flatten().map(|(name, tag)| (name.clone(), tag.to_string())).collect(),
            region: region.clone(),
        };
        Ok(Opened::Aws(AwsLogin { keys: self.secrets.assume_role(&request).await?, region }))
    }

    async fn ssh(&self, fields: &SshFields) -> Result<Opened, Why> {
        let key = self.secrets.parameter(&fields.ssh_key).await?;
        let options = fields.ssh_options.iter().flatten().map(FieldText::to_string).collect();
        Ok(Opened::Ssh(SshLogin { key: key_of_lines(&key), options }))
    }

    async fn email(&self, fields: &EmailFields, kind: &str) -> Result<Opened, Why> {
        let is_smtp = match fields.subtype.filter(|_| kind == "email") {
            Some(subtype) => subtype == Subtype::Smtp,
            // lava goes by SES then, whatever host is given.
            None => kind == "email" && fields.host.is_some(),
        };
        let owned = |text: &Option<FieldText>| text.as_ref().map(FieldText::to_string);
        let server = match (&fields.host, is_smtp) {
            (Some(host), true) => {
                let tls = fields.tls.unwrap_or(false);
                let port = fields.port.map_or(if tls { 465 } else { 25 }, |port| port.get());
                let login = match (&fields.user, &fields.password) {
                    (Some(user), Some(name)) => Some((user.to_string(), self.secrets.parameter(name).await?)),
                    _ => None,
                };
                let port = u16::try_from(port).map_err(|_| lacking("port"))?;
                Some(MailServer { host: host.to_string(), port, tls, ca_cert: owned(&fields.ca_cert), login })
            }
            _ => None,
        };
        Ok(Opened::Email(Box::new(Mailer {
            server,
            from: owned(&fields.from),
            reply_to: fields.reply_to.iter().flat_map(|to| to.iter()).map(str::to_owned).collect(),
            return_path: owned(&fields.return_path),
            region: owned(&fields.region),
            configuration_set: owned(&fields.configuration_set),
        })))
    }

    async fn slack(&self, fields: &SlackFields) -> Result<Opened, Why> {
        let owned = |text: &Option<FieldText>| text.as_ref().map(FieldText::to_string);
        Ok(Opened::Slack(Box::new(SlackHook {
            url: self.url(&fields.webhook_url).await?,
            from: owned(&fields.from),
            style: fields.style.unwrap_or_default(),
            colour: owned(&fields.colour),
            preamble: owned(&fields.preamble),
        })))
    }

    async fn webhook(&self, fields: &HookFields) -> Result<Opened, Why> {
        let mut headers: BTreeMap<String, SecretText> = BTreeMap::new();
        for (name, value) in fields.headers.iter().flatten() {
            headers.insert(name.clone(), SecretText::unmasked(value.as_str()));
        }
        for (name, secret) in fields.secret_headers.iter().flatten() {
            headers.insert(name.clone(), self.secrets.parameter(secret).await?);
        }
        let secret = match &fields.secret {
            Some(name) => Some(self.secrets.parameter(name).await?),
            None => None,
        };
        Ok(Opened::Webhook(Box::new(Hook { url: self.url(&fields.url).await?, headers, secret })))
    }

    /// A URL: itself, or the secret that a text names.
    async fn url(&self, text: &FieldText) -> Result<SecretText, Why> {
        if is_url(text.as_str()) {
            return Ok(SecretText::new(text.as_str()));
        }
        let name = SecretName::new(text.as_str()).map_err(|error| Why::Incomplete(error.to_string()))?;
        let url = self.secrets.parameter(&name).await?;
        if is_url(url.reveal().trim()) {
            return Ok(SecretText::new(url.reveal().trim()));
        }
        Err(Why::Incomplete(format!("secret {name} is not an http: or https: URL")))
    }

    /// The fields of a secret of Secrets Manager.
    async fn managed(&self, name: &SecretName) -> Result<Map<String, Value>, Why> {
        let text = self.secrets.managed(name).await?;
        remember_parts(text.reveal());
        match serde_json::from_str(text.reveal()) {
            Ok(Value::Object(fields)) => Ok(fields),
            _ => Err(Why::Incomplete(format!("secret {name} is not a JSON object"))),
        }
    }
}

/// Why a connection cannot be opened, before its name is put to it.
enum Why {
    Incomplete(String),
    Store(StoreError),
}

impl From<StoreError> for Why {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

fn lacking(field: &str) -> Why {
    Why::Incomplete(format!("neither the connection nor its secret has the field {field:?}"))
}

/// A field as the document has it, else as the secret does. A script has it in one line, so that it may not have more.
fn text_or(own: Option<&FieldText>, more: &Map<String, Value>, name: &str) -> Option<String> {
    let own = own.map(FieldText::to_string);
    let theirs = || more.get(name)?.as_str().and_then(|text| FieldText::new(text).ok());
    own.or_else(|| theirs().map(|text| text.to_string()))
}

/// The port as the document has it, else as the secret does: a number or a text of one.
fn port_or(own: Option<i64>, more: &Map<String, Value>) -> Result<u16, Why> {
    let theirs = || more.get("port").and_then(|port| crate::number::whole(port).ok());
    let port = own.or_else(theirs).and_then(|port| u16::try_from(port).ok());
    port.filter(|port| *port > 0).ok_or_else(|| lacking("port"))
}

/// A value as a command prints it.
fn plain_text(plain: &Plain) -> SecretText {
    SecretText::unmasked(&match plain {
        Plain::Text(text) => text.clone(),
        // As Python's str() shows them, which is what lava writes.
        Plain::Bool(true) => "True".to_owned(),
        Plain::Bool(false) => "False".to_owned(),
        Plain::Number(number) => number.to_string(),
        Plain::Null => "None".to_owned(),
    })
}

/// A private key with its line breaks, for which commas may stand, and one at its end, without which ssh reads none.
fn key_of_lines(key: &SecretText) -> SecretText {
    let text = key.reveal().trim();
    let lines = if text.contains('\n') { text.replace("\r\n", "\n") } else { text.replace(',', "\n") };
    SecretText::new(lines + "\n")
}

/// The name of a role's session: the connection's id, as far as STS takes its characters.
fn session_name(id: &ConnId) -> String {
    let name = id.as_str().chars().map(|c| match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '=' | ',' | '.' | '@' | '-' | '_' => c,
        _ => '.',
    });
    "lava.".chars().chain(name).take(MAX_SESSION_NAME).collect()
}
