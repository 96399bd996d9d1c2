//! What a scan that can't be counted row by row withholds is bounded, however large its partition is.

use super::compare::Rules;
use super::line::LineTable;
use super::report::Report;
use super::{Conduct, Pair, run};
use crate::checkpoint::{self, Committer};
use crate::copy::fakes::{Key, MemorySource, MemoryTarget, Rows};
use crate::copy::split_tests::{giant, key};
use crate::copy::tests::job;
use crate::engine::pace::Steering;
use crate::engine::seam::Source;
use crate::event::{Event, Events};
use crate::job::{RunCommand, RunOutcome, Verdict};
use crate::json_lines::JsonLines;
use crate::ring::tile;
use crate::row::Policy;
use crate::schema::TableName;
use crate::schema::order::RowOrder;
use crate::schema::tests::table;
use crate::settings::{Pace, Patience};
use crate::shutdown::Stop;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Compares two sides; answers how many suspects were looked at together at most, too.
pub(super) fn verify<S: Source>(source: S, target: S, memory: u64) -> (Verdict, RunOutcome, u64) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("migrate.db");
    let ranges = tile(&[], 3);
    let mut checkpoint = checkpoint::create(
        checkpoint::reserve(&path).expect("free"),
        &job(),
        std::slice::from_ref(&ranges),
        checkpoint::Existing::Keep,
    )
    .expect("created")
    .0;
    let compared = ranges.into_iter().map(|range| (range, true)).collect();
    checkpoint.begin_verification(&BTreeMap::new(), &BTreeMap::from([(0, compared)])).expect("begun");
    let of_fakes = table(&[("k", "pk0 blob"), ("c", "ck0 blob"), ("a", "blob"), ("b", "blob")]);
    let name = TableName { keyspace: "ks".to_owned(), table: "t".to_owned() };
    let order = RowOrder::of(&of_fakes).expect("known");
    let line = LineTable::new(&of_fakes, &name);
    let report = Report::new(JsonLines::at(&folder.path().join("d.jsonl")), BTreeMap::from([(0, line)]));
    let layout = crate::copy::fakes::layout();
    let pair: Pair<S, MemoryTarget> = Pair {
        source,
        target,
        source_layout: Arc::clone(&layout),
        target_layout: layout,
        key_orders: crate::verify::KeyOrders::new(),
        infers_markers: false.into(),
        order,
        rules: Rules { expiry_tolerance: 5, policy: Policy::default() },
        mending: None,
    };
    let most = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&most);
    let events = Events::to(move |event| {
        if let Event::Compared { suspects, .. } = event {
            seen.fetch_max(*suspects, Ordering::Relaxed);
        }
    });
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime");
    let outcome = runtime.block_on(async {
        let (_, work) = checkpoint.verification_work().expect("tiles");
        checkpoint.begin_run(RunCommand::Verify, checkpoint::stored::LEVELS).expect("begun");
        let committer = Committer::<Verdict>::start(checkpoint, events.clone());
        let pace = Pace {
            readers: 2,
            writers: 32,
            memory,
            patience: Patience::of(Duration::from_secs(60)),
            ..Pace::default()
        };
        let conduct = Conduct { recheck_after: Duration::from_secs(2), began_at: i64::MAX, report };
        let pairs = BTreeMap::from([(0, Arc::new(pair))]);
        let ended =
            run(&pairs, work, &conduct, Steering::from(pace), committer.ledger(), events, Stop::default()).await;
        drop(committer.drain().await.expect("there").end(ended.outcome, 0, vec![]).await.expect("ended"));
        ended.outcome
    });
    let checkpoint = checkpoint::open(&path).expect("opens");
    let found = checkpoint.verification_work().expect("tiles").0;
    (found.verdict, outcome, most.load(Ordering::Relaxed))
}

#[test]
fn a_giant_partition_that_the_target_lacks_is_looked_at_piece_by_piece() {
    let mut rows = giant(20_000);
    let partition = u64::MAX.to_be_bytes();
    let number = |key: &Key| u64::from_be_bytes(key.2[..].try_into().expect("eight"));
    rows.retain(|key, _| key.1 != partition || number(key) >= 1000);
    let tombstones: BTreeSet<Key> = (0..1000).map(|i| key(u64::MAX, i)).collect();
    let mut others = rows.clone();
    others.retain(|key, _| key.1 != partition);
    let missing = (rows.len() - others.len()) as u64;
    let whole = |rows: &Rows| MemorySource { page_rows: 500, ..MemorySource::new(rows.clone()) };
    let source = MemorySource { tombstones: (tombstones, 400), ..whole(&rows) };
    // A quarter of a mebibyte of it is for suspects.
    let (verdict, outcome, most) = verify(source, whole(&others), 16 << 20);
    assert_eq!((outcome, verdict.rows_missing, verdict.rows_compared), (RunOutcome::Done, missing, rows.len() as u64));
    assert!(most < 3_500, "{most} suspects together");
}
