//! From patterns to tables: what the selection comes to, given what there is at the source.

use crate::job::JobTable;
use crate::schema::TableName;
use crate::settings::selection::{Selection, SelectionError};
use crate::settings::tables::TablePattern;
use std::collections::{BTreeMap, BTreeSet};

/// Names in a note; all are counted.
const NAMES_LISTED: usize = 10;

/// What there is in the keyspaces of a selection at the source.
#[derive(Debug, Default)]
pub struct Catalogue {
    /// Its tables.
    pub tables: BTreeSet<TableName>,
    /// Its materialized views.
    pub views: BTreeSet<TableName>,
}

/// What a selection comes to.
#[derive(Debug)]
pub struct Selected {
    /// Those that the job has, under their numbers, then those that are new.
    pub tables: Vec<JobTable>,
    /// What was left out, and why.
    pub notes: Vec<String>,
    /// Tables that appeared at the source since the job was begun and have no place in it: why, a sentence each.
    pub misfits: Vec<String>,
}

/// What can be wrong with a selection, given what there is at the source.
#[derive(Debug, thiserror::Error)]
pub enum SelectError {
    /// A table that isn't there.
    #[error("there is no table {0} at the source")]
    NoTable(TableName),
    /// A view alone.
    #[error("{0} is a materialized view at the source: its rows come from its base table")]
    View(TableName),
    /// A pattern that comes to nothing: a slip of the pen, most likely.
    #[error("`--table {pattern}` stands for no table of the source{}", excluded_words(*excluded))]
    NoMatch {
        /// The pattern.
        pattern: TablePattern,
        /// Tables that it would stand for, if they weren't excluded.
        excluded: usize,
    },
    /// Patterns that contradict each other.
    #[error("{source_table} would be written to {first} and to {second}")]
    TwoTargets {
        /// At the source.
        source_table: TableName,
        /// By one pattern.
        first: TableName,
        /// By another.
        second: TableName,
    },
    /// Two tables into one.
    #[error(transparent)]
    OneTarget(#[from] SelectionError),
}

fn excluded_words(excluded: usize) -> String {
    if excluded == 0 { String::new() } else { format!(": all {excluded} are left out by `--exclude`") }
}

impl SelectError {
    /// The next thing to type.
    pub fn hint(&self) -> Option<String> {
        match self {
            SelectError::NoTable(_) => Some(
                "check `--table KEYSPACE.TABLE`: names are taken as they are, upper and lower case apart".to_owned(),
            ),
            SelectError::NoMatch { .. } => Some(
                "check the keyspace and the name: they are taken as they are, upper and lower case apart".to_owned(),
            ),
            SelectError::TwoTargets { source_table, .. } => {
                Some(format!("say which is meant: `--table {source_table}=KEYSPACE.TABLE` comes before every pattern"))
            }
            SelectError::View(_) => Some("copy the base table; the target builds its own view".to_owned()),
            SelectError::OneTarget(_) => None,
        }
    }
}

/// Turns patterns into tables. A table that is named outright goes where that says, whatever a pattern says too; a view is
/// left out, as its rows come from its base table, unless nothing else is there to copy.
///
/// A job that was begun goes on with the tables that it has, whatever appears at the source meanwhile.
///
/// # Errors
/// A name or a pattern that stands for nothing, and two ways for one table of a new job.
pub fn select(selection: &Selection, catalogue: &Catalogue, known: Vec<JobTable>) -> Result<Selected, SelectError> {
    let mut chosen: BTreeMap<TableName, TableName> = BTreeMap::new();
    let mut views: BTreeSet<&TableName> = BTreeSet::new();
    let mut excluded: BTreeSet<&TableName> = BTreeSet::new();
    let mut conflicts: BTreeMap<TableName, SelectError> = BTreeMap::new();
    for pattern in &selection.tables {
        let TablePattern::One { source, target } = pattern else { continue };
        if let Some(view) = catalogue.views.get(source) {
            views.insert(view);
        } else if catalogue.tables.contains(source) {
            chosen.insert(source.clone(), target.clone());
        } else if !known.iter().any(|table| table.source == *source) {
            return Err(SelectError::NoTable(source.clone()));
        }
    }
    let named: BTreeSet<TableName> = chosen.keys().cloned().collect();
    let is_excluded = |table: &TableName| selection.excludes.iter().any(|exclude| exclude.matches(table));
    for pattern in &selection.tables {
        let TablePattern::Every { from, target_keyspace } = pattern else { continue };
        let (left_out, matched): (Vec<_>, Vec<_>) = catalogue
            .tables
            .iter()
            .filter(|table| from.matches(table))
            .partition(|table| is_excluded(table) && !named.contains(*table));
        if matched.is_empty() && !known.iter().any(|table| from.matches(&table.source)) {
            return Err(SelectError::NoMatch { pattern: pattern.clone(), excluded: left_out.len() });
        }
        for source in matched.into_iter().filter(|table| !named.contains(*table)) {
            let target = TableName { keyspace: target_keyspace.clone(), table: source.table.clone() };
            if let Some(first) = chosen.insert(source.clone(), target.clone()).filter(|first| *first != target) {
                let (source_table, second) = (source.clone(), target);
                conflicts.entry(source.clone()).or_insert(SelectError::TwoTargets { source_table, first, second });
            }
        }
        excluded.extend(left_out);
        views.extend(catalogue.views.iter().filter(|view| from.matches(view) && !is_excluded(view)));
    }
    let is_new = known.is_empty();
    conflicts.retain(|source, _| !known.iter().any(|table| table.source == *source));
    chosen.retain(|source, _| !conflicts.contains_key(source));
    let tables = number(chosen, known, &mut conflicts);
    if is_new && let Some(conflict) = conflicts.pop_first() {
        return Err(conflict.1);
    }
    let misfits =
        conflicts.into_values().map(|conflict| format!("the job doesn't take in a new table: {conflict}")).collect();
    match views.first() {
        Some(view) if tables.is_empty() => Err(SelectError::View((*view).clone())),
        _ => Ok(Selected { notes: notes(selection, catalogue, &views, &excluded), tables, misfits }),
    }
}

/// Those that are known keep their numbers, whether they are there still or not: what became of them is seen when they are
/// looked at. A target is the first one's that goes there.
fn number(
    chosen: BTreeMap<TableName, TableName>,
    known: Vec<JobTable>,
    conflicts: &mut BTreeMap<TableName, SelectError>,
) -> Vec<JobTable> {
    let mut tables = known;
    let mut sources: BTreeMap<TableName, TableName> =
        tables.iter().map(|table| (table.target.clone(), table.source.clone())).collect();
    for (source, target) in chosen {
        if tables.iter().any(|table| table.source == source) {
            continue;
        }
        if let Some(first) = sources.get(&target) {
            let conflict = SelectionError::OneTarget { first: first.clone(), second: source.clone(), target };
            conflicts.insert(source, conflict.into());
            continue;
        }
        sources.insert(target.clone(), source.clone());
        tables.push(JobTable { source, target, admitted: None, broken: None });
    }
    tables
}

fn notes(
    selection: &Selection,
    catalogue: &Catalogue,
    views: &BTreeSet<&TableName>,
    excluded: &BTreeSet<&TableName>,
) -> Vec<String> {
    let mut notes = Vec::new();
    if !views.is_empty() {
        notes.push(format!("left out, as the target builds its own materialized views: {}", names(views)));
    }
    if !excluded.is_empty() {
        notes.push(format!("left out by `--exclude`: {}", names(excluded)));
    }
    for exclude in &selection.excludes {
        if !catalogue.tables.iter().chain(&catalogue.views).any(|name| exclude.matches(name)) {
            notes.push(format!("`--exclude {exclude}` stands for no table of the source"));
        }
    }
    notes
}

fn names(names: &BTreeSet<&TableName>) -> String {
    let listed: Vec<String> = names.iter().take(NAMES_LISTED).map(ToString::to_string).collect();
    let more = names.len() - listed.len();
    let listed = listed.join(", ");
    if more > 0 { format!("{listed} and {more} more") } else { listed }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> TableName {
        let (keyspace, table) = text.split_once('.').expect("a name");
        TableName { keyspace: keyspace.to_owned(), table: table.to_owned() }
    }

    fn known(text: &str) -> JobTable {
        JobTable { source: name(text), target: name(text), admitted: None, broken: None }
    }

    /// What the selection comes to where the source has these tables and views.
    fn select_of(tables: &[&str], excludes: &[&str], has: &[&str], views: &[&str], known: Vec<JobTable>) -> String {
        let parsed = |texts: &[&str]| texts.iter().map(|text| text.parse().expect("a pattern")).collect();
        let excludes = excludes.iter().map(|text| text.parse().expect("a pattern")).collect();
        let selection = Selection::new(parsed(tables), excludes).expect("a selection");
        let catalogue = Catalogue {
            tables: has.iter().map(|text| name(text)).collect(),
            views: views.iter().map(|text| name(text)).collect(),
        };
        match select(&selection, &catalogue, known) {
            Ok(Selected { tables, notes, misfits }) => {
                let tables = tables.iter().map(|table| format!("{}={}", table.source, table.target));
                tables.chain(notes).chain(misfits).collect::<Vec<_>>().join("\n")
            }
            Err(error) => format!("error: {error}"),
        }
    }

    #[test]
    fn what_is_named_comes_before_what_fits_a_pattern() {
        let text = select_of(&["a.*=z.*", "a.t=b.other", "a.u"], &[], &["a.t", "a.u", "a.v", "b.t"], &[], vec![]);
        assert_eq!(text, "a.t=b.other\na.u=a.u\na.v=z.v");
        let text = select_of(&["a.t*", "a.*t"], &[], &["a.t", "a.tt", "a.x"], &[], vec![]);
        assert_eq!(text, "a.t=a.t\na.tt=a.tt", "a table that fits two patterns is copied once");
    }

    #[test]
    fn what_is_left_out_is_told() {
        let has = ["a.t", "a.tmp_1", "a.tmp_2", "a.tmp_3"];
        let text = select_of(&["a.*", "a.tmp_2"], &["a.tmp_*", "a.gone"], &has, &["a.v", "a.tmp_v"], vec![]);
        insta::assert_snapshot!(text, @r"
        a.t=a.t
        a.tmp_2=a.tmp_2
        left out, as the target builds its own materialized views: a.v
        left out by `--exclude`: a.tmp_1, a.tmp_3
        `--exclude a.gone` stands for no table of the source
        ");
        let many: Vec<String> = (10..30).map(|n| format!("a.t{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let text = select_of(&["a.*"], &["a.t*"], &[&many[..], &["a.x"]].concat(), &[], vec![]);
        assert!(text.ends_with("a.t18, a.t19 and 10 more"), "{text}");
    }

    #[test]
    fn a_view_alone_is_refused_and_beside_others_left_out() {
        let error = "error: a.v is a materialized view at the source: its rows come from its base table";
        assert_eq!(select_of(&["a.v"], &[], &["a.t"], &["a.v"], vec![]), error);
        let text = select_of(&["a.v", "a.t"], &[], &["a.t"], &["a.v"], vec![]);
        assert!(text.starts_with("a.t=a.t\nleft out, as the target builds"), "{text}");
    }

    #[test]
    fn what_stands_for_nothing_is_an_error_whatever_else_there_is() {
        let has = ["a.t", "b.t"];
        let error = |tables: &[&str], excludes: &[&str]| select_of(tables, excludes, &has, &[], vec![]);
        assert_eq!(error(&["a.t", "a.x"], &[]), "error: there is no table a.x at the source");
        assert_eq!(error(&["a.*", "c.*"], &[]), "error: `--table c.*` stands for no table of the source");
        assert_eq!(
            error(&["a.*", "b.t"], &["a.*"]),
            "error: `--table a.*` stands for no table of the source: all 1 are left out by `--exclude`"
        );
    }

    #[test]
    fn two_ways_for_one_table_are_refused() {
        let has = ["a.t", "b.t"];
        let error = |tables: &[&str]| select_of(tables, &[], &has, &[], vec![]);
        assert_eq!(error(&["a.*=c.*", "b.*=c.*"]), "error: a.t and b.t would both be written to c.t");
        assert_eq!(error(&["a.*", "b.t=a.t"]), "error: a.t and b.t would both be written to a.t");
        assert_eq!(error(&["a.*=c.*", "a.t*=d.*"]), "error: a.t would be written to c.t and to d.t");
        assert_eq!(error(&["a.*=c.*", "a.t*=d.*", "a.t"]), "a.t=a.t");
    }

    #[test]
    fn a_job_goes_on_whatever_appears_at_the_source() {
        let text = |tables: &[&str], has: &[&str], job: &[(&str, &str)]| {
            let known = job.iter().map(|(source, target)| JobTable { target: name(target), ..known(source) }).collect();
            select_of(tables, &[], has, &[], known)
        };
        let tables = ["a.*=z.*", "b.*=z.*"];
        let job = [("a.t", "z.t"), ("b.u", "z.u")];
        insta::assert_snapshot!(text(&tables, &["a.t", "a.u", "b.t", "b.u", "b.v"], &job), @r"
        a.t=z.t
        b.u=z.u
        b.v=z.v
        the job doesn't take in a new table: b.u and a.u would both be written to z.u
        the job doesn't take in a new table: a.t and b.t would both be written to z.t
        ");
        // What two patterns stand for now, and did not.
        insta::assert_snapshot!(text(&["a.*=x.*", "a.t*=y.*"], &["a.t", "a.u"], &[("a.u", "x.u")]), @r"
        a.u=x.u
        the job doesn't take in a new table: a.t would be written to x.t and to y.t
        ");
    }

    #[test]
    fn known_tables_keep_their_numbers_and_new_ones_follow() {
        let known = vec![known("a.m"), known("a.gone")];
        let text = select_of(&["a.*"], &[], &["a.b", "a.m", "a.z"], &[], known.clone());
        assert_eq!(text, "a.m=a.m\na.gone=a.gone\na.b=a.b\na.z=a.z");
        assert_eq!(select_of(&["a.m", "a.gone"], &[], &["a.m"], &[], known), "a.m=a.m\na.gone=a.gone");
    }
}
