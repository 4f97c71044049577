//! Performs actions, one file a kind.

pub(crate) mod dispatch;
pub(crate) mod email;
pub(crate) mod event;
pub(crate) mod log;
mod notice;
pub(crate) mod slack;
pub(crate) mod sns;
pub(crate) mod sqs;
pub(crate) mod state;
pub(crate) mod webhook;

use serde_json::Value;

/// The exit status of an attempt, of one that failed too; null for a job that has none.
fn exit_status(result: &Value) -> Value {
    let of_failed = || result.pointer("/error_data/exit_status");
    result.get("exit_status").or_else(of_failed).cloned().unwrap_or_default()
}
