//! The stores of a folder, tried from outside.

mod queries;
mod records;
mod superseded;
