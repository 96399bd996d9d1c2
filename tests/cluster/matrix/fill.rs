//! Random rows for the tables of the matrix: each cell and element with its own writetime and TTL, overwritten, deleted,
//! shadowed, or not there at all; and row markers that are what can be inferred.

use super::shape::{Column, Part, Shape, Table};
use crate::encodings::{Type, collection};
use crate::lab::{Raw, THEN};
use crate::random::Random;
use std::cmp::Reverse;

/// A statement, and what it binds.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) cql: String,
    pub(crate) values: Raw,
}

/// What a cell has besides its value.
#[derive(Clone, Copy, Debug)]
struct Metadata {
    writetime: i64,
    /// In seconds; 0 is "for ever".
    ttl: i32,
}

/// How a table is filled.
#[derive(Clone, Debug)]
pub(crate) struct Filling {
    /// Encodings on which `sstabledump` throws.
    pub(crate) odd: bool,
    /// The writetime of rows that have only a key.
    pub(crate) unknown_timestamp: i64,
    pub(crate) partitions: i32,
    /// How many columns of a row are written, at most.
    pub(crate) columns_max: u64,
}

/// Writes the rows of one table.
pub(crate) struct Filler<'a> {
    table: &'a Table,
    filling: &'a Filling,
    random: &'a mut Random,
    /// Which encodings come next: all of them come.
    next_value: usize,
    next_column: [usize; 2],
    partition: i32,
    clustering: Option<i32>,
    /// What is written now is newer than this, up to which all has been deleted.
    floor: i64,
    /// And no newer than this.
    ceiling: i64,
    first: Vec<Write>,
    /// Sent when `first` is there, since it depends on what it finds.
    then: Vec<Write>,
    live: Vec<Metadata>,
}

fn bigint(value: i64) -> Vec<u8> {
    value.to_be_bytes().to_vec()
}

fn int(value: i32) -> Vec<u8> {
    value.to_be_bytes().to_vec()
}

impl<'a> Filler<'a> {
    pub(crate) fn new(table: &'a Table, filling: &'a Filling, random: &'a mut Random) -> Filler<'a> {
        let next_value = usize::try_from(random.below(1000)).unwrap();
        Filler {
            table,
            filling,
            random,
            next_value,
            next_column: [0; 2],
            partition: 0,
            clustering: None,
            floor: i64::MIN,
            ceiling: THEN,
            first: Vec::new(),
            then: Vec::new(),
            live: Vec::new(),
        }
    }

    /// The writes of each partition: those that come first, and those that come after them.
    pub(crate) fn partitions(mut self) -> Vec<[Vec<Write>; 2]> {
        let count = self.filling.partitions;
        (0..count)
            .map(|partition| {
                self.partition(partition);
                [std::mem::take(&mut self.first), std::mem::take(&mut self.then)]
            })
            .collect()
    }

    fn partition(&mut self, partition: i32) {
        (self.partition, self.clustering, self.floor, self.ceiling) = (partition, None, i64::MIN, THEN);
        if self.random.one_in(5) {
            self.deleted_rows();
        }
        let rows = self.random.below(5);
        if rows == 0 || self.random.one_in(2) {
            self.columns(Part::Static, self.filling.columns_max);
        }
        for clustering in 0..i32::try_from(rows).unwrap() {
            self.row(clustering);
        }
    }

    /// Something that was there before, and a deletion of all of it.
    fn deleted_rows(&mut self) {
        self.ceiling = THEN - 1_000_000;
        let whole = self.random.one_in(2);
        if whole {
            self.columns(Part::Static, 4);
        }
        for clustering in 0..3 {
            self.row(clustering);
        }
        let range = if whole { "" } else { " AND c > -1 AND c <= 9" };
        let cql = format!("DELETE FROM {} USING TIMESTAMP ? WHERE p = ?{range}", self.table.name);
        // The tombstones of its cells may be one newer than the cells.
        let at = self.ceiling + 1;
        self.first.push(Write { cql, values: Raw::of([bigint(at), int(self.partition)]) });
        (self.clustering, self.floor, self.ceiling) = (None, at, THEN);
    }

    /// A row, of which nothing may be left but its key.
    fn row(&mut self, clustering: i32) {
        self.clustering = Some(clustering);
        self.live.clear();
        self.columns(Part::Regular, self.filling.columns_max);
        if self.random.one_in(12) {
            // All of it is deleted, and nothing of it may come back.
            let cql = format!("DELETE FROM {} USING TIMESTAMP ? WHERE p = ? AND c = ?", self.table.name);
            let values = Raw::of([bigint(THEN + 9), int(self.partition), int(clustering)]);
            return self.first.push(Write { cql, values });
        }
        if self.live.is_empty() && self.floor > self.filling.unknown_timestamp {
            return; // A marker that is as old as that is deleted too.
        }
        let unknown = Metadata { writetime: self.filling.unknown_timestamp, ttl: 0 };
        let oldest = |cell: &Metadata| (cell.ttl != 0, cell.writetime, Reverse(cell.ttl));
        let marker = self.live.iter().copied().min_by_key(oldest).unwrap_or(unknown);
        let cql = format!("INSERT INTO {} (p, c) VALUES (?, ?) USING TIMESTAMP ? AND TTL ?", self.table.name);
        let values = Raw::of([int(self.partition), int(clustering), bigint(marker.writetime), int(marker.ttl)]);
        self.first.push(Write { cql, values });
    }

    /// Some columns: their turn comes round, so that none is left out.
    fn columns(&mut self, part: Part, columns_max: u64) {
        let table = self.table;
        let columns: Vec<&Column> = table.columns.iter().filter(|column| column.part == part).collect();
        for _ in 0..self.random.below(columns_max + 1) {
            let next = &mut self.next_column[usize::from(part == Part::Static)];
            *next += 1;
            let column = columns[*next % columns.len()];
            self.column(column);
        }
    }

    fn column(&mut self, column: &Column) {
        let name = &column.name;
        match &column.shape {
            Shape::One(t) => self.one(name, t),
            Shape::List(t) => {
                let elements: Vec<_> = self.values(t, 4).into_iter().map(|value| (t.in_list(&value), value)).collect();
                self.elements(column, &elements);
            }
            Shape::Set(t) => {
                let elements: Vec<_> = self.distinct(t).into_iter().map(|value| (value.clone(), value)).collect();
                self.elements(column, &elements);
            }
            Shape::Map(key, value) => {
                let keys = self.distinct(key);
                let elements = keys.into_iter().map(|key| {
                    let element = collection(&[&key, &self.value(value)], 1);
                    (key, element[4..].to_vec())
                });
                let elements: Vec<_> = elements.collect();
                self.elements(column, &elements);
            }
            Shape::Udt(_, fields) => {
                for field in fields {
                    if self.random.one_in(4) {
                        self.one(&format!("{name}.{}", field.name), field);
                    }
                }
            }
        }
    }

    /// A cell that is written; perhaps twice; perhaps deleted, by a null or a DELETE.
    fn one(&mut self, name: &str, t: &Type) {
        let cell = self.metadata();
        if cell.writetime > self.floor + 1 && self.random.one_in(6) {
            let value = self.value(t);
            let before = Metadata { writetime: cell.writetime - 1, ttl: 0 };
            self.update(&format!("{name} = ?"), Some(value), before);
        }
        let value = self.value(t);
        self.update(&format!("{name} = ?"), Some(value), cell);
        match self.random.below(12) {
            0 => self.delete(name, None, cell.writetime),
            1 => {
                let after = Metadata { writetime: cell.writetime + 1, ..cell };
                self.update(&format!("{name} = ?"), None, after);
            }
            _ => self.live.push(cell),
        }
    }

    /// Elements of a list, set or map: (key, element). Some are assigned together, the others are added one by one, perhaps
    /// before what they were added to; some are deleted.
    fn elements(&mut self, column: &Column, mut elements: &[(Vec<u8>, Vec<u8>)]) {
        let name = &column.name;
        let is_list = matches!(column.shape, Shape::List(_));
        let of = |elements: &[&[u8]]| {
            let count = i32::try_from(elements.len()).unwrap().to_be_bytes();
            let pairs = matches!(column.shape, Shape::Map(..));
            let mut out = count.to_vec();
            for element in elements {
                if !pairs {
                    out.extend(i32::try_from(element.len()).unwrap().to_be_bytes());
                }
                out.extend(*element);
            }
            out
        };
        // A list's elements go by their bytes: all that have them, and none that only compares equal.
        let discarded = (is_list && self.random.one_in(4)).then(|| &elements[0]);
        if let Some((_, element)) = discarded {
            let cql =
                format!("UPDATE {} USING TIMESTAMP ? SET {name} = {name} - ? WHERE {}", self.table.name, self.keys());
            let values = [bigint(self.ceiling), of(&[element])].into_iter().chain(self.key_values());
            self.then.push(Write { cql, values: Raw::of(values) });
        }
        let mut since = i64::MIN;
        if self.random.one_in(3) {
            let cell = self.metadata();
            if cell.writetime > self.floor + 1 && cell.writetime > i64::MIN + 10 {
                let (assigned, added) = elements.split_at(elements.len() / 2);
                let together: Vec<&[u8]> = assigned.iter().map(|(_, element)| element.as_slice()).collect();
                self.update(&format!("{name} = ?"), Some(of(&together)), cell);
                let kept = assigned.iter().filter(|(key, _)| discarded.is_none_or(|(discarded, _)| discarded != key));
                self.live.extend(kept.map(|_| cell));
                (elements, since) = (added, cell.writetime);
            }
        }
        for (key, element) in elements {
            let cell = self.metadata();
            let set = match self.random.below(3) {
                0 if is_list => format!("{name} = ? + {name}"),
                _ => format!("{name} = {name} + ?"),
            };
            self.update(&set, Some(of(&[element])), cell);
            if cell.writetime < since {
                continue; // What was assigned had replaced it before.
            }
            if discarded.is_some_and(|(discarded, _)| discarded == key) {
                continue;
            }
            if self.random.one_in(8) && !is_list {
                self.delete(&format!("{name}[?]"), Some(key.clone()), cell.writetime);
            } else {
                self.live.push(cell);
            }
        }
    }

    /// `SET what`, which holds one mark at most for `value`.
    fn update(&mut self, set: &str, value: Option<Vec<u8>>, cell: Metadata) {
        let (set, value) = match value {
            Some(value) => (set.to_owned(), Some(value)),
            None => (set.replace('?', "null"), None),
        };
        let cql = format!("UPDATE {} USING TIMESTAMP ? AND TTL ? SET {set} WHERE {}", self.table.name, self.keys());
        let values = [bigint(cell.writetime), int(cell.ttl)].into_iter().chain(value);
        let values = Raw::of(values.chain(self.key_values()));
        self.first.push(Write { cql, values });
    }

    fn delete(&mut self, what: &str, element: Option<Vec<u8>>, writetime: i64) {
        let cql = format!("DELETE {what} FROM {} USING TIMESTAMP ? WHERE {}", self.table.name, self.keys());
        let values = element.into_iter().chain([bigint(writetime)]);
        let values = Raw::of(values.chain(self.key_values()));
        self.first.push(Write { cql, values });
    }

    fn keys(&self) -> &'static str {
        if self.clustering.is_some() { "p = ? AND c = ?" } else { "p = ?" }
    }

    fn key_values(&self) -> impl Iterator<Item = Vec<u8>> + use<> {
        [int(self.partition)].into_iter().chain(self.clustering.map(int))
    }

    /// A writetime after the floor: before 1970, at it, at the bounds of what is legal, years apart, or the usual.
    fn metadata(&mut self) -> Metadata {
        let writetime = match self.random.below(12) {
            0 => i64::MIN + 1,
            1 => -i64::from(self.random.int().unsigned_abs()),
            2 => 0,
            3 => 1,
            4 => THEN,
            _ => THEN - i64::from(self.random.int().unsigned_abs()) * 1000,
        };
        let ttl = match self.random.below(6) {
            0 => 50_000 + i32::try_from(self.random.below(50_000)).unwrap(),
            1 => 300_000_000,
            _ => 0,
        };
        let later = self.floor.saturating_add(1 + i64::try_from(self.random.below(900_000)).unwrap());
        let writetime = if writetime > self.floor { writetime } else { later };
        let writetime = writetime.min(self.ceiling);
        Metadata { writetime, ttl }
    }

    fn value(&mut self, t: &Type) -> Vec<u8> {
        self.next_value += 1;
        let all = if self.filling.odd { t.all() } else { t.values.clone() };
        all[self.next_value % all.len()].clone()
    }

    fn values(&mut self, t: &Type, max: u64) -> Vec<Vec<u8>> {
        (0..=self.random.below(max - 1)).map(|_| self.value(t)).collect()
    }

    /// Some values that all compare different.
    fn distinct(&mut self, t: &Type) -> Vec<Vec<u8>> {
        let mut values: Vec<Vec<u8>> = Vec::new();
        for value in self.values(t, 4) {
            if !values.iter().any(|other| t.class(other) == t.class(&value)) {
                values.push(value);
            }
        }
        values
    }
}
