//! The audit: each act has an entry, which people list and look at.

mod act;
mod acting;
mod list;

pub use act::Act;
pub use acting::Acting;
pub use list::{AuditList, AuditShown, ListAudit, ShowAudit, USUAL_LIMIT, list, show};
