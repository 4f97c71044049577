//! Servers that jobs and actions reach by protocols of their own.

use std::sync::Arc;

use super::mail::{Mail, NoMail};

/// What reaches servers that speak neither HTTP nor AWS's interfaces. The default reaches none.
#[derive(Clone)]
pub struct Servers {
    /// Mail servers.
    pub mail: Arc<dyn Mail>,
}

impl Default for Servers {
    fn default() -> Self {
        Self { mail: Arc::new(NoMail) }
    }
}

impl std::fmt::Debug for Servers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Servers")
    }
}
