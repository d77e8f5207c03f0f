use serde::de::DeserializeOwned;

use crate::Transform;

/// Makes a transform from the text of its settings, as the host does.
/// The error names the field it is about.
pub fn create<T: Transform>(settings: &str) -> Result<T, String> {
    T::new(parse_settings(settings)?)
}

/// Reads settings from a JSON object; empty text is read as `{}`.
pub fn parse_settings<S: DeserializeOwned>(settings: &str) -> Result<S, String> {
    let settings = if settings.trim().is_empty() { "{}" } else { settings };
    // By way of a `Value`: the operator wrote TOML, so line and column of the
    // JSON made from it would only mislead.
    let value: serde_json::Value = serde_json::from_str(settings).map_err(|error| format!("settings: {error}"))?;
    if !value.is_object() {
        return Err("settings: not an object".to_owned());
    }
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let cause = error.into_inner();
        // An unknown or missing field is named by the cause already.
        if path == "." { format!("settings: {cause}") } else { format!("settings: {path}: {cause}") }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, PartialEq, serde::Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Settings {
        fields: Vec<String>,
    }

    #[test]
    fn absent_settings_are_an_empty_object() {
        assert_eq!(parse_settings::<Settings>(""), Ok(Settings::default()));
        assert_eq!(parse_settings::<Settings>("{}"), Ok(Settings::default()));
    }

    #[test]
    fn errors_name_the_field() {
        let error = parse_settings::<Settings>(r#"{"feilds":[]}"#).unwrap_err();
        assert!(error.contains("`feilds`"), "{error}");
        let error = parse_settings::<Settings>(r#"{"fields":["a",1]}"#).unwrap_err();
        assert!(error.contains("fields[1]"), "{error}");
        assert!(parse_settings::<Settings>("[]").is_err());
        assert!(parse_settings::<Settings>("{").is_err());
    }
}
