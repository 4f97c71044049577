//! What jobs and actions reach outside their realm.

use std::sync::Arc;

use pumice_core::ports::{Messaging, Servers};
use pumice_host::Smtp;

/// Topics, queues, event buses and functions, by the credentials that AWS's own tools use.
#[cfg(feature = "aws")]
pub(crate) fn messaging() -> Arc<dyn Messaging> {
    Arc::new(pumice_aws::Outside::when_needed())
}

/// Nothing: this program was built without AWS, and says so.
#[cfg(not(feature = "aws"))]
pub(crate) fn messaging() -> Arc<dyn Messaging> {
    Arc::new(pumice_core::ports::WITHOUT_AWS)
}

/// Servers that jobs and actions reach by protocols of their own.
pub(crate) fn servers() -> Servers {
    let servers = Servers { mail: Arc::new(Smtp::default()), ..Servers::default() };
    #[cfg(feature = "sql")]
    let servers = Servers { databases: Arc::new(pumice_sql::Drivers), ..servers };
    servers
}
