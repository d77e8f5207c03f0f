use super::*;
use proptest::{collection::vec, prelude::*};
use std::path::Path;

#[derive(Clone, Debug, PartialEq)]
enum Cell {
    Null,
    Unchanged,
    Text(Vec<u8>),
    Binary(Vec<u8>),
}

type Row = Vec<Cell>;
type Shape = Vec<(bool, String, u32, i32)>;

/// A message with its fields in the order of the wire; of an old row, `true`
/// is key only.
#[derive(Clone, Debug, PartialEq)]
enum Owned {
    Begin(u64, i64, u32),
    Commit(u64, u64, i64),
    Origin(u64, String),
    Relation(u32, String, String, u8, Shape),
    Type(u32, String, String),
    Insert(u32, Row),
    Update(u32, Option<(bool, Row)>, Row),
    Delete(u32, (bool, Row)),
    Truncate(bool, bool, Vec<u32>),
    Message(bool, u64, String, Vec<u8>),
}

fn own_row(tuple: &Tuple<'_>) -> Row {
    assert_eq!((tuple.iter().len(), tuple.iter().next().is_none()), (tuple.len(), tuple.is_empty()));
    let row: Row = tuple
        .iter()
        .map(|datum| match datum {
            Datum::Null => Cell::Null,
            Datum::Unchanged => Cell::Unchanged,
            Datum::Text(text) => Cell::Text(text.to_vec()),
            Datum::Binary(bytes) => Cell::Binary(bytes.to_vec()),
        })
        .collect();
    assert_eq!(row.len(), tuple.len());
    row
}

/// Walks all of a message.
fn own(message: &Message<'_>) -> Owned {
    let old = |old: &Old<'_>| (old.key_only, own_row(&old.tuple));
    match message {
        Message::Begin { final_lsn, commit_time, xid } => Owned::Begin(*final_lsn, *commit_time, *xid),
        Message::Commit { commit_lsn, end_lsn, commit_time } => Owned::Commit(*commit_lsn, *end_lsn, *commit_time),
        Message::Origin { commit_lsn, name } => Owned::Origin(*commit_lsn, (*name).to_owned()),
        Message::Relation(Relation { oid, schema, name, identity, columns }) => {
            let identity = match identity {
                ReplicaIdentity::Default => b'd',
                ReplicaIdentity::Nothing => b'n',
                ReplicaIdentity::Full => b'f',
                ReplicaIdentity::Index => b'i',
            };
            let columns = columns.iter().map(|c| (c.key, c.name.to_owned(), c.type_oid, c.type_modifier)).collect();
            Owned::Relation(*oid, (*schema).to_owned(), (*name).to_owned(), identity, columns)
        }
        Message::Type { oid, schema, name } => Owned::Type(*oid, (*schema).to_owned(), (*name).to_owned()),
        Message::Insert { relation, new } => Owned::Insert(*relation, own_row(new)),
        Message::Update { relation, old: before, new } => Owned::Update(*relation, before.as_ref().map(old), own_row(new)),
        Message::Delete { relation, old: before } => Owned::Delete(*relation, old(before)),
        Message::Truncate { relations, cascade, restart_identity } => {
            Owned::Truncate(*cascade, *restart_identity, relations.iter().collect())
        }
        Message::Message { transactional, lsn, prefix, content } => {
            Owned::Message(*transactional, *lsn, (*prefix).to_owned(), content.to_vec())
        }
    }
}

fn put_row(out: &mut Vec<u8>, tag: u8, row: &[Cell]) {
    out.push(tag);
    out.extend(u16::try_from(row.len()).unwrap().to_be_bytes());
    for cell in row {
        let (tag, bytes) = match cell {
            Cell::Null => (b'n', None),
            Cell::Unchanged => (b'u', None),
            Cell::Text(text) => (b't', Some(text)),
            Cell::Binary(bytes) => (b'b', Some(bytes)),
        };
        out.push(tag);
        if let Some(bytes) = bytes {
            out.extend(u32::try_from(bytes.len()).unwrap().to_be_bytes());
            out.extend(bytes);
        }
    }
}

fn encode(message: &Owned) -> Vec<u8> {
    let parts = |parts: &[&[u8]]| parts.concat();
    let old = |out: &mut Vec<u8>, (key_only, row): &(bool, Row)| put_row(out, if *key_only { b'K' } else { b'O' }, row);
    match message {
        Owned::Begin(lsn, time, xid) => parts(&[b"B", &lsn.to_be_bytes(), &time.to_be_bytes(), &xid.to_be_bytes()]),
        Owned::Commit(lsn, end, time) => parts(&[b"C\0", &lsn.to_be_bytes(), &end.to_be_bytes(), &time.to_be_bytes()]),
        Owned::Origin(lsn, name) => parts(&[b"O", &lsn.to_be_bytes(), name.as_bytes(), b"\0"]),
        Owned::Relation(oid, schema, name, identity, columns) => {
            let mut out = parts(&[b"R", &oid.to_be_bytes(), schema.as_bytes(), b"\0", name.as_bytes(), b"\0", &[*identity]]);
            out.extend(u16::try_from(columns.len()).unwrap().to_be_bytes());
            for (key, name, oid, modifier) in columns {
                out.extend(parts(&[&[u8::from(*key)], name.as_bytes(), b"\0", &oid.to_be_bytes(), &modifier.to_be_bytes()]));
            }
            out
        }
        Owned::Type(oid, schema, name) => parts(&[b"Y", &oid.to_be_bytes(), schema.as_bytes(), b"\0", name.as_bytes(), b"\0"]),
        Owned::Insert(relation, new) => {
            let mut out = parts(&[b"I", &relation.to_be_bytes()]);
            put_row(&mut out, b'N', new);
            out
        }
        Owned::Update(relation, before, new) => {
            let mut out = parts(&[b"U", &relation.to_be_bytes()]);
            before.iter().for_each(|before| old(&mut out, before));
            put_row(&mut out, b'N', new);
            out
        }
        Owned::Delete(relation, before) => {
            let mut out = parts(&[b"D", &relation.to_be_bytes()]);
            old(&mut out, before);
            out
        }
        Owned::Truncate(cascade, restart, relations) => {
            let count = u32::try_from(relations.len()).unwrap().to_be_bytes();
            let mut out = parts(&[b"T", &count, &[u8::from(*cascade) | u8::from(*restart) << 1]]);
            relations.iter().for_each(|oid| out.extend(oid.to_be_bytes()));
            out
        }
        Owned::Message(transactional, lsn, prefix, content) => {
            let len = u32::try_from(content.len()).unwrap().to_be_bytes();
            parts(&[b"M", &[u8::from(*transactional)], &lsn.to_be_bytes(), prefix.as_bytes(), b"\0", &len, content])
        }
    }
}

fn text(text: &str) -> Cell {
    Cell::Text(text.into())
}

#[test]
fn each_kind_of_message() {
    let table: [(&[u8], Owned); 16] = [
        (b"B\0\0\0\x01\x01V\xe1\xc0\0\x03\x04\x0f\x0cH\x95\xd8\0\0\x02\xfe", Owned::Begin(0x1_0156_e1c0, 0x0003_040f_0c48_95d8, 766)),
        (b"B\0\0\0\0\0\0\0\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", Owned::Begin(1, -1, u32::MAX)),
        (b"C\0\0\0\0\0\0\0\0\x10\0\0\0\0\0\0\0\x20\0\0\0\0\0\0\0\x03", Owned::Commit(16, 32, 3)),
        (b"O\0\0\0\x0a\0\0\0\xbcfar away\0", Owned::Origin(0xa_0000_00bc, "far away".into())),
        (
            b"R\0\0\x40\x0d\0t\0i\0\x02\x01id\0\0\0\0\x14\xff\xff\xff\xff\0caf\xc3\xa9\0\0\0\x04\x13\0\0\0\x18",
            Owned::Relation(16397, "".into(), "t".into(), b'i', vec![(true, "id".into(), 20, -1), (false, "café".into(), 1043, 24)]),
        ),
        (b"R\0\0\0\x01s\0bare\0n\0\0", Owned::Relation(1, "s".into(), "bare".into(), b'n', vec![])),
        (b"Y\0\0\x40\x05public\0mood\0", Owned::Type(16389, "public".into(), "mood".into())),
        (
            b"I\0\0\0\x07N\0\x05nut\0\0\0\x02hit\0\0\0\0b\0\0\0\x01\xff",
            Owned::Insert(7, vec![Cell::Null, Cell::Unchanged, text("hi"), text(""), Cell::Binary(vec![0xff])]),
        ),
        (b"I\0\0\0\x07N\0\0", Owned::Insert(7, vec![])),
        (b"U\0\0\0\x07N\0\x01t\0\0\0\x011", Owned::Update(7, None, vec![text("1")])),
        (b"U\0\0\0\x07K\0\x01t\0\0\0\x011N\0\x01u", Owned::Update(7, Some((true, vec![text("1")])), vec![Cell::Unchanged])),
        (b"U\0\0\0\x07O\0\x01nN\0\x01t\0\0\0\x01N", Owned::Update(7, Some((false, vec![Cell::Null])), vec![text("N")])),
        (b"D\0\0\0\x07K\0\x02t\0\0\0\x011n", Owned::Delete(7, (true, vec![text("1"), Cell::Null]))),
        (b"D\0\0\0\x07O\0\x01n", Owned::Delete(7, (false, vec![Cell::Null]))),
        (b"T\0\0\0\x02\x03\0\0\x40\x44\0\0\x40\x4a", Owned::Truncate(true, true, vec![16452, 16458])),
        (b"M\x01\0\0\0\0\0\0\0\x09p\0\0\0\0\x02\0\xff", Owned::Message(true, 9, "p".into(), vec![0, 0xff])),
    ];
    for (bytes, expected) in table {
        assert_eq!(own(&decode(bytes).unwrap()), expected);
        assert_eq!(encode(&expected), bytes, "{expected:?}");
    }
}

#[test]
fn what_is_wrong_is_named() {
    let table: [(&[u8], &str); 18] = [
        (b"", "0x00: tag at byte 0: the message ends too early"),
        (b"S\0\0\0\x01\x01", "'S': tag at byte 0: unknown tag 'S'"),
        (b"\xf0", "0xf0: tag at byte 0: unknown tag 0xf0"),
        (b"B\0\0", "'B': final LSN at byte 1: the message ends too early"),
        (b"C\x01", "'C': flags at byte 1: unknown flags 0x01"),
        (b"O\0\0\0\0\0\0\0\0far", "'O': origin at byte 9: the message ends too early"),
        (b"Y\0\0\0\x01s\0\xc3\x28\0", "'Y': type name at byte 7: not UTF-8"),
        (b"Y\0\0\0\x01s\0n\0secret", "'Y': end at byte 9: 6 bytes too many"),
        (b"R\0\0\0\x01s\0n\0x", "'R': replica identity at byte 9: unknown tag 'x'"),
        (b"R\0\0\0\x01s\0n\0d\xff\xff\0a\0", "'R': type of a column at byte 15: the message ends too early"),
        (b"R\0\0\0\x01s\0n\0d\0\x01\x02", "'R': flags of a column at byte 12: unknown flags 0x02"),
        (b"I\0\0\0\x01K", "'I': new row at byte 5: unknown tag 'K'"),
        (b"I\0\0\0\x01N\0\x02nt\xff\xff\xff\xffsecret", "'I': text value at byte 10: negative"),
        (b"I\0\0\0\x01N\0\x01t\x7f\xff\xff\xffsecret", "'I': text value at byte 13: the message ends too early"),
        (b"U\0\0\0\x01X", "'U': old row at byte 5: unknown tag 'X'"),
        (b"U\0\0\0\x01K\0\x01nK", "'U': new row at byte 9: unknown tag 'K'"),
        (b"T\x7f\xff\xff\xff\x03\0\0\0\x01", "'T': relations at byte 6: the message ends too early"),
        (b"M\0\0\0\0\0\0\0\0\x09\0\x80\0\0\0secret", "'M': content at byte 11: negative"),
    ];
    for (bytes, expected) in table {
        let error = decode(bytes).unwrap_err();
        assert_eq!(error.to_string(), format!("pgoutput message {expected}"));
        assert!(!format!("{error:?}").contains("secret"));
    }
}

#[test]
fn debug_shows_no_values() {
    let Ok(Message::Insert { new, .. }) = decode(b"I\0\0\0\x07N\0\x03nut\0\0\0\x06secret") else { panic!("no insert") };
    assert_eq!(format!("{new:?}"), "[Null, Unchanged, Text(6 bytes)]");
    assert_eq!(format!("{:?}", decode(b"M\0\0\0\0\0\0\0\0\x09\0\0\0\0\x06secret").unwrap()), "message");
}

#[test]
fn what_real_servers_sent() {
    let directory = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/pgoutput"));
    let mut files = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let kind = name.split('-').next().unwrap();
        // What the fuzzer adds of its own is named by a hash.
        if name.len() == 40 && name.bytes().all(|b| b.is_ascii_hexdigit()) {
            continue;
        }
        let bytes = std::fs::read(entry.path()).unwrap();
        match decode(&bytes) {
            Ok(message) => {
                assert_eq!(message.kind(), kind, "{name}");
                assert_eq!(encode(&own(&message)), bytes, "{name}");
            }
            Err(error) => assert_eq!(kind, "bad", "{name}: {error}"),
        }
        files += 1;
    }
    assert!(files >= 20, "{files} files in {}", directory.display());
}

#[test]
fn what_a_real_server_sent_of_unchanged_values() {
    let read = |name: &str| {
        let bytes = std::fs::read(format!("{}/fuzz/corpus/pgoutput/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        own(&decode(&bytes).unwrap())
    };
    let Owned::Update(_, None, new) = read("update-toast-unchanged") else { panic!("no update") };
    assert_eq!(new, [text("1"), Cell::Unchanged, text("t")]);
    // Under FULL it is in the old row.
    let Owned::Update(_, Some((false, old)), new) = read("update-full-toast-unchanged") else { panic!("no update") };
    assert_eq!((old, new), (vec![text("1"), text(&"x".repeat(9000)), text("s")], vec![text("1"), Cell::Unchanged, text("t")]));
    // A key out of line is sent as an old row though it did not change.
    let Owned::Update(_, Some((true, old)), new) = read("update-toast-key-unchanged") else { panic!("no update") };
    assert!(matches!(old.as_slice(), [Cell::Text(key), Cell::Null] if key.len() == 2560));
    assert_eq!(new, [Cell::Unchanged, text("2")]);
}

fn string() -> impl Strategy<Value = String> {
    "[^\\x00]{0,9}"
}

fn row() -> impl Strategy<Value = Row> {
    let bytes = || vec(any::<u8>(), 0..20);
    let cell = prop_oneof![Just(Cell::Null), Just(Cell::Unchanged), bytes().prop_map(Cell::Text), bytes().prop_map(Cell::Binary)];
    vec(cell, 0..8)
}

fn message() -> impl Strategy<Value = Owned> {
    let identity = proptest::sample::select(b"dnfi".as_slice());
    let shape = vec((any::<bool>(), string(), any::<u32>(), any::<i32>()), 0..6);
    let old = || (any::<bool>(), row());
    prop_oneof![
        any::<(u64, i64, u32)>().prop_map(|(a, b, c)| Owned::Begin(a, b, c)),
        any::<(u64, u64, i64)>().prop_map(|(a, b, c)| Owned::Commit(a, b, c)),
        (any::<u64>(), string()).prop_map(|(a, b)| Owned::Origin(a, b)),
        (any::<u32>(), string(), string(), identity, shape).prop_map(|(a, b, c, d, e)| Owned::Relation(a, b, c, d, e)),
        (any::<u32>(), string(), string()).prop_map(|(a, b, c)| Owned::Type(a, b, c)),
        (any::<u32>(), row()).prop_map(|(a, b)| Owned::Insert(a, b)),
        (any::<u32>(), proptest::option::of(old()), row()).prop_map(|(a, b, c)| Owned::Update(a, b, c)),
        (any::<u32>(), old()).prop_map(|(a, b)| Owned::Delete(a, b)),
        (any::<bool>(), any::<bool>(), vec(any::<u32>(), 0..6)).prop_map(|(a, b, c)| Owned::Truncate(a, b, c)),
        (any::<bool>(), any::<u64>(), string(), vec(any::<u8>(), 0..20)).prop_map(|(a, b, c, d)| Owned::Message(a, b, c, d)),
    ]
}

/// What decodes has one encoding, the bytes it was decoded from: nothing is
/// skipped and nothing read twice.
fn refused_or_exact(bytes: &[u8]) {
    if let Ok(message) = decode(bytes) {
        assert_eq!(encode(&own(&message)), bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn what_is_encoded_is_decoded(message in message()) {
        prop_assert_eq!(own(&decode(&encode(&message)).unwrap()), message);
    }

    #[test]
    fn a_part_of_a_message_is_an_error(message in message(), more in any::<u8>()) {
        let mut bytes = encode(&message);
        for end in 0..bytes.len() {
            let error = decode(&bytes[..end]).unwrap_err();
            prop_assert_eq!(error.fault, Fault::Short);
            prop_assert!(error.offset <= end);
        }
        let end = bytes.len();
        bytes.push(more);
        prop_assert_eq!(decode(&bytes).unwrap_err(), Malformed { tag: bytes[0], what: "end", offset: end, fault: Fault::Trailing(1) });
    }

    #[test]
    fn a_changed_byte_does_no_harm(message in message(), at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let mut bytes = encode(&message);
        let at = at.index(bytes.len());
        bytes[at] = to;
        refused_or_exact(&bytes);
    }

    #[test]
    fn any_bytes_do_no_harm(tag in proptest::sample::select(b"BCORYIUDTMx".as_slice()), rest in vec(prop_oneof![0u8..4, any::<u8>()], 0..200)) {
        refused_or_exact(&rest);
        refused_or_exact(&[&[tag], rest.as_slice()].concat());
    }
}
