//! Connections: where jobs and actions reach the world, and with which secrets (lava guide, The Connections Table).
//!
//! A connection's document names its secrets. [`Connections::open`] reads the document, looks the secrets up, and gives
//! what a command or an action needs to connect.

mod cached;
mod fields;
mod open;
mod secrets;
mod spec;

pub use cached::{CachedSecrets, MAX_SECRETS, SECRET_FRESH};
pub use fields::{
    Attribute, AwsFields, DatabaseFields, EmailFields, GenericFields, HookFields, SlackFields, SlackStyle,
    SshFields, Subtype, Texts, Value as AttributeValue,
};
pub use open::{
    AwsLogin, ConnectionError, Connections, Hook, Login, MailServer, Mailer, Opened, OpenedConnection,
    SlackHook, SshLogin,
};
pub use secrets::{AwsKeys, NoSecrets, RoleRequest, Secrets, TokenRequest};
pub use spec::{
    ConnectionSpec, ConnectionStore, ConnectionUpsert, Family, Kind, NoConnections, TYPES, connection_schema,
};
