//! Source and target in memory, for tests that need every instant rather than a real database.

use crate::call::{CallError, Class};
use crate::clock::Clock;
use crate::engine::seam::{Fetched, Partitions, Placement, Position, Read, Scan, Slice, Source, Target};
use crate::ring::{Token, TokenRange};
use crate::row::page::encode;
use crate::row::slice::{Cut, bisect};
use crate::row::{Batch, Form, Layout, Page, Removal, RemovedPart, Settled, token_of};
use crate::schema::CqlType;
use crate::schema::ordinal::between;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A table with a partition key, a clustering key and two values, all `bigint` in spirit.
pub(crate) fn layout() -> Arc<Layout> {
    Arc::new(Layout::plain(1, 1, 2))
}

/// (value, writetime, seconds to live when it is read; 0 is for ever)
pub(crate) type Cell = (Vec<u8>, i64, i32);

/// A row by its key: partition key, clustering key.
pub(crate) type Rows = BTreeMap<Key, [Option<Cell>; 2]>;

/// The key of a row in the order of a scan: token, partition key, clustering key.
pub(crate) type Key = (Token, Vec<u8>, Vec<u8>);

/// Rows in token order, served in pages.
pub(crate) struct MemorySource {
    pub(crate) rows: Rows,
    /// Rows that were deleted, and how many of them a page may pass.
    pub(crate) tombstones: (BTreeSet<Key>, usize),
    /// Reads of anything at this token take too long.
    pub(crate) timeout_at: Option<Token>,
    /// Pages of more rows than this take too long.
    pub(crate) timeout_above: Option<usize>,
    /// Whether the table is said to have static columns. Its rows are the same; one without a clustering key has its partition's
    /// statics, in the place of the second value.
    pub(crate) has_statics: bool,
    /// Whether a value between two others can be told.
    pub(crate) can_bisect: bool,
    /// Every n-th page comes empty, with more to come.
    pub(crate) empty_every: u64,
    /// Every n-th read fails once, with this.
    pub(crate) fail_every: Option<(u64, Class)>,
    /// Rows per page at most, whatever is asked for.
    pub(crate) page_rows: usize,
    pub(crate) reads: AtomicU64,
}

/// What a cell at the target is: value, writetime, expiry in seconds of the test's clock (0: for ever).
pub(crate) type Written = (Vec<u8>, i64, i64);

/// A row at the target: its cells, and its marker's writetime and expiry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TargetRow {
    pub(crate) cells: [Option<Written>; 2],
    pub(crate) marker: Option<(i64, i64)>,
    /// It was deleted at this time: nothing older comes to life again.
    pub(crate) deleted: Option<i64>,
}

/// A last-write-wins store that outlives the runs of a test.
#[derive(Clone, Default)]
pub(crate) struct Store(pub(crate) Arc<Mutex<Stored>>);

/// Rows by partition key and clustering key.
pub(crate) type Stored = BTreeMap<(Vec<u8>, Vec<u8>), TargetRow>;

/// Writes to a [`Store`].
pub(crate) struct MemoryTarget {
    pub(crate) store: Store,
    /// The next writes fail with these.
    pub(crate) failures: Mutex<VecDeque<Class>>,
    /// From this write on, every one fails.
    pub(crate) dies_after: Option<u64>,
    /// Rows with these clustering keys are refused for ever.
    pub(crate) poison: BTreeSet<Vec<u8>>,
    /// In which words.
    pub(crate) poison_class: Class,
    /// Whether the table is still the one that was prepared.
    pub(crate) unchanged: bool,
    /// Later writes of a round are acknowledged first.
    pub(crate) reorder: bool,
    /// Every write takes this long …
    pub(crate) delay: Duration,
    /// … and can't begin for so long.
    pub(crate) not_ready: Duration,
    /// Once set, nothing reaches the store any more: the process is dead.
    pub(crate) dead: Arc<AtomicBool>,
    pub(crate) writes: AtomicU64,
    /// Keys of the rows that are on their way.
    pub(crate) under_way: Mutex<BTreeSet<(Vec<u8>, Vec<u8>)>>,
    /// Keys of the rows whose last write failed, with an outcome that may be unknown.
    pub(crate) unsettled: Mutex<BTreeSet<(Vec<u8>, Vec<u8>)>>,
}

/// Rows on their way, until this is dropped.
struct UnderWay<'a>(&'a Mutex<BTreeSet<(Vec<u8>, Vec<u8>)>>, BTreeSet<(Vec<u8>, Vec<u8>)>);

impl<'a> UnderWay<'a> {
    /// A row is in one batch at a time: what is written to lists and counters follows from what the target has of them.
    fn begin(all: &'a Mutex<BTreeSet<(Vec<u8>, Vec<u8>)>>, rows: BTreeSet<(Vec<u8>, Vec<u8>)>) -> UnderWay<'a> {
        let mut keys = all.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        assert!(rows.iter().all(|row| keys.insert(row.clone())), "a row is in two batches at a time");
        UnderWay(all, rows)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut keys = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        keys.retain(|key| !self.1.contains(key));
    }
}

impl MemorySource {
    pub(crate) fn new(rows: Rows) -> MemorySource {
        MemorySource {
            rows,
            tombstones: (BTreeSet::new(), usize::MAX),
            timeout_at: None,
            timeout_above: None,
            has_statics: false,
            can_bisect: true,
            empty_every: 0,
            fail_every: None,
            page_rows: usize::MAX,
            reads: AtomicU64::new(0),
        }
    }

    /// What stands in the way of a read; if nothing does, its number.
    pub(crate) async fn meet_trouble(&self, read: &Read) -> Result<u64, CallError> {
        tokio::task::yield_now().await;
        let number = self.reads.fetch_add(1, Ordering::Relaxed) + 1;
        if let Some((every, class)) = self.fail_every
            && number.is_multiple_of(every)
        {
            return Err(CallError { class, message: "forged".to_owned() });
        }
        if self.timeout_above.is_some_and(|rows| self.rows_asked(read) > rows)
            || self.timeout_at.is_some_and(|token| read.scan.range().contains(token))
        {
            tokio::time::sleep(Duration::from_secs(5)).await;
            return Err(CallError { class: Class::Timeout, message: "too many rows".to_owned() });
        }
        Ok(number)
    }

    fn rows_asked(&self, read: &Read) -> usize {
        usize::try_from(read.rows).expect("positive").min(self.page_rows)
    }

    /// A page of `rows`, which may have changed since the page before.
    pub(crate) fn page(&self, rows: &Rows, read: &Read, number: u64) -> Result<Fetched, CallError> {
        let count =
            if self.empty_every > 0 && number.is_multiple_of(self.empty_every) { 0 } else { self.rows_asked(read) };
        let shown = self.has_statics.then(|| with_statics(rows, &read.scan));
        let entries = self.entries(shown.as_ref().unwrap_or(rows), &read.scan);
        let state = read.position.state.as_deref().unwrap_or_default();
        let (mut page, mut passed, mut end) = (Vec::new(), 0, first_behind(&entries, &read.scan, state));
        let mut reached = state.to_vec();
        while page.len() < count && end < entries.len() {
            let (key, cells) = entries[end];
            match cells {
                Some(cells) => page.push(encode_row(key, cells)),
                None => passed += 1,
            }
            if passed > self.tombstones.1 {
                return Err(CallError { class: Class::Failure, message: "too many tombstones".to_owned() });
            }
            end += 1;
            reached = state_of(key);
        }
        let more = end < entries.len();
        let next = more.then(|| Position { leg: 0, state: Some(reached.into()) });
        Ok(Fetched { page: Page::parse(encode(&page), page.len(), layout().columns()).expect("well formed"), next })
    }

    /// What a scan comes by, in its order: rows, and tombstones of rows.
    fn entries<'a>(&'a self, rows: &'a Rows, scan: &Scan) -> Vec<Entry<'a>> {
        let range = scan.range();
        let (from, is_within) = ((range.first(), vec![], vec![]), |key: &Key| range.contains(key.0));
        let alive = rows.range(from.clone()..).take_while(|(key, _)| is_within(key));
        let alive = alive.map(|(key, cells)| (key, Some(cells)));
        let tombstones = self.tombstones.0.range(from..).take_while(|key| is_within(key));
        let tombstones = tombstones.filter(|key| !rows.contains_key(*key)).map(|key| (key, None));
        let mut entries: Vec<_> = alive.chain(tombstones).collect();
        entries.sort_by_key(|(key, _)| *key);
        match scan {
            Scan::Tokens(_) => {}
            Scan::FirstRows(_) => keep_first_rows(&mut entries),
            Scan::Slice(slice) | Scan::FirstRowsOf(slice) => {
                if let Partitions::One(_, key) = &slice.of {
                    entries.retain(|((_, partition, _), _)| *partition == key[0]);
                }
                let is_behind = |clustering: &Vec<u8>, cut: &Cut| match cut.prefix() {
                    [] => !cut.is_after(),
                    [value, ..] => {
                        if cut.is_after() {
                            clustering > value
                        } else {
                            clustering >= value
                        }
                    }
                };
                let place = |cut: &Cut| (*cut == Cut::END, cut.prefix().to_vec(), cut.is_after());
                assert!(place(&slice.from) <= place(&slice.to), "servers show nothing of what is upside down");
                entries.retain(|((.., row), _)| is_behind(row, &slice.from) && !is_behind(row, &slice.to));
                if slice.reversed {
                    assert!(matches!(slice.of, Partitions::One(..)), "servers read only partitions backwards");
                    entries.reverse();
                }
                if matches!(scan, Scan::FirstRowsOf(_)) {
                    keep_first_rows(&mut entries);
                }
            }
        }
        entries
    }
}

impl MemoryTarget {
    pub(crate) fn new(store: &Store) -> MemoryTarget {
        MemoryTarget {
            store: store.clone(),
            failures: Mutex::default(),
            dies_after: None,
            poison: BTreeSet::new(),
            poison_class: Class::Rejected,
            unchanged: true,
            reorder: false,
            delay: Duration::ZERO,
            not_ready: Duration::ZERO,
            dead: Arc::default(),
            writes: AtomicU64::new(0),
            under_way: Mutex::default(),
            unsettled: Mutex::default(),
        }
    }

    /// A write like those behind the seam: those of lists and counters wait before they read, where they are told of failed ones.
    fn settle(
        &self,
        rows: BTreeSet<(Vec<u8>, Vec<u8>)>,
        tries: u32,
        result: Result<Settled, CallError>,
    ) -> Result<Settled, CallError> {
        let mut unsettled = self.unsettled.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        assert!(tries > 0 || unsettled.is_disjoint(&rows), "a write that failed before is repeated like a first one");
        match &result {
            Ok(_) => unsettled.retain(|row| !rows.contains(row)),
            Err(error) if error.class == Class::Rejected => {}
            Err(_) => unsettled.extend(rows),
        }
        result
    }
}

/// `count` rows in partitions of changing size, cells with writetimes, TTLs and gaps of all kinds.
pub(crate) fn sample_rows(count: usize) -> Rows {
    let mut rows = Rows::new();
    let (mut partition, mut left) = (0u64, 0);
    for i in 0..count {
        if left == 0 {
            partition += 1;
            left = [1, 1, 2, 7, 30][i % 5];
        }
        left -= 1;
        let key = partition.to_be_bytes().to_vec();
        let cell = |n: usize| {
            (
                format!("v{i}-{n}").into_bytes(),
                1000 + i64::try_from(i * n).expect("small"),
                if i % 4 == n { 86_400 } else { 0 },
            )
        };
        let cells = match i % 6 {
            0 => [None, None],
            1 => [Some(cell(1)), None],
            2 => [None, Some(cell(2))],
            3 => [Some((b"same".to_vec(), 7, 0)), Some((Vec::new(), 7, 0))],
            _ => [Some(cell(1)), Some(cell(2))],
        };
        rows.insert((token_of([key.as_slice()].into_iter()), key, (i as u64).to_be_bytes().to_vec()), cells);
    }
    rows
}

impl Source for MemorySource {
    async fn read_page(&self, read: &Read) -> Result<Fetched, CallError> {
        let number = self.meet_trouble(read).await?;
        self.page(&self.rows, read, number)
    }

    fn bisect(&self, slice: &Slice) -> Option<Cut> {
        // Keys are ordered by their bytes here.
        let blob = CqlType::Native("blob".to_owned());
        let between = |_: usize, low: Option<&[u8]>, high: Option<&[u8]>| between(&blob, low, high, false);
        self.can_bisect.then(|| bisect(&slice.from, &slice.to, 1, between))?
    }

    fn has_statics(&self) -> bool {
        self.has_statics
    }

    fn describe(&self, scan: &Scan) -> String {
        format!("{scan:?}")
    }

    fn remedy(&self, range: TokenRange) -> String {
        format!("compact {range}")
    }
}

/// Rows as a scan shows them: each with its partition's statics, which come alone only where there is no row.
fn with_statics(rows: &Rows, scan: &Scan) -> Rows {
    let is_static = |key: &Key| key.2.is_empty();
    let shows_alone = match scan {
        Scan::Tokens(_) | Scan::FirstRows(_) => true,
        Scan::FirstRowsOf(_) => false,
        Scan::Slice(Slice { of, from, to, .. }) => {
            matches!(of, Partitions::One(..)) && *from == Cut::START && *to == Cut::END
        }
    };
    let full: BTreeSet<&[u8]> = rows.keys().filter(|key| !is_static(key)).map(|key| key.1.as_slice()).collect();
    let shown = rows.iter().filter(|(key, _)| !is_static(key) || shows_alone && !full.contains(key.1.as_slice()));
    let whole = |(key, cells): (&Key, &[Option<Cell>; 2])| {
        let statics = rows.get(&(key.0, key.1.clone(), Vec::new())).and_then(|cells| cells[1].clone());
        (key.clone(), [cells[0].clone(), statics.or(cells[1].clone())])
    };
    shown.map(whole).collect()
}

/// Of each partition, its first row, and the tombstones before it.
fn keep_first_rows(entries: &mut Vec<Entry<'_>>) {
    let mut seen = None;
    entries.retain(|((_, partition, _), cells)| {
        let is_first = seen != Some(partition);
        seen = if is_first && cells.is_none() { seen } else { Some(partition) };
        is_first
    });
}

/// A row, or the tombstone of one.
type Entry<'a> = (&'a Key, Option<&'a [Option<Cell>; 2]>);

/// The paging state of a page that ends with this row.
fn state_of((token, partition, clustering): &Key) -> Vec<u8> {
    let length = u32::try_from(partition.len()).expect("small").to_be_bytes();
    [&token.0.to_be_bytes()[..], &length, partition, clustering].concat()
}

/// The index of the first entry behind the page of this state.
fn first_behind(entries: &[Entry<'_>], scan: &Scan, state: &[u8]) -> usize {
    let Some((token, rest)) = state.split_first_chunk() else { return 0 };
    let (length, rest) = rest.split_first_chunk().expect("ours");
    let (partition, clustering) = rest.split_at(u32::from_be_bytes(*length) as usize);
    let last = (Token(i64::from_be_bytes(*token)), partition, clustering);
    entries.partition_point(|((token, partition, clustering), _)| match scan {
        Scan::FirstRows(_) | Scan::FirstRowsOf(_) => (*token, partition.as_slice()) <= (last.0, last.1),
        Scan::Slice(Slice { reversed: true, .. }) => (*token, partition.as_slice(), clustering.as_slice()) >= last,
        _ => (*token, partition.as_slice(), clustering.as_slice()) <= last,
    })
}

fn encode_row((_, partition, clustering): &Key, cells: &[Option<Cell>; 2]) -> Vec<Option<Vec<u8>>> {
    let value = |i: usize| cells[i].as_ref().map(|cell| cell.0.clone());
    let writetime = |i: usize| cells[i].as_ref().map(|cell| cell.1.to_be_bytes().to_vec());
    let ttl = |i: usize| cells[i].as_ref().and_then(|cell| (cell.2 != 0).then(|| cell.2.to_be_bytes().to_vec()));
    let clustering = Some(clustering.clone()).filter(|clustering| !clustering.is_empty());
    let keys = [Some(partition.clone()), clustering];
    keys.into_iter().chain([value(0), value(1), writetime(0), writetime(1), ttl(0), ttl(1)]).collect()
}

impl Target for MemoryTarget {
    async fn ready(&self, _: &Batch, _: u32) {
        tokio::time::sleep(self.not_ready).await;
    }

    async fn write(&self, batch: &Batch, clock: Clock, tries: u32) -> Result<Settled, CallError> {
        let number = self.writes.fetch_add(1, Ordering::Relaxed);
        let now = clock.seconds();
        let bound = batch.bind(now);
        if bound.is_empty() {
            return Ok(batch.settled(&bound));
        }
        let died = self.dies_after.is_some_and(|after| number >= after).then_some(Class::Unavailable);
        let failure = died.or_else(|| self.failures.lock().expect("not poisoned").pop_front());
        // What the request carries is settled when it is sent; it takes effect when it arrives.
        let sent: Vec<_> = (0..bound.len()).map(|i| decode(&bound.wire(i), bound.statement(i).form)).collect();
        let rows: BTreeSet<_> = sent.iter().map(|write| write.key.clone()).collect();
        let _under_way = UnderWay::begin(&self.under_way, rows.clone());
        tokio::time::sleep(self.delay).await;
        for _ in 0..if self.reorder { 8 - number % 8 } else { 1 } {
            tokio::task::yield_now().await;
        }
        if self.dead.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        if sent.iter().any(|write| self.poison.contains(&write.key.1)) {
            return self.settle(rows, tries, Err(CallError { class: self.poison_class, message: "poison".to_owned() }));
        }
        // A timeout's outcome is unknown: here it took effect.
        if failure.is_none() || failure == Some(Class::Timeout) {
            let mut store = self.store.0.lock().expect("not poisoned");
            for write in sent {
                write.apply(&mut store, now);
            }
        }
        let result = match failure {
            Some(class) => Err(CallError { class, message: "forged".to_owned() }),
            None => Ok(batch.settled(&bound)),
        };
        self.settle(rows, tries, result)
    }

    async fn delete(&self, removal: &Removal) -> Result<(), CallError> {
        tokio::task::yield_now().await;
        let Removal { row, of, timestamp, .. } = removal;
        let key = (row.partition_key().remove(0), row.clustering_key().expect("a row").remove(0));
        let mut store = self.store.0.lock().expect("not poisoned");
        let row = store.entry(key).or_default();
        let mut drop_cell = |value: usize| drop(row.cells[value].take_if(|cell| cell.1 <= *timestamp));
        if of.is_empty() {
            (0..2).for_each(&mut drop_cell);
            row.marker.take_if(|marker| marker.0 <= *timestamp);
            row.deleted = row.deleted.max(Some(*timestamp));
        }
        for part in of {
            let RemovedPart::Column { value } = part else { unreachable!("there are only columns of one cell") };
            drop_cell(*value);
        }
        Ok(())
    }

    fn in_flight(&self, batch: &Batch) -> usize {
        batch.bytes() * 2
    }

    async fn is_unchanged(&self) -> Result<bool, CallError> {
        Ok(self.unchanged)
    }

    fn placement(&self) -> Option<Arc<dyn Placement>> {
        struct Halves;
        impl Placement for Halves {
            fn place(&self, token: Token) -> u32 {
                u32::from(token.0 >= 0)
            }
        }
        Some(Arc::new(Halves))
    }
}

/// One statement as the wire has it.
struct Write {
    key: (Vec<u8>, Vec<u8>),
    cells: [Option<Vec<u8>>; 2],
    writetime: i64,
    ttl: i32,
    form: Form,
}

/// Takes a statement's bound values apart again, in the order of its text.
fn decode(wire: &[Option<Vec<u8>>], form: Form) -> Write {
    let long =
        |cell: &Option<Vec<u8>>| i64::from_be_bytes(cell.clone().expect("bound")[..].try_into().expect("a bigint"));
    let int = |cell: &Option<Vec<u8>>| i32::from_be_bytes(cell.clone().expect("bound")[..].try_into().expect("an int"));
    let (keys, values, writetime, ttl) = if form == Form::Insert {
        (&wire[..2], &wire[2..4], long(&wire[4]), int(&wire[5]))
    } else {
        (&wire[4..], &wire[2..4], long(&wire[0]), int(&wire[1]))
    };
    let key = (keys[0].clone().expect("a key"), keys[1].clone().expect("a key"));
    Write { key, cells: [values[0].clone(), values[1].clone()], writetime, ttl, form }
}

impl Write {
    fn apply(self, store: &mut Stored, now: i64) {
        let row = store.entry(self.key).or_default();
        if row.deleted.is_some_and(|at| at >= self.writetime) {
            return;
        }
        let expiry = if self.ttl == 0 { 0 } else { now + i64::from(self.ttl) };
        for (old, new) in row.cells.iter_mut().zip(self.cells) {
            // Of two cells of one time, the servers keep what expires, what expires later, the greater value.
            if let Some(value) = new
                && old.as_ref().is_none_or(|old| (old.1, old.2, &old.0) <= (self.writetime, expiry, &value))
            {
                *old = Some((value, self.writetime, expiry));
            }
        }
        if self.form == Form::Insert && row.marker.is_none_or(|marker| marker.0 <= self.writetime) {
            row.marker = Some((self.writetime, expiry));
        }
    }
}
