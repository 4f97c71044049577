//! Every command has its page, and every act of a page its command.

use std::collections::{BTreeMap, BTreeSet};

use pumice_console::{Role, SCREENS, WITHOUT_SCREEN};
use pumice_service::{WITHOUT_REALM, operations};

use crate::client::{EDITOR, OPERATOR, Server, VIEWER};
use crate::fixtures::lively;

/// Where forms are sent that are not in the list of screens, with the reason.
const WITHOUT_COMMAND: [(&str, &str); 6] = [
    ("/runs/cancel", "it is `runs cancel` for the runs that are ticked, as /run/cancel is for one"),
    ("/runs/views", "it keeps in the browser which lists a user has named"),
    ("/login", "it begins a session of the console"),
    ("/login/link", "it prints a link of the console"),
    ("/logout", "it ends a session of the console"),
    ("/taste", "it keeps in the browser how pages look"),
];

#[test]
fn command_has_its_screen_or_a_reason() {
    let commands: BTreeSet<&str> = operations().iter().map(|one| one.command).collect();
    let shown: BTreeSet<&str> = SCREENS.iter().map(|screen| screen.command).collect();
    let without: BTreeSet<&str> = WITHOUT_SCREEN.iter().map(|(command, _)| *command).collect();
    assert!(shown.is_disjoint(&without));
    assert_eq!(shown.union(&without).copied().collect::<BTreeSet<_>>(), commands);
    // Commands that ask nothing of a realm have no screen either.
    assert!(WITHOUT_REALM.iter().all(|apart| !shown.contains(apart.command)));
}

#[tokio::test]
async fn screen_of_each_command_is_there() {
    let server = Server::start(lively().await).await;
    let session = server.session(EDITOR).await;
    for screen in SCREENS {
        // A page that is asked for without what it needs says so; one that is not there is not found.
        let got = server.get(screen.path).await;
        let posted = server.post_as(&session, screen.path, &[]).await;
        let is_there = |answer: &crate::client::Answer| !answer.body.contains("there is no such page");
        assert!(is_there(&got) && is_there(&posted), "{}", screen.path);
        assert!(got.status != 405 || posted.status != 405, "{}", screen.path);
    }
}

/// The form that a page sends for a command, as far as its role is looked at.
fn form_of(command: &str) -> Vec<(&'static str, &'static str)> {
    match command {
        "dispatch" => vec![("id", "nightly")],
        "runs cancel --where" => vec![("act", "cancel")],
        "runs retry --where" => vec![("act", "retry")],
        "runs delete" => vec![("act", "delete")],
        _ => Vec::new(),
    }
}

#[tokio::test]
async fn page_asks_for_the_role_that_the_api_asks_for() {
    let server = Server::start(lively().await).await;
    let mut roles = Vec::new();
    for (role, token) in [(Role::Viewer, VIEWER), (Role::Operator, OPERATOR), (Role::Editor, EDITOR)] {
        roles.push((role, server.session(token).await));
    }
    let operations = operations();
    let mut tried = 0;
    for screen in SCREENS {
        let operation = operations.iter().find(|one| one.command == screen.command).unwrap();
        if Role::only_looks(operation) {
            continue;
        }
        let needed = Role::needed_for(operation);
        for (role, session) in &roles {
            let answer = server.post_as(session, screen.path, &form_of(screen.command)).await;
            let is_refused = answer.status == 403 && answer.body.contains("asks for the role");
            assert_eq!(is_refused, *role < needed, "{} as {role}: {answer:?}", screen.command);
            tried += 1;
        }
    }
    assert!(tried > 90, "{tried}");
}

#[test]
fn act_of_a_page_has_its_command_or_a_reason() {
    // The router does not list its routes.
    let routes = [include_str!("../../src/pages/mod.rs"), include_str!("../../src/router.rs")].concat();
    let acts = routes.lines().filter(|line| line.contains("post(")).map(|line| {
        let path = line.split_once(".route(\"").and_then(|(_, rest)| rest.split_once('"'));
        path.unwrap_or_else(|| panic!("a route on one line: {line}")).0
    });
    let acts: BTreeSet<&str> = acts.collect();
    let shown: BTreeSet<&str> = SCREENS.iter().map(|screen| screen.path).collect();
    let without: BTreeSet<&str> = WITHOUT_COMMAND.iter().map(|(path, _)| *path).collect();
    assert!(acts.len() > 20 && acts.is_superset(&without), "{acts:?}");
    let untold: Vec<&&str> =
        acts.iter().filter(|path| !shown.contains(*path) && !without.contains(*path)).collect();
    assert!(untold.is_empty(), "these have neither a command in SCREENS nor a reason: {untold:?}");
}

#[test]
fn guide_names_the_page_of_each_command() {
    let guide = include_str!("../../../docs/console.md");
    let section = guide.split_once("## Commands and their pages\n").unwrap().1.split("\n## ").next().unwrap();
    let mut listed: BTreeMap<&str, &str> = BTreeMap::new();
    for row in section.lines().filter(|line| line.starts_with("| `")) {
        let (commands, page) = row.trim_matches(['|', ' ']).split_once(" | ").unwrap();
        for command in commands.split(", ") {
            let twice = listed.insert(command.trim_matches('`'), page);
            assert!(twice.is_none(), "{command} stands there twice");
        }
    }
    for screen in SCREENS {
        let page = listed.remove(screen.command);
        assert!(page.is_some_and(|page| !page.starts_with("none: ")), "{}", screen.command);
    }
    for (command, reason) in WITHOUT_SCREEN {
        assert_eq!(listed.remove(command), Some(format!("none: {reason}").as_str()), "{command}");
    }
    assert!(listed.is_empty(), "there are no such commands: {listed:?}");
}
