//! Jinja2 templates as lava's users know them, on minijinja.
//!
//! A job spec written for lava is full of templates such as `{{ (start -
//! utils.timedelta(days=1)).date() }}`. This crate renders them as Jinja2 3.1 with python-dateutil
//! does, without Python, and holds them to [`Limits`]. It knows nothing of jobs: variables come
//! from a [`Context`]. docs/templates.md lists the names that templates can use.
//!
//! ```
//! use pumice_template::{Context, Renderer, Value, Zone};
//! use serde_json::json;
//!
//! let mut ctx = Context::new(Zone::Utc);
//! ctx.insert("globals", Value::from(json!({"table": "sales"})));
//! ctx.insert("start", Value::local("2026-03-01T04:05:06Z".parse()?));
//!
//! let renderer = Renderer::default();
//! let text = renderer.render("{{ globals.table }}-{{ start.strftime('%Y%m%d') }}", &ctx)?;
//! assert_eq!(text, "sales-20260301");
//!
//! let error = renderer.render("{{ globls.table }}", &ctx).unwrap_err();
//! assert_eq!(error.hint(), Some("globals"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # How it is built
//!
//! - `syntax` has minijinja read a template, after a look at its size, and
//!   lowers the tree into a small program;
//! - `eval` runs the program; `runtime` charges what it uses up to a
//!   [`Budget`], one for all strings of a structure;
//! - `value` has Python's types and operators, `methods` and `attributes`
//!   what they offer, `format` their formatting;
//! - `filters`, `predicates` (Jinja2 calls them tests) and `globals` are
//!   Jinja2's own names;
//! - `clock`, `dateparse`, `rrule` and `utils` are lava's `utils`: Python's
//!   datetime and re, os.path, and dateutil.
//!
//! Everything a template can reach is in a static table. A name that is in none does not exist, so
//! there is nothing to escape into.

#[cfg(all(test, target_os = "linux"))]
mod attacks;
mod attributes;
mod budget;
mod cache;
mod call;
mod clock;
mod command_line;
mod context;
mod dateparse;
mod error;
mod eval;
mod fault;
mod filters;
mod format;
mod forms;
mod globals;
#[cfg(test)]
mod guide;
mod limits;
mod methods;
#[cfg(test)]
mod moment;
mod native;
mod predicates;
mod renderer;
mod rrule;
mod runtime;
mod structure;
mod syntax;
mod utils;
mod value;
mod zone;

pub use budget::Budget;
pub use command_line::{BadCommandLine, split_command_line, split_commented_line};
pub use context::{Context, OF_THE_MOMENT, Value};
pub use error::{ErrorKind, TemplateError};
pub use forms::encoded_forms;
pub use limits::Limits;
pub use renderer::Renderer;
pub use syntax::free::Variable;
pub use value::digits::ascii as ascii_digits;
pub use value::float::repr as float_text;
pub use zone::{PosixZone, UnknownZone, Zone};
