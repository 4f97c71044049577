//! Values as a template sees them: Python's types, closely enough that authors of jobs see no
//! difference.

pub(crate) mod compare;
pub(crate) mod containers;
pub(crate) mod convert;
pub(crate) mod decimal;
pub(crate) mod digits;
pub(crate) mod float;
pub(crate) mod marks;
pub(crate) mod number;
pub(crate) mod operators;
pub(crate) mod show;
pub(crate) mod teardown;
pub(crate) mod text;
pub(crate) mod undefined;

use std::sync::Arc;

use num_bigint::BigInt;

use crate::clock::date::Date;
use crate::clock::datetime::DateTime;
use crate::clock::delta::Delta;
use crate::clock::relative::{RelativeDelta, Weekday};
use crate::clock::time::Time;
use crate::clock::zone::TzInfo;
use crate::eval::macros::Macro;
use crate::native::{BoundMethod, Native};
use crate::utils::re::{Match, Pattern};

pub(crate) use containers::{Dict, Iter, List, Range, Tuple, View, ViewKind};
pub(crate) use decimal::Decimal;
pub(crate) use text::Text;
pub(crate) use undefined::Missing;

/// One value. Cloning copies a reference, as in Python.
#[derive(Clone, Debug)]
pub(crate) enum Val {
    Undefined(Option<Arc<Missing>>),
    None,
    Bool(bool),
    Int(i64),
    /// An integer outside the range of `Int`.
    Big(Arc<BigInt>),
    Float(f64),
    Decimal(Arc<Decimal>),
    Str(Text),
    Bytes(Arc<[u8]>),
    List(Arc<List>),
    Tuple(Arc<Tuple>),
    Dict(Arc<Dict>),
    View(Arc<View>),
    Range(Arc<Range>),
    Iter(Arc<Iter>),
    Date(Date),
    Time(Arc<Time>),
    DateTime(Arc<DateTime>),
    Delta(Delta),
    Relative(Arc<RelativeDelta>),
    Weekday(Weekday),
    Zone(Arc<TzInfo>),
    Pattern(Arc<Pattern>),
    Match(Arc<Match>),
    Uuid(Arc<uuid::Uuid>),
    Native(&'static Native),
    Method(Arc<BoundMethod>),
    Macro(Arc<Macro>),
    Object(Arc<crate::eval::objects::Object>),
}

impl Val {
    pub(crate) fn str(text: &str) -> Self {
        Self::Str(Text::plain(text))
    }

    pub(crate) fn big(number: BigInt) -> Self {
        match i64::try_from(&number) {
            Ok(small) => Self::Int(small),
            Err(_) => Self::Big(Arc::new(number)),
        }
    }

    pub(crate) fn list(items: Vec<Val>) -> Self {
        Self::List(Arc::new(List::new(items)))
    }

    pub(crate) fn tuple(items: Vec<Val>) -> Self {
        Self::Tuple(Arc::new(Tuple::new(items)))
    }

    pub(crate) fn as_str(&self) -> Option<&str> {
        match self {
            Self::Str(text) => Some(text.as_str()),
            _ => None,
        }
    }

    pub(crate) fn is_undefined(&self) -> bool {
        matches!(self, Self::Undefined(_))
    }

    pub(crate) fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// Python's name for the type.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Self::Undefined(_) => "Undefined",
            Self::None => "NoneType",
            Self::Bool(_) => "bool",
            Self::Int(_) | Self::Big(_) => "int",
            Self::Float(_) => "float",
            Self::Decimal(_) => "decimal.Decimal",
            Self::Str(text) if text.is_markup() => "Markup",
            Self::Str(_) => "str",
            Self::Bytes(_) => "bytes",
            Self::List(_) => "list",
            Self::Tuple(tuple) => tuple.type_name(),
            Self::Dict(_) => "dict",
            Self::View(view) => view.type_name(),
            Self::Range(_) => "range",
            Self::Iter(_) => "generator",
            Self::Date(_) => "datetime.date",
            Self::Time(_) => "datetime.time",
            Self::DateTime(_) => "datetime.datetime",
            Self::Delta(_) => "datetime.timedelta",
            Self::Relative(_) => "relativedelta",
            Self::Weekday(_) => "weekday",
            Self::Zone(zone) => zone.type_name(),
            Self::Pattern(_) => "re.Pattern",
            Self::Match(_) => "re.Match",
            Self::Uuid(_) => "UUID",
            Self::Native(native) => native.type_name(),
            Self::Method(_) => "method",
            Self::Macro(_) => "Macro",
            Self::Object(object) => object.type_name(),
        }
    }

    /// Python's truth.
    pub(crate) fn truth(&self) -> bool {
        match self {
            Self::Undefined(_) | Self::None => false,
            Self::Bool(truth) => *truth,
            Self::Int(number) => *number != 0,
            Self::Float(number) => *number != 0.0,
            Self::Decimal(number) => !number.is_zero(),
            Self::Str(text) => !text.as_str().is_empty(),
            Self::Bytes(bytes) => !bytes.is_empty(),
            Self::List(list) => list.len() != 0,
            Self::Tuple(tuple) => !tuple.items.is_empty(),
            Self::Dict(dict) => dict.len() != 0,
            Self::View(view) => view.dict.len() != 0,
            Self::Range(range) => range.len() != 0,
            Self::Delta(delta) => !delta.is_zero(),
            Self::Relative(relative) => relative.truth(),
            _ => true,
        }
    }
}
