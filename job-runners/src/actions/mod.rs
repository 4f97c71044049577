//! Performs actions, one file a kind.

pub(crate) mod dispatch;
pub(crate) mod log;
pub(crate) mod state;
