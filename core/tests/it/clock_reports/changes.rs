//! Reports about changes of clock.

use super::*;

#[test]
fn report_1_daily_time_in_the_gap_runs_once_after_it() {
    let slots: Vec<Slot> =
        cron("30 2 * * *").slots(instant("2026-03-07T12:00:00Z"), America::New_York).take(2).collect();
    assert_eq!(utc(slots[0].at), "2026-03-08T07:00:00Z");
    assert_eq!(
        (slots[0].change, slots[0].local.format("%H:%M").to_string()),
        (Some(ClockChange::Skipped(1)), "02:30".to_owned())
    );
    assert_eq!(utc(slots[1].at), "2026-03-09T06:30:00Z");
}

#[test]
fn report_2_daily_time_in_the_fold_runs_once_at_the_first() {
    let slots: Vec<Slot> =
        cron("30 1 * * *").slots(instant("2026-10-31T12:00:00Z"), America::New_York).take(2).collect();
    assert_eq!(
        (utc(slots[0].at).as_str(), slots[0].change),
        ("2026-11-01T05:30:00Z", Some(ClockChange::First))
    );
    assert_eq!(utc(slots[1].at), "2026-11-02T06:30:00Z");
}

#[test]
fn report_3_interval_loses_nothing_in_the_fold() {
    let plan =
        plan(json!({ "every": "15m", "from": "2026-11-01T00:00:00Z", "timezone": "America/New_York" }));
    let entry = planned(&plan).entry(instant("2026-10-01T00:00:00Z"));
    let slots = entry.slots(instant("2026-11-01T05:00:00Z") - SECOND);
    let within = slots.take_while(|slot| slot.at < instant("2026-11-01T07:00:00Z"));
    assert_eq!(within.count(), 8);
}

#[test]
fn report_4_two_slots_in_one_gap_run_once_and_say_so() {
    let plan = plan(json!({ "crontab": "15,45 2 * * *", "timezone": "America/New_York" }));
    let entry = planned(&plan).entry(instant("2026-03-01T00:00:00Z"));
    let slot = entry.next(instant("2026-03-08T06:59:00Z")).expect("a slot");
    assert_eq!((utc(slot.at).as_str(), slot.change), ("2026-03-08T07:00:00Z", Some(ClockChange::Skipped(2))));
    assert_eq!(notes(&plan, &slot), ["02:15 does not exist: first instant after it, for 2 slots"]);
    assert_eq!(utc(entry.next(slot.at).expect("a slot").at), "2026-03-09T06:15:00Z");
}

#[test]
fn report_5_list_of_hours_is_whole_on_the_day_of_the_change() {
    for day in ["2026-03-08", "2026-11-01"] {
        let after = format!("{day}T04:00:00Z");
        let wanted = [format!("{} 07:00", &day[5..]), format!("{} 09:00", &day[5..])];
        assert_eq!(next("0 7,9 * * *", America::New_York, &after, 2), wanted);
    }
}

#[test]
fn report_6_transition_stops_no_crontab() {
    for zone in TZ_VARIANTS {
        for crontab in ["30 2 * * *", "0 * * * *", "15,45 0-3 * * *"] {
            let asked = cron(crontab);
            let slots = asked.slots(instant("2026-01-01T00:00:00Z"), zone).take(3);
            assert_eq!(slots.count(), 3, "{crontab} {zone}");
        }
    }
}

#[test]
fn report_7_lost_day_is_passed_and_the_next_one_tried() {
    let slots = next("0 9 * * *", Pacific::Apia, "2011-12-29T00:00:00Z", 3);
    assert_eq!(slots, ["12-29 09:00", "12-31 00:00", "12-31 09:00"]);
}

#[test]
fn report_8_right_local_hour_on_both_sides_of_a_change() {
    let plan = plan(json!({ "crontab": "0 9 * * *", "timezone": "Europe/Berlin" }));
    let mut timetable = seen(&plan, "2026-03-28T12:00:00Z");
    for (at, wanted) in
        [("2026-03-29T07:00:00Z", "2026-03-29T07:00:00Z"), ("2026-03-30T07:00:05Z", "2026-03-30T07:00:00Z")]
    {
        let looked = look(&timetable, &plan, at);
        assert_eq!(started(&looked), [wanted]);
        timetable = looked.next;
    }
}

#[test]
fn report_9_nothing_storms_after_the_gap() {
    let plan = plan(json!({ "crontab": "*/10 2 * * *", "timezone": "America/New_York" }));
    let mut timetable = seen(&plan, "2026-03-08T06:00:00Z");
    let (mut at, mut starts, mut looks) = (instant("2026-03-08T06:50:00Z"), 0, 0);
    while at < instant("2026-03-08T08:00:00Z") {
        if timetable.due_at.is_some_and(|due| due <= at) {
            let looked = timetable.look(&plan, at, NO_WAIT);
            (starts, looks, timetable) = (starts + looked.starts.len(), looks + 1, looked.next);
        }
        at += SECOND;
    }
    assert_eq!((starts, looks), (1, 1), "one start, and one look for it");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn report_10_next_is_strictly_after_the_time_asked_for(
        zone in select(&TZ_VARIANTS[..]),
        crontab in select(&["* * * * *", "30 2 * * *", "0 */3 * * *", "15,45 1-3 * * *", "0 0 1 * *"][..]),
        second in 1_735_689_600_i64..1_830_297_600,
    ) {
        let after = Utc.timestamp_opt(second, 0).single().expect("an instant");
        let slot = cron(crontab).next(after, zone).expect("a slot");
        prop_assert!(slot.at > after);
        prop_assert!(cron(crontab).next(slot.at - SECOND, zone).is_some_and(|again| again.at == slot.at));
    }
}

#[test]
fn report_11_second_hour_of_the_fold_has_no_time_of_day() {
    let zone = Europe::Berlin;
    // 02:30 comes at 00:30Z and at 01:30Z.
    for after in ["2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z", "2026-10-25T01:30:00Z"] {
        assert_eq!(next("30 2 * * *", zone, after, 1), ["10-26 02:30"], "{after}");
    }
    let crontab = cron("30 * * * *");
    let slots = crontab.slots(instant("2026-10-25T00:00:00Z"), zone);
    let told: Vec<_> = slots.take(2).map(|slot| (utc(slot.at), slot.change)).collect();
    assert_eq!(told[0], ("2026-10-25T00:30:00Z".to_owned(), Some(ClockChange::First)));
    assert_eq!(told[1], ("2026-10-25T01:30:00Z".to_owned(), Some(ClockChange::Second)));
}
