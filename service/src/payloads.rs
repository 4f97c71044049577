//! Payloads: what `exe` and `pkg` jobs run, below the realm's `s3_payloads`.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pumice_core::filter::{ItemWord, Items};
use pumice_core::job_type::Site;
use pumice_core::payload::bad_key;
use pumice_core::ports::{Fetched, MAX_LISTED, Object, ObjectStore, StoreError};
use pumice_core::text::{quoted, shown};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::audit::Act;
use crate::failure::{Error, ErrorKind};
use crate::listed::asked;
use crate::realm::Realm;
use crate::time::Instant;

/// Most payloads of one list.
const MAX_SHOWN: usize = 10_000;
/// Most payloads that are looked at for those that terms mean.
const MAX_LOOKED_AT: usize = 100_000;

/// Payloads to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListPayloads {
    /// Only those whose keys begin so.
    #[serde(default)]
    pub prefix: Option<String>,
    /// Only those that these terms mean: `key:`, `since:`, `until:`. The time is that at which it was put.
    #[serde(default, rename = "where", skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
}

/// Payloads in a list.
struct Payloads;

impl Items for Payloads {
    type Item = PayloadShown;
    const NAME: &'static str = "payloads";
    const WORDS: &'static [ItemWord<PayloadShown>] = &[
        ItemWord::pattern("key", |payload| vec![&*payload.key]),
        ItemWord::since(|payload| payload.modified.map(|at| at.0)),
        ItemWord::until(|payload| payload.modified.map(|at| at.0)),
    ];
}

/// Payloads, by key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PayloadList {
    /// The payloads.
    pub payloads: Vec<PayloadShown>,
    /// Whether there are more than are listed, or than were looked at for the terms.
    pub more: bool,
}

/// A payload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PayloadShown {
    /// Its key, as jobs name it.
    pub key: String,
    /// Its size in bytes.
    pub size: u64,
    /// When it was put.
    pub modified: Option<Instant>,
}

/// Files to put.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PutPayloads {
    /// The files, all or none of which are fit to be put.
    pub files: Vec<PayloadFile>,
    /// Change nothing, and say what would change.
    #[serde(default)]
    pub dry_run: bool,
}

/// A file of this machine, and the payload that it becomes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PayloadFile {
    /// The key.
    pub key: String,
    /// The file.
    pub path: PathBuf,
}

/// The outcome for the files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PutDone {
    /// Each, in the order of the request.
    pub payloads: Vec<PayloadPut>,
}

/// A file that was put.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PayloadPut {
    /// The key.
    pub key: String,
    /// Its size in bytes.
    pub size: u64,
    /// Whether one of this key was there, which it replaces.
    pub replaced: bool,
}

/// A payload to copy to this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GetPayload {
    /// Its key.
    pub key: String,
    /// The file that is made; it must not be there.
    pub path: PathBuf,
}

/// Where a realm keeps payloads.
struct Place {
    site: Arc<Site>,
    base: String,
}

impl Place {
    async fn of(realm: &dyn Realm) -> Result<Self, Error> {
        let definition = realm.jobs().realm().await?;
        let base = definition.fields.s3_payloads.as_deref();
        let none =
            || Error::invalid("the realm has no s3_payloads: its document must say where payloads are");
        let base = format!("{}/", base.ok_or_else(none)?.trim_end_matches('/'));
        Ok(Self { site: realm.site().await?, base })
    }

    fn objects(&self) -> &dyn ObjectStore {
        &*self.site.ports.objects
    }

    fn at(&self, key: &str) -> Result<String, Error> {
        if let Some(why) = bad_key(key) {
            return Err(Error::invalid(why));
        }
        if key.ends_with('/') {
            return Err(Error::invalid(format!("{} is a folder of payloads: name one", quoted(key))));
        }
        Ok(format!("{}{key}", self.base))
    }

    /// Why a payload cannot be put at a location. A folder keeps no file under the name of a folder; S3 does.
    async fn conflict(&self, location: &str) -> Result<Option<String>, Error> {
        if !self.objects().is_near() {
            return Ok(None);
        }
        let key = |location: &str| shown(location.strip_prefix(&self.base).unwrap_or(location));
        let below = self.objects().list_objects(&format!("{location}/"), None, 1).await?;
        if let Some(first) = below.objects.first() {
            let (key, first) = (key(location), key(&first.location));
            return Ok(Some(format!("{key} is a folder of payloads, {first} among them")));
        }
        let slashes = location.match_indices('/').map(|(at, _)| at).filter(|at| *at > self.base.len());
        for above in slashes.map(|at| &location[..at]) {
            if self.is_there(above).await? {
                let (key, above) = (key(location), key(above));
                return Ok(Some(format!("{key} cannot be below {above}, which is a payload itself")));
            }
        }
        Ok(None)
    }

    async fn is_there(&self, location: &str) -> Result<bool, Error> {
        let found = self.objects().list_level(location, MAX_LISTED).await?;
        Ok(found.into_iter().any(|object| object.location == location))
    }

    async fn find(&self, key: &str) -> Result<Option<Object>, Error> {
        let location = self.at(key)?;
        let found = self.objects().list_level(&location, MAX_LISTED).await?;
        Ok(found.into_iter().find(|object| object.location == location))
    }
}

/// Lists payloads by key.
///
/// # Errors
/// [`Error`] when the terms are invalid, or they cannot be listed.
pub async fn list(realm: &dyn Realm, request: &ListPayloads) -> Result<PayloadList, Error> {
    let meant = asked::<Payloads>(realm, request.filter.as_deref(), None).await?;
    let place = Place::of(realm).await?;
    let prefix = request.prefix.as_deref().unwrap_or_default();
    if let Some(why) = bad_key(prefix).filter(|_| !prefix.is_empty()) {
        return Err(Error::invalid(why));
    }
    let prefix = format!("{}{prefix}", place.base);
    let (mut payloads, mut after, mut looked_at) = (Vec::new(), None::<String>, 0);
    loop {
        let page = place.objects().list_objects(&prefix, after.as_deref(), MAX_LISTED).await?;
        looked_at += page.objects.len();
        let shown = page.objects.into_iter().filter_map(|object| {
            let key = object.location.strip_prefix(&place.base)?.to_owned();
            let is_folder = key.is_empty() || key.ends_with('/');
            let modified = object.modified.map(Instant);
            (!is_folder).then_some(PayloadShown { key, size: object.size, modified })
        });
        payloads.extend(shown.filter(|payload| meant.takes(payload)));
        after = page.next;
        if after.is_none() || payloads.len() >= MAX_SHOWN || looked_at >= MAX_LOOKED_AT {
            return Ok(PayloadList { payloads, more: after.is_some() });
        }
    }
}

/// Puts files of this machine as payloads; those that are there are replaced. A file that cannot be put is found before any is.
///
/// # Errors
/// [`Error`] when a key or a file is unfit, or the store cannot be reached.
pub async fn put(realm: &dyn Realm, request: &PutPayloads) -> Result<PutDone, Error> {
    let act = Act::new("payloads put", request).dry(request.dry_run);
    let act = act.on("payload", request.files.iter().map(|file| &file.key));
    act.record(realm, putting(realm, request)).await
}

async fn putting(realm: &dyn Realm, request: &PutPayloads) -> Result<PutDone, Error> {
    let place = Place::of(realm).await?;
    let settings = &place.site.settings;
    let (largest, setting) = [
        (settings.exe_max_payload_size, "EXE_MAX_PAYLOAD_SIZE"),
        (settings.pkg_max_payload_size, "PKG_MAX_PAYLOAD_SIZE"),
    ]
    .into_iter()
    .max()
    .unwrap_or_default();
    let mut copies: Vec<(String, File, PayloadPut)> = Vec::new();
    for PayloadFile { key, path } in &request.files {
        let location = place.at(key)?;
        for (other, _, payload) in &copies {
            let (one, two) = (Path::new(&location), Path::new(other));
            if one == two {
                return Err(Error::invalid(format!("two files would become the payload {}", shown(key))));
            }
            if place.objects().is_near() && (one.starts_with(two) || two.starts_with(one)) {
                let (one, two) = (shown(key), shown(&payload.key));
                return Err(Error::invalid(format!(
                    "{one} and {two} cannot be a payload and its folder at once"
                )));
            }
        }
        if let Some(why) = place.conflict(&location).await? {
            return Err(Error::new(ErrorKind::Conflict, why));
        }
        let size = std::fs::metadata(path).map_err(|error| unreadable(path, &error))?.len();
        if size > largest {
            let path = path.display();
            return Err(Error::invalid(format!(
                "{path} has {size} bytes; no payload has more than {largest} ({setting})"
            )));
        }
        let (from, at) = (path.clone(), path.clone());
        let copied = tokio::task::spawn_blocking(move || copy(&from)).await;
        let copy = copied.map_err(io::Error::other).flatten().map_err(|error| unreadable(&at, &error))?;
        let replaced = place.find(key).await?.is_some();
        copies.push((location, copy, PayloadPut { key: key.clone(), size, replaced }));
    }
    let mut done = PutDone::default();
    for (location, copy, payload) in copies {
        if !request.dry_run {
            let put = place.objects().put_file(&location, copy.as_fd()).await;
            put.map_err(|error| StoreError::of_io(format!("cannot put {}", shown(&payload.key)), error))?;
        }
        done.payloads.push(payload);
    }
    Ok(done)
}

/// A copy without a name: a store may keep a file by giving it another name, and this one may be written to later.
fn copy(path: &Path) -> io::Result<File> {
    let mut from = File::open(path)?;
    if !from.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "is not a regular file"));
    }
    let mut copy = tempfile::tempfile()?;
    io::copy(&mut from, &mut copy)?;
    Ok(copy)
}

fn unreadable(path: &Path, error: &io::Error) -> Error {
    Error::invalid(format!("{}: {error}", path.display()))
}

/// Copies a payload into a new file of this machine.
///
/// # Errors
/// [`Error`] when there is no such payload, the file is there already, or it cannot be written.
pub async fn get(realm: &dyn Realm, request: &GetPayload) -> Result<PayloadShown, Error> {
    let GetPayload { key, path } = request;
    let place = Place::of(realm).await?;
    let missing = || Error::not_found(format!("no payload {}", shown(key)));
    let object = place.find(key).await?.ok_or_else(missing)?;
    let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    let file = tempfile::NamedTempFile::new_in(folder).map_err(|error| unreadable(path, &error))?;
    match place.objects().fetch(&object, file.as_file().as_fd()).await? {
        Fetched::Whole => {}
        Fetched::Gone => return Err(missing()),
        Fetched::Changed => {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!("the payload {} changed while it was copied", shown(key)),
            ));
        }
    }
    file.persist_noclobber(path).map_err(|error| unreadable(path, &error.error))?;
    Ok(PayloadShown { key: key.clone(), size: object.size, modified: object.modified.map(Instant) })
}
