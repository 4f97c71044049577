//! `backup` and `restore`: a realm's folder in one file.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::{Duration, Instant as Moment};

use pumice_core::audit::{ActOutcome, AuditEntry, AuditId, Target};
use pumice_core::ports::{AuditStore as _, Clock, JobStore as _, Random as _};
use pumice_core::spec::RealmSpec;
use pumice_core::text::{counted, escaped};
use pumice_local::{
    BackupContent, BackupError, BackupProgress, Durability, Home, Manifest, SystemClock, SystemRandom,
    back_up, backup_heading, left_behind, look_into, restore,
};
use pumice_service::audit::Act;
use pumice_service::{Error, Instant};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::args::Global;
use crate::failure::{Failure, of_option};
use crate::output::{note, print, tell_text};
use crate::realm::Realm;

/// How often a terminal shows the progress.
const SHOW_EVERY: Duration = Duration::from_millis(100);
/// The advice on AWS.
const ON_AWS: &str = "it is of a realm's folder; on AWS point-in-time recovery of the tables and versions of the bucket do it: see docs/deploy.md, \"Restoring\"";

/// The backup that was made or restored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct BackedUp {
    /// The file.
    pub(super) file: PathBuf,
    /// The realm.
    pub(super) realm: String,
    /// When the backup was made.
    pub(super) made: Instant,
    /// How many files it has.
    pub(super) files: usize,
    /// How many bytes these have.
    pub(super) bytes: u64,
    /// Parts of the realm that are not in it, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) left_out: Vec<String>,
    /// Places of the realm outside of the folder that it was restored into, which it uses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) elsewhere: Vec<String>,
}

impl BackedUp {
    fn of(file: PathBuf, manifest: Manifest) -> Self {
        let (files, bytes) = (manifest.files.len(), manifest.bytes());
        let (realm, made) = (manifest.heading.realm.to_string(), Instant(manifest.heading.made));
        Self { file, realm, made, files, bytes, left_out: manifest.left_out, elsewhere: Vec::new() }
    }
}

fn of_backup(error: BackupError) -> Error {
    Error::new(error.kind().into(), error.to_string()).caused_by(error)
}

fn refused(error: BackupError) -> Failure {
    Failure::from(of_backup(error))
}

/// Copies the realm's folder into a file, while it is served.
pub(super) async fn backup(global: &Global, file: PathBuf) -> Result<(), Failure> {
    if global.is_aws() {
        return Err(Failure::wrong(format!("backup: {ON_AWS}")));
    }
    let home = Home::open(&global.home, global.realm.as_ref(), false, Durability::Normal).await?;
    let elsewhere = elsewhere(&home).await?;
    tell_left_behind(global, &file);
    let (folder, name) = (home.path().to_owned(), home.realm().clone());
    let realm = Realm::in_folder(home)?;
    let act = Act::new("backup", &json!({ "file": file })).on("realm", [&name]);
    let (target, mut progress) = (file.clone(), Progress::new(global));
    let work = async {
        let made = tokio::task::spawn_blocking(move || {
            let done =
                back_up(&folder, &name, &target, elsewhere, SystemClock.now(), &mut |at| progress.heard(at));
            progress.end();
            done
        });
        let made = made.await.map_err(|error| Error::unreachable(error.to_string()))?;
        let made = made.map_err(of_backup)?;
        Ok(BackedUp::of(file, made))
    };
    let done = act.record(&realm, work).await?;
    print(global.output, &done, || {
        vec![format!(
            "backed up realm {} to {}: {}, {}; read back and found whole",
            done.realm,
            escaped(&done.file.display().to_string()),
            counted(done.files, "file"),
            size(done.bytes)
        )]
    })?;
    tell_left_out(global, &done);
    Ok(())
}

/// Where the realm keeps what is not in its folder.
async fn elsewhere(home: &Home) -> Result<Vec<String>, Failure> {
    Ok(outside(&*home.database().realm().await?, home.path()))
}

/// The places of a definition that are outside of a folder.
fn outside(definition: &RealmSpec, folder: &std::path::Path) -> Vec<String> {
    let fields = &definition.fields;
    let places = [("s3_temp", &fields.s3_temp), ("s3_payloads", &fields.s3_payloads)];
    let places = places.into_iter().filter_map(|(name, place)| Some((name.to_owned(), place.as_ref()?)));
    let buckets = fields.buckets.iter().flatten();
    let places = places.chain(buckets.map(|(name, folder)| (format!("bucket {name}"), folder)));
    // Links and `.` count as what they lead to, where that is there.
    let real = |path: PathBuf| path.canonicalize().unwrap_or(path);
    let folder = real(folder.to_owned());
    let outside = places.filter(|(_, place)| !real(folder.join(place)).starts_with(&folder));
    outside.map(|(name, place)| format!("{place}: {name} is outside of the realm's folder")).collect()
}

/// Says what is left of others that were killed: nothing removes it, as it may be under way.
fn tell_left_behind(global: &Global, path: &std::path::Path) {
    let left = left_behind(path).into_iter().map(|left| {
        let left = left.display().to_string();
        format!("{} was left by one that was killed, or is under way: else remove it", escaped(&left))
    });
    note(global, &left.collect::<Vec<_>>());
}

fn tell_left_out(global: &Global, done: &BackedUp) {
    let lines: Vec<String> = done.left_out.iter().map(|one| format!("not in it: {}", escaped(one))).collect();
    note(global, &lines);
}

/// The backup that would be restored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Foreseen {
    /// The backup.
    #[serde(flatten)]
    pub(super) backup: BackedUp,
    /// How many jobs the realm would have.
    pub(super) jobs: usize,
    /// How many of them with schedules.
    pub(super) scheduled: usize,
    /// How many runs, without their steps.
    pub(super) runs: u64,
    /// Why it cannot be restored into the folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) in_the_way: Option<String>,
    /// Always: nothing was restored.
    pub(super) dry_run: bool,
}

/// Checks a backup, and says what would be restored and what is in the way.
pub(super) async fn foreseen(global: &Global, file: PathBuf) -> Result<(), Failure> {
    if global.is_aws() {
        return Err(Failure::wrong(format!("restore: {ON_AWS}")));
    }
    refuse_other_name(global, &file)?;
    let mut progress = Progress::new(global);
    let heard = Box::new(move |at| progress.heard(at));
    let found = look_into(file.clone(), global.home.clone(), heard).await;
    Progress::new(global).clear();
    let BackupContent { manifest, definition, jobs, scheduled, runs, in_the_way } = found.map_err(refused)?;
    let mut backup = BackedUp::of(file, manifest);
    backup.elsewhere = outside(&definition, &global.home);
    let why = in_the_way.as_ref().map(ToString::to_string);
    let done = Foreseen { backup, jobs, scheduled, runs, in_the_way: why, dry_run: true };
    print(global.output, &done, || foreseen_lines(global, &done))?;
    tell_left_out(global, &done.backup);
    warn_of_elsewhere(global, &done.backup);
    in_the_way.map_or(Ok(()), |error| Err(refused(error)))
}

fn foreseen_lines(global: &Global, done: &Foreseen) -> Vec<String> {
    let Foreseen { backup, jobs, scheduled, runs, .. } = done;
    let runs = usize::try_from(*runs).unwrap_or(usize::MAX);
    vec![
        format!(
            "the backup is whole: realm {} of {}: {}, {}",
            backup.realm,
            crate::view::local_time(backup.made.0),
            counted(backup.files, "file"),
            size(backup.bytes)
        ),
        format!(
            "would restore into {}: {}, {scheduled} of them with schedules; {}",
            escaped(&global.home.display().to_string()),
            counted(*jobs, "job"),
            counted(runs, "run")
        ),
        "the restored realm would stand still until pumice maintenance off".to_owned(),
    ]
}

fn warn_of_elsewhere(global: &Global, done: &BackedUp) {
    let lines = done.elsewhere.iter().map(|place| {
        format!(
            "the restored realm uses {}: if the old realm has it too, name another before it goes on",
            escaped(place)
        )
    });
    crate::output::warn(global, &lines.collect::<Vec<_>>());
}

/// Refuses the name of another realm than the one that a backup is of: a restored realm keeps its name.
fn refuse_other_name(global: &Global, file: &std::path::Path) -> Result<(), Failure> {
    let Some(asked) = &global.realm else { return Ok(()) };
    let has = backup_heading(file).map_err(refused)?.realm;
    if has == *asked {
        return Ok(());
    }
    let file = file.display().to_string();
    let why = format!("{} has realm {has}, and a restored realm keeps its name", escaped(&file));
    Err(of_option("--realm", why))
}

/// Restores a backup into the realm's folder, which must be empty or not there.
pub(super) async fn restored(global: &Global, file: PathBuf) -> Result<(), Failure> {
    if global.is_aws() {
        return Err(Failure::wrong(format!("restore: {ON_AWS}")));
    }
    refuse_other_name(global, &file)?;
    tell_left_behind(global, &global.home);
    let (actor, now) = (crate::realm::user(), SystemClock.now());
    let mut progress = Progress::new(global);
    let heard = Box::new(move |at| progress.heard(at));
    let done = restore(file.clone(), global.home.clone(), actor.clone(), now, heard).await;
    Progress::new(global).clear();
    let mut done = BackedUp::of(file, done.map_err(refused)?);
    // The audit of the restored realm begins with how it came to be here.
    let home = Home::open(&global.home, None, false, Durability::Normal).await?;
    done.elsewhere = elsewhere(&home).await?;
    let entry = AuditEntry {
        id: AuditId(SystemRandom.uuid(now)),
        at: now,
        who: actor,
        from: pumice_core::audit::Origin::Cli,
        host: Some(rustix::system::uname().nodename().to_string_lossy().into_owned()),
        act: "restore".to_owned(),
        what: vec![Target::new("realm", done.realm.clone())],
        unnamed: 0,
        asked: json!({ "file": done.file, "made": done.made }),
        changes: Vec::new(),
        outcome: ActOutcome::Done,
        answer: json!({ "files": done.files, "bytes": done.bytes }),
        error: None,
        ended: Some(SystemClock.now()),
        expires: Some(now + home.site().await?.settings.audit_ttl.delta()),
    };
    home.database().finish(&entry).await?;
    print(global.output, &done, || {
        vec![
            format!(
                "restored realm {} of {} into {}: {}, {}",
                done.realm,
                crate::view::local_time(done.made.0),
                escaped(&global.home.display().to_string()),
                counted(done.files, "file"),
                size(done.bytes)
            ),
            "the realm stands still: nothing runs, neither by the clock nor by request, nor what had begun"
                .to_owned(),
            "once the realm that it was copied from is stopped for good: pumice maintenance off".to_owned(),
        ]
    })?;
    tell_left_out(global, &done);
    warn_of_elsewhere(global, &done);
    Ok(())
}

/// Shows the progress at a terminal.
struct Progress {
    shows: bool,
    shown_at: Option<Moment>,
}

impl Progress {
    fn new(global: &Global) -> Self {
        Self { shows: !global.quiet && std::io::stderr().is_terminal(), shown_at: None }
    }

    fn heard(&mut self, at: BackupProgress) {
        if self.shows && self.shown_at.is_none_or(|shown_at| shown_at.elapsed() >= SHOW_EVERY) {
            self.shown_at = Some(Moment::now());
            tell_text(&format!("\r\x1b[K{} {}", at.stage.words(), size(at.bytes)));
        }
    }

    fn end(&self) {
        if self.shown_at.is_some() {
            self.clear();
        }
    }

    fn clear(&self) {
        if self.shows {
            tell_text("\r\x1b[K");
        }
    }
}

/// A size in few characters.
fn size(bytes: u64) -> String {
    let units = [("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000)];
    match units.into_iter().find(|(_, unit)| bytes >= *unit) {
        Some((name, unit)) => format!("{}.{} {name}", bytes / unit, bytes % unit * 10 / unit),
        None => format!("{bytes} B"),
    }
}
