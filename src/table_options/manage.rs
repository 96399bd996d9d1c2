//! Setting an option for the duration of a job, and setting it back. The old value is committed in the checkpoint before the
//! table is altered, and marked as restored after it was altered back: wherever a crash happens, the next run sees from
//! the table itself what was done.

use super::Guard;
use crate::call::{CallError, Class};
use crate::checkpoint::options::{ManagedOption, OptionEnd};
use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::cluster::Cluster;
use crate::event::{Event, Events};
use crate::schema::TableName;
use crate::schema::statements::quote;
use crate::shutdown::Stop;

/// Why an option can't be managed.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    /// The checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The table can't be asked.
    #[error("failed to read the options of {table} at the target: {error}")]
    Read {
        /// The table.
        table: TableName,
        /// Why.
        error: CallError,
    },
    /// The table can't be altered.
    #[error("failed to set {name} = {value} of {table} at the target: {error}")]
    Alter {
        /// The table.
        table: TableName,
        /// The option.
        name: String,
        /// Its new value, as a CQL literal.
        value: String,
        /// Why.
        error: CallError,
        /// What an administrator types.
        grant: String,
    },
}

impl OptionsError {
    /// Whether the role isn't allowed to.
    fn is_forbidden(&self) -> bool {
        matches!(self, OptionsError::Alter { error, .. } if error.class == Class::Unauthorized)
    }

    /// The next thing to type.
    pub fn hint(&self) -> Option<String> {
        match self {
            OptionsError::Checkpoint(error) => error.hint(),
            OptionsError::Alter { grant, .. } if self.is_forbidden() => {
                Some(format!("let an administrator run: {grant}"))
            }
            OptionsError::Read { .. } | OptionsError::Alter { .. } => {
                Some("run the same line again: it goes on with the option where it was".to_owned())
            }
        }
    }

    /// The process's exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            OptionsError::Checkpoint(error) if error.is_refusal() => 5,
            OptionsError::Checkpoint(_) => 1,
            OptionsError::Read { error, .. } | OptionsError::Alter { error, .. } => {
                if error.class == Class::Unauthorized || error.class.is_trouble() { 6 } else { 1 }
            }
        }
    }
}

/// Sets the option of each table (by its number in the job) that hasn't it yet, before its first row. Gives those that can't be
/// altered: they are not to be copied. Once `stop` is requested, no further table is altered, and none is to be copied.
///
/// # Errors
/// Where the checkpoint can't be written. It knows of every table that was altered.
pub async fn engage(
    target: &Cluster,
    tables: impl IntoIterator<Item = (usize, TableName)>,
    checkpoint: &mut Checkpoint,
    stop: &Stop,
    events: &Events,
) -> Result<Vec<(usize, OptionsError)>, CheckpointError> {
    let managed = checkpoint.managed_options()?;
    let mut refused = Vec::new();
    for (number, table) in tables {
        if stop.is_requested() {
            break;
        }
        let known = managed.iter().map(|(option, _)| option).find(|option| option.table == number);
        match engage_one(target, number, &table, known, checkpoint, events).await {
            Ok(()) => {}
            Err(OptionsError::Checkpoint(error)) => return Err(error),
            Err(error) => refused.push((number, error)),
        }
    }
    Ok(refused)
}

async fn engage_one(
    target: &Cluster,
    number: usize,
    table: &TableName,
    known: Option<&ManagedOption>,
    checkpoint: &mut Checkpoint,
    events: &Events,
) -> Result<(), OptionsError> {
    let Some(guard) = read(target, table).await? else { return Ok(()) };
    let warn = |message| events.emit(Event::Warning { message });
    let (name, new) = (guard.name, guard.managed());
    let option = match (known.filter(|known| known.name == name), &guard.value) {
        (Some(known), _) => known.clone(),
        (None, None) => {
            warn(format!(
                "{name} of {table} at the target can't be read, so it couldn't be set back and isn't touched: set it by hand, \
                 ALTER TABLE {} WITH {name} = {new};",
                table.cql()
            ));
            return Ok(());
        }
        // What somebody else wanted so stays.
        (None, Some(_)) if checkpoint.is_option_settled(number, name)? => return Ok(()),
        (None, Some(value)) if guard.is_managed() => {
            warn(format!(
                "{table} at the target has {name} = {value} already, and keeps it: this job doesn't know of another value. If an \
                 earlier job set it, whose checkpoint is lost, nobody else will set it back"
            ));
            return Ok(());
        }
        (None, Some(value)) => {
            let option = ManagedOption { table: number, name: name.to_owned(), old: value.clone(), new };
            checkpoint.manage_option(&option)?;
            option
        }
    };
    if guard.is_managed() {
        return Ok(());
    }
    if guard.value.as_ref() != Some(&option.old) {
        return leave(table, &guard, &option, checkpoint, events);
    }
    if let Err(error) = alter(target, table, &option.name, &option.new).await {
        if let OptionsError::Alter { error: CallError { class: Class::Unauthorized | Class::Rejected, .. }, .. } =
            &error
        {
            checkpoint.forget_option(&option)?;
        }
        return Err(error);
    }
    let ManagedOption { name, old, new, .. } = &option;
    let message = format!("{table} at the target has {name} = {new} until its last row is copied; it was {old}");
    events.emit(Event::Note { message });
    Ok(())
}

/// Sets back the options of tables of which every range is done, and says of the others that they keep theirs. `tables` are
/// all of the job, by their number. Gives whether every table that is done has its own value: of one that can't be altered it
/// says so, and the next run tries again.
///
/// # Errors
/// Where the checkpoint can't be read or written.
pub async fn release(
    target: &Cluster,
    tables: &[TableName],
    checkpoint: &mut Checkpoint,
    events: &Events,
) -> Result<bool, CheckpointError> {
    let mut all_back = true;
    for (option, is_done) in checkpoint.managed_options()? {
        let Some(table) = tables.get(option.table) else { continue };
        let ManagedOption { name, old, new, .. } = &option;
        if !is_done {
            let message =
                format!("{table} at the target keeps {name} = {new} until its last row is copied; it was {old}");
            events.emit(Event::Warning { message });
            continue;
        }
        match release_one(target, table, &option, checkpoint, events).await {
            Ok(()) => {}
            Err(OptionsError::Checkpoint(error)) => return Err(error),
            Err(error) => {
                all_back = false;
                let next = "the same command tries again".to_owned();
                let hint =
                    if error.is_forbidden() { error.hint().map(|hint| format!("{hint} Then {next}")) } else { None };
                let message = format!("{table} at the target keeps {name} = {new}: {error}; {}", hint.unwrap_or(next));
                events.emit(Event::Warning { message });
            }
        }
    }
    Ok(all_back)
}

async fn release_one(
    target: &Cluster,
    table: &TableName,
    option: &ManagedOption,
    checkpoint: &mut Checkpoint,
    events: &Events,
) -> Result<(), OptionsError> {
    let ManagedOption { name, old, .. } = option;
    let Some(guard) = read(target, table).await? else { return Ok(()) };
    if guard.value.as_ref() != Some(old) {
        if !guard.is_managed() {
            return leave(table, &guard, option, checkpoint, events);
        }
        alter(target, table, name, old).await?;
    }
    Ok(checkpoint.settle_option(option, OptionEnd::Restored)?)
}

/// Somebody else altered the table meanwhile: theirs is the last word.
fn leave(
    table: &TableName,
    guard: &Guard,
    option: &ManagedOption,
    checkpoint: &mut Checkpoint,
    events: &Events,
) -> Result<(), OptionsError> {
    let found = guard.value.as_deref().unwrap_or("something unreadable");
    let ManagedOption { name, old, new, .. } = option;
    let message = format!(
        "{name} of {table} at the target was changed by somebody else: it is {found}, the copy had set {new}, before it was \
         {old}. It is left as it is"
    );
    events.emit(Event::Warning { message });
    checkpoint.settle_option(option, OptionEnd::Left)?;
    Ok(())
}

pub(super) async fn read(target: &Cluster, table: &TableName) -> Result<Option<Guard>, OptionsError> {
    Guard::read(target, table).await.map_err(|error| OptionsError::Read { table: table.clone(), error })
}

pub(super) async fn alter(target: &Cluster, table: &TableName, name: &str, value: &str) -> Result<(), OptionsError> {
    let changed = target.change(&format!("ALTER TABLE {} WITH {name} = {value}", table.cql())).await;
    changed.map_err(|error| {
        let role = quote(target.user.as_deref().unwrap_or("anonymous"));
        let grant = format!("GRANT ALTER ON TABLE {} TO {role};", table.cql());
        OptionsError::Alter { table: table.clone(), name: name.to_owned(), value: value.to_owned(), error, grant }
    })
}
