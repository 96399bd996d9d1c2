//! The oracle sees tombstones that a copy made, of every kind and wherever they are.

use crate::oracle::{Kind, Options, compare};

/// Goal: a tombstone that only the target has is a difference; one that only the source has is none of the copy's business.
#[test]
fn tombstones_of_the_target_are_differences() {
    let deletion = |at: i64| format!(r#""deletion_info":{{"marked_deleted":"{at}","local_delete_time":"1795308324"}}"#);
    let element = r#"{"name":"s","path":["1"],"value":"","tstamp":"5"}"#;
    let whole = format!(r#"{{"name":"s",{}}},{element}"#, deletion(4));
    let gone = r#"{"name":"s","path":["2"],"deletion_info":{"local_delete_time":"1795308324"},"tstamp":"5"}"#;
    let gone = format!("{element},{gone}");
    let bound = |end: &str| {
        format!(
            r#"{{"type":"range_tombstone_bound","{end}":{{"type":"inclusive","clustering":[0],{}}}}},"#,
            deletion(3)
        )
    };
    let range = bound("start") + &bound("end");
    let of = |partition: &str, static_cells: &str, range: &str, row: &str, cells: &str| {
        format!(
            r#"{{"partition":{{"key":["1"],"position":0{partition}}},"rows":[
               {{"type":"static_block","position":40,"cells":[{static_cells}]}},{range}
               {{"type":"row","position":50,"clustering":[1]{row},"cells":[{cells}]}}]}}"#
        )
        .replace('\n', "")
    };
    let deleted = format!(",{}", deletion(4));
    let source = of("", element, "", "", element);
    let options = Options { ignore_source_tombstones: true, lists_by_order: true, ..Options::default() };
    for (kind, count, target) in [
        (Kind::CollectionTombstone, 1, of("", &whole, "", "", element)),
        (Kind::CollectionTombstone, 1, of("", element, "", "", &whole)),
        (Kind::CellTombstone, 1, of("", &gone, "", "", element)),
        (Kind::CellTombstone, 1, of("", element, "", "", &gone)),
        (Kind::RowTombstone, 1, of("", element, "", &deleted, element)),
        (Kind::RangeTombstone, 2, of("", element, &range, "", element)),
        (Kind::PartitionTombstone, 1, of(&deleted, element, "", "", element)),
    ] {
        let report = compare(source.as_bytes(), target.as_bytes(), &options).unwrap();
        assert_eq!(report.differences.into_iter().collect::<Vec<_>>(), [(kind, count)], "{target}");
        let report = compare(target.as_bytes(), source.as_bytes(), &options).unwrap();
        assert!(report.is_equal(), "{target}\n{report}");
    }
}
