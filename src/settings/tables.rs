//! Which tables: what `--table` and `--exclude` take.

use super::units::UnitError;
use crate::schema::TableName;
use serde::Deserialize;
use std::fmt;
use std::str::FromStr;

/// Tables to copy, and where they go. Names are taken as they are, upper and lower case apart; one that holds a dot, an equals
/// sign, an asterisk or a quote is written in double quotes, as in CQL.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub enum TablePattern {
    /// One: `ks.t`, or `ks.t=ks2.t2`.
    One {
        /// The table to read.
        source: TableName,
        /// The table to write.
        target: TableName,
    },
    /// Those of a keyspace whose names fit; they keep their names: `ks.*`, `ks.user_*`, or `ks.*=ks2.*`.
    Every {
        /// Where they are read.
        from: TableGlob,
        /// The keyspace to write.
        target_keyspace: String,
    },
}

/// Tables of one keyspace: `ks.t`, `ks.tmp_*`. This is what `--exclude` takes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct TableGlob {
    /// The keyspace.
    pub keyspace: String,
    /// What the table's own name must fit.
    pub table: Glob,
}

/// A name in which `*` stands for any characters, or for none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Glob {
    /// The texts before, between and after the asterisks: never empty. A single one is the name itself.
    pieces: Vec<String>,
}

impl TablePattern {
    /// The keyspace that is read and the one that is written.
    pub(super) fn keyspaces(&self) -> [&str; 2] {
        match self {
            TablePattern::One { source, target } => [&source.keyspace, &target.keyspace],
            TablePattern::Every { from, target_keyspace } => [&from.keyspace, target_keyspace],
        }
    }
}

impl TableGlob {
    /// Whether it stands for this table.
    pub fn matches(&self, table: &TableName) -> bool {
        self.keyspace == table.keyspace && self.table.matches(&table.table)
    }
}

impl Glob {
    /// The name, where no asterisk stands for anything.
    pub(super) fn literal(&self) -> Option<&str> {
        match self.pieces.as_slice() {
            [name] => Some(name),
            _ => None,
        }
    }

    /// Whether the name fits.
    pub fn matches(&self, name: &str) -> bool {
        let (first, middle, last) = match self.pieces.as_slice() {
            [first, middle @ .., last] => (first, middle, last),
            [whole] => return whole == name,
            [] => return false,
        };
        let Some(mut rest) = name.strip_prefix(first.as_str()) else { return false };
        // The earliest place of each piece leaves the most to those behind it.
        for piece in middle {
            let Some(at) = rest.find(piece.as_str()) else { return false };
            rest = &rest[at + piece.len()..];
        }
        rest.ends_with(last.as_str())
    }
}

impl FromStr for TablePattern {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<TablePattern, UnitError> {
        let fail = || {
            UnitError(format!(
                "`{}` isn't a table: KEYSPACE.TABLE, KEYSPACE.* and KEYSPACE.TABLE=KEYSPACE.TABLE are",
                text.escape_debug()
            ))
        };
        let mut rest = text;
        let from = glob(&mut rest).ok_or_else(fail)?;
        let to = match rest.strip_prefix('=') {
            Some(after) => {
                rest = after;
                Some(glob(&mut rest).ok_or_else(fail)?)
            }
            None => None,
        };
        if !rest.is_empty() {
            return Err(fail());
        }
        match (from.name(), to) {
            (Some(source), None) => Ok(TablePattern::One { target: source.clone(), source }),
            (Some(source), Some(to)) => Ok(TablePattern::One { target: to.name().ok_or_else(fail)?, source }),
            (None, None) => Ok(TablePattern::Every { target_keyspace: from.keyspace.clone(), from }),
            (None, Some(TableGlob { keyspace, table })) if table == Glob::any() => {
                Ok(TablePattern::Every { target_keyspace: keyspace, from })
            }
            (None, Some(_)) => Err(UnitError(format!(
                "`{}` isn't possible: tables of a pattern keep their names, so only `=KEYSPACE.*` may follow one",
                text.escape_debug()
            ))),
        }
    }
}

impl FromStr for TableGlob {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<TableGlob, UnitError> {
        let mut rest = text;
        glob(&mut rest).filter(|_| rest.is_empty()).ok_or_else(|| {
            UnitError(format!("`{}` isn't a table: KEYSPACE.TABLE and KEYSPACE.TMP_* are", text.escape_debug()))
        })
    }
}

impl TableGlob {
    /// The one table that it names, if it is one.
    fn name(&self) -> Option<TableName> {
        let table = self.table.literal()?.to_owned();
        Some(TableName { keyspace: self.keyspace.clone(), table })
    }
}

impl Glob {
    fn any() -> Glob {
        Glob { pieces: vec![String::new(); 2] }
    }

    /// `a*b**` is `a*b*`: patterns that mean the same are the same.
    fn parse(text: &str) -> Glob {
        let mut pieces: Vec<String> = text.split('*').map(ToOwned::to_owned).collect();
        let last = pieces.len() - 1;
        let mut place = 0..;
        pieces.retain(|piece| {
            let place = place.next().unwrap_or_default();
            place == 0 || place == last || !piece.is_empty()
        });
        Glob { pieces }
    }
}

/// Takes `ks.t` from the front of `text`.
fn glob(text: &mut &str) -> Option<TableGlob> {
    let keyspace = name(text)?.literal()?.to_owned();
    *text = text.strip_prefix('.')?;
    Some(TableGlob { keyspace, table: name(text)? })
}

/// Takes a name, quoted or not, from the front of `text`. In quotes, an asterisk is one.
fn name(text: &mut &str) -> Option<Glob> {
    if let Some(quoted) = text.strip_prefix('"') {
        let mut name = String::new();
        let mut chars = quoted.char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            match (c, chars.peek()) {
                ('"', Some((_, '"'))) => {
                    name.push('"');
                    chars.next();
                }
                ('"', _) => {
                    *text = &quoted[at + 1..];
                    return (!name.is_empty()).then(|| Glob { pieces: vec![name] });
                }
                (c, _) => name.push(c),
            }
        }
        return None;
    }
    let end = text.find(['.', '=', '"']).unwrap_or(text.len());
    let name = &text[..end];
    *text = &text[end..];
    (!name.is_empty() && !name.contains(blank)).then(|| Glob::parse(name))
}

fn blank(c: char) -> bool {
    c.is_whitespace() || c.is_control()
}

/// A name as it is typed.
struct Typed<'a>(&'a str);

impl fmt::Display for Typed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Typed(name) = self;
        if name.contains(['.', '=', '"', '*']) || name.contains(blank) {
            write!(f, "\"{}\"", name.replace('"', "\"\""))
        } else {
            f.write_str(name)
        }
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.literal() {
            Some(name) => Typed(name).fmt(f),
            None => f.write_str(&self.pieces.join("*")),
        }
    }
}

impl fmt::Display for TableGlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", Typed(&self.keyspace), self.table)
    }
}

impl fmt::Display for TablePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TablePattern::One { source, target } => {
                write!(f, "{}.{}", Typed(&source.keyspace), Typed(&source.table))?;
                if source == target {
                    return Ok(());
                }
                write!(f, "={}.{}", Typed(&target.keyspace), Typed(&target.table))
            }
            TablePattern::Every { from, target_keyspace } => {
                from.fmt(f)?;
                if *target_keyspace == from.keyspace {
                    return Ok(());
                }
                write!(f, "={}.*", Typed(target_keyspace))
            }
        }
    }
}

impl TryFrom<String> for TablePattern {
    type Error = UnitError;
    fn try_from(text: String) -> Result<Self, UnitError> {
        text.parse()
    }
}

impl TryFrom<String> for TableGlob {
    type Error = UnitError;
    fn try_from(text: String) -> Result<Self, UnitError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pattern(text: &str) -> TablePattern {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn one_table_and_its_other_name() {
        let TablePattern::One { source, target } = pattern("shop.orders") else { panic!("one") };
        assert_eq!(source, target);
        let TablePattern::One { source, target } = pattern("\"My.Shop\".\"a\"\"*\"=store.Orders") else {
            panic!("an asterisk in quotes is one")
        };
        assert_eq!((source.keyspace.as_str(), source.table.as_str()), ("My.Shop", "a\"*"));
        assert_eq!(target.to_string(), "store.Orders");
    }

    #[test]
    fn what_is_no_table_is_refused() {
        for text in [
            "",
            "orders",
            ".orders",
            "shop.",
            "shop.orders.x",
            "shop.orders=",
            "a.b=c",
            "\"a.b",
            "a.b c",
            "*.*",
            "*.a",
            "a.b=c.*",
            "a.*=c.b",
            "a.*=c.x*",
            "a.b*=c",
            "a.\"b\"*",
        ] {
            assert!(text.parse::<TablePattern>().is_err(), "{text}");
        }
        for text in ["", "orders", "a.b=c.d", "*.a", "a.b c", "a."] {
            assert!(text.parse::<TableGlob>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_asterisk_stands_for_anything() {
        for (glob, fits, others) in [
            ("*", &["a", "tmp_1"][..], &[][..]),
            ("tmp_*", &["tmp_", "tmp_1"], &["tmp", "xtmp_1", "TMP_1"]),
            ("*_log", &["_log", "a_log_log"], &["log", "a_logs"]),
            ("a*b*c", &["abc", "axbxc", "abcbc", "aabbcc"], &["ab", "ac", "acb", "abcd"]),
            ("a*a", &["aa", "aba"], &["a"]),
            ("a", &["a"], &["aa", ""]),
        ] {
            let glob = Glob::parse(glob);
            assert!(fits.iter().all(|name| glob.matches(name)), "{glob}");
            assert!(!others.iter().any(|name| glob.matches(name)), "{glob}");
        }
        assert_eq!(Glob::parse("a**b***"), Glob::parse("a*b*"));
    }

    proptest! {
        #[test]
        fn nothing_makes_them_panic(text in "\\PC{0,40}", name in "[ab*]{0,6}") {
            let _ = (text.parse::<TablePattern>(), text.parse::<TableGlob>());
            Glob::parse(&name).matches(&text);
        }

        /// The text that is kept of a pattern is that pattern.
        #[test]
        fn what_is_written_is_read_again(text in "[abA\".*= ]{1,3}[.][ab*\".]{1,4}(=[ab\"]{1,3}[.][ab*\"]{1,3})?") {
            if let Ok(pattern) = text.parse::<TablePattern>() {
                prop_assert_eq!(pattern.to_string().parse::<TablePattern>(), Ok(pattern));
            }
        }

        #[test]
        fn a_name_fits_each_pattern_that_is_made_of_it(name in "[abc]{1,8}", cuts in prop::collection::vec((0usize..9, 0usize..3), 0..3)) {
            let mut glob = name.clone();
            for (at, length) in cuts {
                let at = at.min(glob.len());
                let end = (at + length).min(glob.len());
                glob.replace_range(at..end, "*");
            }
            prop_assert!(Glob::parse(&glob).matches(&name), "{} {}", glob, name);
        }
    }
}
