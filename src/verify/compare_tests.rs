//! Rows of every shape as properties: what differs is found, what doesn't isn't.

use super::super::difference::ElementKey;
use super::*;
use crate::row::page::encode;
use proptest::prelude::*;

const SHAPES: [(Part, Shape); 8] = [
    (Part::Regular, Shape::Cell),
    (Part::Regular, Shape::Cell),
    (Part::Regular, Shape::Map),
    (Part::Regular, Shape::List),
    (Part::Regular, Shape::Set),
    (Part::Regular, Shape::Udt(3)),
    (Part::Static, Shape::Cell),
    (Part::Static, Shape::Set),
];
const READ_AT: i64 = 1_700_000_000;
const UNKNOWN: i64 = 2;
const RULES: Rules = Rules {
    expiry_tolerance: 5,
    policy: Policy { unknown_timestamp: UNKNOWN, timestamp_max: 1_000, row_marker: crate::row::RowMarker::Infer },
};

/// One cell: of an element of a map, the key too.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Atom {
    key: Vec<u8>,
    bytes: Vec<u8>,
    writetime: i64,
    /// Seconds after [`READ_AT`].
    expires_in: Option<i32>,
}

/// A value: its cell or elements; an element that is missing is a field that is null. No atoms is null.
type Value = Vec<Option<Atom>>;

#[expect(clippy::unnecessary_wraps, reason = "as it stands in a value")]
fn atom(bytes: &str, writetime: i64) -> Option<Atom> {
    Some(Atom { key: bytes.into(), bytes: bytes.into(), writetime, expires_in: None })
}

fn some_atom() -> impl Strategy<Value = Atom> {
    let bytes = prop::collection::vec(any::<u8>(), 0..4);
    let expiry = prop_oneof![2 => Just(None), 1 => (100_000i32..100_009).prop_map(Some)];
    (prop::collection::vec(0u8..4, 1..3), bytes, prop_oneof![1i64..6, 998i64..1003], expiry)
        .prop_map(|(key, bytes, writetime, expires_in)| Atom { key, bytes, writetime, expires_in })
}

fn value(shape: Shape) -> BoxedStrategy<Value> {
    let several = prop::collection::vec(some_atom(), 0..4);
    match shape {
        Shape::Cell | Shape::Counter => prop::collection::vec(some_atom().prop_map(Some), 0..2).boxed(),
        Shape::List => several.prop_map(|atoms| atoms.into_iter().map(Some).collect()).boxed(),
        Shape::Udt(fields) => prop::collection::vec(prop::option::of(some_atom()), usize::from(fields))
            .prop_map(|fields| if fields.iter().all(Option::is_none) { vec![] } else { fields })
            .boxed(),
        Shape::Set | Shape::Map => several
            .prop_map(|mut atoms| {
                atoms.sort();
                atoms.dedup_by(|a, b| a.key == b.key);
                atoms.into_iter().map(Some).collect()
            })
            .boxed(),
    }
}

fn values() -> Vec<BoxedStrategy<Value>> {
    SHAPES.iter().map(|&(_, shape)| value(shape)).collect()
}

fn wire(cell: Option<&[u8]>) -> Vec<u8> {
    let mut out = cell.map_or(-1, |cell| i32::try_from(cell.len()).expect("small")).to_be_bytes().to_vec();
    out.extend(cell.unwrap_or_default());
    out
}

/// Value, writetime and TTL of a column, as a SELECT answers them `later` seconds after [`READ_AT`].
fn columns(shape: Shape, value: &Value, later: i32) -> [Option<Vec<u8>>; 3] {
    let Some(first) = value.first() else { return [None, None, None] };
    let ttl = |atom: &Atom| atom.expires_in.map(|expires_in| (expires_in - later).to_be_bytes());
    if let (Shape::Cell | Shape::Counter, Some(atom)) = (shape, first) {
        return [Some(atom.bytes.clone()), Some(atom.writetime.to_be_bytes().to_vec()), ttl(atom).map(Vec::from)];
    }
    let count = i32::try_from(value.len()).expect("small").to_be_bytes().to_vec();
    let list = |cells: Vec<Vec<u8>>| Some([count.clone(), cells.concat()].concat());
    let element = |atom: &Option<Atom>| match (shape, atom) {
        (Shape::Map, Some(atom)) => [wire(Some(&atom.key)), wire(Some(&atom.bytes))].concat(),
        (Shape::Set, Some(atom)) => wire(Some(&atom.key)),
        (_, atom) => wire(atom.as_ref().map(|atom| &atom.bytes[..])),
    };
    let elements: Vec<_> = value.iter().map(element).collect();
    let numbers = |number: &dyn Fn(&Atom) -> Option<Vec<u8>>| {
        list(value.iter().map(|atom| wire(atom.as_ref().and_then(number).as_deref())).collect())
    };
    [
        if matches!(shape, Shape::Udt(_)) { Some(elements.concat()) } else { list(elements) },
        numbers(&|atom| Some(atom.writetime.to_be_bytes().to_vec())),
        numbers(&|atom| ttl(atom).map(Vec::from)),
    ]
}

/// One row as a side answers it.
struct Answer {
    page: Page,
    layout: Layout,
    read_at: i64,
}

impl Answer {
    fn of(shapes: &[(Part, Shape)], row: &[Value], readable: impl Fn(usize) -> bool, later: i32) -> Answer {
        let told = shapes.iter().enumerate().map(|(i, &(part, shape))| (part, shape, readable(i)));
        let layout = Layout::new(1, 0, told.collect());
        let cells: Vec<_> = row.iter().zip(shapes).map(|(value, &(_, shape))| columns(shape, value, later)).collect();
        let mut wire = vec![Some(b"key".to_vec())];
        wire.extend(cells.iter().map(|cell| cell[0].clone()));
        for which in [1, 2] {
            wire.extend(cells.iter().enumerate().filter(|&(i, _)| readable(i)).map(|(_, cell)| cell[which].clone()));
        }
        Answer::raw(layout, wire, READ_AT + i64::from(later))
    }

    fn raw(layout: Layout, wire: Vec<Option<Vec<u8>>>, read_at: i64) -> Answer {
        Answer { page: Page::parse(encode(&[wire]), 1, layout.columns()).expect("well formed"), layout, read_at }
    }

    fn row(&self) -> Row<'_> {
        Row { page: &self.page, row: 0, layout: &self.layout, read_at: self.read_at }
    }
}

fn plain(row: &[Value]) -> Answer {
    Answer::of(&SHAPES, row, |_| true, 0)
}

/// What [`compare`] finds in both parts, after [`is_equal`] was asked the same.
fn found(source: &Answer, target: &Answer) -> Vec<Result<ColumnDifference, Malformed>> {
    let (source, target) = (source.row(), target.row());
    let of = |part| {
        let found = compare(source, target, part, &RULES);
        assert_eq!(is_equal(source, target, part, &RULES), found == Ok(vec![]), "{found:?}");
        found.map_or_else(|error| vec![Err(error)], |found| found.into_iter().map(Ok).collect())
    };
    [of(Part::Regular), of(Part::Static)].concat()
}

/// One small change of one row.
#[derive(Clone, Debug)]
enum Change {
    Value(usize),
    Writetime(u32),
    Expiry(u32),
    Permanent,
    Drop,
    Swap,
    Double,
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (0usize..24).prop_map(Change::Value),
        (0u32..63).prop_map(Change::Writetime),
        (0u32..30).prop_map(Change::Expiry),
        Just(Change::Permanent),
        Just(Change::Drop),
        Just(Change::Swap),
        Just(Change::Double),
    ]
}

/// Changes one atom of the row, and says whether that is a difference.
fn apply(row: &mut [Value], change: &Change, at: prop::sample::Index) -> bool {
    let atoms = |row: &[Value]| -> Vec<(usize, usize)> {
        let all = row.iter().enumerate();
        all.flat_map(|(v, value)| (0..value.len()).filter(move |&i| value[i].is_some()).map(move |i| (v, i))).collect()
    };
    let all = atoms(row);
    if all.is_empty() {
        return false;
    }
    let (v, i) = all[at.index(all.len())];
    let shape = SHAPES[v].1;
    let Some(atom) = row[v][i].as_mut() else { return false };
    match *change {
        // Another element than any of the set's.
        Change::Value(bit) if shape == Shape::Set => {
            atom.key[0] ^= 0x10 << (bit % 4);
            true
        }
        Change::Value(bit) => {
            match atom.bytes.get_mut(bit / 8) {
                Some(byte) => *byte ^= 1 << (bit % 8),
                None => atom.bytes.push(0),
            }
            true
        }
        Change::Writetime(bit) => {
            atom.writetime ^= 1 << bit;
            true
        }
        Change::Expiry(bit) => {
            let Some(expires_in) = &mut atom.expires_in else { return false };
            *expires_in ^= 1 << bit;
            1 << bit > RULES.expiry_tolerance
        }
        Change::Permanent => {
            atom.expires_in = if atom.expires_in.is_some() { None } else { Some(7) };
            true
        }
        Change::Drop => {
            if let Shape::Udt(_) = shape {
                row[v][i] = None;
                if row[v].iter().all(Option::is_none) {
                    row[v].clear();
                }
            } else {
                row[v].remove(i);
            }
            true
        }
        Change::Swap => {
            let other = (i + 1) % row[v].len();
            let before = row[v].clone();
            row[v].swap(i, other);
            let is_ordered = matches!(shape, Shape::List | Shape::Udt(_));
            // Equal elements may change places where all else of them is equal too.
            let close = |a: &Option<Atom>, b: &Option<Atom>| match (a, b) {
                (Some(a), Some(b)) => {
                    (&a.bytes, a.writetime, a.expires_in.is_some()) == (&b.bytes, b.writetime, b.expires_in.is_some())
                        && a.expires_in.unwrap_or(0).abs_diff(b.expires_in.unwrap_or(0)) <= 5
                }
                (a, b) => a.is_none() && b.is_none(),
            };
            is_ordered && !before.iter().zip(&row[v]).all(|(a, b)| close(a, b))
        }
        Change::Double => {
            if shape != Shape::List {
                return false;
            }
            let again = row[v][i].clone();
            row[v].push(again);
            true
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_change_is_found_and_nothing_else(row in values(), change in change(), at in any::<prop::sample::Index>()) {
        let mut other = row.clone();
        let differs = apply(&mut other, &change, at);
        let found = found(&plain(&row), &plain(&other));
        prop_assert_eq!(!found.is_empty(), differs, "{:?}", found);
        prop_assert!(found.iter().all(Result::is_ok));
        prop_assert!(found.len() <= 2 || matches!(change, Change::Swap), "{:?}", found);
    }

    #[test]
    fn rows_read_at_other_times_are_the_same(row in values(), earlier in 0i32..50_000, later in 0i32..50_000, slip in -5i32..=5) {
        let late: Vec<Value> = row
            .iter()
            .map(|value| value.iter().cloned().map(|atom| atom.map(|atom| Atom { expires_in: atom.expires_in.map(|at| at + slip), ..atom })).collect())
            .collect();
        let source = Answer::of(&SHAPES, &row, |_| true, earlier);
        let target = Answer::of(&SHAPES, &late, |_| true, later);
        prop_assert_eq!(found(&source, &target), vec![]);
    }

    #[test]
    fn the_fast_path_agrees_whatever_the_sides_can_tell(
        row in values(), other in values(), whole in any::<bool>(), change in change(), at in any::<prop::sample::Index>(),
        of_source in any::<u8>(), of_target in any::<u8>(), later in 0i32..20,
    ) {
        let mut target = if whole { other } else { row.clone() };
        apply(&mut target, &change, at);
        let source = Answer::of(&SHAPES, &row, |i| of_source >> i & 1 == 1, 0);
        let target = Answer::of(&SHAPES, &target, |i| of_target >> i & 1 == 1, later);
        found(&source, &target);
        found(&target, &source);
    }

    /// Any bit behind the key, the lengths of the page's cells aside, those within collections included.
    #[test]
    fn a_flipped_bit_is_found_wherever_it_is(row in values(), at in any::<prop::sample::Index>(), bit in 0u8..8, shared in any::<bool>()) {
        let source = plain(&row);
        let mut cells: Vec<Option<Vec<u8>>> = (0..source.layout.columns()).map(|c| source.page.cell(0, c).map(<[u8]>::to_vec)).collect();
        let mut bytes: Vec<&mut u8> = cells.iter_mut().skip(1).flatten().flatten().collect();
        prop_assume!(!bytes.is_empty());
        let byte = at.index(bytes.len());
        *bytes[byte] ^= 1 << bit;
        let target = Answer::raw(source.layout.clone(), cells, READ_AT);
        let layout = if shared { &source.layout } else { &target.layout };
        let (source, target) = (source.row(), Row { layout, ..target.row() });
        let rules = Rules { expiry_tolerance: 0, ..RULES };
        let parts = [Part::Regular, Part::Static];
        prop_assert_eq!(parts.into_iter().filter(|&part| !is_equal(source, target, part, &rules)).count(), 1);
        prop_assert_eq!(parts.into_iter().filter(|&part| compare(source, target, part, &rules) != Ok(vec![])).count(), 1);
    }

    #[test]
    fn hostile_cells_never_panic(cells in prop::collection::vec(prop::option::of(prop::collection::vec(any::<u8>(), 0..20)), 24), row in values()) {
        let layout = plain(&row).layout;
        let wire = [vec![Some(b"key".to_vec())], cells].concat();
        let hostile = Answer::raw(layout, wire, READ_AT);
        found(&plain(&row), &hostile);
        found(&hostile, &plain(&row));
        assert_eq!(found(&hostile, &hostile), vec![]);
        for part in [Part::Regular, Part::Static] {
            let _ = alone(hostile.row(), Side::Source, part);
        }
    }
}

/// Both sides' value of one column, and what is found: `class[element]`, or `list: change`.
fn of_shape(shape: Shape, source: &Value, target: &Value) -> String {
    let shapes = [(Part::Regular, shape)];
    let answer = |value: &Value| Answer::of(&shapes, std::slice::from_ref(value), |_| true, 0);
    let told = found(&answer(source), &answer(target)).into_iter().map(|difference| {
        let difference = difference.expect("well formed");
        let element = match &difference.element {
            None => String::new(),
            Some(ElementKey::Key(key)) => format!("[{}]", String::from_utf8_lossy(key)),
            Some(ElementKey::Field(index)) => format!("[field {index}]"),
            Some(ElementKey::Index(index)) => format!("[{index}]"),
        };
        let change = difference.list.map(|change| format!(": {change:?}")).unwrap_or_default();
        format!("{}{element}{change}", difference.class)
    });
    told.collect::<Vec<_>>().join(", ")
}

#[test]
fn elements_are_compared_by_what_they_are() {
    let a = || atom("a", 1);
    let b = || atom("b", 1);
    let c = || atom("c", 1);
    for shape in [Shape::Set, Shape::Map] {
        assert_eq!(of_shape(shape, &vec![a(), b()], &vec![b(), a()]), "", "order is no difference");
        assert_eq!(of_shape(shape, &vec![b(), a()], &vec![a(), b()]), "", "on either side");
        assert_eq!(of_shape(shape, &vec![a(), b()], &vec![b(), c()]), "column_missing[a], column_extra[c]");
        assert_eq!(of_shape(shape, &vec![a()], &vec![atom("a", 2)]), "writetime[a]");
        assert_eq!(of_shape(shape, &vec![a(), b()], &vec![]), "column_missing");
        assert_eq!(of_shape(shape, &vec![], &vec![a(), b()]), "column_extra");
    }
    let entry = |value: &str, writetime| Some(Atom { key: b"k".to_vec(), ..atom(value, writetime).expect("some") });
    assert_eq!(of_shape(Shape::Map, &vec![entry("v", 2)], &vec![entry("w", 1)]), "value_older[k]");
    assert_eq!(of_shape(Shape::Map, &vec![entry("v", 2)], &vec![entry("w", 3)]), "value_newer[k]");
    assert_eq!(of_shape(Shape::Map, &vec![entry("v", 2)], &vec![entry("w", 2)]), "value_tie[k]");
    let udt = Shape::Udt(3);
    assert_eq!(of_shape(udt, &vec![a(), None, None], &vec![a()]), "", "trailing fields may not be there");
    assert_eq!(of_shape(udt, &vec![a(), None, None], &vec![a(), None, c()]), "column_extra[field 2]");
    assert_eq!(
        of_shape(udt, &vec![a(), b()], &vec![None, atom("c", 2)]),
        "column_missing[field 0], value_newer[field 1]"
    );
    assert_eq!(of_shape(udt, &vec![a(), b()], &vec![]), "column_missing");
}

#[test]
fn lists_are_compared_as_they_stand() {
    let a = || atom("a", 1);
    let b = || atom("b", 1);
    let c = || atom("c", 1);
    let list = |source: &Value, target: &Value| of_shape(Shape::List, source, target);
    assert_eq!(list(&vec![a(), b()], &vec![a(), b()]), "");
    assert_eq!(list(&vec![a(), b()], &vec![b(), a()]), "list: Order");
    assert_eq!(list(&vec![a(), b()], &vec![a()]), "list: Missing");
    assert_eq!(list(&vec![a(), b()], &vec![a(), b(), a(), b()]), "list: Doubled");
    assert_eq!(list(&vec![a(), b()], &vec![a(), b(), c()]), "list: Extra");
    assert_eq!(list(&vec![a(), b()], &vec![a(), c()]), "list: Changed");
    assert_eq!(list(&vec![a(), a()], &vec![a(), atom("a", 2)]), "writetime[1]");
    assert_eq!(list(&vec![a()], &vec![]), "column_missing");
    assert_eq!(list(&vec![], &vec![a()]), "column_extra");
    let expiring = |expires_in| Some(Atom { expires_in: Some(expires_in), ..a().expect("some") });
    assert_eq!(list(&vec![expiring(100), a()], &vec![expiring(106), a()]), "expiry[0]");
    assert_eq!(list(&vec![expiring(100), a()], &vec![expiring(105), a()]), "");
}

#[test]
fn a_list_is_added_to_only_where_it_becomes_the_sources() {
    let list = |text: &str| -> Value {
        let atoms = text.split_whitespace().map(|atom| atom.split_once('@').expect("a writetime"));
        atoms.map(|(bytes, at)| atom(bytes, at.parse().expect("a number"))).collect()
    };
    let adds_from = |source: &str, target: &str, tells: bool| {
        let answer = |value: Value, tells: bool| Answer::of(&[(Part::Regular, Shape::List)], &[value], |_| tells, 0);
        let found = found(&answer(list(source), true), &answer(list(target), tells));
        found.into_iter().map(|difference| difference.expect("well formed").adds_from).next().flatten()
    };
    // Element by element, where both sides tell when they were written.
    assert_eq!(adds_from("a@1 b@2 c@3", "a@1 b@2", true), Some(0));
    assert_eq!(adds_from("a@1 b@1 c@1", "b@1 c@1", true), Some(0));
    assert_eq!(adds_from("a@1 b@1 c@1", "a@1 c@1", true), None, "nothing can be put in between");
    assert_eq!(adds_from("a@1 b@1 c@2", "a@1 b@3", true), None, "it would have b twice");
    assert_eq!(adds_from("a@1 b@1", "b@1 a@1", true), None);
    assert_eq!(adds_from("a@1 b@1", "a@1 b@1 b@1", true), None);
    assert_eq!(adds_from("a@5 b@5", "a@1 b@1", true), None, "the same list is no list that lacks something");
    // Only the end, where the target doesn't.
    assert_eq!(adds_from("a@1 b@2 c@3", "a@0 b@0", false), Some(2));
    assert_eq!(adds_from("a@1 b@1 c@1", "b@0 c@0", false), None);
    assert_eq!(adds_from("a@1 b@2 a@3", "a@0 b@0", false), None, "which of both it has, nobody knows");
    assert_eq!(adds_from("a@1 b@1", "a@0 b@0", false), None);
}

#[test]
fn the_same_ttl_read_later_is_a_later_expiry() {
    for shape in [Shape::Cell, Shape::Set, Shape::Map, Shape::List, Shape::Udt(1)] {
        let shapes = [(Part::Regular, shape)];
        let answer = |expires_in, later| {
            let atom = Atom { expires_in: Some(expires_in), ..atom("a", 1).expect("some") };
            Answer::of(&shapes, &[vec![Some(atom)]], |_| true, later)
        };
        let (source, near, far) = (answer(1000, 0), answer(1005, 5), answer(1006, 6));
        assert_eq!(source.row().span(1, 4), far.row().span(1, 4));
        assert_eq!(found(&source, &near), vec![]);
        let found = found(&source, &far).pop().expect("one").expect("well formed");
        assert_eq!(found.class, Class::Expiry, "{shape:?}");
        let expiry = |state: Option<CellState>| state.and_then(|state| state.expires_at);
        assert_eq!((expiry(found.source), expiry(found.target)), (Some(READ_AT + 1000), Some(READ_AT + 1006)));
    }
}

#[test]
fn counters_have_no_writetimes() {
    assert_eq!(of_shape(Shape::Counter, &vec![atom("a", 1)], &vec![atom("a", 2)]), "");
    assert_eq!(of_shape(Shape::Counter, &vec![atom("a", 1)], &vec![atom("b", 2)]), "value_unknown");
    assert_eq!(of_shape(Shape::Counter, &vec![atom("a", 1)], &vec![]), "column_missing");
}

#[test]
fn elements_whose_writetimes_one_side_alone_tells() {
    let shapes = [(Part::Regular, Shape::Set)];
    let told = |value: &Value| Answer::of(&shapes, std::slice::from_ref(value), |_| true, 0);
    let untold = |value: &Value| Answer::of(&shapes, std::slice::from_ref(value), |_| false, 0);
    let classes = |source: &Answer, target: &Answer| -> Vec<Class> {
        found(source, target).into_iter().map(|found| found.expect("well formed").class).collect()
    };
    let source = vec![atom("a", 50), atom("b", 50)];
    let copied = vec![atom("a", UNKNOWN), atom("b", UNKNOWN)];
    assert_eq!(classes(&untold(&source), &told(&copied)), [Class::UnknownTimestamp, Class::UnknownTimestamp]);
    assert_eq!(classes(&untold(&source), &told(&source)), [], "somebody wrote both");
    assert_eq!(classes(&told(&source), &untold(&copied)), []);
    assert_eq!(classes(&untold(&source), &untold(&copied)), []);
    let mixed = vec![atom("a", 50), atom("b", UNKNOWN)];
    assert_eq!(classes(&untold(&source), &told(&mixed)), [Class::UnknownTimestamp]);
}

#[test]
fn the_whole_of_a_column_tells_its_newest_and_its_last() {
    let shapes = [(Part::Regular, Shape::List)];
    let expiring =
        |writetime, expires_in| Some(Atom { expires_in: Some(expires_in), ..atom("a", writetime).expect("some") });
    let state = |value: Value| {
        let answer = Answer::of(&shapes, &[value], |_| true, 0);
        let Alone { class, columns } = alone(answer.row(), Side::Source, Part::Regular).expect("well formed");
        assert_eq!((class, columns.len()), (Class::Missing, 1));
        let state = columns[0].source.clone().expect("it is there");
        (state.writetime, state.expires_at.map(|at| at - READ_AT))
    };
    assert_eq!(state(vec![expiring(3, 10), expiring(2, 20)]), (Some(3), Some(20)));
    assert_eq!(state(vec![expiring(3, 10), atom("b", 4)]), (Some(4), None));
}

#[test]
fn a_row_alone_that_shows_nothing_is_a_marker_of_the_target() {
    let nothing = vec![Value::new(); SHAPES.len()];
    let mut statics = nothing.clone();
    statics[6] = vec![atom("s", 1)];
    let class = |row: &[Value], side, part| alone(plain(row).row(), side, part).expect("well formed").class;
    assert_eq!(class(&statics, Side::Target, Part::Regular), Class::Marker);
    assert_eq!(class(&statics, Side::Source, Part::Regular), Class::Missing);
    assert_eq!(class(&statics, Side::Target, Part::Static), Class::Extra);
    assert!(has_any(plain(&statics).row(), Part::Static) && !has_any(plain(&statics).row(), Part::Regular));
    let mut row = nothing.clone();
    row[0] = vec![atom("v", 1)];
    assert_eq!(class(&row, Side::Target, Part::Regular), Class::Extra);
    assert!(!has_any(plain(&row).row(), Part::Static));
    // A table that has nothing but its key, or statics beside it.
    for shapes in [&[][..], &[(Part::Static, Shape::Cell)]] {
        let row = vec![Value::new(); shapes.len()];
        let answer = Answer::of(shapes, &row, |_| true, 0);
        assert_eq!(alone(answer.row(), Side::Target, Part::Regular).expect("well formed").class, Class::Extra);
    }
}

#[test]
fn what_is_no_collection_is_an_error_that_names_it() {
    let layout = Layout::new(1, 0, vec![(Part::Regular, Shape::Map, true)]);
    let answer = |cell: &[u8]| {
        let none = [0, 0, 0, 0].to_vec();
        Answer::raw(
            layout.clone(),
            vec![Some(b"k".to_vec()), Some(cell.to_vec()), Some(none.clone()), Some(none)],
            READ_AT,
        )
    };
    let (fine, broken) = (answer(&[0, 0, 0, 0]), answer(&[0, 0, 0, 1]));
    let error = compare(fine.row(), broken.row(), Part::Regular, &RULES).expect_err("it is cut off");
    insta::assert_snapshot!(error, @"the target answered a value of column 0 (counted after the key) that can't be compared: its elements can't be told apart");
    assert!(!is_equal(broken.row(), fine.row(), Part::Regular, &RULES));
    let error = compare(broken.row(), fine.row(), Part::Regular, &RULES).expect_err("it is cut off");
    assert_eq!(error.side, Side::Source);

    let set = |ttls: &[Option<&[u8]>]| {
        let list = |cells: Vec<Vec<u8>>| Some([vec![0, 0, 0, 2], cells.concat()].concat());
        let layout = Layout::new(1, 0, vec![(Part::Regular, Shape::Set, true)]);
        let elements = list(vec![wire(Some(b"a")), wire(Some(b"b"))]);
        let writetimes = list(vec![wire(Some(&[1; 8])); 2]);
        let ttls = list(ttls.iter().map(|ttl| wire(*ttl)).collect());
        Answer::raw(layout, vec![Some(b"k".to_vec()), elements, writetimes, ttls], READ_AT)
    };
    let (fine, short) = (set(&[None, None]), set(&[None]));
    assert!(!is_equal(fine.row(), short.row(), Part::Regular, &RULES));
    let error = compare(fine.row(), short.row(), Part::Regular, &RULES).expect_err("a TTL is missing");
    insta::assert_snapshot!(error, @"the target answered a value of column 0 (counted after the key) that can't be compared: its writetimes or TTLs aren't a list of numbers");
}
