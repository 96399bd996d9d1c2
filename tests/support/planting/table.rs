//! The two tables in which differences are planted, and the CQL that fills them.

use super::case::{self, Case, Step, What};
use fastrand::Rng;

/// A table that is made on both sides.
pub struct Table {
    pub name: &'static str,
    /// With `{ks}` for the keyspace.
    pub create: &'static [&'static str],
    clustering: &'static [&'static str],
    /// The columns of the INSERT that all rows begin with, beside the key.
    columns: &'static [&'static str],
    /// What follows it.
    base: &'static [&'static str],
    /// What all statics begin with.
    static_base: &'static [&'static str],
    pub cases: &'static [Case],
    pub statics: &'static [Case],
    /// Whether a write may be sent twice: elements of lists may not.
    pub repeatable: bool,
    values: fn(&mut Rng) -> Vec<Vec<u8>>,
    /// The clustering key of the n-th row of a partition.
    clustering_key: fn(u64) -> Vec<Vec<u8>>,
}

/// Chat messages: one clustering column, reversed.
pub const PLAIN: Table = Table {
    name: "plain",
    create: &["CREATE TABLE IF NOT EXISTS {ks}.plain (k blob, id bigint, author bigint, content text, note text,
               PRIMARY KEY (k, id)) WITH CLUSTERING ORDER BY (id DESC)"],
    clustering: &["id"],
    columns: &["author", "content"],
    base: &[],
    static_base: &[],
    cases: case::PLAIN,
    statics: &[],
    repeatable: true,
    values: |random| {
        let length = random.usize(1..120);
        let content = std::iter::repeat_with(|| random.u8(b'a'..=b'y')).take(length).collect();
        vec![random.i64(..).to_be_bytes().to_vec(), content]
    },
    clustering_key: |row| vec![(1_000_000_000 + row * 7).to_be_bytes().to_vec()],
};

/// Everything else: statics, collections, a type, clustering columns of both orders.
pub const RICH: Table = Table {
    name: "rich",
    create: &[
        "CREATE TYPE IF NOT EXISTS {ks}.place (street text, number int, zip text)",
        "CREATE TABLE IF NOT EXISTS {ks}.rich (k blob, a int, b text, s text static, n int static, sm map<int, text> static,
         v text, f frozen<list<int>>, tags set<text>, props map<text, int>, items list<text>, u place,
         PRIMARY KEY (k, a, b)) WITH CLUSTERING ORDER BY (a DESC, b ASC)",
    ],
    clustering: &["a", "b"],
    columns: &["v", "f"],
    base: &[
        "tags = tags + {'a', 'b'}, props['p'] = 1, props['q'] = 2, u.street = 'street', u.number = 7",
    ],
    static_base: &["s = 'still', sm[1] = 'a'"],
    cases: case::RICH,
    statics: case::STATICS,
    repeatable: false,
    values: |random| {
        let value = std::iter::repeat_with(|| random.u8(b'a'..=b'y')).take(20).collect();
        vec![value, [1i32, 4, random.i32(5..)].into_iter().flat_map(i32::to_be_bytes).collect()]
    },
    clustering_key: |row| {
        let a = i32::try_from(row / 3).unwrap_or(i32::MAX) - 1;
        vec![a.to_be_bytes().to_vec(), [&b""[..], b"a", b"ab"][usize::try_from(row % 3).unwrap_or(0)].to_vec()]
    },
};

/// A statement, as an index into [`Table::statements`], and what it binds.
pub struct Write {
    pub statement: usize,
    pub values: Vec<Vec<u8>>,
}

/// What a row is made of.
pub struct Row {
    /// The partition key alone for statics.
    pub key: Vec<Vec<u8>>,
    /// Of the columns in the INSERT.
    pub values: Vec<Vec<u8>>,
    pub writetime: i64,
    pub is_static: bool,
}

impl Table {
    /// A row with random values.
    pub fn row(&self, partition: &[u8], number: u64, writetime: i64, random: &mut Rng) -> Row {
        let key = std::iter::once(partition.to_vec()).chain((self.clustering_key)(number)).collect();
        Row { key, values: (self.values)(random), writetime, is_static: false }
    }

    /// The writes of a row at the source (side 0) or the target.
    pub fn writes(&self, statements: &[String], row: &Row, case: &Case, side: usize) -> Vec<Write> {
        let base = Step { what: What::Base, after: 0, ttl: case.ttl };
        let steps = case.has_base[side].then_some(&base).into_iter().chain(case.steps[side]);
        steps.flat_map(|step| self.step(statements, row, *step)).collect()
    }

    fn step(&self, statements: &[String], row: &Row, step: Step) -> Vec<Write> {
        let writetime = if step.what == What::Key { 1 } else { row.writetime + step.after };
        let metadata = [writetime.to_be_bytes().to_vec(), step.ttl.to_be_bytes().to_vec()];
        let write = |cql: String, values: Vec<Vec<u8>>| {
            let statement = statements.iter().position(|text| *text == cql).expect("all steps have a statement");
            Write { statement, values }
        };
        let update = |set: &str| {
            let values = metadata.iter().chain(&row.key).cloned().collect();
            write(self.update(set, row.is_static), values)
        };
        match step.what {
            What::Base => {
                let insert = || {
                    let values = row.key.iter().chain(&row.values).chain(&metadata).cloned().collect();
                    write(self.insert(self.columns), values)
                };
                let rest = if row.is_static { self.static_base } else { self.base };
                (!row.is_static).then(insert).into_iter().chain(rest.iter().map(|set| update(set))).collect()
            }
            What::Set(set) => vec![update(set)],
            What::Delete(columns) => {
                let values = metadata[..1].iter().chain(&row.key).cloned().collect();
                vec![write(self.delete(columns, row.is_static), values)]
            }
            What::Key => {
                vec![write(self.insert(&[]), row.key.iter().chain(&metadata).cloned().collect())]
            }
        }
    }

    /// All statements that the table needs.
    pub fn statements(&self) -> Vec<String> {
        let mut all = vec![self.insert(self.columns), self.insert(&[])];
        all.extend(self.base.iter().map(|set| self.update(set, false)));
        all.extend(self.static_base.iter().map(|set| self.update(set, true)));
        for (cases, is_static) in [(self.cases, false), (self.statics, true)] {
            for step in cases.iter().flat_map(|case| case.steps).flatten() {
                match step.what {
                    What::Set(set) => all.push(self.update(set, is_static)),
                    What::Delete(columns) => all.push(self.delete(columns, is_static)),
                    What::Base | What::Key => {}
                }
            }
        }
        all.sort_unstable();
        all.dedup();
        all
    }

    fn insert(&self, columns: &[&str]) -> String {
        let names: Vec<&str> = ["k"].iter().chain(self.clustering).chain(columns).copied().collect();
        let marks = vec!["?"; names.len()].join(", ");
        format!("INSERT INTO {{ks}}.{} ({}) VALUES ({marks}) USING TIMESTAMP ? AND TTL ?", self.name, names.join(", "))
    }

    fn update(&self, set: &str, is_static: bool) -> String {
        format!("UPDATE {{ks}}.{} USING TIMESTAMP ? AND TTL ? SET {set} WHERE {}", self.name, self.keys(is_static))
    }

    fn delete(&self, columns: &str, is_static: bool) -> String {
        format!("DELETE {columns} FROM {{ks}}.{} USING TIMESTAMP ? WHERE {}", self.name, self.keys(is_static))
    }

    fn keys(&self, is_static: bool) -> String {
        let clustering = if is_static { &[] } else { self.clustering };
        let names = ["k"].iter().chain(clustering);
        names.map(|name| format!("{name} = ?")).collect::<Vec<_>>().join(" AND ")
    }
}
