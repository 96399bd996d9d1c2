//! `migrate schema`: the source's schema as statements for the target, printed or run.

use crate::cluster::{self, Cluster, ConnectError, Product};
use crate::schema::ddl::{self, Applied, ApplyError, CatalogError, Dialect, Section, Wanted, apply, read_catalog};
use crate::settings::SettingsError;
use crate::settings::schema::SchemaSettings;
use crate::side::Side;
use crate::ui;

/// Why a schema can't be shown or created.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The settings.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A side can't be used.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// A schema can't be read.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// Something can't be created.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// Statements for one database, to be run on the other.
    #[error("the target is {}, the statements are for {}", found.name(), wanted.name())]
    Dialect {
        /// What the target is.
        found: Product,
        /// What `--for` says.
        wanted: Product,
    },
    /// Stdout is closed.
    #[error("failed to print")]
    Print(#[source] std::io::Error),
}

impl SchemaError {
    /// The next thing to type.
    pub fn hint(&self) -> Option<String> {
        match self {
            SchemaError::Settings(SettingsError::Missing(_)) => Some(
                "`migrate schema --source HOST` prints all keyspaces; `--target HOST --apply` creates them there"
                    .to_owned(),
            ),
            SchemaError::Settings(error) => error.hint(),
            SchemaError::Connect(error) => error.hint(),
            SchemaError::Catalog(error) => error.hint(),
            SchemaError::Apply(error) => error.hint(),
            SchemaError::Dialect { .. } => Some("leave out `--for`, or `--apply`".to_owned()),
            SchemaError::Print(_) => None,
        }
    }

    /// The process's exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            SchemaError::Settings(_) | SchemaError::Dialect { .. } => 2,
            SchemaError::Connect(error) if error.is_setting() => 2,
            SchemaError::Connect(_) => 6,
            SchemaError::Catalog(error) => error.exit_code(),
            SchemaError::Apply(error) => error.exit_code(),
            SchemaError::Print(_) => 1,
        }
    }
}

/// Prints the statements, or runs them. Gives the exit code: 5 where the target has something else under one of the names,
/// 3 where it still lacks something.
///
/// # Errors
/// What stood in the way.
pub async fn create_schema(settings: SchemaSettings) -> Result<u8, SchemaError> {
    for (side, _) in settings.sides().filter(|(_, access)| access.is_insecure()) {
        ui::ddl::warn_insecure(side);
    }
    // The driver itself needs to know no keyspace.
    let none = ["system".to_owned()];
    let source = cluster::connect(Side::Source, &settings.source, &none).await?;
    let target = match &settings.target {
        Some(access) => Some(cluster::connect(Side::Target, access, &none).await?),
        None => None,
    };
    let product = target.as_ref().map(|target| target.info.product);
    let dialect = settings.dialect.or(product.map(Dialect::from)).unwrap_or(Dialect::Scylla);
    if let Some(found) = product.filter(|found| settings.apply && *found != dialect.product()) {
        return Err(SchemaError::Dialect { found, wanted: dialect.product() });
    }
    let catalog = read_catalog(&source, &settings.wanted).await?;
    let existing = match &target {
        Some(target) => {
            let names = catalog.keyspaces.keys().cloned().collect();
            Some(read_catalog(target, &Wanted::Keyspaces(names)).await?)
        }
        None => None,
    };
    let script = ddl::script(&catalog, existing.as_ref(), dialect, settings.replication.as_ref());
    match target {
        Some(target) if settings.apply => create(&target, &script, settings.section.unwrap_or(Section::Before)).await,
        _ => {
            ui::ddl::print(&script, &source.info, dialect, settings.section).map_err(SchemaError::Print)?;
            Ok(0)
        }
    }
}

async fn create(target: &Cluster, script: &ddl::Script, section: Section) -> Result<u8, SchemaError> {
    Ok(match apply(target, script, section, ui::ddl::report).await? {
        Applied { differing: 0, missing: 0 } => 0,
        Applied { differing: 0, .. } => 3,
        Applied { .. } => 5,
    })
}
