//! Where a component's types differ from the contract's. Wasmtime tells how many
//! fields it found; who builds a component wants to know which.

use std::collections::BTreeMap;
use std::path::Path;
use wit_parser::decoding::{DecodedWasm, decode};
use wit_parser::{Handle, Resolve, Type, TypeDefKind};

/// The contract of this release.
const CONTRACT: &str = include_str!("../../../wit/transform.wit");

/// Interface that has all types.
const TYPES: &str = "types";

/// A type's members, in order, each with its own type as the contract writes it.
type Members = Vec<(String, String)>;

/// Names the first difference, if there is one that can be seen. For an error that
/// is told anyway: a file that cannot be read has none.
pub(super) fn difference(component: &Path) -> Option<String> {
    let mut contract = Resolve::default();
    contract.push_str("transform.wit", CONTRACT).ok()?;
    let bytes = std::fs::read(component).ok()?;
    let Ok(DecodedWasm::Component(found, _)) = decode(&bytes) else { return None };
    let found = types(&found);
    types(&contract).iter().find_map(|(name, members)| compare(name, members, found.get(name)?))
}

fn compare(name: &str, contract: &Members, found: &Members) -> Option<String> {
    let type_in = |list: &Members, member: &str| list.iter().find(|(m, _)| m == member).map(|(_, ty)| ty.clone());
    for (member, ty) in contract {
        match type_in(found, member) {
            None => return Some(format!("its `{name}` lacks `{member}`")),
            Some(other) if other != *ty => return Some(format!("`{member}` of `{name}` is {other}, must be {ty}")),
            Some(_) => {}
        }
    }
    if let Some((member, _)) = found.iter().find(|(member, _)| type_in(contract, member).is_none()) {
        return Some(format!("its `{name}` has `{member}`, which the contract has not"));
    }
    let misplaced = contract.iter().zip(found).find(|(a, b)| a.0 != b.0);
    misplaced.map(|((member, _), _)| format!("`{member}` of `{name}` stands in another place"))
}

fn types(resolve: &Resolve) -> BTreeMap<String, Members> {
    let interfaces = resolve.interfaces.iter().filter(|(_, interface)| interface.name.as_deref() == Some(TYPES));
    let all = interfaces.flat_map(|(_, interface)| &interface.types);
    all.map(|(name, id)| (name.clone(), members(resolve, &resolve.types[*id].kind))).collect()
}

fn members(resolve: &Resolve, kind: &TypeDefKind) -> Members {
    let none = |name: &String| (name.clone(), String::new());
    match kind {
        TypeDefKind::Record(record) => record.fields.iter().map(|f| (f.name.clone(), written(resolve, &f.ty))).collect(),
        TypeDefKind::Variant(variant) => {
            let ty = |ty: &Option<Type>| ty.as_ref().map_or_else(|| "nothing".to_owned(), |ty| written(resolve, ty));
            variant.cases.iter().map(|case| (case.name.clone(), ty(&case.ty))).collect()
        }
        TypeDefKind::Enum(all) => all.cases.iter().map(|case| none(&case.name)).collect(),
        TypeDefKind::Flags(all) => all.flags.iter().map(|flag| none(&flag.name)).collect(),
        _ => Vec::new(),
    }
}

/// A type as WIT writes it.
fn written(resolve: &Resolve, ty: &Type) -> String {
    let Type::Id(id) = ty else { return primitive(ty).to_owned() };
    let definition = &resolve.types[*id];
    if let Some(name) = &definition.name {
        return name.clone();
    }
    match &definition.kind {
        TypeDefKind::Option(inner) => format!("option<{}>", written(resolve, inner)),
        TypeDefKind::List(inner) => format!("list<{}>", written(resolve, inner)),
        TypeDefKind::Tuple(tuple) => format!("tuple<{}>", tuple.types.iter().map(|ty| written(resolve, ty)).collect::<Vec<_>>().join(", ")),
        TypeDefKind::Type(inner) => written(resolve, inner),
        TypeDefKind::Handle(Handle::Own(id) | Handle::Borrow(id)) => written(resolve, &Type::Id(*id)),
        other => other.as_str().to_owned(),
    }
}

fn primitive(ty: &Type) -> &'static str {
    match ty {
        Type::Bool => "bool",
        Type::U8 => "u8",
        Type::U16 => "u16",
        Type::U32 => "u32",
        Type::U64 => "u64",
        Type::S8 => "s8",
        Type::S16 => "s16",
        Type::S32 => "s32",
        Type::S64 => "s64",
        Type::F32 => "f32",
        Type::F64 => "f64",
        Type::Char => "char",
        Type::String => "string",
        Type::ErrorContext => "error-context",
        Type::Id(_) => "type",
    }
}
