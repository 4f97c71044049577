//! Which of several places of the files that steps share has all that was in the others: pure rules.

use std::collections::{BTreeMap, BTreeSet};

use crate::run::WorkPlace;

/// Places that do not come one after the other: no directory has the files of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Apart;

/// The place that all others came before, by their records.
pub(super) fn last_of<'a>(places: &[&'a WorkPlace]) -> Result<Option<&'a WorkPlace>, Apart> {
    let mut by_id: BTreeMap<&str, Vec<&'a WorkPlace>> = BTreeMap::new();
    for place in places {
        by_id.entry(&place.id).or_default().push(place);
    }
    // Of one invocation the highest version has all that the lower ones had. Where two records name one, the one counts
    // that says what is missing.
    let highest = |of: &[&'a WorkPlace]| {
        let rank = |place: &WorkPlace| (place.version, place.lost.is_some(), place.not_kept.is_some());
        of.iter().copied().max_by_key(|place| rank(place))
    };
    // The highest version of each invocation that another place came after.
    let mut named: BTreeMap<&str, u32> = BTreeMap::new();
    for (id, version) in places.iter().flat_map(|place| place.before()).filter_map(|name| parts(name)) {
        let highest = named.entry(id).or_insert(version);
        *highest = version.max(*highest);
    }
    let is_last =
        |place: &&WorkPlace| named.get(place.id.as_str()).is_none_or(|version| *version < place.version);
    let mut candidates = by_id.values().filter_map(|of| highest(of)).filter(is_last);
    match (candidates.next(), candidates.next()) {
        (None, _) if places.is_empty() => Ok(None),
        (Some(last), None) if has_all(last, &by_id) => Ok(Some(last)),
        _ => Err(Apart),
    }
}

/// The invocation and the version of a place's name.
fn parts(name: &str) -> Option<(&str, u32)> {
    let (id, version) = name.rsplit_once('.')?;
    Some((id, version.parse().ok()?))
}

/// Whether all places came before this one.
fn has_all(last: &WorkPlace, by_id: &BTreeMap<&str, Vec<&WorkPlace>>) -> bool {
    let mut reached: BTreeMap<&str, u32> = BTreeMap::new();
    let mut seen: BTreeSet<*const WorkPlace> = BTreeSet::new();
    let mut next = vec![(last.id.as_str(), last.version)];
    while let Some((id, version)) = next.pop() {
        if reached.get(id).is_some_and(|highest| *highest >= version) {
            continue;
        }
        reached.insert(id, version);
        let Some(places) = by_id.get(id) else { continue };
        for place in places.iter().filter(|place| place.version <= version) {
            if seen.insert(std::ptr::from_ref(*place)) {
                next.extend(place.before().filter_map(|name| parts(name)));
            }
        }
    }
    by_id.iter().all(|(id, places)| {
        places.iter().all(|place| reached.get(id).is_some_and(|version| *version >= place.version))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(id: &str, version: u32, before: &[&str]) -> WorkPlace {
        let (after, earlier) = match before {
            [earlier @ .., after] => (Some((*after).to_owned()), earlier),
            [] => (None, before),
        };
        let earlier = earlier.iter().map(|name| (*name).to_owned()).collect();
        WorkPlace { id: id.to_owned(), version, after, earlier, ..WorkPlace::default() }
    }

    fn name(places: &[&WorkPlace]) -> Result<Option<String>, Apart> {
        last_of(places).map(|last| last.map(WorkPlace::name))
    }

    #[test]
    fn last_place_is_the_one_that_has_all_files() {
        let first = place("i", 0, &[]);
        let more = place("i", 1, &[]);
        let next = place("j", 0, &["i.0"]);
        let third = place("k", 0, &["j.0"]);
        assert_eq!(name(&[]), Ok(None));
        assert_eq!(name(&[&first, &more]), Ok(Some("i.1".to_owned())));
        assert_eq!(name(&[&third, &first, &next]), Ok(Some("k.0".to_owned())));
        // The step between them may leave no record of its own.
        assert_eq!(name(&[&next, &first]), Ok(Some("j.0".to_owned())));
        // Steps of the first went on when the next had begun.
        assert_eq!(name(&[&more, &next]), Err(Apart));
        assert_eq!(name(&[&first, &place("x", 0, &[])]), Err(Apart));
        // One that came after both is not enough where another did not.
        assert_eq!(name(&[&first, &next, &place("x", 0, &["i.0"])]), Err(Apart));
    }

    #[test]
    fn place_between_may_be_in_no_record_that_is_read() {
        // A third attempt, and a step of a step: the places between were overwritten, or are a level below.
        let mut last = place("a", 0, &[]);
        for id in ["b", "c", "d"] {
            let mut next = place(id, 0, &[]);
            next.follow(&last);
            last = next;
        }
        assert_eq!(name(&[&place("a", 0, &[]), &last]), Ok(Some("d.0".to_owned())));
        assert_eq!(name(&[&place("a", 1, &[]), &last]), Err(Apart));
    }

    #[test]
    fn place_that_a_run_began_with_is_before_it_however_much_came_between() {
        let first = place("a", 0, &[]);
        let mut last = first.clone();
        for number in 0..100 {
            let mut next = place(&format!("x{number}"), 0, &[]);
            next.follow(&last);
            last = next;
        }
        assert_eq!(name(&[&first, &last]), Err(Apart), "not all are kept");
        let last = last.goes_on(Some(&first.clone().begins()));
        assert_eq!(name(&[&first, &last]), Ok(Some("x99.0".to_owned())));
    }

    #[test]
    fn record_that_names_the_loss_counts_of_two_for_one_place() {
        let whole = place("a", 0, &[]);
        let lost = WorkPlace { lost: Some("gone".to_owned()), ..whole.clone() };
        for places in [[&whole, &lost], [&lost, &whole]] {
            assert_eq!(last_of(&places), Ok(Some(&lost)));
        }
    }

    #[test]
    fn thousands_of_places_are_looked_at_once() {
        let mut all = vec![place("x0", 0, &[])];
        for number in 1..3_000 {
            let mut next = place(&format!("x{number}"), 0, &[]);
            next.follow(all.last().unwrap());
            all.push(next);
        }
        let all: Vec<&WorkPlace> = all.iter().collect();
        assert_eq!(name(&all), Ok(Some("x2999.0".to_owned())));
    }
}
