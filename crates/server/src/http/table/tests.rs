use expect_test::expect;

use super::*;
use read_parquet::{notes_of, page_of, take};

/// Also what is sent is read by.
#[path = "../../../tests/it/read_parquet.rs"]
mod read_parquet;

struct Row(i64);

/// Every other row knows nothing.
fn known<'a>(row: &Row, cell: Cell<'a>) -> Cell<'a> {
    if row.0 % 2 == 0 { cell } else { Cell::Null }
}

const fn column(
    name: &'static str,
    kind: Kind,
    cell: for<'a> fn(&'a Row) -> Cell<'a>,
) -> Column<Row> {
    Column { name, kind, unit: "u", meaning: "m", cell }
}

const ROWS: [Column<Row>; 5] = [
    column("at", Kind::Time, |row| known(row, Cell::Time(UtcMicros(row.0)))),
    column("text", Kind::Text, |row| known(row, Cell::text(format!("a,\"{}", row.0)))),
    column("count", Kind::Count, |row| known(row, Cell::count(row.0))),
    column("real", Kind::Real, |row| known(row, Cell::Real(0.5))),
    column("flag", Kind::Flag, |row| known(row, Cell::Flag(row.0 % 4 == 0))),
];

/// Writes rows in parts; returns the table and the largest piece of it.
fn written(format: Format, rows: i64, part: usize) -> (Vec<u8>, usize) {
    let rows: Vec<Row> = (0..rows).map(Row).collect();
    let mut writer = Writer::new(format, &ROWS);
    let mut pieces: Vec<Vec<u8>> =
        rows.chunks(part).map(|part| writer.write(part).expect("bytes")).collect();
    pieces.push(writer.finish().expect("bytes"));
    (pieces.concat(), pieces.iter().map(Vec::len).max().unwrap_or(0))
}

fn text(format: Format, rows: i64) -> String {
    String::from_utf8(written(format, rows, 1).0).expect("text")
}

#[test]
fn csv_has_one_header_and_an_empty_field_for_nothing() {
    let two = "at,text,count,real,flag\n\
               1970-01-01T00:00:00Z,\"a,\"\"0\",0,0.5,true\n,,,,\n";
    assert_eq!(text(Format::Csv, 2), two);
    assert_eq!(text(Format::Csv, 0), "at,text,count,real,flag\n");
}

#[test]
fn a_line_of_json_is_an_object_with_every_column() {
    let two = "{\"at\":\"1970-01-01T00:00:00Z\",\"text\":\"a,\\\"0\",\"count\":0,\
               \"real\":0.5,\"flag\":true}\n\
               {\"at\":null,\"text\":null,\"count\":null,\"real\":null,\"flag\":null}\n";
    assert_eq!(text(Format::Lines, 2), two);
    assert_eq!(text(Format::Lines, 0), "");
}

/// However many rows come at once, and more than are held.
#[test]
fn parquet_is_read_back_as_it_was_written_and_goes_out_in_pieces() {
    for (rows, part) in [(0_i64, 1), (5, 2), (100_001, 977), (100_001, 100_001)] {
        let (file, largest) = written(Format::Parquet, rows, part);
        let notes = notes_of(&file);
        assert_eq!(notes.field(3).number(), rows);
        let (mut counts, mut texts, mut flags, mut levels) = (vec![], vec![], vec![], vec![]);
        for group in notes.field(4).list() {
            let chunks = group.field(1).list();
            let (known, values) = page_of(&file, &chunks[2]);
            let is_known = known.iter().filter(|known| **known).count();
            levels.extend(known);
            counts.extend(values.chunks(8).map(|v| i64::from_le_bytes(v.try_into().unwrap())));
            let (_, values) = page_of(&file, &chunks[1]);
            let mut values = &values[..];
            while !values.is_empty() {
                let length = u32::from_le_bytes(take(&mut values, 4).try_into().unwrap());
                texts.push(String::from_utf8(take(&mut values, length as usize).to_vec()).unwrap());
            }
            let (_, values) = page_of(&file, &chunks[4]);
            flags.extend((0..is_known).map(|bit| values[bit / 8] >> (bit % 8) & 1 == 1));
        }
        let even = || (0..rows).filter(|n| n % 2 == 0);
        assert_eq!(levels, (0..rows).map(|n| n % 2 == 0).collect::<Vec<_>>());
        assert_eq!(counts, even().collect::<Vec<_>>());
        assert_eq!(texts, even().map(|n| format!("a,\"{n}")).collect::<Vec<_>>());
        assert_eq!(flags, even().map(|n| n % 4 == 0).collect::<Vec<_>>());
        assert!(rows < 100_000 || 1_000 < part || largest < file.len() / 2, "{largest}");
    }
}

/// The notes of a file that pyarrow and DuckDB were seen to read: whoever changes them has to try
/// again.
#[test]
fn the_notes_of_a_parquet_file_are_those_that_others_read() {
    let (file, _) = written(Format::Parquet, 2, 2);
    let end = file.len() - 8;
    let length = u32::from_le_bytes(file[end..end + 4].try_into().expect("four bytes"));
    let notes = &file[end - length as usize..end];
    let line = |bytes: &[u8]| {
        bytes.iter().map(|byte| format!("{byte:02x}")).chain(["\n".to_owned()]).collect::<String>()
    };
    let notes: String = notes.chunks(40).map(line).collect();
    expect![[r#"
        1502196c48096661756c746c696e65150a00150425021802617425144c8c111c2c0000000000150c
        250218047465787425004c1c000000150425021805636f756e7400150a250218047265616c001500
        25021804666c6167001604191c195c26081c1504192500061918026174150c160416421654260800
        00265c1c150c1925000619180474657874150c160416421654265c000026b0011c15041925000619
        1805636f756e74150c16041642165426b00100002684021c150a192500061918047265616c150c16
        0416421654268402000026d8021c150019250006191804666c6167150c16041634164626d8020000
        16bc02160400191c18116661756c746c696e652e636f6c756d6e7318cd015b7b226d65616e696e67
        223a226d222c226e616d65223a226174222c22756e6974223a2275227d2c7b226d65616e696e6722
        3a226d222c226e616d65223a2274657874222c22756e6974223a2275227d2c7b226d65616e696e67
        223a226d222c226e616d65223a22636f756e74222c22756e6974223a2275227d2c7b226d65616e69
        6e67223a226d222c226e616d65223a227265616c222c22756e6974223a2275227d2c7b226d65616e
        696e67223a226d222c226e616d65223a22666c6167222c22756e6974223a2275227d5d0018176661
        756c746c696e652076657273696f6e20302e312e3000
    "#]]
    .assert_eq(&notes);
}
