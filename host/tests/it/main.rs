//! Tests that need a process of their own: in it, every child that is not waited for is taken for an orphan of a command.

#[cfg(feature = "processes")]
mod subreapers;
