use std::collections::BTreeSet;

use serde::de::DeserializeOwned;
use serde_json::Value;

/// Compares a JSON Schema of settings with the type that reads them, natively:
/// `check_schema::<Settings>(include_str!("../settings.schema.json"))` in a
/// test. The error says where they part.
///
/// The properties must be exactly the fields, one that the type cannot do
/// without must be in `required`, and neither may take any others.
pub fn check_schema<S: DeserializeOwned>(schema: &str) -> Result<(), String> {
    let schema: Value = serde_json::from_str(schema).map_err(|error| format!("the schema is not JSON: {error}"))?;
    let part = |name: &str| schema.get(name).unwrap_or(&Value::Null);
    if part("type") != "object" || part("additionalProperties") != false {
        return Err("the schema needs `\"type\": \"object\"` and `\"additionalProperties\": false`".to_owned());
    }
    let described: BTreeSet<&str> = part("properties").as_object().into_iter().flat_map(|map| map.keys().map(String::as_str)).collect();

    // Only serde knows a type's fields, and names them in this error.
    let error = refusal::<S>(r#"{"?":null}"#);
    if !error.starts_with("unknown field `?`") {
        return Err("the settings take unknown names: they need #[serde(deny_unknown_fields)]".to_owned());
    }
    let read: BTreeSet<&str> = error.split('`').skip(1).step_by(2).skip(1).collect();
    if described != read {
        return Err(format!("the schema describes {described:?}, the settings have {read:?}"));
    }

    let error = refusal::<S>("{}");
    let needed = error.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
    let required = |name: &str| part("required").as_array().is_some_and(|names| names.iter().any(|known| known == name));
    match needed.filter(|name| !required(name)) {
        Some(name) => Err(format!("the settings need `{name}`, which is not in `required`")),
        None => Ok(()),
    }
}

fn refusal<S: DeserializeOwned>(settings: &str) -> String {
    serde_json::from_str::<S>(settings).err().map(|error| error.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "kebab-case")]
    struct Settings {
        #[expect(dead_code)]
        by: String,
        #[expect(dead_code)]
        id_field: Option<String>,
    }

    fn check(properties: &str, required: &str) -> Result<(), String> {
        check_schema::<Settings>(&format!(
            r#"{{"type":"object","properties":{properties},"required":{required},"additionalProperties":false}}"#
        ))
    }

    #[test]
    fn the_same_fields() {
        assert_eq!(check(r#"{"id-field":{},"by":{}}"#, r#"["by"]"#), Ok(()));
    }

    #[test]
    fn says_where_they_part() {
        let refusal = |properties, required| check(properties, required).unwrap_err();
        assert!(refusal(r#"{"by":{}}"#, r#"["by"]"#).contains("id-field"));
        assert!(refusal(r#"{"by":{},"id-field":{},"to":{}}"#, r#"["by"]"#).contains("\"to\""));
        assert!(refusal(r#"{"by":{},"id-field":{}}"#, "[]").contains("`by`"));
        assert!(check_schema::<Settings>("{").is_err());
        assert!(check_schema::<Settings>(r#"{"type":"object"}"#).unwrap_err().contains("additionalProperties"));
    }

    #[test]
    fn settings_that_take_anything_are_none() {
        #[derive(serde::Deserialize)]
        struct Loose {}
        let schema = r#"{"type":"object","additionalProperties":false}"#;
        assert!(check_schema::<Loose>(schema).unwrap_err().contains("deny_unknown_fields"));
    }
}
