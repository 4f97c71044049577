//! Triggers: what happens to objects starts jobs (lava guide, Dispatching Jobs from S3 Events), and what comes over HTTP.
//!
//! Everything here is pure. [`engine::Triggers`](crate::engine::Triggers) asks the store and the dispatcher.

mod assess;
mod document;
mod event;
mod fit;
mod http;
mod render;

pub use assess::{Assessed, Assessment, TriggerVerdict, assess};
pub use document::{
    MAX_BUCKET_BYTES, MAX_ITEMS, MAX_KEY_BYTES, ObjectSize, TriggerFields, TriggerSpec, TriggerType,
    WHOLE_BUCKET,
};
pub use event::{BadObject, ObjectEvent, ObjectEvents, objects_in_text, objects_of};
pub use fit::{levels, why_not};
pub use http::{
    DELIVERY_HEADERS, DeliveryName, EVENT_HEADERS, HttpEvent, SIGNATURE_HEADER, starts_for, why_not_for,
};
pub use render::{TriggeredStart, starts};

pub(crate) use document::OBJECT_SIZE;
