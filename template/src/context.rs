//! Stub.
#![expect(missing_docs, reason = "stub")]
use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::Zone;

#[derive(Clone, Debug)]
pub struct Context {
    pub(crate) vars: BTreeMap<String, Value>,
    pub(crate) zone: Zone,
}

impl Context {
    pub fn new(zone: Zone) -> Self {
        Self { vars: BTreeMap::new(), zone }
    }
    pub fn zone(&self) -> Zone {
        self.zone
    }
    pub fn insert(&mut self, name: impl Into<String>, value: Value) {
        self.vars.insert(name.into(), value);
    }
    #[must_use]
    pub fn with_now(self, _now: DateTime<Utc>) -> Self {
        self
    }
    #[must_use]
    pub fn with_random(self, _fill: impl Fn(&mut [u8]) + Send + Sync + 'static) -> Self {
        self
    }
}

#[derive(Clone, Debug)]
pub struct Value(pub(crate) minijinja::Value);

impl From<serde_json::Value> for Value {
    fn from(value: serde_json::Value) -> Self {
        use serde_json::Value as J;
        Value(match value {
            J::Null => ().into(),
            J::Bool(b) => b.into(),
            J::Number(n) => match n.as_i64() {
                Some(i) => i.into(),
                None => n.as_f64().unwrap_or(0.0).into(),
            },
            J::String(s) => s.into(),
            J::Array(a) => a.into_iter().map(|v| Value::from(v).0).collect::<Vec<_>>().into(),
            J::Object(o) => {
                o.into_iter().map(|(k, v)| (k, Value::from(v).0)).collect::<BTreeMap<_, _>>().into()
            }
        })
    }
}

impl Value {
    pub fn text(text: impl Into<Arc<str>>) -> Self {
        Value(text.into().into())
    }
    pub fn decimal(number: &str) -> Option<Self> {
        number.parse::<f64>().ok().map(|f| Value(f.into()))
    }
    pub fn local(at: DateTime<Utc>) -> Self {
        Value(at.to_rfc3339().into())
    }
    pub fn utc(at: DateTime<Utc>) -> Self {
        Value(at.to_rfc3339().into())
    }
    pub fn list(items: impl IntoIterator<Item = Value>) -> Self {
        Value(items.into_iter().map(|v| v.0).collect::<Vec<_>>().into())
    }
    pub fn map(items: impl IntoIterator<Item = (String, Value)>) -> Self {
        Value(items.into_iter().map(|(k, v)| (k, v.0)).collect::<BTreeMap<_, _>>().into())
    }
}
