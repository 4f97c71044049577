//! Which file may use which within a folder: no circles (docs/ARCHITECTURE.md, The engine, in floors).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};

use crate::process::Outcome;

/// Each folder that is checked: where it is, and its module path below the crate.
const FOLDERS: [(&str, &[&str]); 5] = [
    ("core/src/engine", &["engine"]),
    ("core/src/run", &["run"]),
    ("core/src/spec", &["spec"]),
    ("core/src/request", &["request"]),
    ("aws/src", &[]),
];
/// Most re-exports that one name is followed through.
const MAX_HOPS: usize = 8;

/// The place of a module: its names from the crate down.
type Place = Vec<String>;

/// A file's references to others.
#[derive(Debug, Default)]
struct Module {
    /// The places that it names, as it names them, each with the module that names it.
    named: Vec<(Place, Place)>,
    /// The names that its `use` items bring in, and their origins.
    brings: BTreeMap<String, Place>,
}

/// Fails when files of a folder use each other in a circle.
pub(crate) fn check() -> Outcome {
    check_below(Path::new("."))
}

fn check_below(root: &Path) -> Outcome {
    let mut found = Vec::new();
    for (folder, place) in FOLDERS {
        let place: Place = place.iter().map(|&name| name.to_owned()).collect();
        let mut sources = Vec::new();
        read(&root.join(folder), &place, &mut sources)?;
        found.extend(circles(&sources)?.into_iter().map(|circle| format!("{folder}: {circle}")));
    }
    if found.is_empty() { Ok(()) } else { Err(format!("files use each other:\n{}", found.join("\n"))) }
}

/// Reads the files of a folder, each with the place of its module.
fn read(folder: &Path, place: &Place, sources: &mut Vec<(Place, String)>) -> Outcome {
    let told = |error: std::io::Error| format!("{}: {error}", folder.display());
    let entries = std::fs::read_dir(folder).map_err(told)?;
    let paths: Result<Vec<PathBuf>, _> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
    for path in paths.map_err(told)? {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let inner: Place = match stem.as_str() {
            "mod" | "lib" => place.clone(),
            _ => place.iter().cloned().chain([stem]).collect(),
        };
        if path.is_dir() {
            read(&path, &inner, sources)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push((inner, std::fs::read_to_string(&path).map_err(told)?));
        }
    }
    Ok(())
}

/// The circles among these modules, each as `a → b → a`: one of each set that use each other.
fn circles(sources: &[(Place, String)]) -> Result<Vec<String>, String> {
    let mut modules = BTreeMap::new();
    for (place, source) in sources {
        let file = syn::parse_file(source).map_err(|error| format!("{}: {error}", name(place)))?;
        let mut reader = Reader { at: place.clone(), module: Module::default() };
        reader.visit_file(&file);
        modules.insert(place.clone(), reader.module);
    }
    let mut uses: BTreeMap<&Place, BTreeSet<Place>> = BTreeMap::new();
    for (place, module) in &modules {
        let named = module.named.iter().filter_map(|(at, named)| resolve(&modules, at, named, MAX_HOPS));
        uses.insert(place, named.filter(|other| other != place).collect());
    }
    let mut found = Vec::new();
    let mut told = BTreeSet::new();
    for place in modules.keys() {
        if !told.contains(place)
            && let Some(circle) = way_back(&uses, place)
        {
            let names: Vec<String> = circle.iter().map(name).collect();
            found.push(names.join(" → "));
            told.extend(circle);
        }
    }
    Ok(found)
}

fn name(place: &Place) -> String {
    if place.is_empty() { "the crate".to_owned() } else { place.join("::") }
}

/// The shortest way from a module back to itself, if there is one.
fn way_back(uses: &BTreeMap<&Place, BTreeSet<Place>>, start: &Place) -> Option<Vec<Place>> {
    let mut ways = VecDeque::from([vec![start.clone()]]);
    let mut seen = BTreeSet::new();
    while let Some(way) = ways.pop_front() {
        for next in uses.get(way.last()?).into_iter().flatten() {
            let longer: Vec<Place> = way.iter().cloned().chain([next.clone()]).collect();
            if next == start {
                return Some(longer);
            }
            if seen.insert(next.clone()) {
                ways.push_back(longer);
            }
        }
    }
    None
}

/// The module that has what is named `named` in the module `at`; `None` outside of the folder.
fn resolve(modules: &BTreeMap<Place, Module>, at: &Place, named: &[String], hops: usize) -> Option<Place> {
    let mut rest = named;
    let mut here = match rest.first()?.as_str() {
        "crate" => {
            rest = &rest[1..];
            Vec::new()
        }
        "self" | "super" => {
            let mut here = at.clone();
            while let Some(word @ ("self" | "super")) = rest.first().map(String::as_str) {
                if word == "super" {
                    here.pop()?;
                }
                rest = &rest[1..];
            }
            here
        }
        child => {
            let inner: Place = at.iter().cloned().chain([child.to_owned()]).collect();
            if !modules.contains_key(&inner) {
                return None;
            }
            at.clone()
        }
    };
    // Down as far as there are modules; the path above the folder is passed through.
    while let Some(next) = rest.first() {
        let inner: Place = here.iter().cloned().chain([next.clone()]).collect();
        let is_way = modules.keys().any(|place| place.starts_with(&inner));
        if !is_way {
            break;
        }
        here = inner;
        rest = &rest[1..];
    }
    let module = modules.get(&here)?;
    let brought = rest.first().and_then(|item| module.brings.get(item)).filter(|_| hops > 0);
    match brought.and_then(|brought| resolve(modules, &here, brought, hops - 1)) {
        Some(origin) => Some(origin),
        None => Some(here),
    }
}

/// Collects what a file names. Tests are left out: they may use what they like.
struct Reader {
    /// The module that is being read.
    at: Place,
    module: Module,
}

impl Reader {
    fn names(&mut self, named: Place) {
        self.module.named.push((self.at.clone(), named));
    }

    fn uses(&mut self, tree: &syn::UseTree, above: &[String]) {
        let below = |name: &syn::Ident| above.iter().cloned().chain([name.to_string()]).collect::<Place>();
        let (known_as, named) = match tree {
            syn::UseTree::Path(path) => return self.uses(&path.tree, &below(&path.ident)),
            syn::UseTree::Group(group) => return group.items.iter().for_each(|tree| self.uses(tree, above)),
            syn::UseTree::Glob(_) => return self.names(above.to_vec()),
            // `use a::{self}` brings `a`.
            syn::UseTree::Name(name) if name.ident == "self" => {
                (above.last().cloned().unwrap_or_default(), above.to_vec())
            }
            syn::UseTree::Name(name) => (name.ident.to_string(), below(&name.ident)),
            syn::UseTree::Rename(renamed) => (renamed.rename.to_string(), below(&renamed.ident)),
        };
        self.names(named.clone());
        self.module.brings.insert(known_as, named);
    }

    /// The names in the tokens of a macro: any of them may be a path.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path = Place::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(word) if path.is_empty() || colons == 2 => {
                    path.push(word.to_string());
                    colons = 0;
                    continue;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' && !path.is_empty() => {
                    colons += 1;
                    continue;
                }
                TokenTree::Group(group) => self.tokens(group.stream()),
                TokenTree::Ident(word) => {
                    self.path(std::mem::replace(&mut path, vec![word.to_string()]));
                    colons = 0;
                    continue;
                }
                _ => {}
            }
            self.path(std::mem::take(&mut path));
            colons = 0;
        }
        self.path(path);
    }

    /// A path in code. One name alone may be a variable's.
    fn path(&mut self, path: Place) {
        if path.len() > 1 {
            self.names(path);
        }
    }
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Path>().is_ok_and(|condition| condition.is_ident("test"))
    })
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        let attributes = match item {
            syn::Item::Mod(item) => &item.attrs,
            syn::Item::Use(item) => &item.attrs,
            syn::Item::Fn(item) => &item.attrs,
            syn::Item::Impl(item) => &item.attrs,
            syn::Item::Const(item) => &item.attrs,
            syn::Item::Struct(item) => &item.attrs,
            syn::Item::Enum(item) => &item.attrs,
            _ => return visit::visit_item(self, item),
        };
        if !is_test(attributes) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.at.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.at.pop();
    }

    /// `pub(in …)` restricts an item's users, and uses nothing.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.uses(&item.tree, &[]);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.path(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, invoked: &'ast syn::Macro) {
        self.tokens(invoked.tokens.clone());
        visit::visit_macro(self, invoked);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The circles of a crate of these files, each given by its path.
    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let place =
            |path: &str| path.split("::").filter(|name| !name.is_empty()).map(str::to_owned).collect();
        let sources: Vec<(Place, String)> =
            files.iter().map(|(path, source)| (place(path), (*source).to_owned())).collect();
        circles(&sources).unwrap()
    }

    #[test]
    fn each_way_to_name_a_file_closes_a_circle() {
        for back in [
            "use super::a::A;",
            "use crate::x::a::A;",
            "use crate::x::{c::C, a::{A, B}};",
            "pub(crate) use super::a::A as Other;",
            "use super::a::*;",
            "use super::a::{self};",
            "use super::A;",
            "fn f() { super::a::g(); }",
            "fn f() -> crate::x::a::A { loop {} }",
            "fn f(a: &dyn super::a::T) {}",
            "impl super::a::A {}",
            "fn f() { assert!(matches!(1, crate::x::a::ONE)); }",
            "mod inner { use super::super::a::A; }",
        ] {
            let files =
                [("x", "mod a; mod b; mod c; pub use a::A;"), ("x::a", "use super::b::B;"), ("x::b", back)];
            let all = [&files[..], &[("x::c", "")]].concat();
            assert_eq!(found(&all), ["x::a → x::b → x::a"], "{back}");
        }
    }

    #[test]
    fn tests_comments_and_other_crates_close_no_circle() {
        for back in [
            "// use super::a::A;\n/* super::a::A */",
            "/// [`A`](super::a::A)\nfn f() {}",
            "const TEXT: &str = \"super::a::A\";",
            "#[cfg(test)]\nmod tests { use super::super::a::A; }",
            "#[cfg(test)]\nuse super::a::A;",
            "pub(in crate::x::a) struct B;",
            "use other::x::a::A;",
            "use crate::y::a::A;",
            "fn f(a: u8) -> u8 { a }",
        ] {
            let files = [("x", "mod a; mod b;"), ("x::a", "use super::b::B;"), ("x::b", back)];
            assert_eq!(found(&files), [""; 0], "{back}");
        }
    }

    #[test]
    fn parent_that_names_its_child_and_is_named_by_it_is_a_circle() {
        let parent = "mod a; pub use a::A; pub const MOST: u8 = 1;";
        assert_eq!(found(&[("x", parent), ("x::a", "use super::MOST;")]), ["x → x::a → x"]);
        assert_eq!(
            found(&[("", "mod a; use a::A; struct Own;"), ("a", "use crate::Own;")]),
            ["the crate → a → the crate"]
        );
        // An item that the parent only passes on is its sibling's.
        let files = [("x", "mod a; mod b; pub use a::A;"), ("x::a", ""), ("x::b", "use super::A;")];
        assert_eq!(found(&files), [""; 0]);
    }

    #[test]
    fn folders_of_this_tree_have_no_circle() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        assert_eq!(check_below(&root), Ok(()));
    }

    #[test]
    fn long_circle_is_reported_whole_and_once() {
        let files = [("a", "use crate::b::B;"), ("b", "use crate::c::C;"), ("c", "use crate::a::A;")];
        assert_eq!(found(&files), ["a → b → c → a"]);
    }
}
