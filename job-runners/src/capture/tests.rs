use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use async_trait::async_trait;
use pumice_core::Timestamp;

use super::*;

/// A clock whose time passes whenever a caller sleeps.
struct Passing(AtomicU64);

#[async_trait]
impl Clock for Passing {
    fn now(&self) -> Timestamp {
        let millis = self.0.load(Ordering::Relaxed);
        Timestamp::UNIX_EPOCH + Duration::from_millis(millis)
    }

    async fn sleep_until(&self, until: Timestamp) {
        let millis = (until - Timestamp::UNIX_EPOCH).num_milliseconds().cast_unsigned();
        self.0.store(millis, Ordering::Relaxed);
    }
}

fn capture<'a>(path: &Path, clock: &'a Passing) -> Capture<'a> {
    Capture::at(path.to_owned(), "stdout", "stdout".to_owned(), clock, u64::MAX, None)
}

fn clock() -> Passing {
    Passing(AtomicU64::new(0))
}

#[tokio::test]
async fn full_disk_is_waited_for_and_then_reported() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let capture = capture(&folder.path().join("live/out"), &clock);
    // Every write to this device finds no room (full(4)).
    let full = OpenOptions::new().append(true).open("/dev/full").unwrap();
    capture.file.set(Arc::new(full)).unwrap();
    let error = capture.record(&b"printed"[..]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    assert_eq!(clock.0.load(Ordering::Relaxed), 60_000);
    assert!(!capture.is_pending());
}

#[tokio::test]
async fn other_failure_is_reported_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let capture = capture(&folder.path().join("realm/scratch/live/out"), &clock);
    let error = capture.record(&b"printed"[..]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(clock.0.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn output_stays_in_the_realm_whatever_takes_the_place_of_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let path = folder.path().join("scratch/live/out");
    for place in ["scratch", "scratch/live"] {
        let place = folder.path().join(place);
        let clock = clock();
        let _ = std::fs::remove_dir_all(&place);
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), &place).unwrap();
        let capture = capture(&path, &clock);
        capture.record(&b"printed"[..]).await.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"printed");
        assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 0);
    }
}

#[tokio::test]
async fn output_is_kept_whatever_became_of_the_folders_rights() {
    let (realm, clock) = (tempfile::tempdir().unwrap(), clock());
    let path = realm.path().join("scratch/live/out");
    let attribute = |sign: &str| {
        let changed = std::process::Command::new("chattr").arg(sign).arg(path.parent().unwrap()).output();
        changed.is_ok_and(|changed| changed.status.success())
    };
    for mode in [0o000, 0o500, 0o700] {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::set_permissions(path.parent().unwrap(), Permissions::from_mode(mode)).unwrap();
        // Only root may, and not on every file system.
        attribute("+i");
        let capture = capture(&path, &clock);
        let recorded = capture.record(&b"printed"[..]).await;
        attribute("-i");
        recorded.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"printed", "{mode:o}");
    }
}

#[tokio::test]
async fn file_that_cannot_be_made_is_the_hosts_fault() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), clock());
    let capture = capture(&folder.path().join("scratch/live").join("x".repeat(300)), &clock);
    let error = capture.record(&b"printed"[..]).await.unwrap_err();
    assert!(HostFault::is_in(&error) && error.to_string().contains("scratch/live/xxx"), "{error}");
}

#[tokio::test]
async fn file_is_known_and_removed_when_not_all_could_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out");
    let clock = clock();
    let capture = capture(&path, &clock);
    capture.record(&b"printed"[..]).await.unwrap();
    assert_eq!(capture.part(-4), "nted");
    drop(capture);
    assert!(!path.exists());
}

#[tokio::test]
async fn part_counts_characters_from_start_and_bytes_from_end() {
    let folder = tempfile::tempdir().unwrap();
    for (printed, size, wanted) in [
        ("é€🌋x", 3, "é€🌋"),
        ("é€🌋x", 1, "é"),
        ("é€🌋x", 4, "é€🌋x"),
        ("é€🌋x", 1_000, "é€🌋x"),
        ("é€🌋x", 0, ""),
        ("é€🌋x", i64::MAX, "é€🌋x"),
        ("é€🌋x", i64::MIN, "é€🌋x"),
        ("a\r\nb\r\nc", 4, "a\nb"),
        ("a\rb\r\r\nc", 6, "a\nb\n\nc"),
        ("a\r\nbc", 3, "a\nb"),
        ("xé€", -3, "€"),
        ("xé€", -2, ""),
        ("xé€", -4, "€"),
        ("xé€", -5, "é€"),
        ("x🌋y", -4, "y"),
        ("a\r\nb", -3, "b"),
    ] {
        let clock = clock();
        let capture = capture(&folder.path().join("out"), &clock);
        capture.record(printed.as_bytes()).await.unwrap();
        assert_eq!(capture.part(size), wanted, "{printed:?} {size}");
    }
}

#[tokio::test]
async fn output_above_its_limit_is_cut_and_read_to_its_end() {
    pumice_core::secret::remember("cut-canary-7761");
    let folder = tempfile::tempdir().unwrap();
    for (printed, limit, kept, dropped) in [
        ("abcdef", 6, "abcdef", 0),
        ("abcdef", 5, "abcde", 1),
        ("abcdef", 0, "", 6),
        // The limit counts what is kept, with secrets masked.
        ("ab cut-canary-7761 cd", 12, "ab ***** cd", 0),
        ("ab cut-canary-7761 cd", 9, "ab ***** ", 2),
        ("ab cut-canary-7761 cd", 5, "ab **", 6),
        ("ab cut-canary-776", 12, "ab cut-canar", 5),
    ] {
        let clock = clock();
        let path = folder.path().join("out");
        let capture = Capture::at(path.clone(), "stdout", "stdout".to_owned(), &clock, limit, None);
        capture.record(printed.as_bytes()).await.unwrap();
        let note =
            format!("\n(pumice keeps the first {limit} bytes: OUTPUT_MAX_SIZE; the command goes on)\n");
        let wanted = if dropped > 0 { format!("{kept}{note}") } else { kept.to_owned() };
        assert_eq!(std::fs::read_to_string(&path).unwrap(), wanted, "{limit}");
        assert_eq!((capture.dropped(), capture.size()), (dropped, wanted.len() as u64), "{limit}");
    }
}

#[tokio::test]
async fn secret_is_masked_wherever_a_read_cuts_it() {
    use std::io::Cursor;
    pumice_core::secret::remember("read-canary-7762");
    let folder = tempfile::tempdir().unwrap();
    let printed = b"ab read-canary-7762 cd read-canary-776";
    for cut in 0..printed.len() {
        let clock = clock();
        let path = folder.path().join("out");
        let capture = capture(&path, &clock);
        let (first, second) = printed.split_at(cut);
        capture.record(Cursor::new(first).chain(Cursor::new(second))).await.unwrap();
        let kept = std::fs::read_to_string(&path).unwrap();
        assert_eq!(kept, "ab ***** cd read-canary-776", "{cut}");
        assert_eq!(capture.size(), kept.len() as u64, "{cut}");
        assert_eq!(capture.part(7), "ab ****", "{cut}");
    }
}

#[tokio::test]
async fn output_that_stays_open_ends_with_what_could_have_begun_a_secret() {
    pumice_core::secret::remember("open-canary-7763");
    let folder = tempfile::tempdir().unwrap();
    let (clock, path) = (clock(), folder.path().join("out"));
    let capture = capture(&path, &clock);
    let (mut writer, reader) = tokio::io::duplex(64);
    tokio::io::AsyncWriteExt::write_all(&mut writer, b"ab open-can").await.unwrap();
    let recording = capture.record(reader);
    let mut recording = std::pin::pin!(recording);
    let kept = || std::fs::read_to_string(&path).unwrap_or_default();
    // Its writer stays: it is not waited for.
    let first_part = async {
        while capture.is_pending() || kept() != "ab " {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        recorded = recording.as_mut() => panic!("{recorded:?}"),
        () = first_part => {}
    }
    capture.finish().await.unwrap();
    assert_eq!(kept(), "ab open-can");
}

#[test]
fn stream_that_fills_the_disk_gives_way_sooner() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let capture = capture(&folder.path().join("out"), &clock);
    assert_eq!(capture.patience(), PATIENCE);
    let file = create(&capture.path).unwrap();
    file.set_len(MUCH + 1).unwrap();
    capture.file.set(Arc::new(file)).unwrap();
    assert_eq!(capture.patience(), SHORT_PATIENCE);
}
