//! Names of files for documents: safe in every file system, and each document has its own.

use std::collections::HashMap;
use std::fmt::Write as _;

use uuid::Uuid;

/// Longest segment of a path, in bytes, that is written out.
const MAX_SEGMENT: usize = 100;
/// How much of a longer one is kept.
const KEPT: usize = 64;
/// Most segments of an id that are folders: what is beyond is one name. The reader of files looks 32 levels down.
const MAX_FOLDERS: usize = 16;
/// Names that Windows keeps for devices, whatever their ending.
const DEVICES: [&str; 4] = ["con", "prn", "aux", "nul"];
/// The ending of every file.
const ENDING: &str = ".json";

/// The paths of documents with these ids below one folder, in their order. No two are the same where case does not count,
/// nor where a file system writes letters with marks in another way.
pub(super) fn file_names(ids: &[&str]) -> Vec<String> {
    let plain: Vec<String> = ids.iter().map(|id| path(id)).collect();
    let mut counts: HashMap<String, usize> = HashMap::new();
    for name in &plain {
        *counts.entry(name.to_lowercase()).or_default() += 1;
    }
    let named = plain.into_iter().zip(ids).map(|(name, id)| match counts.get(&name.to_lowercase()) {
        Some(1) => name + ENDING,
        _ => format!("{name}~{}{ENDING}", digest(id)),
    });
    named.collect()
}

/// A few digits that distinguish ids.
fn digest(text: &str) -> String {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, text.as_bytes()).simple().to_string()[..12].to_owned()
}

fn path(id: &str) -> String {
    let mut segments: Vec<&str> = id.splitn(MAX_FOLDERS + 1, '/').collect();
    let last = segments.pop().unwrap_or_default();
    let mut path = String::new();
    for folder in segments {
        path.push_str(&segment(folder, true));
        path.push('/');
    }
    path + &segment(last, false)
}

/// A segment of an id as the name of a folder or a file.
fn segment(text: &str, is_folder: bool) -> String {
    let count = text.chars().count();
    let is_device = {
        let stem = text.split('.').next().unwrap_or_default().to_lowercase();
        let numbered = stem.strip_prefix("com").or_else(|| stem.strip_prefix("lpt"));
        DEVICES.contains(&&*stem)
            || numbered.is_some_and(|rest| rest.chars().count() == 1 && rest.chars().all(char::is_numeric))
    };
    // A folder whose name ends as a file's could be taken for one.
    let ends_as_file = is_folder && text.to_lowercase().ends_with(ENDING);
    let mut name = String::new();
    for (index, c) in text.chars().enumerate() {
        let is_edge = index == 0 || index + 1 == count;
        let is_safe = match c {
            '.' => !(is_edge || ends_as_file && index + ENDING.len() == count),
            ' ' => !is_edge,
            '_' | '-' | '=' | '+' | ',' | '@' => true,
            c => c.is_alphanumeric(),
        };
        match is_safe && !(is_device && index == 0) {
            true => name.push(c),
            false => {
                for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                    // Writing to a text never fails.
                    let _ = write!(name, "%{byte:02X}");
                }
            }
        }
    }
    if name.is_empty() {
        return "%".to_owned();
    }
    if name.len() > MAX_SEGMENT {
        let end = name.floor_char_boundary(KEPT);
        return format!("{}~{}", &name[..end], digest(text));
    }
    // File systems write letters with marks in several ways: the digits distinguish such names.
    if name.is_ascii() { name } else { format!("{name}~{}", digest(text)) }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_readable_safe_and_distinct() {
        let long = "x".repeat(255);
        let deep = "a/".repeat(400) + "z";
        let ids = [
            "etl/load",
            "etl",
            "Etl/Load",
            "etl.json/load",
            "..",
            ".",
            ".hidden/x",
            "a//b",
            "a/",
            "CON",
            "nul.txt",
            "com1/x",
            "com10",
            "a:b*c?d",
            "größe",
            "gro\u{308}ße",
            "日本/東京",
            "a b ",
            "trailing.",
            &long,
            &deep,
            "-x",
            "a\\b",
            "a%2Fb",
            "a\u{202e}b",
            "aux/aux",
            "LPT¹",
        ];
        let names = file_names(&ids);
        assert_eq!(names[1], "etl.json");
        assert_eq!(names[3], "etl%2Ejson/load.json");
        assert!(names[0].starts_with("etl/load~") && names[2].starts_with("Etl/Load~"), "{names:?}");
        assert_eq!(&names[4..6], ["%2E%2E.json", "%2E.json"]);
        assert_eq!(names[6], "%2Ehidden/x.json");
        assert_eq!(&names[9..13], ["%43ON.json", "%6Eul.txt.json", "%63om1/x.json", "com10.json"]);
        assert!(names[14].starts_with("größe~") && names[16].starts_with("日本~"), "{names:?}");
        let distinct: HashSet<String> = names.iter().map(|name| name.to_lowercase()).collect();
        assert_eq!(distinct.len(), ids.len());
        for name in &names {
            assert!(name.split('/').count() <= MAX_FOLDERS + 1, "{name}");
            for part in name.split('/') {
                assert!(!part.is_empty() && part.len() <= 255 && !part.starts_with('.'), "{name}");
                assert!(!part.contains(['\\', ':', '*', '?', '"', '<', '>', '|']), "{name}");
            }
        }
    }
}
