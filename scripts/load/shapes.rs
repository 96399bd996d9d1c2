//! Tables that ask something special of a copy, each of the simplest data that does.

use crate::messages::{DAY, FROM, UNTIL};
use crate::random::{self, Random};
use crate::{Arguments, Shape, Table, Value, Write, bigint, int, text};
use scylla::value::{CqlValue, MaybeUnset};

/// Partitions of one size, of rows numbered from 0.
pub(crate) struct Partitions {
    random: Random,
    rows: u64,
    next: u64,
    size: u64,
    /// All rows are of one partition, which is written in pieces of this size.
    giant: bool,
    table: TableText,
    fill: fn(&mut Random, Key, &mut Vec<Write>),
}

/// The CQL of a shape.
struct TableText {
    /// Columns beside the key, with their types; `{type}` stands for the name of the user-defined type.
    columns: String,
    /// The user-defined type's fields, if there is one.
    fields: Option<&'static str>,
    /// With `{table}` for the table's name.
    statements: Vec<String>,
}

/// The key of a row, and a moment for its writetime in microseconds.
struct Key {
    id: i64,
    row: i32,
    written: i64,
}

impl Key {
    fn values(&self) -> [Value; 2] {
        [bigint(self.id), int(self.row)]
    }
}

fn rows(arguments: &Arguments, size: u64, table: TableText, fill: fn(&mut Random, Key, &mut Vec<Write>)) -> Partitions {
    Partitions { random: Random::new(arguments.seed), rows: arguments.rows, next: 0, size, giant: false, table, fill }
}

/// Of each type, 16 columns: with the key, there are 50.
const OF_A_TYPE: usize = 16;
const WIDE_TYPES: [&str; 3] = ["bigint", "text", "double"];

/// Fifty columns: a row in ten lacks some, a row in twenty was edited in some.
pub(crate) fn wide(arguments: &Arguments) -> Partitions {
    let columns: Vec<(String, &str)> =
        (0..OF_A_TYPE * WIDE_TYPES.len()).map(|i| (format!("c{i:02}"), WIDE_TYPES[i % WIDE_TYPES.len()])).collect();
    let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
    let table = TableText {
        columns: columns.iter().map(|(name, of)| format!("{name} {of}")).collect::<Vec<_>>().join(", "),
        fields: None,
        statements: vec![
            format!(
                "INSERT INTO {{table}} (id, row, {}) VALUES (?, ?{}) USING TIMESTAMP ?",
                names.join(", "),
                ", ?".repeat(names.len())
            ),
            "UPDATE {table} USING TIMESTAMP ? AND TTL ? SET c00 = ?, c01 = ? WHERE id = ? AND row = ?".to_owned(),
        ],
    };
    rows(arguments, 20, table, |random, key, writes| {
        let sparse = random.percent(10);
        let mut values = key.values().to_vec();
        values.extend((0..OF_A_TYPE * WIDE_TYPES.len()).map(|column| match column % WIDE_TYPES.len() {
            _ if sparse && random.percent(50) => MaybeUnset::Unset,
            0 => bigint(random.next() as i64),
            1 => text(random::word(random).to_owned()),
            _ => MaybeUnset::Set(CqlValue::Double(random.fraction())),
        }));
        values.push(bigint(key.written));
        writes.push(Write { statement: 0, values });
        if random.percent(5) {
            // Every other edit expires; 0 is "never".
            let ttl = if random.percent(50) { random.ttl() } else { 0 };
            let mut values = vec![bigint(key.written + 1_000_000), int(ttl), bigint(1), text("edited".to_owned())];
            values.extend(key.values());
            writes.push(Write { statement: 1, values });
        }
    })
}

/// One row per partition, two columns in each.
pub(crate) fn narrow(arguments: &Arguments) -> Partitions {
    let table = TableText {
        columns: "name text, score int".to_owned(),
        fields: None,
        statements: vec!["INSERT INTO {table} (id, row, name, score) VALUES (?, ?, ?, ?) USING TIMESTAMP ?".to_owned()],
    };
    rows(arguments, 1, table, |random, key, writes| {
        let [id, row] = key.values();
        let name = text(format!("{} {}", random::word(random), key.id));
        let score = int(random.between(0, 1000) as i32);
        writes.push(Write { statement: 0, values: vec![id, row, name, score, bigint(key.written)] });
    })
}

/// A set, a map and a user-defined type that aren't frozen, written when the row was and partly later, with and without a TTL.
pub(crate) fn collections(arguments: &Arguments) -> Partitions {
    let table = TableText {
        columns: "note text, tags set<text>, properties map<text, int>, place {type}".to_owned(),
        fields: Some("street text, number int, city text"),
        statements: vec![
            "INSERT INTO {table} (id, row, note) VALUES (?, ?, ?) USING TIMESTAMP ?".to_owned(),
            // Added, not set: that would write a tombstone first, which a copy leaves where it is.
            "UPDATE {table} USING TIMESTAMP ? SET tags = tags + ?, properties = properties + ?, place.street = ?,
             place.number = ?, place.city = ? WHERE id = ? AND row = ?"
                .to_owned(),
            "UPDATE {table} USING TIMESTAMP ? AND TTL ? SET tags = tags + ?, properties[?] = ?, place.number = ?
             WHERE id = ? AND row = ?"
                .to_owned(),
        ],
    };
    rows(arguments, 20, table, |random, key, writes| {
        let [id, row] = key.values();
        let note = text(random::text(random));
        writes.push(Write { statement: 0, values: vec![id, row, note, bigint(key.written)] });

        let tags = distinct(random, 4).into_iter().map(CqlValue::Text).collect();
        let number = |random: &mut Random| CqlValue::Int(random.between(0, 1000) as i32);
        let properties = distinct(random, 4).into_iter().map(|name| (CqlValue::Text(name), number(random))).collect();
        let mut values = vec![
            bigint(key.written),
            MaybeUnset::Set(CqlValue::Set(tags)),
            MaybeUnset::Set(CqlValue::Map(properties)),
            text(random::word(random).to_owned()),
            MaybeUnset::Set(number(random)),
            text(random::word(random).to_owned()),
        ];
        values.extend(key.values());
        writes.push(Write { statement: 1, values });

        if random.percent(30) {
            let ttl = if random.percent(50) { random.ttl() } else { 0 };
            let mut values = vec![
                bigint(key.written + 1_000_000),
                int(ttl),
                MaybeUnset::Set(CqlValue::Set(vec![CqlValue::Text("late".to_owned())])),
                text("late".to_owned()),
                MaybeUnset::Set(number(random)),
                MaybeUnset::Set(number(random)),
            ];
            values.extend(key.values());
            writes.push(Write { statement: 2, values });
        }
    })
}

/// A list of six elements that isn't frozen, the last two of them added later.
pub(crate) fn lists(arguments: &Arguments) -> Partitions {
    let table = TableText {
        columns: "note text, items list<text>".to_owned(),
        fields: None,
        statements: vec![
            "INSERT INTO {table} (id, row, note) VALUES (?, ?, ?) USING TIMESTAMP ?".to_owned(),
            "UPDATE {table} USING TIMESTAMP ? SET items = items + ? WHERE id = ? AND row = ?".to_owned(),
        ],
    };
    rows(arguments, 20, table, |random, key, writes| {
        let [id, row] = key.values();
        let note = text(random::text(random));
        writes.push(Write { statement: 0, values: vec![id, row, note, bigint(key.written)] });
        for (elements, later) in [(4, 0), (2, 1_000_000)] {
            let items = (0..elements).map(|_| CqlValue::Text(random::word(random).to_owned())).collect();
            let mut values = vec![bigint(key.written + later), MaybeUnset::Set(CqlValue::List(items))];
            values.extend(key.values());
            writes.push(Write { statement: 1, values });
        }
    })
}

/// One partition, of which a third was deleted since, in stretches of 3,000 rows.
pub(crate) fn giant(arguments: &Arguments) -> Partitions {
    let table = TableText {
        columns: "note text".to_owned(),
        fields: None,
        statements: vec![
            "INSERT INTO {table} (id, row, note) VALUES (?, ?, ?) USING TIMESTAMP ?".to_owned(),
            "DELETE FROM {table} USING TIMESTAMP ? WHERE id = ? AND row = ?".to_owned(),
        ],
    };
    let rows = rows(arguments, 100, table, |random, key, writes| {
        let [id, row] = key.values();
        let note = text(random::text(random));
        writes.push(Write { statement: 0, values: vec![id.clone(), row.clone(), note, bigint(key.written)] });
        if key.row / 3000 % 3 == 0 {
            writes.push(Write { statement: 1, values: vec![bigint(key.written + 1_000_000), id, row] });
        }
    });
    Partitions { giant: true, ..rows }
}

/// One row per partition, with a MiB of what can't be compressed.
pub(crate) fn blobs(arguments: &Arguments) -> Partitions {
    let table = TableText {
        columns: "content blob".to_owned(),
        fields: None,
        statements: vec!["INSERT INTO {table} (id, row, content) VALUES (?, ?, ?) USING TIMESTAMP ?".to_owned()],
    };
    rows(arguments, 1, table, |random, key, writes| {
        let [id, row] = key.values();
        let content = (0..(1 << 20) / 8).flat_map(|_| random.next().to_le_bytes()).collect();
        let content = MaybeUnset::Set(CqlValue::Blob(content));
        writes.push(Write { statement: 0, values: vec![id, row, content, bigint(key.written)] });
    })
}

/// Words, none of them twice: in a set or a map the second would replace the first.
fn distinct(random: &mut Random, count: usize) -> Vec<String> {
    let mut words = Vec::with_capacity(count);
    while words.len() < count {
        let word = random::word(random).to_owned();
        if !words.contains(&word) {
            words.push(word);
        }
    }
    words
}

impl Iterator for Partitions {
    type Item = Vec<Write>;

    /// The next partition, or piece of one.
    fn next(&mut self) -> Option<Vec<Write>> {
        let count = self.size.min(self.rows - self.next);
        let (id, first) = if self.giant { (0, self.next) } else { (self.next / self.size, 0) };
        let mut writes = Vec::new();
        for row in first..first + count {
            let written = self.random.between(FROM, UNTIL - DAY) * 1000;
            (self.fill)(&mut self.random, Key { id: id as i64, row: row as i32, written }, &mut writes);
        }
        self.next += count;
        (count > 0).then_some(writes)
    }
}

impl Shape for Partitions {
    fn schema(&self, table: &Table) -> Vec<String> {
        let type_name = format!(r#""{}"."{}_place""#, table.keyspace, table.name);
        let of_type = self.table.fields.map(|fields| format!("CREATE TYPE IF NOT EXISTS {type_name} ({fields})"));
        // Without a keyspace, which the table's is then.
        let columns = self.table.columns.replace("{type}", &format!(r#""{}_place""#, table.name));
        let create =
            format!("CREATE TABLE IF NOT EXISTS {table} (id bigint, row int, {columns}, PRIMARY KEY (id, row))");
        of_type.into_iter().chain([create]).collect()
    }

    fn statements(&self, table: &Table) -> Vec<String> {
        self.table.statements.iter().map(|text| text.replace("{table}", &table.to_string())).collect()
    }

    fn summary(&self) -> String {
        let partitions = if self.giant { 1 } else { self.next.div_ceil(self.size) };
        format!("{} rows in {partitions} partitions", self.next)
    }
}
