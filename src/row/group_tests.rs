//! Grouping as properties: whatever the rows, each cell is written once, as itself.

use super::*;
use crate::row::page::encode;
use crate::row::{Form, RowMarker};
use proptest::prelude::*;

const POLICY: Policy = Policy { unknown_timestamp: -7, row_marker: RowMarker::Infer, timestamp_max: i64::MAX };

fn layout() -> Arc<Layout> {
    Arc::new(Layout::plain(1, 1, 3))
}

fn new_grouper(limits: BatchLimits, mode: BatchMode, range: TokenRange) -> Grouper {
    Grouper::new(layout(), limits, mode, POLICY, range)
}

/// The cells of a row: (value, writetime, TTL), with few enough distinct ones for some to agree.
type Values = Vec<Option<(Vec<u8>, i64, i32)>>;

fn values() -> impl Strategy<Value = Values> {
    let cell = (prop::collection::vec(any::<u8>(), 0..40), 1i64..4, prop_oneof![3 => Just(0), 1 => 1i32..4]);
    prop::collection::vec(prop::option::weighted(0.7, cell), 3)
}

/// Partitions in token order, with the values of their rows.
fn table() -> impl Strategy<Value = Vec<(Vec<u8>, Vec<Values>)>> {
    let partition = (any::<u32>(), prop::collection::vec(values(), 1..12));
    prop::collection::vec(partition, 0..12).prop_map(|partitions| {
        let mut partitions: Vec<_> =
            partitions.into_iter().map(|(key, rows)| (key.to_be_bytes().to_vec(), rows)).collect();
        partitions.sort_by_key(|(key, _)| token_of([key.as_slice()].into_iter()));
        partitions.dedup_by(|a, b| a.0 == b.0);
        partitions
    })
}

fn page(table: &[(Vec<u8>, Vec<Values>)]) -> Page {
    let mut rows = Vec::new();
    for (key, values) in table {
        for (i, values) in values.iter().enumerate() {
            let mut row = vec![Some(key.clone()), Some(i.to_be_bytes().to_vec())];
            row.extend(values.iter().map(|cell| cell.as_ref().map(|cell| cell.0.clone())));
            row.extend(values.iter().map(|cell| cell.as_ref().map(|cell| cell.1.to_be_bytes().to_vec())));
            row.extend(
                values
                    .iter()
                    .map(|cell| cell.as_ref().and_then(|cell| (cell.2 > 0).then(|| cell.2.to_be_bytes().to_vec()))),
            );
            rows.push(row);
        }
    }
    Page::parse(encode(&rows), rows.len(), layout().columns()).expect("well formed")
}

fn group(table: &[(Vec<u8>, Vec<Values>)], mode: BatchMode, limits: BatchLimits) -> Vec<Batch> {
    let mut grouper = new_grouper(limits, mode, TokenRange::RING);
    grouper.group(page(table), 0, |token| u32::from(token.0 > 0)).expect("in order")
}

fn modes() -> impl Strategy<Value = BatchMode> {
    prop_oneof![Just(BatchMode::Partition), Just(BatchMode::Replicas), Just(BatchMode::None)]
}

proptest! {
    #[test]
    fn every_cell_is_written_once_with_its_own_writetime_and_ttl(table in table(), mode in modes()) {
        let limits = BatchLimits { rows_max: 7, bytes_max: 150, partition_bytes_max: 250 };
        let batches = group(&table, mode, limits);
        let flat: Vec<(&Vec<u8>, usize, &Values)> = table
            .iter()
            .flat_map(|(key, rows)| rows.iter().enumerate().map(move |(i, values)| (key, i, values)))
            .collect();
        let mut next = 0;
        for batch in &batches {
            prop_assert_eq!(batch.extent().span.0, next, "batches follow each other");
            next = batch.extent().span.1;
            let bound = batch.bind(0);
            for (row, (key, i, values)) in flat.iter().enumerate().take(batch.extent().span.1).skip(batch.extent().span.0) {
                let mine: Vec<usize> = (0..bound.len()).filter(|&s| bound.statement(s).row as usize == row).collect();
                let inserts = mine.iter().filter(|&&s| bound.statement(s).form == Form::Insert).count();
                prop_assert_eq!(inserts, 1, "one row marker");
                let mut written: Vec<Option<(Vec<u8>, i64, i32)>> = vec![None; 3];
                for &s in &mine {
                    let (statement, wire) = (bound.statement(s), bound.wire(s));
                    let is_insert = statement.form == Form::Insert;
                    let (keys, cells) = if is_insert { (&wire[..2], &wire[2..5]) } else { (&wire[5..], &wire[2..5]) };
                    prop_assert_eq!(keys, &[Some((*key).clone()), Some(i.to_be_bytes().to_vec())]);
                    for (column, cell) in cells.iter().enumerate() {
                        if let Some(value) = cell {
                            let cell = (value.clone(), statement.writetime, statement.ttl);
                            prop_assert_eq!(written[column].replace(cell), None, "written once");
                        }
                    }
                }
                prop_assert_eq!(&written, *values);
            }
        }
        prop_assert_eq!(next, flat.len(), "every row is in a batch");
    }

    #[test]
    fn batches_stay_within_their_limits(table in table(), mode in modes()) {
        let limits = BatchLimits { rows_max: 5, bytes_max: 120, partition_bytes_max: 200 };
        for batch in group(&table, mode, limits) {
            let tokens: std::collections::BTreeSet<Token> = (batch.extent().span.0..batch.extent().span.1)
                .map(|row| token_of([batch.rows().page.cell(row, 0).expect("a key")].into_iter()))
                .collect();
            prop_assert_eq!(batch.partitions(), tokens.len());
            prop_assert_eq!(batch.first_token(), *tokens.first().expect("some"));
            prop_assert_eq!(batch.last_token(), *tokens.last().expect("some"));
            let max = if tokens.len() == 1 { limits.partition_bytes_max } else { limits.bytes_max };
            prop_assert!(batch.row_count() == 1 || batch.bytes() <= max && batch.row_count() <= limits.rows_max);
            match mode {
                BatchMode::None => prop_assert_eq!(batch.row_count(), 1),
                BatchMode::Partition => prop_assert_eq!(tokens.len(), 1),
                _ => prop_assert!(tokens.iter().all(|t| (t.0 > 0) == (batch.last_token().0 > 0)), "one replica set"),
            }
            let last = batch.rows().key(batch.extent().span.1 - 1);
            let key = batch.last_key();
            let cells = key.partition_key().into_iter().chain(key.clustering_key().expect("a row")).map(Some);
            prop_assert_eq!(cells.collect::<Vec<_>>(), last.into_iter().map(|cell| cell.map(<[u8]>::to_vec)).collect::<Vec<_>>());
            prop_assert_eq!(key.token(), batch.last_token());
        }
    }

    #[test]
    fn what_has_expired_is_left_out_and_counted(table in table(), now in 0i64..5) {
        let limits = BatchLimits { rows_max: 9, bytes_max: 500, partition_bytes_max: 500 };
        for batch in group(&table, BatchMode::Replicas, limits) {
            let bound = batch.bind(now);
            for s in 0..bound.len() {
                let ttl = bound.statement(s).ttl;
                prop_assert!(ttl == 0 || i64::from(ttl) > now);
                let wire = bound.wire(s);
                let sent = if bound.statement(s).form == Form::Insert { &wire[6] } else { &wire[1] };
                let left = if ttl == 0 { 0 } else { ttl - i32::try_from(now).expect("small") };
                prop_assert_eq!(sent.as_deref(), Some(&left.to_be_bytes()[..]));
            }
            let expired = batch.settled(&bound).expired;
            let alive: std::collections::BTreeSet<u32> = (0..bound.len()).map(|s| bound.statement(s).row).collect();
            prop_assert_eq!(alive.len() as u64 + expired, batch.row_count() as u64);
        }
    }

    #[test]
    fn halves_of_a_batch_are_the_batch(table in table()) {
        let limits = BatchLimits { rows_max: 9, bytes_max: 5000, partition_bytes_max: 5000 };
        for batch in group(&table, BatchMode::Replicas, limits) {
            let Some([a, b]) = batch.halves() else { continue };
            prop_assert_eq!((a.extent().span.0, a.extent().span.1, b.extent().span.1), (batch.extent().span.0, b.extent().span.0, batch.extent().span.1));
            prop_assert_eq!((a.extent().statements.1, b.extent().statements.1), (b.extent().statements.0, batch.extent().statements.1));
            prop_assert!(a.row_count() > 0 && b.row_count() > 0);
        }
    }
}

#[test]
fn rows_that_the_scan_should_not_return_stop_it() {
    let row = |key: u8| (vec![key], vec![vec![None, None, None]]);
    let mut table: Vec<_> = (0..5).map(row).collect();
    table.sort_by_key(|(key, _)| token_of([key.as_slice()].into_iter()));
    table.swap(1, 3);
    let limits = BatchLimits { rows_max: 9, bytes_max: 500, partition_bytes_max: 500 };
    let mut grouper = new_grouper(limits, BatchMode::Partition, TokenRange::RING);
    let error = grouper.group(page(&table), 0, |_| 0).expect_err("out of order");
    assert!(matches!(error, GroupError::OutOfOrder { .. }), "{error}");

    let narrow = TokenRange::new(Token::MIN, Token(i64::MIN + 5)).expect("a range");
    let mut grouper = new_grouper(limits, BatchMode::Partition, narrow);
    let error = grouper.group(page(&table[..1]), 0, |_| 0).expect_err("outside of the range");
    assert!(matches!(error, GroupError::OutOfOrder { .. }), "{error}");
}

#[test]
fn a_page_of_another_table_is_an_error() {
    let limits = BatchLimits { rows_max: 9, bytes_max: 500, partition_bytes_max: 500 };
    let mut grouper = new_grouper(limits, BatchMode::Partition, TokenRange::RING);
    let narrow = Page::parse(encode(&[vec![Some(vec![1])]]), 1, 1).expect("well formed");
    assert_eq!(
        grouper.group(narrow, 0, |_| 0).expect_err("too narrow"),
        GroupError::Columns { found: 1, expected: 11 }
    );
}

#[test]
fn tokens_are_those_of_the_server() {
    // From `SELECT token(k)` and `SELECT token(a, b)` on Apache Cassandra 5.0.6: a bigint key 42; an int 1 with the text 'a'.
    let single = 42i64.to_be_bytes();
    assert_eq!(token_of([&single[..]].into_iter()), Token(SERVER_TOKEN_OF_42));
    let first = 1i32.to_be_bytes();
    assert_eq!(token_of([&first[..], b"a"].into_iter()), Token(SERVER_TOKEN_OF_1_A));
}

const SERVER_TOKEN_OF_42: i64 = 8_623_491_988_607_824_794;
const SERVER_TOKEN_OF_1_A: i64 = 6_516_349_416_904_725_244;
