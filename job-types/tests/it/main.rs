//! The job types, tried from outside.

mod connections;
mod rendering;
mod types;
