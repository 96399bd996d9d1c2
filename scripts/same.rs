//! `same`: are two tables equal, down to the last timestamp, tombstone and expiry?
//!
//! It compares what Cassandra's own `sstabledump` prints of either side:
//!
//! ```text
//! same <(scripts/cluster dump 127.0.0.1 chat messages) <(scripts/cluster dump 127.0.0.2 chat messages)
//! ```
//!
//! Exit codes: 0 equal, 1 different, 2 the dumps could not be compared.

#![allow(clippy::print_stdout, clippy::print_stderr)] // A program of its own; this is how it speaks.

#[path = "../tests/support/oracle.rs"]
mod oracle;

use clap::Parser;
use oracle::{Dump, Options, Report};
use std::error::Error;
use std::fs::File;
use std::io::{BufRead, BufReader, stdin};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Compares two dumps of `scripts/cluster dump` cell by cell.
#[derive(Parser)]
#[command(name = "same")]
struct Arguments {
    /// The dump of the source; - is standard input.
    source: PathBuf,
    /// The dump of the target; - is standard input.
    target: PathBuf,
    /// By how many seconds expiry times may differ.
    #[arg(long, value_name = "SECONDS", default_value_t = 2)]
    ttl_tolerance: u64,
    /// Let the target lack tombstones that the source has.
    #[arg(long)]
    ignore_source_tombstones: bool,
    /// Tell the elements of lists apart by their order, not by their time UUIDs.
    #[arg(long)]
    lists_by_order: bool,
    /// `sstabledump -d` of the source's file, which tells the TTL of every cell.
    #[arg(long, value_name = "FILE")]
    source_details: Option<PathBuf>,
    /// `sstabledump -d` of the target's file.
    #[arg(long, value_name = "FILE")]
    target_details: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(report) => {
            println!("{report}");
            if report.open_ttls > 0 {
                eprintln!(
                    "the dumps leave the expiry of {} cells open, which was not compared (--source-details, \
                     --target-details)",
                    report.open_ttls
                );
            }
            ExitCode::from(u8::from(!report.is_equal()))
        }
        Err(error) => {
            eprintln!("same: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Result<Report, Box<dyn Error>> {
    let dump = |json: &Path, details: &Option<PathBuf>| -> Result<Dump<'static>, String> {
        Ok(Dump { json: open(json)?, details: details.as_deref().map(open).transpose()? })
    };
    let source = dump(&arguments.source, &arguments.source_details)?;
    let target = dump(&arguments.target, &arguments.target_details)?;
    let options = Options {
        ttl_tolerance: arguments.ttl_tolerance,
        ignore_source_tombstones: arguments.ignore_source_tombstones,
        lists_by_order: arguments.lists_by_order,
        ..Options::default()
    };
    let report = oracle::compare_dumps(source, target, &options)?;
    if report.partitions == 0 && report.is_equal() {
        return Err("both dumps are empty, which proves nothing".into());
    }
    Ok(report)
}

fn open(path: &Path) -> Result<Box<dyn BufRead>, String> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(BufReader::new(stdin())));
    }
    let file = File::open(path).map_err(|error| format!("cannot open {}: {error}", path.display()))?;
    Ok(Box::new(BufReader::with_capacity(1 << 20, file)))
}

/// Run them with `cargo test --examples`.
#[cfg(test)]
mod tests {
    use super::oracle::{Dump, Error, Kind, Options, Report, Side, compare, compare_dumps};

    /// What `sstabledump -l -t` of Cassandra 5.0 printed, shortened.
    const DUMP: &str = concat!(
        // A row that expires; one whose text was edited; one whose edit expires; one with an edit that does not, though the
        // row does; one of a key only; one without a marker; one with a tombstone in place of the author; a deleted one.
        r#"{"table kind":"REGULAR","partition":{"key":["1","0"],"position":155},"rows":["#,
        r#"{"type":"row","position":155,"clustering":[9],"liveness_info":{"tstamp":"1009","ttl":90000,"#,
        r#""expires_at":"1795398324","expired":false},"cells":[{"name":"a","value":10},{"name":"t","value":"nine"}]},"#,
        r#"{"type":"row","position":200,"clustering":[8],"liveness_info":{"tstamp":"1008"},"cells":["#,
        r#"{"name":"a","value":10},{"name":"t","value":"an \"edit\" 😀","tstamp":"2008"}]},"#,
        r#"{"type":"row","position":250,"clustering":[7],"liveness_info":{"tstamp":"1007"},"cells":["#,
        r#"{"name":"a","value":10},{"name":"t","value":"seven","tstamp":"2007","ttl":80000,"#,
        r#""expires_at":"1795388324","expired":false}]},"#,
        r#"{"type":"row","position":300,"clustering":[6],"liveness_info":{"tstamp":"1006","ttl":70000,"#,
        r#""expires_at":"1795378324","expired":false},"cells":[{"name":"a","value":10},"#,
        r#"{"name":"t","value":"six","tstamp":"2006"}]},"#,
        r#"{"type":"row","position":350,"clustering":[5],"liveness_info":{"tstamp":"1005"},"cells":[]},"#,
        r#"{"type":"row","position":400,"clustering":[4],"cells":[{"name":"t","value":"","tstamp":"1004"}]},"#,
        r#"{"type":"row","position":450,"clustering":[3],"liveness_info":{"tstamp":"1003"},"cells":["#,
        r#"{"name":"a","deletion_info":{"local_delete_time":"1795308324"}},{"name":"t","value":"three"}]},"#,
        r#"{"type":"row","position":500,"clustering":[2],"deletion_info":{"marked_deleted":"1002","#,
        r#""local_delete_time":"1795308324"},"cells":[]}]}"#,
        "\n",
        // Two ranges of rows that were deleted, next to each other.
        r#"{"table kind":"REGULAR","partition":{"key":["2","0"],"position":691},"rows":["#,
        r#"{"type":"range_tombstone_bound","start":{"type":"inclusive","clustering":[200],"#,
        r#""deletion_info":{"marked_deleted":"1040","local_delete_time":"1795308324"}}},"#,
        r#"{"type":"range_tombstone_boundary","start":{"type":"inclusive","clustering":[100],"#,
        r#""deletion_info":{"marked_deleted":"1041","local_delete_time":"1795308324"}},"end":{"type":"exclusive","#,
        r#""clustering":[100],"deletion_info":{"marked_deleted":"1040","local_delete_time":"1795308324"}}},"#,
        r#"{"type":"row","position":750,"clustering":[70],"liveness_info":{"tstamp":"1070"},"cells":["#,
        r#"{"name":"a","value":123456789012345678901234567890}]},"#,
        r#"{"type":"range_tombstone_bound","end":{"type":"inclusive","#,
        r#""deletion_info":{"marked_deleted":"1041","local_delete_time":"1795308324"}}}]}"#,
        "\n",
        // A deleted partition that was written again.
        r#"{"table kind":"REGULAR","partition":{"key":["3","0"],"position":826,"deletion_info":{"marked_deleted":"1050","#,
        r#""local_delete_time":"1795308324"}},"rows":[{"type":"row","position":826,"clustering":[1],"#,
        r#""liveness_info":{"tstamp":"1051"},"cells":[{"name":"a","value":1}]}]}"#,
        "\n",
        // A static column; a list and a map, both written at once, then added to.
        r#"{"table kind":"REGULAR","partition":{"key":["4","0"],"position":937},"rows":["#,
        r#"{"type":"static_block","position":937,"cells":[{"name":"s","value":"still","tstamp":"1060"}]},"#,
        r#"{"type":"row","position":937,"clustering":[1],"liveness_info":{"tstamp":"1061"},"cells":["#,
        r#"{"name":"l","deletion_info":{"marked_deleted":"1060","local_delete_time":"1795308324"}},"#,
        r#"{"name":"l","path":["00ce3280-e60e-11f1-a4da-efaf44f019e1"],"value":"one"},"#,
        r#"{"name":"l","path":["00ce328a-e60e-11f1-a4da-efaf44f019e1"],"value":"two"},"#,
        r#"{"name":"m","deletion_info":{"marked_deleted":"1060","local_delete_time":"1795308324"}},"#,
        r#"{"name":"m","path":["k1"],"value":null},"#,
        r#"{"name":"m","path":["k2"],"value":9.0,"tstamp":"1062","ttl":90000,"expires_at":"1795398324","expired":false},"#,
        r#"{"name":"m","path":["k3"],"deletion_info":{"local_delete_time":"1795308324"},"tstamp":"1063"}]}]}"#,
        "\n",
        // Nothing but a tombstone.
        r#"{"table kind":"REGULAR","partition":{"key":["5","0"],"position":1100,"deletion_info":{"marked_deleted":"1070","#,
        r#""local_delete_time":"1795308324"}},"rows":[]}"#,
        "\n",
    );

    /// What `sstabledump -d` printed of the rows with a TTL, shortened; the second value has a line end.
    const DETAILS: &str = "\
[1:0]@155 Row[info=[ts=1009 ttl=90000, let=1795398324] ]: 9 | [a=10 ts=1009 ttl=90000 ldt=1795398324], \
[t=nine ts=1009 ttl=90000 ldt=1795398324]
[1:0]@250 Row[info=[ts=1007] ]: 7 | [a=10 ts=1007], [t=seven ts=2007 ttl=80000 ldt=1795388324]
[1:0]@300 Row[info=[ts=1006 ttl=70000, let=1795378324] ]: 6 | [a=10 ts=1006 ttl=70000 ldt=1795378324], [t=s
ix ts=2006]
[2:0]@691 Marker INCL_START_BOUND(200)@1040/1795308324
[3:0]@826 deletedAt=1050, localDeletion=1795308324
";

    fn report(source: &str, target: &str, options: &Options) -> Report {
        compare(source.as_bytes(), target.as_bytes(), options).expect("dumps of one SSTable each")
    }

    fn kinds(report: &Report) -> Vec<(Kind, u64)> {
        report.differences.iter().map(|(kind, count)| (*kind, *count)).collect()
    }

    /// The dump with one thing changed.
    fn changed(from: &str, to: &str) -> String {
        assert_eq!(DUMP.matches(from).count(), 1, "{from}");
        DUMP.replacen(from, to, 1)
    }

    /// The differences if this one thing is changed on the target, which must be the same ones, the other way round, if it
    /// is changed on the source.
    #[track_caller]
    fn assert_found(from: &str, to: &str, expected: &[(Kind, u64)]) {
        let options = Options::default();
        let other = changed(from, to);
        assert_eq!(kinds(&report(DUMP, &other, &options)), expected);
        let swap = |kind| match kind {
            Kind::MissingPartition => Kind::ExtraPartition,
            Kind::ExtraPartition => Kind::MissingPartition,
            Kind::MissingRow => Kind::ExtraRow,
            Kind::ExtraRow => Kind::MissingRow,
            Kind::MissingCell => Kind::ExtraCell,
            Kind::ExtraCell => Kind::MissingCell,
            kind => kind,
        };
        let mut expected: Vec<_> = expected.iter().map(|&(kind, count)| (swap(kind), count)).collect();
        expected.sort_unstable();
        assert_eq!(kinds(&report(&other, DUMP, &options)), expected);
    }

    /// The line of a partition.
    fn line(number: usize) -> &'static str {
        DUMP.split_inclusive('\n').nth(number - 1).expect("five lines")
    }

    #[test]
    fn a_dump_equals_itself() {
        let report = report(DUMP, DUMP, &Options::default());
        assert!(report.is_equal());
        assert_eq!(report.to_string(), "equal: 5 partitions, 11 rows, 17 cells");
        assert_eq!(report.open_ttls, 1);
    }

    #[test]
    fn positions_and_the_times_of_deletion_do_not_matter() {
        let later = DUMP.replace("1795308324", "1795309999").replace("\"position\":", "\"position\":7");
        assert!(report(DUMP, &later, &Options::default()).is_equal());
    }

    #[test]
    fn whole_partitions_and_rows() {
        assert_found(line(1), "", &[(Kind::MissingPartition, 1)]);
        assert_found(line(4), "", &[(Kind::MissingPartition, 1)]);
        let row = r#"{"type":"row","position":350,"clustering":[5],"liveness_info":{"tstamp":"1005"},"cells":[]},"#;
        assert_found(row, "", &[(Kind::MissingRow, 1)]);
        assert_found(r#""clustering":[8]"#, r#""clustering":[88]"#, &[(Kind::MissingRow, 1), (Kind::ExtraRow, 1)]);
        let statics =
            r#"{"type":"static_block","position":937,"cells":[{"name":"s","value":"still","tstamp":"1060"}]},"#;
        assert_found(statics, "", &[(Kind::MissingRow, 1)]);
    }

    #[test]
    fn partitions_in_another_place() {
        let target = [line(1), line(3), line(4).replace(r#"["4","0"]"#, r#"["44","0"]"#).as_str(), line(5)].concat();
        let report = report(DUMP, &target, &Options::default());
        assert_eq!(kinds(&report), [(Kind::MissingPartition, 2), (Kind::ExtraPartition, 1)]);
        assert_eq!(report.partitions, 3);
    }

    #[test]
    fn one_side_is_empty() {
        let report = report(DUMP, "", &Options::default());
        assert_eq!(kinds(&report), [(Kind::MissingPartition, 4), (Kind::PartitionTombstone, 1)]);
    }

    #[test]
    fn cells() {
        assert_found(r#"{"name":"t","value":"","tstamp":"1004"}"#, "", &[(Kind::MissingCell, 1)]);
        assert_found(r#",{"name":"t","value":"nine"}"#, "", &[(Kind::MissingCell, 1)]);
        assert_found(r#""value":"","#, r#""value":"x","#, &[(Kind::Value, 1)]);
        assert_found("567890}", "567891}", &[(Kind::Value, 1)]);
        assert_found("still", "stilL", &[(Kind::Value, 1)]);
        assert_found(r#""tstamp":"2008""#, r#""tstamp":"2009""#, &[(Kind::Timestamp, 1)]);
        // Now it has the row's.
        assert_found(r#","tstamp":"2008""#, "", &[(Kind::Timestamp, 1)]);
        assert_found(r#""tstamp":"1060"}]"#, r#""tstamp":"1069"}]"#, &[(Kind::Timestamp, 1)]);
    }

    #[test]
    fn the_same_cell_twice() {
        let cell = r#"{"name":"t","value":"nine"}"#;
        assert_found(cell, &[cell, cell].join(","), &[(Kind::ExtraCell, 1)]);
    }

    #[test]
    fn expiry_of_cells() {
        let ttl = r#","ttl":80000,"expires_at":"1795388324","expired":false"#;
        assert_found(ttl, "", &[(Kind::Ttl, 1)]);
        assert_found("1795388324", "1795388327", &[(Kind::Expiry, 1)]);
        // The number of seconds depends on when it was written; "expired" on when it was dumped.
        let target = changed(ttl, r#","ttl":79000,"expires_at":"1795388326","expired":true"#);
        assert!(report(DUMP, &target, &Options::default()).is_equal());
        let strict = Options { ttl_tolerance: 1, ..Options::default() };
        assert_eq!(kinds(&report(DUMP, &target, &strict)), [(Kind::Expiry, 1)]);
    }

    #[test]
    fn row_markers() {
        assert_found(r#""liveness_info":{"tstamp":"1005"},"#, "", &[(Kind::Marker, 1)]);
        assert_found(r#"{"tstamp":"1005"}"#, r#"{"tstamp":"1"}"#, &[(Kind::MarkerTimestamp, 1)]);
        let marker = r#""clustering":[4],"#;
        let with_marker = r#""clustering":[4],"liveness_info":{"tstamp":"1004"},"#;
        assert_found(marker, with_marker, &[(Kind::Marker, 1)]);
        let expiry = r#","ttl":90000,"expires_at":"1795398324","expired":false},"cells""#;
        assert_found(expiry, r#"},"cells""#, &[(Kind::Ttl, 2), (Kind::MarkerTtl, 1)]);
        assert_found(
            expiry,
            r#","ttl":90000,"expires_at":"1795398399","expired":false},"cells""#,
            &[(Kind::Expiry, 2), (Kind::MarkerExpiry, 1)],
        );
    }

    #[test]
    fn tombstones() {
        let cell = r#"{"name":"a","deletion_info":{"local_delete_time":"1795308324"}},"#;
        assert_found(cell, "", &[(Kind::CellTombstone, 1)]);
        assert_found(cell, r#"{"name":"a","value":1},"#, &[(Kind::CellTombstone, 1)]);
        assert_found(r#""tstamp":"1063""#, r#""tstamp":"1064""#, &[(Kind::CellTombstone, 1)]);
        let collection = r#"{"name":"m","deletion_info":{"marked_deleted":"1060","local_delete_time":"1795308324"}},"#;
        assert_found(collection, "", &[(Kind::CollectionTombstone, 1)]);
        assert_found(r#"{"marked_deleted":"1002","#, r#"{"marked_deleted":"1","#, &[(Kind::RowTombstone, 1)]);
        let row = concat!(
            r#",{"type":"row","position":500,"clustering":[2],"deletion_info":{"marked_deleted":"1002","#,
            r#""local_delete_time":"1795308324"},"cells":[]}"#,
        );
        assert_found(row, "", &[(Kind::RowTombstone, 1)]);
        assert_found(r#"{"marked_deleted":"1050","#, r#"{"marked_deleted":"1","#, &[(Kind::PartitionTombstone, 1)]);
        assert_found(line(5), "", &[(Kind::PartitionTombstone, 1)]);
    }

    #[test]
    fn range_tombstones() {
        let start = r#""start":{"type":"inclusive","clustering":[100],"deletion_info":{"marked_deleted":"1041""#;
        assert_found(start, &start.replace("1041", "1042"), &[(Kind::RangeTombstone, 1)]);
        assert_found(start, &start.replace("inclusive", "exclusive"), &[(Kind::RangeTombstone, 2)]);
        assert_found(start, &start.replace("[100]", "[101]"), &[(Kind::RangeTombstone, 2)]);
        let end = concat!(
            r#",{"type":"range_tombstone_bound","end":{"type":"inclusive","#,
            r#""deletion_info":{"marked_deleted":"1041","local_delete_time":"1795308324"}}}"#,
        );
        assert_found(end, "", &[(Kind::RangeTombstone, 1)]);
    }

    #[test]
    fn tombstones_that_the_target_may_lack() {
        let live = [
            line(1)
                .replace(r#"{"name":"a","deletion_info":{"local_delete_time":"1795308324"}},"#, "")
                .split(r#",{"type":"row","position":500"#)
                .next()
                .expect("a first part")
                .to_owned()
                + "]}\n",
            r#"{"partition":{"key":["2","0"],"position":691},"rows":[{"type":"row","position":750,"clustering":[70],"#
                .to_owned()
                + r#""liveness_info":{"tstamp":"1070"},"cells":[{"name":"a","value":123456789012345678901234567890}]}]}"#
                + "\n",
            line(3)
                .replace(r#","deletion_info":{"marked_deleted":"1050","local_delete_time":"1795308324"}"#, ""),
            line(4)
                .replace(r#"{"name":"l","deletion_info":{"marked_deleted":"1060","local_delete_time":"1795308324"}},"#, "")
                .replace(r#"{"name":"m","deletion_info":{"marked_deleted":"1060","local_delete_time":"1795308324"}},"#, "")
                .replace(
                    r#",{"name":"m","path":["k3"],"deletion_info":{"local_delete_time":"1795308324"},"tstamp":"1063"}"#,
                    "",
                ),
        ]
        .concat();
        assert!(!live.contains("deletion_info"));
        let expected = [
            (Kind::CellTombstone, 2),
            (Kind::CollectionTombstone, 2),
            (Kind::RowTombstone, 1),
            (Kind::RangeTombstone, 4),
            (Kind::PartitionTombstone, 2),
        ];
        assert_eq!(kinds(&report(DUMP, &live, &Options::default())), expected);
        let options = Options { ignore_source_tombstones: true, ..Options::default() };
        assert!(report(DUMP, &live, &options).is_equal());
        // Never the other way round: a copy makes no tombstones.
        assert_eq!(kinds(&report(&live, DUMP, &options)), expected);
        // A tombstone in place of a cell is no tombstone that is missing.
        let deleted = r#"{"name":"a","deletion_info":{"local_delete_time":"1795308324"}},"#;
        let revived = changed(deleted, r#"{"name":"a","value":1},"#);
        assert_eq!(kinds(&report(DUMP, &revived, &options)), [(Kind::CellTombstone, 1)]);
    }

    #[test]
    fn collections() {
        assert_found(r#""path":["k2"]"#, r#""path":["k4"]"#, &[(Kind::MissingCell, 1), (Kind::ExtraCell, 1)]);
        assert_found(r#""value":null"#, r#""value":0.0"#, &[(Kind::Value, 1)]);
        // A list element that was written again has another path.
        let other_path = ("00ce328a-e60e-11f1", "00ce328b-e60e-11f1");
        assert_found(other_path.0, other_path.1, &[(Kind::MissingCell, 1), (Kind::ExtraCell, 1)]);
        let options = Options { lists_by_order: true, ..Options::default() };
        assert!(report(DUMP, &changed(other_path.0, other_path.1), &options).is_equal());
        let element = r#"{"name":"l","path":["00ce328a-e60e-11f1-a4da-efaf44f019e1"],"value":"two"},"#;
        let doubled = changed(element, &[element, &element.replace("328a", "328b")].concat());
        let report = report(DUMP, &doubled, &options);
        assert_eq!(kinds(&report), [(Kind::ExtraCell, 1)]);
        assert_eq!(
            report.samples[0].to_string(),
            r#"extra cell: partition ["4","0"], row [1], l, element 3: source none, target "two""#
        );
    }

    #[test]
    fn the_expiry_that_a_dump_leaves_open() {
        let options = Options::default();
        let dump = |details: &'static str| Dump {
            json: Box::new(DUMP.as_bytes()),
            details: Some(Box::new(details.as_bytes())),
        };
        let report = compare_dumps(dump(DETAILS), dump(DETAILS), &options).expect("fitting details");
        assert_eq!((report.is_equal(), report.open_ttls), (true, 0));

        // The edited text took on the TTL of the row, which the dump does not show.
        let bent = DETAILS.replace(" ts=2006]", " ts=2006 ttl=70000 ldt=1795378324]").leak();
        let report = compare_dumps(dump(DETAILS), dump(bent), &options).expect("fitting details");
        assert_eq!(kinds(&report), [(Kind::Ttl, 1)]);

        let foreign = DETAILS.replace("@300", "@301").leak();
        let error = compare_dumps(dump(DETAILS), dump(foreign), &options).expect_err("details of another file");
        assert!(matches!(error, Error::Details { side: Side::Target, position: 300, .. }), "{error}");
    }

    #[test]
    fn several_tables_in_one_dump() {
        let error =
            compare(DUMP.as_bytes(), [DUMP, DUMP].concat().as_bytes(), &Options::default()).expect_err("unsorted");
        assert!(matches!(error, Error::SeveralTables { side: Side::Target, line: 6 }), "{error}");
        // Also where the search for the next common partition comes across it.
        let shuffled = [line(3), line(2), line(4)].concat();
        let error = compare(shuffled.as_bytes(), line(4).as_bytes(), &Options::default()).expect_err("unsorted");
        assert!(matches!(error, Error::SeveralTables { side: Side::Source, line: 2 }), "{error}");
    }

    #[test]
    fn what_is_no_dump() {
        for text in [
            "{",
            "[]",
            "null",
            &changed("\"tstamp\":\"2008\"", "\"tstamp\":\"2020-01-01T00:00:00Z\""),
            &changed("\"path\":[\"k1\"]", "\"way\":1"),
        ] {
            let error = compare(DUMP.as_bytes(), text.as_bytes(), &Options::default()).expect_err("no dump");
            assert!(matches!(error, Error::Malformed { side: Side::Target, line: 1 | 4, .. }), "{error}");
        }
    }

    #[test]
    fn all_differences_are_counted_and_the_first_ones_shown() {
        let target = DUMP.replace("\"value\":10}", "\"value\":11}");
        let options = Options { samples: 2, ..Options::default() };
        let shown = report(DUMP, &target, &options).to_string();
        assert_eq!(
            shown,
            "value: partition [\"1\",\"0\"], row [9], a: source 10, target 11\n\
             value: partition [\"1\",\"0\"], row [8], a: source 10, target 11\n\
             …\n\
             differences: 4 (on both sides: 5 partitions, 11 rows)\n         4  value"
        );
    }

    #[test]
    fn long_values_are_shown_from_where_they_differ() {
        let long = "x".repeat(300);
        let source = changed("nine", &format!("{long}one"));
        let target = changed("nine", &format!("{long}two{long}"));
        let report = report(&source, &target, &Options::default());
        let twenty = "x".repeat(20);
        assert_eq!(report.samples[0].source, format!("…{twenty}one\""));
        assert_eq!(report.samples[0].target, format!("…{twenty}two{}…", "x".repeat(77)));
    }
}
