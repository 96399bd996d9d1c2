//! What the operator means by `migrate schema`.

use super::choices::ConsistencyLevel;
use super::secret::PasswordSource;
use super::selection::Selection;
use super::{Access, SettingsError, with_file};
use crate::cli::{JobArgs, SchemaArgs};
use crate::schema::ddl::{Dialect, Replication, Section, Wanted};
use crate::side::Side;

/// Everything about `migrate schema`, settled.
#[derive(Debug)]
pub struct SchemaSettings {
    /// The cluster whose schema it is.
    pub source: Access,
    /// The cluster that is to have it too.
    pub target: Option<Access>,
    /// What of it.
    pub wanted: Wanted,
    /// The replication of all keyspaces, where it isn't to be the source's.
    pub replication: Option<Replication>,
    /// Only this one.
    pub section: Option<Section>,
    /// The database that the statements are for, where it isn't to be the target's product.
    pub dialect: Option<Dialect>,
    /// Create it, rather than print it.
    pub apply: bool,
}

impl SchemaSettings {
    /// Merges what was typed with the `--config` file, and fetches passwords.
    ///
    /// # Errors
    /// Where something is missing or makes no sense.
    pub fn resolve(args: SchemaArgs) -> Result<SchemaSettings, SettingsError> {
        let SchemaArgs { replication, section, dialect, apply, .. } = args.clone();
        let job = with_file(args.into())?;
        let source = job.source.ok_or(SettingsError::Missing("source"))?;
        if apply && job.target.is_none() {
            return Err(SettingsError::Missing("target"));
        }
        let wanted = match (job.table.is_empty(), job.exclude.is_empty()) {
            (true, true) => Wanted::Everything,
            (true, false) => return Err(SettingsError::Missing("table")),
            (false, _) => Wanted::Tables(Selection::new(job.table, job.exclude)?),
        };
        let access = |side, endpoint, file, command| {
            // The schema is each node's own, whatever the level of the data is.
            Access::with_password(side, endpoint, &PasswordSource { file, command }, ConsistencyLevel::LocalOne)
        };
        let target = match job.target {
            Some(target) => Some(access(Side::Target, target, job.target_password_file, job.target_password_command)?),
            None => None,
        };
        Ok(SchemaSettings {
            source: access(Side::Source, source, job.source_password_file, job.source_password_command)?,
            target,
            wanted,
            replication,
            section,
            dialect,
            apply,
        })
    }

    /// The sides that are asked, and how.
    pub fn sides(&self) -> impl Iterator<Item = (Side, &Access)> {
        std::iter::once((Side::Source, &self.source)).chain(self.target.as_ref().map(|target| (Side::Target, target)))
    }
}

/// The flags that a copy has too: one file serves both.
impl From<SchemaArgs> for JobArgs {
    fn from(args: SchemaArgs) -> JobArgs {
        JobArgs {
            source: args.source,
            target: args.target,
            table: args.table,
            exclude: args.exclude,
            config: args.config,
            source_password_file: args.source_password_file,
            source_password_command: args.source_password_command,
            target_password_file: args.target_password_file,
            target_password_command: args.target_password_command,
            ..JobArgs::default()
        }
    }
}
