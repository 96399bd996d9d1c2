//! From Cassandra 4.1, whose CQL answers no writetime and no TTL of an element.

use super::fill::{Filler, Filling};
use super::judge;
use super::shape::{self, Table};
use super::{UNKNOWN_TIMESTAMP, copy_under_kills, load};
use crate::encodings::{Type, types};
use crate::lab::{Lab, OLD};

/// Goal: from Cassandra 4.1, values arrive byte for byte, what is in one cell with its writetime and expiry; elements get
/// the unknown timestamp and stay for ever. Again and again is the same.
#[test]
fn values_of_every_type_arrive_exact_from_cassandra_4() {
    let Some(mut lab) = Lab::open_from("m_old", OLD) else { return };
    // Vectors came with 5.0.
    let types: Vec<Type> = types().into_iter().filter(|t| !t.cql.starts_with("vector")).collect();
    lab.both("CREATE TYPE pair (a int, b text)");
    lab.both(&shape::create_everything(&types));
    let tables = [
        Table::of("frozen", &shape::frozen_shapes(&types, false)),
        Table::of("elements", &shape::element_shapes(&types)),
    ];
    let filling = Filling { odd: true, unknown_timestamp: UNKNOWN_TIMESTAMP, partitions: 80, columns_max: 24 };
    for table in &tables {
        lab.both(&table.create());
        load(&lab.source, Filler::new(table, &filling, &mut lab.random).partitions());
    }
    let job = lab.job("frozen").args(&["--table", &lab.name("elements"), "--unknown-timestamp", "7", "--ranges", "40"]);
    copy_under_kills(&mut lab, &job);
    for again in [false, true] {
        if again {
            job.clone().arg("--restart").succeed();
        }
        for table in &tables {
            let rows = judge::assert_same_values(table, &lab.source, &lab.target);
            assert!(rows > 80, "{} has {rows} rows", table.name);
        }
        judge::assert_same_metadata(&tables[0], &lab.source, &lab.target, |_| true);
        let metadata = judge::metadata_of_elements(&tables[1], &lab.target);
        assert!(metadata.len() > 1000, "{} elements", metadata.len());
        let unknown = metadata.iter().find(|metadata| **metadata != (UNKNOWN_TIMESTAMP, None));
        assert_eq!(unknown, None, "writetime and TTL of an element");
    }
}
