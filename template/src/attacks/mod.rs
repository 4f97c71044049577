//! Attacks on the bounds, made up by walking the tables of what templates
//! can reach: each filter, test, method, utility and operator is given large
//! values of every kind, so that a new one is covered by itself.
//!
//! They run in processes of their own, where processor time and peak memory
//! can be measured and a runaway be ended by the system. `PUMICE_ATTACKS=N`
//! makes N attacks of each operation and form instead of a few, and
//! `PUMICE_ATTACK_SEED` others.

mod child;
mod generate;
mod known;

use std::time::Duration;

use crate::{Context, Limits, Value, Zone};
use serde_json::json;

/// The time that an attack may take in a release build.
const MAY_TAKE: Duration = Duration::from_secs(1);
/// The most memory an attack may take, all of its process included.
const MAY_USE_KIB: u64 = 256 * 1024;
/// How much slower the tests' profile is.
const SLOWER: u32 = if cfg!(debug_assertions) { 4 } else { 1 };
/// Which part of the limits attacks in loops are held to: they use up all of
/// it, and a part is enough to see whether what they do is charged.
const PART: u32 = 8;

/// Strings that are rendered as one structure.
struct Attack {
    strings: Vec<String>,
    /// Whether it is held to a part of the limits, without a deadline.
    part: bool,
}

impl Attack {
    fn whole(template: impl Into<String>) -> Self {
        Self { strings: vec![template.into()], part: false }
    }

    fn limits(&self) -> Limits {
        let limits = Limits::default();
        if !self.part {
            return limits;
        }
        Limits {
            steps: limits.steps / u64::from(PART),
            memory_bytes: limits.memory_bytes / PART as usize,
            deadline: Duration::from_secs(600),
            ..limits
        }
    }

    fn may_take(&self) -> Duration {
        SLOWER * MAY_TAKE / if self.part { PART } else { 1 }
    }
}

fn context() -> Context {
    let mut ctx = Context::new(Zone::Utc);
    let at = "2026-03-01T04:05:06Z".parse().expect("a time");
    ctx.insert("start", Value::local(at));
    ctx.insert("decimal", Value::decimal("123456789.123456789").expect("a number"));
    let list: Vec<u32> = (0..100_000).collect();
    ctx.insert("globals", Value::from(json!({ "a": "x", "list": list })));
    ctx
}

#[test]
fn known_attacks_stay_within_bounds() {
    child::run("attacks::known_attacks_stay_within_bounds", &known::attacks());
}

#[test]
fn attacks_by_every_operation_stay_within_bounds() {
    let number = |name: &str, default| {
        std::env::var(name).ok().map_or(default, |text| text.parse().expect("a number"))
    };
    let attacks = generate::attacks(number("PUMICE_ATTACKS", 1), number("PUMICE_ATTACK_SEED", 17) as u64);
    child::run("attacks::attacks_by_every_operation_stay_within_bounds", &attacks);
}
