//! How long a file may be (CONTRIBUTING.md, Habits).

use std::path::{Path, PathBuf};

use crate::process::Outcome;

/// Most lines of a file.
const MAX_LINES: usize = 600;

/// Fails when a Rust file is longer than it may be.
pub(crate) fn check() -> Outcome {
    check_below(Path::new("."))
}

fn check_below(root: &Path) -> Outcome {
    let mut sources = Vec::new();
    read(root, &mut sources)?;
    let found = too_long(&sources);
    if found.is_empty() {
        Ok(())
    } else {
        Err(format!("files above {MAX_LINES} lines (split them by noun):\n{}", found.join("\n")))
    }
}

/// Reads the Rust files below a folder, but for what was built and what is hidden.
fn read(folder: &Path, sources: &mut Vec<(PathBuf, String)>) -> Outcome {
    let told = |error: std::io::Error| format!("{}: {error}", folder.display());
    for entry in std::fs::read_dir(folder).map_err(told)? {
        let entry = entry.map_err(told)?;
        let (name, path) = (entry.file_name(), entry.path());
        let name = name.to_string_lossy();
        // A link may lead in a circle.
        let kind = entry.file_type().map_err(told)?;
        if kind.is_dir() && name != "target" && !name.starts_with('.') {
            read(&path, sources)?;
        } else if kind.is_file() && name.ends_with(".rs") {
            let text = std::fs::read_to_string(&path).map_err(told)?;
            sources.push((path, text));
        }
    }
    Ok(())
}

/// The files that are too long, with their lengths, in their order.
fn too_long(sources: &[(PathBuf, String)]) -> Vec<String> {
    let lengths = sources.iter().map(|(path, text)| (path, text.lines().count()));
    let long = lengths.filter(|(_, lines)| *lines > MAX_LINES);
    let mut found: Vec<String> =
        long.map(|(path, lines)| format!("{}: {lines} lines", path.display())).collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_above_the_limit_is_named_with_its_length() {
        let of = |name: &str, lines: usize| (PathBuf::from(name), "//\n".repeat(lines));
        let sources =
            [of("b.rs", MAX_LINES + 1), of("fits.rs", MAX_LINES), of("a.rs", 1000), of("empty.rs", 0)];
        assert_eq!(too_long(&sources), ["a.rs: 1000 lines", "b.rs: 601 lines"]);
    }

    #[test]
    fn no_file_of_the_repository_is_too_long() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut sources = Vec::new();
        read(&root, &mut sources).unwrap();
        assert!(sources.len() > 100, "{}", sources.len());
        assert_eq!(too_long(&sources), Vec::<String>::new());
    }
}
