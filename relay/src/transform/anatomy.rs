//! What a component's file says of itself, read without compiling it.

use crate::error::{Error, Kind, Result};
use serde::Serialize;
use serde_json::Value;
use wasmparser::{BinaryReaderError, CustomSectionReader, KnownCustom, Parser, Payload};

/// Custom section in which a component may describe itself, see `wit/transform.wit`.
const MANIFEST: &str = "relay:manifest";

/// What tools call the section that keeps functions' names.
const NAMES: &str = "name";

/// See the module. Sizes are in bytes.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Anatomy {
    /// Whether it is a component, and not a core module.
    pub component: bool,
    /// Interfaces it imports.
    pub imports: Vec<String>,
    /// Interfaces it exports.
    pub exports: Vec<String>,
    /// Core modules inside.
    pub modules: u64,
    /// Functions of all of them.
    pub functions: u64,
    /// Their code.
    pub code: u64,
    /// Their data.
    pub data: u64,
    /// DWARF, from which a trap's file and line come.
    pub debug: u64,
    /// Names of functions, which a trap's stack shows.
    pub names: u64,
    /// Languages, by the producers sections.
    pub languages: Vec<String>,
    /// Compilers and tools with their versions, by the same.
    pub tools: Vec<String>,
    /// What its `relay:manifest` says.
    pub manifest: Option<Manifest>,
}

/// A component's word about itself: JSON with its name, its version, and the JSON
/// Schema of its settings.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Manifest {
    /// It can be read.
    Read(Value),
    /// It is no JSON, and why.
    Broken(String),
}

impl Anatomy {
    /// Reads a component, or a core module.
    ///
    /// # Errors
    /// `Component` if the bytes are neither.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        let failed = |cause: BinaryReaderError| Error::new(Kind::Component, "not a readable component").cause(cause);
        let mut found = Self::default();
        // Sections of the component itself stand at depth 1.
        let mut depth = 0;
        for payload in Parser::new(0).parse_all(bytes) {
            match payload.map_err(failed)? {
                Payload::Version { encoding, .. } => {
                    depth += 1;
                    let module = encoding == wasmparser::Encoding::Module;
                    found.modules += u64::from(module);
                    found.component |= depth == 1 && !module;
                }
                Payload::End(_) => depth -= 1,
                Payload::CodeSectionStart { count, size, .. } => {
                    found.functions += u64::from(count);
                    found.code += u64::from(size);
                }
                Payload::DataSection(section) => found.data += section.range().len() as u64,
                Payload::ComponentImportSection(section) if depth == 1 => {
                    for import in section {
                        found.imports.push(import.map_err(failed)?.name.name.to_owned());
                    }
                }
                Payload::ComponentExportSection(section) if depth == 1 => {
                    for export in section {
                        found.exports.push(export.map_err(failed)?.name.name.to_owned());
                    }
                }
                // Only of use to people: what is damaged in it does not matter.
                Payload::CustomSection(section) => drop(found.custom(&section)),
                _ => {}
            }
        }
        for list in [&mut found.languages, &mut found.tools] {
            list.sort_unstable();
            list.dedup();
        }
        Ok(found)
    }

    fn custom(&mut self, section: &CustomSectionReader<'_>) -> Result<(), BinaryReaderError> {
        let bytes = section.data().len() as u64;
        match section.name() {
            MANIFEST => {
                let read = serde_json::from_slice(section.data());
                self.manifest = Some(read.map_or_else(|error| Manifest::Broken(error.to_string()), Manifest::Read));
            }
            NAMES => self.names += bytes,
            name if name.starts_with(".debug_") => self.debug += bytes,
            _ => {}
        }
        let KnownCustom::Producers(producers) = section.as_known() else { return Ok(()) };
        for field in producers {
            let field = field?;
            for value in field.values {
                let value = value?;
                match field.name {
                    // Its version is a standard's or a compiler's, which stands among the tools.
                    "language" => self.languages.push(value.name.to_owned()),
                    _ => self.tools.push(format!("{} {}", value.name, value.version).trim_end().to_owned()),
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_a_file_says() {
        let text = r#"(component
            (core module (func) (memory 1) (data (i32.const 0) "abc")
                (@producers (language "C11" "") (processed-by "clang" "19.1.4"))
                (@custom ".debug_info" "12345"))
            (@custom "relay:manifest" "{\"name\":\"mask\"}")
            (import "wasi:cli/stdin@0.2.0" (instance)))"#;
        let found = Anatomy::read(&wat::parse_str(text).expect("assembles")).expect("reads");
        assert!(found.component);
        assert_eq!((found.modules, found.functions, found.debug), (1, 1, 5));
        assert_eq!(found.imports, ["wasi:cli/stdin@0.2.0"]);
        assert_eq!((found.languages, found.tools), (vec!["C11".to_owned()], vec!["clang 19.1.4".to_owned()]));
        assert!(matches!(found.manifest, Some(Manifest::Read(value)) if value["name"] == "mask"));
    }

    #[test]
    fn what_is_no_wasm_is_refused() {
        for bytes in [b"".as_slice(), b"text", b"\0asm\x0d\0\x01\0\xff\xff"] {
            assert!(Anatomy::read(bytes).is_err());
        }
    }
}
