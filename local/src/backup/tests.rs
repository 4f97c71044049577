use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use pumice_core::ids::RealmName;
use pumice_core::pauses::Scope;
use pumice_core::ports::{Catalog as _, Clock};
use pumice_core::spec::JobSpec;
use rusqlite::Connection;

use super::*;
use crate::database::{Database, Durability};
use crate::{Home, SystemClock};

/// A realm's folder with a store and some files, and a place for backups.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = Self { folder };
        Home::open(&place.home(), None, true, Durability::Normal).await.unwrap();
        for (path, text) in [
            ("payloads/demo/a.sh", "#!/bin/sh\n"),
            ("temp/job/out", "printed"),
            ("scratch/x", "passes"),
            ("work/y", "passes"),
            ("größe/日本", ""),
        ] {
            let path = place.home().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        std::os::unix::fs::symlink("/etc/passwd", place.home().join("payloads/link")).unwrap();
        place
    }

    fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn make(&self, name: &str) -> Result<Manifest, BackupError> {
        let realm = RealmName::new("local").unwrap();
        back_up(&self.home(), &realm, &self.at(name), Vec::new(), SystemClock.now(), &mut |_| {})
    }

    async fn restore(&self, name: &str, to: &str) -> Result<Manifest, BackupError> {
        restore(self.at(name), self.at(to), "ada".to_owned(), SystemClock.now(), Box::new(|_| {})).await
    }

    /// The names in the folder for backups.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

#[tokio::test]
async fn backup_gives_way_on_a_thread_of_its_own() {
    let place = Place::new().await;
    let priority = || rustix::process::getpriority_process(None).unwrap();
    let (own, mut during) = (priority(), Vec::new());
    let realm = RealmName::new("local").unwrap();
    let file = place.at("one.backup");
    back_up(&place.home(), &realm, &file, Vec::new(), SystemClock.now(), &mut |_| during.push(priority()))
        .unwrap();
    assert!(
        during.len() > 2 && during.iter().all(|during| *during == (own + make::NICE).min(19)),
        "{own}: {during:?}"
    );
    assert_eq!(priority(), own, "the caller stays as it was");
}

#[tokio::test]
async fn backup_restored_elsewhere_has_everything_and_is_paused() {
    let place = Place::new().await;
    let manifest = place.make("one.backup").unwrap();
    let paths: Vec<&str> = manifest.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths[0], "pumice.db");
    assert!(!paths.iter().any(|path| path.starts_with("scratch") || path.starts_with("work")), "{paths:?}");
    assert!(manifest.left_out.iter().any(|one| one.contains("payloads/link: it is a link")), "{manifest:?}");
    assert_eq!(check_backup(&place.at("one.backup"), &mut |_| {}).unwrap(), manifest);
    assert_eq!(place.restore("one.backup", "new").await.unwrap(), manifest);
    assert_eq!(fs::read_to_string(place.at("new/payloads/demo/a.sh")).unwrap(), "#!/bin/sh\n");
    assert_eq!(fs::read_to_string(place.at("new/größe/日本")).unwrap(), "");
    let home = Home::open(&place.at("new"), None, false, Durability::Normal).await.unwrap();
    let pauses = home.database().read_pauses().await.unwrap();
    let held: Vec<_> = pauses
        .live(SystemClock.now())
        .map(|pause| (&pause.scope, pause.by.as_deref(), pause.everything))
        .collect();
    assert_eq!(held, [(&Scope::Realm, Some("ada"), true)]);
    assert_eq!(place.names(), ["home", "new", "one.backup"], "nothing is left behind");
}

#[tokio::test]
async fn backup_replaces_no_file_and_is_not_made_inside_the_realm() {
    let place = Place::new().await;
    fs::write(place.at("one.backup"), "mine").unwrap();
    assert!(matches!(place.make("one.backup"), Err(BackupError::Exists(_))));
    assert_eq!(fs::read_to_string(place.at("one.backup")).unwrap(), "mine");
    assert!(matches!(place.make("home/one.backup"), Err(BackupError::Inside(_))));
    assert!(matches!(place.make("home/temp/one.backup"), Err(BackupError::Inside(_))));
    assert_eq!(place.names(), ["home", "one.backup"]);
}

#[tokio::test]
async fn restoration_over_anything_is_refused() {
    let place = Place::new().await;
    place.make("one.backup").unwrap();
    fs::create_dir(place.at("full")).unwrap();
    fs::write(place.at("full/x"), "").unwrap();
    fs::write(place.at("file"), "").unwrap();
    fs::create_dir(place.at("empty")).unwrap();
    for (to, why) in [("home", "holds a realm"), ("full", "is not empty"), ("file", "is not a folder")] {
        let error = place.restore("one.backup", to).await.unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
    place.restore("one.backup", "empty").await.unwrap();
}

/// A dry run looks into the whole backup, says what is in the way, and leaves the folder and its neighbours as they are.
#[tokio::test]
async fn backup_looked_into_is_counted_and_not_restored() {
    let place = Place::new().await;
    let home = Home::open(&place.home(), None, false, Durability::Normal).await.unwrap();
    let job = |id: &str, schedule: Option<&str>| {
        let document = serde_json::json!({
            "job_id": id, "type": "cmd", "worker": "core", "enabled": true, "payload": "true", "schedule": schedule
        });
        let document = document.as_object().unwrap().clone();
        JobSpec::from_checked(std::sync::Arc::new(document)).unwrap()
    };
    let jobs = vec![job("a", None), job("b", Some("@daily"))];
    home.database().put_jobs(jobs, false).await.unwrap();
    drop(home);
    let manifest = place.make("one.backup").unwrap();
    fs::create_dir(place.at("full")).unwrap();
    fs::write(place.at("full/x"), "").unwrap();
    let before = place.names();
    for (to, in_the_way) in [("new", None), ("home", Some("holds a realm")), ("full", Some("is not empty"))] {
        let found = look_into(place.at("one.backup"), place.at(to), Box::new(|_| {})).await.unwrap();
        assert_eq!(found.manifest, manifest);
        assert_eq!((found.jobs, found.scheduled, found.runs), (2, 1, 0));
        let why = found.in_the_way.map(|error| error.to_string());
        assert_eq!(why.is_some(), in_the_way.is_some(), "{to}");
        assert!(why.unwrap_or_default().contains(in_the_way.unwrap_or_default()), "{to}");
        assert_eq!(place.names(), before, "{to}");
    }
}

/// Each cut and each change of what the file holds is found before anything is written.
#[tokio::test]
async fn truncated_or_changed_backup_is_refused_before_any_write() {
    let place = Place::new().await;
    let made = place.make("one.backup").unwrap();
    let whole = fs::read(place.at("one.backup")).unwrap();
    let mut broken = vec![Vec::new(), b"not a backup".to_vec(), [whole.as_slice(), b"x"].concat()];
    broken.extend((1..20).map(|part| whole[..whole.len() * part / 20].to_vec()));
    broken.push(whole[..whole.len() - 1].to_vec());
    broken.extend((0..40).map(|part| {
        let mut changed = whole.clone();
        let at = (whole.len() - 1) * part / 40;
        // The header of gzip has a time and a system, which mean nothing.
        let at = if at < 10 { 12 } else { at };
        changed[at] ^= 0x55;
        changed
    }));
    for (number, bytes) in broken.into_iter().enumerate() {
        fs::write(place.at("bad.backup"), bytes).unwrap();
        let error = match place.restore("bad.backup", "new").await {
            Err(error) => error,
            // Deflate can say the same in several ways, as how far back a run of zeros begins: nothing is changed then.
            Ok(restored) => {
                assert_eq!(restored, made, "{number}");
                fs::remove_dir_all(place.at("new")).unwrap();
                continue;
            }
        };
        let is_expected = matches!(error, BackupError::Damaged { .. } | BackupError::Foreign { .. });
        assert!(is_expected, "{number}: {error}");
        let looked = look_into(place.at("bad.backup"), place.at("new"), Box::new(|_| {})).await.unwrap_err();
        assert_eq!(looked.to_string(), error.to_string(), "{number}");
        assert_eq!(place.names(), ["bad.backup", "home", "one.backup"], "{number}");
    }
}

/// An archive whose manifest is right about all but one thing.
fn forged(file: &Path, edit: impl Fn(&mut Vec<(String, Vec<u8>)>, &mut Manifest)) {
    let heading = Heading {
        format: FORMAT,
        realm: RealmName::new("local").unwrap(),
        made: SystemClock.now(),
        program: "0".to_owned(),
        store_version: 1,
    };
    let mut files = vec![("pumice.db".to_owned(), b"x".to_vec()), ("a".to_owned(), b"aa".to_vec())];
    let listed = files.iter().map(|(path, bytes)| BackedUpFile {
        path: path.clone(),
        size: bytes.len() as u64,
        sha256: pumice_core::text::hex(&<sha2::Sha256 as sha2::Digest>::digest(bytes)),
    });
    let mut manifest = Manifest { heading, files: listed.collect(), left_out: Vec::new() };
    edit(&mut files, &mut manifest);
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    let mut put = |name: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        // As a program that means ill would write it.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        tar.append(&header, bytes).unwrap();
    };
    put(HEADING, &serde_json::to_vec(&manifest.heading).unwrap());
    for (name, bytes) in &files {
        put(&format!("{FILES}{name}"), bytes);
    }
    put(MANIFEST, &serde_json::to_vec(&manifest).unwrap());
    let bytes = tar.into_inner().unwrap().finish().unwrap();
    fs::File::create(file).unwrap().write_all(&bytes).unwrap();
}

#[tokio::test]
async fn archive_that_means_ill_is_refused() {
    let place = Place::new().await;
    let bad = place.at("bad.backup");
    type Edit = fn(&mut Vec<(String, Vec<u8>)>, &mut Manifest);
    let cases: [(&str, Edit); 8] = [
        ("is nothing that a backup has", |files, _| files.push(("../up".to_owned(), Vec::new()))),
        ("is nothing that a backup has", |files, _| files.push(("/etc/x".to_owned(), Vec::new()))),
        ("is there twice", |files, _| files.push(("a".to_owned(), b"aa".to_vec()))),
        ("its digest is another", |files, _| files[1].1 = b"ab".to_vec()),
        ("bytes, and the manifest says", |files, _| files[1].1 = b"aab".to_vec()),
        ("is missing", |files, _| drop(files.pop())),
        ("it has no store", |_, manifest| drop(manifest.files.remove(0))),
        ("newer version of pumice", |_, manifest| manifest.heading.format = FORMAT + 1),
    ];
    for (why, edit) in cases {
        forged(&bad, edit);
        let error = place.restore("bad.backup", "new").await.unwrap_err();
        assert!(error.to_string().contains(why), "{why}: {error}");
        assert!(!place.at("new").exists() && !place.at("up").exists(), "{why}");
    }
    let newer: Edit = |_, manifest| manifest.heading.store_version = 10_000;
    forged(&bad, newer);
    assert!(matches!(place.restore("bad.backup", "new").await, Err(BackupError::Newer { .. })));
}

/// No file next to a backup or a restored folder is used or removed, whatever its name; a backup is readable by its user alone.
#[tokio::test]
async fn files_next_to_a_backup_are_left_alone_and_reported() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let place = Place::new().await;
    let digits = "0190a0a0000070008000000000000001";
    let (half, other) = (format!("one.backup.{digits}.partial"), format!("new.{digits}.restoring"));
    fs::write(place.at("victim"), "mine").unwrap();
    fs::write(place.at("one.backup.partial"), "mine").unwrap();
    symlink(place.at("victim"), place.at("one.backup.partial-store")).unwrap();
    fs::write(place.at(&half), "mine").unwrap();
    for folder in ["new.restoring", &other] {
        fs::create_dir(place.at(folder)).unwrap();
        fs::write(place.at(folder).join("precious"), "mine").unwrap();
    }
    let before = place.names();
    place.make("one.backup").unwrap();
    let made = fs::symlink_metadata(place.at("one.backup")).unwrap();
    assert!(made.is_file() && made.permissions().mode() & 0o777 == 0o600, "{made:?}");
    place.restore("one.backup", "new").await.unwrap();
    let mut wanted = [before, vec!["new".to_owned(), "one.backup".to_owned()]].concat();
    wanted.sort();
    assert_eq!(place.names(), wanted);
    for file in ["victim", "one.backup.partial", &half] {
        assert_eq!(fs::read_to_string(place.at(file)).unwrap(), "mine", "{file}");
    }
    for folder in ["new.restoring", &other] {
        assert_eq!(fs::read_to_string(place.at(folder).join("precious")).unwrap(), "mine", "{folder}");
    }
    assert_eq!(left_behind(&place.at("one.backup")), [place.at(&half)]);
    assert_eq!(left_behind(&place.at("new")), [place.at(&other)]);
}

/// The digests of an archive are right, and the store that they are of is not.
#[tokio::test]
async fn damaged_store_is_not_restored() {
    let place = Place::new().await;
    let store = place.home().join("pumice.db");
    Connection::open(&store).unwrap().pragma_update(None, "wal_checkpoint", "TRUNCATE").unwrap();
    let mut bytes = fs::read(&store).unwrap();
    let page = 4096;
    assert!(bytes.len() > 8 * page, "{}", bytes.len());
    bytes[2 * page..6 * page].fill(0);
    forged(&place.at("bad.backup"), |files, manifest| {
        manifest.files[0].size = bytes.len() as u64;
        manifest.files[0].sha256 = pumice_core::text::hex(&<sha2::Sha256 as sha2::Digest>::digest(&bytes));
        files[0].1.clone_from(&bytes);
    });
    let error = place.restore("bad.backup", "new").await.unwrap_err().to_string();
    assert!(error.contains("the store in it is not whole"), "{error}");
    assert_eq!(place.names(), ["bad.backup", "home"]);
    forged(&place.at("bad.backup"), |_, manifest| {
        manifest.left_out = vec!["x".repeat(usize::try_from(MAX_MANIFEST_REST).unwrap() + 4_096)];
    });
    let error = place.restore("bad.backup", "new").await.unwrap_err().to_string();
    assert!(error.contains("more than its files call for"), "{error}");
}

#[tokio::test]
async fn store_of_an_earlier_version_is_copied_before_it_is_changed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("realm.db");
    drop(Database::open(&path, folder.path(), Durability::Normal).unwrap());
    let earlier = || {
        let connection = Connection::open(&path).unwrap();
        connection
            .execute_batch("DELETE FROM meta WHERE name = 'identity'; DROP TABLE audit; DROP TABLE permits; DROP TABLE gates; DROP TABLE past_counts; DROP TABLE bulk_acts; DROP TABLE bulk_receipts; DROP TABLE run_minutes; ALTER TABLE schedules DROP COLUMN rules; ALTER TABLE schedules DROP COLUMN superseded; PRAGMA user_version = 9")
            .unwrap();
    };
    earlier();
    drop(Database::open(&path, folder.path(), Durability::Normal).unwrap());
    let version = |path: &Path| {
        let connection = Connection::open(path).unwrap();
        connection.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0)).unwrap()
    };
    assert_eq!(version(&path), crate::schema::VERSION);
    assert_eq!(version(&folder.path().join("realm.db.v9")), 9);
    // A second time the first copy stays.
    earlier();
    drop(Database::open(&path, folder.path(), Durability::Normal).unwrap());
    assert_eq!(version(&folder.path().join("realm.db.v9-2")), 9);
    assert!(!folder.path().join("realm.db.v9-3").exists());
}
