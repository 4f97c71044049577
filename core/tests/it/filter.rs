//! The query grammar: valid queries, refused ones with the place of the mistake, and the runs that match.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use pumice_core::duration::Span;
use pumice_core::filter::{Filter, MAX_FILTER, Tag, Word};
use pumice_core::ids::{JobId, RunId, RunKey, WorkerName};
use pumice_core::ports::{Counts, RunCount, RunQuery};
use pumice_core::run::{Keyed, Run, Status, Trigger};

const ID: &str = "0190a0a0-1111-7000-8000-0000000000aa";

fn now() -> DateTime<Utc> {
    "2026-03-10T12:00:00Z".parse().unwrap()
}

/// A run that failed an hour ago.
fn run() -> Run {
    let run_id: RunId = ID.parse().unwrap();
    let about = (JobId::new("etl/load").unwrap(), "cmd".to_owned(), WorkerName::new("core").unwrap());
    let at = now() - TimeDelta::hours(1);
    let made = Run::dispatched(RunKey::root(run_id), run_id, about, at, at, Span::from_days(1));
    Run {
        status: Status::Failed,
        reason: Some("exit status 3: Disk \"C:\\tmp\" full, twice".to_owned()),
        hostname: Some("node-7".to_owned()),
        keyed: Some(Keyed { key: "night/1".to_owned(), fingerprint: "f".to_owned(), asked: String::new() }),
        trigger: Some(Trigger::Event { event: "sns:1".to_owned() }),
        ..made
    }
}

fn query(text: &str) -> RunQuery {
    RunQuery::of(Filter::parse(text).unwrap(), now(), chrono_tz::Europe::Berlin).unwrap()
}

fn refused(text: &str) -> String {
    Filter::parse(text).unwrap_err().to_string()
}

#[test]
fn filter_means_the_runs_that_its_terms_say() {
    for (text, is_meant) in [
        ("", true),
        ("  \t ", true),
        ("status:failed", true),
        ("STATUS:failed", true),
        ("status:complete,failed", true),
        ("status:complete", false),
        ("-status:complete", true),
        ("-status:complete,failed", false),
        ("status:failed,rejected -status:rejected", true),
        ("job:etl/load", true),
        ("job:etl/*", true),
        ("job:ETL/*", false),
        ("job:a,etl/l?ad", true),
        ("-job:etl/*", false),
        ("-job:a,b", true),
        ("job:etl/* -job:*load", false),
        ("since:2h", true),
        ("since:59m", false),
        ("until:1h", false),
        ("until:59m", true),
        ("since:2d until:30m", true),
        // Noon in Berlin is 11:00 in UTC, when the run was dispatched.
        ("since:2026-03-10T12:00", true),
        ("since:2026-03-10T12:01", false),
        ("since:2026-03-10T11:00:00Z", true),
        ("since:2026-03-10", true),
        ("until:2026-03-10", false),
        ("since:\"2026-03-10 12:00\"", true),
        ("since:2d since:30m", false),
        ("worker:core", true),
        ("worker:c*,gpu", true),
        ("-worker:core", false),
        ("type:cmd,chain", true),
        ("type:c*", false),
        ("trigger:event", true),
        ("trigger:caller,schedule", false),
        ("-trigger:schedule", true),
        ("reason:\"exit status 3\"", true),
        ("reason:\"EXIT STATUS 3\"", true),
        ("reason:\"exit status 4\"", false),
        ("reason:\"\\\"C:\\\\tmp\\\"\"", true),
        ("reason:\"full, twice\"", true),
        ("reason:nothing,\"full, twice\"", true),
        ("-reason:full", false),
        ("reason:*", false),
        ("id:0190", true),
        ("id:0190A0A0", true),
        ("id:0190a0a0-1111-7000-8000-0000000000aa", true),
        ("id:0190a0a1,0190a0a0-1", true),
        ("id:0190a0a1", false),
        ("-id:0190", false),
        ("key:night/*", true),
        ("key:day/*", false),
        ("-key:day/*", true),
        ("host:node-*", true),
        ("backfill:b", false),
        ("-backfill:b", true),
        ("status:failed job:etl/* worker:core reason:full host:node-7", true),
        ("status:failed job:etl/* worker:gpu reason:full", false),
    ] {
        assert_eq!(query(text).holds(&run()), is_meant, "{text}");
    }
}

#[test]
fn term_of_a_field_that_a_run_lacks_never_holds() {
    let bare = Run { reason: None, hostname: None, keyed: None, ..run() };
    for word in ["reason", "host", "key"] {
        assert!(!query(&format!("{word}:\"*\"")).holds(&bare), "{word}");
        assert!(query(&format!("-{word}:x")).holds(&bare), "{word}");
    }
}

#[test]
fn filter_that_is_wrong_is_refused_with_a_caret() {
    for (text, message, caret) in [
        ("failed", "a value without a word: write job:failed or reason:failed, or another of status:", "^"),
        ("status:failed \"x y\"", "a value without a word: write job:\"…\"", "              ^"),
        ("status:failed AND job:a", "terms all have to hold: leave out the and", "              ^"),
        ("job:a or job:b", "there is no or between terms", "      ^"),
        ("not status:complete", "write a minus sign before a term", "^"),
        ("(job:a)", "parentheses and ! have no meaning here", "^"),
        ("job:a !status:complete", "parentheses and ! have no meaning here", "      ^"),
        (
            "stauts:failed",
            "\"stauts\" is not a word of filters: did you mean \"status\"? the words are status: job:",
            "^",
        ),
        ("-colour:red", "\"colour\" is not a word of filters: the words are", " ^"),
        ("status:faild", "\"faild\" is not a status (did you mean \"failed\"?)", "       ^"),
        ("status:failed,rejcted", "\"rejcted\" is not a status", "              ^"),
        ("status:starting", "no run is ever starting", "       ^"),
        ("status:", "status: has no value here", "       ^"),
        ("status: failed", "status: has no value here", "       ^"),
        ("status:failed,", "status: has no value here", "              ^"),
        ("job:\"\"", "job: has no value here", "    ^"),
        (":failed", "a word is missing here", "^"),
        ("- status:failed", "a word is missing here", "^"),
        (",", "a word is missing here", "^"),
        ("trigger:cron", "\"cron\" does not start runs: use one of caller, run", "        ^"),
        ("trigger:schedul", "did you mean \"schedule\"?", "        ^"),
        ("id:019", "\"019\" is too short for the beginning of an id: give 4", "   ^"),
        ("id:latest", "\"latest\" is not a run's id", "   ^"),
        ("id:0190/1.0", "\"0190/1.0\" is not a run's id", "   ^"),
        ("since:tomorrow", "\"tomorrow\" is neither how long ago", "      ^"),
        ("since:90", "\"90\" is neither how long ago", "      ^"),
        ("since:1d,2d", "since: takes one time, not several", "         ^"),
        ("-since:1d", "a time cannot be negated: write until: instead", "^"),
        ("job:a -until:1d", "a time cannot be negated: write since: instead", "      ^"),
        ("reason:\"exit", "the quotation mark is not closed", "       ^"),
        ("reason:\"a\"b", "a blank or a comma is missing after the closing", "          ^"),
        ("reason:a\"b\"", "a quotation mark within a value", "        ^"),
        ("reason:\"a\\n\"", "\\ stands only before", "         ^"),
        ("reason:\"a\\", "\\ stands only before", "         ^"),
        ("job:é stauts:x", "\"stauts\"", "      ^"),
        ("job:\u{1b} stauts:x", "\"stauts\"", "         ^"),
    ] {
        let told = refused(text);
        let mut lines = told.lines();
        let first = lines.next().unwrap();
        assert!(first.contains(message), "{text}: {told}");
        assert_eq!(
            lines.next().map(|line| line.replace("\\x1b", "\u{1b}")),
            Some(format!("  {text}")),
            "{told}"
        );
        assert_eq!(lines.next(), Some(&*format!("  {caret}")), "{text}: {told}");
        assert_eq!(lines.next(), None);
    }
}

#[test]
fn filter_that_is_too_long_is_refused_without_its_text() {
    let long = format!("reason:{}", "x".repeat(MAX_FILTER));
    assert_eq!(refused(&long), format!("a filter of {} bytes is longer than {MAX_FILTER}", long.len()));
}

#[test]
fn unknown_word_error_names_every_word() {
    let told = refused("colour:red");
    for word in Word::ALL {
        assert!(told.contains(&format!("{}:", word.as_str())), "{told}");
    }
}

#[test]
fn terms_that_contradict_each_other_are_refused() {
    for (text, wanted) in [
        ("status:failed status:complete", "status:complete leaves none of failed"),
        ("status:failed -status:failed,complete", "-status:failed,complete leaves none of failed"),
        ("status:complete reason:x", "a run that is complete has no reason"),
        ("status:complete fingerprint:3fa9c1d2", "a run that is complete has no reason"),
        ("since:1h until:2h", "until: 2026-03-10T10:00:00Z is not after since: 2026-03-10T11:00:00Z"),
        ("since:1h until:1h", "is not after since"),
    ] {
        let filter = Filter::parse(text).unwrap();
        let told = RunQuery::of(filter, now(), chrono_tz::UTC).unwrap_err().to_string();
        assert!(told.contains(wanted) && told.ends_with("no run can match"), "{text}: {told}");
    }
}

#[test]
fn filter_is_printed_as_it_is_read() {
    for text in [
        "status:failed,rejected job:etl/* -worker:gpu since:2d until:1h",
        "fingerprint:3fa9c1d2 reason:\"exit status 3\",\"a \\\"b\\\" \\\\c\" -id:0190 tag:nightly,team=ops",
        "since:2026-03-10T12:00:00 trigger:schedule type:cmd key:k host:h backfill:b",
    ] {
        let filter = Filter::parse(text).unwrap();
        assert_eq!(filter.to_string(), text);
        assert_eq!(Filter::parse(&filter.to_string()).unwrap(), filter);
    }
}

#[test]
fn statuses_and_jobs_of_a_filter_are_left_to_indexes() {
    let bad = query("-status:complete");
    assert!(!bad.statuses.contains(&Status::Complete) && bad.statuses.len() == 8, "{:?}", bad.statuses);
    assert!(bad.filter.is_empty(), "{:?}", bad.filter);
    let reason = query("reason:x");
    assert_eq!(reason.statuses, bad.statuses, "a run that ended well has no reason");
    assert!(query("-reason:x").statuses.is_empty());
    assert_eq!(query("job:a,b* -job:c").jobs(), Some(vec!["a", "b*"]));
    assert_eq!(query("-job:a").jobs(), None);
    assert_eq!(query("id:0190").filter.ids(), Some(&["0190".to_owned()][..]));
    assert_eq!(query("-id:0190").filter.ids(), None);
}

#[test]
fn counts_answer_filters_for_jobs_and_statuses_alone() {
    let count =
        |job_id: &str, runs| RunCount { job_id: job_id.to_owned(), status: Status::Failed, runs, steps: 100 };
    let counts = Counts { by_job: vec![count("a", 1), count("b", 2), count("c", 4)] };
    for (text, number) in [
        ("", Some(7)),
        ("job:a,b", Some(3)),
        ("-job:a", Some(6)),
        ("job:* -job:c", Some(3)),
        ("status:failed job:a,c", Some(5)),
        ("status:complete", Some(0)),
        ("worker:core", None),
        ("-id:0190", None),
        ("since:1d", None),
    ] {
        assert_eq!(counts.of(&query(text)), number, "{text}");
    }
}

#[test]
fn tags_resolve_to_the_jobs_that_have_them() {
    let filter = Filter::parse("tag:nightly,team=o* -tag:slow").unwrap();
    assert!(filter.asks_for_tags());
    let jobs = [("a", "nightly", "x"), ("b", "team", "ops"), ("c", "team", "web"), ("d*", "slow", "")];
    let filter = filter.with_tags(|tags: &[Tag]| {
        let has = |(_, name, value): &&(&str, &str, &str)| {
            tags.iter().any(|tag| tag.is_among(std::iter::once((*name, *value))))
        };
        jobs.iter().filter(has).map(|(id, ..)| JobId::stored(*id).unwrap()).collect::<BTreeSet<_>>()
    });
    assert!(!filter.asks_for_tags());
    let takes: Vec<&str> =
        ["a", "b", "c", "d*", "dx"].into_iter().filter(|id| filter.takes_job(id)).collect();
    assert_eq!(takes, ["a", "b"]);
    let none = Filter::parse("tag:none").unwrap().with_tags(|_| BTreeSet::new());
    let meant = RunQuery::of(none, now(), chrono_tz::UTC).unwrap();
    assert_eq!((meant.jobs(), meant.holds(&run())), (Some(vec![]), false));
}

#[test]
fn any_text_is_read_and_printed_again_or_refused_at_its_place() {
    let parts = [
        " ", "\"", "\\", ":", ",", "-", "=", "(", "status:", "failed", "job", "tag:", "since:", "2d", "é",
        "\u{1b}",
    ];
    let mut texts = vec![String::new()];
    let mut read = 0;
    for _ in 0..3 {
        texts = texts.iter().flat_map(|text| parts.iter().map(move |part| format!("{text}{part}"))).collect();
        for text in &texts {
            match Filter::parse(text) {
                Ok(filter) => {
                    read += 1;
                    assert_eq!(Filter::parse(&filter.to_string()).as_ref(), Ok(&filter), "{text:?}");
                }
                Err(error) => {
                    let lines = error.to_string().lines().count();
                    assert!(
                        lines == 3 && error.at.is_some_and(|at| text.is_char_boundary(at)),
                        "{text:?}: {error}"
                    );
                }
            }
        }
    }
    assert!(read > 50, "{read}");
}

#[test]
fn time_without_a_zone_is_written_with_its_offset() {
    use chrono_tz::{America::New_York, Asia::Kathmandu, Europe::Berlin, UTC};
    for (text, zone, written) in [
        ("job:a since:2026-11-29T13:30", New_York, "job:a since:2026-11-29T13:30-05:00"),
        ("since:2026-11-30T00:05  until:2h", Kathmandu, "since:2026-11-30T00:05+05:45  until:2h"),
        ("until:\"2026-07-01 06:00\" job:\"a b\"", Berlin, "until:2026-07-01T06:00+02:00 job:\"a b\""),
        ("UNTIL:2026-07", UTC, "UNTIL:2026-07-01T00:00+00:00"),
        ("since:2026-03-29T02:30", Berlin, "since:2026-03-29T03:30+02:00"),
        ("since:\"2026-10-25T02:30:05,5\"", Berlin, "since:2026-10-25T02:30:05.500000+02:00"),
        ("since:2026-10-25T02:30:05,5", Berlin, "since:2026-10-25T02:30:05,5"),
        ("since:1880-01-01T00:00", Berlin, "since:1879-12-31T23:06:32+00:00"),
        ("reason:2026-07-01 since:2026-07-01T00:00Z", Berlin, "reason:2026-07-01 since:2026-07-01T00:00Z"),
        ("since:1d status:failed", Berlin, "since:1d status:failed"),
        ("since:2026-07-01 sttus:failed", Berlin, "since:2026-07-01 sttus:failed"),
        ("since:", Berlin, "since:"),
    ] {
        assert_eq!(Filter::with_offsets(text, zone), written, "{text}");
        assert_eq!(Filter::with_offsets(written, UTC), written, "it is read alike in any zone");
        if let Ok(filter) = Filter::parse(text) {
            let of = |filter: Filter, zone| {
                let query = RunQuery::of(filter, now(), zone);
                query.map(|query| (query.since, query.until)).map_err(|error| error.to_string())
            };
            assert_eq!(of(Filter::parse(written).unwrap(), UTC), of(filter, zone), "{text}");
        }
    }
    let audit = pumice_core::filter::AuditFilter::with_offsets("who:ada since:2026-07-01", Berlin);
    assert_eq!(audit, "who:ada since:2026-07-01T00:00+02:00");
}
