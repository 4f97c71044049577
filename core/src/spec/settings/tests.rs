//! Each setting is read from a realm and from the environment.

use super::*;
use serde_json::json;

#[test]
fn reads_lavas_names_and_leaves_the_rest() {
    let config =
        json!({"EVENT_TTL": "2d", "STDERR_SIZE": "-2K", "SQL_DELIMITER": "|", "JOB_LOCAL_TMPDIR": "no"});
    let settings = Settings::from_config(config.as_object().unwrap()).unwrap();
    assert_eq!(settings.event_ttl, Retention::of(Span::from_days(2)));
    assert_eq!(settings.stderr_size, -2000);
    assert!(!settings.job_local_tmpdir);
}

fn read(config: Value) -> (Settings, Vec<String>) {
    let (settings, problems) = Settings::from_stored(config.as_object().unwrap());
    (settings, problems.iter().map(ToString::to_string).collect())
}

#[test]
fn lavas_events_are_on_or_off() {
    let of = |value: Value| Settings::from_config(json!({ "LAVA_EVENTS": value }).as_object().unwrap());
    assert!(!Settings::default().lava_events, "off by default");
    for (value, is_on) in [(json!("on"), true), (json!("Off"), false), (json!(true), true)] {
        assert_eq!(of(value).unwrap().lava_events, is_on);
    }
    let bad = of(json!("sometimes")).unwrap_err();
    assert!(bad.to_string().contains("LAVA_EVENTS: expected on or off, got \"sometimes\""), "{bad}");
}

#[test]
fn name_in_small_letters_counts() {
    for name in ["event_ttl", "Event_TTL", "EVENT_TTL"] {
        let (settings, problems) = read(json!({ name: "3d" }));
        assert_eq!((settings.event_ttl, problems.len()), (Retention::of(Span::from_days(3)), 0), "{name}");
        assert!(Settings::is_known(name), "{name}");
    }
    for config in
        [json!({ "event_ttl": "3d", "EVENT_TTL": "5d" }), json!({ "EVENT_TTL": "5d", "event_ttl": "3d" })]
    {
        let (settings, problems) = read(config.clone());
        assert_eq!(settings.event_ttl, Retention::of(Span::from_days(5)), "{config}");
        assert_eq!(problems, ["event_ttl: EVENT_TTL is given too, and counts"], "{config}");
        assert!(Settings::from_config(config.as_object().unwrap()).is_err(), "{config}");
    }
    let (_, problems) = read(json!({ "event_ttl": "3d", "Event_Ttl": "5d" }));
    assert_eq!(problems.len(), 1, "{problems:?}");
}

#[test]
fn names_of_lavas_daemons_are_known() {
    for name in [
        "CHECK_FOR_ZOMBIES",
        "CW_METRICS_PERIOD",
        "CW_METRICS_WORKER",
        "HEARTBEAT_FILE",
        "JUMPSTART_DELAY",
        "NO_DISPATCH",
        "S3TRIGGER_CACHE_TTL",
        "S3TRIGGER_DEDUP_CACHE_SIZE",
        "S3TRIGGER_DEDUP_TTL",
        "LOGLEVEL",
    ] {
        assert!(Settings::is_known(name) && Settings::is_known(&name.to_lowercase()), "{name}");
    }
    assert!(!Settings::is_known("COLOUR"));
}

#[test]
fn records_are_kept_for_good_where_lava_sets_no_end() {
    for value in [json!(null), json!(""), json!(0), json!("0s")] {
        let (settings, problems) = read(json!({ "EVENT_TTL": value }));
        assert_eq!((settings.event_ttl, problems.len()), (Retention::of(None), 0), "{value}");
    }
    let environment = |name: &str| (name == "LAVA_EVENT_TTL").then(String::new);
    assert_eq!(Settings::default().with_environment(&environment).unwrap().event_ttl, Retention::of(None));
}

#[test]
fn each_name_sets_a_setting_of_its_own() {
    let samples = [
        json!("3m"),
        json!(3),
        json!(true),
        json!(false),
        json!("run"),
        json!("Asia/Tokyo"),
        json!({ "a": "UTC" }),
        json!("x"),
        json!("unix"),
        json!("all"),
    ];
    let mut changed: Vec<Settings> = Vec::new();
    for name in Settings::names() {
        let read = samples.iter().map(|value| read(json!({ name: value })));
        let set = read
            .filter(|(set, problems)| problems.is_empty() && *set != Settings::default())
            .map(|(set, _)| set);
        let set = set.into_iter().next().unwrap_or_else(|| panic!("{name} sets nothing"));
        assert!(!changed.contains(&set), "{name} sets what another name sets");
        changed.push(set);
    }
}

#[test]
fn bad_value_of_a_stored_realm_leaves_the_default() {
    for name in Settings::names().filter(|name| !["EVENT_TTL", "STATE_TTL"].contains(name)) {
        for value in [json!(null), json!({}), json!([{}])] {
            let is_right = match name {
                "DISPATCHER_ZONES" => value == json!({}),
                "EMAIL_CONN"
                | "ON_LATE_WORKER"
                | "SES_CONFIGURATION_SET"
                | "SES_FROM"
                | "SES_REGION"
                | "SQL_ESCAPECHAR" => value.is_null(),
                _ => false,
            };
            if is_right {
                continue;
            }
            let (settings, problems) = read(json!({ name: value, "STATE_TTL": "1d" }));
            let rest = Settings { state_ttl: Span::from_days(1), ..Settings::default() };
            assert_eq!(settings, rest, "{name} {value}");
            assert_eq!(problems.len(), 1, "{name} {value}: {problems:?}");
            assert!(problems[0].starts_with(name) && !problems[0].contains("invalid"), "{problems:?}");
        }
    }
}

#[test]
fn lava_workers_are_named_by_name_or_pattern() {
    let named = |value: Value| {
        Settings::from_config(json!({ "FOREIGN_WORKERS": value }).as_object().unwrap()).unwrap()
    };
    let is_lavas =
        |settings: &Settings, name: &str| settings.worker_kind(&WorkerName::new(name).unwrap()).is_lavas();
    for (value, worker, wanted) in [
        (json!("core, gp-*"), "gp-large", true),
        (json!(["core"]), "core", true),
        (json!("core, gp-*"), "gp", false),
        (json!(""), "core", false),
    ] {
        let settings = named(value.clone());
        assert!(!is_lavas(&settings, worker), "{value}: without lava's table there is none");
        let (settings, mistake) = settings.with_lava_table();
        assert_eq!((is_lavas(&settings, worker), mistake), (wanted, None), "{value}");
        let over = Settings::default().over(&settings);
        assert_eq!(is_lavas(&over, worker), wanted, "{value}: the place stays the realm's");
    }
    assert!(!is_lavas(&Settings::default().with_lava_table().0, "core"));
    let bad = Settings::from_config(json!({ "FOREIGN_WORKERS": 3 }).as_object().unwrap()).unwrap_err();
    assert!(bad.to_string().contains("FOREIGN_WORKERS: expected names, with commas between"), "{bad}");
}

#[test]
fn worker_of_late_actions_is_never_lavas() {
    let own = WorkerName::new("core").unwrap();
    let named = WorkerName::new("ops").unwrap();
    for (config, wanted) in [
        (json!({}), &own),
        (json!({ "ON_LATE_WORKER": "" }), &own),
        (json!({ "ON_LATE_WORKER": null }), &own),
        (json!({ "ON_LATE_WORKER": "ops" }), &named),
        (json!({ "on_late_worker": "ops", "FOREIGN_WORKERS": "core" }), &named),
    ] {
        let (settings, problems) = read(config.clone());
        assert_eq!((settings.late_worker(&own), problems), (wanted, vec![]), "{config}");
    }
    let lavas = json!({ "ON_LATE_WORKER": "ops", "FOREIGN_WORKERS": "o*" });
    let (settings, problems) = read(lavas);
    assert_eq!((settings.late_worker(&own), problems), (&named, vec![]), "without lava's table");
    let (settings, mistake) = settings.with_lava_table();
    assert_eq!(mistake.unwrap(), "ops is a lava worker by FOREIGN_WORKERS: name one of Pumice's");
    assert_eq!((settings.on_late_worker.as_ref(), settings.late_worker(&own)), (None, &own));
    assert!(Settings::from_config(json!({ "ON_LATE_WORKER": "a b" }).as_object().unwrap()).is_err());
    // The environment names the one, the realm the other.
    let environment = |name: &str| (name == "LAVA_ON_LATE_WORKER").then(|| "ops".to_owned());
    let lavas = read(json!({ "FOREIGN_WORKERS": "ops" })).0.with_lava_table().0;
    let error = lavas.clone().with_environment(&environment).unwrap_err().to_string();
    assert!(error.contains("LAVA_ON_LATE_WORKER: ops is a lava worker"), "{error}");
    let by_environment = Settings::default().with_environment(&environment).unwrap();
    assert_eq!(by_environment.late_worker(&own), &named);
    assert_eq!(by_environment.over(&lavas).late_worker(&own), &own);
}

#[test]
fn job_of_a_realm_with_lava_is_started_by_one_of_both() {
    let of = |config: Value| read(config).0.with_lava_table().0;
    let alone = of(json!({}));
    assert!(alone.starts(None) && alone.starts(Some("--")) && alone.starts(Some("Sydney")));
    let beside = of(json!({ "FOREIGN_WORKERS": "core" }));
    assert!(beside.starts(None) && beside.starts(Some("")) && !beside.starts(Some("Sydney")));
    let in_folder = read(json!({ "FOREIGN_WORKERS": "core" })).0;
    assert!(in_folder.starts(Some("Sydney")), "no lava worker can be in a folder");
    let instead = of(json!({ "FOREIGN_WORKERS": "core", "DISPATCHERS": ["Sydney"] }));
    assert!(instead.starts(Some("Sydney")) && !instead.starts(Some("Perth")) && !instead.starts(None));
}

#[test]
fn the_environment_wins() {
    let environment = |name: &str| (name == "LAVA_CMD_TIMEOUT").then(|| "1m".to_owned());
    let settings = Settings::default().with_environment(&environment).unwrap();
    assert_eq!(settings.cmd_timeout, Span::from_mins(1));
    let bad = |name: &str| (name == "LAVA_ITERATION_MAX_LIMIT").then(|| "many".to_owned());
    let error = Settings::default().with_environment(&bad).unwrap_err().to_string();
    assert!(error.contains("LAVA_ITERATION_MAX_LIMIT"), "{error}");
}
