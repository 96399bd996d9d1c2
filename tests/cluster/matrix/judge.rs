//! What a SELECT answers on both sides, byte for byte. It sees what a dump hides (1 as a varint of one byte and of two) or
//! throws on (a boolean of no bytes), and doesn't see what a dump does: markers and tombstones.

use super::shape::{Column, Table};
use crate::lab::{Node, Raw, TTL_TOLERANCE};

/// Keys and values are the same on both sides. Answers the number of rows.
pub(crate) fn assert_same_values(table: &Table, source: &Node, target: &Node) -> usize {
    let cql = table.select_values();
    assert_same(table, &table.columns, &source.raw(&cql), &target.raw(&cql), "values", Raw::eq)
}

/// So are writetimes and TTLs, of those columns that `chosen` chooses.
pub(crate) fn assert_same_metadata(table: &Table, source: &Node, target: &Node, chosen: fn(&Column) -> bool) {
    let columns: Vec<Column> = table.columns.iter().filter(|column| chosen(column)).cloned().collect();
    let cql = table.select_of("WRITETIME", chosen);
    assert_same(table, &columns, &source.raw(&cql), &target.raw(&cql), "writetimes", Raw::eq);
    let cql = table.select_of("TTL", chosen);
    let (source, target) = (source.raw(&cql), target.raw(&cql));
    // The keys come first.
    let same = |source: &Raw, target: &Raw| {
        let multi_cell = columns.iter().map(|column| column.shape.is_multi_cell());
        source.0[..2] == target.0[..2]
            && source.0[2..].iter().zip(&target.0[2..]).zip(multi_cell).all(|((source, target), multi_cell)| {
                same_ttls(&ttls(source.as_deref(), multi_cell), &ttls(target.as_deref(), multi_cell))
            })
    };
    assert_same(table, &columns, &source, &target, "TTLs", same);
}

fn assert_same(
    table: &Table,
    columns: &[Column],
    source: &[Raw],
    target: &[Raw],
    what: &str,
    same: impl Fn(&Raw, &Raw) -> bool,
) -> usize {
    assert_eq!(source.len(), target.len(), "rows of {}", table.name);
    for (source, target) in source.iter().zip(target) {
        if same(source, target) {
            continue;
        }
        let names = ["p", "c"].into_iter().chain(columns.iter().map(|column| column.name.as_str()));
        let cells = names.zip(source.0.iter().zip(&target.0));
        let differences: Vec<String> = cells
            .filter(|(name, (source, target))| source != target || *name == "p" || *name == "c")
            .map(|(name, (source, target))| format!("\n  {name}: source {source:02x?}, target {target:02x?}"))
            .collect();
        panic!("{what} of a row of {} differ:{}", table.name, differences.concat());
    }
    source.len()
}

/// The TTL of a cell, or of each element. An element's is null where it is permanent.
fn ttls(cell: Option<&[u8]>, multi_cell: bool) -> Vec<Option<u32>> {
    let Some(bytes) = cell else { return vec![None] };
    let number = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().unwrap());
    if !multi_cell {
        return vec![Some(number(bytes))];
    }
    elements(bytes).into_iter().map(|element| element.map(number)).collect()
}

/// The elements of a list, as the wire carries them.
pub(crate) fn elements(list: &[u8]) -> Vec<Option<&[u8]>> {
    let mut rest = &list[4..];
    let mut elements = Vec::new();
    while let Some((length, tail)) = rest.split_first_chunk::<4>() {
        let length = usize::try_from(i32::from_be_bytes(*length)).ok();
        let (element, tail) = tail.split_at(length.unwrap_or(0));
        elements.push(length.is_some().then_some(element));
        rest = tail;
    }
    elements
}

fn same_ttls(source: &[Option<u32>], target: &[Option<u32>]) -> bool {
    let same = |pair: (&Option<u32>, &Option<u32>)| match pair {
        (Some(source), Some(target)) => u64::from(source.abs_diff(*target)) <= TTL_TOLERANCE,
        (source, target) => source == target,
    };
    source.len() == target.len() && source.iter().zip(target).all(same)
}

/// Writetime and TTL of each element of a table that has nothing else.
pub(crate) fn metadata_of_elements(table: &Table, node: &Node) -> Vec<(i64, Option<u32>)> {
    let all = |_: &Column| true;
    let writetimes = node.raw(&table.select_of("WRITETIME", all));
    let left = node.raw(&table.select_of("TTL", all));
    let cells = writetimes.iter().zip(&left).flat_map(|(writetimes, left)| writetimes.0[2..].iter().zip(&left.0[2..]));
    let mut found = Vec::new();
    for (writetimes, left) in cells.filter_map(|(writetimes, left)| writetimes.as_deref().zip(left.as_deref())) {
        for (writetime, left) in elements(writetimes).into_iter().zip(ttls(Some(left), true)) {
            if let Some(writetime) = writetime {
                found.push((i64::from_be_bytes(writetime.try_into().unwrap()), left));
            }
        }
    }
    found
}
