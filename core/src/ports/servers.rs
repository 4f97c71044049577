//! Servers that jobs and actions reach by protocols of their own.

use std::sync::Arc;

use super::databases::{Databases, NoDatabases};
use super::mail::{Mail, NoMail};

/// Clients of servers that speak neither HTTP nor AWS's interfaces. The default reaches none.
#[derive(Clone)]
pub struct Servers {
    /// Mail servers.
    pub mail: Arc<dyn Mail>,
    /// Databases.
    pub databases: Arc<dyn Databases>,
}

/// Of a program that was built without drivers of databases.
pub const WITHOUT_SQL: NoDatabases = NoDatabases {
    why: "this pumice was built without SQL: install it with `cargo install --path cli --features sql`",
};

impl Default for Servers {
    fn default() -> Self {
        Self { mail: Arc::new(NoMail), databases: Arc::new(WITHOUT_SQL) }
    }
}

impl std::fmt::Debug for Servers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Servers")
    }
}
