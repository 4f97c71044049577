//! The folder where a function's jobs work.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Where a function may write (Lambda Developer Guide, Ephemeral storage).
const TMP: &str = "/tmp";
/// Where Lambda starts the program of a function: on `provided.al2023`, and in the image of worker-lambda/Dockerfile. Lambda's
/// variables would not do: stand-ins set them too, where `/tmp` is that of a whole machine.
const BOOTSTRAPS: [&str; 2] = ["/var/task/bootstrap", "/var/runtime/bootstrap"];
/// The folder there with a folder for each process.
pub(super) const OURS: &str = "pumice";

/// Where the jobs of a function's process work.
#[derive(Debug)]
pub(super) struct Scratch {
    /// Where the function may write.
    pub(super) tmp: PathBuf,
    /// Whether no other process writes there, so that all of it may be cleared.
    pub(super) is_alone: bool,
    path: Mutex<PathBuf>,
}

impl Scratch {
    /// The scratch folder of this process. `tmp` is the value of `PUMICE_TMP`: a folder that this function has for itself.
    /// Without it that is `/tmp` on Lambda; elsewhere others write to `/tmp` too.
    pub(super) fn new(tmp: Option<PathBuf>) -> Self {
        let is_alone = tmp.is_some() || std::env::current_exe().is_ok_and(|program| is_on_lambda(&program));
        let tmp = tmp.unwrap_or_else(|| TMP.into());
        let path = Mutex::new(tmp.join(OURS).join(std::process::id().to_string()));
        Self { tmp, is_alone, path }
    }

    /// Has the jobs work in another folder from now on.
    #[cfg(feature = "commands")]
    pub(super) fn move_to(&self, path: PathBuf) {
        *self.path.lock().unwrap_or_else(PoisonError::into_inner) = path;
    }

    /// The folder.
    pub(super) fn path(&self) -> PathBuf {
        self.path.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Whether Lambda started this program, by the program's place.
fn is_on_lambda(program: &Path) -> bool {
    BOOTSTRAPS.iter().any(|bootstrap| program == Path::new(bootstrap))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn program_of_archive_and_image_clears_all_of_tmp() {
        assert!(is_on_lambda(Path::new("/var/task/bootstrap")));
        let dockerfile = Path::new(env!("CARGO_MANIFEST_DIR")).join("../worker-lambda/Dockerfile");
        let dockerfile = std::fs::read_to_string(dockerfile).unwrap();
        let entry =
            dockerfile.lines().find_map(|line| line.strip_prefix("ENTRYPOINT [\"")?.strip_suffix("\"]"));
        assert!(is_on_lambda(Path::new(entry.unwrap())), "{entry:?}");
        for elsewhere in
            ["/usr/bin/pumice", "/home/me/target/function/worker-lambda", "bootstrap", "/tmp/bootstrap"]
        {
            assert!(!is_on_lambda(Path::new(elsewhere)), "{elsewhere}");
        }
        assert!(!Scratch::new(None).is_alone && Scratch::new(Some("/x".into())).is_alone);
    }
}
