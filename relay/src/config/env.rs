//! `${NAME}` in any string of the configuration; `$$` stands for one `$`.
//! Substituted after parsing, so that a secret may hold any character.

use crate::error::{Error, Kind, Result};

/// Replaces variables in all strings of a table.
pub fn substitute(table: &mut toml::Table, lookup: &dyn Fn(&str) -> Option<String>) -> Result<()> {
    for (key, value) in table.iter_mut() {
        substitute_value(value, lookup).map_err(|e| e.at("field", key))?;
    }
    Ok(())
}

fn substitute_value(value: &mut toml::Value, lookup: &dyn Fn(&str) -> Option<String>) -> Result<()> {
    match value {
        toml::Value::String(text) if text.contains('$') => *text = expand(text, lookup)?,
        toml::Value::Array(items) => items.iter_mut().try_for_each(|v| substitute_value(v, lookup))?,
        toml::Value::Table(table) => substitute(table, lookup)?,
        _ => {}
    }
    Ok(())
}

fn expand(text: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Result<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some(after) = rest.strip_prefix('{') {
            let Some(close) = after.find('}') else {
                return Err(Error::new(Kind::Config, "`${` without `}`").remedy("write ${NAME}, or $$ for a dollar sign"));
            };
            let name = &after[..close];
            let value = lookup(name).ok_or_else(|| {
                Error::new(Kind::Config, format!("environment variable `{name}` is not set"))
                    .remedy(format!("export {name}=…, or write $$ for a dollar sign"))
            })?;
            out.push_str(&value);
            rest = &after[close + 1..];
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expands_and_escapes() {
        let lookup = |name: &str| (name == "PW").then(|| "a}\"$b".to_owned());
        assert_eq!(expand("x${PW}y$$z$1", &lookup).expect("expands"), "xa}\"$by$z$1");
        assert!(expand("${NOPE}", &lookup).expect_err("unset").to_string().contains("NOPE"));
        assert!(expand("${PW", &lookup).is_err());
    }
}
