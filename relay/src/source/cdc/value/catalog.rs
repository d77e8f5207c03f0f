//! From a type's OID to its [`Kind`]: what Postgres ships is known, the rest is
//! looked up once.

use super::Kind;
use std::collections::HashMap;
use std::sync::Arc;

/// The rows of these types and of all they refer to. `$1` is `oid[]`; the
/// columns are [`TypeRow`]'s fields in their order: `oid`, `text`, `"char"`,
/// `oid`, `"char"`, `oid`, `oid`, `"char"`. Postgres 14 and later.
///
/// `element` is 0 where a type has one but does not print as an array does
/// (`int2vector`, `point`).
pub const LOOKUP: &str = r#"
WITH RECURSIVE type AS (
    SELECT t.oid, t.typname::pg_catalog.text AS name, t.typtype, t.typcategory, t.typbasetype AS base, t.typdelim,
           CASE WHEN t.typoutput = 'pg_catalog.array_out'::pg_catalog.regproc THEN t.typelem ELSE 0 END AS element,
           coalesce(r.rngsubtype, m.rngsubtype, 0) AS subtype
    FROM pg_catalog.pg_type t
    LEFT JOIN pg_catalog.pg_range r ON r.rngtypid = t.oid
    LEFT JOIN pg_catalog.pg_range m ON m.rngmultitypid = t.oid
), wanted (oid) AS (
    SELECT pg_catalog.unnest($1::pg_catalog.oid[])
    UNION
    SELECT refers.oid
    FROM wanted JOIN type USING (oid), LATERAL (VALUES (type.element), (type.base), (type.subtype)) AS refers (oid)
    WHERE refers.oid <> 0
)
SELECT oid, name, typtype, element, typcategory, base, subtype, typdelim FROM wanted JOIN type USING (oid)
"#;

/// Links followed from a type to what it is made of. Postgres knows no cycle
/// here; rows of two moments might.
const MAX_DEPTH: usize = 64;

/// OIDs below are Postgres's own and, where listed here, never change.
const FIRST_USER_OID: u32 = 16384;

/// A row of `pg_type`, and of `pg_range` where there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeRow {
    /// `oid`.
    pub oid: u32,
    /// `typname`; nothing is decided by it.
    pub name: String,
    /// `typtype`: `b` base, `e` enum, `d` domain, `c` composite, `r` range,
    /// `m` multirange, `p` pseudo.
    pub typtype: u8,
    /// `typelem`; with category `A` this is an array.
    pub element: u32,
    /// `typcategory`.
    pub category: u8,
    /// `typbasetype`, of a domain.
    pub base: u32,
    /// `rngsubtype`, of a range or a multirange.
    pub subtype: u32,
    /// `typdelim`.
    pub delimiter: u8,
}

/// What a type is made of.
#[derive(Clone, Debug)]
enum Shape {
    Plain(Kind),
    Domain(u32),
    Array { element: u32, delimiter: u8 },
    Range(u32),
    Multirange(u32),
}

/// The types known so far.
#[derive(Clone, Debug)]
pub struct Catalog {
    types: HashMap<u32, Shape>,
}

impl Catalog {
    /// Postgres's own types, with their arrays, ranges and multiranges. Their
    /// OIDs are the same in every installation.
    #[must_use]
    pub fn builtin() -> Self {
        let mut types = HashMap::with_capacity(2 * (SCALARS.len() + RANGES.len()));
        for (oid, array, name, kind) in SCALARS {
            // The one type whose delimiter is another.
            let delimiter = if *name == "box" { b';' } else { b',' };
            types.insert(*oid, Shape::Plain(kind.clone()));
            types.insert(*array, Shape::Array { element: *oid, delimiter });
        }
        for (oid, array, _name, subtype, multirange) in RANGES {
            types.insert(*oid, if *multirange { Shape::Multirange(*subtype) } else { Shape::Range(*subtype) });
            types.insert(*array, Shape::Array { element: *oid, delimiter: b',' });
        }
        Self { types }
    }

    /// Takes in the rows of a [`LOOKUP`]. A type seen before is replaced, since
    /// it may have been dropped and its OID given out again; Postgres's own stay.
    pub fn extend(&mut self, rows: impl IntoIterator<Item = TypeRow>) {
        for row in rows {
            if row.oid < FIRST_USER_OID && self.types.contains_key(&row.oid) {
                continue;
            }
            let shape = match row.typtype {
                b'd' => Shape::Domain(row.base),
                b'r' => Shape::Range(row.subtype),
                b'm' => Shape::Multirange(row.subtype),
                b'b' if row.category == b'A' && row.element != 0 => Shape::Array { element: row.element, delimiter: row.delimiter },
                _ => Shape::Plain(Kind::Text),
            };
            self.types.insert(row.oid, shape);
        }
    }

    /// What values of this type become. `None` when it, or a type it is made of,
    /// has to be looked up first; if that yields nothing it is [`Kind::Text`].
    /// Keep the answer: it is built anew on each call.
    #[must_use]
    pub fn kind(&self, oid: u32) -> Option<Kind> {
        self.resolve(oid, MAX_DEPTH)
    }

    fn resolve(&self, oid: u32, depth: usize) -> Option<Kind> {
        let depth = depth.checked_sub(1)?;
        let part = |oid| self.resolve(oid, depth).map(Arc::new);
        Some(match self.types.get(&oid)? {
            Shape::Plain(kind) => kind.clone(),
            Shape::Domain(base) => self.resolve(*base, depth)?,
            Shape::Array { element, delimiter } => Kind::Array { element: part(*element)?, delimiter: *delimiter },
            Shape::Range(subtype) => Kind::Range(part(*subtype)?),
            Shape::Multirange(subtype) => Kind::Multirange(part(*subtype)?),
        })
    }
}

/// OID, OID of the array, name, kind: `pg_type.dat`, without the types that no
/// table has a column of.
static SCALARS: &[(u32, u32, &str, Kind)] = &[
    (16, 1000, "bool", Kind::Bool),
    (17, 1001, "bytea", Kind::Bytea),
    (18, 1002, "char", Kind::Text),
    (19, 1003, "name", Kind::Text),
    (20, 1016, "int8", Kind::Int8),
    (21, 1005, "int2", Kind::Int),
    (22, 1006, "int2vector", Kind::Text),
    (23, 1007, "int4", Kind::Int),
    (24, 1008, "regproc", Kind::Text),
    (25, 1009, "text", Kind::Text),
    (26, 1028, "oid", Kind::Int),
    (27, 1010, "tid", Kind::Text),
    (28, 1011, "xid", Kind::Int),
    (29, 1012, "cid", Kind::Int),
    (30, 1013, "oidvector", Kind::Text),
    (114, 199, "json", Kind::Json),
    (142, 143, "xml", Kind::Text),
    (600, 1017, "point", Kind::Text),
    (601, 1018, "lseg", Kind::Text),
    (602, 1019, "path", Kind::Text),
    (603, 1020, "box", Kind::Text),
    (604, 1027, "polygon", Kind::Text),
    (628, 629, "line", Kind::Text),
    (650, 651, "cidr", Kind::Text),
    (700, 1021, "float4", Kind::Float),
    (701, 1022, "float8", Kind::Float),
    (718, 719, "circle", Kind::Text),
    (774, 775, "macaddr8", Kind::Text),
    (790, 791, "money", Kind::Text),
    (829, 1040, "macaddr", Kind::Text),
    (869, 1041, "inet", Kind::Text),
    (1033, 1034, "aclitem", Kind::Text),
    (1042, 1014, "bpchar", Kind::Text),
    (1043, 1015, "varchar", Kind::Text),
    (1082, 1182, "date", Kind::Date),
    (1083, 1183, "time", Kind::Time),
    (1114, 1115, "timestamp", Kind::Timestamp),
    (1184, 1185, "timestamptz", Kind::TimestampTz),
    (1186, 1187, "interval", Kind::Text),
    (1266, 1270, "timetz", Kind::TimeTz),
    (1560, 1561, "bit", Kind::Text),
    (1562, 1563, "varbit", Kind::Text),
    (1700, 1231, "numeric", Kind::Numeric),
    (1790, 2201, "refcursor", Kind::Text),
    (2202, 2207, "regprocedure", Kind::Text),
    (2203, 2208, "regoper", Kind::Text),
    (2204, 2209, "regoperator", Kind::Text),
    (2205, 2210, "regclass", Kind::Text),
    (2206, 2211, "regtype", Kind::Text),
    (2950, 2951, "uuid", Kind::Text),
    (2970, 2949, "txid_snapshot", Kind::Text),
    (3220, 3221, "pg_lsn", Kind::Text),
    (3614, 3643, "tsvector", Kind::Text),
    (3615, 3645, "tsquery", Kind::Text),
    (3734, 3735, "regconfig", Kind::Text),
    (3769, 3770, "regdictionary", Kind::Text),
    (3802, 3807, "jsonb", Kind::Json),
    (4072, 4073, "jsonpath", Kind::Text),
    (4089, 4090, "regnamespace", Kind::Text),
    (4096, 4097, "regrole", Kind::Text),
    (4191, 4192, "regcollation", Kind::Text),
    (5038, 5039, "pg_snapshot", Kind::Text),
    (5069, 271, "xid8", Kind::Int8),
];

/// OID, OID of the array, name, subtype, whether it is a multirange.
static RANGES: &[(u32, u32, &str, u32, bool)] = &[
    (3904, 3905, "int4range", 23, false),
    (3906, 3907, "numrange", 1700, false),
    (3908, 3909, "tsrange", 1114, false),
    (3910, 3911, "tstzrange", 1184, false),
    (3912, 3913, "daterange", 1082, false),
    (3926, 3927, "int8range", 20, false),
    (4451, 6150, "int4multirange", 23, true),
    (4532, 6151, "nummultirange", 1700, true),
    (4533, 6152, "tsmultirange", 1114, true),
    (4534, 6153, "tstzmultirange", 1184, true),
    (4535, 6155, "datemultirange", 1082, true),
    (4536, 6157, "int8multirange", 20, true),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn row(oid: u32, typtype: u8) -> TypeRow {
        TypeRow { oid, name: format!("t{oid}"), typtype, element: 0, category: b'U', base: 0, subtype: 0, delimiter: b',' }
    }

    fn array(element: Kind) -> Kind {
        Kind::Array { element: Arc::new(element), delimiter: b',' }
    }

    #[test]
    fn what_postgres_ships_is_known() {
        let catalog = Catalog::builtin();
        for (oid, kind) in [
            (16, Kind::Bool),
            (20, Kind::Int8),
            (22, Kind::Text),
            (23, Kind::Int),
            (2950, Kind::Text),
            (3802, Kind::Json),
            (1185, array(Kind::TimestampTz)),
            (1006, array(Kind::Text)),
            (1020, Kind::Array { element: Arc::new(Kind::Text), delimiter: b';' }),
            (3910, Kind::Range(Arc::new(Kind::TimestampTz))),
            (4536, Kind::Multirange(Arc::new(Kind::Int8))),
            (3907, array(Kind::Range(Arc::new(Kind::Numeric)))),
            (6155, array(Kind::Multirange(Arc::new(Kind::Date)))),
        ] {
            assert_eq!(catalog.kind(oid), Some(kind), "{oid}");
        }
        assert_eq!(catalog.kind(99_999), None);
        assert_eq!(catalog.types.len(), 2 * (SCALARS.len() + RANGES.len()), "an OID stands twice");
    }

    #[test]
    fn what_is_looked_up_resolves_in_any_order() {
        let mut catalog = Catalog::builtin();
        let rows = [
            TypeRow { base: 20_001, ..row(20_000, b'd') },
            TypeRow { element: 20_002, category: b'A', ..row(20_001, b'b') },
            row(20_002, b'e'),
            TypeRow { subtype: 20_000, ..row(20_003, b'r') },
            TypeRow { subtype: 20_000, ..row(20_004, b'm') },
            row(20_005, b'c'),
        ];
        catalog.extend(rows[..2].to_vec());
        assert_eq!(catalog.kind(20_000), None, "the enum is still unknown");
        catalog.extend(rows[2..].to_vec());
        let labels = Arc::new(array(Kind::Text));
        assert_eq!(catalog.kind(20_000), Some(array(Kind::Text)));
        assert_eq!(catalog.kind(20_003), Some(Kind::Range(labels.clone())));
        assert_eq!(catalog.kind(20_004), Some(Kind::Multirange(labels)));
        assert_eq!(catalog.kind(20_005), Some(Kind::Text));
    }

    #[test]
    fn a_lookup_replaces_a_users_type_but_not_postgress_own() {
        let mut catalog = Catalog::builtin();
        catalog.extend([row(23, b'b'), TypeRow { base: 23, ..row(20_000, b'd') }]);
        assert_eq!((catalog.kind(23), catalog.kind(20_000)), (Some(Kind::Int), Some(Kind::Int)));
        catalog.extend([row(20_000, b'e')]);
        assert_eq!(catalog.kind(20_000), Some(Kind::Text));
    }

    #[test]
    fn a_cycle_is_unknown() {
        let mut catalog = Catalog::builtin();
        catalog.extend([TypeRow { base: 20_001, ..row(20_000, b'd') }, TypeRow { base: 20_000, ..row(20_001, b'd') }]);
        assert_eq!(catalog.kind(20_000), None);
    }
}
