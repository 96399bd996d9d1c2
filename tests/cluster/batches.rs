//! Batches: however they are cut, the same arrives, and none is too large.

use crate::lab::{Lab, THEN};
use crate::proxy::{Proxy, counted_response, passes};
use scylla_proxy::{Condition, Reaction, ResponseOpcode, ResponseReaction, ResponseRule};

/// Goal: every batch mode gives the same result; no batch is larger than the target takes, not even larger than it likes.
///
/// Method: rows from a few bytes to 5 MB, in partitions of one row and of many, copied in each mode into a table of its own
/// through a proxy that shows every answer: an error, or a warning, which Cassandra gives for a batch above its threshold.
#[test]
fn every_batch_mode_gives_the_same_result_and_no_batch_is_too_large() {
    let Some(mut lab) = Lab::open("batches") else { return };
    let create = "(room int, id int, a text, b text, PRIMARY KEY (room, id))";
    lab.source.run(&format!("CREATE TABLE t {create}"));
    let random = &mut lab.random;
    let small: Vec<_> = (0..12_000)
        .map(|n| {
            let room = if n < 6000 { n } else { n / 40 };
            (room, n, random.text(30), random.text(200), THEN + i64::from(n % 2))
        })
        .collect();
    let mut large: Vec<_> = (0..60)
        .map(|n| (n * 7, 100_000 + n, String::new(), "x".repeat(3000 * usize::try_from(n).unwrap()), THEN))
        .collect();
    large.extend((0..20).map(|n| (1, 200_000 + n, String::new(), "y".repeat(200 << 10), THEN)));
    large.push((2, 300_000, String::new(), "z".repeat(5_000_000), THEN));
    large.push((70_000, 300_001, String::new(), "z".repeat(5_000_000), THEN));
    let insert = "INSERT INTO t (room, id, a, b) VALUES (?, ?, ?, ?) USING TIMESTAMP ?";
    let mut rows = lab.source.load(insert, small);
    rows += lab.source.load_singly(insert, large);

    for mode in ["auto", "partition", "replicas", "none"] {
        let table = format!("t_{mode}");
        lab.target.run(&format!("CREATE TABLE {table} {create}"));
        let mut proxy = Proxy::before(&lab.target, lab.runtime());
        let (reaction, mut errors) = counted_response(ResponseReaction::noop());
        let (others, mut answers) = counted_response(ResponseReaction::noop());
        let mut run = lab.job_into("t", &table).args(&["--batch", mode]).target(&proxy.address).start();
        run.await_begin();
        proxy.on_responses(vec![
            ResponseRule(Condition::ResponseOpcode(ResponseOpcode::Error), reaction),
            ResponseRule(Condition::ResponseOpcode(ResponseOpcode::Result), others),
        ]);
        let finished = run.finish();
        finished.assert_code(0);
        // A node that is busy says so, and is asked again.
        let errors = errors.take().into_iter().filter(|error| !passes(error));
        let errors: Vec<_> = errors.map(|error| String::from_utf8_lossy(&error.body).into_owned()).collect();
        assert!(errors.is_empty(), "--batch {mode}: {errors:?}");
        let answers = answers.take();
        let warnings = answers.iter().filter(|frame| frame.params.flags & WARNING != 0);
        let warnings = warnings.map(|frame| String::from_utf8_lossy(&frame.body).into_owned());
        // Cassandra also warns of more than ten partitions in a batch, whatever its size; ScyllaDB doesn't.
        let of_count = |text: &String| text.contains("Unlogged batch covering") && !text.contains("exceeding");
        let warnings: Vec<_> = warnings.filter(|text| !of_count(text)).collect();
        assert!(warnings.is_empty(), "--batch {mode}: {} warnings, {:?}", warnings.len(), warnings.first());
        println!("--batch {mode}: {} requests", answers.len());
        lab.assert_equal_into("t", &table, rows);
    }
}

/// The flag of a frame that carries warnings.
const WARNING: u8 = 0x08;
