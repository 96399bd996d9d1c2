//! Every type in every place where a type can stand, with every history that a cell can have.
//!
//! Each test fills tables at random, copies them while it kills the process again and again, and once more from the
//! beginning. The dumps judge, which see markers and tombstones, and the raw cells of SELECTs.

mod fill;
mod judge;
mod old;
mod order;
mod rows;
pub(crate) mod shape;

use crate::encodings::types;
use crate::job::Job;
use crate::lab::{Lab, Node};
use crate::planting::again::{self, again};
use fill::{Filler, Filling, Write};
use scylla::statement::batch::{Batch, BatchStatement, BatchType};
use scylla::statement::prepared::PreparedStatement;
use shape::Table;
use std::collections::HashMap;
use std::time::{Duration, Instant};

const UNKNOWN_TIMESTAMP: i64 = 7;

/// Sends what each partition gets, a batch each.
fn load(node: &Node, partitions: Vec<[Vec<Write>; 2]>) {
    let mut prepared: HashMap<String, PreparedStatement> = HashMap::new();
    node.block_on(async {
        for writes in partitions.into_iter().flatten().filter(|writes| !writes.is_empty()) {
            let mut batch = Batch::new(BatchType::Unlogged);
            let mut values = Vec::new();
            for write in writes {
                if !prepared.contains_key(&write.cql) {
                    let statement = again::prepare(&node.session, &write.cql).await;
                    prepared
                        .insert(write.cql.clone(), statement.unwrap_or_else(|error| panic!("{}: {error}", write.cql)));
                }
                batch.append_statement(BatchStatement::PreparedStatement(prepared[&write.cql].clone()));
                values.push(write);
            }
            let raw: Vec<_> = values.iter().map(|write| &write.values).collect();
            let may_repeat = values.iter().all(|write| again::may_repeat_prepared(&prepared[&write.cql]));
            if let Err(error) = again(may_repeat, |_| node.session.batch(&batch, &raw)).await {
                panic!("{error}; a batch of {values:?}");
            }
        }
    });
}

/// Runs the job to its end, and kills it on its way there, twice, soon after it has written something. (Not more often: after
/// a kill, a copy of lists waits some seconds until nothing is under way any more.)
fn copy_under_kills(lab: &mut Lab, job: &Job) {
    for _ in 0..2 {
        let mut run = job.start();
        run.await_event("progress or the end", |event| {
            event["rows_written"].as_u64().is_some_and(|rows| rows > 0) || event["type"] == "finished"
        });
        let killed_at = Instant::now() + Duration::from_millis(lab.random.below(40));
        while run.next(killed_at).is_some() {}
        run.kill();
    }
    job.succeed();
}

/// Fills, copies and judges.
fn prove(lab: &mut Lab, tables: &[Table], filling: &Filling) {
    let mode = ["auto", "partition", "none"][usize::try_from(lab.random.below(3)).unwrap()];
    println!("--batch {mode}");
    let job = lab.job(tables[0].name).args(&["--unknown-timestamp", "7", "--ranges", "40", "--writers", "4"]);
    let mut job = job.args(&["--batch", mode]);
    for table in tables {
        lab.both(&table.create());
        load(&lab.source, Filler::new(table, filling, &mut lab.random).partitions());
        if table.name != tables[0].name {
            job = job.arg("--table").arg(&lab.name(table.name));
        }
    }
    copy_under_kills(lab, &job);
    let judge = |lab: &Lab| {
        for table in tables {
            let rows = judge::assert_same_values(table, &lab.source, &lab.target);
            assert!(rows > 100, "{} has {rows} rows", table.name);
            judge::assert_same_metadata(table, &lab.source, &lab.target, |_| true);
        }
    };
    judge(lab);
    job.clone().arg("--restart").succeed();
    judge(lab);
    assert_verified(&job);
    if !filling.odd {
        for table in tables {
            assert_same_dumps(lab, table);
        }
    }
}

/// A verification finds both sides equal. No cell is near its end, but a node may have stood still before it executed a write.
fn assert_verified(job: &Job) {
    let finished = job.verify().args(&["--recheck-after", "100ms", "--expiry-tolerance", "60s"]).succeed();
    assert_eq!(finished.end()["verdict"]["rows_different"], 0);
    assert_ne!(finished.end()["verdict"]["rows_compared"], 0);
}

/// Compares the dumps; one of the target may have no tombstone, not even one that the source has too.
fn assert_same_dumps(lab: &Lab, table: &Table) {
    let report = lab.differences(table.name, table.name);
    assert!(report.is_equal(), "{}\n{report}", table.name);
    assert!(report.cells > 1000, "{} has few cells\n{report}", table.name);
    let dump = lab.folder.path().join(format!("{}-{}.json", lab.target.host(), table.name));
    assert!(!std::fs::read_to_string(dump).unwrap().contains("deletion_info"), "a tombstone in {}", table.name);
}

fn open(name: &str) -> Option<Lab> {
    let lab = Lab::open(name)?;
    lab.both("CREATE TYPE pair (a int, b text)");
    Some(lab)
}

/// Goal: scalars and frozen types keep bytes, writetime and expiry, as regular and as static columns; deleted ones stay away.
#[test]
fn frozen_cells_of_every_type_arrive_exact() {
    let Some(mut lab) = open("m_frozen") else { return };
    let table = Table::of("frozen", &shape::frozen_shapes(&types(), true));
    let filling = Filling { odd: false, unknown_timestamp: UNKNOWN_TIMESTAMP, partitions: 120, columns_max: 24 };
    prove(&mut lab, &[table], &filling);
}

/// Goal: elements of collections and fields of user-defined types keep bytes, writetime and expiry of their own, as
/// regular and as static columns; deleted ones stay away, and none comes twice.
#[test]
fn elements_of_every_type_arrive_exact() {
    let Some(mut lab) = open("m_elements") else { return };
    lab.both(&shape::create_everything(&types()));
    let table = Table::of("elements", &shape::element_shapes(&types()));
    let filling = Filling { odd: false, unknown_timestamp: UNKNOWN_TIMESTAMP, partitions: 120, columns_max: 24 };
    prove(&mut lab, &[table], &filling);
}

/// Goal: so do the encodings on which `sstabledump` throws. The raw cells judge alone.
#[test]
fn odd_encodings_arrive_exact() {
    let Some(mut lab) = open("m_odd") else { return };
    let types: Vec<_> = types().into_iter().filter(|t| !t.odd.is_empty()).collect();
    let ints = crate::encodings::types().into_iter().filter(|t| t.cql == "int");
    let types: Vec<_> = types.into_iter().chain(ints).collect();
    lab.both(&shape::create_everything(&types));
    let tables = [
        Table::of("frozen", &shape::frozen_shapes(&types, true)),
        Table::of("elements", &shape::element_shapes(&types)),
    ];
    let filling = Filling { odd: true, unknown_timestamp: UNKNOWN_TIMESTAMP, partitions: 80, columns_max: 8 };
    prove(&mut lab, &tables, &filling);
}
