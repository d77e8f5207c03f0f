//! Names as SQL writes them.

use crate::error::{Error, Kind, Result};
use std::fmt;

/// An identifier quoted for SQL, and a string.
pub(crate) use postgres_protocol::escape::{escape_identifier as quote, escape_literal as literal};

/// A table's exact name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableName {
    /// Schema.
    pub schema: String,
    /// Table.
    pub name: String,
}

impl TableName {
    /// Reads `table` (in `public`) or `schema.table`, taken literally.
    pub fn parse(text: &str) -> Result<Self> {
        let (schema, name) = text.split_once('.').unwrap_or(("public", text));
        if schema.is_empty() || name.is_empty() || name.contains('.') {
            return Err(Error::new(Kind::Config, format!("`{text}` is no table name"))
                .at("field", "source.table")
                .remedy("write table or schema.table"));
        }
        Ok(Self { schema: schema.to_owned(), name: name.to_owned() })
    }

    /// Quoted for SQL.
    #[must_use]
    pub fn sql(&self) -> String {
        format!("{}.{}", quote(&self.schema), quote(&self.name))
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}
