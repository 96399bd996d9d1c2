//! Which tables: what `--table` and `--exclude` take.

use super::units::UnitError;
use crate::schema::TableName;
use serde::Deserialize;
use std::fmt;
use std::str::FromStr;

/// Keyspaces of the databases themselves, of Cassandra, of `ScyllaDB` and of `DataStax` Enterprise. What is in them belongs to one cluster.
pub(crate) const SYSTEM_KEYSPACES: [&str; 23] = [
    "system",
    "system_schema",
    "system_auth",
    "system_distributed",
    "system_distributed_everywhere",
    "system_traces",
    "system_views",
    "system_virtual_schema",
    "system_cluster_metadata",
    "system_replicated_keys",
    "system_audit",
    "audit",
    "system_metrics",
    "system_accord",
    "dse_analytics",
    "dse_insights",
    "dse_insights_local",
    "dse_leases",
    "dse_perf",
    "dse_security",
    "dse_system",
    "dse_system_local",
    "solr_admin",
];

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

/// The tables that a command is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// What to copy; never empty, sorted.
    pub tables: Vec<TablePattern>,
    /// What to leave out of the patterns with an asterisk; sorted.
    pub excludes: Vec<TableGlob>,
}

/// A selection that can't be meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectionError {
    /// The same table, or the same pattern, twice.
    #[error("`--table {0}` is named twice")]
    Twice(String),
    /// Two tables into one.
    #[error("{first} and {second} would both be written to {target}")]
    OneTarget {
        /// A source table.
        first: TableName,
        /// Another.
        second: TableName,
        /// The target table.
        target: TableName,
    },
    /// Named, and excluded too.
    #[error("{0} is named by `--table` and by `--exclude`")]
    Excluded(TableName),
    /// A keyspace of the database itself.
    #[error("`{0}` is a keyspace of the database itself: its tables belong to one cluster and aren't copied")]
    System(String),
}

impl Selection {
    /// Puts in order what was typed; in which order that was is no part of a job.
    ///
    /// # Errors
    /// What can't be meant, whatever tables there are.
    pub fn new(mut tables: Vec<TablePattern>, mut excludes: Vec<TableGlob>) -> Result<Selection, SelectionError> {
        tables.sort();
        excludes.sort();
        excludes.dedup();
        for (i, pattern) in tables.iter().enumerate() {
            if let Some(keyspace) = pattern.keyspaces().into_iter().find(|name| SYSTEM_KEYSPACES.contains(name)) {
                return Err(SelectionError::System(keyspace.to_owned()));
            }
            for earlier in &tables[..i] {
                pattern.expect_apart(earlier)?;
            }
            if let TablePattern::One { source, .. } = pattern
                && excludes.iter().any(|exclude| exclude.table.literal().is_some() && exclude.matches(source))
            {
                return Err(SelectionError::Excluded(source.clone()));
            }
        }
        Ok(Selection { tables, excludes })
    }

    /// What a checkpoint is compared by: patterns rather than tables, since tables come and go while a job lasts.
    pub fn identity(&self) -> [(&'static str, String); 2] {
        [("table", lines(&self.tables)), ("exclude", lines(&self.excludes))]
    }

    /// The keyspaces that are read.
    pub fn source_keyspaces(&self) -> Vec<String> {
        self.tables.iter().map(|pattern| pattern.keyspaces()[0].to_owned()).collect()
    }

    /// The keyspaces that are written.
    pub fn target_keyspaces(&self) -> Vec<String> {
        self.tables.iter().map(|pattern| pattern.keyspaces()[1].to_owned()).collect()
    }
}

/// One per line, so that of two lists only what differs needs to be shown.
fn lines(patterns: &[impl fmt::Display]) -> String {
    patterns.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

impl TablePattern {
    /// The keyspace that is read and the one that is written.
    fn keyspaces(&self) -> [&str; 2] {
        match self {
            TablePattern::One { source, target } => [&source.keyspace, &target.keyspace],
            TablePattern::Every { from, target_keyspace } => [&from.keyspace, target_keyspace],
        }
    }

    /// Makes sure that this doesn't say again, or contradict, what `other` says.
    fn expect_apart(&self, other: &TablePattern) -> Result<(), SelectionError> {
        match (self, other) {
            (TablePattern::One { source, target }, TablePattern::One { source: first, target: same }) => {
                if source == first {
                    return Err(SelectionError::Twice(source.to_string()));
                }
                if target == same {
                    let (first, second, target) = (first.clone(), source.clone(), target.clone());
                    return Err(SelectionError::OneTarget { first, second, target });
                }
                Ok(())
            }
            (TablePattern::Every { from, .. }, TablePattern::Every { from: first, .. }) if from == first => {
                Err(SelectionError::Twice(from.to_string()))
            }
            _ => Ok(()),
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
    fn literal(&self) -> Option<&str> {
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

    fn selection(tables: &[&str], excludes: &[&str]) -> Result<Selection, SelectionError> {
        let excludes = excludes.iter().map(|text| text.parse().expect("a pattern")).collect();
        Selection::new(tables.iter().map(|text| pattern(text)).collect(), excludes)
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

    #[test]
    fn the_order_in_which_tables_are_typed_is_no_part_of_the_job() {
        let one = selection(&["b.*=c.*", "a.x", "b.\"y.z\"=b.q"], &["b.u_*", "b.t", "b.t"]).expect("a selection");
        let other = selection(&["b.\"y.z\"=b.q", "b.**=c.*", "a.x=a.x"], &["b.t", "b.u_*"]).expect("a selection");
        assert_eq!(one.identity(), other.identity());
        insta::assert_debug_snapshot!(one.identity(), @r#"
        [
            (
                "table",
                "a.x\nb.\"y.z\"=b.q\nb.*=c.*",
            ),
            (
                "exclude",
                "b.t\nb.u_*",
            ),
        ]
        "#);
    }

    #[test]
    fn what_can_not_be_meant_is_refused() {
        let error = |tables: &[&str], excludes: &[&str]| {
            selection(tables, excludes).map(|_| ()).expect_err("not to be meant").to_string()
        };
        assert_eq!(error(&["a.b", "a.b=c.d"], &[]), "`--table a.b` is named twice");
        assert_eq!(error(&["a.*", "a.*=c.*"], &[]), "`--table a.*` is named twice");
        assert_eq!(error(&["a.b", "c.d=a.b"], &[]), "a.b and c.d would both be written to a.b");
        assert_eq!(error(&["a.b"], &["a.b"]), "a.b is named by `--table` and by `--exclude`");
        assert!(error(&["system.local"], &[]).contains("`system` is a keyspace of the database itself"));
        assert!(error(&["a.*=system_auth.*"], &[]).contains("`system_auth`"));
        assert!(selection(&["a.tmp_1", "a.*"], &["a.tmp_*"]).is_ok(), "this one, and no other of its kind");
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
