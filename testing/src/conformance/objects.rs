//! Files that outlive a run: parts of them, and lists.
#![expect(missing_docs, reason = "a case's name says what it is about")]

use std::io::Write;
use std::os::fd::AsFd;

use pumice_core::ports::{MAX_PIECE, ObjectPage};

use super::Adapters;

impl Adapters {
    fn at(&self, name: &str) -> String {
        format!("{}/{name}", self.place)
    }

    async fn keep_object(&self, name: &str, bytes: &[u8]) {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(bytes).expect("room for a few bytes");
        self.objects.put_file(&self.at(name), file.as_fd()).await.expect("it is kept");
    }

    async fn listed(&self, prefix: &str, after: Option<&str>, limit: usize) -> ObjectPage {
        self.objects.list_objects(&self.at(prefix), after, limit).await.expect("the store answers")
    }
}

pub async fn object_opened_at_a_range_gives_its_bytes_and_size(on: &Adapters) {
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    on.keep_object("run/stdout", &bytes).await;
    on.keep_object("run/empty", b"").await;
    let open = async |name: &str, from, length| {
        let piece = on.objects.open_range(&on.at(name), from, length).await.expect("the store answers");
        let piece = piece.expect("it is there");
        (piece.bytes, piece.size)
    };
    let size = 100_000;
    for (from, length, expected) in [
        (0, 10, &bytes[..10]),
        (99_990, 10, &bytes[99_990..]),
        (99_990, 500, &bytes[99_990..]),
        (50, 1, &bytes[50..51]),
        (0, MAX_PIECE * 2, &bytes[..]),
        (0, 0, &[]),
        (100_000, 10, &[]),
        (500_000, 10, &[]),
        (u64::MAX, u64::MAX, &[]),
    ] {
        assert_eq!(open("run/stdout", from, length).await, (expected.to_vec(), size), "{length} from {from}");
    }
    assert_eq!(open("run/empty", 0, 10).await, (Vec::new(), 0));
}

pub async fn objects_of_parts_are_joined_and_removed(on: &Adapters) {
    // S3 joins parts of 5 MiB or more, but for the last one.
    const PART: usize = 5 * 1024 * 1024;
    let bytes: Vec<u8> = (0..251).cycle().take(2 * PART + 1_000).collect();
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(&bytes).expect("room for some MiB");
    let names = ["a b/é/_live/3.stdout.000000", "a b/é/_live/3.stdout.000001", "a b/é/_live/3.stdout.000002"];
    let parts: Vec<String> = names.iter().map(|name| on.at(name)).collect();
    for (part, from) in parts.iter().zip((0..).step_by(PART)) {
        // A part that is there already gives way.
        for length in [1, PART.min(bytes.len() - from)] {
            let put = on.objects.put_part(part, file.as_fd(), from as u64, length as u64).await;
            put.expect("it is kept");
        }
    }
    let whole = on.at("a b/é/stdout");
    on.objects.join(&whole, &parts).await.expect("they are joined");
    let mut read = Vec::new();
    while let Some(piece) =
        on.objects.open_range(&whole, read.len() as u64, MAX_PIECE).await.expect("an answer")
    {
        assert_eq!(piece.size, bytes.len() as u64);
        read.extend(piece.bytes);
        if read.len() >= bytes.len() {
            break;
        }
    }
    assert!(read == bytes, "the joined object is another");
    assert_eq!(on.listed("a b/é/_live/", None, 10).await.objects.len(), 3);
    // Removing objects that are gone already is not an error.
    for _ in 0..2 {
        on.objects.remove(&parts).await.expect("they are removed");
    }
    assert!(on.listed("a b/é/_live/", None, 10).await.objects.is_empty());
    on.objects.join(&whole, &parts).await.expect_err("the parts are gone");
    let piece = on.objects.open_range(&whole, 0, 1).await.expect("an answer");
    assert_eq!(piece.map(|piece| piece.size), Some(bytes.len() as u64), "a failure leaves what was there");
}

pub async fn object_that_is_missing_is_none(on: &Adapters) {
    on.keep_object("run/stdout", b"x").await;
    for name in ["run/stderr", "run", "run/stdout/x"] {
        let piece = on.objects.open_range(&on.at(name), 0, 10).await.expect("the store answers");
        assert_eq!(piece, None, "{name}");
    }
}

pub async fn objects_listed_by_prefix_come_in_pages(on: &Adapters) {
    // As text, a point comes before a slash and a dash before both.
    let names = ["a-b/1", "a.b", "a/b/1", "a/b/2", "a/c", "ab"];
    for (number, name) in names.iter().enumerate() {
        on.keep_object(name, &vec![b'x'; number]).await;
    }
    for (prefix, expected) in
        [("", &names[..]), ("a/", &names[2..5]), ("a/b", &names[2..4]), ("a", &names[..]), ("b", &[])]
    {
        for limit in [1, 2, 3, 1_000_000] {
            let (mut found, mut after) = (Vec::new(), None::<String>);
            loop {
                let page = on.listed(prefix, after.as_deref(), limit).await;
                assert!(page.objects.len() <= limit, "{prefix} by {limit}");
                assert!(page.next.is_none() || !page.objects.is_empty(), "{prefix} by {limit}");
                found.extend(page.objects);
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            let told: Vec<(&str, u64)> =
                found.iter().map(|object| (object.location.as_str(), object.size)).collect();
            let number =
                |name: &str| names.iter().position(|other| *other == name).unwrap_or_default() as u64;
            let locations: Vec<String> = expected.iter().map(|name| on.at(name)).collect();
            let expected: Vec<(&str, u64)> =
                expected.iter().zip(&locations).map(|(name, at)| (at.as_str(), number(name))).collect();
            assert_eq!(told, expected, "{prefix} by {limit}");
        }
    }
}
