//! Schedules that are in the store already and cannot be used, as another tool has put them: they are named with what is
//! wrong, in the words of `check`, and disturb no others.

use serde_json::{Value, json};

use crate::pumice::{Pumice, wait_until};
use crate::schedules::{applied, job, json_of, refused};

/// Terms that no user of ours knows.
const WORDS_OF_SERDE: [&str; 9] = [
    "invalid type",
    "invalid value",
    "invalid length",
    "untagged",
    "did not match",
    "struct ",
    "unknown variant",
    "missing field",
    "unknown field",
];

/// Entries that are none, with what is to be said of each.
fn odd() -> Vec<(Value, &'static str)> {
    vec![
        (json!(5), "expected a string or an object, got a number 5"),
        (json!(true), "expected a string or an object, got true or false"),
        (json!({}), "the field \"crontab\" is missing"),
        (json!({ "crontab": 5 }), "crontab: expected a string"),
        (json!({ "crontab": ["0 * * * *"] }), "crontab: expected a string"),
        (json!({ "cron": "0 * * * *" }), "cron: no such field"),
        (json!({ "crontab": "0 * * * *", "max": "x" }), "max: "),
        (json!({ "every": [] }), "every: "),
        (json!({ "at": {} }), "at: "),
        (json!({ "crontab": "0 * * * *", "run_now": "yes" }), "run_now: expected true or false"),
        (json!({ "crontab": "0 * * * *", "catch_up": "some" }), "catch_up: "),
        (json!({ "crontab": "0 * * * *", "skip": 5 }), "skip: "),
        (json!({ "crontab": "0 * * * *", "globals": [] }), "globals: expected an object"),
        (json!({ "crontab": "0 * * * *", "timezone": 5 }), "timezone: "),
        (json!({ "crontab": "0 * * * *", "timezone": "Nowhere" }), "Nowhere"),
        (json!({ "crontab": "0 * * * *", "jitter": {} }), "jitter: "),
        (json!({ "crontab": "0 * * * *", "must_start": [1] }), "must_start: "),
        (json!({ "crontab": "0 * * * *", "overlap": true }), "overlap: "),
    ]
}

/// Puts the specs of jobs into the store as they are.
fn store(pumice: &Pumice, specs: &[(String, String)]) {
    let store = rusqlite::Connection::open(pumice.path().join(".pumice/pumice.db")).expect("a store");
    for (id, spec) in specs {
        assert_eq!(store.execute("INSERT OR REPLACE INTO jobs VALUES (?1, ?2)", [id, spec]), Ok(1));
    }
}

fn assert_plain(text: &str) {
    for word in WORDS_OF_SERDE {
        assert!(!text.contains(word), "{word:?} in {text}");
    }
}

/// The troubles of a job's entries, in order, with those that have none.
fn troubles(list: &Value, job: &str) -> Vec<Option<String>> {
    let rows = list["schedules"].as_array().expect("rows").iter().filter(|row| row["job_id"] == job);
    rows.map(|row| row["trouble"].as_str().map(str::to_owned)).collect()
}

#[test]
fn stored_entry_that_is_none_is_named_in_plain_words() {
    let good = job("good", &json!({ "every": "1h", "run_now": true }));
    let pumice = applied(&good);
    let mut specs = Vec::new();
    for (number, (entry, _)) in odd().iter().enumerate() {
        // As a list would be read as the fields of an entry.
        let among = json!(["0 4 * * *", entry, ["0 5 * * *"], null, ""]);
        for (kind, schedule) in [("one", entry.clone()), ("list", json!([entry])), ("among", among)] {
            let id = format!("{kind}{number:02}");
            specs.push((id.clone(), job(&id, &schedule).to_string()));
        }
    }
    store(&pumice, &specs);
    let list = json_of(&pumice, &["schedules", "list"]);
    for (number, (entry, wanted)) in odd().iter().enumerate() {
        let reported = |kind: &str| troubles(&list, &format!("{kind}{number:02}"));
        for kind in ["one", "list"] {
            let reported = reported(kind);
            let [Some(reported)] = &reported[..] else { panic!("{entry}: {reported:?}") };
            assert!(reported.contains(wanted), "{entry}: {reported}");
            assert_plain(reported);
        }
        let among = reported("among");
        assert!(among[0].is_none() && among.len() == 5, "{entry}: {among:?}");
        assert!(among[1].as_ref().is_some_and(|reported| reported.contains(wanted)), "{entry}: {among:?}");
        assert!(among[2..].iter().all(|reported| reported.is_some()), "{entry}: {among:?}");
        among.iter().flatten().for_each(|reported| assert_plain(reported));
        // It is what `check` says of the same entry.
        pumice.write("one.json", job("one", &json!([entry])).to_string());
        let checked = refused(&pumice, &["check", "one.json"]);
        assert!(checked.contains(wanted.trim_end_matches(": ")), "{entry}: {checked}");
        assert_plain(&checked);
    }
    for arguments in [
        &["schedules", "list"][..],
        &["schedules", "next", "-n", "3"],
        &["schedules", "simulate", "--down", "2027-01-01T00:00Z", "2027-01-01T06:00Z"],
        &["schedules", "export", "--format", "eventbridge"],
    ] {
        for format in ["table", "json"] {
            let printed = pumice.run(&[arguments, &["-o", format]].concat());
            assert_eq!(printed.status, 0, "{arguments:?}: {printed:?}");
            assert!(printed.out.contains("good"), "{arguments:?}: {printed:?}");
            assert_plain(&printed.out);
            assert_plain(&printed.err);
        }
    }
    // Nor do they keep a server from starting others.
    let _server = pumice.serve();
    wait_until(|| json_of(&pumice, &["runs", "list", "--job", "good"])["runs"] != json!([]));
}

#[test]
fn stored_text_that_is_not_a_spec_is_a_row_with_its_reason() {
    let texts = [
        ("cut", "{\"job_id\": \"cut\",", "not JSON"),
        ("empty", "", "not JSON"),
        ("list", "[]", "expected an object"),
        ("number", "5", "expected an object"),
        ("none", "{}", "job_id"),
    ];
    let pumice = applied(&json!([
        job("good", &json!({ "every": "1h", "run_now": true })),
        job("cut", &json!("@daily"))
    ]));
    store(&pumice, &texts.map(|(id, text, _)| (id.to_owned(), text.to_owned())));
    let list = json_of(&pumice, &["schedules", "list"]);
    let rows = list["schedules"].as_array().expect("rows");
    for (id, _, wanted) in texts {
        let row = rows.iter().find(|row| row["job_id"] == id).unwrap_or_else(|| panic!("{id}: {list}"));
        let trouble = row["trouble"].as_str().expect("a reason");
        assert!(row["state"] == "broken" && trouble.contains(wanted), "{id}: {row}");
        assert_plain(trouble);
        let shown = refused(&pumice, &["jobs", "show", id]);
        assert!(shown.contains(&format!("job {id} cannot be read")) && shown.contains(wanted), "{shown}");
        for command in [
            &["schedules", "next", id][..],
            &["schedules", "export", "--format", "eventbridge", "--job", id],
            &["schedules", "simulate", id, "--down", "2027-01-01T00:00Z", "2027-01-01T06:00Z"],
        ] {
            let printed = pumice.run(command);
            assert!(printed.err.contains(wanted), "{command:?}: {printed:?}");
        }
        for command in ["pause", "resume", "run"] {
            assert!(refused(&pumice, &["schedules", command, id]).contains(wanted), "{command} {id}");
        }
    }
    let jobs = pumice.run(&["jobs", "list"]);
    assert_eq!(jobs.status, 0, "{jobs:?}");
    for (id, _, wanted) in texts {
        let reported = jobs.err.lines().find(|line| line.contains(&format!("job {id} cannot be read")));
        assert!(jobs.out.lines().any(|line| line.starts_with(id)), "{jobs:?}");
        assert!(reported.is_some_and(|reported| reported.contains(wanted)), "{id}: {jobs:?}");
    }
    let ids = json_of(&pumice, &["jobs", "list"]);
    let ids: Vec<&str> = ids["jobs"]
        .as_array()
        .expect("jobs")
        .iter()
        .map(|job| job["job_id"].as_str().expect("an id"))
        .collect();
    assert_eq!(ids, ["cut", "empty", "good", "list", "none", "number"]);
    let _server = pumice.serve();
    wait_until(|| json_of(&pumice, &["runs", "list", "--job", "good"])["runs"] != json!([]));
    // A user that has found it can remove it.
    assert_eq!(pumice.run(&["jobs", "delete", "cut"]).status, 0);
    assert!(!json_of(&pumice, &["schedules", "list"]).to_string().contains("\"cut\""));
}
