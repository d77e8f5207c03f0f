//! `relay new`.

use crate::error::{Context as _, Error, Kind, Result};
use clap::{Args, ValueEnum};
use rust_embed::RustEmbed;
use std::borrow::Cow;
use std::path::{Path, PathBuf};

/// What the templates are called; the project's name takes its place.
const PLACEHOLDER: &str = "relay-template";

/// Longest name of a project: that of a package on crates.io.
const NAME_MAX: usize = 64;

/// Names that the SDKs have, and those that cargo refuses for a library.
const TAKEN: &[&str] = &[
    "relay",
    "relay-guest",
    "sdk",
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "const",
    "continue",
    "core",
    "crate",
    "do",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "proc-macro",
    "pub",
    "ref",
    "return",
    "self",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
    "yield",
];

/// Arguments of `relay new`.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  relay new --lang go mask && cd mask && ./build.sh && relay test

The project stands alone: contract, SDK and test cases are in it. Its README says what it needs to build.")]
pub struct New {
    /// Language to write the transform in.
    #[arg(long, short, value_enum)]
    lang: Language,
    /// Name of the transform: lower-case letters, digits and hyphens.
    name: String,
    /// Directory to make it in; it must be empty or not exist [default: ./NAME].
    #[arg(long, value_name = "DIR")]
    into: Option<PathBuf>,
}

/// Languages that there is a template in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Language {
    #[value(alias = "rs")]
    Rust,
    #[value(alias = "golang")]
    Go,
    #[value(alias = "javascript")]
    Js,
    #[value(alias = "typescript")]
    Ts,
    #[value(alias = "py")]
    Python,
    C,
}

/// The files of a directory of this repository, carried by the binary: what is
/// built and tested here is what a user gets. What tools leave in it is left out.
macro_rules! embed {
    ($($name:ident = $folder:literal),* $(,)?) => {
        $(
            #[derive(RustEmbed)]
            #[folder = $folder]
            #[exclude = "target/*"]
            #[exclude = "node_modules/*"]
            #[exclude = "*__pycache__/*"]
            #[exclude = "*.wasm"]
            #[exclude = "vendor/*"]
            #[exclude = "*.pytest_cache/*"]
            #[exclude = "Cargo.lock"]
            #[exclude = "package-lock.json"]
            #[exclude = "test/*"]
            #[exclude = "tests/*"]
            struct $name;
        )*
    };
}

embed! {
    Contract = "../wit",
    Cases = "../tests/cases/template",
    RustTemplate = "../transforms/rust/template",
    RustSdk = "../transforms/rust/guest",
    GoTemplate = "../transforms/go/template",
    GoSdk = "../transforms/go/sdk",
    JsTemplate = "../transforms/js/template",
    JsSdk = "../transforms/js/sdk",
    TsTemplate = "../transforms/ts/template",
    PythonTemplate = "../transforms/python/template",
    PythonSdk = "../transforms/python/sdk",
    CTemplate = "../transforms/c/template",
    CSdk = "../transforms/c/sdk",
}

/// A file of a project: its path in it, and its bytes.
type File = (PathBuf, Cow<'static, [u8]>);

fn part<E: RustEmbed>(into: &str) -> Vec<File> {
    E::iter().filter_map(|path| Some((Path::new(into).join(&*path), E::get(&path)?.data))).collect()
}

impl Language {
    /// What gets the project's name, and what is taken as it is.
    fn files(self) -> (Vec<File>, Vec<File>) {
        let (template, sdk) = match self {
            Self::Rust => (part::<RustTemplate>(""), part::<RustSdk>("sdk")),
            Self::Go => (part::<GoTemplate>(""), part::<GoSdk>("sdk")),
            Self::Js => (part::<JsTemplate>(""), part::<JsSdk>("sdk")),
            Self::Ts => (part::<TsTemplate>(""), part::<JsSdk>("sdk")),
            Self::Python => (part::<PythonTemplate>(""), part::<PythonSdk>("sdk")),
            Self::C => (part::<CTemplate>(""), part::<CSdk>("sdk")),
        };
        // Rust's SDK has the contract in it, as a crate must.
        let contract = if self == Self::Rust { Vec::new() } else { part::<Contract>("wit") };
        (template, [sdk, contract, part::<Cases>("cases")].concat())
    }
}

impl New {
    /// Makes the project.
    ///
    /// # Errors
    /// `Config` for a name that cannot be one, `Io` where it cannot be written.
    pub async fn execute(self) -> Result<()> {
        check(&self.name)?;
        let root = self.into.clone().unwrap_or_else(|| PathBuf::from(&self.name));
        let failed = |e: Error| e.at("directory", root.display());
        if std::fs::read_dir(&root).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(failed(Error::new(Kind::Io, "the directory is not empty")).remedy("choose another with --into, or another name"));
        }
        let named = |(path, bytes): File| (path, rename(&bytes, &self.name));
        let (template, companions) = self.lang.files();
        for (path, bytes) in template.into_iter().map(named).chain(companions) {
            let path = root.join(path);
            let written = write(&path, &bytes).or_kind(Kind::Io, "cannot write the project");
            written.map_err(|e| failed(e.at("file", path.display())).remedy("choose a directory that can be written, with --into"))?;
        }
        let at = root.display();
        anstream::println!(
            "{at} is a transform that masks a field. Next:\n\n  cd {at}\n  ./build.sh     # its README.md says what it needs\n  relay test"
        );
        Ok(())
    }
}

fn check(name: &str) -> Result<()> {
    let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let well = name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(letters) && !name.ends_with('-');
    let what = if !well || name.contains("--") {
        "is no name for a transform"
    } else if name.len() > NAME_MAX {
        "is too long for a name"
    } else if TAKEN.contains(&name) {
        "is a name that a language or an SDK has already"
    } else {
        return Ok(());
    };
    Err(Error::new(Kind::Config, format!("`{name}` {what}"))
        .remedy(format!("choose lower-case letters, digits and single hyphens, a letter first, at most {NAME_MAX}, like mask-cards")))
}

fn rename(bytes: &[u8], name: &str) -> Cow<'static, [u8]> {
    let text = String::from_utf8_lossy(bytes);
    let text = text.replace(PLACEHOLDER, name).replace(&PLACEHOLDER.replace('-', "_"), &name.replace('-', "_"));
    Cow::Owned(text.into_bytes())
}

fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    std::fs::write(path, bytes)?;
    #[cfg(unix)]
    if bytes.starts_with(b"#!") {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["mask", "m", "mask-cards-2"] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "a--b", "2a", "Mask", "mask_cards", "a/b", "../a", "ä", "type", "relay-guest", &"a".repeat(65)] {
            let error = check(bad).unwrap_err();
            assert!(error.to_string().contains("mask-cards"), "{error}");
        }
    }

    #[test]
    fn each_language_has_what_a_project_needs() {
        for language in Language::value_variants() {
            let (template, companions) = language.files();
            let files: Vec<_> = template.iter().chain(&companions).map(|(path, _)| path.display().to_string()).collect();
            for needed in ["build.sh", "README.md", ".gitignore", "cases/masks-the-email.case.yaml", "sdk/README.md"] {
                assert!(files.iter().any(|file| file == needed), "{language:?} lacks {needed}: {files:?}");
            }
            assert!(files.iter().any(|file| file.ends_with("wit/transform.wit")), "{language:?} lacks the contract");
            let named = template.iter().filter(|(_, bytes)| String::from_utf8_lossy(&rename(bytes, "x")).contains("template"));
            assert_eq!(named.count(), 0, "{language:?} keeps the placeholder");
        }
    }
}
