//! The laws, looked at from outside: at what is in the checkpoint, and at what is in the target.

use super::case::{Case, SHORT};
use super::world::{World, is_below};
use crate::checkpoint::{Checkpoint, stored};
use crate::copy::fakes::{Cell, Key, Stored, TargetRow};
use crate::copy::tests::expected_marker;
use crate::job::{Tally, Work};
use crate::ring::Token;
use std::collections::{BTreeMap, BTreeSet};

/// Checks all laws after a run; answers which rows are up to the cursors.
pub(super) fn after_a_run(
    case: &Case,
    world: &World,
    read_again: &BTreeSet<Token>,
    checkpoint: &Checkpoint,
) -> Result<BTreeSet<Key>, String> {
    // Opening it has checked that its ranges tile the ring; so does this.
    let (found, work) = checkpoint.work().map_err(|error| format!("the checkpoint: {error}"))?;
    let left = |key: &Key| {
        work.iter().any(|Work { key: at, cursor }| at.range.contains(key.0) && !is_below(key, at.range, cursor))
    };
    let below: BTreeSet<Key> = case.rows.keys().filter(|key| !left(key)).cloned().collect();
    arrived(world, |key| below.contains(key))?;
    nothing_else(world)?;
    if work.is_empty() != (found.ranges == found.ranges_done) {
        return Err(format!("{} of {} ranges are done, {} are left", found.ranges_done, found.ranges, work.len()));
    }
    accounts(checkpoint, &below, read_again)?;
    Ok(below)
}

/// Law 1: the rows that are `done` are at the target with all of their cells, or were refused and listed.
pub(super) fn arrived(world: &World, done: impl Fn(&Key) -> bool) -> Result<(), String> {
    let store = world.store.0.lock().expect("not poisoned");
    let mut listed = None;
    for (key, cells) in world.rows.iter().filter(|(key, _)| done(key)) {
        if let Err(what) = is_there(key, cells, &store)
            && !listed.get_or_insert_with(|| rejected(world)).contains(&(key.1.clone(), key.2.clone()))
        {
            return Err(format!("done, yet {what}: {key:?} {cells:?}"));
        }
    }
    Ok(())
}

fn is_there((_, partition, clustering): &Key, cells: &[Option<Cell>; 2], store: &Stored) -> Result<(), &'static str> {
    let is_short = |cell: &Cell| (1..=SHORT).contains(&cell.2);
    let mut alive = cells.iter().flatten();
    let Some(row) = store.get(&(partition.clone(), clustering.clone())) else {
        // What expires before it can be written needn't be there.
        let may_be_gone = cells.iter().any(Option::is_some) && alive.all(is_short);
        return if may_be_gone { Ok(()) } else { Err("the row isn't there") };
    };
    for (source, target) in cells.iter().zip(&row.cells) {
        if source.as_ref().is_some_and(|source| !is_short(source)) && target.is_none() {
            return Err("a cell isn't there");
        }
    }
    if !alive.any(is_short) && row.marker.is_none() { Err("the row has no marker") } else { Ok(()) }
}

/// Law 4 and 6: whatever is at the target was read at the source, byte for byte, with its writetime.
fn nothing_else(world: &World) -> Result<(), String> {
    let rows: BTreeMap<_, _> = world.rows.iter().map(|((_, p, c), cells)| ((p.clone(), c.clone()), cells)).collect();
    for (key, row) in world.store.0.lock().expect("not poisoned").iter() {
        let cells = rows.get(key).ok_or_else(|| format!("a row is at the target alone: {key:?}"))?;
        if !is_of(row, cells) {
            return Err(format!("{key:?} is {row:?} at the target, {cells:?} at the source"));
        }
    }
    Ok(())
}

fn is_of(row: &TargetRow, cells: &[Option<Cell>; 2]) -> bool {
    let is_same = cells.iter().zip(&row.cells).all(|cells| match cells {
        (_, None) => true,
        (Some((value, writetime, ttl)), Some((written, at, expiry))) => {
            (value, writetime, *ttl == 0) == (written, at, *expiry == 0)
        }
        (None, Some(_)) => false,
    });
    let has_short = cells.iter().flatten().any(|cell| (1..=SHORT).contains(&cell.2));
    let marker = row.marker.map(|(writetime, expiry)| (writetime, expiry != 0));
    is_same && (has_short || marker.is_none_or(|marker| marker == expected_marker(cells)))
}

/// Law 8: rows read = written + expired + rejected, which the file itself insists on, and each row up to a cursor is counted
/// once. Ranges that were cut keep their counts with their first piece, so pieces are looked at together.
///
/// Rows of a token are counted more than once, though never too few times, where the token
/// - was read in slices of all of its partitions, or backwards: around tombstones, some rows come twice;
/// - was read anew from its beginning, since the partitions behind the cursor could not be told.
pub(super) fn accounts(
    checkpoint: &Checkpoint,
    below: &BTreeSet<Key>,
    read_again: &BTreeSet<Token>,
) -> Result<(), String> {
    let mut groups: BTreeMap<i64, (u64, u64, bool)> = BTreeMap::new();
    for stored::Stored { position, range, tally } in stored::ranges::<Tally>(checkpoint) {
        let (read, counted, again) = groups.entry(position).or_default();
        *read += tally.rows_read;
        *counted += below.iter().filter(|key| range.contains(key.0)).count() as u64;
        *again |= read_again.iter().any(|token| range.contains(*token));
    }
    for (position, (read, below, again)) in groups {
        if read < below || read > below && !again {
            return Err(format!("{read} rows are counted in range {position}, {below} are up to its cursors"));
        }
    }
    Ok(())
}

/// The keys in the rejects file.
pub(super) fn rejected(world: &World) -> BTreeSet<(Vec<u8>, Vec<u8>)> {
    let text = std::fs::read_to_string(&world.rejects).unwrap_or_default();
    let bytes = |hex: &serde_json::Value| {
        let hex = hex.as_str().unwrap_or_default().trim_start_matches("0x").as_bytes();
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap_or_default(), 16).unwrap_or(0);
        hex.chunks(2).map(byte).collect::<Vec<u8>>()
    };
    let key = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).ok()?;
        Some((bytes(&line["key_hex"][0]), bytes(&line["key_hex"][1])))
    };
    text.lines().filter_map(key).collect()
}
