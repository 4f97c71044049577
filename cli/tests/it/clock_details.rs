//! Changes of the clock by realms and operators, and the reports about them.

use serde_json::{Value, json};

use crate::pumice::{Pumice, wait_until};
use crate::schedules::{applied, apply, job, json_of, refused};

fn realm(config: &Value) -> Value {
    json!({ "realm": "test", "config": config })
}

/// A job whose entries have the zone of the realm.
fn zoneless(id: &str, schedule: &Value) -> Value {
    let mut job = job(id, schedule);
    job.as_object_mut().expect("an object").remove("timezone");
    job
}

/// A realm with jobs whose zone it names, and others.
fn zoned(more: usize) -> Pumice {
    let mut documents = vec![
        realm(&json!({ "TIMEZONE": "Europe/Berlin" })),
        zoneless(
            "a",
            &json!(["30 2 * * *", { "crontab": "0 9 * * *", "timezone": "America/New_York" }, "* * * * *"]),
        ),
        zoneless("b", &json!({ "every": "1h", "from": "2100-01-01T00:00:00Z" })),
        job("c", &json!("30 2 * * *")),
        zoneless("plain", &Value::Null),
    ];
    let mut off = zoneless("off", &json!("30 2 * * *"));
    off["enabled"] = json!(false);
    documents.push(off);
    documents.extend((0..more).map(|number| zoneless(&format!("m{number:02}"), &json!("30 2 * * *"))));
    applied(&json!(documents))
}

#[test]
fn realm_whose_zone_changes_lists_the_entries_that_move() {
    let pumice = zoned(0);
    let next =
        |job: &str| json_of(&pumice, &["schedules", "next", job, "-n", "1"])["slots"][0]["slot"].take();
    let before = next("a*");
    assert_ne!(before, Value::Null);
    let to_tokyo = realm(&json!({ "TIMEZONE": "Asia/Tokyo" }));
    pumice.write("realm.json", to_tokyo.to_string());
    let foreseen = json_of(&pumice, &["apply", "realm.json", "--dry-run"])["moved"].take();
    let report = json_of(&pumice, &["apply", "realm.json"])["moved"].take();
    assert_eq!(foreseen, report);
    assert_eq!(
        (&report["count"], report["entries"].as_array().map(Vec::len)),
        (&json!(1), Some(1)),
        "{report}"
    );
    let entry = &report["entries"][0];
    assert_eq!((&entry["job_id"], &entry["entry"]), (&json!("a"), &json!(0)));
    assert_eq!([&entry["before"]["zone"], &entry["after"]["zone"]], ["Europe/Berlin", "Asia/Tokyo"]);
    let slots = json_of(&pumice, &["schedules", "next", "a", "-n", "5000"]);
    let first =
        slots["slots"].as_array().expect("slots").iter().find(|slot| slot["entry"] == 0).expect("a slot");
    assert_eq!(entry["after"]["slot"], first["slot"]);
    assert!(entry["before"]["slot"].as_str().is_some_and(|slot| slot.ends_with(":30:00Z")), "{entry}");
    // The same again moves nothing, nor does what decides nothing.
    for config in
        [json!({ "TIMEZONE": "Asia/Tokyo" }), json!({ "TIMEZONE": "Asia/Tokyo", "CMD_TIMEOUT": "5m" })]
    {
        pumice.write("realm.json", realm(&config).to_string());
        assert_eq!(json_of(&pumice, &["apply", "realm.json"]).get("moved"), None, "{config}");
    }
}

#[test]
fn many_entries_that_move_are_counted_and_the_first_are_named() {
    let pumice = zoned(20);
    pumice.write("realm.json", json!([realm(&json!({})), zoneless("m00", &json!("30 2 * * *"))]).to_string());
    let printed = pumice.run(&["apply", "realm.json", "--dry-run"]);
    assert_eq!(printed.status, 0, "{printed:?}");
    // One is put along with the realm, and says itself what it is.
    assert!(printed.out.contains("20 entries of other jobs move:"), "{}", printed.out);
    assert!(printed.out.contains("a entry 0: next 20") && printed.out.contains("(Europe/Berlin), now 20"));
    assert!(printed.out.contains("(UTC)\n") && printed.out.contains("… and 10 more"), "{}", printed.out);
}

#[test]
fn calendar_that_is_gone_moves_its_entries() {
    let with = |days: &Value| json!({ "realm": "test", "calendars": { "free": { "days": days } } });
    let entry = json!({ "crontab": "30 2 * * *", "skip": "free" });
    let pumice = applied(&json!([with(&json!(["2030-01-01"])), job("a", &entry)]));
    let apply_realm = |document: &Value| {
        pumice.write("realm.json", document.to_string());
        json_of(&pumice, &["apply", "realm.json"])["moved"].take()
    };
    assert_eq!(apply_realm(&with(&json!(["2030-01-02"]))), Value::Null, "the next slot stays");
    let tomorrow = |days: u64| (chrono::Utc::now().date_naive() + chrono::Days::new(days)).to_string();
    let report = apply_realm(&with(&json!([0, 1, 2].map(tomorrow))));
    assert_eq!(report["count"], 1, "{report}");
    let report = apply_realm(&json!({ "realm": "test" }));
    assert!(
        report["entries"][0]["after"]["trouble"].as_str().is_some_and(|why| why.contains("free")),
        "{report}"
    );
}

#[test]
fn calendar_without_days_or_name_is_refused() {
    let pumice = Pumice::new();
    for (calendars, wanted) in [
        (json!({ "free": {} }), "calendars.free"),
        (json!({ "free": { "days": [] } }), "calendars.free"),
        (json!({ "": { "days": ["2030-01-01"] } }), "a calendar has a name"),
        (json!({ "free": { "days": ["2030-02-30"] } }), "2030-02-30"),
        (json!({ "free": { "weekdays": "sun-fry" } }), "weekdays"),
    ] {
        pumice.write("realm.json", json!({ "realm": "test", "calendars": calendars }).to_string());
        for command in ["check", "apply"] {
            let report = refused(&pumice, &[command, "realm.json"]);
            assert!(report.contains(wanted), "{command} {calendars}: {report}");
        }
    }
}

#[test]
fn reboot_entry_starts_where_it_holds_when_the_service_starts() {
    let today =
        |days: i64| (chrono::Utc::now() + chrono::TimeDelta::days(days)).format("%Y-%m-%d").to_string();
    let around = json!([today(-1), today(0), today(1)]);
    let calendars = json!({ "now": { "days": around }, "later": { "days": [today(9)] } });
    let mut off = job("off", &json!("@reboot"));
    off["enabled"] = json!(false);
    let boot = |id: &str, more: Value| {
        let mut entry = json!({ "crontab": "@reboot" });
        entry.as_object_mut().expect("an object").extend(more.as_object().cloned().expect("an object"));
        job(id, &entry)
    };
    let pumice = applied(&json!([
        { "realm": "test", "calendars": calendars },
        off,
        job("plain", &json!("@reboot")),
        boot("over", json!({ "to": "2020-01-01" })),
        boot("early", json!({ "from": today(9) })),
        boot("within", json!({ "from": today(-9), "to": today(9) })),
        boot("holiday", json!({ "skip": "now" })),
        boot("other-holiday", json!({ "skip": "later" })),
        boot("only-now", json!({ "only": "now" })),
        boot("only-later", json!({ "only": "later" })),
        job("paused", &json!("@reboot")),
    ]));
    let started = || -> Vec<String> {
        let runs = json_of(&pumice, &["runs", "list", "--limit", "1000"]);
        let runs = runs["runs"].as_array().expect("runs").iter();
        let mut ids: Vec<String> =
            runs.map(|run| run["job_id"].as_str().expect("an id").to_owned()).collect();
        ids.sort();
        ids
    };
    assert_eq!(pumice.run(&["schedules", "pause", "paused"]).status, 0);
    let expected = ["only-now", "other-holiday", "plain", "within"];
    for count in 1..=2 {
        // A start is known by its second: a service that starts twice within one starts nothing twice.
        let before = chrono::Utc::now().timestamp();
        wait_until(|| chrono::Utc::now().timestamp() > before);
        let server = pumice.serve();
        wait_until(|| started().len() >= expected.len() * count);
        server.signal("TERM");
        assert_eq!(server.end(), 0);
        let twice: Vec<&str> = expected.iter().flat_map(|id| std::iter::repeat_n(*id, count)).collect();
        assert_eq!(started(), twice);
    }
}

/// A daily job, and a backfill of nine of its slots.
fn with_backfill() -> (Pumice, String) {
    let pumice = applied(&job("a", &json!("30 2 * * *")));
    let begun = json_of(
        &pumice,
        &["schedules", "backfill", "a", "--from", "2025-01-01T00:00Z", "--to", "2025-01-10T00:00Z"],
    );
    let id = begun["backfill"]["id"].as_str().expect("an id").to_owned();
    (pumice, id)
}

#[test]
fn backfill_that_stops_again_fails_its_resume() {
    let (pumice, id) = with_backfill();
    apply(&pumice, &job("a", &json!("30 3 * * *")));
    let server = pumice.serve();
    let shown = || json_of(&pumice, &["schedules", "backfills", "show", &id])["backfill"].take();
    wait_until(|| shown()["state"] == "stopped" && shown()["under_way"] == json!([]));
    server.signal("TERM");
    assert_eq!(server.end(), 0);
    let foreseen = pumice.run(&["schedules", "backfills", "resume", &id, "--dry-run"]);
    assert_eq!((foreseen.status, shown()["state"].as_str()), (0, Some("stopped")), "{foreseen:?}");
    let printed = pumice.run(&["schedules", "backfills", "resume", &id]);
    let why = "entry 0 of the schedule was changed since the backfill began";
    assert_eq!(printed.status, 2, "{printed:?}");
    assert!(printed.err.contains(&format!("backfill {id} stopped again: {why}")), "{printed:?}");
    assert_eq!(shown()["stopped"]["why"], why);
}

#[test]
fn cancel_of_a_backfill_that_is_dry_changes_nothing() {
    let (pumice, id) = with_backfill();
    let shown = || json_of(&pumice, &["schedules", "backfills", "show", &id])["backfill"].take();
    let before = shown();
    assert_eq!((&before["state"], before["under_way"].as_array().map(Vec::len)), (&json!("active"), Some(1)));
    for options in [&["--dry-run"][..], &["--runs", "--dry-run"]] {
        let arguments = [&["schedules", "backfills", "cancel", &id], options].concat();
        let printed = pumice.run(&arguments);
        assert!(
            printed.out.contains("cancelled") && printed.out.contains("(dry run: nothing was changed)"),
            "{printed:?}"
        );
        // The advice differs from the request.
        let advised = printed.err.contains("--runs cancels them, too");
        assert_eq!((printed.status, advised), (0, options.len() == 1), "{printed:?}");
        let report = json_of(&pumice, &arguments);
        assert_eq!(
            [&report["dry_run"], &report["changed"], &report["runs_cancelled"]],
            [&json!(true), &json!(true), &json!(0)]
        );
        assert_eq!(shown(), before);
    }
    let run = json_of(&pumice, &["runs", "list", "--backfill", &id])["runs"][0].take();
    assert!(run["status"] != "cancelled" && run["cancel"] != true, "{run}");
}

#[test]
fn export_in_json_has_its_remarks() {
    let pumice = applied(&json!([
        job("a", &json!(["30 2 * * *", { "crontab": "0 9 * * *", "catch_up": "all" }])),
        job("boot", &json!("@reboot")),
    ]));
    let report = json_of(&pumice, &["schedules", "export", "--format", "eventbridge"]);
    let entries = report["Metadata"]["entries"].as_array().expect("entries");
    let places: Vec<(&Value, &Value)> =
        entries.iter().map(|entry| (&entry["job_id"], &entry["entry"])).collect();
    assert_eq!(places, [(&json!("a"), &json!(0)), (&json!("a"), &json!(1)), (&json!("boot"), &json!(0))]);
    for entry in &entries[..2] {
        let resources = entry["resources"].as_array().expect("names");
        assert!(!resources.is_empty(), "{entry}");
        assert!(
            resources.iter().all(|name| report["Resources"].get(name.as_str().expect("a name")).is_some())
        );
    }
    assert_eq!(entries[2]["resources"], json!([]));
    assert!(entries[2]["remarks"].to_string().contains("@reboot names no time"), "{entries:?}");
    let yaml = pumice.run(&["schedules", "export", "--format", "eventbridge"]).out;
    assert!(!yaml.contains("Metadata") && yaml.contains("# - "), "{yaml}");
}

#[test]
fn counts_of_simulated_outages_say_where_they_end() {
    let pumice = applied(&json!([job("daily", &json!("30 2 * * *")), job("often", &json!("* * * * *"))]));
    let report = |to: &str| {
        let report = json_of(&pumice, &["schedules", "simulate", "--down", "2027-01-01T00:00:00Z", to]);
        ["daily", "often"].map(|job| {
            let entries = report["entries"].as_array().expect("entries");
            let entry = entries.iter().find(|entry| entry["job_id"] == job).expect("an entry");
            (entry["missed"].as_u64().expect("a count"), entry["capped"] == true)
        })
    };
    assert_eq!(report("2027-01-01T06:00:00Z"), [(1, false), (359, false)]);
    assert_eq!(report("2027-01-03T06:00:00Z"), [(3, false), (1_000, true)]);
}

#[test]
fn backfill_whose_runs_would_leave_one_another_out_says_so() {
    let mut skipping = job("skip", &json!(["30 2 * * *", { "crontab": "0 5 * * *", "overlap": "queue" }]));
    skipping["overlap"] = json!("skip");
    let entry = |id: &str, overlap: &str| job(id, &json!({ "crontab": "30 2 * * *", "overlap": overlap }));
    let pumice = applied(&json!([
        skipping,
        entry("latest", "latest"),
        entry("cancel", "cancel_running"),
        entry("queue", "queue"),
        entry("allow", "allow"),
        job("none", &json!("30 2 * * *")),
    ]));
    let notes = |job: &str, most: &str| {
        let range = ["--from", "2025-01-01T00:00Z", "--to", "2025-01-05T00:00Z"];
        let arguments =
            [&["schedules", "backfill", job, "--max-active", most, "--dry-run"], &range[..]].concat();
        json_of(&pumice, &arguments)["notes"].as_array().cloned().unwrap_or_default()
    };
    let report = |job: &str, most: &str| {
        let notes = notes(job, most);
        let of_overlap =
            notes.iter().filter(|note| note.as_str().is_some_and(|note| note.contains("overlap")));
        of_overlap.map(|note| note.as_str().expect("a text").to_owned()).collect::<Vec<_>>()
    };
    for (job, overlap, word) in [
        ("skip", "skip", "skipped"),
        ("latest", "latest", "skipped"),
        ("cancel", "cancel_running", "cancelled"),
    ] {
        let note = format!(
            "entry 0 has overlap: {overlap}: runs of the backfill are {word} for one another, unless --max-active is 1"
        );
        assert_eq!((report(job, "2"), report(job, "1")), (vec![note], Vec::new()), "{job}");
    }
    for job in ["queue", "allow", "none"] {
        assert_eq!(report(job, "9"), Vec::<String>::new(), "{job}");
    }
}

#[test]
fn schedules_run_that_is_dry_starts_nothing() {
    let mut off = job("off", &json!("30 2 * * *"));
    off["enabled"] = json!(false);
    let pumice = applied(&json!([job("a", &json!(["30 2 * * *", "0 5 * * *"])), off]));
    let slot = "2100-03-01T01:30:00Z";
    let note = format!("it is the run of slot {slot}, which the clock would have started at {slot}");
    let of_slot = ["schedules", "run", "a", "--entry", "0", "--at", slot];
    let dry = |arguments: &[&str]| json_of(&pumice, &[arguments, &["--dry-run"]].concat());
    let report = dry(&of_slot);
    assert_eq!(
        report,
        json!({
            "job_id": "a", "entry": 0, "slot": slot, "enabled": true, "dry_run": true,
            "runs": [{ "host": null, "existing": null }], "note": note,
        })
    );
    assert_eq!(dry(&["schedules", "run", "off"])["enabled"], false);
    let runs = || json_of(&pumice, &["runs", "list"])["runs"].as_array().map(Vec::len);
    assert_eq!(runs(), Some(0));
    let said = pumice.run(&["schedules", "run", "a", "--entry", "1", "--dry-run"]).out;
    assert!(
        said.starts_with("would start a entry 1, slot 20")
            && said.ends_with("(dry run: nothing was started)\n")
    );
    let made = json_of(&pumice, &of_slot);
    assert_eq!(dry(&of_slot)["runs"][0]["existing"], made["run_id"]);
    assert_eq!(runs(), Some(1));
    // Refusals come in advance.
    for arguments in [
        &["schedules", "run", "a"][..],
        &["schedules", "run", "a", "--entry", "0", "--at", "2027-03-01T01:31:00Z"],
    ] {
        assert_eq!(refused(&pumice, &[arguments, &["--dry-run"]].concat()), refused(&pumice, arguments));
    }
}
