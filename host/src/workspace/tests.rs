use super::*;

#[test]
fn tree_without_rights_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let deep = folder.path().join("work/a/b");
    std::fs::create_dir_all(&deep).unwrap();
    std::fs::write(deep.join("file"), "x").unwrap();
    std::os::unix::fs::symlink("/etc", folder.path().join("work/a/link")).unwrap();
    for path in [deep.as_path(), &folder.path().join("work/a")] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o000)).unwrap();
    }
    remove_tree(&folder.path().join("work")).unwrap();
    assert!(!folder.path().join("work").exists());
    remove_tree(&folder.path().join("work")).unwrap();
    assert!(Path::new("/etc").is_dir());
}

#[test]
fn file_that_cannot_be_removed_keeps_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let tree = folder.path().join("tree");
    for name in ["a", "b/stuck", "c"] {
        std::fs::create_dir_all(tree.join(name)).unwrap();
        std::fs::write(tree.join(name).join("file"), "x").unwrap();
    }
    let immutable = |sign: &str| {
        let file = tree.join("b/stuck/file");
        let changed = std::process::Command::new("chattr").arg(sign).arg(file).output();
        changed.is_ok_and(|changed| changed.status.success())
    };
    // Only root may, and not on every file system; then all can be removed.
    let is_stuck = immutable("+i");
    let removed = remove_tree(&tree);
    let left = [tree.join("a"), tree.join("b/stuck/file"), tree.join("c")].map(|path| path.exists());
    immutable("-i");
    assert_eq!((removed.is_err(), left), (is_stuck, [false, is_stuck, false]));
}

#[test]
fn directories_are_made_when_asked_for_and_private() {
    let folder = tempfile::tempdir().unwrap();
    let work = DiskWorkspace::new(folder.path(), "one", None);
    assert!(!folder.path().join("one").exists());
    let (first, second) = (work.temp().unwrap(), work.temp().unwrap());
    assert_ne!(first.path(), second.path());
    let dir = work.work().unwrap();
    assert_eq!(std::fs::metadata(dir).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(std::fs::read_dir(dir).unwrap().count(), 0);
    drop((first, second));
    let kept = dir.to_owned();
    drop(work);
    // It is clean: the next one has it.
    let next = DiskWorkspace::new(folder.path(), "two", None);
    assert_eq!(next.work().unwrap(), kept);
    std::fs::write(kept.join("left"), "x").unwrap();
    let own = kept.parent().unwrap().to_owned();
    drop(next);
    let third = DiskWorkspace::new(folder.path(), "three", None);
    assert_eq!(third.work().unwrap(), folder.path().join("three/dir"));
    std::fs::set_permissions(folder.path().join("three/dir"), std::fs::Permissions::from_mode(0o755))
        .unwrap();
    drop(third);
    let fourth = DiskWorkspace::new(folder.path(), "four", None);
    assert_eq!(fourth.work().unwrap(), folder.path().join("four/dir"));
    assert_ne!(fourth.work().unwrap().parent().unwrap(), own);
}

#[test]
fn clean_directory_that_changed_meanwhile_is_not_used_again() {
    let changes: [fn(&Path); 3] = [
        |own| std::fs::remove_dir_all(own).unwrap(),
        |own| std::fs::write(own.join("dir/late"), "x").unwrap(),
        |own| std::fs::remove_dir(own.join("dir")).unwrap(),
    ];
    for change in changes {
        let folder = tempfile::tempdir().unwrap();
        let work = DiskWorkspace::new(folder.path(), "one", None);
        work.work().unwrap();
        drop((work.temp().unwrap(), work));
        change(&folder.path().join("one"));
        let next = DiskWorkspace::new(folder.path(), "two", None);
        assert_eq!(next.work().unwrap(), folder.path().join("two/dir"));
        assert!(is_clean(next.work().unwrap()) && is_clean(next.temp().unwrap().path()));
    }
}

#[test]
fn command_has_a_clean_temporary_directory_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let work = DiskWorkspace::new(folder.path(), "one", None);
    let (first, second) = (work.temp().unwrap(), work.temp().unwrap());
    std::fs::write(first.path().join("left"), "x").unwrap();
    let (dirty, clean) = (first.path().to_owned(), second.path().to_owned());
    drop((first, second));
    let (third, fourth) = (work.temp().unwrap(), work.temp().unwrap());
    assert_eq!(third.path(), clean);
    assert!(![&dirty, &clean].contains(&&fourth.path().to_owned()) && is_clean(fourth.path()));
}

#[test]
fn shared_directory_lives_as_long_as_its_run() {
    let folder = tempfile::tempdir().unwrap();
    let shared = folder.path().join("work/run");
    let first = DiskWorkspace::new(folder.path(), "one", Some(shared.clone()));
    std::fs::write(first.work().unwrap().join("orders.csv"), "1").unwrap();
    drop(first);
    let second = DiskWorkspace::new(folder.path(), "two", Some(shared.clone()));
    assert_eq!(std::fs::read_to_string(second.work().unwrap().join("orders.csv")).unwrap(), "1");
    std::fs::remove_file(shared.join("dir/orders.csv")).unwrap();
    second.remove_shared();
    assert!(!shared.exists());
}

#[test]
fn shared_directory_made_anew_has_another_name() {
    let folder = tempfile::tempdir().unwrap();
    let shared = folder.path().join("work/run");
    let open = |name: &str| DiskWorkspace::new(folder.path(), name, Some(shared.clone()));
    let first = open("run-one");
    assert_eq!((first.work_id(), first.has_work()), (None, false));
    let dir = first.work().unwrap().to_owned();
    let id = first.work_id();
    assert!(id.is_some() && open("run-two").work_id() == id);
    first.work().unwrap();
    assert_eq!(first.work_id(), id, "it is there already");
    let outside = folder.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("file"), "x").unwrap();
    let harms: [fn(&Path, &Path); 3] = [
        |dir, _| std::fs::remove_dir_all(dir).unwrap(),
        |dir, outside| {
            std::fs::remove_dir_all(dir).unwrap();
            std::os::unix::fs::symlink(outside, dir).unwrap();
        },
        |dir, _| std::fs::remove_dir_all(dir.parent().unwrap()).unwrap(),
    ];
    let mut before = id;
    for harm in harms {
        harm(&dir, &outside);
        assert_eq!((first.work_id(), first.work_in_use(), first.has_work()), (None, None, false));
        let anew = std::fs::read_dir(first.work().unwrap()).unwrap();
        assert_eq!(anew.count(), 0, "the same workspace makes it anew");
        let now = open("run-three").work_id();
        assert!(now.is_some() && now != before);
        before = now;
    }
    assert!(outside.join("file").exists());
}

#[test]
fn directory_looks_otherwise_once_a_file_is_another() {
    let folder = tempfile::tempdir().unwrap();
    let work = DiskWorkspace::new(folder.path(), "one", None);
    let dir = work.work().unwrap().to_owned();
    std::fs::create_dir(dir.join("deep")).unwrap();
    std::fs::write(dir.join("deep/file"), "1").unwrap();
    let before = work.work_state();
    assert!(before.is_some() && work.work_state() == before);
    // As long as it was: its place and its times are others.
    std::fs::remove_file(dir.join("deep/file")).unwrap();
    std::fs::write(dir.join("deep/file"), "2").unwrap();
    assert_ne!(work.work_state(), before);
    work.clear_work().unwrap();
    assert!(work.has_work() && work.work_in_use().is_none());
}

#[test]
fn directory_is_removed_where_its_parent_lacks_rights() {
    let root = tempfile::tempdir().unwrap();
    let scratch = root.path().join("scratch");
    let full = scratch.join("one");
    for mode in [0o000, 0o500] {
        std::fs::create_dir_all(full.join("dir")).unwrap();
        std::fs::write(full.join("dir/file"), "x").unwrap();
        std::fs::set_permissions(&scratch, std::fs::Permissions::from_mode(mode)).unwrap();
        remove_below(root.path(), &full).unwrap();
        assert!(!full.exists() && scratch.is_dir(), "{mode:o}");
    }
    remove_below(root.path(), &full).unwrap();
    remove_below(root.path(), &root.path().join("none/one")).unwrap();
}

#[test]
fn directory_that_a_step_replaced_has_another_name() {
    let folder = tempfile::tempdir().unwrap();
    let shared = folder.path().join("work/run");
    let work = DiskWorkspace::new(folder.path(), "run-one", Some(shared.clone()));
    let dir = work.work().unwrap().to_owned();
    std::fs::write(dir.join("data"), "x").unwrap();
    let before = work.work_id();
    let named = rustix::fs::getxattr(&dir, NAME, &mut [0; MAX_NAME][..]);
    if named == Err(rustix::io::Errno::NOTSUP) {
        // The name is in the link alone.
        assert!(shared.join(ID).is_symlink() && before.is_some());
        return;
    }
    // Nothing next to the directory counts, nor what is done to its rights.
    let _ = std::fs::remove_file(shared.join(ID));
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o500)).unwrap();
    assert!(before.is_some() && work.work_id() == before);
    std::fs::rename(&dir, shared.join("other")).unwrap();
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("new"), "x").unwrap();
    let replaced = work.work_id();
    assert!(replaced.is_some() && replaced != before, "{before:?} {replaced:?}");
    assert!(work.work_id() == replaced && dir.join("new").exists());
    std::fs::remove_dir_all(&dir).unwrap();
    std::fs::rename(shared.join("other"), &dir).unwrap();
    assert_eq!(work.work_id(), before, "it is the same again");
    rustix::fs::setxattr(&dir, NAME, &[b'x'; 2 * MAX_NAME], XattrFlags::empty()).unwrap();
    assert!(work.work_id().is_some_and(|id| id.len() <= MAX_NAME && Some(&id) != before.as_ref()));
}
