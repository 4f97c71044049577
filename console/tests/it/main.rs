//! The console as a browser, a program and an attacker meet it: a real server, a realm in a folder.

#![expect(clippy::unwrap_used, reason = "tests")]

mod api;
mod attacks;
mod audit;
mod client;
mod figures;
mod fixtures;
mod forms;
mod hidden;
mod hooks;
mod if_match;
mod kept;
mod live;
mod outputs;
mod pages;
mod pauses;
mod proxy;
mod screens;
mod types;
mod weight;
mod zones;
