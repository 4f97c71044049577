//! Python's `datetime` and dateutil's `relativedelta` and `tz`.

pub(crate) mod arith;
pub(crate) mod classes;
pub(crate) mod construct;
pub(crate) mod date;
pub(crate) mod datetime;
pub(crate) mod delta;
pub(crate) mod fields;
pub(crate) mod iso;
pub(crate) mod methods;
pub(crate) mod order;
pub(crate) mod range;
pub(crate) mod relative;
pub(crate) mod relative_build;
pub(crate) mod strftime;
pub(crate) mod strptime;
pub(crate) mod time;
pub(crate) mod time_methods;
pub(crate) mod tzstr;
pub(crate) mod zone;
