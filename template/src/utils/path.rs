//! `os.path`, as far as it only looks at text.

use crate::call::{self, Args};
use crate::fault::{Outcome, fail};
use crate::methods::text::alike;
use crate::native::{Member, Native};
use crate::runtime::Runtime;
use crate::value::number::Arith;
use crate::value::{Text, Val, operators};

use Member::{Function, Refused, Value};

const DISK: &str = "it looks at the worker's disk";
const ENVIRONMENT: &str = "it looks at the worker's environment";

pub(crate) static MODULE: Native = Native::module(
    "path",
    &[
        ("basename", Function(|rt, args| one(rt, args, "basename", |path| split(path).1))),
        ("dirname", Function(|rt, args| one(rt, args, "dirname", |path| split(path).0))),
        ("split", Function(|rt, args| pair(rt, args, "split", split))),
        ("splitext", Function(|rt, args| pair(rt, args, "splitext", splitext))),
        ("splitdrive", Function(|rt, args| pair(rt, args, "splitdrive", |path| ("", path)))),
        ("join", Function(join)),
        (
            "normpath",
            Function(|rt, args| {
                let path = path_arg(rt, "normpath", args)?;
                rt.text(normalized(&path))
            }),
        ),
        ("normcase", Function(|rt, args| one(rt, args, "normcase", |path| path))),
        ("isabs", Function(|rt, args| Ok(Val::Bool(path_arg(rt, "isabs", args)?.starts_with('/'))))),
        ("abspath", Function(abspath)),
        ("relpath", Function(relpath)),
        ("commonprefix", Function(commonprefix)),
        ("commonpath", Function(commonpath)),
        ("sep", Value(|| Val::str("/"))),
        ("altsep", Value(|| Val::None)),
        ("extsep", Value(|| Val::str("."))),
        ("curdir", Value(|| Val::str("."))),
        ("pardir", Value(|| Val::str(".."))),
        ("pathsep", Value(|| Val::str(":"))),
        ("defpath", Value(|| Val::str("/bin:/usr/bin"))),
        ("devnull", Value(|| Val::str("/dev/null"))),
        ("exists", Refused(DISK)),
        ("lexists", Refused(DISK)),
        ("isfile", Refused(DISK)),
        ("isdir", Refused(DISK)),
        ("islink", Refused(DISK)),
        ("ismount", Refused(DISK)),
        ("getsize", Refused(DISK)),
        ("getatime", Refused(DISK)),
        ("getctime", Refused(DISK)),
        ("getmtime", Refused(DISK)),
        ("realpath", Refused(DISK)),
        ("samefile", Refused(DISK)),
        ("sameopenfile", Refused(DISK)),
        ("samestat", Refused(DISK)),
        ("expanduser", Refused(ENVIRONMENT)),
        ("expandvars", Refused(ENVIRONMENT)),
    ],
);

fn path_arg(rt: &Runtime<'_>, function: &str, args: Args) -> Outcome<String> {
    Ok(text_arg(rt, function, args)?.as_str().to_owned())
}

fn text_arg(rt: &Runtime<'_>, function: &str, args: Args) -> Outcome<Text> {
    let [path] = args.bind(function, ["path"], 1)?;
    let path = path.unwrap_or(Val::None);
    rt.step(call::text(rt, function, "path", &path)?.len() as u64 / 16)?;
    match path {
        Val::Str(text) => Ok(text),
        other => call::wrong(function, "path", "text", &other),
    }
}

fn one(rt: &Runtime<'_>, args: Args, function: &str, get: fn(&str) -> &str) -> Outcome {
    let path = text_arg(rt, function, args)?;
    alike(rt, &path, get(path.as_str()).to_owned())
}

fn pair(rt: &Runtime<'_>, args: Args, function: &str, get: fn(&str) -> (&str, &str)) -> Outcome {
    let path = text_arg(rt, function, args)?;
    let (first, second) = get(path.as_str());
    Ok(Val::tuple(vec![alike(rt, &path, first.to_owned())?, alike(rt, &path, second.to_owned())?]))
}

/// Head and tail: slashes at the head's end go, unless it is all slashes.
fn split(path: &str) -> (&str, &str) {
    let (head, tail) = path.split_at(path.rfind('/').map_or(0, |at| at + 1));
    let bare = head.trim_end_matches('/');
    (if bare.is_empty() { head } else { bare }, tail)
}

/// Root and extension; leading dots of a name do not begin one.
fn splitext(path: &str) -> (&str, &str) {
    let name = path.rfind('/').map_or(0, |at| at + 1);
    let dots = path[name..].len() - path[name..].trim_start_matches('.').len();
    match path[name + dots..].rfind('.') {
        Some(at) => path.split_at(name + dots + at),
        None => (path, ""),
    }
}

fn join(rt: &Runtime<'_>, args: Args) -> Outcome {
    if !args.kw.is_empty() || args.pos.is_empty() {
        return fail("join() needs paths");
    }
    let mut path = Text::plain("");
    for (at, part) in args.pos.iter().enumerate() {
        call::text(rt, "join", "path", part)?;
        let Val::Str(part) = part else {
            continue;
        };
        if part.as_str().starts_with('/') || at == 0 {
            path = part.clone();
            continue;
        }
        let slash = !path.as_str().is_empty() && !path.as_str().ends_with('/');
        if slash {
            path = joined(rt, &path, &Text::plain("/"))?;
        }
        path = joined(rt, &path, part)?;
    }
    Ok(Val::Str(path))
}

/// `a + b`: next to markup, plain text is escaped.
fn joined(rt: &Runtime<'_>, a: &Text, b: &Text) -> Outcome<Text> {
    match operators::binary(rt, Arith::Add, &Val::Str(a.clone()), &Val::Str(b.clone()))? {
        Val::Str(text) => Ok(text),
        _ => Ok(a.clone()),
    }
}

fn normalized(path: &str) -> String {
    let slashes = path.len() - path.trim_start_matches('/').len();
    // Two slashes at the start mean something of their own in POSIX.
    let root = match slashes {
        0 => "",
        2 => "//",
        _ => "/",
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if !root.is_empty() => {}
            part => parts.push(part),
        }
    }
    let path = root.to_owned() + &parts.join("/");
    if path.is_empty() { ".".to_owned() } else { path }
}

fn abspath(rt: &Runtime<'_>, args: Args) -> Outcome {
    let path = path_arg(rt, "abspath", args)?;
    if !path.starts_with('/') {
        return fail(
            "path.abspath is refused for a relative path: it looks at the worker's current directory",
        );
    }
    rt.text(normalized(&path))
}

fn relpath(rt: &Runtime<'_>, args: Args) -> Outcome {
    let [path, start] = args.bind("relpath", ["path", "start"], 1)?;
    let path = path.unwrap_or(Val::None);
    let path = call::text(rt, "relpath", "path", &path)?;
    let start = start.unwrap_or_else(|| Val::str("."));
    let start = call::text(rt, "relpath", "start", &start)?;
    if path.is_empty() {
        return fail("relpath() needs a path");
    }
    if path.starts_with('/') != start.starts_with('/') {
        return fail(
            "path.relpath is refused between a relative and an absolute path: it looks at the worker's current directory",
        );
    }
    let (path, start) = (normalized(path), normalized(start));
    let parts = |path: &str| -> Vec<String> {
        path.split('/').filter(|part| !matches!(*part, "" | ".")).map(str::to_owned).collect()
    };
    let (mut to, mut from) = (parts(&path), parts(&start));
    // Both may climb above where they start; from there on they differ.
    let climbs = |parts: &[String]| parts.iter().take_while(|part| *part == "..").count();
    let up = climbs(&from);
    if up > climbs(&to) {
        return fail(
            "path.relpath is refused for a start above the current directory: it looks at the worker's disk",
        );
    }
    to.drain(..up);
    from.drain(..up);
    let common = to.iter().zip(&from).take_while(|(a, b)| a == b).count();
    let mut steps = vec![".."; from.len() - common];
    steps.extend(to[common..].iter().map(String::as_str));
    rt.text(if steps.is_empty() { ".".to_owned() } else { steps.join("/") })
}

fn paths(rt: &Runtime<'_>, args: Args, function: &str) -> Outcome<Vec<String>> {
    let [list] = args.bind(function, ["paths"], 1)?;
    let list = rt.items(&list.unwrap_or(Val::None))?;
    let mut paths = Vec::with_capacity(list.len());
    for path in &list {
        let path = call::text(rt, function, "paths", path)?;
        rt.alloc(path.len())?;
        paths.push(path.to_owned());
    }
    Ok(paths)
}

fn commonprefix(rt: &Runtime<'_>, args: Args) -> Outcome {
    let paths = paths(rt, args, "commonprefix")?;
    let mut prefix: Vec<char> = paths.first().map(|path| path.chars().collect()).unwrap_or_default();
    for path in &paths {
        let same = prefix.iter().zip(path.chars()).take_while(|(a, b)| **a == *b).count();
        prefix.truncate(same);
    }
    rt.text(prefix.into_iter().collect::<String>())
}

fn commonpath(rt: &Runtime<'_>, args: Args) -> Outcome {
    let paths = paths(rt, args, "commonpath")?;
    let absolute = paths.iter().filter(|path| path.starts_with('/')).count();
    if paths.is_empty() {
        return fail("commonpath() needs at least one path");
    }
    if absolute != 0 && absolute != paths.len() {
        return fail("commonpath() cannot mix absolute and relative paths");
    }
    let split: Vec<Vec<&str>> = paths
        .iter()
        .map(|path| path.split('/').filter(|part| !matches!(*part, "" | ".")).collect())
        .collect();
    let mut common = split[0].clone();
    for parts in &split {
        let same = common.iter().zip(parts).take_while(|(a, b)| a == b).count();
        common.truncate(same);
    }
    rt.text(if absolute > 0 { "/" } else { "" }.to_owned() + &common.join("/"))
}
