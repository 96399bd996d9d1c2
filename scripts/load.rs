//! `load`: a table of chat messages with a past, for the demo, the tests and the benchmarks.
//!
//! The data looks like Discord's: a few huge channels and many tiny ones, cut into buckets; ids that grow with time;
//! each message written at the moment its id names. Some messages expire, some were edited later, a few lack their
//! text. The same seed gives the same data; only expiry starts anew with each load.
//!
//! Run it with `cargo run --release --example load -- --host 127.0.0.1 --table chat.messages`.

#![allow(clippy::print_stdout, clippy::print_stderr)] // A program of its own; this is how it speaks.
// Numbers drawn at random and numbers of rows: all far from any limit.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss
)]

use clap::Parser;
use futures::{StreamExt, TryStreamExt};
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::errors::{ExecutionError, PrepareError};
use scylla::serialize::SerializationError;
use scylla::serialize::row::{RowSerializationContext, SerializeRow};
use scylla::serialize::writers::RowWriter;
use scylla::statement::batch::{Batch, BatchType};
use scylla::statement::prepared::PreparedStatement;
use scylla::value::MaybeUnset;
use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// The newest messages are from 2026-01-01. Fixed, or the data would change from day to day.
const UNTIL: i64 = 1_767_225_600_000;
/// The oldest ones are from two years earlier.
const FROM: i64 = UNTIL - 2 * 365 * DAY;
const DAY: i64 = 86_400_000;
/// Message ids count milliseconds from here (2015-01-01), above 22 bits that tell messages of one millisecond apart.
const EPOCH: i64 = 1_420_070_400_000;
const BUCKET_ROWS: u64 = 1000;
const BATCH_STATEMENTS: usize = 250;
const ATTEMPTS: u32 = 6;

/// Creates a table of chat messages and fills it.
#[derive(Parser)]
#[command(name = "load")]
struct Arguments {
    /// A node of the cluster, HOST or HOST:PORT.
    #[arg(long)]
    host: String,
    /// The table; it and its keyspace are created if missing.
    #[arg(long, value_name = "KEYSPACE.TABLE", value_parser = parse_table)]
    table: Table,
    /// How many messages.
    #[arg(long, default_value_t = 1_000_000)]
    rows: u64,
    /// Another seed gives other data.
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// How many rows to add that have a key and nothing else.
    #[arg(long, value_name = "ROWS", default_value_t = 0)]
    key_only: u64,
    /// Edit messages that expire as well; no copy through CQL can know the row markers of these.
    #[arg(long)]
    edit_expiring: bool,
    /// Create keyspace and table, load nothing.
    #[arg(long)]
    create_only: bool,
    /// Drop the table first.
    #[arg(long)]
    drop: bool,
    /// The `default_time_to_live` of a new table; messages without a TTL of their own take it.
    #[arg(long, value_name = "SECONDS")]
    default_ttl: Option<u32>,
    /// The replication factor of a new keyspace.
    #[arg(long, value_name = "N", default_value_t = 1)]
    replication: u32,
    /// How many batches are under way at once.
    #[arg(long, value_name = "N", default_value_t = 64)]
    concurrency: usize,
}

#[derive(Clone)]
struct Table {
    keyspace: String,
    name: String,
}

fn parse_table(text: &str) -> Result<Table, String> {
    let plain = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    match text.split_once('.') {
        Some((keyspace, name)) if plain(keyspace) && plain(name) => {
            Ok(Table { keyspace: keyspace.to_owned(), name: name.to_owned() })
        }
        _ => Err("expected KEYSPACE.TABLE, of letters, digits and underscores".to_owned()),
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let session = SessionBuilder::new().known_node(&arguments.host).build().await?;
    create(&session, arguments).await?;
    if arguments.create_only {
        println!("created {}.{}", arguments.table.keyspace, arguments.table.name);
        return Ok(());
    }

    let started = Instant::now();
    let writer = &Writer::prepare(&session, &arguments.table).await?;
    let mut data = Data::new(arguments);
    futures::stream::iter(data.by_ref())
        .map(|batch| writer.write(batch))
        .buffer_unordered(arguments.concurrency)
        .try_collect::<()>()
        .await?;
    let Counts { rows, partitions, expiring, edits, key_only } = data.counts;
    println!(
        "loaded {rows} rows ({expiring} expiring, {edits} edited, {key_only} with a key only) \
         in {partitions} partitions in {:.1} s",
        started.elapsed().as_secs_f64()
    );
    Ok(())
}

async fn create(session: &Session, arguments: &Arguments) -> Result<(), ExecutionError> {
    let Arguments { table: Table { keyspace, name }, replication, .. } = arguments;
    let default_ttl = arguments.default_ttl.unwrap_or(0);
    let mut statements = vec![format!(
        r#"CREATE KEYSPACE IF NOT EXISTS "{keyspace}"
           WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': {replication}}}"#
    )];
    if arguments.drop {
        statements.push(format!(r#"DROP TABLE IF EXISTS "{keyspace}"."{name}""#));
    }
    statements.push(format!(
        r#"CREATE TABLE IF NOT EXISTS "{keyspace}"."{name}" (
             channel_id bigint, bucket int, message_id bigint, author_id bigint, content text,
             PRIMARY KEY ((channel_id, bucket), message_id)
           ) WITH CLUSTERING ORDER BY (message_id DESC) AND default_time_to_live = {default_ttl}"#
    ));
    for statement in statements {
        session.query_unpaged(statement, ()).await?;
    }
    Ok(())
}

/// Sends batches. Each is of one partition, which makes it a single mutation, exempt from the limits of batch sizes.
struct Writer<'a> {
    session: &'a Session,
    insert: PreparedStatement,
    update: PreparedStatement,
    key_only: PreparedStatement,
}

impl<'a> Writer<'a> {
    async fn prepare(session: &'a Session, Table { keyspace, name }: &Table) -> Result<Writer<'a>, PrepareError> {
        let prepare = async |text: String| session.prepare(text).await;
        Ok(Writer {
            session,
            insert: prepare(format!(
                r#"INSERT INTO "{keyspace}"."{name}" (channel_id, bucket, message_id, author_id, content)
                   VALUES (?, ?, ?, ?, ?) USING TIMESTAMP ? AND TTL ?"#
            ))
            .await?,
            update: prepare(format!(
                r#"UPDATE "{keyspace}"."{name}" USING TIMESTAMP ? AND TTL ? SET content = ?
                   WHERE channel_id = ? AND bucket = ? AND message_id = ?"#
            ))
            .await?,
            key_only: prepare(format!(
                r#"INSERT INTO "{keyspace}"."{name}" (channel_id, bucket, message_id)
                   VALUES (?, ?, ?) USING TIMESTAMP ? AND TTL ?"#
            ))
            .await?,
        })
    }

    async fn write(&self, writes: Vec<Write>) -> Result<(), ExecutionError> {
        let mut batch = Batch::new(BatchType::Unlogged);
        for write in &writes {
            batch.append_statement(match write.what {
                What::Insert { .. } => self.insert.clone(),
                What::Edit { .. } => self.update.clone(),
                What::KeyOnly => self.key_only.clone(),
            });
        }
        // A node that is busy with other work sheds some of this load; every statement can be repeated.
        let mut attempt = 1;
        loop {
            match self.session.batch(&batch, &writes).await {
                Ok(_) => return Ok(()),
                Err(error) if attempt == ATTEMPTS => return Err(error),
                Err(_) => tokio::time::sleep(Duration::from_millis(100 << attempt)).await,
            }
            attempt += 1;
        }
    }
}

/// One statement.
struct Write {
    key: (i64, i32, i64),
    /// In microseconds, as CQL wants it.
    writetime: i64,
    /// Unset where the table's default is to apply.
    ttl: MaybeUnset<i32>,
    what: What,
}

enum What {
    Insert {
        author: i64,
        /// Unset where there is none: a null would be a tombstone.
        content: MaybeUnset<String>,
    },
    Edit {
        content: String,
    },
    KeyOnly,
}

impl SerializeRow for Write {
    fn serialize(
        &self,
        ctx: &RowSerializationContext<'_>,
        writer: &mut RowWriter<'_>,
    ) -> Result<(), SerializationError> {
        let Write { key: (channel, bucket, message), writetime, ttl, what } = self;
        match what {
            What::Insert { author, content } => {
                (channel, bucket, message, author, content, writetime, ttl).serialize(ctx, writer)
            }
            What::Edit { content } => (writetime, ttl, content, channel, bucket, message).serialize(ctx, writer),
            What::KeyOnly => (channel, bucket, message, writetime, ttl).serialize(ctx, writer),
        }
    }

    fn is_empty(&self) -> bool {
        false
    }
}

/// The data set: an endless supply of channels, cut off after so many rows.
struct Data {
    random: Random,
    words: Vec<&'static str>,
    /// No channel is larger.
    largest: u64,
    rows_left: u64,
    key_only_left: u64,
    no_ttl: MaybeUnset<i32>,
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

impl Data {
    fn new(arguments: &Arguments) -> Data {
        Data {
            random: Random(arguments.seed),
            words: WORDS.split(' ').collect(),
            // Or a single channel could be all of a small data set.
            largest: (arguments.rows / 40).clamp(1, 60_000),
            rows_left: arguments.rows,
            key_only_left: arguments.key_only,
            edit_expiring: arguments.edit_expiring,
            // 0 says "none" and would keep the table's default away.
            no_ttl: if arguments.default_ttl.is_some() { MaybeUnset::Unset } else { MaybeUnset::Set(0) },
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
        let key = (channel.id, bucket, message);
        let writetime = sent * 1000 + self.random.between(0, 1000);
        if channel.key_only {
            self.counts.key_only += 1;
            writes.push(Write { key, writetime, ttl: self.no_ttl, what: What::KeyOnly });
            return;
        }

        let mut ttl = self.no_ttl;
        if self.random.percent(2) {
            self.counts.expiring += 1;
            ttl = MaybeUnset::Set(self.random.ttl());
        }
        let content = if self.random.percent(1) {
            MaybeUnset::Unset
        } else {
            MaybeUnset::Set(text(&mut self.random, &self.words))
        };
        // A few people wrote nearly everything, as in life.
        let author = 1_000_000_007 * (self.random.fraction().powf(-1.5) as i64).min(100_000);
        writes.push(Write { key, writetime, ttl, what: What::Insert { author, content } });

        let may_edit = self.edit_expiring || matches!(ttl, MaybeUnset::Set(0));
        if may_edit && self.random.percent(5) {
            self.counts.edits += 1;
            let writetime = writetime + self.random.between(1_000_000, 1000 * DAY);
            let ttl = if self.random.percent(25) { MaybeUnset::Set(self.random.ttl()) } else { self.no_ttl };
            let content = text(&mut self.random, &self.words);
            writes.push(Write { key, writetime, ttl, what: What::Edit { content } });
        }
    }
}

impl Channel {
    /// Full buckets would all be of the same size; a channel is cut into equal ones instead.
    fn bucket_rows(&self) -> u64 {
        self.messages.div_ceil(self.messages.div_ceil(BUCKET_ROWS))
    }
}

impl Iterator for Data {
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

/// What a text is made of.
const WORDS: &str = "the a and of to in is it you that was for on are with they be this have from not but what all when we \
    there can your which their said server channel message someone tonight tomorrow maybe please thanks again music \
    stream update version lol ok yes nope hello everyone anybody why how about";

/// Rare ones, there to trip whoever escapes, splits or trims.
const TRICKY: [&str; 8] = ["\"so\"", "it's", "C:\\new", "line\nend", "tab\tstop", "naïve", "日本語", "😀👍🏽"];

fn text(random: &mut Random, words: &[&str]) -> String {
    if random.percent(1) {
        return String::new();
    }
    // Short ones are the most frequent.
    let length = 20 + (180.0 * random.fraction().powi(2)) as usize;
    let mut text = String::with_capacity(length + 16);
    while text.len() < length {
        if !text.is_empty() {
            text.push(' ');
        }
        let words = if random.percent(2) { &TRICKY } else { words };
        text.push_str(words[random.between(0, words.len() as i64) as usize]);
    }
    text
}

/// `SplitMix64`: small, fast, and the same on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// More than 0, at most 1.
    fn fraction(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    fn percent(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }

    /// `from` or more, less than `to`.
    fn between(&mut self, from: i64, to: i64) -> i64 {
        from + (self.next() % (to - from).max(1).unsigned_abs()) as i64
    }

    /// From six hours, so that nothing expires during a test, to thirty days.
    fn ttl(&mut self) -> i32 {
        (21_600.0 * 120_f64.powf(self.fraction())) as i32
    }
}
