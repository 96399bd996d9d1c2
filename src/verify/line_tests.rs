//! Lines as they stand in the file.

use super::*;
use crate::schema::tests::table;

/// Cells with their lengths.
fn wire(cells: &[Option<&[u8]>]) -> Vec<u8> {
    let cell = |cell: Option<&[u8]>| {
        let length = cell.map_or(-1, |cell| i32::try_from(cell.len()).expect("small"));
        [&length.to_be_bytes()[..], cell.unwrap_or_default()].concat()
    };
    cells.iter().copied().flat_map(cell).collect()
}

fn lines() -> LineTable {
    let mut table = table(&[
        ("k", "pk0 int"),
        ("B", "pk1 text"),
        ("a", "ck0 blob"),
        ("v", "text"),
        ("m", "map<text, int>"),
        ("l", "list<int>"),
        ("s", "static set<int>"),
        ("u", "int"),
    ]);
    let fields = vec![("street".to_owned(), CqlType::Native("text".to_owned()))];
    table.columns[7].cql_type = CqlType::Udt("address".to_owned(), fields);
    LineTable::new(&table, &TableName { keyspace: "other".to_owned(), table: "t".to_owned() })
}

fn key(clustering: Option<&[u8]>) -> RowKey {
    RowKey::new(&wire(&[Some(&[0, 0, 0, 42]), Some(b"it's")]), &wire(&[clustering]))
}

fn state(bytes: &[u8], writetime: i64) -> CellState {
    CellState { bytes: bytes.to_vec(), writetime: Some(writetime), expires_at: None }
}

fn difference(value: usize, class: Class) -> ColumnDifference {
    ColumnDifference { value, class, source: None, target: None, element: None, list: None, adds_from: None }
}

fn json(line: &impl Serialize) -> String {
    serde_json::to_string(line).expect("plain data")
}

#[test]
fn a_line_names_the_row_and_shows_both_sides() {
    let columns = [ColumnDifference {
        source: Some(state(b"x", 2)),
        target: Some(CellState { bytes: b"y".to_vec(), writetime: None, expires_at: Some(9) }),
        ..difference(0, Class::ValueUnknown)
    }];
    let classes = columns.iter().map(|column| column.class).collect();
    let line = lines().difference(&key(Some(&[1, 2])), false, classes, &columns, None);
    insta::assert_snapshot!(json(&line), @r#"{"table":"ks.t","target":"other.t","class":"value_unknown","classes":["value_unknown"],"key":{"k":"42","B":"'it''s'","a":"0x0102"},"key_hex":["0x0000002a","0x69742773","0x0102"],"token":-7753534551135800826,"static":false,"columns":[{"column":"v","class":"value_unknown","source":{"value":"'x'","hex":"0x78","writetime":2,"expires_at":null},"target":{"value":"'y'","hex":"0x79","writetime":null,"expires_at":9}}],"harmless":false,"note":null}"#);
    let classes = [Class::Expiry, Class::Capped].into_iter().collect();
    let line = lines().difference(&key(None), true, classes, &[], Some("still changing".to_owned()));
    insta::assert_snapshot!(json(&line), @r#"{"table":"ks.t","target":"other.t","class":"expiry","classes":["expiry","capped"],"key":{"k":"42","B":"'it''s'"},"key_hex":["0x0000002a","0x69742773"],"token":-7753534551135800826,"static":true,"columns":[],"harmless":false,"note":"still changing"}"#);
    assert_eq!(line.token, key(Some(&[7])).token().0);
}

#[test]
fn what_was_written_is_listed() {
    insta::assert_snapshot!(json(&lines().written(Written::Repaired, &key(Some(&[1])), false, &[])), @r#"{"type":"repaired","table":"ks.t","target":"other.t","key":{"k":"42","B":"'it''s'","a":"0x01"},"key_hex":["0x0000002a","0x69742773","0x01"],"token":-7753534551135800826,"static":false}"#);
    let deleting = lines().written(Written::Deleting, &key(Some(&[1])), true, &[]);
    insta::assert_snapshot!(json(&deleting), @r#"{"type":"deleting","table":"ks.t","target":"other.t","key":{"k":"42","B":"'it''s'"},"key_hex":["0x0000002a","0x69742773"],"token":-7753534551135800826,"static":true}"#);
}

#[test]
fn elements_are_named_as_people_know_them() {
    let one = |difference: &ColumnDifference| {
        let mut line = lines().column(difference);
        let value = line.source.take().map(|cell| cell.value).unwrap_or_default();
        format!("{} {} = {value}", line.column, line.element.unwrap_or_default())
    };
    let element = |value, element, bytes: &[u8]| {
        let source = Some(state(bytes, 1));
        one(&ColumnDifference { element: Some(element), source, ..difference(value, Class::ColumnMissing) })
    };
    let seven = [0, 0, 0, 7];
    assert_eq!(element(1, ElementKey::Key(b"k".to_vec()), &seven), "m 'k' = 7");
    assert_eq!(element(2, ElementKey::Index(3), &seven), "l 3 = 7");
    assert_eq!(element(3, ElementKey::Field(0), b"x"), "u street = 'x'");
    assert_eq!(element(3, ElementKey::Field(1), &[]), "u 1 = 0x", "a field that the type doesn't have");
    assert_eq!(element(4, ElementKey::Key(seven.to_vec()), &seven), "s 7 = 7");
    let whole = [&[0, 0, 0, 1][..], &wire(&[Some(&seven)])].concat();
    let list = ColumnDifference {
        source: Some(state(&whole, 1)),
        list: Some(ListChange::Order),
        adds_from: None,
        ..difference(2, Class::List)
    };
    assert_eq!(one(&list), "l  = [7]");
    insta::assert_snapshot!(json(&lines().column(&list)), @r#"{"column":"l","class":"list","list":"order","source":{"value":"[7]","hex":"0x000000010000000400000007","writetime":1,"expires_at":null},"target":null}"#);
}

#[test]
fn long_values_are_shortened_and_keys_are_not() {
    let long = "é".repeat(150);
    let cell = ColumnDifference { source: Some(state(long.as_bytes(), 1)), ..difference(0, Class::ColumnMissing) };
    let key = key(Some(&[0xab; 300]));
    let line = lines().difference(&key, false, Class::ColumnMissing.into(), &[cell], None);
    let shown = line.columns[0].source.as_ref().expect("it is there");
    assert_eq!(shown.value, format!("'{}…", "é".repeat(99)), "no character is cut");
    assert_eq!(shown.hex, format!("0x{}…", "c3a9".repeat(50)));
    assert_eq!(line.key.0[2].1, format!("0x{}", "ab".repeat(300)));
    assert_eq!(line.key_hex[2], line.key.0[2].1);
    let huge = lines().column(&ColumnDifference {
        target: Some(state(&vec![b'x'; LITERAL + 1], 1)),
        ..difference(0, Class::ColumnExtra)
    });
    assert_eq!(huge.target.map(|cell| cell.value == cell.hex), Some(true));
    let short = lines().column(&ColumnDifference { target: Some(state(b"x", 1)), ..difference(0, Class::ColumnExtra) });
    assert_eq!(short.target.map(|cell| (cell.value, cell.hex)), Some(("'x'".to_owned(), "0x78".to_owned())));
}
