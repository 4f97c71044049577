//! What the jobs of a folder reach on AWS.

use std::sync::Arc;

use pumice_core::ports::Messaging;

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
