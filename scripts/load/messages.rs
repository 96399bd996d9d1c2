//! A table of chat messages with a past.
//!
//! It looks like Discord's: a few huge channels and many tiny ones, cut into buckets; ids that grow with time; each message
//! written at the moment its id names. Some messages expire, some were edited later, a few lack their text.

use crate::random::{self, Random};
use crate::{Arguments, Shape, Table, Value, Write, bigint, int, text};
use scylla::value::{CqlValue, MaybeUnset};

/// The newest messages are from 2026-01-01. Fixed, or the data would change from day to day.
pub(crate) const UNTIL: i64 = 1_767_225_600_000;
/// The oldest ones are from two years earlier.
pub(crate) const FROM: i64 = UNTIL - 2 * 365 * DAY;
pub(crate) const DAY: i64 = 86_400_000;
/// Message ids count milliseconds from here (2015-01-01), above 22 bits that tell messages of one millisecond apart.
const EPOCH: i64 = 1_420_070_400_000;
const BUCKET_ROWS: u64 = 1000;
const BATCH_STATEMENTS: usize = 250;

/// Which of its statements: their order in [`Messages::statements`].
const INSERT: usize = 0;
const EDIT: usize = 1;
const KEY_ONLY: usize = 2;

/// The data set: an endless supply of channels, cut off after so many rows.
pub(crate) struct Messages {
    random: Random,
    /// No channel is larger.
    largest: u64,
    rows_left: u64,
    key_only_left: u64,
    /// The TTL of messages that have none of their own; unset where the table's default is to apply.
    no_ttl: Value,
    default_ttl: u32,
    edit_expiring: bool,
    channel: Channel,
    counts: Counts,
}

/// What was handed out so far.
#[derive(Default)]
struct Counts {
    rows: u64,
    partitions: u64,
    expiring: u64,
    edits: u64,
    key_only: u64,
}

#[derive(Default)]
struct Channel {
    id: i64,
    created: i64,
    first_bucket: i32,
    messages: u64,
    key_only: bool,
    next: u64,
}

impl Messages {
    pub(crate) fn new(arguments: &Arguments) -> Messages {
        Messages {
            random: Random::new(arguments.seed),
            // Or a single channel could be all of a small data set.
            largest: (arguments.rows / 40).clamp(1, 60_000),
            rows_left: arguments.rows,
            key_only_left: arguments.key_only,
            default_ttl: arguments.default_ttl.unwrap_or(0),
            edit_expiring: arguments.edit_expiring,
            // 0 says "none" and would keep the table's default away.
            no_ttl: if arguments.default_ttl.is_some() { MaybeUnset::Unset } else { int(0) },
            channel: Channel::default(),
            counts: Counts::default(),
        }
    }

    fn next_channel(&mut self) -> Option<Channel> {
        let (key_only, messages) = if self.rows_left > 0 {
            // A Pareto distribution: most channels have a handful of messages, most messages are in large channels.
            let size = self.random.fraction().powf(-1.0 / 0.8);
            (false, (size as u64).clamp(1, self.largest).min(self.rows_left))
        } else if self.key_only_left > 0 {
            (true, self.key_only_left.min(10))
        } else {
            return None;
        };
        *(if key_only { &mut self.key_only_left } else { &mut self.rows_left }) -= messages;
        let created = self.random.between(FROM, UNTIL - DAY);
        Some(Channel {
            id: ((created - EPOCH) << 22) | self.random.between(0, 1 << 22),
            created,
            first_bucket: i32::try_from((created - EPOCH) / (10 * DAY)).expect("a few hundred at most"),
            messages,
            key_only,
            next: 0,
        })
    }

    fn message(&mut self, writes: &mut Vec<Write>) {
        let channel = &self.channel;
        let step = (UNTIL - channel.created) / channel.messages as i64;
        let sent = channel.created + step * channel.next as i64 + self.random.between(0, step);
        let bucket = channel.first_bucket + i32::try_from(channel.next / channel.bucket_rows()).expect("60 at most");
        let message = ((sent - EPOCH) << 22) | self.random.between(0, 1 << 22);
        let key = [bigint(channel.id), int(bucket), bigint(message)];
        let writetime = sent * 1000 + self.random.between(0, 1000);
        if channel.key_only {
            self.counts.key_only += 1;
            let rest = [bigint(writetime), self.no_ttl.clone()];
            writes.push(Write { statement: KEY_ONLY, values: key.into_iter().chain(rest).collect() });
            return;
        }

        let mut ttl = self.no_ttl.clone();
        if self.random.percent(2) {
            self.counts.expiring += 1;
            ttl = int(self.random.ttl());
        }
        // Unset where there is none: a null would be a tombstone.
        let content = if self.random.percent(1) { MaybeUnset::Unset } else { text(random::text(&mut self.random)) };
        // A few people wrote nearly everything, as in life.
        let author = 1_000_000_007 * (self.random.fraction().powf(-1.5) as i64).min(100_000);
        let may_edit = self.edit_expiring || matches!(ttl, MaybeUnset::Set(CqlValue::Int(0)));
        let rest = [bigint(author), content, bigint(writetime), ttl];
        writes.push(Write { statement: INSERT, values: key.iter().cloned().chain(rest).collect() });

        if may_edit && self.random.percent(5) {
            self.counts.edits += 1;
            let writetime = writetime + self.random.between(1_000_000, 1000 * DAY);
            let ttl = if self.random.percent(25) { int(self.random.ttl()) } else { self.no_ttl.clone() };
            let content = text(random::text(&mut self.random));
            let first = [bigint(writetime), ttl, content];
            writes.push(Write { statement: EDIT, values: first.into_iter().chain(key).collect() });
        }
    }
}

impl Shape for Messages {
    fn schema(&self, table: &Table) -> Vec<String> {
        vec![format!(
            "CREATE TABLE IF NOT EXISTS {table} (
               channel_id bigint, bucket int, message_id bigint, author_id bigint, content text,
               PRIMARY KEY ((channel_id, bucket), message_id)
             ) WITH CLUSTERING ORDER BY (message_id DESC) AND default_time_to_live = {}",
            self.default_ttl
        )]
    }

    fn statements(&self, table: &Table) -> Vec<String> {
        vec![
            format!(
                "INSERT INTO {table} (channel_id, bucket, message_id, author_id, content)
                 VALUES (?, ?, ?, ?, ?) USING TIMESTAMP ? AND TTL ?"
            ),
            format!(
                "UPDATE {table} USING TIMESTAMP ? AND TTL ? SET content = ?
                 WHERE channel_id = ? AND bucket = ? AND message_id = ?"
            ),
            format!(
                "INSERT INTO {table} (channel_id, bucket, message_id) VALUES (?, ?, ?) USING TIMESTAMP ? AND TTL ?"
            ),
        ]
    }

    fn summary(&self) -> String {
        let Counts { rows, partitions, expiring, edits, key_only } = self.counts;
        format!(
            "{rows} rows ({expiring} expiring, {edits} edited, {key_only} with a key only) in {partitions} partitions"
        )
    }
}

impl Channel {
    /// Full buckets would all be of the same size; a channel is cut into equal ones instead.
    fn bucket_rows(&self) -> u64 {
        self.messages.div_ceil(self.messages.div_ceil(BUCKET_ROWS))
    }
}

impl Iterator for Messages {
    type Item = Vec<Write>;

    /// The next statements, all of one partition.
    fn next(&mut self) -> Option<Vec<Write>> {
        if self.channel.next == self.channel.messages {
            self.channel = self.next_channel()?;
        }
        let bucket_rows = self.channel.bucket_rows();
        let mut writes = Vec::with_capacity(BATCH_STATEMENTS.min(self.channel.messages as usize) + 1);
        loop {
            if self.channel.next.is_multiple_of(bucket_rows) {
                self.counts.partitions += 1;
            }
            self.message(&mut writes);
            self.counts.rows += 1;
            self.channel.next += 1;
            let partition_ends = self.channel.next.is_multiple_of(bucket_rows);
            if partition_ends || self.channel.next == self.channel.messages || writes.len() >= BATCH_STATEMENTS {
                return Some(writes);
            }
        }
    }
}
