//! The dispatcher, tried from outside.

mod callers;
mod objects;
