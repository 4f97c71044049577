//! Keys of payloads: what `exe` and `pkg` jobs run, below the realm's `s3_payloads` (lava guide, S3 Payloads).

use std::path::{Component, Path};

use crate::text::quoted;

/// Longest key of a payload, in bytes, as S3 has it.
const MAX_KEY: usize = 1024;

/// Why a text cannot be the key or the prefix of a payload.
#[must_use]
pub fn bad_key(key: &str) -> Option<String> {
    let shown = quoted(key);
    if key.is_empty() {
        return Some("the key of a payload is missing".to_owned());
    }
    if key.len() > MAX_KEY {
        return Some(format!("{shown} is longer than {MAX_KEY} bytes, the longest key"));
    }
    if key.contains("://") || key.starts_with('/') {
        return Some(format!("{shown} is not a key below the realm's s3_payloads: write demo/run.sh"));
    }
    if key.contains("{{") || key.contains("{%") {
        return Some(format!("{shown} is not rendered: the key of a payload stands as it is"));
    }
    if key.contains(|c: char| c.is_control() && c != '\0') {
        return Some(format!(
            "{shown} has a control character, such as the end of a line: write demo/run.sh"
        ));
    }
    if key.contains('\0') || key.split('/').any(|part| part == "." || part == "..") {
        return Some(format!("{shown} leads elsewhere: a payload stays below the realm's s3_payloads"));
    }
    None
}

/// Why a text cannot be a file within a package.
#[must_use]
pub fn bad_member(name: &str) -> Option<String> {
    let is_within = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
    let within = !name.is_empty() && !name.contains('\0') && Path::new(name).components().all(is_within);
    (!within).then(|| format!("{} is not a file of the package: write bin/run.sh", quoted(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_that_leads_out_of_the_payloads_is_refused() {
        for key in [
            "",
            "/etc/passwd",
            "s3://b/x",
            "../x",
            "a/../../x",
            "a/..",
            "./a",
            "{{globals.x}}.sh",
            "a\0b",
            "a b\n",
            "\ta",
        ] {
            assert!(bad_key(key).is_some(), "{key:?}");
        }
        for key in ["a", "a/b.sh", "a/", "a..b", "..a/b", "a//b", "é €"] {
            assert_eq!(bad_key(key), None, "{key:?}");
        }
    }

    #[test]
    fn command_outside_of_its_package_is_refused() {
        for name in ["", "/bin/sh", "../x", "a/../../x"] {
            assert!(bad_member(name).is_some(), "{name:?}");
        }
        for name in ["run.sh", "./run.sh", "a/b c.sh"] {
            assert_eq!(bad_member(name), None, "{name:?}");
        }
    }
}
