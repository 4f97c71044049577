//! Access of jobs and actions outside their realm.

use std::sync::Arc;

use pumice_core::ports::{Databases, Messaging, Servers};
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
    Servers { mail: Arc::new(Smtp::default()), databases: databases() }
}

#[cfg(feature = "sql")]
fn databases() -> Arc<dyn Databases> {
    Arc::new(pumice_sql::Drivers)
}

/// None: this program was built without drivers, and says so.
#[cfg(not(feature = "sql"))]
fn databases() -> Arc<dyn Databases> {
    Arc::new(pumice_core::ports::WITHOUT_SQL)
}
