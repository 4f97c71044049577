//! lava's `utils`: `date`, `datetime`, `time`, `timedelta`, `dateutil`,
//! `parsedate`, `path`, `re`, `s3bucket`, `s3key`, `uuid`, and `tojson`.

pub(crate) mod dateutil;
pub(crate) mod path;
pub(crate) mod re;
mod s3;

use std::sync::Arc;

use crate::call::Args;
use crate::clock::classes;
use crate::dateparse;
use crate::fault::Outcome;
use crate::filters::json;
use crate::native::{Member, Native};
use crate::runtime::Runtime;
use crate::value::Val;

pub(crate) static UTILS: Native = Native::module(
    "utils",
    &[
        ("date", Member::Native(&classes::DATE)),
        ("datetime", Member::Native(&classes::DATETIME)),
        ("dateutil", Member::Native(&dateutil::MODULE)),
        ("parsedate", Member::Native(&dateparse::MODULE)),
        ("path", Member::Native(&path::MODULE)),
        ("re", Member::Native(&re::MODULE)),
        ("s3bucket", Member::Native(&S3BUCKET)),
        ("s3key", Member::Native(&S3KEY)),
        ("time", Member::Native(&classes::TIME)),
        ("timedelta", Member::Native(&classes::TIMEDELTA)),
        ("tojson", Member::Native(&TOJSON)),
        ("uuid", Member::Native(&UUID)),
    ],
);

static S3BUCKET: Native = Native::function("s3bucket", s3::bucket);
static S3KEY: Native = Native::function("s3key", s3::key);
static TOJSON: Native = Native::function("tojson", json::lavas_tojson);
static UUID: Native = Native::function("uuid4", uuid);

/// `utils.uuid()`: a random UUID (version 4).
fn uuid(rt: &Runtime<'_>, args: Args) -> Outcome {
    args.none("uuid")?;
    rt.alloc(64)?;
    let uuid = uuid::Builder::from_random_bytes(rt.ctx.random_bytes()).into_uuid();
    Ok(Val::Uuid(Arc::new(uuid)))
}
