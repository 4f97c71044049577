//! The dispatcher, tried from outside.

mod callers;
mod events;
mod objects;
