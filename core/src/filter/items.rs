//! Filters of lists: each kind of list names its words, and the values that an item has for each. The grammar is that of runs.

use std::fmt;

use super::parse::{
    BadFilter, Mistake, Part, Vocabulary, as_tag, beginning, mistake, terms, when, with_offsets,
};
use super::term::{FilterTime, Tag};
use super::zoned;
use crate::Timestamp;
use crate::glob::matches;
use crate::problem::nearest;
use crate::text::quoted;

/// A kind of list, whose items are looked for by words.
pub trait Items: 'static {
    /// An item.
    type Item: 'static;
    /// The name of the items, in the plural, for messages.
    const NAME: &'static str;
    /// The words, in the order of the guide.
    const WORDS: &'static [ItemWord<Self::Item>];
}

/// A word that items are looked for by, and the values that an item has for it.
#[derive(Debug)]
pub struct ItemWord<I> {
    name: &'static str,
    asks: Asks<I>,
}

/// What a word asks of an item.
#[derive(Debug)]
enum Asks<I> {
    Texts(Compared, fn(&I) -> Vec<&str>),
    Tags(fn(&I) -> Vec<(&str, &str)>),
    Time(Side, fn(&I) -> Option<Timestamp>),
}

impl<I> Clone for ItemWord<I> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<I> Copy for ItemWord<I> {}

impl<I> Clone for Asks<I> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<I> Copy for Asks<I> {}

/// How a text of a term is compared with one of an item.
#[derive(Clone, Copy, Debug)]
enum Compared {
    /// It is a pattern: `*` any text, `?` one character.
    Pattern,
    /// It is the same.
    Whole,
    /// It is the beginning, in capitals or not.
    Beginning,
    /// It is a part, in capitals or not.
    Part,
    /// It is the same, and one of these: others are refused.
    OneOf(fn() -> Vec<&'static str>),
}

/// The side of a time on which an item must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    /// At or after it.
    Since,
    /// Before it.
    Until,
}

impl<I> ItemWord<I> {
    /// A word for texts that patterns match.
    #[must_use]
    pub const fn pattern(name: &'static str, of: fn(&I) -> Vec<&str>) -> Self {
        Self { name, asks: Asks::Texts(Compared::Pattern, of) }
    }

    /// A word for texts that are given whole.
    #[must_use]
    pub const fn whole(name: &'static str, of: fn(&I) -> Vec<&str>) -> Self {
        Self { name, asks: Asks::Texts(Compared::Whole, of) }
    }

    /// A word for ids, of which the beginning is enough: four characters.
    #[must_use]
    pub const fn beginning(name: &'static str, of: fn(&I) -> Vec<&str>) -> Self {
        Self { name, asks: Asks::Texts(Compared::Beginning, of) }
    }

    /// A word for texts of which a part is given.
    #[must_use]
    pub const fn part(name: &'static str, of: fn(&I) -> Vec<&str>) -> Self {
        Self { name, asks: Asks::Texts(Compared::Part, of) }
    }

    /// A word with a fixed set of values: another value is refused.
    #[must_use]
    pub const fn one_of(name: &'static str, all: fn() -> Vec<&'static str>, of: fn(&I) -> Vec<&str>) -> Self {
        Self { name, asks: Asks::Texts(Compared::OneOf(all), of) }
    }

    /// A word for tags: `NAME` or `NAME=VALUE`, both patterns.
    #[must_use]
    pub const fn tags(name: &'static str, of: fn(&I) -> Vec<(&str, &str)>) -> Self {
        Self { name, asks: Asks::Tags(of) }
    }

    /// The word `since`: the item's time is at or after the one that is given.
    #[must_use]
    pub const fn since(of: fn(&I) -> Option<Timestamp>) -> Self {
        Self { name: "since", asks: Asks::Time(Side::Since, of) }
    }

    /// The word `until`: the item's time is before the one that is given.
    #[must_use]
    pub const fn until(of: fn(&I) -> Option<Timestamp>) -> Self {
        Self { name: "until", asks: Asks::Time(Side::Until, of) }
    }

    /// The word as it is written.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        self.name
    }
}

/// A word of a kind of list.
struct Word<L: Items>(&'static ItemWord<L::Item>);

impl<L: Items> Clone for Word<L> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<L: Items> Copy for Word<L> {}

/// The values that a term gives.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Given {
    Texts(Vec<String>),
    Tags(Vec<Tag>),
    Time(FilterTime),
}

impl<L: Items> Vocabulary for Word<L> {
    type Wanted = (Self, Given);

    fn all() -> impl Iterator<Item = Self> {
        L::WORDS.iter().map(Self)
    }

    fn several() -> String {
        format!("{}:ONE,OTHER", L::WORDS.first().map_or("word", ItemWord::as_str))
    }

    fn not() -> String {
        format!("-{}:ONE", L::WORDS.first().map_or("word", ItemWord::as_str))
    }

    fn bare() -> [&'static str; 2] {
        let word = |at: usize| L::WORDS.get(at).or(L::WORDS.first()).map_or("word", ItemWord::as_str);
        [word(0), word(1)]
    }

    fn unknown(name: &str) -> String {
        format!("{} is not asked of {}", quoted(name), L::NAME)
    }

    fn word(self) -> &'static str {
        self.0.name
    }

    fn opposite(self) -> Option<&'static str> {
        match self.0.asks {
            Asks::Time(Side::Since, _) => Some("until"),
            Asks::Time(Side::Until, _) => Some("since"),
            Asks::Texts(..) | Asks::Tags(_) => None,
        }
    }

    fn wanted(self, parts: Vec<Part>) -> Result<(Self, Given), Mistake> {
        let given = match self.0.asks {
            Asks::Texts(Compared::OneOf(all), _) => {
                let all = all();
                let text = |part: Part| one_of(part, self.0.name, &all);
                Given::Texts(parts.into_iter().map(text).collect::<Result<_, _>>()?)
            }
            Asks::Texts(Compared::Beginning, _) => {
                let text = |part: Part| Ok(beginning(part)?.text);
                Given::Texts(parts.into_iter().map(text).collect::<Result<_, Mistake>>()?)
            }
            Asks::Texts(..) => Given::Texts(parts.into_iter().map(|part| part.text).collect()),
            Asks::Tags(_) => Given::Tags(parts.into_iter().map(as_tag).collect()),
            Asks::Time(..) => Given::Time(when(self.0.name, parts)?),
        };
        Ok((self, given))
    }
}

fn one_of(part: Part, word: &str, all: &[&'static str]) -> Result<String, Mistake> {
    if all.contains(&&*part.text) {
        return Ok(part.text);
    }
    let near = nearest(&part.text, all.iter().copied()).map(|near| format!("did you mean {near:?}? "));
    let (near, all) = (near.unwrap_or_default(), all.join(", "));
    mistake(part.at, format!("{} is not a value of {word}: {near}it is one of {all}", quoted(&part.text)))
}

/// A condition on items.
struct ItemTerm<L: Items> {
    is_negated: bool,
    word: Word<L>,
    given: Given,
}

impl<L: Items> ItemTerm<L> {
    /// Whether texts have what is asked for, or have not where the term is negated.
    fn holds_of(&self, texts: &[&str]) -> bool {
        let (Asks::Texts(compared, _), Given::Texts(given)) = (self.word.0.asks, &self.given) else {
            return true;
        };
        let is_one = |text: &&str| given.iter().any(|given| compared.holds(given, text));
        texts.iter().any(is_one) != self.is_negated
    }

    fn holds(&self, item: &L::Item, now: Timestamp, zone: chrono_tz::Tz) -> bool {
        match (self.word.0.asks, &self.given) {
            (Asks::Texts(_, of), _) => self.holds_of(&of(item)),
            (Asks::Tags(of), Given::Tags(tags)) => {
                let own = of(item);
                tags.iter().any(|tag| tag.is_among(own.iter().copied())) != self.is_negated
            }
            (Asks::Time(side, of), Given::Time(time)) => {
                let limit = time.before(now, zone);
                of(item).is_some_and(|at| match side {
                    Side::Since => at >= limit,
                    Side::Until => at < limit,
                })
            }
            // Each word has values of its own form.
            (Asks::Tags(_) | Asks::Time(..), _) => false,
        }
    }
}

impl Compared {
    fn holds(self, given: &str, text: &str) -> bool {
        match self {
            // Words in place of a name, as `(dispatcher)`, are meant by themselves alone.
            Self::Pattern if text.starts_with('(') => given == text,
            Self::Pattern => matches(given, text),
            Self::Whole | Self::OneOf(_) => given == text,
            Self::Beginning => text.get(..given.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(given)),
            Self::Part => text.to_lowercase().contains(&given.to_lowercase()),
        }
    }
}

/// Times that contradict each other, so that no item can match.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}: nothing can match")]
pub struct NoItemMatches(String);

/// Which items of a list are meant. Every term must hold; without terms all are.
pub struct ItemFilter<L: Items> {
    terms: Vec<ItemTerm<L>>,
}

impl<L: Items> fmt::Debug for ItemFilter<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let terms = self.terms.iter().map(|term| (term.is_negated, term.word.0.name, &term.given));
        f.debug_list().entries(terms).finish()
    }
}

impl<L: Items> ItemFilter<L> {
    /// Reads a filter.
    ///
    /// # Errors
    /// [`BadFilter`] with the text and a caret below the place of the first mistake: a word that is not asked of these items,
    /// with those that are; a value that the word does not take.
    pub fn parse(text: &str) -> Result<Self, BadFilter> {
        let terms = terms::<Word<L>>(text)?.into_iter();
        let terms = terms.map(|(is_negated, (word, given))| ItemTerm { is_negated, word, given });
        Ok(Self { terms: terms.collect() })
    }

    /// The text of a filter with the offset of a zone behind each time that names none; a text that is not a filter stays as
    /// it is.
    #[must_use]
    pub fn with_offsets(text: &str, zone: chrono_tz::Tz) -> String {
        with_offsets::<Word<L>>(text, zone)
    }

    /// Whether it has no terms, so that every item is meant.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// Whether it has a time that names no zone.
    #[must_use]
    pub fn asks_for_zone(&self) -> bool {
        self.terms.iter().any(|term| matches!(&term.given, Given::Time(at) if zoned(at)))
    }

    /// The filter with its times seen from `now`; those without a zone are in `zone`.
    ///
    /// # Errors
    /// [`NoItemMatches`] when they contradict each other.
    pub fn at(self, now: Timestamp, zone: chrono_tz::Tz) -> Result<ItemQuery<L>, NoItemMatches> {
        let times = |wanted: Side| {
            self.terms.iter().filter_map(move |term| match (term.word.0.asks, &term.given) {
                (Asks::Time(side, _), Given::Time(time)) if side == wanted => Some(time.before(now, zone)),
                _ => None,
            })
        };
        if let (Some(since), Some(until)) = (times(Side::Since).max(), times(Side::Until).min())
            && until <= since
        {
            let [since, until] = [since, until].map(crate::clock::utc);
            return Err(NoItemMatches(format!("until: {until} is not after since: {since}")));
        }
        Ok(ItemQuery { filter: self, now, zone })
    }
}

/// A filter of a list, ready to be asked.
pub struct ItemQuery<L: Items> {
    filter: ItemFilter<L>,
    now: Timestamp,
    zone: chrono_tz::Tz,
}

impl<L: Items> fmt::Debug for ItemQuery<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ItemQuery").field("filter", &self.filter).finish_non_exhaustive()
    }
}

impl<L: Items> ItemQuery<L> {
    /// Whether it has no terms, so that every item is meant.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.filter.is_empty()
    }

    /// Whether an item is meant.
    #[must_use]
    pub fn takes(&self, item: &L::Item) -> bool {
        self.filter.terms.iter().all(|term| term.holds(item, self.now, self.zone))
    }

    /// Whether items that have these texts for a word may be meant: the other words are left out of it.
    #[must_use]
    pub fn may_take(&self, word: &str, texts: &[&str]) -> bool {
        self.filter.terms.iter().filter(|term| term.word.0.name == word).all(|term| term.holds_of(texts))
    }
}

#[cfg(test)]
mod tests {
    use chrono_tz::Europe::Berlin;
    use chrono_tz::UTC;

    use super::*;

    struct Chest {
        id: &'static str,
        kinds: Vec<&'static str>,
        state: &'static str,
        note: &'static str,
        tags: Vec<(&'static str, &'static str)>,
        at: Option<Timestamp>,
    }

    struct Chests;

    impl Items for Chests {
        type Item = Chest;
        const NAME: &'static str = "chests";
        const WORDS: &'static [ItemWord<Chest>] = &[
            ItemWord::pattern("id", |one| vec![one.id]),
            ItemWord::beginning("key", |one| vec![one.id]),
            ItemWord::whole("type", |one| one.kinds.clone()),
            ItemWord::one_of("status", || vec!["open", "shut"], |one| vec![one.state]),
            ItemWord::part("reason", |one| vec![one.note]),
            ItemWord::tags("tag", |one| one.tags.clone()),
            ItemWord::since(|one| one.at),
            ItemWord::until(|one| one.at),
        ];
    }

    fn now() -> Timestamp {
        Timestamp::from_timestamp_millis(1_798_761_600_000).unwrap()
    }

    fn one() -> Chest {
        Chest {
            id: "Etl/load",
            kinds: vec!["cmd", "log"],
            state: "open",
            note: "The Disk is full",
            tags: vec![("team", "data"), ("nightly", "yes")],
            at: Some(now() - chrono::TimeDelta::hours(2)),
        }
    }

    fn takes(text: &str, item: &Chest) -> bool {
        ItemFilter::<Chests>::parse(text).unwrap().at(now(), UTC).unwrap().takes(item)
    }

    #[test]
    fn filter_means_the_items_that_its_terms_say() {
        for (text, holds) in [
            ("", true),
            ("id:Etl/*", true),
            ("id:x,*/load", true),
            ("-id:Etl/*", false),
            ("id:Etl", false),
            ("key:eTL/", true),
            ("key:Etl/load/more", false),
            ("type:log", true),
            ("type:lo*", false),
            ("-type:sql", true),
            ("status:open", true),
            ("status:shut", false),
            ("-status:shut,open", false),
            ("reason:\"disk IS\"", true),
            ("tag:team=d*", true),
            ("tag:team=other,nightly", true),
            ("-tag:weekly", true),
            ("since:3h until:1h", true),
            ("since:1h", false),
            ("until:3h", false),
            ("ID:Etl/load type:cmd status:shut", false),
        ] {
            assert_eq!(takes(text, &one()), holds, "{text}");
        }
        let timeless = Chest { at: None, ..one() };
        assert!(!takes("since:9d", &timeless) && !takes("until:1s", &timeless) && takes("id:*", &timeless));
    }

    #[test]
    fn filter_that_is_wrong_is_refused_with_a_caret() {
        for (text, part) in [
            ("id:x colour:red", "\"colour\" is not asked of chests: the words are id: key: type: status:"),
            ("-typ:cmd", "did you mean \"type\"? the words are"),
            (
                "status:opn",
                "\"opn\" is not a value of status: did you mean \"open\"? it is one of open, shut",
            ),
            ("Etl", "write id:Etl or key:Etl"),
            ("not id:x", "-id:ONE"),
            ("id:x or id:y", "id:ONE,OTHER"),
            ("-since:2d", "write until: instead"),
            ("since:soon", "neither how long ago"),
            ("id:", "has no value here"),
            ("key:Etl", "\"Etl\" is too short for the beginning of an id: give 4 characters"),
        ] {
            let error = ItemFilter::<Chests>::parse(text).unwrap_err().to_string();
            let caret = error.lines().nth(2).is_some_and(|line| line.ends_with('^'));
            assert!(error.contains(part) && caret, "{text}: {error}");
        }
        let error = ItemFilter::<Chests>::parse("since:1h until:2h").unwrap().at(now(), UTC).unwrap_err();
        assert!(error.to_string().contains("is not after since"), "{error}");
    }

    #[test]
    fn time_without_zone_is_one_of_the_given_zone() {
        let filter = || ItemFilter::<Chests>::parse("until:2026-12-31T23:30").unwrap();
        assert!(
            filter().asks_for_zone() && !ItemFilter::<Chests>::parse("until:2h").unwrap().asks_for_zone()
        );
        let item = Chest { at: Some(now() - chrono::TimeDelta::hours(1)), ..one() };
        let takes = |zone| filter().at(now(), zone).unwrap().takes(&item);
        assert_eq!((takes(UTC), takes(Berlin)), (true, false));
        let written = ItemFilter::<Chests>::with_offsets("id:x until:2026-12-31T23:30", Berlin);
        assert_eq!(written, "id:x until:2026-12-31T23:30+01:00");
    }

    #[test]
    fn one_word_alone_is_asked_of_texts() {
        let query = ItemFilter::<Chests>::parse("id:a* -id:ab type:none").unwrap().at(now(), UTC).unwrap();
        assert!(query.may_take("id", &["ac"]) && !query.may_take("id", &["ab"]));
        assert!(!query.may_take("id", &[]) && query.may_take("status", &["shut"]));
    }
}
