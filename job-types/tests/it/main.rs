//! The job types, tried from outside.

mod rendering;
mod types;
