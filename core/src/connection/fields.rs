//! The fields of connections' documents, by family of types (lava guide, The Connections Table).

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::duration::Span;
use crate::ids::{ConnId, FieldText, SecretName};
use crate::number::Whole;

/// A TCP port.
pub(super) type Port = Whole<1, 65_535>;

/// One text or several.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub enum Texts {
    /// One.
    One(FieldText),
    /// Several.
    Many(Vec<FieldText>),
}

impl Texts {
    /// The texts, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let texts = match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::Many(texts) => texts,
        };
        texts.iter().map(FieldText::as_str)
    }
}

/// A struct of fields that has those of every connection too.
macro_rules! connection {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        #[schemars(extend("patternProperties" = { "^[xX]-": true }))]
        pub struct $name {
            /// The connection's id, unique in its realm.
            #[serde(deserialize_with = "ConnId::deserialize_stored")]
            pub conn_id: ConnId,
            /// The kind of thing that it connects to.
            #[schemars(length(min = 1))]
            pub r#type: String,
            /// Whether it may be used.
            #[serde(default)]
            pub enabled: bool,
            /// The purpose of the connection.
            #[serde(default)]
            pub description: Option<String>,
            /// The person or team that answers for the connection.
            #[serde(default)]
            pub owner: Option<String>,
            /// The name of a secret of Secrets Manager, a JSON object, that has the fields which are not given here.
            #[serde(default)]
            pub secret_id: Option<SecretName>,
            $($(#[$field_doc])* pub $field: $type,)*
        }
    };
}

connection! {
    /// A database: the types of the PostgreSQL, Redshift, MySQL, Oracle and SQL Server families, and `sqlite3`.
    DatabaseFields {
        /// The host; for `sqlite3` the absolute path of the file, or `s3://bucket/key`.
        #[serde(default)]
        host: Option<FieldText>,
        /// The port.
        #[serde(default)]
        port: Option<Port>,
        /// The database.
        #[serde(default)]
        database: Option<FieldText>,
        /// The user.
        #[serde(default)]
        user: Option<FieldText>,
        /// The name of the secret that is the password. Without it the types of Aurora, RDS and Redshift get a token by IAM.
        #[serde(default)]
        password: Option<SecretName>,
        /// Whether the connection must be encrypted.
        #[serde(default)]
        ssl: Option<bool>,
        /// The file of certificates of authorities to trust.
        #[serde(default)]
        ca_cert: Option<FieldText>,
        /// The driver that lava's Python code connects with; no script depends on it.
        #[serde(default)]
        subtype: Option<FieldText>,
        /// Oracle: the service.
        #[serde(default)]
        service_name: Option<FieldText>,
        /// Oracle: the system identifier; default `database`.
        #[serde(default)]
        sid: Option<FieldText>,
        /// Oracle: the edition, as in `-C` of sqlplus.
        #[serde(default)]
        edition: Option<FieldText>,
        /// SQL Server: the ODBC driver that lava's Python code connects with.
        #[serde(default)]
        driver: Option<FieldText>,
        /// SQL Server: how long to wait for the login, in seconds.
        #[serde(default)]
        timeout: Option<Whole<0, 65_534>>,
        /// Redshift: the cluster; default the first part of the host.
        #[serde(default)]
        cluster_id: Option<FieldText>,
        /// Redshift Serverless: the workgroup; default the first part of the host.
        #[serde(default)]
        workgroup: Option<FieldText>,
        /// Redshift: how long a password by IAM holds.
        #[serde(default)]
        password_duration: Option<Span>,
        /// Redshift Serverless: the role that gets the password.
        #[serde(default)]
        role_arn: Option<FieldText>,
        /// Redshift Serverless: the name of the secret that is the external id of the role.
        #[serde(default)]
        external_id: Option<SecretName>,
        /// Redshift Serverless: tags of the role's session.
        #[serde(default)]
        tags: Option<BTreeMap<String, FieldText>>,
        /// The AWS region; default the worker's own.
        #[serde(default)]
        region: Option<FieldText>,
    }
}

connection! {
    /// Values by name, some of them secret: type `generic` (lava guide, Connection type: generic).
    GenericFields {
        /// The values.
        attributes: BTreeMap<String, Attribute>,
    }
}

/// A value of a generic connection.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub enum Attribute {
    /// The value itself.
    Plain(Value),
    /// A value of a type.
    Typed(TypedAttribute),
}

/// A text, a number, true, false or null.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub enum Value {
    /// A text.
    Text(String),
    /// True or false.
    Bool(bool),
    /// A number.
    Number(serde_json::Number),
    /// Null.
    Null,
}

/// A value of a generic connection that names its type.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TypedAttribute {
    /// `local`, or `ssm`.
    #[serde(default)]
    pub r#type: AttributeType,
    /// Of type `local`: the value.
    #[serde(default)]
    pub value: Option<Value>,
    /// Of type `ssm`: the name of the secret.
    #[serde(default)]
    pub parameter: Option<SecretName>,
}

/// Where a value of a generic connection is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum AttributeType {
    /// In the document.
    #[default]
    Local,
    /// In a secret: an SSM parameter, or one of the realm's folder.
    Ssm,
}

connection! {
    /// AWS, for its command line: type `aws` (lava guide, Connection type: aws).
    AwsFields {
        /// The name of the secret that is `access_key_id,secret_access_key`.
        #[serde(default)]
        access_keys: Option<SecretName>,
        /// The role to assume, where no access keys are given.
        #[serde(default)]
        role_arn: Option<FieldText>,
        /// The name of the secret that is the external id of the role.
        #[serde(default)]
        external_id: Option<SecretName>,
        /// How long the role's session holds; default 3 hours.
        #[serde(default)]
        duration: Option<Span>,
        /// Managed policies that bound the role's session.
        #[serde(default)]
        policy_arns: Option<Texts>,
        /// A policy that bounds the role's session.
        #[serde(default)]
        policy: Option<serde_json::Map<String, serde_json::Value>>,
        /// Tags of the role's session.
        #[serde(default)]
        tags: Option<BTreeMap<String, FieldText>>,
        /// The region; default the worker's own.
        #[serde(default)]
        region: Option<FieldText>,
    }
}

connection! {
    /// A host by SSH: types `ssh`, `scp`, `sftp` and `git` (lava guide, Connection type: ssh).
    SshFields {
        /// The name of the secret that is the private key. Commas may take the place of its line breaks.
        ssh_key: SecretName,
        /// Options for `-o`, as in `Port=2222`.
        #[serde(default)]
        ssh_options: Option<Vec<FieldText>>,
    }
}

/// How e-mail is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Subtype {
    /// By Amazon SES.
    Ses,
    /// By an SMTP server.
    Smtp,
}

connection! {
    /// A way to send e-mail: types `email` and `ses` (lava guide, Connection type: email).
    EmailFields {
        /// `smtp` or `ses`; default `smtp` where a host is given, else `ses`.
        #[serde(default)]
        subtype: Option<Subtype>,
        /// The sender; default the realm's `SES_FROM`.
        #[serde(default)]
        from: Option<FieldText>,
        /// Where answers go.
        #[serde(default)]
        reply_to: Option<Texts>,
        /// Where what cannot be delivered is returned to.
        #[serde(default)]
        return_path: Option<FieldText>,
        /// SMTP: the server.
        #[serde(default)]
        host: Option<FieldText>,
        /// SMTP: the port; default 25, with `tls` 465.
        #[serde(default)]
        port: Option<Port>,
        /// SMTP: whether the connection must be encrypted: from the start on port 465, else by STARTTLS.
        #[serde(default)]
        tls: Option<bool>,
        /// SMTP: the file of certificates of authorities to trust besides those of the web.
        #[serde(default)]
        ca_cert: Option<FieldText>,
        /// SMTP: the user.
        #[serde(default)]
        user: Option<FieldText>,
        /// SMTP: the name of the secret that is the user's password.
        #[serde(default)]
        password: Option<SecretName>,
        /// SES: the region.
        #[serde(default)]
        region: Option<FieldText>,
        /// SES: the configuration set.
        #[serde(default)]
        configuration_set: Option<FieldText>,
    }
}

/// How a message looks in Slack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum SlackStyle {
    /// Blocks: a header, a line, the message and the time.
    #[default]
    Block,
    /// An attachment with a coloured bar.
    Attachment,
    /// Text.
    Plain,
}

connection! {
    /// A channel of Slack: type `slack` (lava guide, Connection type: slack).
    SlackFields {
        /// The URL of the incoming webhook, or the name of the secret that is the URL.
        webhook_url: FieldText,
        /// The sender that messages show; default `lava@<realm>`.
        #[serde(default)]
        from: Option<FieldText>,
        /// How messages look.
        #[serde(default)]
        style: Option<SlackStyle>,
        /// The colour of the bar of an attachment.
        #[serde(default)]
        colour: Option<FieldText>,
        /// The beginning of messages, as `<!here>`.
        #[serde(default)]
        preamble: Option<FieldText>,
    }
}

connection! {
    /// A server that takes requests: type `webhook`. lava does not have it.
    HookFields {
        /// The URL, or the name of the secret that is the URL.
        url: FieldText,
        /// Headers of each request.
        #[serde(default)]
        headers: Option<BTreeMap<String, FieldText>>,
        /// Headers of each request whose values are secret: the names of their secrets.
        #[serde(default)]
        secret_headers: Option<BTreeMap<String, SecretName>>,
        /// The name of the secret that requests are signed with.
        #[serde(default)]
        secret: Option<SecretName>,
    }
}
