//! What can differ between two sides: a case says how a row comes to be on either, and what a verification must say of it.

/// One way in which a row, or a partition's statics, is made on both sides.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// For people.
    pub name: &'static str,
    /// The classes that it shows; none where both sides are equal.
    pub classes: &'static [&'static str],
    /// Those that are left once the target was repaired: what the source's writes can't win against.
    pub left: &'static [&'static str],
    /// Whether the row that all cases begin with is written at the source, and at the target.
    pub has_base: [bool; 2],
    /// Its TTL in seconds; 0 is "for ever".
    pub ttl: i32,
    /// What else is written at the source, and at the target.
    pub steps: [&'static [Step]; 2],
}

/// A statement about one row.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    pub what: What,
    /// Its writetime: so many microseconds after the row's.
    pub after: i64,
    pub ttl: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// The row that all cases begin with, once more.
    Base,
    /// An UPDATE that sets this.
    Set(&'static str),
    /// A DELETE of these columns; of the row where there are none.
    Delete(&'static str),
    /// An INSERT of nothing but the key, at a writetime of 1, which a copy gives to such rows.
    Key,
}

impl Case {
    /// Whether both sides are equal once the target was repaired and what it alone has was deleted.
    pub fn is_mendable(&self) -> bool {
        self.left.iter().all(|class| EXTRAS.contains(class))
    }

    /// Whether a scan of either side shows the row.
    pub fn is_shown(&self) -> bool {
        let has = |side: usize| self.has_base[side] || self.steps[side].iter().any(|step| step.what == What::Key);
        let is_deleted = |side: usize| self.steps[side].iter().any(|step| step.what == What::Delete(""));
        [0, 1].into_iter().any(|side| has(side) && !is_deleted(side))
    }
}

/// Classes of what `--delete-extra` deletes.
pub const EXTRAS: [&str; 2] = ["extra", "column_extra"];

const BOTH: [bool; 2] = [true, true];
const SOURCE: [bool; 2] = [true, false];
const TARGET: [bool; 2] = [false, true];

/// A day is 86,400 s: nothing of this expires during a test.
const LONG: i32 = 2_000_000;

const fn set(what: &'static str, after: i64) -> Step {
    Step { what: What::Set(what), after, ttl: 0 }
}

const fn delete(what: &'static str, after: i64) -> Step {
    Step { what: What::Delete(what), after, ttl: 0 }
}

const fn base(ttl: i32) -> Step {
    Step { what: What::Base, after: 0, ttl }
}

const KEY: Step = Step { what: What::Key, after: 0, ttl: 0 };

/// A case that both sides begin with.
const fn case(name: &'static str, classes: &'static [&'static str], left: &'static [&'static str]) -> Case {
    Case { name, classes, left, has_base: BOTH, ttl: 0, steps: [&[], &[]] }
}

const fn source(mut case: Case, steps: &'static [Step]) -> Case {
    case.steps[0] = steps;
    case
}

const fn target(mut case: Case, steps: &'static [Step]) -> Case {
    case.steps[1] = steps;
    case
}

const fn only(mut case: Case, has_base: [bool; 2]) -> Case {
    case.has_base = has_base;
    case
}

const fn expiring(mut case: Case, ttl: i32) -> Case {
    case.ttl = ttl;
    case
}

const NOTHING: &[&str] = &[];
const MISSING: &[&str] = &["missing"];
const EXTRA: &[&str] = &["extra"];
const OLDER: &[&str] = &["value_older"];
const NEWER: &[&str] = &["value_newer"];
const TIE: &[&str] = &["value_tie"];
const WRITETIME: &[&str] = &["writetime"];
const EXPIRY: &[&str] = &["expiry"];
const COLUMN_MISSING: &[&str] = &["column_missing"];
const COLUMN_EXTRA: &[&str] = &["column_extra"];
const LIST: &[&str] = &["list"];

/// Rows that are on one side alone: any table has them.
pub const MISSING_ROW: Case = only(case("row at the source alone", MISSING, NOTHING), SOURCE);
pub const EXTRA_ROW: Case = only(case("row at the target alone", EXTRA, EXTRA), TARGET);
/// And one that is no difference.
pub const EQUAL: Case = case("equal", NOTHING, NOTHING);

/// Of `plain`: author and content are in the base row, note isn't. A content of the base sorts before 'z'.
pub const PLAIN: &[Case] = &[
    MISSING_ROW,
    EXTRA_ROW,
    target(case("deleted at the target", MISSING, MISSING), &[delete("", 9)]),
    source(case("deleted at the source", EXTRA, EXTRA), &[delete("", 9)]),
    target(source(case("deleted on both sides", NOTHING, NOTHING), &[delete("", 7)]), &[delete("", 9)]),
    source(only(case("a key alone, at the source", MISSING, NOTHING), [false; 2]), &[KEY]),
    target(only(case("a key alone, at the target", &["marker"], &["marker"]), [false; 2]), &[KEY]),
    source(case("edited at the source", OLDER, NOTHING), &[set("content = 'zother'", 5)]),
    source(
        case("edited at the source, to expire", OLDER, NOTHING),
        &[Step { ttl: LONG, ..set("content = 'zother'", 5) }],
    ),
    target(case("edited at the target", NEWER, NEWER), &[set("content = 'zother'", 5)]),
    source(case("a tie that the source wins", TIE, NOTHING), &[set("content = 'zother'", 0)]),
    target(case("a tie that the target wins", TIE, TIE), &[set("content = 'zother'", 0)]),
    source(case("written again at the source", WRITETIME, NOTHING), &[Step { after: 5, ..base(0) }]),
    target(case("written again at the target", WRITETIME, WRITETIME), &[Step { after: 5, ..base(0) }]),
    expiring(source(case("expires later at the source", EXPIRY, NOTHING), &[base(LONG + 900)]), LONG),
    expiring(target(case("expires later at the target", EXPIRY, EXPIRY), &[base(LONG + 900)]), LONG),
    expiring(target(case("expires a second later at the target", NOTHING, NOTHING), &[base(LONG + 1)]), LONG),
    expiring(case("expires on both sides", NOTHING, NOTHING), LONG),
    source(case("expires at the source alone", EXPIRY, NOTHING), &[base(LONG)]),
    target(case("expires at the target alone", EXPIRY, EXPIRY), &[base(LONG)]),
    source(case("a cell at the source alone", COLUMN_MISSING, NOTHING), &[set("note = 'n'", 5)]),
    source(case("a value of no bytes at the source alone", COLUMN_MISSING, NOTHING), &[set("note = ''", 5)]),
    target(
        source(case("a cell that is deleted at the target", COLUMN_MISSING, COLUMN_MISSING), &[set("note = 'n'", 5)]),
        &[delete("note", 9)],
    ),
    target(case("a cell at the target alone", COLUMN_EXTRA, COLUMN_EXTRA), &[set("note = 'n'", 5)]),
    source(case("a cell that is deleted at the source", COLUMN_EXTRA, COLUMN_EXTRA), &[delete("content", 9)]),
    source(
        case("edited, and with a cell, at the source", &["value_older", "column_missing"], NOTHING),
        &[set("content = 'zother'", 5), set("note = 'n'", 6)],
    ),
    target(
        case(
            "edited, and with a cell, at the target",
            &["value_newer", "column_extra"],
            &["value_newer", "column_extra"],
        ),
        &[set("content = 'zother'", 5), set("note = 'n'", 6)],
    ),
];

/// Of `rich`: the base row has v, f, tags {a, b}, props {p: 1, q: 2}, u.street and u.number, not u.zip and items.
pub const RICH: &[Case] = &[
    MISSING_ROW,
    EXTRA_ROW,
    source(case("edited at the source", OLDER, NOTHING), &[set("v = 'zother'", 5)]),
    target(case("a tie that the target wins", TIE, TIE), &[set("v = 'zother'", 0)]),
    source(case("a frozen value, edited at the source", OLDER, NOTHING), &[set("f = [1, 2]", 5)]),
    target(case("a frozen value, edited at the target", NEWER, NEWER), &[set("f = []", 5)]),
    source(case("an element of a set at the source alone", COLUMN_MISSING, NOTHING), &[set("tags = tags + {'x'}", 5)]),
    target(
        case("an element of a set at the target alone", COLUMN_EXTRA, COLUMN_EXTRA),
        &[set("tags = tags + {'x'}", 5)],
    ),
    target(
        case("an element of a set that is deleted at the target", COLUMN_MISSING, COLUMN_MISSING),
        &[set("tags = tags - {'a'}", 5)],
    ),
    source(
        case("an element of a set, written again at the source", WRITETIME, NOTHING),
        &[set("tags = tags + {'b'}", 5)],
    ),
    source(
        case("an element of a set expires at the source alone", EXPIRY, NOTHING),
        &[Step { ttl: LONG, ..set("tags = tags + {'a'}", 0) }],
    ),
    source(case("an entry at the source alone", COLUMN_MISSING, NOTHING), &[set("props['r'] = 3", 5)]),
    target(case("an entry at the target alone", COLUMN_EXTRA, COLUMN_EXTRA), &[set("props['r'] = 3", 5)]),
    source(case("an entry, edited at the source", OLDER, NOTHING), &[set("props['p'] = 9", 5)]),
    target(case("an entry, edited at the target", NEWER, NEWER), &[set("props['q'] = 9", 5)]),
    target(case("an entry's tie that the target wins", TIE, TIE), &[set("props['p'] = 9", 0)]),
    target(case("an entry, written again at the target", WRITETIME, WRITETIME), &[set("props['p'] = 1", 5)]),
    target(
        case("an entry expires at the target alone", EXPIRY, EXPIRY),
        &[Step { ttl: LONG, ..set("props['q'] = 2", 0) }],
    ),
    source(case("a field, edited at the source", OLDER, NOTHING), &[set("u.number = 9", 5)]),
    source(case("a field at the source alone", COLUMN_MISSING, NOTHING), &[set("u.zip = 'z'", 5)]),
    target(case("a field at the target alone", COLUMN_EXTRA, COLUMN_EXTRA), &[set("u.zip = 'z'", 5)]),
    target(case("a field, written again at the target", WRITETIME, WRITETIME), &[set("u.number = 7", 5)]),
    source(case("a list at the source alone", COLUMN_MISSING, NOTHING), ABC),
    target(case("a list at the target alone", COLUMN_EXTRA, COLUMN_EXTRA), ABC),
    lists("a list, written again at the target", WRITETIME, WRITETIME, &[set("items = ['a', 'b', 'c']", 5)]),
    again("a list, written again at the source", WRITETIME, WRITETIME, &[set("items = ['a', 'b', 'c']", 5)]),
    again(
        "a list, written again at the source, beside an edited value",
        &["value_older", "writetime"],
        WRITETIME,
        &[set("items = ['a', 'b', 'c']", 5), set("v = 'zother'", 5)],
    ),
    again(
        "equal lists beside an edited value",
        OLDER,
        NOTHING,
        &[set("items = ['a', 'b', 'c']", 3), set("v = 'zother'", 5)],
    ),
    lists("equal lists", NOTHING, NOTHING, ABC),
    lists("a list without its last element", LIST, NOTHING, &[set("items = ['a', 'b']", 3)]),
    lists("a list without its first element", LIST, NOTHING, &[set("items = ['b', 'c']", 3)]),
    lists("a list without one in the middle", LIST, LIST, &[set("items = ['a', 'c']", 3)]),
    lists("a list in another order", LIST, LIST, &[set("items = ['c', 'b', 'a']", 3)]),
    lists("a list with an element twice", LIST, LIST, &[set("items = ['a', 'b', 'c', 'c']", 3)]),
    lists("a list with one more", LIST, LIST, &[set("items = ['a', 'x', 'b', 'c']", 3)]),
    lists("a list with another element", LIST, LIST, &[set("items = ['a', 'x', 'c']", 3)]),
];

const ABC: &[Step] = &[set("items = ['a', 'b', 'c']", 3)];

const fn lists(
    name: &'static str,
    classes: &'static [&'static str],
    left: &'static [&'static str],
    steps: &'static [Step],
) -> Case {
    target(source(case(name, classes, left), ABC), steps)
}

const fn again(
    name: &'static str,
    classes: &'static [&'static str],
    left: &'static [&'static str],
    steps: &'static [Step],
) -> Case {
    target(source(case(name, classes, left), steps), ABC)
}

/// Of the statics of `rich`: the base has s and sm {1: a}, not n.
pub const STATICS: &[Case] = &[
    only(case("statics at the source alone", MISSING, NOTHING), SOURCE),
    only(case("statics at the target alone", EXTRA, EXTRA), TARGET),
    source(case("a static, edited at the source", OLDER, NOTHING), &[set("s = 'zother'", 5)]),
    target(case("a static, edited at the target", NEWER, NEWER), &[set("s = 'zother'", 5)]),
    target(case("a static's tie that the target wins", TIE, TIE), &[set("s = 'zother'", 0)]),
    source(case("a static at the source alone", COLUMN_MISSING, NOTHING), &[set("n = 1", 5)]),
    target(case("a static at the target alone", COLUMN_EXTRA, COLUMN_EXTRA), &[set("n = 1", 5)]),
    source(case("a static entry at the source alone", COLUMN_MISSING, NOTHING), &[set("sm[2] = 'b'", 5)]),
    target(case("a static entry, edited at the target", NEWER, NEWER), &[set("sm[1] = 'z'", 5)]),
    source(case("a static, written again at the source", WRITETIME, NOTHING), &[set("s = 'still'", 5)]),
    only(case("no statics", NOTHING, NOTHING), [false; 2]),
];
