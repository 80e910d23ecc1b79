//! Tests of `delimited`.

use super::*;

fn rows(table: &Table) -> Vec<(usize, Vec<&str>)> {
    let cells = |row| {
        (0..table.columns.len())
            .map(|column| table.cell(row, column))
            .collect()
    };
    (0..table.rows())
        .map(|row| (table.line(row), cells(row)))
        .collect()
}

type Lines<'a> = &'a [(usize, &'a [&'a str])];

/// A text, its delimiter, its columns, and its rows with their lines.
const WRITTEN: [(&str, char, &[&str], Lines<'static>); 14] = [
    ("a,b\n1,2\n", ',', &["a", "b"], &[(2, &["1", "2"])]),
    (
        "\u{feff}a;b\r\n1;2\r\n\r\n3;\r\n",
        ';',
        &["a", "b"],
        &[(2, &["1", "2"]), (4, &["3", ""])],
    ),
    (
        "# by x, y\n\na\tb c\n1\t\n# 2\n",
        '\t',
        &["a", "b c"],
        &[(4, &["1", ""])],
    ),
    (
        "a, b\n \"x, \"\"y\"\"\" , 1e18",
        ',',
        &["a", "b"],
        &[(2, &["x, \"y\"", "1e18"])],
    ),
    (
        "a,b\n\"two\nlines\",1\nz,2\n",
        ',',
        &["a", "b"],
        &[(2, &["two\nlines", "1"]), (4, &["z", "2"])],
    ),
    (",loss\n0,3.1\n", ',', &["", "loss"], &[(2, &["0", "3.1"])]),
    ("a\n\"\"\n", ',', &["a"], &[(2, &[""])]),
    (
        "größe,µ\n\u{1b}[2J,é\n",
        ',',
        &["größe", "µ"],
        &[(2, &["\u{1b}[2J", "é"])],
    ),
    (
        "name,loss\n#1-adam,3\nplain,4\n",
        ',',
        &["name", "loss"],
        &[(2, &["#1-adam", "3"]), (3, &["plain", "4"])],
    ),
    (
        "a,b\r1,2\r3,4\r",
        ',',
        &["a", "b"],
        &[(2, &["1", "2"]), (3, &["3", "4"])],
    ),
    (
        "a,b\n1,2,\n3,4,,\n",
        ',',
        &["a", "b"],
        &[(2, &["1", "2"]), (3, &["3", "4"])],
    ),
    (
        "a,b\n1,2\n\n3\n",
        ',',
        &["a", "b"],
        &[(2, &["1", "2"]), (4, &["3", ""])],
    ),
    (
        "# step,loss\n1,2\n3,4\n",
        ',',
        &["step", "loss"],
        &[(2, &["1", "2"]), (3, &["3", "4"])],
    ),
    (
        "# of three runs\n1,2\n3,4\n",
        ',',
        &["1", "2"],
        &[(3, &["3", "4"])],
    ),
];

#[test]
fn what_is_written_is_read() {
    for (text, delimiter, columns, cells) in WRITTEN {
        let table = Table::parse("x.csv", text, delimiter).unwrap();
        assert_eq!(table.columns, columns, "{text:?}");
        let expected: Vec<(usize, Vec<&str>)> = cells
            .iter()
            .map(|(line, row)| (*line, row.to_vec()))
            .collect();
        assert_eq!(rows(&table), expected, "{text:?}");
    }
}

#[test]
fn what_is_read_leniently_is_told() {
    let table = Table::parse("x.csv", "a,b\n1,2\n# half time\n3\n# end\n", ',').unwrap();
    let expected = [
        "x.csv: 2 lines below the header that begin with # are comments (first: line 3)",
        "x.csv: 1 row has fewer cells than the header; what is missing is empty (first: line 4)",
    ];
    assert_eq!(table.notes(), expected);
    assert!(
        Table::parse("x.csv", "# above\na,b\n1,2,\n", ',')
            .unwrap()
            .notes()
            .is_empty()
    );
}

/// A program that was killed while it wrote leaves half a row; a table whose rows are short here and there is written so.
#[test]
fn half_a_last_row_is_left_out() {
    let rows_of = |text: &str| {
        let table = Table::parse("x.csv", text, ',').unwrap();
        (table.rows(), table.notes())
    };
    let (rows, notes) = rows_of("a,b\n1,2\n3,4\n5\n");
    let told =
        "x.csv: line 4, the last, has no end or not all cells and may be cut off: it is left out";
    assert_eq!((rows, &notes[..]), (2, &[told.to_owned()][..]));
    assert_eq!(rows_of("a,b\n1\n3,4\n5\n").0, 3);
}

#[test]
fn what_cannot_be_read_is_placed() {
    let cases = [
        ("", "x.csv: empty"),
        ("# only\n\n", "x.csv: empty"),
        ("a,b\n1,2,3\n", "x.csv:2: 3 cells under 2 columns"),
        (
            "a,b\n\"1,2\n3,4\n",
            "x.csv:2: a quote is opened and not closed",
        ),
        ("a,b\n\"1\"2,3\n", "x.csv:2: `2` after a closing quote"),
    ];
    for (text, says) in cases {
        let error = Table::parse("x.csv", text, ',').unwrap_err();
        assert!(error.message.starts_with(says), "{text:?}: {error}");
    }
}

#[test]
fn an_unknown_column_is_answered_with_those_there_are() {
    let table = Table::parse("x.csv", "step,val_loss,step\n", ',').unwrap();
    let near = table.column("val_los").unwrap_err();
    assert_eq!(near.message, "x.csv: no column `val_los`");
    assert_eq!(
        near.hint.unwrap(),
        "did you mean `val_loss`? The file has: step, val_loss, step"
    );
    assert_eq!(
        table.column("zzz").unwrap_err().hint.unwrap(),
        "The file has: step, val_loss, step"
    );
    assert_eq!(
        table.column("step").unwrap_err().message,
        "x.csv: two columns are called `step`"
    );
    assert_eq!(table.column("val_loss").unwrap(), 1);
}

#[test]
fn the_header_decides_on_the_delimiter() {
    let cases = [
        ("x.tsv", "a,b\tc\n", '\t'),
        ("x.csv", "a,b;c\n", ','),
        ("x.csv", "a,b;c;d\n", ';'),
        ("x.csv", "loss, val;step\n3;1\n", ';'),
        ("x.csv", "# a, b\na;b\n", ';'),
        ("x.csv", "a\tb\n", '\t'),
        ("x.csv", "\"a;b;c;d\",e\n", ','),
        ("x", "loss\n", ','),
    ];
    for (name, text, expected) in cases {
        assert_eq!(
            delimiter(Path::new(name), text),
            expected,
            "{name} {text:?}"
        );
    }
}

/// A table's own decimal mark: by a column's cells, else by the other columns', else by the semicolons.
#[test]
fn the_table_decides_where_a_column_does_not() {
    let cases = [
        ("step;loss\n1.000;3,28\n", ';', [Marks::Comma, Marks::Comma]),
        ("step;loss\n1000;3,276\n", ';', [Marks::Plain, Marks::Comma]),
        (
            "step,loss\n\"1,000\",3.28\n",
            ',',
            [Marks::Plain, Marks::Point],
        ),
        ("step;loss\n1000;3.276\n", ';', [Marks::Plain, Marks::Plain]),
    ];
    for (text, delimiter, expected) in cases {
        let table = Table::parse("x.csv", text, delimiter).unwrap();
        assert_eq!([table.marks(0), table.marks(1)], expected, "{text:?}");
    }
}
