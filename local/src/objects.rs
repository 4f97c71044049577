//! Files that outlive a run, in folders.

use std::path::{Component, Path};

use async_trait::async_trait;
use pumice_core::ports::{ObjectStore, StoreError};

/// Keeps objects as files: a location is a path.
#[derive(Clone, Copy, Debug, Default)]
pub struct Folders;

#[async_trait]
impl ObjectStore for Folders {
    async fn put_file(&self, location: &str, file: &Path) -> Result<(), StoreError> {
        let target = Path::new(location);
        if location.contains("://") {
            return Err(StoreError::new(format!(
                "{location} is not a path: an embedded realm keeps objects in folders"
            )));
        }
        // A job's id is part of the path, and could lead out of the realm's folder.
        if target.components().any(|part| part == Component::ParentDir) {
            return Err(StoreError::new(format!(
                "{location} leads upwards: objects stay below the realm's folder"
            )));
        }
        let kept = || -> std::io::Result<()> {
            if let Some(folder) = target.parent() {
                std::fs::create_dir_all(folder)?;
            }
            // A rename costs nothing however large the file is; across file systems it must be copied.
            std::fs::rename(file, target).or_else(|_| std::fs::copy(file, target).map(drop))
        };
        kept().map_err(|error| StoreError::new(format!("{location}: {error}")))
    }
}
