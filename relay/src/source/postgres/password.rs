//! Passwords from `PGPASSWORD` or a password file, as libpq finds them
//! (source: PostgreSQL documentation, "The Password File").

use std::path::{Path, PathBuf};

/// The password for this connection, if any source has one.
pub fn find(host: &str, port: u16, database: &str, user: &str) -> Option<String> {
    if let Ok(password) = std::env::var("PGPASSWORD") {
        return Some(password);
    }
    let path = std::env::var_os("PGPASSFILE")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".pgpass")))?;
    let text = std::fs::read_to_string(&path).ok()?;
    if is_open_to_others(&path) {
        tracing::warn!(file = %path.display(), "password file is readable by others and therefore ignored; chmod 600 it");
        return None;
    }
    lookup(&text, [host, &port.to_string(), database, user])
}

#[cfg(unix)]
fn is_open_to_others(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).is_ok_and(|m| m.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
fn is_open_to_others(_path: &Path) -> bool {
    false
}

/// First line whose four fields match; `*` matches all, `\` escapes.
fn lookup(text: &str, wanted: [&str; 4]) -> Option<String> {
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let fields = split(line);
        let (password, key) = fields.get(..5)?.split_last()?;
        let matches = key.iter().zip(wanted).all(|((raw, field), want)| raw == "*" || field == want);
        matches.then(|| password.1.clone())
    })
}

/// Fields as `(as written, unescaped)`.
fn split(line: &str) -> Vec<(String, String)> {
    let mut fields = vec![(String::new(), String::new())];
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        let last = fields.len() - 1;
        match c {
            // Only the first four colons separate.
            ':' if last < 4 => fields.push((String::new(), String::new())),
            '\\' => {
                if let Some(next) = chars.next() {
                    fields[last].0.extend(['\\', next]);
                    fields[last].1.push(next);
                }
            }
            _ => {
                fields[last].0.push(c);
                fields[last].1.push(c);
            }
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_as_libpq_does() {
        let text = "# comment\nother:5432:db:me:no\nlocalhost:*:d\\:b:me:a:b\\\\c\n*:*:*:*:last\n";
        assert_eq!(lookup(text, ["localhost", "5433", "d:b", "me"]).as_deref(), Some("a:b\\c"));
        assert_eq!(lookup(text, ["x", "1", "y", "z"]).as_deref(), Some("last"));
        assert_eq!(lookup("short:line\n", ["x", "1", "y", "z"]), None);
    }
}
