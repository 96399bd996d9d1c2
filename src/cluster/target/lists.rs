//! Elements into lists that aren't frozen.
//!
//! ScyllaDB takes the key of each element ([`crate::row::list_key`]). Apache Cassandra makes a fresh key for every element that is
//! written, so the same write twice is the same elements twice. There, the list is read first, and what it lacks is added:
//! behind what is there, or before it where it stands before it in the source's list. Elements are told apart by their bytes
//! and their writetime, where both sides tell it.

use super::read_back::{ReadBack, Stragglers};
use super::{columns_of, statements};
use crate::call::CallError;
use crate::cluster::source::unreadable;
use crate::cluster::{Cluster, call};
use crate::row::bind::{Bound, KeyOf, ListWrite, Pick};
use crate::row::element::{Malformed, numbers, spans};
use crate::row::layout::{Part, Shape};
use crate::row::list_align::{Item, align};
use crate::row::{Batch, Settled};
use crate::schema::Table;
use crate::schema::fidelity::Lists;
use scylla::statement::prepared::PreparedStatement;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// About what an element of a list takes of memory while it is compared with those of the target, beside its bytes.
pub(super) const ELEMENT_MEMORY: usize = 200;

/// The writes of a table's lists.
#[derive(Debug)]
pub(super) struct ListWrites {
    /// By column, as an index into the layout's values, and by how the element gets there.
    statements: HashMap<(usize, ListWrite), PreparedStatement>,
    read_back: Option<Backs>,
}

/// What reads the lists of a row and those of a partition.
#[derive(Debug)]
struct Backs {
    stragglers: Stragglers,
    /// Of rows and of partitions, where there are such lists.
    regular: Option<Back>,
    statics: Option<Back>,
    /// Whether the target tells the writetimes of elements: Apache Cassandra does since 5.0.
    writetimes: bool,
}

/// What reads the lists of one part.
#[derive(Debug)]
struct Back {
    reader: ReadBack,
    /// The lists, as indices into the layout's values, in the order in which they are read.
    columns: Vec<usize>,
}

/// What was read of the target.
#[derive(Debug)]
pub(super) struct FoundLists {
    writetimes: bool,
    rows: BTreeMap<(u32, Part), Found>,
}

impl ListWrites {
    pub(super) async fn prepare(cluster: &Cluster, table: &Table, lists: Lists) -> Result<ListWrites, CallError> {
        let ways = match lists {
            Lists::Keyed => &[ListWrite::Keyed][..],
            Lists::ReadBack | Lists::Impossible => &[ListWrite::Append, ListWrite::Prepend],
        };
        let mut prepared = HashMap::new();
        for (index, column) in
            [Part::Regular, Part::Static].into_iter().flat_map(|part| columns_of(table, part, Shape::List))
        {
            for &how in ways {
                let statement = cluster.prepare(statements::list_element(table, column, how)).await?;
                prepared.insert((index, how), statement);
            }
        }
        let read_back = if lists == Lists::Keyed { None } else { Some(Backs::prepare(cluster, table).await?) };
        Ok(ListWrites { statements: prepared, read_back })
    }

    /// Whether lists are read before they are written.
    pub(super) fn reads_back(&self) -> bool {
        self.read_back.is_some()
    }

    pub(super) fn statement(&self, list: usize, how: ListWrite) -> Option<&PreparedStatement> {
        self.statements.get(&(list, how))
    }

    /// Waits until what the target has of lists can be trusted, where they must be read before they are written.
    pub(super) async fn ready(&self, tries: u32) {
        if let Some(backs) = &self.read_back {
            backs.stragglers.wait(tries).await;
        }
    }

    /// The lists of the batch's rows as the target has them, where they must be read before they are written.
    pub(super) async fn found(&self, batch: &Batch) -> Result<Option<FoundLists>, CallError> {
        let Some(backs) = &self.read_back else { return Ok(None) };
        let rows = batch.rows();
        let wanted = batch.statements().filter_map(|(_, what)| Some((what.row, rows.list_element(what)?.1)));
        let wanted: BTreeSet<(u32, Part)> = wanted.collect();
        let reads = wanted.iter().map(|&(row, part)| backs.read(KeyOf::new(rows, row as usize), part));
        let lists = futures::future::try_join_all(reads).await?;
        Ok(Some(FoundLists { writetimes: backs.writetimes, rows: wanted.into_iter().zip(lists).collect() }))
    }
}

impl FoundLists {
    /// What of `bound` the target lacks, and how many of its lists end in another order than the source's.
    pub(super) fn missing(&self, batch: &Batch, bound: &Bound) -> (Bound, Settled) {
        let rows = batch.rows();
        let mut picks = Vec::new();
        let mut lists: BTreeMap<(u32, Part, usize), Vec<usize>> = BTreeMap::new();
        for (statement, what) in batch.statements().filter(|(_, what)| bound.is_alive(what)) {
            match rows.list_element(what) {
                Some((list, part, _)) => lists.entry((what.row, part, list)).or_default().push(statement),
                None => picks.push(Pick { statement, list: ListWrite::Keyed }),
            }
        }
        let mut reordered = Settled::default();
        for ((row, part, list), elements) in lists {
            // Elements whose age nobody knows are told apart by their bytes alone.
            let by_writetime = self.writetimes && rows.tells_writetimes(list);
            let item = |&index: &usize| {
                let statement = rows.statement(index);
                let (_, _, bytes) = rows.list_element(statement)?;
                Some((bytes, by_writetime.then_some(statement.writetime)))
            };
            let source: Vec<Item<'_>> = elements.iter().filter_map(item).collect();
            let target = self.rows.get(&(row, part)).and_then(|lists| lists.get(&list));
            let target = target.map_or(&[][..], Vec::as_slice);
            let target: Vec<Item<'_>> =
                target.iter().map(|(bytes, at)| (bytes.as_slice(), at.filter(|_| by_writetime))).collect();
            let (missing, in_order) = align(&source, &target);
            picks.extend(missing.into_iter().map(|(index, list)| Pick { statement: elements[index], list }));
            if !in_order {
                reordered.lists_reordered += 1;
            }
        }
        (bound.picked(picks), reordered)
    }
}

/// The lists of a row or of a partition's statics at the target: each element's bytes with their length, as the wire has
/// them, and its writetime.
type Found = HashMap<usize, Vec<(Vec<u8>, Option<i64>)>>;

impl Back {
    async fn prepare(
        cluster: &Cluster,
        table: &Table,
        part: Part,
        writetimes: bool,
    ) -> Result<Option<Back>, CallError> {
        let (columns, lists): (Vec<_>, Vec<_>) = columns_of(table, part, Shape::List).into_iter().unzip();
        let reader = ReadBack::prepare(cluster, table, part, &lists, writetimes).await?;
        Ok(reader.map(|reader| Back { reader, columns }))
    }
}

impl Backs {
    async fn prepare(cluster: &Cluster, table: &Table) -> Result<Backs, CallError> {
        let unreadable = unreadable(cluster, table).await?;
        let mut columns = table.value_columns().into_iter();
        let writetimes = !columns.any(|c| c.cql_type.shape() == Shape::List && unreadable.contains(&c.name));
        Ok(Backs {
            stragglers: Stragglers::of(cluster).await,
            regular: Back::prepare(cluster, table, Part::Regular, writetimes).await?,
            statics: Back::prepare(cluster, table, Part::Static, writetimes).await?,
            writetimes,
        })
    }

    async fn read(&self, key: KeyOf<'_>, part: Part) -> Result<Found, CallError> {
        let back = match part {
            Part::Regular => &self.regular,
            Part::Static => &self.statics,
        };
        let Some(Back { reader, columns }) = back else { return Ok(Found::new()) };
        let cells = reader.row(key).await?;
        let malformed = |Malformed| call::nonsense("the target answered a list that isn't one");
        let mut found = Found::new();
        for (place, &column) in columns.iter().enumerate() {
            let Some(Some(list)) = cells.get(place) else { continue };
            let writetimes = match cells.get(columns.len() + place) {
                Some(Some(cell)) => numbers::<8>(cell).map_err(malformed)?,
                _ => Vec::new(),
            };
            let elements = spans(Shape::List, list).map_err(malformed)?.into_iter().flatten().enumerate();
            let element = |(index, span): (usize, std::ops::Range<usize>)| {
                let writetime = writetimes.get(index).copied().flatten().map(i64::from_be_bytes);
                (list[span].to_vec(), writetime)
            };
            found.insert(column, elements.map(element).collect());
        }
        Ok(found)
    }
}
