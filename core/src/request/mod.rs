//! A caller's request: which job, with which parameters, and when.

mod ask;
mod body;
mod instant;
mod slot;
mod text;

pub use ask::{
    BadDottedName, BadGiven, BadKey, BadRequest, DelayTooLong, DispatchRequest, MAX_BATCH, MAX_DELAY,
    MAX_KEY_BYTES, Parsed, When, check_globals, check_key, set_dotted, set_given,
};
pub use body::{RequestFields, is_json, parse_body, parse_bytes, parse_object, parse_value};
pub use instant::{BadInstant, Instant, parse_end, parse_instant};
pub use slot::{SCHEDULED_AT, SlotRequests, again_key, anew_key, parse_scheduled, schedule_key, slot_key};
