//! Pages that lie, from their bytes to the bound values of a request.

use super::*;
use crate::row::RowKey;
use crate::schema::CqlType;
use crate::schema::ordinal::between;

/// What a broken or hostile node may put into a page.
#[derive(Clone, Debug)]
enum Damage {
    /// Other bytes at a place.
    Bytes(prop::sample::Index, Vec<u8>),
    /// Another number at a place: most are taken for a length or a count.
    Number(prop::sample::Index, i32),
    /// The end is missing.
    Cut(prop::sample::Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<prop::sample::Index>;
    let number = prop_oneof![Just(-1), Just(-2), Just(0), Just(i32::MAX), Just(i32::MIN), -3i32..40, any::<i32>()];
    prop_oneof![
        1 => (at(), prop::collection::vec(any::<u8>(), 1..9)).prop_map(|(at, bytes)| Damage::Bytes(at, bytes)),
        4 => (at(), number).prop_map(|(at, number)| Damage::Number(at, number)),
        1 => at().prop_map(Damage::Cut),
    ]
}

impl Damage {
    fn be_done_to(&self, page: &mut Vec<u8>) {
        let (at, bytes) = match self {
            Damage::Bytes(at, bytes) => (at, bytes.clone()),
            Damage::Number(at, number) => (at, number.to_be_bytes().to_vec()),
            Damage::Cut(at) => return page.truncate(at.index(page.len() + 1)),
        };
        let at = at.index(page.len() + 1);
        let end = (at + bytes.len()).min(page.len());
        page.splice(at..end, bytes.into_iter().take(end - at));
    }
}

/// The types of clustering columns that a partition is cut by.
const CUT_BY: [&str; 11] =
    ["tinyint", "smallint", "int", "bigint", "timestamp", "time", "date", "timeuuid", "uuid", "blob", "text"];

proptest! {
    /// The key of a row that isn't one, and values that aren't of their type, are no reason to panic when a partition is cut.
    #[test]
    fn keys_that_are_none_never_panic(
        low in prop::option::of(prop::collection::vec(any::<u8>(), 0..20)),
        high in prop::option::of(prop::collection::vec(any::<u8>(), 0..20)),
        descending in any::<bool>(),
    ) {
        let [partition, clustering] = [&low, &high].map(|bytes| bytes.clone().unwrap_or_default());
        let key = RowKey::new(&partition, &clustering);
        let held = |cells: &[Vec<u8>]| cells.iter().map(|cell| cell.len() + 4).sum::<usize>();
        prop_assert!(held(&key.partition_key()) <= partition.len());
        prop_assert!(held(&key.clustering_key().unwrap_or_default()) <= clustering.len());
        for name in CUT_BY {
            let cql_type = CqlType::Native(name.to_owned());
            let found = between(&cql_type, low.as_deref(), high.as_deref(), descending);
            prop_assert!(found.is_none_or(|found| found.len() <= 28), "{name}");
        }
    }

    /// A writetime or a TTL that is none never makes a cell older, permanent or dead.
    #[test]
    fn metadata_that_makes_no_sense_is_refused(
        writetime in prop::collection::vec(any::<u8>(), 0..12),
        ttl in prop::option::of(prop_oneof![
            prop::collection::vec(any::<u8>(), 0..6),
            any::<i32>().prop_map(|ttl| ttl.to_be_bytes().to_vec()),
        ]),
    ) {
        let layout = Arc::new(Layout::new(1, 1, vec![(Part::Regular, Shape::Cell, true)]));
        let limits = BatchLimits { rows_max: 4, bytes_max: 200, partition_bytes_max: 200 };
        let row = [Some(vec![1]), Some(vec![2]), Some(b"v".to_vec()), Some(writetime.clone()), ttl.clone()];
        let page = Page::parse(encode(&[row.to_vec()]), 1, layout.columns()).expect("a page");
        let mut grouper = Grouper::new(layout, limits, BatchMode::Replicas, POLICY, TokenRange::RING);
        let is_ttl = |ttl: &Vec<u8>| ttl.len() == 4 && ttl[0] < 0x80 && ttl.iter().any(|&byte| byte > 0);
        let makes_sense = writetime.len() == 8 && ttl.as_ref().is_none_or(is_ttl);
        prop_assert_eq!(grouper.group(page, 0, |_| 0).is_ok(), makes_sense);
    }

    /// A page that lies is an error, or is taken for what it then says: never a panic, or bytes that it doesn't hold.
    #[test]
    fn damaged_pages_never_panic(table in table(), damages in prop::collection::vec(damage(), 1..6), now in -10i64..10) {
        let layout = Arc::new(Layout::new(1, 1, SHAPES.iter().map(|&(part, shape)| (part, shape, true)).collect()));
        let limits = BatchLimits { rows_max: 4, bytes_max: 200, partition_bytes_max: 200 };
        let rows = rows_of(&table);
        let mut page = encode(&rows).to_vec();
        for damage in &damages {
            damage.be_done_to(&mut page);
        }
        let length = page.len();
        let Ok(page) = Page::parse(page.into(), rows.len(), layout.columns()) else { return Ok(()) };
        prop_assert!(page.size() <= 2 * length, "memory that the bytes don't stand for");
        let mut grouper = Grouper::new(layout, limits, BatchMode::Replicas, POLICY, TokenRange::RING);
        for batch in grouper.group(page, 0, |_| 0).unwrap_or_default() {
            let bound = batch.bind(now);
            for index in 0..bound.len() {
                let values: usize = bound.wire(index).iter().flatten().map(Vec::len).sum();
                // Writetime, TTL and the key of a list's element come on top.
                prop_assert!(values <= length + 40, "{} bytes from a page of {}", values, length);
                bound.size(index);
            }
        }
    }
}
