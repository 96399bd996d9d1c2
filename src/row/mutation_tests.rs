//! Rows of every shape as properties: whatever a row holds, each cell and element is written once, as itself.

use super::*;
use crate::ring::TokenRange;
use crate::row::bind::Bound;
use crate::row::page::encode;
use crate::row::statement::Policy;
use crate::row::{Batch, BatchLimits, BatchMode, Grouper, Layout, Only, Page, token_of};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

#[path = "hostile_tests.rs"]
mod hostile;

const POLICY: Policy = Policy { unknown_timestamp: 1, row_marker: RowMarker::Infer, timestamp_max: i64::MAX };
/// Regular values come first, as in every layout.
const SHAPES: [(Part, Shape); 8] = [
    (Part::Regular, Shape::Cell),
    (Part::Regular, Shape::Cell),
    (Part::Regular, Shape::Map),
    (Part::Regular, Shape::List),
    (Part::Regular, Shape::Udt(3)),
    (Part::Static, Shape::Cell),
    (Part::Static, Shape::Set),
    (Part::Static, Shape::List),
];

/// One cell or element: bytes, writetime, TTL.
type Atom = (Vec<u8>, i64, i32);
/// A value: its cell or elements; an element that is missing is a field that is null. No atoms is null.
type Value = Vec<Option<Atom>>;
/// A partition: its key, its statics, and its rows (none is a partition of only statics).
type Partition = (Vec<u8>, Vec<Value>, Vec<Vec<Value>>);

fn atom() -> impl Strategy<Value = Atom> {
    (prop::collection::vec(any::<u8>(), 0..6), 2i64..6, prop_oneof![2 => Just(0), 1 => 5i32..8])
}

fn value(shape: Shape) -> BoxedStrategy<Value> {
    match shape {
        Shape::Cell | Shape::Counter => prop::collection::vec(atom().prop_map(Some), 0..2).boxed(),
        Shape::Udt(fields) => prop::collection::vec(prop::option::of(atom()), usize::from(fields))
            .prop_map(|fields| if fields.iter().all(Option::is_none) { vec![] } else { fields })
            .boxed(),
        Shape::Set | Shape::Map | Shape::List => prop::collection::vec(atom().prop_map(Some), 0..4).boxed(),
    }
}

fn values(part: Part) -> Vec<BoxedStrategy<Value>> {
    SHAPES.iter().filter(|(of, _)| *of == part).map(|&(_, shape)| value(shape)).collect()
}

fn table() -> impl Strategy<Value = Vec<Partition>> {
    let partition = (any::<u32>(), values(Part::Static), prop::collection::vec(values(Part::Regular), 0..5));
    prop::collection::vec(partition, 0..8).prop_map(|partitions| {
        let mut partitions: Vec<Partition> =
            partitions.into_iter().map(|(key, statics, rows)| (key.to_be_bytes().to_vec(), statics, rows)).collect();
        partitions.retain(|(_, statics, rows)| !rows.is_empty() || statics.iter().any(|value| !value.is_empty()));
        partitions.sort_by_key(|(key, ..)| token_of([key.as_slice()].into_iter()));
        partitions.dedup_by(|a, b| a.0 == b.0);
        partitions
    })
}

fn bytes(cell: Option<&[u8]>) -> Vec<u8> {
    let mut out = cell.map_or(-1, |cell| i32::try_from(cell.len()).expect("small")).to_be_bytes().to_vec();
    out.extend(cell.unwrap_or_default());
    out
}

/// An element as the wire has it: an entry of a map has the same bytes as key and value.
fn element(shape: Shape, atom: Option<&Atom>) -> Vec<u8> {
    let cell = bytes(atom.map(|atom| atom.0.as_slice()));
    if shape == Shape::Map { [cell.clone(), cell].concat() } else { cell }
}

/// Value, writetime and TTL of a column, as a SELECT answers them.
fn columns(shape: Shape, value: &Value) -> [Option<Vec<u8>>; 3] {
    if value.is_empty() {
        return [None, None, None];
    }
    let ttl = |atom: &Atom| (atom.2 > 0).then(|| atom.2.to_be_bytes());
    if let (Shape::Cell, Some(atom)) = (shape, &value[0]) {
        return [Some(atom.0.clone()), Some(atom.1.to_be_bytes().to_vec()), ttl(atom).map(|ttl| ttl.to_vec())];
    }
    let count = i32::try_from(value.len()).expect("small").to_be_bytes().to_vec();
    let list = |cells: Vec<Vec<u8>>| Some([count.clone(), cells.concat()].concat());
    let elements = value.iter().map(|atom| element(shape, atom.as_ref())).collect::<Vec<_>>();
    [
        if matches!(shape, Shape::Udt(_)) { Some(elements.concat()) } else { list(elements) },
        list(
            value
                .iter()
                .map(|atom| bytes(atom.as_ref().map(|atom| atom.1.to_be_bytes()).as_ref().map(|b| &b[..])))
                .collect(),
        ),
        list(value.iter().map(|atom| bytes(atom.as_ref().and_then(ttl).as_ref().map(|b| &b[..]))).collect()),
    ]
}

fn rows_of(table: &[Partition]) -> Vec<Vec<Option<Vec<u8>>>> {
    let mut all = Vec::new();
    for (key, statics, rows) in table {
        let nothing = vec![Value::new(); 5];
        let clustering = |i: usize| (!rows.is_empty()).then(|| i.to_be_bytes().to_vec());
        for (i, row) in if rows.is_empty() { std::slice::from_ref(&nothing) } else { rows }.iter().enumerate() {
            let cells: Vec<_> =
                row.iter().chain(statics).zip(SHAPES).map(|(v, (_, shape))| columns(shape, v)).collect();
            let keys = [Some(key.clone()), clustering(i)];
            all.push(
                keys.into_iter().chain((0..3).flat_map(|which| cells.iter().map(move |c| c[which].clone()))).collect(),
            );
        }
    }
    all
}

fn group(table: &[Partition], page_rows: usize, policy: Policy) -> Vec<Batch> {
    group_only(table, page_rows, policy, |grouper| grouper)
}

fn group_only(
    table: &[Partition],
    page_rows: usize,
    policy: Policy,
    only: impl FnOnce(Grouper) -> Grouper,
) -> Vec<Batch> {
    let layout = Arc::new(Layout::new(1, 1, SHAPES.iter().map(|&(part, shape)| (part, shape, true)).collect()));
    let limits = BatchLimits { rows_max: 4, bytes_max: 200, partition_bytes_max: 200 };
    let mut grouper = only(Grouper::new(Arc::clone(&layout), limits, BatchMode::Replicas, policy, TokenRange::RING));
    let rows = rows_of(table);
    let pages = rows.chunks(page_rows);
    let batches = pages.flat_map(|rows| {
        let page = Page::parse(encode(rows), rows.len(), layout.columns()).expect("well formed");
        grouper.group(page, 0, |_| 0).expect("in order")
    });
    batches.collect()
}

/// By partition key, clustering key (none: statics) and column.
type Values = BTreeMap<(Vec<u8>, Option<Vec<u8>>, usize), Vec<Atom>>;

/// Everything that was written, in the order of the requests.
#[derive(Debug, Default, PartialEq)]
struct Written {
    values: Values,
    markers: BTreeMap<(Vec<u8>, Vec<u8>), Vec<Group>>,
}

impl Written {
    fn add(&mut self, bound: &Bound, index: usize) {
        let (statement, wire) = (*bound.statement(index), bound.wire(index));
        // The id of the statement and the head of the request.
        let request = 23 + wire.iter().map(|value| 4 + value.as_ref().map_or(0, Vec::len)).sum::<usize>();
        assert!(
            (request - 50..=request).contains(&bound.size(index)),
            "{} of {request}: {statement:?}",
            bound.size(index)
        );
        let mut wire = wire.into_iter();
        let mut next = || wire.next().expect("as many values as the text has marks");
        let (writetime, ttl) = (statement.writetime, statement.ttl);
        if statement.form == Form::Insert {
            let key = (next().expect("a key"), next().expect("a key"));
            for column in 0..2 {
                if let Some(cell) = next() {
                    self.push(key.0.clone(), Some(key.1.clone()), column, (cell, writetime, ttl));
                }
            }
            assert_eq!((next(), next()), (Some(writetime.to_be_bytes().to_vec()), Some(ttl.to_be_bytes().to_vec())));
            self.markers.entry(key).or_default().push((writetime, ttl));
            return;
        }
        assert_eq!((next(), next()), (Some(writetime.to_be_bytes().to_vec()), Some(ttl.to_be_bytes().to_vec())));
        let mut found = Vec::new();
        let part = if let Form::Element = statement.form {
            let column = bound.list_of(index).expect("an element of a list");
            assert_eq!(next().expect("a list key").len(), 16);
            found.push((column, bytes(next().as_deref())));
            SHAPES[column].0
        } else {
            let part = if statement.form == Form::Static { Part::Static } else { Part::Regular };
            for (column, &(of, shape)) in SHAPES.iter().enumerate().filter(|(_, (of, _))| *of == part) {
                match shape {
                    Shape::Cell => found.extend(next().map(|cell| (column, cell))),
                    Shape::Udt(fields) => {
                        (0..fields).for_each(|_| found.extend(next().map(|f| (column, bytes(Some(&f))))));
                    }
                    Shape::List | Shape::Counter => {}
                    Shape::Set | Shape::Map => {
                        if let Some(cell) = next() {
                            let elements = spans(shape, &cell).expect("a collection");
                            assert!(!elements.is_empty(), "an empty collection would be a tombstone");
                            found.extend(elements.into_iter().flatten().map(|span| (column, cell[span].to_vec())));
                        }
                    }
                }
                assert_eq!(of, part);
            }
            part
        };
        let partition = next().expect("a key");
        let clustering = if part == Part::Regular { next() } else { None };
        assert!(wire.next().is_none(), "nothing is left over");
        for (column, cell) in found {
            self.push(partition.clone(), clustering.clone(), column, (cell, writetime, ttl));
        }
    }

    fn push(&mut self, partition: Vec<u8>, clustering: Option<Vec<u8>>, column: usize, atom: Atom) {
        self.values.entry((partition, clustering, column)).or_default().push(atom);
    }

    fn all(batches: &[Batch]) -> Written {
        let mut written = Written::default();
        for batch in batches {
            let bound = batch.bind(0);
            (0..bound.len()).for_each(|index| written.add(&bound, index));
        }
        written
            .values
            .iter_mut()
            .filter(|((.., column), _)| SHAPES[*column].1 != Shape::List)
            .for_each(|(_, v)| v.sort());
        written
    }

    /// What a table holds, to be compared with what was written of it.
    fn of(table: &[Partition]) -> Values {
        let mut all = BTreeMap::new();
        for (key, statics, rows) in table {
            let numbered = rows.iter().enumerate().map(|(i, row)| (Some(i.to_be_bytes().to_vec()), row, 0));
            for (clustering, values, first) in numbered.chain([(None, statics, 5)]) {
                for (column, value) in values.iter().enumerate().filter(|(_, value)| !value.is_empty()) {
                    let shape = SHAPES[first + column].1;
                    let atom = |atom: &Atom| match shape {
                        Shape::Cell => atom.clone(),
                        _ => (element(shape, Some(atom)), atom.1, atom.2),
                    };
                    let mut atoms: Vec<Atom> = value.iter().flatten().map(atom).collect();
                    if shape != Shape::List {
                        atoms.sort();
                    }
                    all.insert((key.clone(), clustering.clone(), first + column), atoms);
                }
            }
        }
        all
    }
}

proptest! {
    #[test]
    fn what_is_left_out_is_not_written_and_the_marker_stays(table in table(), chosen in prop::collection::btree_map(0usize..5, 0usize..3, 0..4)) {
        let whole = Written::all(&group(&table, 9, POLICY));
        let some = group_only(&table, 9, POLICY, |grouper| grouper.only(Only::values(Part::Regular, chosen.clone())));
        let some = Written::all(&some);
        let wanted = whole.values.into_iter().filter_map(|(key, atoms)| {
            let first = *chosen.get(&key.2)?;
            let first = if SHAPES[key.2].1 == Shape::List { first.min(atoms.len()) } else { 0 };
            (first < atoms.len()).then(|| (key, atoms[first..].to_vec()))
        });
        prop_assert_eq!(some.values, wanted.collect::<Values>());
        prop_assert_eq!(some.markers, whole.markers);
    }

    #[test]
    fn every_element_is_written_once_with_its_own_writetime_and_ttl(table in table(), page_rows in 1usize..7) {
        prop_assert_eq!(Written::all(&group(&table, page_rows, POLICY)).values, Written::of(&table));
    }

    #[test]
    fn every_row_gets_the_marker_of_the_rule_and_statics_get_none(table in table(), page_rows in 1usize..7) {
        let groups = |row: &Vec<Value>| row.iter().flatten().flatten().map(|atom| (atom.1, atom.2)).collect::<Vec<_>>();
        let expected = |rule: RowMarker, row| {
            let groups = groups(row);
            let oldest = groups.iter().copied().min_by_key(|&(writetime, ttl)| (writetime, Reverse(ttl)));
            let permanent = groups.iter().copied().filter(|&(_, ttl)| ttl == 0).min();
            match (rule, oldest) {
                (_, None) => Some((POLICY.unknown_timestamp, 0)),
                (RowMarker::Infer, _) => permanent.or(oldest),
                (RowMarker::Always, Some((writetime, _))) => Some((writetime, 0)),
                (RowMarker::Never, _) => None,
            }
        };
        for rule in [RowMarker::Infer, RowMarker::Always, RowMarker::Never] {
            let batches = group(&table, page_rows, Policy { row_marker: rule, ..POLICY });
            let markers = Written::all(&batches).markers;
            let mut count = 0;
            for (key, _, rows) in &table {
                for (i, row) in rows.iter().enumerate() {
                    let found = markers.get(&(key.clone(), i.to_be_bytes().to_vec()));
                    let expected = expected(rule, row).map(|marker| vec![marker]);
                    prop_assert_eq!(found, expected.as_ref(), "{:?} of {:?}", rule, row);
                    count += usize::from(found.is_some());
                }
            }
            prop_assert_eq!(markers.len(), count, "no marker but of rows");
            let noted = batches.iter().map(Batch::noted).fold((0, 0, 0), |sum, n| {
                (sum.0 + n.key_only, sum.1 + n.marker_expires, sum.2 + n.marker_inferred)
            });
            let all = table.iter().flat_map(|(_, _, rows)| rows);
            let key_only = all.clone().filter(|row| groups(row).is_empty()).count() as u64;
            let others = all.clone().count() as u64 - key_only;
            let expires = |row: &&Vec<Value>| groups(row).iter().all(|(_, ttl)| *ttl > 0);
            let expiring = all.filter(expires).count() as u64 - key_only;
            let inferred = if rule == RowMarker::Infer { (expiring, others) } else { (0, 0) };
            prop_assert_eq!(noted, (key_only, inferred.0, inferred.1));
        }
    }

    #[test]
    fn a_row_in_pieces_is_the_same_row(table in table()) {
        // As a row above the limit of a request would be: a statement for each cell.
        let whole = group(&table, 100, POLICY);
        let mut pieces = Written::default();
        for batch in &whole {
            let bound = batch.bind(0);
            (0..bound.len()).for_each(|index| pieces.add(&bound.part(index, index + 1, 0), 0));
        }
        pieces.values.iter_mut().filter(|((.., c), _)| SHAPES[*c].1 != Shape::List).for_each(|(_, v)| v.sort());
        prop_assert_eq!(pieces, Written::all(&whole));
    }
}

#[test]
fn metadata_that_does_not_fit_the_elements_stops_the_scan() {
    let layout = Arc::new(Layout::new(1, 0, vec![(Part::Regular, Shape::Set, true)]));
    let limits = BatchLimits { rows_max: 4, bytes_max: 200, partition_bytes_max: 200 };
    let set = [&2i32.to_be_bytes()[..], &bytes(Some(b"a")), &bytes(Some(b"b"))].concat();
    let one_number = |number: &[u8]| [&1i32.to_be_bytes()[..], &bytes(Some(number))].concat();
    let row = vec![Some(vec![1]), Some(set), Some(one_number(&[0; 8])), Some(one_number(&[0; 4]))];
    let page = Page::parse(encode(&[row]), 1, layout.columns()).expect("well formed");
    let mut grouper = Grouper::new(layout, limits, BatchMode::Partition, POLICY, TokenRange::RING);
    let error = grouper.group(page, 0, |_| 0).expect_err("two elements, one writetime");
    assert!(error.to_string().contains("another number of elements"), "{error}");
}

#[test]
fn a_row_too_large_for_one_request_has_a_statement_for_each_cell() {
    let layout = Arc::new(Layout::plain(1, 0, 3));
    let limits = BatchLimits { rows_max: 4, bytes_max: 200, partition_bytes_max: 200 };
    let at = |writetime: i64| Some(writetime.to_be_bytes().to_vec());
    let row =
        vec![Some(vec![1]), Some(vec![7; LARGE_ROW]), Some(vec![8; 10]), None, at(5), at(5), None, None, None, None];
    let page = Page::parse(encode(&[row]), 1, layout.columns()).expect("well formed");
    let mut grouper = Grouper::new(layout, limits, BatchMode::Partition, POLICY, TokenRange::RING);
    let batches = grouper.group(page, 0, |_| 0).expect("in order");
    let bound = batches[0].bind(0);
    let forms: Vec<_> =
        (0..bound.len()).map(|index| (bound.statement(index).form, bound.statement(index).cells)).collect();
    assert_eq!(forms, [(Form::Update, Cells::One(0)), (Form::Update, Cells::One(1)), (Form::Insert, Cells::None)]);
    assert!(bound.size(0) > LARGE_ROW && bound.size(1) < 100);
}

#[test]
fn writetimes_of_the_far_future_are_lowered_and_counted() {
    let layout = Arc::new(Layout::plain(1, 0, 1));
    let limits = BatchLimits { rows_max: 4, bytes_max: 200, partition_bytes_max: 200 };
    let row =
        |key: u8, writetime: i64| vec![Some(vec![key]), Some(vec![1]), Some(writetime.to_be_bytes().to_vec()), None];
    let mut rows = vec![row(1, 5), row(2, 5000)];
    rows.sort_by_key(|row| token_of([row[0].as_deref().expect("a key")].into_iter()));
    let page = Page::parse(encode(&rows), 2, layout.columns()).expect("well formed");
    let policy = Policy { timestamp_max: 1000, ..POLICY };
    let mut grouper = Grouper::new(layout, limits, BatchMode::Partition, policy, TokenRange::RING);
    let batches = grouper.group(page, 0, |_| 0).expect("in order");
    let mut writetimes: Vec<i64> = batches.iter().flat_map(Batch::statements).map(|(_, s)| s.writetime).collect();
    writetimes.sort_unstable();
    assert_eq!(writetimes, [5, 1000]);
    assert_eq!(batches.iter().map(|batch| batch.noted().capped).sum::<u64>(), 1);
}

#[test]
fn parts_that_are_sent_later_carry_the_ttls_of_that_moment() {
    let layout = Arc::new(Layout::new(1, 0, vec![(Part::Regular, Shape::List, true)]));
    let limits = BatchLimits { rows_max: 4, bytes_max: 200, partition_bytes_max: 200 };
    let list: Value = [(3, 0), (4, 100), (5, 7)].map(|(writetime, ttl)| Some((vec![1], writetime, ttl))).into();
    let row = [vec![Some(vec![1])], columns(Shape::List, &list).to_vec()].concat();
    let page = Page::parse(encode(&[row]), 1, layout.columns()).expect("well formed");
    let mut grouper = Grouper::new(layout, limits, BatchMode::Partition, POLICY, TokenRange::RING);
    let batches = grouper.group(page, 1000, |_| 0).expect("in order");
    let bound = batches[0].bind(1000);
    let ttls = |bound: &Bound| {
        let ttl =
            |index| i32::from_be_bytes(bound.wire(index)[1].clone().expect("a TTL")[..].try_into().expect("an int"));
        (0..bound.len()).filter(|&index| bound.statement(index).form == Form::Element).map(ttl).collect::<Vec<_>>()
    };
    assert_eq!(ttls(&bound), [0, 100, 7]);
    assert_eq!(ttls(&bound.part(1, 3, 1005)), [95, 2]);
    assert_eq!(ttls(&bound.part(0, 3, 1010)), [0, 90], "the third has expired meanwhile");
}
