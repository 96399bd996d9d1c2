//! Every type in every place: a copy is found equal, and one bit that is flipped anywhere is found.

use super::lines;
use crate::encodings::{Type, collection, types};
use crate::lab::{Lab, Node, Raw, THEN};
use crate::matrix::shape::{self, Column, Part, Shape, Table};
use crate::planting::again::{self, again};
use crate::planting::judge;
use crate::random::Random;
use std::collections::{BTreeMap, BTreeSet};

/// From a value or element to what is bound to write it.
type Wrap = Box<dyn Fn(&[u8]) -> Vec<u8>>;

/// One cell or element of a table, in a partition of its own.
struct Spot<'a> {
    partition: i32,
    column: &'a Column,
    /// What follows the name of the column: the field of a user-defined type.
    suffix: String,
    /// What is flipped, and what is bound then.
    bytes: Vec<u8>,
    wrap: Wrap,
    /// How it is written again: a frozen cell or an entry may tie, what a key tells apart is another element.
    flip: Flip,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Flip {
    /// The value of a cell.
    Value,
    /// A list, whose elements have no key.
    List,
    /// The element of a set, the key of a map.
    Key,
}

impl Spot<'_> {
    /// The keys of its row.
    fn is_static(&self) -> bool {
        self.column.part == Part::Static
    }

    fn update(&self, node: &Node, table: &Table, value: &[u8], writetime: i64) -> bool {
        let (keys, key) = if self.is_static() { ("p = ?", 1) } else { ("p = ? AND c = ?", 2) };
        let cql =
            format!("UPDATE {} USING TIMESTAMP ? SET {}{} = ? WHERE {keys}", table.name, self.column.name, self.suffix);
        let partition = self.partition.to_be_bytes().to_vec();
        let keys = [partition, 0i32.to_be_bytes().to_vec()].into_iter().take(key);
        let values = [writetime.to_be_bytes().to_vec(), (self.wrap)(value)].into_iter().chain(keys);
        node.block_on(async {
            let statement = again::prepare(&node.session, &cql).await.unwrap_or_else(|error| panic!("{cql}: {error}"));
            let values = Raw::of(values);
            again(true, |_| node.session.execute_unpaged(&statement, &values)).await.is_ok()
        })
    }

    /// Its value as a SELECT answers it.
    fn read(&self, node: &Node, table: &Table) -> Vec<Raw> {
        node.raw(&format!("SELECT {} FROM {} WHERE p = {}", self.column.name, table.name, self.partition))
    }

    /// Writes it to the target with one bit flipped, at the same writetime if it wins then. Answers the classes that it shows;
    /// nothing where no flipped bit makes a value of the type.
    fn spoil(&self, lab: &Lab, table: &Table, random: &mut Random) -> Option<BTreeSet<String>> {
        let before = self.read(&lab.target, table);
        let mut bits: Vec<usize> = (0..self.bytes.len() * 8).collect();
        let (mut newer, mut is_written) = (THEN, false);
        while !bits.is_empty() {
            let bit = bits.swap_remove(usize::try_from(random.below(bits.len() as u64)).unwrap());
            let mut value = self.bytes.clone();
            value[bit / 8] ^= 1 << (bit % 8);
            // The server takes only what is of the type.
            let may_tie = self.flip == Flip::Value && self.update(&lab.target, table, &value, THEN);
            if may_tie && self.read(&lab.target, table) != before {
                return Some(BTreeSet::from(["value_tie".to_owned()]));
            }
            // Each covers what the one before has made of it.
            newer += 2;
            if !self.update(&lab.target, table, &value, newer) {
                continue;
            }
            is_written = true;
            // The server may have made the old value of it: of booleans, any byte but 0 is true.
            if self.read(&lab.target, table) != before {
                let words: &[&str] = match self.flip {
                    Flip::Value => &["value_newer"],
                    Flip::List => &["list"],
                    Flip::Key => &["column_missing", "column_extra"],
                };
                return Some(words.iter().map(|&word| word.to_owned()).collect());
            }
        }
        is_written.then(|| BTreeSet::from(["writetime".to_owned()]))
    }
}

/// All cells and elements of a column that can be flipped.
fn spots(column: &Column) -> Vec<Spot<'_>> {
    let spot = |bytes: &[u8], flip, suffix: String, wrap: Wrap| Spot {
        partition: 0,
        column,
        suffix,
        bytes: bytes.to_vec(),
        wrap,
        flip,
    };
    let plain = || -> Wrap { Box::new(<[u8]>::to_vec) };
    let one = || -> Wrap { Box::new(|element| collection(&[element], 1)) };
    match &column.shape {
        Shape::One(t) => some(t).map(|value| spot(&value, Flip::Value, String::new(), plain())).collect(),
        Shape::List(t) => some(t).map(|value| spot(&value, Flip::List, String::new(), one())).collect(),
        Shape::Set(t) => some(t).map(|value| spot(&value, Flip::Key, String::new(), one())).collect(),
        Shape::Map(key, value) => {
            let entry = |key: Vec<u8>, value: Vec<u8>, of_key: bool| -> Wrap {
                if of_key {
                    Box::new(move |key| collection(&[key, &value], 1))
                } else {
                    Box::new(move |value| collection(&[&key, value], 1))
                }
            };
            let of_key = spot(&longest(key), Flip::Key, String::new(), entry(Vec::new(), longest(value), true));
            let of_value = spot(&longest(value), Flip::Value, String::new(), entry(longest(key), Vec::new(), false));
            vec![of_key, of_value]
        }
        Shape::Udt(_, fields) => {
            let field = |t: &Type| {
                let suffix = format!(".{}", t.name);
                spot(&longest(t), Flip::Value, suffix, plain())
            };
            fields.iter().map(field).collect()
        }
    }
}

/// Encodings with bits in them.
fn some(t: &Type) -> impl Iterator<Item = Vec<u8>> {
    t.all().into_iter().filter(|value| !value.is_empty())
}

/// The one with most bits.
fn longest(t: &Type) -> Vec<u8> {
    // The first of these: of booleans, all but the first are true whatever bit is flipped.
    some(t).collect::<Vec<_>>().into_iter().rev().max_by_key(Vec::len).unwrap()
}

/// Goal: what a copy made of every type, in every shape, is equal; and a single bit that is flipped in any cell, element, key or field
/// is found, in that column, and nothing else is.
#[test]
fn one_flipped_bit_is_found_in_any_cell_of_every_type() {
    let Some(mut lab) = Lab::open("verify_matrix") else { return };
    lab.both("CREATE TYPE pair (a int, b text)");
    lab.both(&shape::create_everything(&types()));
    let tables = [
        Table::of("frozen", &shape::frozen_shapes(&types(), true)),
        Table::of("elements", &shape::element_shapes(&types())),
    ];
    let mut all: Vec<(&Table, Spot<'_>)> = Vec::new();
    for table in &tables {
        lab.both(&table.create());
        all.extend(table.columns.iter().flat_map(spots).map(|spot| (table, spot)));
    }
    for (number, (table, spot)) in (0..).zip(&mut all) {
        spot.partition = number;
        assert!(spot.update(&lab.source, table, &spot.bytes, THEN), "{} {:02x?}", spot.column.name, spot.bytes);
    }
    println!("{} cells and elements", all.len());
    let job = lab.job("frozen").arg("--table").arg(&lab.name("elements")).args(&["--ranges", "16"]);
    job.succeed();
    let verify = job.verify().args(&["--recheck-after", "100ms"]);
    let finished = verify.succeed();
    assert_eq!(finished.end()["verdict"]["rows_compared"], all.len());

    let mut truth = BTreeMap::new();
    for (table, spot) in &all {
        let mut random = Random::new(lab.random.next());
        let Some(classes) = spot.spoil(&lab, table, &mut random) else { continue };
        truth.insert((table.name.to_owned(), spot.partition), (spot.column.name.clone(), classes));
    }
    // Of an empty list no bit can be flipped; there is another value of each column.
    for (table, spot) in &all {
        let mut others =
            all.iter().filter(|(of, other)| (of.name, &other.column.name) == (table.name, &spot.column.name));
        let is_spoilt = others.any(|(_, other)| truth.contains_key(&(table.name.to_owned(), other.partition)));
        assert!(is_spoilt, "nothing of {} differs", spot.column.name);
    }
    verify.run().assert_code(4);
    let lines = lines(&job);
    let mut found = BTreeMap::new();
    for line in &lines {
        let (table, key, _) = judge::key(line);
        let partition = i32::from_str_radix(key[0].trim_start_matches("0x"), 16).unwrap();
        let columns: BTreeSet<&str> =
            line["columns"].as_array().unwrap().iter().map(|column| column["column"].as_str().unwrap()).collect();
        assert_eq!(columns.len(), 1, "{line}");
        let column = columns.first().unwrap().trim_matches('"').to_owned();
        found.insert((table, partition), (column, judge::classes(line)));
    }
    for (place, expected) in &truth {
        assert_eq!(found.get(place), Some(expected), "{place:?}");
    }
    assert_eq!(found.len(), truth.len(), "nothing else differs");
}
