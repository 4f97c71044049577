//! The ground of a realm, for `doctor`: the disk and the file of a folder, the caller's rights on AWS.

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use pumice_local::{Integrity, Room, look_through, room};
use pumice_service::doctor::{Check, Ground, LIMIT};

/// Less free space than this is a fault, and than that worth a word: in bytes, and in hundredths of the disk.
const TOO_LITTLE: u64 = 100 << 20;
const LITTLE: u64 = 1 << 30;
const LITTLE_SHARE: u64 = 5;
/// Fewest files that there can be more of.
const FEW_FILES: u64 = 1_000;
/// How long the store is looked through, a moment less than a check may take.
const LOOK: Duration = LIMIT.saturating_sub(Duration::from_secs(1));

/// The ground of a folder.
#[derive(Debug)]
pub(crate) struct FolderGround(pub(crate) PathBuf);

#[async_trait]
impl Ground for FolderGround {
    async fn checks(&self) -> Vec<Check> {
        let home = self.0.clone();
        let looked = tokio::task::spawn_blocking(move || vec![integrity(&home), disk(&home)]).await;
        looked.unwrap_or_else(|error| vec![Check::fault(INTEGRITY, error.to_string())])
    }
}

const INTEGRITY: &str = "store's file";
const DISK: &str = "disk";

fn integrity(home: &Path) -> Check {
    match look_through(home, LOOK) {
        Integrity::Whole => Check::ok(INTEGRITY, "it is whole"),
        Integrity::Damaged(finding) => Check::fault(
            INTEGRITY,
            format!("it is damaged: {finding}; stop the server, and put a copy of the folder in its place"),
        ),
        Integrity::Unfinished => Check::warning(
            INTEGRITY,
            format!(
                "nothing wrong was found in {} seconds, which were not enough for all of it",
                LOOK.as_secs()
            ),
        ),
        Integrity::Unreadable(finding) => Check::fault(INTEGRITY, format!("it cannot be read: {finding}")),
    }
}

fn disk(home: &Path) -> Check {
    match room(home) {
        Err(error) => Check::fault(DISK, format!("cannot be looked at: {error}")),
        Ok(found) => disk_with(found),
    }
}

fn disk_with(Room { free, all, files }: Room) -> Check {
    let share = free.saturating_mul(100).checked_div(all).unwrap_or(0);
    let says = format!("{} MiB are free, {share} % of the disk", free >> 20);
    if free < TOO_LITTLE {
        Check::fault(
            DISK,
            format!("{says}: runs fail and nothing can be recorded when it is full; make room"),
        )
    } else if let Some(files) = files.filter(|files| *files < FEW_FILES) {
        Check::fault(DISK, format!("{says}, but it can have only {files} more files; remove some"))
    } else if free < LITTLE || share < LITTLE_SHARE {
        Check::warning(DISK, format!("{says}: make room before it is full"))
    } else {
        Check::ok(DISK, says)
    }
}

/// The ground of a realm on AWS.
#[cfg(feature = "aws")]
#[derive(Debug)]
pub(crate) struct AwsGround(pub(crate) pumice_aws::Realm);

#[cfg(feature = "aws")]
#[async_trait]
impl Ground for AwsGround {
    async fn checks(&self) -> Vec<Check> {
        use pumice_core::ports::StoreErrorKind::{Denied, Missing};
        const NAME: &str = "rights";
        let rights = self.0.rights().await;
        let failed: Vec<(&str, &pumice_core::ports::StoreError)> =
            rights.iter().filter_map(|right| Some((&*right.what, right.error.as_ref()?))).collect();
        let of = |kind| {
            failed.iter().filter(|(_, error)| error.kind == kind).map(|(what, _)| *what).collect::<Vec<_>>()
        };
        let (denied, missing) = (of(Denied), of(Missing));
        let check = if let Some((_, error)) =
            failed.iter().find(|(_, error)| !matches!(error.kind, Denied | Missing))
        {
            Check::fault(NAME, format!("cannot be tried: {error}"))
        } else if !denied.is_empty() {
            let says = format!(
                "these credentials lack rights: {}; OperatorPolicyArn of template.yaml has them all",
                denied.join(", ")
            );
            Check::warning(NAME, says)
        } else if !missing.is_empty() {
            Check::warning(
                NAME,
                format!(
                    "there is no place for {}: deploy template.yaml, if it is to be there",
                    missing.join(", ")
                ),
            )
        } else {
            Check::ok(NAME, format!("{} were tried by dry run, and all are there", rights.len()))
        };
        vec![check]
    }
}

#[cfg(test)]
mod tests {
    use pumice_service::doctor::Finding;

    use super::*;

    #[test]
    fn disk_that_is_nearly_full_is_a_fault() {
        const GIB: u64 = 1 << 30;
        for (free, all, files, finding) in [
            (50 * GIB, 100 * GIB, None, Finding::Ok),
            (4 * GIB, 100 * GIB, None, Finding::Warning),
            (GIB / 2, GIB, None, Finding::Warning),
            (GIB / 20, 100 * GIB, None, Finding::Fault),
            (50 * GIB, 100 * GIB, Some(10), Finding::Fault),
            (0, 0, None, Finding::Fault),
        ] {
            let check = disk_with(Room { free, all, files });
            assert_eq!(check.finding, finding, "{check:?}");
        }
    }

    #[tokio::test]
    async fn folder_without_a_store_has_faults() {
        let folder = tempfile::tempdir().expect("a folder");
        let checks = FolderGround(folder.path().to_owned()).checks().await;
        assert_eq!((checks.len(), checks[0].finding), (2, Finding::Fault), "{checks:?}");
    }
}
