//! The script of a generic connection, which prints a value by its name.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use pumice_core::secret::SecretText;

use super::{Kit, path_word};

impl Kit<'_> {
    /// Prints the value that its one argument names (lava guide, Using the Generic Connector). A name is never a path: lava
    /// prints any file that `../` leads to.
    pub(super) fn generic(&self, values: &BTreeMap<String, SecretText>) -> io::Result<PathBuf> {
        let folder = self.place.join("values");
        std::fs::DirBuilder::new().mode(0o700).create(&folder)?;
        for (name, value) in values {
            self.file(&format!("values/{name}"), value.reveal())?;
        }
        let folder = path_word(&folder);
        self.script(
            "get-attr-value",
            &format!(
                "if [ $# -ne 1 ]; then\n    echo \"usage: $(basename \"$0\") NAME\" >&2\n    exit 1\nfi\ncase $1 in\n*/* | '' | .*) found= ;;\n*) found={folder}/$1 ;;\nesac\nif [ ! -f \"$found\" ]; then\n    echo \"$1: no such value\" >&2\n    exit 1\nfi\nexec cat \"$found\"\n"
            ),
        )
    }
}
