use std::io::{Cursor, Write};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use tar::{Builder, EntryType, Header};
use tempfile::TempDir;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::*;

/// A member for a test's archive.
#[derive(Clone, Copy, Debug)]
enum Member<'a> {
    File(&'a str, &'a str),
    Folder(&'a str),
    Link(&'a str, &'a str),
    HardLink(&'a str, &'a str),
    Odd(&'a str, EntryType),
}
use Member::{File, Folder, HardLink, Link, Odd};

/// A tar archive whose names stand in it as they are given.
fn tar_of(members: &[Member<'_>]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for member in members {
        let mut header = Header::new_gnu();
        let (name, kind, target, bytes) = match *member {
            File(name, text) => (name, EntryType::Regular, "", text),
            Folder(name) => (name, EntryType::Directory, "", ""),
            Link(name, target) => (name, EntryType::Symlink, target, ""),
            HardLink(name, target) => (name, EntryType::Link, target, ""),
            Odd(name, kind) => (name, kind, "", ""),
        };
        header.set_entry_type(kind);
        header.set_size(bytes.len() as u64);
        header.set_mode(if kind == EntryType::Directory { 0o755 } else { 0o4750 });
        let gnu = header.as_gnu_mut().unwrap();
        gnu.name[..name.len()].copy_from_slice(name.as_bytes());
        gnu.linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_cksum();
        builder.append(&header, bytes.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

/// A zip archive whose names stand in it as they are given; `None` where zip has no such member.
fn zip_of(members: &[Member<'_>]) -> Option<Vec<u8>> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
    for member in members {
        match *member {
            File(name, text) => {
                writer.start_file(name, options.unix_permissions(0o4750)).unwrap();
                writer.write_all(text.as_bytes()).unwrap();
            }
            Folder(name) => writer.add_directory(name, options).unwrap(),
            Link(name, target) => writer.add_symlink(name, target, options).unwrap(),
            HardLink(..) | Odd(..) => return None,
        }
    }
    Some(writer.finish().unwrap().into_inner())
}

fn bounds(archive: &[u8]) -> Bounds {
    Bounds::of(archive.len() as u64, Duration::from_secs(60), Stop::default())
}

/// Unpacks into a folder of a folder, so that files outside of it can be seen.
fn unpacked(archive: &[u8], bounds: Bounds) -> (io::Result<Unpacked>, TempDir) {
    let outside = tempfile::tempdir().unwrap();
    let folder = outside.path().join("in/here");
    std::fs::create_dir_all(&folder).unwrap();
    let unpacked = unpack(Cursor::new(archive), &folder, bounds);
    (unpacked, outside)
}

/// All below a folder, with what links lead to.
fn listed(folder: &Path) -> Vec<String> {
    let (mut open, mut names) = (vec![folder.to_owned()], Vec::new());
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(folder).unwrap().display().to_string();
            match path.read_link() {
                Ok(target) => names.push(format!("{name} -> {}", target.display())),
                Err(_) => names.push(name),
            }
            if path.is_dir() && !path.is_symlink() {
                open.push(path);
            }
        }
    }
    names.sort();
    names
}

fn compressed(bytes: &[u8], compression: Compression) -> Vec<u8> {
    match compression {
        Compression::None => bytes.to_vec(),
        Compression::Gz => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Bz2 => {
            let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::default());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Xz => {
            let options = lzma_rust2::XzOptions::with_preset(1);
            let mut encoder = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Zst => {
            ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
        }
    }
}

const ALL: [Compression; 5] =
    [Compression::None, Compression::Gz, Compression::Bz2, Compression::Xz, Compression::Zst];

#[test]
fn archive_of_each_kind_unpacks_to_its_members() {
    let members = [
        File("./bin/run.sh", "#!/bin/sh\n"),
        Folder("empty/"),
        File("a/b/c", "text"),
        Link("a/b/up", "../../bin/run.sh"),
        Link("here", "./a"),
        File("Report.txt", ""),
        Folder("a/"),
    ];
    let wanted = [
        "Report.txt",
        "a",
        "a/b",
        "a/b/c",
        "a/b/up -> ../../bin/run.sh",
        "bin",
        "bin/run.sh",
        "empty",
        "here -> ./a",
    ];
    let mut archives: Vec<Vec<u8>> = ALL.map(|one| compressed(&tar_of(&members), one)).to_vec();
    archives.push(zip_of(&members).unwrap());
    for archive in archives {
        let (done, outside) = unpacked(&archive, bounds(&archive));
        done.unwrap();
        let folder = outside.path().join("in/here");
        assert_eq!(listed(&folder), wanted);
        assert_eq!(std::fs::read_to_string(folder.join("a/b/c")).unwrap(), "text");
        let mode = std::fs::metadata(folder.join("bin/run.sh")).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o750, "no set-user-id");
        assert_eq!(listed(outside.path()).len(), wanted.len() + 2);
    }
}

#[test]
fn parts_put_one_after_the_other_are_all_read() {
    let tar = tar_of(&[File("a", "first"), File("b", "second")]);
    for compression in &ALL[1..] {
        let (one, other) = tar.split_at(700);
        let mut archive = compressed(one, *compression);
        if *compression == Compression::Zst {
            // As pzstd has it.
            archive = [b"\x50\x2a\x4d\x18\x04\0\0\0mark".as_slice(), &archive].concat();
        }
        archive.extend(compressed(other, *compression));
        let (done, outside) = unpacked(&archive, bounds(&archive));
        done.unwrap();
        assert_eq!(listed(&outside.path().join("in/here")), ["a", "b"], "{compression:?}");
    }
}

#[test]
fn entry_that_would_leave_its_folder_is_refused() {
    for (members, why) in [
        (vec![File("/tmp/evil", "x")], "leads out of it"),
        (vec![File("../evil", "x")], "leads out of it"),
        (vec![File("a/../../evil", "x")], "leads out of it"),
        (vec![Folder("../evil/")], "leads out of it"),
        (vec![Folder("/evil/")], "leads out of it"),
        (vec![File("a\\..\\evil", "x")], "backslash"),
        (vec![Link("out", "/etc")], "leads out of it"),
        (vec![Link("out", "../evil")], "leads out of it"),
        (vec![Link("a/out", "../../evil")], "leads out of it"),
        (vec![Link("out", "")], "leads out of it"),
        // Through a link to the folder itself, one step up is outside.
        (vec![Link("self", "."), Link("out", "self/../evil")], "leads out of it"),
        (vec![Link("d", "a/b"), Link("out", "d/../../../evil"), File("a/b/c", "x")], "leads out of it"),
        // Links, then files through them.
        (vec![Link("d", "a"), File("d/evil", "x")], "goes through \"d\""),
        (vec![File("a/x", "x"), Link("d", "a"), Folder("d/e/")], "goes through \"d\""),
        (vec![Link("d", "a"), File("d", "x")], "holds \"d\" twice"),
        (vec![File("d/x", "x"), Link("d", "a")], "holds \"d\" twice"),
        (vec![HardLink("out", "/etc/passwd")], "leads out of it"),
        (vec![HardLink("out", "../../x")], "leads out of it"),
        (vec![HardLink("out", "nowhere")], "is not a file before it"),
        (vec![Link("d", "a"), HardLink("out", "d")], "is not a file before it"),
        (vec![Folder("d/"), HardLink("out", "d")], "is not a file before it"),
        (vec![Odd("dev", EntryType::Block)], "is a device"),
        (vec![Odd("dev", EntryType::Char)], "is a device"),
        (vec![Odd("pipe", EntryType::Fifo)], "is a pipe"),
        (vec![Odd("odd", EntryType::new(b'Z'))], "of the unknown kind"),
        // Names that are one where the case of letters does not count.
        (vec![Link("D", "a"), File("d/evil", "x")], "differ in the case"),
        (vec![File("Run.sh", "x"), File("run.sh", "y")], "differ in the case"),
        (vec![File("É", "x"), File("é", "y")], "differ in the case"),
        (vec![File("a", "x"), File("a", "y")], "holds \"a\" twice"),
        (vec![File("a", "x"), File("./a", "y")], "holds \"a\" twice"),
        (vec![File("a", "x"), File("a/b", "y")], "goes through \"a\""),
        (vec![File("a", "x"), Folder("a/")], "goes through \"a\""),
    ] {
        // The crate refuses to write a name twice; those are written to a tar alone.
        let names: Vec<&str> = members.iter().map(|member| name_of(*member)).collect();
        let is_twice = (1..names.len()).any(|index| names[..index].contains(&names[index]));
        let zip = if is_twice { None } else { zip_of(&members) };
        for archive in [Some(tar_of(&members)), zip].into_iter().flatten() {
            let (done, outside) = unpacked(&archive, bounds(&archive));
            let error = done.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{names:?}: {error}");
            assert!(error.to_string().contains(why), "{names:?}: {error}");
            let beside: Vec<String> = listed(outside.path());
            assert!(beside.iter().all(|name| name.starts_with("in")), "{beside:?}");
            assert_eq!(beside.iter().filter(|name| !name.starts_with("in/here")).count(), 1, "{beside:?}");
        }
    }
}

#[test]
fn zip_that_has_a_file_twice_is_refused_and_a_folder_is_not() {
    let text = |name: &'static str| File(name, "x");
    for (members, wanted) in [
        ([text("twice-1"), text("other"), text("twice-2")], Some("holds \"twice-1\" twice")),
        ([Folder("twice-1/"), text("twice-1/a"), Folder("twice-2/")], None),
    ] {
        let mut archive = zip_of(&members).unwrap();
        // The crate writes no name twice, so that the second is changed afterwards.
        for at in 0..archive.len() - 7 {
            if archive[at..].starts_with(b"twice-2") {
                archive[at + 6] = b'1';
            }
        }
        let (done, _outside) = unpacked(&archive, bounds(&archive));
        match wanted {
            Some(wanted) => assert!(done.unwrap_err().to_string().contains(wanted), "{members:?}"),
            None => assert!(done.is_ok(), "{done:?}"),
        }
    }
}

fn name_of(member: Member<'_>) -> &str {
    match member {
        File(name, _) | Folder(name) | Link(name, _) | HardLink(name, _) | Odd(name, _) => name,
    }
}

#[test]
fn links_that_stay_within_are_kept() {
    for (members, link) in [
        (vec![File("a/b/c", "x"), Link("a/l", "b/c")], "a/l -> b/c"),
        (vec![File("a/b/c", "x"), Link("a/b/l", "../../a")], "a/b/l -> ../../a"),
        (vec![Link("l", "nowhere")], "l -> nowhere"),
    ] {
        let archive = tar_of(&members);
        let (done, outside) = unpacked(&archive, bounds(&archive));
        done.unwrap();
        assert!(listed(&outside.path().join("in/here")).contains(&link.to_owned()), "{link}");
    }
    let archive = tar_of(&[File("a", "x"), HardLink("b", "a")]);
    let (done, outside) = unpacked(&archive, bounds(&archive));
    done.unwrap();
    assert_eq!(std::fs::read_to_string(outside.path().join("in/here/b")).unwrap(), "x");
}

#[test]
fn archive_that_unpacks_to_too_much_is_refused() {
    let text = "x".repeat(100_000);
    let members = [File("a", &text), File("b", &text)];
    let mut archives: Vec<Vec<u8>> = ALL.map(|one| compressed(&tar_of(&members), one)).to_vec();
    archives.push(zip_of(&members).unwrap());
    for archive in archives {
        let (done, _outside) = unpacked(&archive, bounds(&archive).with(150_000, 100));
        let error = done.unwrap_err();
        assert!(error.to_string().contains("unpacks to more than 150000 bytes"), "{error}");
        let (done, _outside) = unpacked(&archive, bounds(&archive).with(1_000_000, 1));
        let error = done.unwrap_err();
        assert!(error.to_string().contains("more than 1 files, folders and links"), "{error}");
        let (done, _outside) = unpacked(&archive, bounds(&archive).with(1_000_000, 2));
        done.unwrap();
    }
}

/// A gzip file of many zeros is a thousandth of them.
#[test]
fn archive_that_grows_too_much_for_its_size_is_refused() {
    let mut header = Header::new_gnu();
    header.set_path("zeros").unwrap();
    header.set_size(60_000_000);
    header.set_cksum();
    let mut builder = Builder::new(Vec::new());
    builder.append(&header, io::repeat(0).take(60_000_000)).unwrap();
    let archive = compressed(&builder.into_inner().unwrap(), Compression::Gz);
    let (done, outside) = unpacked(&archive, bounds(&archive));
    // 60 kB and the 32 MiB that any archive may have.
    assert!(archive.len() < 65_000);
    match done {
        Err(error) => assert!(error.to_string().contains("too much for its size"), "{error}"),
        Ok(_) => {
            let length = std::fs::metadata(outside.path().join("in/here/zeros")).unwrap().len();
            panic!("{length} bytes of {}", archive.len());
        }
    }
}

#[test]
fn description_of_an_entry_is_limited() {
    // A long name of 3 MB.
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::GNULongName);
    header.set_size(3_000_000);
    header.set_cksum();
    let mut builder = Builder::new(Vec::new());
    builder.append(&header, io::repeat(b'a').take(3_000_000)).unwrap();
    let mut file = Header::new_gnu();
    file.set_path("x").unwrap();
    file.set_size(0);
    file.set_cksum();
    builder.append(&file, io::empty()).unwrap();
    let archive = builder.into_inner().unwrap();
    let (done, _outside) = unpacked(&archive, bounds(&archive));
    let error = done.unwrap_err();
    assert!(error.to_string().contains("describes one entry with more than 1048576 bytes"), "{error}");
}

#[test]
fn archive_that_is_torn_or_spoilt_is_refused() {
    let members = [File("a", &"some text of a file. ".repeat(500)), File("b", "more")];
    let mut archives: Vec<Vec<u8>> = ALL.map(|one| compressed(&tar_of(&members), one)).to_vec();
    archives.push(zip_of(&members).unwrap());
    for (number, archive) in archives.iter().enumerate() {
        let torn = &archive[..archive.len() / 3];
        let (done, _outside) = unpacked(torn, bounds(torn));
        let error = done.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{number}: {error}");
    }
    // A checksum that stands at the end, behind the end of the archive in it.
    for compression in [Compression::Gz, Compression::Bz2, Compression::Xz] {
        let mut archive = compressed(&tar_of(&members), compression);
        let at = archive.len() - if compression == Compression::Xz { 40 } else { 8 };
        archive[at] ^= 0x55;
        let (done, _outside) = unpacked(&archive, bounds(&archive));
        assert!(done.is_err(), "{compression:?}");
    }
    // That of a zip stands in its list.
    let mut archive = zip_of(&members).unwrap();
    let at = archive.windows(4).position(|four| four == b"PK\x01\x02").unwrap() + 16;
    archive[at] ^= 0x55;
    let (done, _outside) = unpacked(&archive, bounds(&archive));
    let error = done.unwrap_err();
    assert!(error.to_string().starts_with("is broken: "), "{error}");
    for (archive, why) in [
        (b"".to_vec(), "neither a tar nor a zip"),
        (b"#!/bin/sh\necho x".to_vec(), "neither a tar nor a zip"),
        (compressed(b"no archive at all", Compression::Gz), "broken"),
        (tar_of(&[]), "neither a tar nor a zip"),
        (zip_of(&[]).unwrap(), "holds nothing"),
    ] {
        let (done, _outside) = unpacked(&archive, bounds(&archive));
        let error = done.unwrap_err();
        assert!(error.to_string().contains(why), "{why}: {error}");
    }
}

#[test]
fn unpacking_ends_when_its_time_is_up_or_it_is_stopped() {
    let archive = tar_of(&[File("a", "x")]);
    let late = Bounds::of(archive.len() as u64, Duration::ZERO, Stop::default());
    let (done, _outside) = unpacked(&archive, late);
    assert_eq!(done.unwrap_err().kind(), io::ErrorKind::TimedOut);
    let stop = Stop::default();
    stop.stop();
    let stopped = Bounds::of(archive.len() as u64, Duration::from_secs(60), stop);
    let (done, _outside) = unpacked(&archive, stopped);
    assert_eq!(done.unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
}

#[test]
fn launchers_are_found_in_the_first_two_levels() {
    let archive = zip_of(&[
        File("lib/a.jar", ""),
        File("Load/Load_run.sh", ""),
        File("Load/deep/Other_run.sh", ""),
        File("Load/Load_run.bat", ""),
    ]);
    let archive = archive.unwrap();
    let (done, _outside) = unpacked(&archive, bounds(&archive));
    assert_eq!(done.unwrap().launchers, [PathBuf::from("Load/Load_run.sh")]);
}
